"""The healthy body: how much tissue, air and bone a ray meets at each point of the film.

Coordinates are the patient's: x from -1 (patient's right, left of the picture) to 1, y from -1 (top) to 1, half a
frame to the unit, so a film of any size shows the same anatomy. Thickness is in units of the chest's own depth, so
1 is some 22 cm of soft tissue. Everything is float32 of shape (B, H, W); numbers of a film are (B, 1, 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Numbers = dict[str, Array]
LUNG_DEPTH = np.float32(0.74)


@dataclass
class Body:
    """What the rays meet, and the landmarks findings are placed by.

    Parameters
    ----------
    tissue, air, bone, heart
        Thickness maps.
    left
        Whether a point lies in the patient's left half.
    across
        Distance from the midline.
    shell : 0 in the middle of a lung, 1 at the apex and the chest wall
    below
        Distance above (< 0) or below (> 0) the dome of the diaphragm.
    """

    x: Array
    y: Array
    tissue: Array
    air: Array
    bone: Array
    heart: Array
    left: NDArray[np.bool_]
    across: Array
    shell: Array
    below: Array


def ramp(value: Array, width: Array | float) -> Array:
    """Smooth step from 0 to 1 over `width`, centred where value is 0."""
    t = np.clip(value / width + np.float32(0.5), 0, 1)
    return t * t * (3 - 2 * t)


def dome(r2: Array) -> Array:
    """Depth of a ball of radius 1 at squared distance r2 from its centre: sqrt(1 - r2), 0 outside."""
    return np.sqrt(np.maximum(1 - r2, 0))


def ellipse(x: Array, y: Array, cx: Array, cy: Array, a: Array, b: Array) -> Array:
    """Squared distance from (cx, cy) in units of the semi-axes a, b."""
    dx, dy = (x - cx) / a, (y - cy) / b
    return dx * dx + dy * dy


def draw_body(s: Numbers, x: Array, y: Array, enlarged: Array) -> Body:
    """The whole healthy anatomy at patient coordinates x, y; `enlarged` (B, 1, 1) scales the heart."""
    left = x > s["turn"] * 0.3
    across = np.abs(x - s["turn"] * 0.3)
    shell, wall, below, hold = _lungs(s, y, left, across)
    heart = _heart(s, x - s["turn"] * 1.6, y, enlarged)
    air = np.maximum(hold - heart, 0)
    tissue, bone = _soft_tissue(s, x, y, below)
    trachea, bronchi = _airways(s, x, y)
    air += trachea + bronchi
    bone += _ribs(s, y, left, across, wall) * (1 - 0.55 * ramp(below - 0.05, 0.25))
    bone += _spine(s, x, y)
    bone += _shoulder_girdle(s, y, left, across)
    return Body(x, y, tissue, air, bone, heart, left, across, shell, below)


def _lungs(s: Numbers, y: Array, left: NDArray[np.bool_], across: Array) -> tuple[Array, Array, Array, Array]:
    """Shell and below (see Body), the wall's distance from the midline, and the depth of the pleural cavities."""
    width = np.where(left, s["lung_width"] * (1 - s["asym"]), s["lung_width"] * (1 + s["asym"]))
    middle = 0.25 + s["lung_slant"] * (np.minimum(y, 0.2) + 0.35 * np.maximum(y - 0.2, 0) - s["apex"])
    dy = np.clip((0.45 - y) / (0.45 - s["apex"]), 0, 1.2)
    dy *= dy
    dy *= dy
    lateral = across > middle
    dx = (across - middle) / np.where(lateral, width, middle - 0.015)
    dx *= dx
    shell = dx * lateral + dy
    wall = middle + width * np.sqrt(np.maximum(1 - dy, 0.004))
    top = s["diaphragm"] + np.where(left, s["dome_gap"], 0)
    u = (across - 0.35) / 0.36
    below = y - (top + s["dome"] * u * u * np.where(u > 0, 1.0, 0.10).astype(np.float32))
    recess = 0.20 * np.exp(np.maximum(below, 0) / -0.10)
    clear = ramp(-below, 0.022)
    hold = LUNG_DEPTH * dome(dx + dy) * (clear + (1 - clear) * recess)
    return shell, wall, below, hold


