"""Consistency tuning: pairs of noises, what is held, the teacher, and what cannot be asked for."""

from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.check.checks import check_generator, make_images
from data.images import ImageSet
from generators.consistency import Consistency, ConsistencyConfig
from generators.consistency_tuning import ConsistencyTuning
from generators.edm import EDM, EDMConfig
from generators.karras import OF_NOISE, Preconditioned
from synthworth.devices import isolated_randomness
from synthworth.errors import UserError
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")

KNOWN = Preconditioned(0.5)
TINY = Consistency.tiny_config()


def tuning(progress: float = 0.0, stages: int = 8) -> ConsistencyTuning:
    return ConsistencyTuning(KNOWN, lowest=0.002, stages=stages, progress=lambda: progress)


def test_pairs_draw_nearer_by_halves_in_the_course_of_the_tuning() -> None:
    s = torch.tensor([0.05, 1.0, 20.0])
    n = 1 + 8 * torch.sigmoid(-s)
    for progress, stage in ((0.0, 1), (0.13, 2), (0.5, 5), (0.99, 8), (1.0, 8)):
        wanted = (s * (1 - n / 2**stage)).clamp(min=0.002)
        assert torch.allclose(tuning(progress).nearer(s), wanted), progress
    assert (tuning(0.0).nearer(s) == 0.002)[:2].all()  # at first the held side has hardly any noise


def test_both_sides_of_a_pair_have_one_image_and_one_noise() -> None:
    clean = torch.randn(256, 1, 4, 4)
    with isolated_randomness(0):
        noisy, nearer, s, r, _ = tuning(0.6).noised(clean, torch.arange(256), drop=0.1)
    wide = [level.view(-1, 1, 1, 1) for level in (s, r)]
    assert (s > r).all() and (r >= 0.002).all()
    assert torch.allclose((noisy - clean) / wide[0], (nearer - clean) / wide[1], atol=1e-2)


def test_an_exact_consistency_function_of_flat_films_has_no_loss() -> None:
    """Where every film is the same, f(x; s) is that film, whatever the noise."""
    clean = torch.full((64, 1, 4, 4), 0.3)

    def net(seen: Tensor, times: Tensor, condition: Tensor, dropped: Tensor) -> Tensor:
        s = (4 * times / OF_NOISE).exp().view(-1, 1, 1, 1)
        return (0.3 - KNOWN.skip(s) * seen / KNOWN.into(s)) / KNOWN.out(s)

    with isolated_randomness(0):
        drawn = tuning(0.3).noised(clean, torch.arange(64), drop=0.0)
    assert tuning(0.3).error(net, *drawn, torch.zeros(64)).item() == pytest.approx(0, abs=1e-3)


