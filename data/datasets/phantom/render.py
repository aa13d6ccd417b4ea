"""From thickness to film: vessels, attenuation along each ray, scatter, noise, exposure, collimation.

A ray through tissue t, air a and bone b (chest depths) arrives as exp(-MU (t - (1 - LUNG) a + b)) (Beer-Lambert);
scattered rays add a blurred share of it; the film shows the logarithm through a sigmoid, dense = bright.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from data.datasets.phantom.anatomy import Array, Numbers, draw_body, ramp
from data.datasets.phantom.findings import draw_findings, enlargement
from data.datasets.phantom.patients import N_MAIN, N_SIDE, N_TWIG, Films
from synthworth.progress import track

MU = 4.4  # nepers through a chest's depth of soft tissue
LUNG = 0.22  # density of aerated lung, soft tissue = 1
OCTAVES = ((7, 0.55), (14, 0.60), (28, 0.50), (56, 0.30))  # cells across the frame, share of the texture
CALIBRES = ((0.011, 0.62), (0.007, 0.40), (0.0045, 0.24))  # of vessels, wide to narrow: half-width, greatest length
_PIXELS_AT_ONCE = 1 << 16


def render(films: Films, size: int, *, noise: bool = True, workers: int | None = None) -> NDArray[np.uint8]:
    """Films as uint8 (N, 1, size, size), 0 = black. A film's pixels do not depend on the others'.

    Parameters
    ----------
    noise
        Whether grain and clutter are added; without it the picture is the anatomy alone.
    workers
        Threads; by default as many as there are cores, at most 4. Never changes a pixel.
    """
    out = np.empty((len(films), 1, size, size), np.uint8)
    step = max(1, _PIXELS_AT_ONCE // (size * supersampling(size)) ** 2)
    parts = [slice(i, min(i + step, len(films))) for i in range(0, len(films), step)]

    def work(part: slice) -> None:
        out[part, 0] = _render_part(films.rows(part.start, part.stop), size, noise)

    with ThreadPoolExecutor(workers or min(4, os.cpu_count() or 1)) as pool:
        for _ in track(pool.map(work, parts), "drawing films", total=len(parts), unit="batch"):
            pass
    return out


def supersampling(size: int) -> int:
    """Rays to a pixel, along each axis."""
    return 3 if size < 48 else 2


def _render_part(films: Films, size: int, noise: bool) -> NDArray[np.uint8]:
    n_rays = size * supersampling(size)
    s = {name: value[:, None, None] for name, value in films.shape.items()}
    streams = [np.random.Generator(np.random.PCG64(seed)) for seed in films.seeds]
    texture = _texture(streams, n_rays)
    x, y = _patient_coordinates(s, n_rays)
    body = draw_body(s, x, y, enlargement(films.severity, s["gain"]))
    aerated, free = draw_findings(s, films.severity, body, texture)
    lung = np.minimum(body.air * 2.2, 1)
    lung *= aerated
    vessels = _vessels(films, s, n_rays) * s["vessels"] * lung
    clutter = s["clutter"] * (1.0 if noise else 0.5)
    solid = body.tissue - (1 - LUNG + 0.16 * free) * body.air
    solid += vessels + 0.024 * clutter * texture * lung + 0.012 * clutter * texture * (body.tissue > 0.02)
    solid += body.bone
    if s["wires"].any():
        solid += s["wires"] * _wires(s, n_rays)
    film = _expose(s, MU * np.maximum(solid, 0), n_rays)
    film = _area_average(film, size)
    if noise:
        film += _grain(streams, s, film, size)
    film = _collimate(s, film, size)
    return np.clip(np.rint(film * 255), 0, 255).astype(np.uint8)


def _frame(n: int) -> tuple[Array, Array]:
    """Film coordinates of the centres of n x n cells, (1, 1, n) and (1, n, 1), from -1 to 1."""
    c = ((np.arange(n, dtype=np.float32) + 0.5) * (2.0 / n) - 1).astype(np.float32)
    return c[None, None, :], c[None, :, None]


def _patient_coordinates(s: Numbers, n: int) -> tuple[Array, Array]:
    """Undo shift, roll and zoom of the film: contiguous (B, n, n) maps of the patient's x and y."""
    fx, fy = _frame(n)
    scale = 1 / (s["zoom"] * s["size"])
    c, d = np.cos(s["roll"]) * scale, np.sin(s["roll"]) * scale
    fx, fy = fx - s["shift_x"], fy - s["shift_y"]
    return c * fx + d * fy, c * fy - d * fx


