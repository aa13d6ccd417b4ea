"""The transformer that a diffusion model denoises with (DiT), told the time and the condition."""

from __future__ import annotations

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps, get_2d_sincos_pos_embed
from torch import Tensor, nn
from torch.nn import functional as F

from generators.nets.labels import ConditionSpec, LabelVector, make_condition

FREQUENCIES = 256
"""Length of the sinusoidal embedding of the time, as in Peebles & Xie 2023."""


class AdaLNZero(nn.Module):
    """One block: attention, then a two-layer perceptron, each after a layer norm that the condition c modulates.

    x + g1(c) attention((1 + a1(c)) norm(x) + b1(c)), then the same with the perceptron (Peebles & Xie 2023, figure 3).
    The six are linear in silu(c) and start at zero, so that the block starts as the identity.
    """

    def __init__(self, width: int, *, n_heads: int, expansion: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm_mlp = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)
        self.modulate = _zero(nn.Linear(width, 6 * width))

    def forward(self, x: Tensor, told: Tensor) -> Tensor:  # (N, T, W), (N, W) -> (N, T, W)
        """Apply the block.

        Parameters
        ----------
        told : silu of the condition.
        """
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulate(told)[:, None].chunk(6, dim=2)
        x = x + gate1 * self._attention(self.norm_attention(x) * (1 + scale1) + shift1)
        hidden = F.gelu(self.widen(self.norm_mlp(x) * (1 + scale2) + shift2), approximate="tanh")
        return x + gate2 * self.narrow(hidden)

    def _attention(self, x: Tensor) -> Tensor:
        n, t, width = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, self.n_heads, width // self.n_heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(n, t, width))


class DiT(nn.Module):
    """`net(x, times, condition, dropped)` for square images or latents: attention among patches (Peebles & Xie 2023).

    Patches are embedded linearly and told where they are (sinusoids, fixed). A label joins the embedding of the time
    and modulates every block (adaLN-zero); labels that co-occur are the sum of theirs. A condition that is tokens is
    appended to the sequence ("in-context", as the paper calls it) and dropped again after the last block. The last
    layer starts at zero, so that an untrained network predicts zero.

    Parameters
    ----------
    channels, size : of the images or latents; `patch` divides the side.
    width, depth, n_heads : of the transformer; the heads divide the width, which is a multiple of 4.
    expansion : width inside the perceptron over `width`.
    augmented : length of a vector that says how an image was augmented, 0 for none (`generators.karras`).
    absent : tokens (T, W) that stand for "nothing given" where they are not learned.
    """

    where: Tensor

    def __init__(
        self, *, channels: int, size: int, spec: ConditionSpec, patch: int, width: int, depth: int, n_heads: int,
        expansion: int = 4, augmented: int = 0, absent: Tensor | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.patch, self.side, self.channels = patch, size // patch, channels
        self.enter = nn.Conv2d(channels, width, patch, stride=patch)
        places = torch.as_tensor(get_2d_sincos_pos_embed(width, self.side, output_type="pt")).float()
        self.register_buffer("where", places[None], persistent=False)
        self.time = Timesteps(FREQUENCIES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.of_time = TimestepEmbedding(FREQUENCIES, width)
        self.condition = make_condition(spec, width=width, absent=absent)
        if spec.kind != "label":
            self.of_tokens = nn.Linear(spec.width, width)
        self.of_augmented = nn.Linear(augmented, width, bias=False) if augmented else None
        self.blocks = nn.ModuleList(AdaLNZero(width, n_heads=n_heads, expansion=expansion) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulate = _zero(nn.Linear(width, 2 * width))
        self.leave = _zero(nn.Linear(width, channels * patch**2))

    def forward(
        self, x: Tensor, times: Tensor, condition: Tensor, dropped: Tensor | None = None,
        augmented: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """Prediction for noisy images.

        Parameters
        ----------
        x : (N, C, S, S).
        times : (N,), 0 to 1,000 or so.
        condition : labels, int64 (N,) or uint8 (N, K), or tokens (N, T, W).
        dropped : bool (N,), rows without theirs.
        augmented : (N, A), how each was augmented; None where none was.

        Returns
        -------
        The prediction, of the shape of `x`.
        """
        tokens = self.enter(x).flatten(2).transpose(1, 2) + self.where
        n_patches = tokens.shape[1]
        told = self.of_time(self.time(times).to(x.dtype))
        given = self.condition(condition, dropped)
        if isinstance(self.condition, LabelVector):
            told = told + given
        else:
            tokens = torch.cat([tokens, self.of_tokens(given).to(tokens.dtype)], dim=1)
        if self.of_augmented is not None and augmented is not None:
            told = told + self.of_augmented(augmented)
        told = F.silu(told)
        for block in self.blocks:
            tokens = block(tokens, told)
        shift, scale = self.modulate(told)[:, None].chunk(2, dim=2)
        out = self.leave(self.norm(tokens[:, :n_patches]) * (1 + scale) + shift)
        squares = out.transpose(1, 2).unflatten(2, (self.side, self.side))
        return F.pixel_shuffle(squares, self.patch)


def _zero(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
