"""Rectified flow: what is learned, how noise and images are paired, and what cannot be asked for."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks.check.checks import check_generator, make_images
from generators.backbones import DiTConfig
from generators.conditioning import ConditionConfig
from generators.flow import Flow, FlowConfig, LatentFlow
from generators.flow_matching import OF_TIME, FlowMatching, coupled, times_of
from synthworth.devices import isolated_randomness
from synthworth.errors import UserError
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")


def noised(process: FlowMatching, clean: Tensor, *, drop: float = 0.3) -> tuple[Tensor, ...]:
    with isolated_randomness(0):
        return process.noised(clean, torch.arange(len(clean)), drop=drop)


def test_the_loss_is_the_squared_error_of_the_velocity_between_noise_and_image() -> None:
    clean = torch.randn(512, 2, 3, 3)
    noisy, times, target, dropped = noised(FlowMatching("uniform", mean=0, spread=1), clean)
    t = (times / OF_TIME).view(-1, 1, 1, 1)
    noise = target + clean
    assert torch.allclose(noisy, (1 - t) * clean + t * noise, atol=1e-5)
    assert noise.mean().abs() < 0.05 and noise.std().item() == pytest.approx(1, abs=0.05)
    assert 0.2 < dropped.float().mean() < 0.4
    seen: list[Tensor] = []

    def net(x: Tensor, times: Tensor, condition: Tensor, dropped: Tensor) -> Tensor:
        seen.extend([x, times, condition, dropped])
        return torch.zeros_like(x)

    labels = torch.arange(512)
    loss = FlowMatching("uniform", mean=0, spread=1).error(net, noisy, times, target, dropped, labels)
    assert loss.item() == pytest.approx(target.square().mean().item(), rel=1e-5)
    for given, wanted in zip(seen, (noisy, times, labels, dropped), strict=True):
        assert torch.equal(given, wanted)


def test_times_are_logit_normal_or_uniform_and_stratified() -> None:
    clean = torch.zeros(4000, 1)
    uniform = noised(FlowMatching("uniform", mean=0, spread=1), clean)[1] / OF_TIME
    assert torch.equal((uniform * 4000).long(), torch.arange(4000))
    logit = torch.logit(noised(FlowMatching("logit_normal", mean=0.5, spread=0.7), clean)[1] / OF_TIME)
    assert (logit.mean().item(), logit.std().item()) == (pytest.approx(0.5, abs=0.01), pytest.approx(0.7, abs=0.01))


def test_noise_is_paired_by_the_least_sum_of_squares_among_images_of_one_label_alone() -> None:
    noise, clean = torch.randn(6, 4), torch.randn(6, 4)
    alike = torch.tensor([0, 1, 0, 1, 0, 1])
    chosen = coupled(noise, clean, alike)
    assert sorted(chosen.tolist()) == list(range(6))
    assert torch.equal(alike[chosen], alike)
    for number in (0, 1):
        rows = [k for k in range(6) if alike[k] == number]
        costs = {
            order: sum((noise[j] - clean[i]).square().sum().item() for i, j in zip(rows, order, strict=True))
            for order in itertools.permutations(rows)
        }
        assert tuple(chosen[rows].tolist()) == min(costs, key=costs.__getitem__)


def test_a_coupling_pairs_nearer_noise_and_leaves_noise_normal_within_each_label() -> None:
    labels = torch.arange(400) % 2
    with isolated_randomness(1):
        clean = torch.where(labels == 0, -2.0, 2.0).view(-1, 1) + torch.randn(400, 3)
    apart = noised(FlowMatching("uniform", mean=0, spread=1), clean)
    paired = noised(FlowMatching("uniform", mean=0, spread=1, alike=labels), clean)
    assert paired[2].square().sum() < 0.8 * apart[2].square().sum()
    for label in (0, 1):  # pairs over all of a batch would give images of -2 the noise below 0
        noise = (paired[2] + clean)[labels == label]
        assert noise.mean().abs() < 0.15


def test_a_shift_spends_steps_on_noise() -> None:
    assert times_of(4, shift=1.0) == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert times_of(4, shift=3.0) == pytest.approx([1.0, 0.9, 0.75, 0.5, 0.0])


def test_flow_learns_what_it_is_told(tmp_path: Path) -> None:
    """Two classes of flat films, one dark and one bright: each is drawn for its label, with guidance and without."""
    films = make_images(multilabel=False, channels=1, size=8, n=64)
    images = torch.where(films.labels.view(-1, 1, 1, 1) == 0, 40, 210).to(torch.uint8).expand(-1, 1, 8, 8)
    films = dataclasses.replace(films, images=images.contiguous())
    config = dataclasses.replace(Flow.tiny_config(), patch=1, batch=16, lr=3e-3, ema=0.9, sampling_steps=6)
    for guidance in (1.0, 1.5):
        model = Flow(dataclasses.replace(config, guidance=guidance))
        (tmp_path / f"{guidance}").mkdir()
        model.fit(films, seed=0, work=Work(tmp_path / f"{guidance}", budget=Budget(200)))
        drawn = model.sample(torch.tensor([0, 1] * 4), seed=1).float()
        assert drawn[0::2].mean().item() == pytest.approx(40, abs=25)
        assert drawn[1::2].mean().item() == pytest.approx(210, abs=25)


class DiTFlow(Flow):
    """With a transformer, a coupling and a shift, for the contract test."""

    @classmethod
    def tiny_config(cls) -> FlowConfig:
        small = DiTConfig(patch=4, width=16, depth=2, head_width=8)
        return FlowConfig(backbone="dit", dit=small, batch=8, sampling_steps=2, coupling=True, shift=2.0)


@pytest.mark.parametrize(("channels", "multilabel"), [(1, False), (3, True)])
@pytest.mark.parametrize("cls", [Flow, DiTFlow, LatentFlow])
def test_the_contract_is_kept(cls: type[Flow], channels: int, multilabel: bool) -> None:
    results = check_generator(cls, multilabel=multilabel, channels=channels)
    assert [r for r in results if not r.passed] == []


def test_options_that_cannot_be_are_refused_with_what_can() -> None:
    for change, what in {
        "sampling_steps": (0, "sampling.steps 0 was asked for.*1 or more"), "shift": (0.0, "shift 0.*0.01 to 100"),
        "times_spread": (-1.0, "times.spread -1.*above 0"),
    }.items():  # fmt: skip
        with pytest.raises(UserError, match=what[1]):
            FlowConfig(**{change: what[0]})
    with pytest.raises(UserError, match=r"coupling pairs images of one label.*multilabel tells more.*leave"):
        FlowConfig(coupling=True, condition=ConditionConfig(kind="multilabel"))
    with pytest.raises(UserError, match=r"guidance 2 needs a prediction without condition"):
        Flow(FlowConfig(guidance=2.0, drop=0.0)).check_drawing()
