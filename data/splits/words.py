"""The words by which tables and folders name a split."""

from __future__ import annotations

from data.images import Split

SPLIT_WORDS = {
    "train": Split.train,
    "training": Split.train,
    "val": Split.val,
    "valid": Split.val,
    "validate": Split.val,
    "validation": Split.val,
    "dev": Split.val,
    "development": Split.val,
    "test": Split.test,
    "testing": Split.test,
    "reserve": Split.reserve,
}
