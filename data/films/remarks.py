"""What is remarkable about single films, said once for all of them: how many there are, and the first."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

logger = logging.getLogger(__name__)

VARYING = re.compile(r"'[^']*'|\d+")  # what differs between two libraries' warnings of one kind


@dataclass(frozen=True)
class Remark:
    """What a reader of the film's pixels should know.

    Parameters
    ----------
    text
        The same for every film of which it holds.
    private
        Whether the words may hold what stands in a header: they are shown on the screen and written nowhere.
    """

    text: str
    private: bool = False

    @property
    def kind(self) -> str:
        """What is counted as one: a library's words without the numbers and names in them."""
        return VARYING.sub("#", self.text) if self.private else self.text


_listener: ContextVar[list[Remark] | None] = ContextVar("listener", default=None)


def remark(text: str) -> None:
    """Say something about the film at hand: to whoever listens, else to the log."""
    _tell(Remark(text))


def _tell(said: Remark) -> None:
    heard = _listener.get()
    if heard is None:
        logger.warning("%s", said.text)
    elif said not in heard:
        heard.append(said)


@contextmanager
def listening() -> Iterator[list[Remark]]:
    """What is said about one film inside, each thing once; nothing of it reaches the log."""
    heard: list[Remark] = []
    token = _listener.set(heard)
    try:
        yield heard
    finally:
        _listener.reset(token)


@dataclass
class Remarks:
    """How many films each remark is about, and the first of them: by kind, (remark, number, first)."""

    found: dict[str, tuple[Remark, int, str]] = field(default_factory=dict)

    def add(self, heard: Iterable[Remark], *, name: str) -> None:
        """Count what was said about the film of that name."""
        for said in heard:
            first, n, at = self.found.get(said.kind, (said, 0, name))
            self.found[said.kind] = first, n + 1, at

    def log(self) -> None:
        """One line for each."""
        for said, n, first in self.found.values():
            logger.warning("%s: %s", said.text, how_many(n, first))


def how_many(n: int, first: str) -> str:
    """The films a remark is about, in words."""
    return f"{n:,} film{'s'[: n > 1]}, first {first}"


@contextmanager
def libraries_heard(*names: str) -> Iterator[None]:
    """Let what libraries log as a warning be a private remark about the film at hand, and not be warned of again.

    What they say while nobody listens stays as it is. To be entered by one thread, around all that work.

    Parameters
    ----------
    names
        Of their loggers.
    """

    def as_remark(record: logging.LogRecord) -> bool:
        if _listener.get() is None or record.levelno < logging.WARNING:
            return True
        _tell(Remark(" ".join(record.getMessage().split()), private=True))
        return False

    def shown(message: Warning | str, *where: object, **more: object) -> None:
        heard = _listener.get()
        if heard is None or Remark(" ".join(str(message).split()), private=True) not in heard:
            show(message, *where, **more)  # type: ignore[arg-type]

    loggers = [logging.getLogger(name) for name in names]
    for source in loggers:
        source.addFilter(as_remark)
    with warnings.catch_warnings():
        show, warnings.showwarning = warnings.showwarning, shown  # type: ignore[assignment]
        try:
            yield
        finally:
            for source in loggers:
                source.removeFilter(as_remark)
