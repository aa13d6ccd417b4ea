"""Who is on the film: patients, their films, their findings and every number that the drawing needs.

Each patient has a generator of its own, seeded by (seed, stream, patient number), and each film one derived from
it, so a film does not depend on how many others are drawn or on the batch it is rendered in.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from synthworth.keys import seed_from

Array = NDArray[np.float32]
FINDINGS = ("cardiomegaly", "effusion", "pneumothorax", "nodule", "infiltration")
CLASSES = ("no_finding", *FINDINGS)

# Chances of 1 to 5 films, and of a patient's main condition (order of CLASSES): imbalanced like ChestX-ray14, with
# the rarest class kept near 8 % so that a thousand films still hold enough of it.
N_FILMS = (0.34, 0.27, 0.19, 0.12, 0.08)
CONDITION = (0.20, 0.14, 0.19, 0.12, 0.15, 0.20)
STAYS_SICK = 0.78  # a sick patient's film still shows the finding
FALLS_SICK = 0.10  # a healthy patient's film shows one, drawn from CONDITION
AP_RATE = (0.27, 0.42, 0.50, 0.45, 0.30, 0.50)  # portable films are for the sick: a mild shortcut, as in real data

_N_PATIENT, _N_FILM = 72, 64
N_MAIN, N_SIDE, N_TWIG = 9, 4, 3  # vessels of a lung, side branches of each, twigs of each of those


@dataclass(frozen=True)
class Films:
    """n films to be drawn: what is known about them and the numbers they are drawn from.

    Parameters
    ----------
    labels : int64 (n,), index into CLASSES, or uint8 (n, 5), in the order of FINDINGS
    severity : float32 (n, 5), 0 = absent, up to 1
        The only field the findings are drawn from.
    shape : name -> float32 (n,)
        The anatomy, pose and exposure.
    branches : float32 (n, 2, 9, 4, 3, 2)
        Standard normal deviates that shape the vessels of right and left lung.
    seeds : one per film
        For texture and noise.
    """

    labels: NDArray[np.int64] | NDArray[np.uint8]
    severity: Array
    shape: dict[str, Array]
    branches: Array
    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    attributes: dict[str, NDArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.seeds)

    def rows(self, start: int, stop: int) -> Films:
        """The films start..stop-1."""
        cut = slice(start, stop)
        return Films(
            self.labels[cut],
            self.severity[cut],
            {name: value[cut] for name, value in self.shape.items()},
            self.branches[cut],
            self.seeds[cut],
            self.ids[cut],
            self.groups[cut],
            {name: value[cut] for name, value in self.attributes.items()},
        )

    def showing(self, severity: Array) -> Films:
        """The same films with other findings, severity (n, 5); labels are left as they were."""
        return replace(self, severity=np.asarray(severity, np.float32))


class _Columns:
    """Hands out the columns of a matrix of standard normal and uniform deviates, one after the other."""

    def __init__(self, normal: Array, uniform: Array) -> None:
        self.z, self.u, self.i, self.j = normal, uniform, 0, 0

    def normal(self, mean: float, sd: float, limit: float = 2.3) -> Array:
        self.i += 1
        return (mean + sd * np.clip(self.z[:, self.i - 1], -limit, limit)).astype(np.float32)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Array:
        self.j += 1
        return (low + (high - low) * self.u[:, self.j - 1]).astype(np.float32)


def draw_films(n: int, *, seed: int, stream: str, task: Literal["single", "multi"], difficulty: float) -> Films:
    """The first n films of a stream, patient after patient: a larger n only adds to a smaller one."""
    owner: list[int] = []
    number: list[int] = []
    rows: list[tuple[Array, Array, Array]] = []
    seeds: list[int] = []
    film_rows: list[tuple[Array, Array]] = []
    patient = 0
    while len(owner) < n:
        patient_seed = seed_from(seed, "phantom", stream, patient)
        rng = np.random.Generator(np.random.PCG64(patient_seed))
        n_films = 1 + int(np.searchsorted(np.cumsum(N_FILMS)[:-1], rng.random(), side="right"))
        rows.append(
            (
                rng.standard_normal(_N_PATIENT, np.float32),
                rng.random(_N_PATIENT, np.float32),
                rng.standard_normal((2, N_MAIN, N_SIDE, N_TWIG, 2), np.float32),
            )
        )
        for film in range(min(n_films, n - len(owner))):
            rng = np.random.Generator(np.random.PCG64(seed_from(patient_seed, "film", film)))
            film_rows.append((rng.standard_normal(_N_FILM, np.float32), rng.random(_N_FILM, np.float32)))
            owner.append(patient)
            number.append(film + 1)
            seeds.append(seed_from(patient_seed, "texture", film))
        patient += 1
    if not owner:
        raise ValueError("draw_films needs n >= 1")
    who = np.asarray(owner)
    person = _Columns(np.stack([r[0] for r in rows])[who], np.stack([r[1] for r in rows])[who])
    visit = _Columns(np.stack([r[0] for r in film_rows]), np.stack([r[1] for r in film_rows]))
    labels, severity = _draw_findings(person, visit, task, difficulty)
    shape, attributes = _draw_shape(person, visit, severity, difficulty)
    return Films(
        labels,
        severity,
        shape,
        np.stack([r[2] for r in rows])[who],
        tuple(seeds),
        tuple(f"phantom-{stream}-{p:06d}-{f:02d}" for p, f in zip(owner, number, strict=True)),
        tuple(f"phantom-{stream}-{p:06d}" for p in owner),
        attributes,
    )


def _draw_findings(person: _Columns, visit: _Columns, task: str, difficulty: float) -> tuple[NDArray, Array]:
    """Labels, and severities (n, 5) in 0..1 with a patient's part shared by its films."""
    n = len(person.u)
    severity = np.zeros((n, len(FINDINGS)), np.float32)
    depth = [0.8 * person.uniform() + 0.2 * visit.uniform() for _ in FINDINGS]
    floor = 0.50 - 0.32 * min(difficulty, 1.0)  # an easy set has no slight findings
    if task == "single":
        labels = _single_labels(person, visit)
        for k in range(len(FINDINGS)):
            severity[:, k] = np.where(labels == k + 1, floor + (1 - floor) * depth[k], 0)
        return labels, severity
    present = _multi_labels(person, visit)
    for k in range(len(FINDINGS)):
        severity[:, k] = np.where(present[:, k], floor + (1 - floor) * depth[k], 0)
    return present.astype(np.uint8), severity


