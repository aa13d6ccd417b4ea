"""The findings, drawn into the anatomy: what each does to the air and the tissue a ray meets.

Every finding grows with its severity (0 = absent) times the gain, which the difficulty sets. The numbers `site*`
(uniform) and `lesion*` (normal) are the patient's own, so a finding keeps its place from film to film.
"""

from __future__ import annotations

import numpy as np

from data.datasets.phantom.anatomy import Array, Body, Numbers, dome, ramp
from data.datasets.phantom.patients import FINDINGS

COLUMN = {name: k for k, name in enumerate(FINDINGS)}


def enlargement(severity: Array, gain: Array) -> Array:
    """How much larger than the patient's own the heart is, (B, 1, 1): 1 without cardiomegaly.

    Effusion goes with a slightly larger heart, as in failure.
    """
    extent = severity[:, COLUMN["cardiomegaly"], None, None] * gain
    return 1 + 0.42 * extent + 0.03 * severity[:, COLUMN["effusion"], None, None]


def draw_findings(s: Numbers, severity: Array, body: Body, texture: Array) -> tuple[Array, Array]:
    """Draw everything but the heart's size into `body` (in place).

    Parameters
    ----------
    texture : (B, H, W)
        Standard normal field, what patches are made of.

    Returns
    -------
    aerated : (B, H, W)
        1 where lung with its vessels is, 0 where fluid or free air took its place.
    free
        1 where free air lies between lung and chest wall.
    """
    gain = s["gain"]
    depth = {name: severity[:, k, None, None] * gain for name, k in COLUMN.items()}
    aerated, free = np.ones_like(body.air), np.zeros_like(body.air)
    rows = np.flatnonzero
    for name, draw in (("infiltration", _infiltration), ("nodule", _nodule)):
        at = rows(severity[:, COLUMN[name]])
        if len(at):
            draw({k: v[at] for k, v in s.items()}, depth[name][at], body, texture, at)
    at = rows(severity[:, COLUMN["effusion"]])
    if len(at):
        aerated[at] = _effusion({k: v[at] for k, v in s.items()}, depth["effusion"][at], body, at)
    at = rows(severity[:, COLUMN["pneumothorax"]])
    if len(at):
        free[at] = _pneumothorax({k: v[at] for k, v in s.items()}, depth["pneumothorax"][at], body, at)
    return aerated * (1 - free), free


def _effusion(s: Numbers, depth: Array, body: Body, at: Array) -> Array:
    """Fluid from the costophrenic angle up to a meniscus that climbs the chest wall; one side or both."""
    side = s["site0"]
    left = body.left[at]
    amount = np.where(left, side > 0.42, (side < 0.42) | (side > 0.75)) * depth
    amount *= np.where(left & (side > 0.75), 0.6, 1.0).astype(np.float32)
    floor = s["diaphragm"] + np.where(left, s["dome_gap"], 0) + 1.0 * s["dome"]
    u = (body.across[at] - 0.33) / 0.36
    surface = floor + 0.05 - 0.68 * amount - 0.22 * np.sqrt(amount + 0.01) * u * np.abs(u)
    wet = ramp(body.y[at] - surface, 0.10 + 0.10 * depth) * (amount > 0)
    body.air[at] *= 1 - (0.50 + 0.42 * np.minimum(depth, 1)) * wet
    return 1 - wet


def _pneumothorax(s: Numbers, depth: Array, body: Body, at: Array) -> Array:
    """Free air at the apex and along the wall beyond a thin pleural line; the lung behind it a little denser."""
    hit = body.left[at] == (s["site1"] > 0.5)
    apical = ramp(s["lesion0"] * 0.12 + 0.12 - body.y[at], 0.9)
    edge = 1 - (0.18 + 0.78 * depth) * (0.35 + 0.65 * apical)
    shell = body.shell[at]
    inside = body.below[at] < 0.05
    free = ramp(shell - edge, 0.035) * hit * inside
    line = np.exp(-(((shell - edge) / 0.022) ** 2)) * (shell < 1) * hit * inside
    body.air[at] *= 1 - 0.10 * depth * hit * (1 - free)
    body.tissue[at] += 0.020 * line
    return free


def _place(s: Numbers, side: Array, u: Array, v: Array) -> tuple[Array, Array]:
    """A point inside a lung: side < 0.5 is the right one, u from hilum to wall, v from apex to base, all 0..1."""
    y = s["apex"] + 0.16 + v * (s["diaphragm"] - s["apex"] - 0.14)
    middle = 0.25 + s["lung_slant"] * (y - s["apex"])
    dy = np.clip((0.45 - y) / (0.45 - s["apex"]), 0, 1)
    wall = middle + s["lung_width"] * np.sqrt(1 - dy**4)
    near = 0.17 + 0.12 * ramp(y - 0.1, 0.5) * (side >= 0.5)
    return np.where(side < 0.5, -1, 1).astype(np.float32) * (near + u * (0.94 * wall - near)), y


def _nodule(s: Numbers, depth: Array, body: Body, texture: Array, at: Array) -> None:
    """One to three round, slightly lobed nodules or masses within the lungs."""
    x, y = body.x[at], body.y[at]
    margin = 0.16 * np.clip(texture[at], -2, 2)
    count = 1 + (s["site2"] > 0.55) + (s["site2"] > 0.85)
    for k in range(3):
        u = (s["site3"] * (1 + 1.7 * k) + 0.37 * k) % 1
        v = (s["site4"] * (1 + 2.3 * k) + 0.59 * k) % 1
        cx, cy = _place(s, (s["site5"] + 0.45 * k) % 1, u, v)
        radius = (0.060 + 0.095 * depth) * np.exp(0.22 * s[f"lesion{k + 1}"]) * (1 if k == 0 else 0.75)
        dx, dy = (x - cx) / radius, (y - cy) / radius
        lobe = 0.35 * s[f"lesion{k + 4}"]
        r2 = dx * dx + dy * dy
        r2 *= 1 + 0.16 * lobe * (dx * dx - dy * dy) / (r2 + 0.2) + margin
        ball = dome(r2) * (0.6 + 0.4 * dome(r2))
        body.tissue[at] += (count > k) * (0.12 + 0.28 * depth) * ball


def _infiltration(s: Numbers, depth: Array, body: Body, texture: Array, at: Array) -> None:
    """One to three ill-defined patches of filled air spaces, broken up by the texture of the lung."""
    x, y = body.x[at], body.y[at]
    field = np.zeros_like(x)
    for k in range(3):
        u = 0.05 + 0.8 * ((s["site6"] * (1 + 1.3 * k) + 0.41 * k) % 1)
        v = 0.25 + 0.75 * ((s["site7"] * (1 + 2.1 * k) + 0.27 * k) % 1)
        cx, cy = _place(s, (s["site8"] + 0.37 * k) % 1, u, v)
        a = (0.15 + 0.06 * depth) * np.exp(0.25 * s[f"lesion{k + 8}"])
        b = a * np.exp(0.25 * s[f"lesion{k + 11}"])
        r2 = ((x - cx) / a) ** 2 + ((y - cy) / b) ** 2
        field += (1 if k == 0 else 0.7) * ((s["site9"] * 3.3 > k) | (k == 0)) * np.exp(-r2)
    patchy = field * np.clip(1 + 0.55 * texture[at], 0.1, 2.4)
    body.air[at] *= 1 - (0.12 + 0.62 * np.minimum(depth, 1.3)) * (1 - np.exp(-1.3 * patchy))
