"""The contract of a dataset, and `ImageSet`, the only form in which real images cross a boundary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from data.images import ImageSet, Split


@runtime_checkable
class Dataset(Protocol):
    """What the harness asks of a dataset. `BaseDataset` gives all of it but `build`.

    Attributes
    ----------
    Config
        Frozen dataclass of the options, each documented. Fields that say where files lie, not what they hold, carry
        `metadata=synthworth.keys.NOT_IDENTITY`.
    version
        Raised whenever the same Config would give other images.
    classes, channels, size, multilabel
        Known once `prepare` has run.
    """

    Config: ClassVar[type]
    version: ClassVar[int]
    licence: ClassVar[str]
    citation: ClassVar[str]

    def source(self) -> Mapping[str, Any]:
        """What the prepared images depend on beside Config: checksums or sizes and dates of the files."""
        ...

    def prepare(self, root: Path, *, scratch: Path | None = None) -> None:
        """Fetch, verify and decode once into `root`; safe to call twice.

        Parameters
        ----------
        scratch
            A folder that survives a kill and is handed to the next call, for what is half made.
        """
        ...

    def load(self, root: Path, split: Split) -> ImageSet:
        """The images of one split, from a prepared `root`."""
        ...


class BaseDataset:
    """A dataset whose subclass only says how its images are made: override `build` (and `source`).

    A dataset that can draw further real images of new patients overrides `further`.
    """

    Config: ClassVar[type]
    version: ClassVar[int] = 1
    licence: ClassVar[str] = ""
    citation: ClassVar[str] = ""

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    def source(self) -> Mapping[str, Any]:
        """Nothing beside Config and version."""
        return {}

    def build(self) -> Mapping[Split, ImageSet]:
        """Make every split. Called once; the result is cached on disk."""
        raise NotImplementedError(f"{type(self).__name__} does not say how its images are made")

    def foretold(self) -> tuple[int | None, int | None]:
        """Channels and side of the images, where the options say so before `prepare`; None where they do not."""
        return None, None

    def further(self, n: int) -> ImageSet | None:
        """At least `n` further real images (split `reserve`) of patients in no other split.

        None if there are none to be had.
        """
        return None

    def prepare(self, root: Path, *, scratch: Path | None = None) -> None:
        """Build the splits, check that no patient is in two of them, and write them to `root`."""
        from data.prepared import is_prepared, write_splits
        from data.splits.leaks import refuse_leaks

        if not is_prepared(root):
            sets = self.build()
            refuse_leaks(sets)
            write_splits(root, sets)

    def load(self, root: Path, split: Split) -> ImageSet:
        """Read one split from `root`; the images are a memory map."""
        from data.prepared import read_split

        return read_split(root, split)
