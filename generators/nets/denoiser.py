"""The UNets that a diffusion model denoises with, told the step and the condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from diffusers import UNet2DConditionModel, UNet2DModel
from torch import Tensor, nn
from torch.nn import functional as F

from generators.nets.labels import ConditionSpec, LabelVector, make_condition
from generators.nets.upsampling import make_repeatable
from synthworth.errors import UserError


class Denoiser(nn.Module):
    """A UNet of diffusers, its condition, and patches: `net(x, steps, condition, dropped)` gives the prediction.

    A label joins the embedding of the step, in the place of diffusers' class embedding, so that one path serves single
    and multi-label sets. Step and label scale and shift what group norm left (Dhariwal & Nichol 2021); merely added
    before it, as diffusers does by default, small groups would norm them away. Every other condition is tokens that
    cross-attention looks at (Rombach 2022). Images are folded into patches before the first convolution (pixel
    unshuffle) and unfolded after the last.

    Parameters
    ----------
    unet : `UNet2DModel` with `class_embed_type="identity"` for condition `label`, else `UNet2DConditionModel` with
        `cross_attention_dim` the width of a token.
    absent : tokens (T, W) that stand for "nothing given" where they are not learned.
    augmented : length of a vector that says how an image was augmented (`generators.karras`), which joins the label; 0
        for none, as with tokens.
    """

    def __init__(
        self, unet: nn.Module, spec: ConditionSpec, *, patch: int = 1, absent: Tensor | None = None, augmented: int = 0
    ) -> None:
        super().__init__()
        make_repeatable(unet)
        self.unet, self.patch = unet, patch
        width: int = unet.time_embedding.linear_2.out_features  # type: ignore[union-attr,assignment]
        self.condition = make_condition(spec, width=width, absent=absent)
        self.of_augmented = nn.Linear(augmented, width, bias=False) if augmented else None

    def forward(
        self, x: Tensor, steps: Tensor, condition: Tensor, dropped: Tensor | None = None,
        augmented: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Prediction for noisy images.

        Parameters
        ----------
        x : (N, C, H, W).
        steps : (N,), int64 or float: what the network is told of the noise.
        condition : labels, int64 (N,) or uint8 (N, K), or tokens (N, T, W).
        dropped : bool (N,), rows without theirs.
        augmented : (N, A), how each was augmented; None where none was.

        Returns
        -------
        The prediction, of the shape of `x`.
        """
        told = self.condition(condition, dropped)
        folded = F.pixel_unshuffle(x, self.patch) if self.patch > 1 else x
        if isinstance(self.condition, LabelVector):
            if self.of_augmented is not None and augmented is not None:
                told = told + self.of_augmented(augmented)
            out: Tensor = self.unet(folded, steps, class_labels=told).sample
        else:
            out = self.unet(folded, steps, encoder_hidden_states=told).sample
        return F.pixel_shuffle(out, self.patch) if self.patch > 1 else out


def make_denoiser(
    *,
    channels: int,
    size: int,
    spec: ConditionSpec,
    widths: Sequence[int],
    n_blocks: int,
    attention: Sequence[int] = (-1,),
    patch: int = 1,
    absent: Tensor | None = None,
    augmented: int = 0,
) -> Denoiser:
    """A UNet with fresh weights from torch's global generator.

    Parameters
    ----------
    channels, size : of the images or latents; the side must be a multiple of `side_multiple(widths, patch)`.
    widths : channels by resolution; each after the first halves it.
    n_blocks : residual blocks at each resolution.
    attention : levels (0 is the finest, -1 the coarsest) with self-attention, and cross-attention where the condition
        is tokens; the middle of the network always has it.
    absent : tokens (T, W) that stand for "nothing given" where they are not learned (`Conditioner.absent`).
    augmented : see `Denoiser`.

    Raises
    ------
    UserError
        For a level that is not there, or a side that the network cannot halve.
    """
    levels = _levels(attention, len(widths))
    if size % side_multiple(widths, patch):
        raise UserError(
            f"{len(widths)} widths and patch {patch} need sides that are multiples of {side_multiple(widths, patch)}; "
            f"the network was asked to work at {size}"
        )
    groups = next(g for g in (16, 8, 4, 2, 1) if all(w % g == 0 for w in widths))
    attended = [widths[level] for level in levels] + [widths[-1]]
    head = next(d for d in (64, 32, 16, 8, 4, 2, 1) if all(w % d == 0 and w >= 2 * d for w in attended) or d == 1)
    common: dict[str, Any] = {
        "sample_size": size // patch,
        "in_channels": channels * patch**2,
        "out_channels": channels * patch**2,
        "block_out_channels": tuple(widths),
        "layers_per_block": n_blocks,
        "norm_num_groups": groups,
        "resnet_time_scale_shift": "scale_shift",
    }
    plain, special = ("", "Attn") if spec.kind == "label" else ("", "CrossAttn")
    down = tuple(f"{special if k in levels else plain}DownBlock2D" for k in range(len(widths)))
    up = tuple(f"{special if k in levels else plain}UpBlock2D" for k in reversed(range(len(widths))))
    unet: nn.Module
    if spec.kind == "label":
        unet = UNet2DModel(
            **common, down_block_types=down, up_block_types=up, attention_head_dim=head, attn_norm_num_groups=groups,
            class_embed_type="identity",
        )  # fmt: skip
    else:
        unet = UNet2DConditionModel(
            **common, down_block_types=down, up_block_types=up, cross_attention_dim=spec.width,
            attention_head_dim=tuple(max(1, w // head) for w in widths),
        )  # fmt: skip
    return Denoiser(unet, spec, patch=patch, absent=absent, augmented=augmented)


def side_multiple(widths: Sequence[int], patch: int) -> int:
    """Sides of a UNet's input must be multiples of this."""
    return patch * 2 ** (len(widths) - 1)


def _levels(attention: Sequence[int], n_levels: int) -> set[int]:
    strange = [k for k in attention if not -n_levels <= k < n_levels]
    if strange:
        raise UserError(f"attention at level {strange[0]} was asked for; there are levels 0 to {n_levels - 1}")
    return {k % n_levels for k in attention}