def test_the_loss_is_the_weighted_pseudo_huber_distance_and_the_nearer_side_is_held() -> None:
    scale = torch.tensor(0.7, requires_grad=True)
    clean = torch.randn(32, 1, 4, 4)
    with isolated_randomness(0):
        noisy, nearer, s, r, dropped = tuning(0.5).noised(clean, torch.arange(32), drop=0.0)
    process = tuning(0.5)
    error = process.error(lambda seen, *_: scale * seen, noisy, nearer, s, r, dropped, torch.zeros(32))

    def f(x: Tensor, level: Tensor, by: Tensor) -> Tensor:
        wide = level.view(-1, 1, 1, 1)
        return KNOWN.skip(wide) * x + KNOWN.out(wide) * by * KNOWN.into(wide) * x

    away = f(noisy, s, scale) - f(nearer, r, scale.detach())
    c = 0.00054 * math.sqrt(16)
    wanted = (((away.flatten(1).square().sum(1) + c**2).sqrt() - c) / (s - r)).mean()
    assert error.item() == pytest.approx(wanted.item(), rel=1e-5)
    error.backward()
    found = scale.grad.clone()  # type: ignore[union-attr]
    scale.grad = None
    wanted.backward()
    assert torch.allclose(found, scale.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize(("channels", "multilabel"), [(1, False), (3, True)])
def test_the_contract_is_kept(channels: int, multilabel: bool) -> None:
    results = check_generator(Consistency, multilabel=multilabel, channels=channels)
    assert [r for r in results if not r.passed] == []


@pytest.fixture
def films() -> ImageSet:
    return make_images(multilabel=False, channels=1, size=16, n=24)


@pytest.fixture
def teacher(films: ImageSet, tmp_path: Path) -> Path:
    """A fitted edm that was augmented."""
    for name in ("work", "teacher"):
        (tmp_path / name).mkdir()
    model = EDM(dataclasses.replace(EDM.tiny_config(), augment=0.2))
    model.fit(films, seed=0, work=Work(tmp_path / "work", budget=Budget(3)))
    model.save(tmp_path / "teacher")
    return tmp_path / "teacher"


def test_tuning_starts_from_the_teacher_that_is_given_and_takes_all_of_the_budget(
    films: ImageSet, teacher: Path, tmp_path: Path
) -> None:
    model = Consistency(dataclasses.replace(TINY, teacher=str(teacher), tuning_lr=1e-9, ema=0.5))
    report = model.fit(films, seed=0, work=Work(tmp_path / "work", budget=Budget(2)))
    assert (report.steps, report.facts["teacher_steps"]) == (2, 0)
    theirs, ours = EDM.load(teacher, device="cpu").denoiser.state_dict(), model.denoiser.state_dict()
    assert {*theirs} - {*ours} == {"of_augmented.weight"}
    for name, weight in ours.items():
        assert torch.allclose(weight, theirs[name], atol=1e-6), name


def test_a_share_of_the_budget_trains_a_teacher_where_none_is_given(films: ImageSet, tmp_path: Path) -> None:
    model = Consistency(dataclasses.replace(TINY, teacher_share=0.75))
    report = model.fit(films, seed=0, work=Work(tmp_path, budget=Budget(8)))
    assert (report.steps, report.facts["teacher_steps"]) == (8, 6)
    with pytest.raises(UserError, match="Consistency trains 2 networks or stages in turn, and has 1 steps"):
        Consistency(TINY).fit(films, seed=0, work=Work(tmp_path, budget=Budget(1)))


def test_a_few_step_model_without_its_teacher_is_refused_in_a_line(teacher: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tunes an `edm`, and there is none: .*give a fitted edm's folder, or a share"):
        ConsistencyConfig(teacher_share=0.0)
    with pytest.raises(UserError, match=r"--gen.teacher '.*nowhere': there is no such file or folder"):
        ConsistencyConfig(teacher=str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"the teacher 12ab is asked for; say with --gen.teacher where it is"):
        Consistency(dataclasses.replace(TINY, teacher_id="12ab")).check_files(fetch=False, channels=1, size=16)
    known = {"fetch": False, "channels": 1, "size": 16}
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no fitted edm \(model.json is missing\)"):
        Consistency(dataclasses.replace(TINY, teacher=str(tmp_path / "empty"))).check_files(**known)
    given = dataclasses.replace(TINY, teacher=str(teacher))
    Consistency(given).check_files(**known)
    with pytest.raises(UserError, match="was fitted with size 16, not 32; give an edm like this"):
        Consistency(given).check_files(fetch=False, channels=1, size=32)
    with pytest.raises(UserError, match=r"was fitted with widths \(8, 16\); give an edm like this"):
        Consistency(dataclasses.replace(given, widths=(16, 16))).check_files(**known)
    (teacher / "conditioner.json").write_text("changed")
    with pytest.raises(UserError, match="it has changed, or the id beside it is another's"):
        Consistency(given).check_files(**known)


def test_what_was_fitted_by_another_generator_is_no_teacher(films: ImageSet, tmp_path: Path) -> None:
    from generators.flow import Flow

    for name in ("work", "flow"):
        (tmp_path / name).mkdir()
    other = Flow(Flow.tiny_config())
    other.fit(films, seed=0, work=Work(tmp_path / "work", budget=Budget(2)))
    other.save(tmp_path / "flow")
    model = Consistency(dataclasses.replace(TINY, teacher=str(tmp_path / "flow")))
    with pytest.raises(UserError, match=r"flow holds another generator than an edm; give the folder of one"):
        model.check_files(fetch=False, channels=1, size=16)


def test_the_teachers_options_are_those_that_were_asked_for() -> None:
    model = Consistency(dataclasses.replace(TINY, lr=2e-3, widths=(8, 8), sigma_data=0.4, drop=0.2))
    taught = model._teacher_options()
    assert (taught.lr, taught.widths, taught.sigma_data, taught.drop) == (2e-3, (8, 8), 0.4, 0.2)
    assert taught.sampling_steps == EDMConfig().sampling_steps


def test_a_pair_is_compared_in_fp32_where_all_else_is_in_bf16(
    films: ImageSet, tmp_path: Path, monkeypatch: Any
) -> None:
    """In bf16 the two sides of a late pair differ by less than their rounding. Fabric casts what a network is given."""
    seen: dict[str, set[torch.dtype]] = {"teacher": set(), "tuned": set()}
    error = ConsistencyTuning.error

    def tuned(self: ConsistencyTuning, net: Any, *drawn: Tensor) -> Tensor:
        stages.append("tuned")
        try:
            return error(self, net, *drawn)
        finally:
            stages.pop()

    stages = ["teacher"]
    monkeypatch.setattr(ConsistencyTuning, "error", tuned)

    def watch(module: Any, inputs: Any, output: Tensor) -> None:
        if type(module).__name__ == "Denoiser":
            seen[stages[-1]] |= {x.dtype for x in (*inputs, output) if x.is_floating_point()}

    with torch.nn.modules.module.register_module_forward_hook(watch):
        Consistency(TINY).fit(films, seed=0, work=Work(tmp_path, budget=Budget(4), precision="bf16"))
    assert seen["tuned"] == {torch.float32}
    assert torch.bfloat16 in seen["teacher"]


def test_the_rate_of_the_tuning_stays_where_it_is(films: ImageSet, tmp_path: Path, monkeypatch: Any) -> None:
    from generators.training import Trainer

    asked, learner = [], Trainer.learner

    def looked(self: Trainer, *args: Any, **kwargs: Any) -> Any:
        asked.append((kwargs["lr"], kwargs.get("schedule", "cosine")))
        return learner(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "learner", looked)
    Consistency(TINY).fit(films, seed=0, work=Work(tmp_path, budget=Budget(4)))
    assert asked == [(TINY.lr, "cosine"), (TINY.tuning_lr, "constant")]


def test_a_teacher_that_hid_no_condition_cannot_be_guided(films: ImageSet, tmp_path: Path) -> None:
    saved = EDM(dataclasses.replace(EDM.tiny_config(), drop=0.0, guidance=1.0))
    for name in ("work", "edm"):
        (tmp_path / name).mkdir()
    saved.fit(films, seed=0, work=Work(tmp_path / "work", budget=Budget(1)))
    saved.save(tmp_path / "edm")
    asked = dataclasses.replace(TINY, teacher=str(tmp_path / "edm"), guidance=2.0)
    with pytest.raises(UserError, match=r"guidance 2 needs a prediction without condition, and --gen.teacher .*drop 0"):
        Consistency(asked).check_files(fetch=False, channels=1, size=None)


def test_options_of_the_other_backbone_do_not_make_another_teacher(teacher: Path, films: ImageSet) -> None:
    from generators.backbones import DiTConfig

    asked = dataclasses.replace(TINY, teacher=str(teacher), dit=DiTConfig(patch=2))
    Consistency(asked).check_files(fetch=False, channels=films.channels, size=films.size)


def test_a_damaged_teacher_is_not_to_be_deleted(teacher: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(teacher, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"no")
    with pytest.raises(UserError, match=r"^--gen.teacher: .*is damaged.*; give another copy of that edm$") as said:
        Consistency(dataclasses.replace(TINY, teacher=str(broken))).check_files(fetch=False, channels=1, size=None)
    assert "Delete" not in str(said.value)


def test_what_a_teacher_saw_is_said_where_it_is_not_known(
    teacher: Path, films: ImageSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for answer, word in (("unknown", "is not known"), ("yes", "may have learned"), ("no", "")):
        caplog.clear()
        (tmp_path / answer).mkdir()
        asked = dataclasses.replace(TINY, teacher=str(teacher), saw_test=answer)  # type: ignore[arg-type]
        Consistency(asked).fit(films, seed=0, work=Work(tmp_path / answer, budget=Budget(1)))
        assert bool(word) is any(word in r.message for r in caplog.records if "--gen.saw-test" in r.message)
