"""The contract of a generator."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

from data.images import ImageSet, require_train
from synthworth.cost import Operations
from synthworth.errors import UserError
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Generator(Protocol):
    """What the harness asks of a generator; `python -m benchmarks.check module:Class` proves it.

    Attributes
    ----------
    Config : frozen dataclass of the options, every field documented.
    version : raised whenever the same Config would learn or draw something else.

    Notes
    -----
    Optional class attributes, with what is assumed where they are missing (`BaseGenerator` has them):
    `draws = True` (False only for the control that draws nothing), `needs_reserve = False` (True for a control that
    is given `work.reserve`), `from_donor = False` (True for a control that draws a donor's films),
    `is_control = False`, `trains = True` (False where a budget changes nothing), `tasks = ("single", "multi")`,
    `adds = "synthetic"` (what the images that it draws are called), `one_training = False` (True where another
    `--generator-seed` would change nothing), `required = ()` (options that it cannot do without, and that have no
    default that would do), `idle = {}` (options of a Config that it shares with others and that change nothing in it,
    dots lead into inner Configs -> why; a flag of one is refused, and no search tries it). Optional methods:
    `check_files`, `version_of`, `require_steps` and `operations` of `BaseGenerator`; the class method
    `faster_in_bf16(config, unit=, channels=, size=)`, as `classifiers.base.Classifier` has it; and for images of which
    there are only so many `check_demand(train, streams)` and, in the place of `sample`, `sample_next(labels,
    earlier=)`, as `generators.pool.Pool` has them.
    """

    Config: ClassVar[type]
    version: ClassVar[int]

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Learn from the train split, and from nothing else. A second call on the same `work.folder` goes on."""
        ...

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """Draw one image a label.

        The same seed draws the same images; global random state is neither read nor changed; images do not depend on
        how many are computed at a time.

        Parameters
        ----------
        labels : int64 (N,) or uint8 (N, K), as in training.

        Returns
        -------
        uint8 (N, C, H, W), row i shows `labels[i]`.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write the fitted model: safetensors, npy and JSON, never pickle."""
        ...

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote; draws the same images as the saved one did."""
        ...


class BaseGenerator:
    """Constructor, defaults and checks that most generators share. `__init__` stores, `fit` learns."""

    Config: ClassVar[type]
    version: ClassVar[int] = 1
    draws: ClassVar[bool] = True
    needs_reserve: ClassVar[bool] = False
    is_control: ClassVar[bool] = False
    trains: ClassVar[bool] = True
    from_donor: ClassVar[bool] = False
    tasks: ClassVar[tuple[str, ...]] = ("single", "multi")
    adds: ClassVar[str] = "synthetic"
    required: ClassVar[tuple[str, ...]] = ()
    idle: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def __init__(self, config: Any = None) -> None:
        self.config = self.Config() if config is None else config

    @classmethod
    def version_of(cls, config: Any) -> int:
        """The version of what these options make: `version`, or more where a mend changed some options' results alone.

        It is what keys hold, so that what was stored of the other options is found again.

        Parameters
        ----------
        config : a `Config`.
        """
        return cls.version

    def check_files(self, *, fetch: bool, channels: int | None, size: int | None) -> None:
        """Refuse weights and other files that the options name and that cannot be used. Here: there are none.

        The harness asks before any image is prepared.

        Parameters
        ----------
        fetch : whether what lies on a hub may be fetched; without, it is not looked at.
        channels, size : of the images to come, None where they are not known yet.

        Raises
        ------
        UserError
            For what is missing, damaged or another's.
        """

    @classmethod
    def least_steps(cls, config: Any, *, n_classes: int | None = None) -> int:
        """Steps that a fit takes at least: more than one where it trains more than one network in turn.

        Parameters
        ----------
        config : a `Config`.
        n_classes : of the training images; None where they are not known yet.
        """
        return 1

    @classmethod
    def require_steps(cls, config: Any, steps: int, *, n_classes: int | None = None) -> None:
        """Refuse a budget below `least_steps`.

        Raises
        ------
        UserError
            Names both numbers.
        """
        least = cls.least_steps(config, n_classes=n_classes)
        if cls.trains and steps < least:
            raise UserError(
                f"{cls.__name__} trains {least} networks or stages in turn, and has {steps} steps for them; set "
                f"--fit.steps to {least} or more"
            )

    def operations(
        self, *, channels: int, size: int, n_classes: int, multilabel: bool, n_steps: int
    ) -> Operations | None:
        """What `n_steps` steps of a fit and drawing an image compute, for an estimate of the time. Here: not known.

        Asked of an object that is not fitted, and is thrown away then.

        Parameters
        ----------
        channels, size, n_classes, multilabel : of the training images.
        """
        return None

    def require(self, train: ImageSet) -> None:
        """Refuse what this generator cannot learn from, before anything starts.

        Raises
        ------
        UserError
            For another split than train, a task not in `tasks`, or a class without a training image.
        """
        name = type(self).__name__
        require_train(train, what=name)
        task = "multi" if train.multilabel else "single"
        if task not in self.tasks:
            raise UserError(f"{name} learns {' and '.join(self.tasks)}-label sets only, and this one is {task}-label")
        empty = [c for c, n in train.counts().items() if n == 0]
        if empty:
            raise UserError(f"no training image shows {', '.join(empty)}; {name} cannot learn to draw it")
