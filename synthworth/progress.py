"""Progress on stderr: a bar on a terminal, a line every ten seconds elsewhere, silence for what is short."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Any, Self, TypeVar

from synthworth.printable import one_line

T = TypeVar("T")
LINE_EVERY = 10.0  # seconds between lines where there is no terminal
_muted = False


def mute() -> None:
    """Show no progress in this process: a worker whose parent shows it."""
    global _muted
    _muted = True


class Progress:
    """A bar of `total` steps. Use as a context manager and call `advance`.

    On a terminal it is a rich bar; elsewhere (a log file, a cluster) one line every `LINE_EVERY` seconds, so that
    anything that ends sooner says nothing.
    """

    def __init__(self, what: str, total: int | None = None, *, done: int = 0, unit: str = "") -> None:
        self.what, self.total, self.done, self.unit = one_line(what), total, done, unit
        self._first = done
        self._note = ""
        self._began = self._spoke = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Self:
        self._began = self._spoke = time.monotonic()
        if not _muted and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=self.total, completed=self.done, note="")
        return self

    def advance(self, n: int = 1, **scalars: float) -> None:
        """Count `n` more; `scalars` (loss, for one) are shown beside the rate."""
        self.done += n
        now = time.monotonic()
        if scalars:
            self._note = " ".join(f"{k} {v:.4g}" for k, v in scalars.items())
        if self._bar is not None:
            rate = (self.done - self._first) / max(now - self._began, 1e-9)
            note = f"{self._note}  {rate:.1f} {self.unit or 'it'}/s".strip()
            self._bar.update(self._task, completed=self.done, note=note)
        elif not _muted and now - self._spoke >= LINE_EVERY:
            self._spoke = now
            print(self._line(now), file=sys.stderr, flush=True)

    def _line(self, now: float) -> str:
        rate = (self.done - self._first) / max(now - self._began, 1e-9)
        parts = [f"{self.what}: {self.done}" + (f"/{self.total}" if self.total else "")]
        parts.append(f"{rate:.1f} {self.unit or 'it'}/s")
        if self.total and rate > 0:
            parts.append(f"{(self.total - self.done) / rate:.0f} s left")
        return "  ".join([*parts, *([self._note] if self._note else [])])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


def track(items: Iterable[T], what: str, *, total: int | None = None, unit: str = "") -> Iterator[T]:
    """Iterate with a progress bar; `total` is taken from `len` where there is one."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Progress(what, total, unit=unit) as bar:
        for item in items:
            yield item
            bar.advance()
