"""Which network denoises, a UNet or a transformer: the options, and whether they fit the images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from synthworth.errors import UserError
from synthworth.search_space import OneOf, searched
from synthworth.training.options import require_ranges

if TYPE_CHECKING:
    from torch import Tensor, nn

    from generators.nets.labels import ConditionSpec

Backbone = Literal["unet", "dit"]


@dataclass(frozen=True)
class DiTConfig:
    """Options of the transformer (`backbone dit`).

    Raises
    ------
    UserError
        For a number out of its range, or a width that is no multiple of 4 and of a head's.
    """

    patch: int = field(default=4, metadata=searched(OneOf(2, 4)))
    """Pixels a side of a patch, which becomes one token: 2 or 4, of latents 1 or 2. Half of it is four times the
    tokens."""
    width: int = field(default=192, metadata=searched(OneOf(128, 192, 256, 384)))
    """Length of a token, a multiple of 4: 384 is DiT-S, 768 DiT-B."""
    depth: int = field(default=6, metadata=searched(OneOf(4, 6, 8, 12)))
    """Blocks; 12 are DiT-S and DiT-B."""
    head_width: int = 64
    """Width of a head of the attention; there are width / head_width heads."""
    expansion: int = 4
    """Width inside a block's perceptron over `width`."""

    def __post_init__(self) -> None:
        whole = {name: (getattr(self, name) >= 1, "1 or more") for name in ("patch", "width", "depth", "head_width")}
        require_ranges(self, {**whole, "expansion": (self.expansion >= 1, "1 or more")}, prefix="--gen.dit.")
        if self.width % self.head_width or self.width % 4:
            raise UserError(
                f"--gen.dit.width {self.width} with --gen.dit.head-width {self.head_width}: the width is a multiple "
                "of 4 and of a head's; 192 and 384 with 64 are"
            )


def is_widths(widths: Sequence[int]) -> tuple[bool, str]:
    """Whether a UNet can have these channels, and which it can; for `require_ranges`."""
    return bool(widths) and min(widths) >= 1, "one width or more, each 1 or more"


def is_levels(attention: Sequence[int], n_levels: int) -> tuple[bool, str]:
    """Whether a UNet with so many widths has these resolutions, and which it has; likewise."""
    return all(-n_levels <= k < n_levels for k in attention), f"each {-n_levels} to {n_levels - 1}, one a width"


def require_divides(patch: int, side: int, *, what: str) -> None:
    """Refuse patches that do not tile the square.

    Parameters
    ----------
    side : pixels a side.
    what : is that large: "the images" or "the latents".

    Raises
    ------
    UserError
        Naming sizes that do.
    """
    if side % patch:
        fit = ", ".join(str(p) for p in range(1, 9) if side % p == 0)
        raise UserError(
            f"--gen.backbone dit: patches of {patch} pixels do not divide {what}, {side} pixels a side; set "
            f"--gen.dit.patch to one that does ({fit})"
        )


def make_dit(
    options: DiTConfig, *, channels: int, size: int, spec: ConditionSpec, what: str, augmented: int = 0,
    absent: Tensor | None = None,
) -> nn.Module:  # fmt: skip
    """A transformer with fresh weights from torch's global generator; for the parameters see `nets.dit.DiT`.

    Parameters
    ----------
    what : as in `require_divides`.

    Raises
    ------
    UserError
        When the patch does not divide the size.
    """
    from generators.nets.dit import DiT

    require_divides(options.patch, size, what=what)
    return DiT(
        channels=channels, size=size, spec=spec, patch=options.patch, width=options.width, depth=options.depth,
        n_heads=options.width // options.head_width, expansion=options.expansion, augmented=augmented, absent=absent,
    )  # fmt: skip