def _single_labels(person: _Columns, visit: _Columns) -> NDArray[np.int64]:
    """One class a film: mostly the patient's condition, at times nothing, seldom something new."""
    edges = np.cumsum(CONDITION)[:-1]
    condition = np.searchsorted(edges, person.uniform(), side="right")
    new = np.searchsorted(edges, visit.uniform(), side="right")
    change = visit.uniform()
    sick = np.where(change < STAYS_SICK, condition, 0)
    healthy = np.where(change < FALLS_SICK, new, 0)
    return np.where(condition > 0, sick, healthy).astype(np.int64)


def _multi_labels(person: _Columns, visit: _Columns) -> NDArray[np.bool_]:
    """Findings that come together: effusion with a large heart, infiltration with effusion."""
    u = [person.uniform() for _ in FINDINGS]
    effusion = u[1] < 0.22
    heart = u[0] < np.where(effusion, 0.34, 0.12)
    infiltration = u[4] < np.where(effusion, 0.44, 0.18)
    air = u[2] < np.where(effusion, 0.17, 0.09)
    nodule = u[3] < np.where(infiltration, 0.20, 0.13)
    has = np.stack([heart, effusion, air, nodule, infiltration], 1)
    stays = np.stack([visit.uniform() < 0.8 for _ in FINDINGS], 1)
    new = np.stack([visit.uniform() < 0.02 for _ in FINDINGS], 1)
    return (has & stays) | new


def _draw_shape(
    person: _Columns, visit: _Columns, severity: Array, difficulty: float
) -> tuple[dict[str, Array], dict[str, NDArray]]:
    """Anatomy (shared by a patient's films), then pose, breath and exposure (each film's own)."""
    worst = np.where(severity.any(1), 1 + severity.argmax(1), 0)
    female = person.uniform() < 0.46
    age = np.clip(person.normal(50, 17, 2.0), 18, 90).round().astype(np.int64)
    ap = visit.uniform() < np.asarray(AP_RATE)[worst]
    f, old = female.astype(np.float32), ((age - 50) / 20).astype(np.float32)
    wide = 0.55 + 0.45 * min(difficulty, 1.5)  # how far bodies and exposures differ
    s = _draw_body(person, f, old, wide)
    s |= _draw_film(visit, ap.astype(np.float32), old, wide, difficulty)
    s["heart"] = s["heart"] * (1 + 0.07 * ap) * (1 - 0.03 * s["breath"])
    s["diaphragm"] = s["diaphragm"] + 0.045 * s["breath"] - 0.05 * ap
    s["gain"] = np.full(len(age), 1.6 ** (1 - difficulty), np.float32)
    for k in range(10):  # what the findings look like, the patient's own over all films
        s[f"site{k}"] = person.uniform()
    for k in range(16):
        s[f"lesion{k}"] = person.normal(0, 1)
    band = np.asarray(["18-39", "40-59", "60+"])[np.digitize(age, (40, 60))]
    attributes = {
        "sex": np.where(female, "F", "M"),
        "age": age,
        "age_band": band,
        "view": np.where(ap, "AP", "PA"),
    }
    return s, attributes


