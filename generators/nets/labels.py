"""Labels as vectors, the same way for one class an image and for findings that co-occur."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