def _heart(s: Numbers, x: Array, y: Array, enlarged: Array) -> Array:
    """Depth of heart and great vessels: ventricle, right atrium, pulmonary trunk, aorta, mediastinum."""
    q = s["heart"] * enlarged
    low = s["diaphragm"] + 0.06
    hx, hy = x / q, (y - low) / q
    c, d = np.cos(s["heart_tilt"]), np.sin(s["heart_tilt"])
    vx, vy = hx - 0.19, hy + 0.155
    along, aside = c * vx + d * vy, -d * vx + c * vy
    ventricle = dome((along / 0.31) ** 2 + (aside / 0.205) ** 2)
    atrium = dome(ellipse(hx, hy, -0.055, -0.17, 0.140, 0.30))
    trunk = dome(ellipse(hx, hy, 0.070, -0.40, 0.125, 0.21))
    arch = s["aorta"]
    knob = dome(ellipse(x, y, 0.085 * arch, -0.285, 0.088 * arch, 0.095 * arch))
    rising = dome(ellipse(x, y, -0.055, -0.13, 0.075 + 0.075 * s["unfold"], 0.28))
    down = dome(((x - 0.075 - 0.05 * s["unfold"]) / (0.06 * arch)) ** 2) * ramp(y + 0.26, 0.1)
    width = s["pedicle"] + 0.06 * ramp(-0.62 - y, 0.4)
    pedicle = ramp(width - np.abs(x + 0.005), 0.06) * ramp(0.75 - y, 0.3)
    depth = (0.60 * ventricle) ** 2
    depth += (0.50 * atrium) ** 2
    depth += (0.40 * trunk) ** 2
    depth += (0.34 * knob) ** 2
    depth += (0.30 * rising) ** 2
    depth += (0.12 * down) ** 2
    depth += (0.42 * pedicle) ** 2
    return np.sqrt(depth)


def _soft_tissue(s: Numbers, x: Array, y: Array, below: Array) -> tuple[Array, Array]:
    """Trunk, neck, shoulders, arms, breasts, belly; with the bone of the upper arm."""
    ax = np.abs(x)
    lift = ramp(-0.22 - y, 0.40)
    side = s["trunk"] + 0.55 * lift - 0.06 * ramp(y - 0.7, 0.8)
    trunk = dome((x / side) ** 2)
    out = np.maximum(ax - s["neck"], 0)
    fall = s["shoulder"] * out + 0.9 * np.maximum(ax - 0.8, 0) ** 2
    edge = np.clip((y + 0.97 - fall) / 0.42, 0, 1)
    edge = 1 - edge
    trunk *= dome(edge * edge)
    neck = 0.60 * dome((x / (s["neck"] * (1 + 0.4 * ramp(y + 0.8, 0.4)))) ** 2)
    tissue = np.maximum(trunk * (1 + 0.06 * s["fat"]), neck * ramp(-0.2 - y, 0.8))
    tissue += 0.10 * ramp(below, 0.6) * (tissue > 0.02)
    arm_x = (ax - s["arm"] - 0.05 * y) / 0.17
    in_arm = ramp(y + 0.45, 0.3)
    arm = 0.40 * dome(arm_x * arm_x) * in_arm
    tissue = np.maximum(tissue, arm)
    marrow = arm_x / 0.33
    bone = 0.20 * dome(marrow * marrow) * in_arm
    round_ = 0.26 * (1 + 0.12 * s["breast"])
    hang = (y - s["breast_y"]) / round_
    r2 = ellipse(ax + 0.10 * hang, y, s["breast_x"], s["breast_y"], round_ * 1.08, round_ * (1.5 - 0.5 * ramp(hang, 1)))
    round_off = dome(r2)
    tissue += 0.17 * s["breast"] * round_off * (0.55 + 0.45 * round_off) * ramp(hang + 0.25, 2.2)
    muscle = ellipse(ax, y, 0.50, -0.22, 0.36, 0.34)
    tissue += (0.05 + 0.02 * s["fat"]) * dome(muscle)
    bubble = ellipse(x, y, s["stomach_x"], s["diaphragm"] + s["dome_gap"] + 0.14, 0.15, 0.075)
    tissue -= 0.22 * np.maximum(s["stomach"], 0) * dome(bubble)
    gut = ellipse(x, y, 0.05 + 0.4 * s["bowel"], 0.93, 0.16, 0.08)
    tissue -= 0.14 * np.maximum(s["bowel"], 0) * dome(gut)
    return tissue, bone


def _airways(s: Numbers, x: Array, y: Array) -> tuple[Array, Array]:
    """Windpipe down to the carina, and the two main bronchi."""
    lean = -0.012 - 0.02 * s["unfold"] * ramp(y + 0.45, 0.4)
    trachea = 0.13 * dome(((x - lean) / 0.045) ** 2) * ramp(-0.17 - y, 0.08)
    d = np.maximum(y + 0.20, 0)
    right = np.abs(x - lean + 0.75 * d)
    left = np.abs(x - lean - 1.15 * d)
    tube = np.minimum(right, left * 0.85) / 0.035
    bronchi = 0.07 * dome(tube * tube) * ramp(y + 0.19, 0.04) * ramp(-0.04 - y, 0.12)
    return trachea, bronchi


