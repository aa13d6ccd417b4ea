"""Labels and other conditions as vectors or tokens that a network is told."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ConditionSpec:
    """What a network must know of its condition.

    Parameters
    ----------
    kind : `label`, `multilabel`, `clip_text`, `clip_vision` or `embedding`.
    n_classes, multilabel : of the labels, which are the condition itself for the first two kinds.
    n_tokens, width : shape (T, W) of the tokens that cross-attention looks at; 0, 0 for `label`, which has none.
    """

    kind: str
    n_classes: int
    multilabel: bool
    n_tokens: int = 0
    width: int = 0


class LabelEmbedding(nn.Module):
    """A learned vector for each class; where findings co-occur, the sum of the vectors of those present."""

    def __init__(self, n_classes: int, width: int, *, multilabel: bool) -> None:
        super().__init__()
        self.multilabel = multilabel
        self.table = nn.Parameter(torch.randn(n_classes, width))

    def forward(self, labels: Tensor) -> Tensor:  # int64 (N,) or uint8 (N, K) -> float (N, width)
        """One vector an image."""
        if self.multilabel:
            return labels.to(self.table.dtype) @ self.table
        return self.table[labels]


class LabelVector(nn.Module):
    """`LabelEmbedding`, and a learned vector more that stands for "no label given".

    For classifier-free guidance (Ho & Salimans 2022).
    """

    def __init__(self, n_classes: int, width: int, *, multilabel: bool) -> None:
        super().__init__()
        self.label = LabelEmbedding(n_classes, width, multilabel=multilabel)
        self.absent = nn.Parameter(torch.randn(width))

    def forward(self, labels: Tensor, dropped: Tensor | None = None) -> Tensor:  # -> float (N, width)
        """One vector an image.

        Parameters
        ----------
        dropped : bool (N,), marks those without their label.
        """
        vectors: Tensor = self.label(labels)
        return vectors if dropped is None else torch.where(dropped[:, None], self.absent, vectors)


def make_condition(spec: ConditionSpec, *, width: int, absent: Tensor | None = None) -> LabelVector | ConditionTokens:
    """What embeds a network's condition: a vector of `width` for a label, else tokens.

    Parameters
    ----------
    absent : see `ConditionTokens`.
    """
    if spec.kind == "label":
        return LabelVector(spec.n_classes, width, multilabel=spec.multilabel)
    return ConditionTokens(spec, absent=absent)


class ConditionTokens(nn.Module):
    """The tokens that cross-attention looks at: (N, T, W).

    `multilabel`: one token a finding, a learned vector for its presence and one for its absence. Every other kind: the
    condition is the tokens already. What stands for "nothing given" is the empty prompt for `clip_text` (`absent`, a
    buffer, which a loaded state dict brings along), else learned from zeros.
    """

    absent: Tensor

    def __init__(self, spec: ConditionSpec, *, absent: Tensor | None = None) -> None:
        super().__init__()
        self.spec = spec
        nothing = torch.zeros(spec.n_tokens, spec.width)
        if spec.kind == "clip_text":
            self.register_buffer("absent", nothing if absent is None else absent.clone())
        else:
            self.absent = nn.Parameter(nothing)
        if spec.kind == "multilabel":
            self.table = nn.Parameter(torch.randn(2, spec.n_classes, spec.width))

    def forward(self, condition: Tensor, dropped: Tensor | None = None) -> Tensor:
        """The tokens of a condition.

        Parameters
        ----------
        condition : labels, int64 (N,) or uint8 (N, K), or tokens (N, T, W).
        dropped : marks rows without them.
        """
        if self.spec.kind == "multilabel":
            present = condition if self.spec.multilabel else nn.functional.one_hot(condition, self.spec.n_classes)
            tokens = torch.where(present.bool()[:, :, None], self.table[1], self.table[0])
        else:
            tokens = condition.to(self.absent.dtype)
        return tokens if dropped is None else torch.where(dropped[:, None, None], self.absent, tokens)
