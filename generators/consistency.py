"""`consistency`: an `edm` that is tuned to draw in one to four steps (Song 2023, Geng 2024)."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from data.images import ImageSet
from generators.conditioning import ConditionConfig
from generators.copy_stop import require_judge
from generators.edm import EDM, EDMConfig, Karras, KarrasConfig
from generators.pixels import PixelOptions, Pixels
from generators.places import identify, require_identity
from generators.saving import FACTS
from synthworth.artifacts import ensure_folder
from synthworth.cost import Operations
from synthworth.errors import UserError
from synthworth.keys import DRAWING, NOT_IDENTITY, SINCE_DEFAULT, seed_from
from synthworth.search_space import Between, OneOf, searched
from synthworth.work import Budget, FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor, nn

    from generators.consistency_tuning import ConsistencyTuning, FewStepSampler

logger = logging.getLogger(__name__)
FLAG, TEACHER = "--gen.teacher", "teacher"
SEEN = f"the teacher ({FLAG}) may have learned from the test films (--gen.saw-test yes): a gain may be memory"
UNKNOWN = (
    f"whether the teacher ({FLAG}) learned from the test films, or from more films than this arm may, is not known; "
    "say so with --gen.saw-test no or yes"
)


@dataclass(frozen=True)
class ConsistencyConfig(PixelOptions, KarrasConfig):
    """Options of `consistency`; its defaults suit 28 to 64 px.

    Raises
    ------
    UserError
        For a number out of its range, a teacher that is not there, or none at all.
    """

    teacher: str = field(default="", metadata=NOT_IDENTITY)
    """Folder of a fitted `edm` of the same network and images, which is tuned. Without, one is trained first."""
    teacher_id: str = ""
    """sha256 of that folder's files; filled in, and in the key in its place."""
    saw_test: Literal["unknown", "no", "yes"] = field(default="unknown", metadata=SINCE_DEFAULT)
    """Whether `teacher` learned from the test films, or from more films than this arm may: a gain may then be memory,
    and every run says so."""
    teacher_share: float = field(default=0.6, metadata=searched(Between(0.4, 0.8, step=0.1), teacher=("",)))
    """Share of the budget (steps, and seconds where they are limited) that trains a teacher where none is given."""
    stages: int = field(default=8, metadata=searched(OneOf(4, 6, 8, 10)))
    """How often the distance of the two noises of a pair is halved in the course of the tuning."""
    tuning_lr: float = field(default=3e-4, metadata=searched(Between(3e-5, 1e-3, log=True)))
    """Learning rate of the tuning, constant after its rise; `lr` is the teacher's."""
    # the base has these options' docstrings
    lr: float = field(default=1e-3, metadata=searched(Between(3e-5, 5e-3, log=True), teacher=("",)))
    noise_mean: float = field(default=-1.2, metadata=searched(Between(-2.0, 0.0, step=0.2), teacher=("",)))
    noise_spread: float = field(default=1.2, metadata=searched(Between(0.8, 2.0, step=0.2), teacher=("",)))
    guidance: float = field(default=1.0, metadata=DRAWING)
    sampling_steps: int = field(default=2, metadata=DRAWING | searched(OneOf(1, 2, 3, 4)))
    """Steps of drawing, one prediction each: 1 or 2, seldom more than 4."""

    def ranges(self) -> dict[str, tuple[bool, str]]:
        """Whether each option that has one is in its range; for `require_ranges`."""
        return super().ranges() | {
            "stages": (1 <= self.stages <= 20, "1 to 20"),
            "tuning_lr": (self.tuning_lr > 0, "above 0"),
            "teacher_share": (0 <= self.teacher_share < 1, "0 or more and below 1"),
        }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.teacher and not self.teacher_id:
            if (folder := Path(self.teacher).expanduser()).is_dir():
                require_model(folder)
            object.__setattr__(self, "teacher_id", identify(self.teacher, what=FLAG))
        if not self.teacher_id and self.teacher_share == 0:
            raise UserError(
                f"consistency tunes an `edm`, and there is none: {FLAG} names no folder and --gen.teacher-share is 0; "
                "give a fitted edm's folder, or a share of the budget to train one (0.6)"
            )


def require_model(folder: Path) -> None:
    """Refuse a folder that holds no model of ours, before all that lies in it is hashed.

    Raises
    ------
    UserError
        Where it does not.
    """
    if not (folder / FACTS).is_file():
        raise UserError(f"{FLAG}: {folder} holds no fitted edm ({FACTS} is missing); give the folder of one")