def _ribs(s: Numbers, y: Array, left: NDArray[np.bool_], across: Array, wall: Array) -> Array:
    """All ribs at once: each is a tilted hoop, so a point's distance to the nearest is a phase.

    Behind, rib k runs along y_k + drop (1 - q), in front along y_k + drop + front q, with q = sqrt(1 - u^2) and u
    the distance from the midline in units of the chest wall's.
    """
    u = across / (wall + 0.035)
    q = np.sqrt(np.maximum(1 - u * u, 0.012))
    gap, phase = s["rib_gap"], s["rib_phase"] + left
    start = y - s["rib_top"]
    slope = u / (q * (wall + 0.035))
    inside = ramp(1.0 - u, 0.03)
    shine = 0.75 + 0.30 / (q + 0.25)
    end_on = inside * shine * s["rib_bone"]
    back = _rib(start - s["rib_drop"] * (1 - q), gap, phase, s["rib_jitter"], slope * s["rib_drop"], s["rib_half"])
    back *= ramp(across - 0.05, 0.03) * ramp(start + 0.02, 0.08)
    front = _rib(
        start - s["rib_drop"] - s["rib_front"] * q, gap, phase, s["rib_jitter"], slope * s["rib_front"],
        s["rib_half"] * 1.3,
    )  # fmt: skip
    front *= ramp(across - 0.30 - 0.16 * ramp(y, 1.2), 0.20) * ramp(start - 0.3, 0.1)
    return end_on * (0.100 * back + 0.046 * front) * ramp(y - s["apex"] + 0.05, 0.08)


def _rib(v: Array, gap: Array, phase: Array, jitter: Array, slope: Array, half: Array) -> Array:
    """Profile of the nearest rib of a family: a tube, denser at its margins."""
    turn = v * (1.12 - 0.16 * v) / gap
    turn = turn + jitter * np.sin(2.3 * turn + phase)
    off = np.abs(turn - np.round(turn)) * gap / np.sqrt(1 + slope * slope)
    t = np.minimum(off / half, 1.3)
    t2 = t * t
    return ramp(1 - t, 0.34) * (0.62 + 0.55 * t2 * t2)


def _spine(s: Numbers, x: Array, y: Array) -> Array:
    """Vertebral bodies with end plates and discs, pedicles, spinous processes."""
    sx = x - s["bend"] * np.sin(2.2 * y + 0.6) - s["turn"] * 0.2
    turns = y / (s["spine_gap"] * (1 + 0.18 * y)) + s["spine_phase"]
    cell = turns - np.floor(turns) - 0.5
    c2 = 4 * cell * cell
    half = s["spine_half"] * (1 + 0.22 * y) * (0.88 + 0.14 * c2)
    ax = np.abs(sx) / half
    body = ramp(1 - ax, 0.22) * (0.50 + 0.28 * c2 * c2 + 0.22 * ramp(ax - 0.8, 0.2))
    disc = 1 - 0.42 * ramp(c2 - 0.78, 0.16)
    ped = np.exp(-(((ax - 0.66) / 0.17) ** 2 + ((cell + 0.12) / 0.16) ** 2))
    process = np.exp(-((sx / 0.020) ** 2 + ((cell - 0.16) / 0.22) ** 2))
    return (0.22 * body * disc + 0.10 * ped + 0.11 * process) * s["rib_bone"]


def _shoulder_girdle(s: Numbers, y: Array, left: NDArray[np.bool_], across: Array) -> Array:
    """Clavicles, shoulder blades and the heads of the upper arms."""
    a = across + s["turn"] * np.where(left, -0.6, 0.6).astype(np.float32)
    lean = np.where(left, s["clavicle_lean"], -s["clavicle_lean"])
    line = s["clavicle"] - (s["clavicle_slope"] + lean) * (a - 0.06) + s["clavicle_curl"] * np.sin(8.0 * (a - 0.06))
    thick = 0.028 + 0.014 * ramp(0.14 - a, 0.12) - 0.004 * ramp(a - 0.4, 0.3)
    t = np.minimum(np.abs(y - line) / thick, 1.3)
    bone = 0.20 * ramp(1 - t, 0.3) * (0.6 + 0.5 * t * t) * ramp(a - 0.055, 0.03) * ramp(0.72 - a, 0.06)
    blade_x = across - s["scapula"] + 0.06 * (y + 0.2)
    corner = 0.02 + 0.40 * (0.06 - y) - blade_x
    least = np.minimum(np.minimum(blade_x, y + 0.58 + 0.3 * blade_x), corner * 0.9)
    rim = (least - 0.016) / 0.016
    bone += 0.040 * ramp(least, 0.025) + 0.050 * np.exp(-rim * rim)
    spur = np.abs(y + 0.50 + 0.28 * (across - 0.75)) / 0.028
    bone += 0.10 * ramp(1 - spur, 0.5) * ramp(across - s["scapula"] - 0.01, 0.05)
    head = ellipse(across, y, s["scapula"] + 0.30, -0.52, 0.115, 0.125)
    bone += 0.24 * dome(head)
    return bone
