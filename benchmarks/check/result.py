"""What one check is and what it finds: the error first, then what was expected."""

from __future__ import annotations

import inspect
import random
import shutil
import tempfile
import traceback
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np


class Broken(Exception):
    """A plugin does not keep its contract; the message says what was found, the check's docstring what was expected."""


@dataclass(frozen=True)
class CheckResult:
    """What one check found; `message` and `expected` are empty where it passed."""

    name: str
    passed: bool
    message: str = ""
    """What went wrong, in one line: what the plugin did or raised."""
    expected: str = ""
    """What the contract asks for."""


@dataclass(frozen=True)
class Proof:
    """One check of one plugin, ready to run."""

    name: str
    expected: str
    run: Callable[[], None]
    plugin: Any

    def result(self) -> CheckResult:
        """Run it. Nothing is raised for a plugin that is broken, however it is."""
        try:
            with one_thread():
                self.run()
        except Broken as broken:
            return CheckResult(self.name, False, str(broken), self.expected)
        except (Exception, SystemExit) as error:  # a stranger's plugin may raise anything, and that is what is reported
            said = " ".join(str(error).split()) or "no message"
            return CheckResult(self.name, False, f"{type(error).__name__}: {said}{self._where(error)}", self.expected)
        return CheckResult(self.name, True)

    def __call__(self) -> None:
        """Run it inside a test.

        Raises
        ------
        AssertionError
            When the check fails: the first line is the error, the second what was expected.
        """
        found = self.result()
        if not found.passed:
            raise AssertionError(f"{found.message}\nexpected: {found.expected}")

    def _where(self, error: BaseException) -> str:
        """` (file.py:12)`: the last line of the plugin's own file that the error came through, else the last of all."""
        frames = traceback.extract_tb(error.__traceback__)
        try:
            own = inspect.getsourcefile(self.plugin)
        except TypeError:
            own = None
        frame = next((f for f in reversed(frames) if f.filename == own), frames[-1])
        return f" ({Path(frame.filename).name}:{frame.lineno})"


class Examination:
    """What the checks of one plugin share. A subclass adds what it makes of the plugin, made when first needed."""

    def __init__(self, plugin: Any, *, config: Any = None) -> None:
        self.plugin, self.config = plugin, config

    @cached_property
    def folder(self) -> Path:
        """A temporary folder, removed with this object."""
        place = Path(tempfile.mkdtemp(prefix="synthworth-check-"))
        weakref.finalize(self, shutil.rmtree, place, ignore_errors=True)
        return place

    def below(self, name: str) -> Path:
        """A folder of that name below the temporary one."""
        made = self.folder / name
        made.mkdir(exist_ok=True)
        return made

    def new(self) -> Any:
        """An instance of the plugin: with the Config given, or the smallest it offers, or the default."""
        if self.config is not None:
            return self.plugin(self.config)
        tiny = getattr(self.plugin, "tiny_config", None)
        return self.plugin(tiny() if tiny else self.plugin.Config())


Check = Callable[[Any], None]


def proofs(checks: Sequence[Check], exam: Examination, *, prefix: str = "") -> list[Proof]:
    """The checks as proofs of the plugin under examination, in order."""
    return [
        Proof(prefix + check.__name__.removeprefix("check_"), first_line(check), lambda c=check: c(exam), exam.plugin)
        for check in checks
    ]


def first_line(thing: Any) -> str:
    """First line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def expect(truth: bool, found: str) -> None:
    """Raise Broken, saying what was found, unless `truth`."""
    if not truth:
        raise Broken(found)


# -- global random state ------------------------------------------------------------------------------------------


def global_states() -> tuple[Any, ...]:
    """Python's, numpy's and torch's global random states, in a form that compares."""
    import torch

    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 (the global state is the point)
    key = numpy_state["state"].pop("key").tobytes()
    return random.getstate(), (key, numpy_state), torch.get_rng_state().numpy().tobytes()


@contextmanager
def global_seeds(seed: int) -> Iterator[None]:
    """Seed all global generators inside the block; put them back after it."""
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread inside the block.

    Tiny networks are quickest so, and rounding does not depend on the machine.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def untouched(what: str) -> Iterator[None]:
    """Raise Broken when the block changes a global random state."""
    before = global_states()
    yield
    changed = [
        name for name, old, new in zip(("random", "numpy", "torch"), before, global_states(), strict=True) if old != new
    ]
    expect(not changed, f"{what} changed the global random state of {' and '.join(changed)}")
