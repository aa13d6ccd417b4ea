"""The contract test passes what keeps the contract, and catches each way of breaking it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.check.__main__ import check_generator, main
from data.images import ImageSet, require_train
from generators.base import BaseGenerator, Generator
from generators.registry import generators
from synthworth.artifacts import read_json, write_json
from synthworth.commands import guarded
from synthworth.errors import UserError
from synthworth.work import FitReport, Work

NAMES = [row.name for row in generators.listing() if row.source == "built in"]
OF_ONES_OWN = ("lora", "pool")
"""What needs files that the small set made here does not have: `tests/test_lora.py`, `tests/test_pool.py`."""


@pytest.mark.parametrize(("multilabel", "channels"), [(False, 1), (True, 3)], ids=["single-grey", "multi-rgb"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in OF_ONES_OWN])
def test_every_generator_keeps_the_contract(name: str, multilabel: bool, channels: int) -> None:
    results = check_generator(generators.get(name), multilabel=multilabel, channels=channels)
    assert [f"{r.name}: {r.message}" for r in results if not r.passed] == []


def test_what_draws_from_images_of_ones_own_is_not_checked_with_others(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(main, ["pool"]) == 2
    assert "pool draws from images of your own" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["lora"], ["lora", "--gen.rank", "4"]])
def test_what_cannot_do_without_an_option_is_not_checked_without_it(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(main, words) == 2
    assert "lora cannot be checked without --gen.base, which has no default" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_every_generator_satisfies_the_protocol(name: str) -> None:
    assert isinstance(generators.get(name)(), Generator)


@dataclass(frozen=True)
class Plain:
    """Options of a well-behaved toy."""

    brightness: int = 100
    """Grey level around which it draws."""


class Toy(BaseGenerator):
    """Draws noise around a grey level, keeps a step counter, and does everything right."""

    Config = Plain

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        self.require(train)
        self.shape = list(train.images.shape[1:])
        file = work.folder / "steps.json"
        done = read_json(file) if file.is_file() else 0
        for step in range(done, work.budget.steps):
            work.log(step + 1, loss=0.0)
            write_json(file, step + 1)
        return FitReport(work.budget.steps, work.budget.steps, 0.0)

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        rng = np.random.default_rng(seed)
        noise = rng.normal(self.config.brightness, 10, (len(labels), *self.shape))
        kinds = labels.numpy().astype(int)
        shift = 20 * (kinds if kinds.ndim == 1 else kinds @ 2 ** np.arange(kinds.shape[1]))
        return torch.from_numpy((noise + shift[:, None, None, None]).clip(0, 255).astype(np.uint8))

    def save(self, folder: Path) -> None:
        write_json(folder / "model.json", self.shape)

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Any:
        toy = cls()
        toy.shape = read_json(folder / "model.json")
        return toy


@dataclass
class Melting:
    """Not frozen."""

    brightness: int = 100
    """Grey level."""


@dataclass(frozen=True)
class Silent:
    """One field says nothing."""

    brightness: int = 100
    """Grey level."""
    mystery: int = 3


class NotFrozen(Toy):
    Config = Melting


class Undocumented(Toy):
    Config = Silent


class NoVersion(Toy):
    version = "1.0"  # type: ignore[assignment]


class LearnsFromAnything(Toy):
    def require(self, train: ImageSet) -> None:
        pass


class OverBudget(Toy):
    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        return FitReport(super().fit(train, seed=seed, work=work).steps + 1, 0, 0.0)


class ReportsNothing(Toy):
    def fit(self, train: ImageSet, *, seed: int, work: Work) -> Any:
        super().fit(train, seed=seed, work=work)


class SeedsTheWorld(Toy):
    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        report = super().fit(train, seed=seed, work=work)
        torch.manual_seed(seed)
        return report


class BeginsAgain(Toy):
    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        require_train(train, what="it")
        (work.folder / "steps.json").unlink(missing_ok=True)
        return super().fit(train, seed=seed, work=work)


class DrawsFloats(Toy):
    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        return super().sample(labels, seed=seed) / 255


class DrawsTooMany(Toy):
    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        return super().sample(torch.cat([labels, labels[:1]]), seed=seed)


class FailsOnNothing(Toy):
    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        return torch.stack(list(super().sample(labels, seed=seed)))


class ReadsGlobalState(Toy):
    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        with torch.random.fork_rng():
            return torch.randint(0, 256, (len(labels), *self.shape), dtype=torch.uint8)


class IgnoresItsSeed(Toy):
    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        return super().sample(labels, seed=0)


class DependsOnTheBatch(Toy):
    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        images = super().sample(labels, seed=seed).float()
        return (images - images.mean() + 20 * len(images)).clamp(0, 255).byte() if len(images) else images.byte()


class StirsNumpy(Toy):
    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        np.random.rand()  # noqa: NPY002
        return super().sample(labels, seed=seed)


class ForgetsOnSaving(Toy):
    @classmethod
    def load(cls, folder: Path, *, device: str) -> Any:
        toy = super().load(folder, device=device)
        toy.config = Plain(brightness=30)
        return toy


class Pickles(Toy):
    def save(self, folder: Path) -> None:
        super().save(folder)
        torch.save(self.shape, folder / "shape.pt")


class Crashes(Toy):
    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        raise ZeroDivisionError("by accident")


class SingleOnly(Toy):
    tasks = ("single",)


class ClaimsSingleOnly(SingleOnly):
    def require(self, train: ImageSet) -> None:
        require_train(train, what="it")


class IgnoresItsLabel(Toy):
    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        return super().sample(torch.zeros_like(labels), seed=seed)


class ControlThatIgnoresItsLabel(IgnoresItsLabel):
    is_control = True


class ListensToOneLabelOnly(Toy):
    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        return super().sample((labels == 1).long(), seed=seed)


def failures(cls: type, **options: Any) -> dict[str, str]:
    return {r.name: r.message for r in check_generator(cls, size=16, **options) if not r.passed}


def test_a_generator_that_keeps_the_contract_passes_every_check() -> None:
    assert failures(Toy) == {}
    assert failures(Toy, multilabel=True, channels=3) == {}


@pytest.mark.parametrize(
    ("broken", "check", "says"),
    [
        (NotFrozen, "config", "Melting is not frozen"),
        (Undocumented, "config", "without a docstring: mystery"),
        (NoVersion, "version", "version is '1.0'"),
        (LearnsFromAnything, "refusal", "fit learned from the val split"),
        (OverBudget, "fit", "fit reports 9 steps of a budget of 8"),
        (ReportsNothing, "fit", "fit returned NoneType and no FitReport"),
        (SeedsTheWorld, "fit", "fit changed the global random state of torch"),
        (BeginsAgain, "resume", "an interrupted fit began again"),
        (DrawsFloats, "sample", "sample gives torch.float32, not uint8"),
        (DrawsTooMany, "sample", "for 7 labels"),
        (FailsOnNothing, "empty", "RuntimeError: stack expects a non-empty"),
        (ReadsGlobalState, "seed", "the same seed drew other bytes"),
        (IgnoresItsSeed, "seed", "two seeds drew the same images"),
        (IgnoresItsLabel, "label", "labels 0 and 1 drew the same images"),
        (ListensToOneLabelOnly, "label", "labels 0 and 2 drew the same images"),
        (DependsOnTheBatch, "rows", "sample(labels)[:1] and sample(labels[:1]) lie"),
        (StirsNumpy, "sample_state", "sample changed the global random state of numpy"),
        (ForgetsOnSaving, "saving", "a saved and loaded model draws other images"),
        (Pickles, "formats", "save wrote shape.pt"),
        (Crashes, "fit", "ZeroDivisionError: by accident (test_check.py:"),
    ],
)  # fmt: skip
def test_each_way_of_breaking_the_contract_is_caught(broken: type, check: str, says: str) -> None:
    found = failures(broken)
    assert check in found
    assert says in found[check]
    assert "\n" not in found[check]


def test_a_label_must_change_what_is_drawn_but_by_a_control() -> None:
    assert failures(IgnoresItsLabel).keys() == {"label"}
    assert failures(IgnoresItsLabel, multilabel=True).keys() == {"label"}
    assert failures(ControlThatIgnoresItsLabel) == {}


def test_a_failed_check_says_what_was_expected_beside_the_error() -> None:
    (found,) = (r for r in check_generator(Crashes, size=16) if r.name == "fit")
    assert found.expected == "fit returns a FitReport within the budget and leaves the global random state alone."


def test_a_task_left_out_must_be_refused() -> None:
    assert failures(SingleOnly, multilabel=True) == {}
    assert "is not in tasks" in failures(ClaimsSingleOnly, multilabel=True)["task_refusal"]


def test_the_command_prints_a_table_and_leaves_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["noise", "--multi", "--channels", "3", "--size", "16"]) == 0
    assert "generator noise: 12 of 12 checks passed" in capsys.readouterr().out


def test_the_command_leaves_with_one_and_its_first_line_is_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "class Strange:\n    def fit(self): ...\n    def sample(self): ...\n    def load(self): ...\n\nthing = 3\n"
    (tmp_path / "strange.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["strange:Strange"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "FAIL  config        Strange has no Config"
    assert lines[1].strip().startswith("expected: Config is a frozen dataclass with defaults")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["latent_dpm"], "Did you mean 'latent_ddpm'"),
        (["no_such_module:Thing"], "cannot be imported"),
        (["generators.base:Nothing"], "cannot be imported"),
        (["generators.registry:generators"], "is neither a class nor a function"),
        (["data.images:ImageSet"], "ImageSet is no plugin: it lacks methods"),
        (["noise", "--kind", "metric"], "no metric named 'noise'"),
        (["noise", "--channels", "2"], "1 or 3"),
        (["noise", "--plugin", "/nowhere/x.py"], "no such file"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_two(
    args: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(main, args) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def test_require_train_is_what_the_refusal_means() -> None:
    with pytest.raises(UserError, match="train split only"):
        require_train(object(), what="it")  # type: ignore[arg-type]
