"""EDM: the preconditioning, what is learned, augmentation that does not leak, and what cannot be asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from diffusers import EDMEulerScheduler
from torch import Tensor

from benchmarks.check.checks import check_generator, make_images
from generators.conditioning import ConditionConfig
from generators.edm import EDM, EDMConfig
from generators.karras import OF_NOISE, KarrasNoising, Preconditioned, log_normal, noises_of
from generators.nets.ada import EDM as KINDS
from generators.nets.ada import columns
from synthworth.devices import isolated_randomness
from synthworth.errors import UserError
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")


def noised(process: KarrasNoising, clean: Tensor) -> list[Tensor]:
    with isolated_randomness(0):
        return list(process.noised(clean, torch.arange(len(clean)), drop=0.3))


def test_the_preconditioning_is_that_of_diffusers() -> None:
    known, theirs = Preconditioned(0.4), EDMEulerScheduler(sigma_data=0.4)
    x, told = torch.randn(4, 1, 2, 2), torch.randn(4, 1, 2, 2)
    for s in (0.002, 0.1, 1.0, 30.0):
        noise = torch.tensor(s)
        assert torch.allclose(known.into(noise) * x, theirs.precondition_inputs(x, noise), rtol=1e-5)
        ours = known.skip(noise) * x + known.out(noise) * told
        assert torch.allclose(ours, theirs.precondition_outputs(x, told, noise), rtol=1e-4, atol=1e-6)
        assert torch.allclose(known.time(noise), OF_NOISE * theirs.precondition_noise(noise), rtol=1e-5)


def test_noises_are_spaced_as_in_the_source() -> None:
    ours = noises_of(18, lowest=0.002, highest=80.0, rho=7.0)
    theirs = EDMEulerScheduler(sigma_data=0.5)
    theirs.set_timesteps(18)
    assert ours == pytest.approx(theirs.sigmas[:-1].tolist(), rel=1e-3)
    assert noises_of(1, lowest=0.002, highest=80.0, rho=7.0) == [80.0]


def test_the_loss_is_the_weighted_error_of_the_denoised_image() -> None:
    """E lambda(s) || D(x + s e; s) - x ||^2 with lambda = (s^2 + d^2) / (s d)^2 (Karras 2022, eq. 2 and table 1)."""
    known, clean = Preconditioned(0.5), 0.5 * torch.randn(2000, 1, 2, 2)
    process = KarrasNoising(known, mean=-1.2, spread=1.2)
    seen, times, target, dropped = noised(process, clean)
    s = (4 * times / OF_NOISE).exp().view(-1, 1, 1, 1)
    assert (s.log().mean().item(), s.log().std().item()) == (
        pytest.approx(-1.2, abs=0.02),
        pytest.approx(1.2, abs=0.02),
    )
    assert seen.std().item() == pytest.approx(1, abs=0.05) and target.std().item() == pytest.approx(1, abs=0.05)
    noisy = seen / known.into(s)
    assert ((noisy - clean) / s).std().item() == pytest.approx(1, abs=0.03)
    told = torch.randn_like(clean)
    error = process.error(lambda *given: told, seen, times, target, dropped, torch.zeros(2000))
    away = known.skip(s) * noisy + known.out(s) * told - clean
    weighted = ((s**2 + 0.25) / (s * 0.5) ** 2 * away.square()).mean()
    assert error.item() == pytest.approx(weighted.item(), rel=1e-3)


def test_log_normal_noise_is_stratified() -> None:
    with isolated_randomness(0):
        s = log_normal(1000, mean=0.0, spread=1.0, device=torch.device("cpu"))
    share = torch.special.ndtr(s.log())
    assert (share - (torch.arange(1000) + 0.5) / 1000).abs().max() <= 0.5 / 1000 + 1e-5


def test_the_network_is_told_what_was_done_to_an_image_and_drawing_that_nothing_was() -> None:
    told: list[Tensor | None] = []

    class Net(torch.nn.Module):
        def forward(self, x, times, condition, dropped=None, augmented=None):  # type: ignore[no-untyped-def]
            told.append(augmented)
            return torch.zeros_like(x)

    clean = torch.rand(64, 1, 8, 8) * 2 - 1
    process = KarrasNoising(Preconditioned(0.5), mean=-1.2, spread=1.2, augment=0.5)
    drawn = noised(process, clean)
    assert drawn[4].shape == (64, columns(KINDS)) and drawn[4].any(1).float().mean() > 0.8
    process.error(Net(), *drawn, torch.zeros(64))
    assert told[0] is drawn[4]
    model = EDM(dataclasses.replace(EDM.tiny_config(), augment=0.5))
    sampler = model._sampler()
    sampler(Net(), torch.zeros(2, 1, 8, 8), torch.zeros(2), seed=0, rows=slice(0, 2))
    assert told[1:] == [None] * (len(told) - 1)


def test_edm_learns_what_it_is_told(tmp_path: Path) -> None:
    films = make_images(multilabel=False, channels=1, size=8, n=64)
    images = torch.where(films.labels.view(-1, 1, 1, 1) == 0, 40, 210).to(torch.uint8).expand(-1, 1, 8, 8)
    films = dataclasses.replace(films, images=images.contiguous())
    config = dataclasses.replace(EDM.tiny_config(), patch=1, batch=16, lr=3e-3, ema=0.9, sampling_steps=8)
    model = EDM(config)
    model.fit(films, seed=0, work=Work(tmp_path, budget=Budget(200)))
    drawn = model.sample(torch.tensor([0, 1] * 4), seed=1).float()
    assert drawn[0::2].mean().item() == pytest.approx(40, abs=30)
    assert drawn[1::2].mean().item() == pytest.approx(210, abs=30)


class Churned(EDM):
    """With everything that is random while drawing, and augmentation, for the contract test."""

    @classmethod
    def tiny_config(cls) -> EDMConfig:
        return dataclasses.replace(super().tiny_config(), churn=4.0, augment=0.3, guidance=1.0)


@pytest.mark.parametrize(("cls", "channels", "multilabel"), [(EDM, 1, False), (EDM, 3, True), (Churned, 1, True)])
def test_the_contract_is_kept(cls: type[EDM], channels: int, multilabel: bool) -> None:
    results = check_generator(cls, multilabel=multilabel, channels=channels)
    assert [r for r in results if not r.passed] == []


@pytest.mark.parametrize(("change", "what"), [
    ({"sigma_data": 0.0}, "--gen.sigma-data 0.0 was asked for"),
    ({"sigma_min": 90.0}, "sigma.min 90.*below sigma_max"),
    ({"augment": 1.0}, "augment 1.*below 1"),
    ({"augment": 0.1, "condition": ConditionConfig(kind="multilabel")}, "augment 0.1 was asked for with condition"),
    ({"churn": -1.0}, "churn -1.*0 or more"),
    ({"churn": 4.0, "sampler": "dpmsolver++"}, "churn 4 was asked for with sampler dpmsolver"),
    ({"sampling_steps": 0}, "sampling.steps 0.*1 or more"),
    ({"rho": 0.0}, "rho 0.*1 to 100"),
])  # fmt: skip
def test_options_that_cannot_be_are_refused(change: dict[str, object], what: str) -> None:
    with pytest.raises(UserError, match=what):
        EDMConfig(**change)  # type: ignore[arg-type]
