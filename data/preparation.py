"""The prepared form of a dataset: what its key is made of, and how it comes into the store."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any


def data_preparation(name: str, dataset: Any) -> dict[str, Any]:
    """Identity of a dataset's prepared form, known before anything is decoded."""
    return {
        "dataset": name,
        "config": dataset.config,
        "version": dataset.version,
        "source": dict(dataset.source()),
    }


def preparer(dataset: Any) -> Callable[[Path, Path], None]:
    """What `Store.get_or_make` calls: `prepare(out, scratch=scratch)`, or `prepare(out)` for a dataset whose own
    `prepare` knows no scratch folder."""
    if "scratch" in inspect.signature(dataset.prepare).parameters:
        return lambda out, scratch: dataset.prepare(out, scratch=scratch)
    return lambda out, _: dataset.prepare(out)