def _texture(streams: list[np.random.Generator], n: int) -> Array:
    """Fractal field (B, n, n) of about unit variance, the same at every size: sums of smooth random grids."""
    total = np.zeros((len(streams), n, n), np.float32)
    for cells, share in OCTAVES:
        grid = np.stack([rng.standard_normal((cells + 3, cells + 3), np.float32) for rng in streams])
        total += np.float32(share * 1.5) * _stretch(grid, *_spline(cells, n))
    return total


def _stretch(grid: Array, first: NDArray[np.int64], weights: Array) -> Array:
    """Interpolate (B, m, m) to (B, n, n) along both axes.

    Sums of slices, as a matrix product may round otherwise from one batch to the next.
    """
    for _ in range(2):
        rows = weights[0][:, None] * grid[:, first]
        for k in range(1, len(weights)):
            rows += weights[k][:, None] * grid[:, first + k]
        grid = np.ascontiguousarray(rows.transpose(0, 2, 1))
    return grid


@lru_cache(maxsize=32)
def _spline(cells: int, n: int) -> tuple[NDArray[np.int64], Array]:
    """Cubic B-spline: first grid point (n,) and the weights (4, n) of it and the next three."""
    at = (np.arange(n) + 0.5) * cells / n
    first = np.floor(at).astype(np.int64)
    t = at - first
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    return first, weights.astype(np.float32)


def _branches(films: Films, s: Numbers) -> Iterator[tuple[Array, ...]]:
    """Curves of the pulmonary vessels from wide to narrow: start x, y, angle, bend, length, width, (B, n) each.

    Main branches fan out from each hilum; sides leave them at 25 to 60 degrees, and twigs leave the sides.
    """
    z = np.clip(films.branches, -2, 2)
    n = len(films)
    side = np.asarray([-1, 1], np.float32)[None, :, None]
    fan = np.linspace(-1.25, 1.35, N_MAIN, dtype=np.float32)[None, None]
    x0 = side * (0.125 + 0.02 * z[:, :, :, 0, 0, 0])
    y0 = np.asarray([0.02, -0.03], np.float32)[None, :, None] + 0.075 * fan + 0.03 * z[:, :, :, 0, 0, 1]
    angle = fan + 0.10 * z[:, :, :, 1, 0, 0]
    bend = 0.5 * z[:, :, :, 1, 0, 1] - 0.35 * fan
    length = (0.54 + 0.08 * z[:, :, :, 2, 0, 0]) * (1 - 0.18 * np.cos(angle))
    width = 0.0185 * np.exp(0.2 * z[:, :, :, 2, 0, 1]) * s["hila"][:, :, :]
    mains = x0, y0, angle, bend, length, width
    yield tuple(np.broadcast_to(v, x0.shape).reshape(n, -1) for v in (*mains, side))
    t = np.linspace(0.25, 0.85, N_SIDE, dtype=np.float32)[None, None, None]
    sides = _offshoots(tuple(v[..., None] for v in mains), side[..., None], t, z[:, :, :, :, 0], 0.5)
    yield tuple(np.broadcast_to(v, sides[0].shape).reshape(n, -1) for v in (*sides, side[..., None]))
    t = np.linspace(0.3, 0.9, N_TWIG, dtype=np.float32)[None, None, None, None]
    twigs = _offshoots(tuple(v[..., None] for v in sides), side[..., None, None], t, z, 0.55)
    wide_side = side[..., None, None]
    yield tuple(np.broadcast_to(v, twigs[0].shape).reshape(n, -1) for v in (*twigs, wide_side))