def _draw_body(person: _Columns, f: Array, old: Array, wide: float) -> dict[str, Array]:
    """Anatomy in units of half a frame; f is 1 for women, old is (age - 50) / 20."""
    fat = person.normal(0, 1)
    s = {
        "size": person.normal(1.13, 0.045 * wide) - 0.03 * f,
        "fat": fat,
        "lung_width": person.normal(0.335, 0.020 * wide),
        "lung_slant": person.normal(0.115, 0.02 * wide),
        "apex": person.normal(-0.70, 0.030 * wide),
        "asym": person.normal(0, 0.02 * wide),
        "diaphragm": person.normal(0.40, 0.06 * wide) - 0.03 * fat,
        "dome_gap": person.normal(0.050, 0.035 * wide),
        "dome": person.normal(0.20, 0.035 * wide),
        "heart": person.normal(1.0, 0.075 * wide) + 0.015 * old + 0.02 * fat,
        "heart_tilt": person.normal(0.66, 0.08 * wide) - 0.05 * fat,
        "aorta": np.exp(person.normal(0, 0.14)) * (1 + 0.14 * old),
        "unfold": np.clip(person.normal(0.15, 0.2) + 0.25 * old, 0, 1),
        "pedicle": person.normal(0.115, 0.012) + 0.008 * fat,
        "hila": np.exp(person.normal(0, 0.12)),
        "vessels": np.exp(person.normal(0, 0.15)),
        "rib_gap": person.normal(0.119, 0.006 * wide),
        "rib_top": person.normal(-0.80, 0.025),
        "rib_drop": person.normal(0.24, 0.03 * wide) + 0.02 * old,
        "rib_front": person.normal(0.31, 0.04 * wide),
        "rib_half": person.normal(0.0235, 0.002) * (1 - 0.08 * f),
        "rib_bone": np.exp(person.normal(0, 0.15)) * (1 - 0.14 * np.maximum(old, 0)),
        "rib_phase": person.uniform(0, 6.28),
        "rib_jitter": person.normal(0.09, 0.03),
        "bend": person.normal(0, 0.018) * (1 + 0.5 * np.abs(old)),
        "spine_phase": person.uniform(),
        "spine_gap": person.normal(0.118, 0.006),
        "spine_half": person.normal(0.082, 0.006) * (1 - 0.06 * f),
        "clavicle": person.normal(-0.545, 0.035),
        "clavicle_slope": person.normal(0.15, 0.07),
        "clavicle_curl": person.normal(0.018, 0.01),
        "clavicle_lean": person.normal(0, 0.05),
        "breast": np.clip(f * np.exp(person.normal(-0.1, 0.45)) * (1 + 0.2 * fat), 0, 2.4),
        "breast_x": person.normal(0.46, 0.03),
        "breast_y": person.normal(0.22, 0.05) + 0.05 * old,
        "trunk": person.normal(0.93, 0.045) + 0.035 * fat,
        "neck": person.normal(0.235, 0.02) - 0.02 * f,
        "shoulder": person.normal(0.30, 0.07),
        "stomach": person.uniform(-0.6, 1.0),
        "stomach_x": person.normal(0.36, 0.05),
        "bowel": person.uniform(-0.7, 1.0),
    }
    return s


def _draw_film(visit: _Columns, ap: Array, old: Array, wide: float, difficulty: float) -> dict[str, Array]:
    """Pose, breath, exposure and what lies on the patient; ap is 1 for a portable film."""
    return {
        "zoom": np.exp(visit.normal(0.0, 0.04 * wide)),
        "roll": visit.normal(0, 0.028 * wide) * (1 + 0.6 * ap),
        "shift_x": visit.normal(0, 0.035 * wide) * (1 + 0.4 * ap),
        "shift_y": visit.normal(0.04, 0.04 * wide),
        "turn": visit.normal(0, 0.022 * wide) * (1 + 0.6 * ap),
        "breath": visit.normal(0, 0.8 * wide),
        "scapula": visit.normal(0.70, 0.05) - 0.07 * ap,
        "arm": visit.normal(1.16, 0.09) - 0.06 * ap,
        "level": visit.normal(0, 0.09 * wide) + 0.10 * ap,
        "contrast": np.exp(visit.normal(0, 0.06 * wide) - 0.06 * ap),
        "scatter": np.clip(visit.normal(0.16, 0.05) + 0.07 * ap, 0.03, 0.5),
        "tilt_light": visit.normal(0, 0.03 * wide),
        "edge_left": visit.uniform(),
        "edge_right": visit.uniform(),
        "edge_top": visit.uniform(),
        "edge_bottom": visit.uniform(),
        "edge_roll": visit.normal(0, 0.008),
        "marker": visit.uniform(),
        "marker_x": visit.normal(0.84, 0.04),
        "marker_y": visit.normal(-0.82, 0.06),
        "wires": (visit.uniform() < 0.06 + 0.40 * ap).astype(np.float32),
        "wire_a": visit.normal(0, 1),
        "wire_b": visit.normal(0, 1),
        "wire_c": visit.normal(0, 1),
        "clutter": np.exp(visit.normal(0, 0.2)) * (0.45 + 0.55 * difficulty),
        "grain": (0.35 + 0.65 * difficulty) * (1 + 0.4 * ap),
    }
