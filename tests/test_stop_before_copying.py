"""A fit that stops before what it draws copies: when, with which weights, and after any kill the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.check.checks import make_images
from data.images import pixel_digests
from generators.copy_stop import CopyStop
from generators.dcgan import DCGAN, DCGANPerClass
from generators.first_stage import FirstStageConfig
from generators.gmvae import GMVAE
from generators.latent_ddpm import LatentDDPM
from generators.pixel_ddpm import PixelDDPM
from generators.training import Trainer
from generators.vae import VAE
from synthworth.artifacts import ensure_folder
from synthworth.errors import Diverged, UserError
from synthworth.processes import run_together
from synthworth.training.captured import Lane
from synthworth.work import Budget, CopyLook, FitReport, Work

pytestmark = pytest.mark.usefixtures("one_thread")

FAMILIES = [DCGAN, VAE, GMVAE, PixelDDPM, LatentDDPM]
ASKED = {"stop_at_copy_rate": 0.1, "copy_looks": 4, "copy_images": 20}
STEPS = 8
GOOD, BAD = (0.0, 0.0, 0.0, 0.0), (0.02, 0.1, 0.3, 0.0)


class Scripted:
    """A judge that says one rate after another, and the same of the same images."""

    chance = 0.01

    def __init__(self, rates: Sequence[float]) -> None:
        self.rates, self.said, self.images = list(rates), dict[bytes, float](), list[Tensor]()
        self.asked = 0

    def __call__(self, images: Tensor) -> CopyLook:
        self.asked += 1
        key = b"".join(pixel_digests(images))
        if key not in self.said:
            self.said[key] = self.rates[len(self.said)]
            self.images.append(images)
        rate = self.said[key]
        return CopyLook(rate, rate / 2, min(1.0, 2 * rate))


def fit(cls: Any, folder: Path, judge: Any = None, *, steps: int = STEPS, **asked: Any) -> tuple[Any, FitReport]:
    folder.mkdir(parents=True, exist_ok=True)
    of_work = {k: asked.pop(k) for k in ("log", "checkpoint_seconds", "devices", "budget") if k in asked}
    model = cls(dataclasses.replace(cls.tiny_config(), **asked))
    films = make_images(multilabel=False, channels=1, size=16, n=24)
    work = Work(folder, copy_judge=judge, **{"budget": Budget(steps), **of_work})
    return model, model.fit(films, seed=0, work=work)


def drawn(model: Any) -> Tensor:
    found: Tensor = model.sample(torch.tensor([0, 1, 2, 0]), seed=1)
    return found


@pytest.mark.parametrize(
    ("cls", "change"),
    [*((cls, {}) for cls in FAMILIES), (DCGAN, {"ema": None, "spectral": "both"}), (GMVAE, {"context": 0})],
)
def test_a_fit_that_no_look_ends_is_the_fit_without_looks(cls: Any, change: dict[str, Any], tmp_path: Path) -> None:
    plain, told = fit(cls, tmp_path / "plain", **change)
    looked, said = fit(cls, tmp_path / "looked", Scripted(GOOD), **ASKED, **change)
    assert torch.equal(drawn(looked), drawn(plain))
    assert said.history == told.history and said.steps == told.steps == STEPS
    assert said.stopped == "steps" and "copying" not in told.facts
    seen = said.facts["copying"]
    assert (seen["kept"], seen["stopped"], len(seen["looks"])) == (seen["n_steps"], None, 4)


@pytest.mark.parametrize("cls", FAMILIES)
def test_what_is_kept_draws_what_the_last_good_look_saw(
    cls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[CopyStop] = []
    known = CopyStop.__init__

    def remembered(self: CopyStop, *args: Any, **named: Any) -> None:
        made.append(self)
        known(self, *args, **named)

    monkeypatch.setattr(CopyStop, "__init__", remembered)
    judge = Scripted(BAD)
    model, report = fit(cls, tmp_path, judge, **ASKED)
    seen = report.facts["copying"]
    assert report.stopped == "copies"
    assert [look["rate"] for look in seen["looks"]] == [0.02, 0.1, 0.3], "a rate at the bound is not above it"
    every = seen["n_steps"] // 4
    assert (seen["kept"], seen["stopped"]) == (2 * every, 3 * every)
    assert report.steps == STEPS - seen["n_steps"] + 3 * every, "what was trained is counted, not what is kept"
    again = model.sample(made[-1].labels, seed=made[-1].seed)
    assert torch.equal(again, judge.images[1])
    assert not torch.equal(again, judge.images[2])
    model.save(ensure_folder(tmp_path / "saved"))
    assert torch.equal(cls.load(tmp_path / "saved", device="cpu").sample(made[-1].labels, seed=made[-1].seed), again)


class Cut(Exception):
    """A kill."""


def killed_after(n: int) -> Any:
    """A log that ends the fit at its n-th line: there is one a step."""
    lines = [0]

    def log(step: int, **scalars: float) -> None:
        lines[0] += 1
        if lines[0] == n:
            raise Cut

    return log


@pytest.mark.parametrize("cls", [DCGAN, VAE, PixelDDPM])
def test_after_a_kill_at_any_step_it_ends_the_same(cls: Any, tmp_path: Path) -> None:
    whole, told = fit(cls, tmp_path / "whole", Scripted(BAD), **ASKED)
    for n in range(1, 7):
        judge, folder = Scripted(BAD), tmp_path / str(n)
        with pytest.raises(Cut):
            fit(cls, folder, judge, log=killed_after(n), checkpoint_seconds=0.0, **ASKED)
        resumed, said = fit(cls, folder, judge, checkpoint_seconds=0.0, **ASKED)
        assert torch.equal(drawn(resumed), drawn(whole)), n
        assert said.history == told.history and (said.steps, said.stopped) == (6, "copies")
        ours, theirs = (report.facts["copying"] | {"seconds": 0} for report in (said, told))
        assert ours == theirs
        assert judge.asked <= 4, "of the looks at most the one that was cut off is taken again"


def test_a_kill_in_the_middle_of_a_look_takes_it_again(tmp_path: Path) -> None:
    whole, _ = fit(DCGAN, tmp_path / "whole", Scripted(BAD), **ASKED)

    class Dies(Scripted):
        def __call__(self, images: Tensor) -> CopyLook:
            if len(self.said) == 1 and self.asked == 1:
                self.asked += 1
                raise Cut
            return super().__call__(images)

    judge = Dies(BAD)
    with pytest.raises(Cut):
        fit(DCGAN, tmp_path / "cut", judge, checkpoint_seconds=0.0, **ASKED)
    resumed, report = fit(DCGAN, tmp_path / "cut", judge, checkpoint_seconds=0.0, **ASKED)
    assert torch.equal(drawn(resumed), drawn(whole))
    assert [look["step"] for look in report.facts["copying"]["looks"]] == [2, 4, 6]


def test_a_finished_fit_that_is_called_again_looks_no_more(tmp_path: Path) -> None:
    judge = Scripted(BAD)
    first, told = fit(DCGAN, tmp_path, judge, **ASKED)
    again, said = fit(DCGAN, tmp_path, judge, **ASKED)
    assert judge.asked == 3
    assert torch.equal(drawn(again), drawn(first)) and said.facts == told.facts
    assert (said.steps, said.stopped, said.history) == (told.steps, "copies", told.history)


def test_the_last_look_is_at_the_end_and_decides_as_the_others(tmp_path: Path) -> None:
    _, report = fit(DCGAN, tmp_path, Scripted((0.0, 0.3)), **{**ASKED, "copy_looks": 2})
    seen = report.facts["copying"]
    assert (report.steps, report.stopped, seen["kept"], seen["stopped"]) == (STEPS, "copies", 4, STEPS)


def test_more_looks_than_steps_are_one_a_step(tmp_path: Path) -> None:
    _, report = fit(DCGAN, tmp_path, Scripted([0.0] * 3), steps=3, **{**ASKED, "copy_looks": 50})
    assert [look["step"] for look in report.facts["copying"]["looks"]] == [1, 2, 3]


def test_a_fit_that_the_clock_ends_is_looked_at_where_it_ended(tmp_path: Path) -> None:
    budget = Budget(1_000_000, seconds=0.3)
    _, report = fit(DCGAN, tmp_path, Scripted([0.0]), budget=budget, **{**ASKED, "copy_looks": 1})
    (look,) = report.facts["copying"]["looks"]
    assert report.stopped == "seconds" and 0 < look["step"] == report.steps < 1_000_000


def test_the_time_of_looks_is_time_of_the_fit(tmp_path: Path) -> None:
    class Slow(Scripted):
        def __call__(self, images: Tensor) -> CopyLook:
            import time

            time.sleep(1.0)
            return super().__call__(images)

    _, report = fit(VAE, tmp_path, Slow(GOOD), steps=1, **ASKED)
    assert report.facts["copying"]["seconds"] >= 1.0
    assert report.seconds >= 1.0, "the look at the end too"


def test_where_the_first_look_copies_nothing_is_kept_and_the_line_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Diverged) as caught:
        fit(DCGAN, tmp_path, Scripted((0.4,)), **ASKED)
    assert "--gen.stop-at-copy-rate 0.1 was asked for: of the 20 images drawn at the first look" in str(caught.value)
    assert "after step 2 of 8, 0.400 are near-copies" in str(caught.value)
    assert "more --gen.copy-looks" in str(caught.value)


@pytest.mark.parametrize("cls", FAMILIES)
def test_without_a_judge_nothing_is_trained(cls: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nobody is there to tell what a copy is"):
        fit(cls, tmp_path, **ASKED)
    assert not list(tmp_path.rglob("*.ckpt"))


def test_the_autoencoder_of_a_latent_generator_cannot_be_asked_to() -> None:
    with pytest.raises(UserError, match="an autoencoder draws nothing by itself; set --gen"):
        FirstStageConfig(stop_at_copy_rate=0.1)


@pytest.mark.parametrize("change", [{"stop_at_copy_rate": 1.0}, {"copy_looks": 0}, {"copy_images": 19}])
@pytest.mark.parametrize("cls", FAMILIES)
def test_values_out_of_range_are_refused(cls: Any, change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="out of range"):
        dataclasses.replace(cls.tiny_config(), **change)


def test_each_model_of_a_class_stops_by_itself(tmp_path: Path) -> None:
    judge = Scripted((0.0, 0.3, 0.0, 0.0, 0.0, 0.3))
    _, report = fit(DCGANPerClass, tmp_path, judge, **{**ASKED, "copy_looks": 2})
    found = {name: seen for name, seen in report.facts.items() if name.startswith("copying")}
    assert {name: seen["stopped"] is not None for name, seen in found.items()} == {
        "copying[left]": True, "copying[middle]": False, "copying[right]": True
    }  # fmt: skip
    assert report.stopped == "copies"
    with pytest.raises(Diverged, match="the model of middle: --gen"):
        fit(DCGANPerClass, tmp_path / "other", Scripted((0.0, 0.0, 0.3)), **{**ASKED, "copy_looks": 2})


class Entered(Lane):
    """A lane on the CPU that tells whether work is done in it."""

    inside = False

    def __init__(self) -> None:
        super().__init__("cpu")

    @contextmanager
    def __call__(self) -> Iterator[None]:  # type: ignore[override]
        self.inside = True
        yield
        self.inside = False

    def record(self, run: Any) -> Any:
        return run


def test_looks_are_taken_where_the_steps_are_and_leave_recorded_ones_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, _ = fit(PixelDDPM, tmp_path / "plain", Scripted(BAD), **ASKED)
    lane = Entered()
    monkeypatch.setattr(Trainer, "lane", lambda self: lane)

    class Inside(Scripted):
        def __call__(self, images: Tensor) -> CopyLook:
            assert lane.inside
            return super().__call__(images)

    recorded, _ = fit(PixelDDPM, tmp_path / "recorded", Inside(BAD), **ASKED)
    assert torch.equal(drawn(recorded), drawn(plain))


def fit_in_process(rank: int, folder: Path, devices: int) -> tuple[str, int, list[float]]:
    judge = Scripted(BAD if rank == 0 else ())
    _, report = fit(VAE, folder, judge, devices=devices, accumulate=2, **ASKED)
    seen = report.facts["copying"]
    assert seen["kept"] == 4 and judge.asked == (3 if rank == 0 else 0)
    return report.stopped, report.steps, [look["rate"] for look in seen["looks"]]


def test_of_several_processes_one_looks_and_all_stop(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    two = run_together(fit_in_process, tmp_path / "two", 2, n=2, what="test")
    assert two == fit_in_process(0, tmp_path / "one", 1) == ("copies", 6, [0.02, 0.1, 0.3])