def _offshoots(parent: tuple[Array, ...], side: Array, t: Array, z: Array, share: float) -> tuple[Array, ...]:
    """Branches that leave `parent` at fraction t of its length, alternately to either hand."""
    x0, y0, angle, bend, length, width = parent
    t = t + 0.05 * z[..., 0]
    x, y = _along(x0, y0, angle, bend, length, side, t)
    hand = np.where(np.arange(t.shape[-1]) % 2, 1, -1).astype(np.float32)
    turned = angle + bend * t + hand * (0.65 + 0.18 * z[..., 1])
    longer = length * share * (1.1 - 0.5 * t) * np.exp(0.25 * z[..., 0])
    return x, y, turned, 0.5 * z[..., 1] - 0.5 * hand, longer, width * (0.78 - 0.22 * t)


def _along(
    x0: Array, y0: Array, angle: Array, bend: Array, length: Array, side: Array, t: Array
) -> tuple[Array, Array]:
    """Point at fraction t of an arc: its direction at the middle of the way, so that it bends evenly."""
    a = angle + 0.5 * bend * t
    return x0 + side * length * t * np.cos(a), y0 + length * t * np.sin(a)


def _vessels(films: Films, s: Numbers, n: int) -> Array:
    """Depth of the vessels (B, n, n): points along every curve, splatted from wide to narrow and blurred between."""
    from scipy.ndimage import gaussian_filter

    cell = 2.0 / n
    scale = s["zoom"] * s["size"]
    cos, sin = np.cos(s["roll"]) * scale, np.sin(s["roll"]) * scale
    depth = np.zeros((len(films), n, n), np.float32)
    for (blur, longest), curves in zip(CALIBRES, _branches(films, s), strict=True):
        x0, y0, angle, bend, length, width, side = curves
        m = max(6, int(np.ceil(longest / (cell * 1.1))))
        t = ((np.arange(m, dtype=np.float32) + 0.5) / m)[None, None]
        x, y = _along(*(v[..., None] for v in (x0, y0, angle, bend, length, side)), t)
        taper = 1.0 - 0.62 * t
        mass = (width[..., None] * taper) ** 2 * (length[..., None] / m) * (8.0 / (cell * cell))
        px = cos * x - sin * y + s["shift_x"]
        py = sin * x + cos * y + s["shift_y"]
        depth += _splat(px, py, mass, n)
        depth = gaussian_filter(depth, (0, blur / cell, blur / cell), mode="constant", truncate=3.0)
    return depth


def _splat(x: Array, y: Array, mass: Array, n: int) -> Array:
    """Spread masses at film positions over the four nearest cells of a (B, n, n) grid."""
    n_films = len(x)
    gx = (x.reshape(n_films, -1) + 1) * (n / 2) - np.float32(0.5)
    gy = (y.reshape(n_films, -1) + 1) * (n / 2) - np.float32(0.5)
    weight = np.broadcast_to(mass, x.shape).reshape(n_films, -1)
    inside = (gx >= 0) & (gy >= 0) & (gx < n - 1.001) & (gy < n - 1.001)
    film, _ = np.nonzero(inside)
    gx, gy, weight = gx[inside], gy[inside], weight[inside]
    ix, iy = gx.astype(np.int64), gy.astype(np.int64)
    tx, ty = gx - ix, gy - iy
    cell = film * (n * n) + iy * n + ix
    total = np.bincount(cell, weight * (1 - tx) * (1 - ty), n_films * n * n)
    total += np.bincount(cell + 1, weight * tx * (1 - ty), n_films * n * n)
    total += np.bincount(cell + n, weight * (1 - tx) * ty, n_films * n * n)
    total += np.bincount(cell + n + 1, weight * tx * ty, n_films * n * n)
    return total.reshape(n_films, n, n).astype(np.float32)