def told_alike(theirs: ConditionConfig, ours: ConditionConfig) -> bool:
    """Whether two networks are told the same of an image: places on a disk play no part where contents are known."""
    different = {f.name for f in dataclasses.fields(ours) if getattr(theirs, f.name) != getattr(ours, f.name)}
    places = {f.name for f in dataclasses.fields(ours) if f.metadata.get("identity") is False}
    return not different - places


class Consistency(Pixels, Karras):
    """A preconditioned denoiser (`EDM`), tuned so that it gives the same image at every noise of one line.

    Stage 1 trains an `edm` with these options, or takes a fitted one. Stage 2 starts from its averaged weights and
    learns as `generators.consistency_tuning.ConsistencyTuning` says. Drawing takes one prediction a step.
    """

    Config: ClassVar[type] = ConsistencyConfig
    version: ClassVar[int] = 2
    config: ConsistencyConfig

    @classmethod
    def tiny_config(cls) -> ConsistencyConfig:
        """The smallest network that does everything, for the contract test."""
        return ConsistencyConfig(widths=(8, 16), patch=2, batch=8)

    def check_files(self, *, fetch: bool, channels: int | None, size: int | None) -> None:
        """Refuse a teacher that cannot be tuned; see `BaseGenerator`."""
        super().check_files(fetch=fetch, channels=channels, size=size)
        self._refuse()
        if self.config.teacher:
            self._open_teacher("cpu", channels=channels, size=size)

    def operations(
        self, *, channels: int, size: int, n_classes: int, multilabel: bool, n_steps: int
    ) -> Operations | None:
        """See `BaseGenerator`: a step of tuning passes twice forwards and once backwards."""
        known = super().operations(
            channels=channels, size=size, n_classes=n_classes, multilabel=multilabel, n_steps=n_steps
        )
        if known is None:
            return None
        (whole,) = known.phases
        first = self._first_steps(n_steps)
        once = known.use / self._passes()
        tuned = dataclasses.replace(whole, steps=n_steps - first, flops=whole.flops + once)
        phases = (dataclasses.replace(whole, steps=first), tuned) if first else (tuned,)
        return Operations(phases, known.use, known.parameters)

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Train the teacher in `work.folder / "teacher"` where none is given, then tune it.

        Raises
        ------
        UserError
            As `Pixels.fit`, for a budget of a single step, and for a teacher that is another's.
        """
        from synthworth.training.reports import join_reports, report_of

        self.require(train)
        c, budget = self.config, work.budget
        require_judge(c, work)
        self._refuse()
        self.check_drawing()
        self.require_steps(c, budget.steps)
        exact = dataclasses.replace(work, precision="fp32")  # `ConsistencyTuning` says why
        trainer = self._begin(train, seed=seed, work=exact)
        teacher, first = self._taught(train, seed=seed, work=work)
        seconds = budget.seconds
        second = self._denoise(
            train, trainer, lambda: self._copy_of(teacher), seed=seed, n_steps=budget.steps - first.steps,
            seconds=None if seconds is None else max(seconds - first.seconds, 0.1), lr=c.tuning_lr,
            schedule="constant",  # the nearest pairs come last, and are not to be learned at no rate
        )  # fmt: skip
        facts = {**self._facts(), "teacher_steps": first.steps, "teacher_seconds": round(first.seconds, 3)}
        if c.teacher_id:
            facts["teacher"] = c.teacher_id
        return join_reports([first, report_of(second, batch=c.batch)], label="stage", first=1, facts=facts)

    @classmethod
    def least_steps(cls, config: Any, *, n_classes: int | None = None) -> int:
        """A step for the teacher, unless it is another's, and one for what it teaches."""
        return 1 if config.teacher_id else 2

    def _refuse(self) -> None:
        """Refuse a teacher that is another than the key says, or that nobody says the place of."""
        c = self.config
        if c.teacher_id and not c.teacher:
            raise UserError(f"the teacher {c.teacher_id} is asked for; say with {FLAG} where it is")
        if c.teacher:
            require_identity(c.teacher, c.teacher_id, what=FLAG)

    def _first_steps(self, n_steps: int) -> int:
        """Steps of a budget that train the teacher."""
        return 0 if self.config.teacher_id else min(max(1, round(self.config.teacher_share * n_steps)), n_steps - 1)

    def _teacher_options(self) -> EDMConfig:
        """Options of the teacher: ours, where it has them."""
        theirs = {f.name for f in dataclasses.fields(EDMConfig)} - {"sampling_steps", "stop_at_copy_rate"}
        ours = {f.name: getattr(self.config, f.name) for f in dataclasses.fields(self.config) if f.name in theirs}
        return EDMConfig(**ours)

    def _taught(self, train: ImageSet, *, seed: int, work: Work) -> tuple[EDM, FitReport]:
        """The teacher, trained or read, and what its training was; one that is read takes no step."""
        c, shape = self.config, self.shape
        if c.teacher:
            found = self._open_teacher(self.device, channels=shape.channels, size=shape.size)
            theirs, ours = (
                f"{s.n_classes} {'findings that co-occur' if s.multilabel else 'classes'}" for s in (found.shape, shape)
            )
            if theirs != ours:
                raise UserError(
                    f"{FLAG}: {c.teacher} learned {theirs}, and the training images have {ours}; give an edm that "
                    "learned the same"
                )
            if c.saw_test != "no":
                logger.warning("%s", UNKNOWN if c.saw_test == "unknown" else SEEN)
            return found, FitReport(steps=0, images_seen=0, seconds=0.0)
        budget = work.budget
        seconds = None if budget.seconds is None else budget.seconds * c.teacher_share
        own = dataclasses.replace(
            work, folder=ensure_folder(work.folder / TEACHER), budget=Budget(self._first_steps(budget.steps), seconds),
            snapshot_epochs=0.0,
        )  # fmt: skip
        teacher = EDM(self._teacher_options())
        return teacher, teacher.fit(train, seed=seed_from(seed, TEACHER), work=own)

    def _open_teacher(self, device: str, *, channels: int | None, size: int | None) -> EDM:
        """The fitted `edm` that the options name.

        Raises
        ------
        UserError
            When there is none, or one of other images, another network or another noise.
        """
        c, folder = self.config, Path(self.config.teacher).expanduser()
        require_model(folder)
        try:
            found = EDM.load(folder, device=device)
        except UserError as error:  # which advises to delete what is in the store
            said = str(error).partition(". Delete")[0]
            raise UserError(f"{FLAG}: {said}; give another copy of that edm") from error
        except ValueError as error:
            raise UserError(f"{FLAG}: {folder} holds another generator than an edm; give the folder of one") from error
        wanted = {"channels": channels, "size": size}
        wrong = [
            f"{name} {getattr(found.shape, name)}, not {v}"
            for name, v in wanted.items()
            if v not in (None, getattr(found.shape, name))
        ]
        unet = ("widths", "blocks", "attention", "patch")
        same = ("sigma_data", "backbone", *(("dit",) if c.backbone == "dit" else unet))
        wrong += [
            f"{name} {getattr(found.config, name)}" for name in same if getattr(found.config, name) != getattr(c, name)
        ]
        if not told_alike(found.config.condition, c.condition):
            wrong.append(f"another condition ({found.config.condition.kind})")
        if c.guidance != 1.0 and found.config.drop <= 0:
            raise UserError(
                f"guidance {c.guidance:g} needs a prediction without condition, and {FLAG} {folder} was fitted with "
                "--gen.drop 0; give an edm that hides conditions in training, or set --gen.guidance 1"
            )
        if wrong:
            raise UserError(
                f"{FLAG}: {folder} was fitted with {'; '.join(wrong)}; give an edm like this "
                "one, or set these options as it has them"
            )
        return found

    def _copy_of(self, teacher: EDM) -> nn.Module:
        """A network with the teacher's weights, but for what it is told of augmentation: none is done in tuning."""
        net = self._build()
        ours = net.state_dict()
        net.load_state_dict({name: weight for name, weight in teacher.denoiser.state_dict().items() if name in ours})
        return net

    def _process(self, labels: Tensor, *, progress: Callable[[], float]) -> ConsistencyTuning:
        from generators.consistency_tuning import ConsistencyTuning

        c = self.config
        return ConsistencyTuning(self._known, lowest=c.sigma_min, stages=c.stages, progress=progress)

    def _sampler(self, *, doubled: bool = False) -> FewStepSampler:
        from generators.consistency_tuning import FewStepSampler
        from generators.karras import noises_of

        c = self.config
        spaced = noises_of(c.sampling_steps + 1, lowest=c.sigma_min, highest=c.sigma_max, rho=7.0)
        return FewStepSampler(
            known=self._known, noises=spaced[:-1], lowest=c.sigma_min, guidance=c.guidance, doubled=doubled,
            clip=self.bound,
        )  # fmt: skip
