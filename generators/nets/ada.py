"""Augmentation that need not leak into what is drawn: each transformation is done with probability p (Karras 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

SHIFT = 1 / 8
"""Of the side: the furthest shift by whole pixels to each side, and the standard deviation of the other."""
STRETCH = 0.2
"""Standard deviation of log2 of a scale."""
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0
"""Standard deviations: of what is added, of log2 of the factor, of log2 of the factor."""

ADA = (
    "x_flip", "quarter", "blit", "scale", "turn", "stretch", "turn", "shift",
    "brightness", "contrast", "negative", "hue", "saturation",
)  # fmt: skip
"""The transformations of Karras 2020 (appendix B), without the corruptions, which they leave out too."""
EDM = ("x_flip", "y_flip", "scale", "rotate", "stretch_any", "shift")
"""Those of Karras 2022 (table 6): 9 numbers an image say what was done, which a denoiser is told. There every second
image is mirrored whatever the probability; here with half the probability of the other kinds."""


def augment(images: Tensor, p: float | Tensor, kinds: Sequence[str] = ADA) -> tuple[Tensor, Tensor]:
    """Do to each image what is drawn for it, from torch's global generator.

    Each kind is drawn with probability p for each image by itself. While p is below 1 an image may stay as it is, and
    a generator that is judged behind this can only match the real images by drawing them unaugmented (Karras 2020,
    section 2.2; by measurement below about 0.8).

    Differentiable in the images as often as one likes, and repeatable on a GPU: pixels are gathered bilinearly, in
    the place of the paper's wavelet filter. Flips, quarter turns and shifts by whole pixels are exact, and an image to
    which nothing is done is the same to the bit. What comes in from outside is the image, mirrored.

    Parameters
    ----------
    images : float32 (N, C, S, S), -1..1. Hue is for three channels, and saturation for several: others are left.
    p : 0..1; a 0-d tensor on the images' device is not read from it.
    kinds : names of `PLACES` and `COLOURS`. Those of places come first, in their order.

    Returns
    -------
    The images, float32 (N, C, S, S), whose values may leave -1..1; and what was done, float32 (N, L), all 0 where
    nothing was: the columns of each kind, `columns(kinds)` in all.
    """
    dice = Dice(len(images), p, images.shape[-1], images.device)
    where, said = torch.eye(3, device=images.device).expand(len(images), 3, 3), []
    moves, colours = ([kind for kind in kinds if kind in table] for table in (PLACES, COLOURS))
    for kind in moves:
        step, numbers = PLACES[kind](dice)
        where = _product(where, step)
        said += numbers
    if moves:
        images = resample(images, where)
    for kind in colours:
        images, numbers = COLOURS[kind](images, dice)
        said += numbers
    return images, torch.stack(said, 1) if said else images.new_zeros(len(images), 0)


def columns(kinds: Sequence[str]) -> int:
    """Numbers that say what was done to an image."""
    return augment(torch.zeros(1, 3, 4, 4), 0.0, kinds)[1].shape[1]


@dataclass(frozen=True)
class Dice:
    """What is drawn for `n` images of `side` pixels: neutral (0) for those that a kind does not fall on."""

    n: int
    p: float | Tensor
    side: int
    device: torch.device

    def falls(self, p: float | Tensor | None = None) -> Tensor:  # -> (n,), 1 with probability p, else 0
        """On which images the kind falls."""
        return (torch.rand(self.n, device=self.device) < (self.p if p is None else p)).float()

    def normal(self, spread: float) -> Tensor:  # -> (n,)
        """N(0, spread^2) where the kind falls."""
        return self.falls() * torch.randn(self.n, device=self.device) * spread

    def choice(self, n: int) -> Tensor:  # -> (n,)
        """0 .. n - 1, as float, where the kind falls."""
        return self.falls() * torch.randint(n, (self.n,), device=self.device)

    def angle(self, p: float | Tensor | None = None) -> Tensor:  # -> (n,)
        """-pi..pi where the kind falls."""
        return self.falls(p) * (2 * torch.rand(self.n, device=self.device) - 1) * math.pi

    def pair(self, draw: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
        """Two draws, both neutral where the kind does not fall."""
        falls = self.falls()
        return falls * draw(), falls * draw()


# -- places: 3 x 3 matrices from a place in the new image to one in the old, in pixels from the middle -----------------

Placed = tuple[Tensor, list[Tensor]]


def _matrix(*rows: Sequence[Tensor | float]) -> Tensor:  # numbers and (n,) tensors -> (n, 3, 3)
    like = next(x for row in rows for x in row if isinstance(x, Tensor))
    whole = [*rows, (0.0, 0.0, 1.0)][:3] if len(rows) == 2 else rows
    return torch.stack([torch.stack([torch.zeros_like(like) + x for x in row], 1) for row in whole], 1)


def _product(a: Tensor, b: Tensor) -> Tensor:  # (n, 3, 3) twice; spelled out, so that no autocast rounds it
    return (a[:, :, :, None] * b[:, None, :, :]).sum(2)


def _flip(dice: Dice, *, across: bool) -> Placed:
    done = dice.choice(2)
    signs = (1 - 2 * done, 1.0) if across else (1.0, 1 - 2 * done)
    return _matrix((signs[0], 0.0, 0.0), (0.0, signs[1], 0.0)), [done]


def _turned(cos: Tensor, sin: Tensor) -> Placed:
    return _matrix((cos, -sin, 0.0), (sin, cos, 0.0)), [cos - 1, sin]


def _quarter(dice: Dice) -> Placed:
    k = dice.choice(4)
    return _turned((k - 2).abs() - 1, (k == 1).float() - (k == 3).float())  # exact, which no cosine is


def _rotate(dice: Dice) -> Placed:
    angle = dice.angle()
    return _turned(angle.cos(), angle.sin())


def _turn(dice: Dice) -> Placed:
    """One of the two turns around a stretch; p_rot = 1 - sqrt(1 - p), so that p is that of either."""
    angle = dice.angle(1 - (1 - dice.p) ** 0.5)
    return _turned(angle.cos(), angle.sin())


def _move(dice: Dice, down: Tensor, right: Tensor) -> Placed:
    return _matrix((1.0, 0.0, -right), (0.0, 1.0, -down)), [down / dice.side, right / dice.side]


def _blit(dice: Dice) -> Placed:
    reach = SHIFT * dice.side
    return _move(dice, *dice.pair(lambda: ((2 * torch.rand(dice.n, device=dice.device) - 1) * reach).round()))


def _shift(dice: Dice) -> Placed:
    return _move(dice, *dice.pair(lambda: torch.randn(dice.n, device=dice.device) * SHIFT * dice.side))


def _scale(dice: Dice) -> Placed:
    grown = dice.normal(STRETCH)
    return _matrix((torch.exp2(-grown), 0.0, 0.0), (0.0, torch.exp2(-grown), 0.0)), [grown]


def _stretch(dice: Dice) -> Placed:
    wider = dice.normal(STRETCH)
    return _matrix((torch.exp2(-wider), 0.0, 0.0), (0.0, torch.exp2(wider), 0.0)), [wider]


def _stretch_any(dice: Dice) -> Placed:
    """A stretch along any direction."""
    (along, _), angle = _stretch(dice), (2 * torch.rand(dice.n, device=dice.device) - 1) * math.pi
    there, back = _turned(angle.cos(), -angle.sin())[0], _turned(angle.cos(), angle.sin())[0]
    wider = -along[:, 0, 0].log2()
    exact = torch.where((wider == 0)[:, None, None], along, _product(_product(back, along), there))
    return exact, [wider * angle.cos(), wider * angle.sin()]


PLACES: dict[str, Callable[[Dice], Placed]] = {
    "x_flip": lambda dice: _flip(dice, across=True),
    "y_flip": lambda dice: _flip(dice, across=False),
    "quarter": _quarter,
    "blit": _blit,
    "scale": _scale,
    "rotate": _rotate,
    "turn": _turn,
    "stretch": _stretch,
    "stretch_any": _stretch_any,
    "shift": _shift,
}
"""x_flip, y_flip: with one chance in two. quarter: by 0 to 3 right angles. blit: by whole pixels. rotate, turn: by any
angle. stretch: wider by a factor and lower by the same. shift: by a part of a pixel too."""


def resample(images: Tensor, where: Tensor) -> Tensor:  # (N, C, S, S), (N, 3, 3) -> (N, C, S, S)
    """Bilinear: every new pixel from the four around where its place comes from; the image is mirrored at its edges."""
    n, c, side, _ = images.shape
    middle = (side - 1) / 2
    pixel = torch.arange(side, device=images.device)
    y, x = pixel.repeat_interleave(side), pixel.repeat(side)
    old = [where[:, k, :1] * (x - middle) + where[:, k, 1:2] * (y - middle) + where[:, k, 2:] + middle for k in (0, 1)]
    low = [place.floor() for place in old]
    part = [place - floor for place, floor in zip(old, low, strict=True)]
    flat, found = images.flatten(2), torch.zeros(n, c, side * side, device=images.device, dtype=images.dtype)
    for right, down in product((0, 1), (0, 1)):
        share = (part[0] if right else 1 - part[0]) * (part[1] if down else 1 - part[1])
        place = _mirrored(low[1].long() + down, side) * side + _mirrored(low[0].long() + right, side)
        found = found + share[:, None] * flat.gather(2, place[:, None].expand(n, c, -1))
    return found.reshape(images.shape)


def _mirrored(k: Tensor, side: int) -> Tensor:  # any whole numbers -> 0 .. side - 1
    period = max(1, 2 * (side - 1))
    k = k % period
    return torch.minimum(k, period - k)


# -- colours ----------------------------------------------------------------------------------------------------------

Coloured = tuple[Tensor, list[Tensor]]


def _over(x: Tensor) -> Tensor:  # (n,) -> (n, 1, 1, 1)
    return x[:, None, None, None]


def _brightness(images: Tensor, dice: Dice) -> Coloured:
    added = dice.normal(BRIGHTNESS)
    return images + _over(added), [added]


def _contrast(images: Tensor, dice: Dice) -> Coloured:
    factor = dice.normal(CONTRAST)
    return images * _over(torch.exp2(factor)), [factor]


def _negative(images: Tensor, dice: Dice) -> Coloured:
    """Light for dark, hues kept (the paper's luma flip): of a film, its negative."""
    done = dice.choice(2)
    return images - 2 * _over(done) * images.mean(1, keepdim=True), [done]


def _hue(images: Tensor, dice: Dice) -> Coloured:
    """Turned around the axis of greys (Rodrigues)."""
    angle = dice.angle()
    if images.shape[1] == 3:
        rest = images - images.mean(1, keepdim=True)
        across = (rest.roll(1, 1) - rest.roll(-1, 1)) / math.sqrt(3)
        images = images + (rest * _over(angle.cos() - 1) + across * _over(angle.sin()))
    return images, [angle.cos() - 1, angle.sin()]


def _saturation(images: Tensor, dice: Dice) -> Coloured:
    factor = dice.normal(SATURATION)
    if images.shape[1] > 1:
        images = images + (images - images.mean(1, keepdim=True)) * _over(torch.exp2(factor) - 1)
    return images, [factor]


COLOURS: dict[str, Callable[[Tensor, Dice], Coloured]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "negative": _negative,
    "hue": _hue,
    "saturation": _saturation,
}
"""brightness: something is added. contrast: times a factor. saturation: colours are further from grey."""