def _wires(s: Numbers, n: int) -> Array:
    """Monitor leads over a portable film: two loose curves and their electrodes, in film coordinates."""
    fx, fy = _frame(n)
    total = np.zeros((len(s["wires"]), n, n), np.float32)
    for k, name in enumerate(("wire_a", "wire_b")):
        z, w = s[name], s["wire_c"]
        x = (-0.45, 0.5)[k] + 0.14 * z
        end = 0.1 + 0.22 * w * (-1) ** k
        path = x + (0.25 + 0.1 * w) * (fy - end) * (-1) ** (k + 1) + 0.07 * np.sin(3.1 * fy + 2 * z)
        path_slope = np.sqrt(1 + (0.25 + 0.1 * w + 0.2 * np.cos(3.1 * fy + 2 * z)) ** 2)
        off = np.abs(fx - path) / path_slope
        total += 0.07 * ramp(0.008 - off, 0.008) * ramp(fy - end, 0.01)
        disc = (fx - x - 0.07 * np.sin(3.1 * end + 2 * z)) ** 2 + (fy - end) ** 2
        total += 0.16 * ramp(0.024 - np.sqrt(disc), 0.012)
    return total


def _expose(s: Numbers, attenuation: Array, n: int) -> Array:
    """Beer-Lambert, scatter, and the film's curve: (B, n, n) brightness, about 0..1."""
    from scipy.ndimage import gaussian_filter

    ray = np.exp(-attenuation)
    k = max(1, n // 32)
    coarse = ray[:, : n // k * k, : n // k * k].reshape(len(ray), n // k, k, n // k, k).mean((2, 4))
    wide = gaussian_filter(coarse, (0, 2.6, 2.6), mode="nearest", truncate=3.0)
    ray += s["scatter"] * _stretch(np.minimum(wide, 0.25), *_linear(wide.shape[-1], n))
    shown = -np.log(ray)
    fx, _ = _frame(n)
    shown += s["tilt_light"] * fx
    centre = 2.05 + s["level"]
    film = 1 / (1 + np.exp(np.float32(-1.12) * s["contrast"] * (shown - centre)))
    return np.maximum(film - 0.09, 0) * np.float32(1.09)


@lru_cache(maxsize=32)
def _linear(cells: int, n: int) -> tuple[NDArray[np.int64], Array]:
    """Linear interpolation from cell centres: first cell (n,) and the weights (2, n) of it and the next."""
    at = np.clip((np.arange(n) + 0.5) * cells / n - 0.5, 0, cells - 1)
    first = np.minimum(np.floor(at).astype(np.int64), cells - 2)
    return first, np.stack([1 - (at - first), at - first]).astype(np.float32)


def _area_average(film: Array, size: int) -> Array:
    """(B, n, n) to (B, size, size), n a multiple of size."""
    k = film.shape[-1] // size
    return film.reshape(len(film), size, k, size, k).mean((2, 4))


def _grain(streams: list[np.random.Generator], s: Numbers, film: Array, size: int) -> Array:
    """Quantum noise: a finer pixel counts fewer photons, and few arrive where the film is bright."""
    grain = np.stack([rng.standard_normal((size, size), np.float32) for rng in streams])
    return 0.007 * s["grain"] * (size / 64) ** 0.4 * (0.6 + 0.5 * film) * grain


def _collimate(s: Numbers, film: Array, size: int) -> Array:
    """Black borders where the beam was cut, and the side marker."""
    fx, fy = _frame(size)
    soft = 3.0 / size
    x, y = fx + s["edge_roll"] * fy, fy - s["edge_roll"] * fx

    def reach(name: str) -> Array:
        return 1.02 - 0.10 * np.maximum(s[name] - 0.55, 0) / 0.45 * (s[name] > 0.55)

    open_ = ramp(reach("edge_right") - x, soft) * ramp(reach("edge_left") + x, soft)
    open_ = open_ * ramp(reach("edge_bottom") - y, soft) * ramp(reach("edge_top") + y, soft)
    mx, my = fx - s["marker_x"], fy - s["marker_y"]
    upright = ramp(0.012 - np.abs(mx + 0.025), soft) * ramp(0.05 - np.abs(my), soft)
    foot = ramp(0.032 - np.abs(mx), soft) * ramp(0.012 - np.abs(my - 0.042), soft)
    marker = np.maximum(upright, foot) * (s["marker"] < 0.6)
    film = np.maximum(film, 0.95 * marker)
    return film * (0.02 + 0.98 * open_)
