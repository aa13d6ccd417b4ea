"""The transformer that denoises: what it computes, what it is told, and what it cannot be."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.check.checks import check_generator, make_images
from benchmarks.request.options import parse
from generators.backbones import DiTConfig, make_dit
from generators.conditioning import ConditionConfig
from generators.edm import EDM, EDMConfig
from generators.flow import Flow, FlowConfig, LatentFlow, LatentFlowConfig
from generators.latent_ddpm import LatentDDPM, LatentDDPMConfig
from generators.nets.dit import DiT
from generators.nets.labels import ConditionSpec
from generators.pixel_ddpm import PixelDDPM, PixelDDPMConfig
from synthworth.devices import isolated_randomness
from synthworth.errors import UserError
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = DiTConfig(patch=2, width=16, depth=2, head_width=8)
LABEL = ConditionSpec("label", 3, True)
TOKENS = ConditionSpec("embedding", 3, True, 4, 8)


def network(spec: ConditionSpec = LABEL, *, awake: bool = True, **options: object) -> DiT:
    """With `awake`, what starts at zero is not zero."""
    with isolated_randomness(0):
        net = make_dit(SMALL, channels=1, size=8, spec=spec, what="the images", **options)  # type: ignore[arg-type]
        if awake:
            for weights in net.parameters():
                if not weights.any():
                    torch.nn.init.normal_(weights, std=0.2)
    assert isinstance(net, DiT)
    return net.eval()


def shown(net: DiT, x: Tensor, times: Tensor, condition: Tensor, dropped: Tensor | None = None) -> Tensor:
    with torch.no_grad():
        return net(x, times, condition, dropped)


X, TIMES = torch.randn(3, 1, 8, 8), torch.tensor([1.0, 500.0, 999.0])
LABELS = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0]], dtype=torch.uint8)


def test_untrained_it_predicts_zero_and_every_block_is_the_identity() -> None:
    net = network(awake=False)
    assert not shown(net, X, TIMES, LABELS).any()
    tokens, told = torch.randn(2, 16, 16), torch.randn(2, 16)
    for block in net.blocks:
        assert torch.equal(block(tokens, told), tokens)


@pytest.mark.parametrize("spec", [LABEL, TOKENS])
def test_it_is_told_the_time_the_condition_and_where_a_patch_is(spec: ConditionSpec) -> None:
    net = network(spec)
    told = LABELS if spec is LABEL else torch.randn(3, 4, 8)
    plain = shown(net, X, TIMES, told)
    assert plain.shape == X.shape
    assert not torch.allclose(shown(net, X, TIMES + 200, told), plain, atol=1e-4)
    assert not torch.allclose(shown(net, X, TIMES, told.flip(0))[0], plain[0], atol=1e-4)
    hidden = torch.tensor([True, False, False])
    dropped = shown(net, X, TIMES, told, hidden)
    assert torch.allclose(dropped[1:], plain[1:], atol=1e-6) and not torch.allclose(dropped[0], plain[0], atol=1e-4)
    flat = torch.zeros(1, 1, 8, 8)
    patches = shown(net, flat, TIMES[:1], told[:1]).unfold(2, 2, 2).unfold(3, 2, 2).reshape(16, 4)
    assert not torch.allclose(patches[0], patches[-1], atol=1e-4)


def test_rows_do_not_look_at_each_other_and_patches_do() -> None:
    net = network()
    whole = shown(net, X, TIMES, LABELS)
    assert torch.allclose(shown(net, X[1:2], TIMES[1:2], LABELS[1:2]), whole[1:2], atol=1e-5)
    touched = X.clone()
    touched[0, 0, 0, 0] += 5
    moved = (shown(net, touched, TIMES, LABELS)[0] - whole[0]).abs()
    assert moved[0, 6:, 6:].max() > 1e-4


def test_pixels_come_back_to_their_patch() -> None:
    """With the blocks asleep and a last layer that copies, each patch holds what its own token said."""
    net = network(awake=False)
    with torch.no_grad():
        net.leave.bias.copy_(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    out = shown(net, X, TIMES, LABELS)[0, 0]
    assert torch.equal(out, torch.tensor([[1.0, 2.0], [3.0, 4.0]]).repeat(4, 4))


DIT = {"backbone": "dit", "dit": SMALL, "batch": 8, "sampling_steps": 2}


class DiTPixelDDPM(PixelDDPM):
    """For the contract test."""

    @classmethod
    def tiny_config(cls) -> PixelDDPMConfig:
        return PixelDDPMConfig(**DIT)  # type: ignore[arg-type]


class DiTEDM(EDM):
    """For the contract test, with augmentation."""

    @classmethod
    def tiny_config(cls) -> EDMConfig:
        return EDMConfig(**DIT, augment=0.2)  # type: ignore[arg-type]


class DiTLatentDDPM(LatentDDPM):
    """For the contract test."""

    @classmethod
    def tiny_config(cls) -> LatentDDPMConfig:
        return dataclasses.replace(super().tiny_config(), backbone="dit", dit=SMALL)


class DiTLatentFlow(LatentFlow):
    """For the contract test."""

    @classmethod
    def tiny_config(cls) -> LatentFlowConfig:
        return dataclasses.replace(super().tiny_config(), backbone="dit", dit=SMALL)


@pytest.mark.parametrize("cls", [DiTPixelDDPM, DiTEDM, DiTLatentDDPM, DiTLatentFlow])
def test_every_generator_that_denoises_keeps_its_contract_with_a_transformer(cls: type) -> None:
    results = check_generator(cls, multilabel=cls is DiTEDM, channels=3 if cls is DiTPixelDDPM else 1)
    assert [r for r in results if not r.passed] == []


def test_tokens_of_findings_reach_the_transformer(tmp_path: Path) -> None:
    told = ConditionConfig(kind="multilabel", token_width=8)
    model = Flow(FlowConfig(backbone="dit", dit=SMALL, batch=8, sampling_steps=1, condition=told, guidance=1.5))
    films = make_images(multilabel=True, channels=1, size=16, n=24)
    report = model.fit(films, seed=0, work=Work(tmp_path, budget=Budget(2)))
    assert report.steps == 2
    assert model.sample(films.labels[:3], seed=0).shape == (3, 1, 16, 16)


def test_a_patch_that_does_not_divide_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    films = make_images(multilabel=False, channels=1, size=28, n=24)
    wrong = dataclasses.replace(SMALL, patch=3)
    message = r"--gen.backbone dit: patches of 3 pixels do not divide the images, 28 pixels a side; .*\(1, 2, 4, 7\)"
    with pytest.raises(UserError, match=message):
        Flow(FlowConfig(backbone="dit", dit=wrong, batch=8)).fit(films, seed=0, work=Work(tmp_path, budget=Budget(2)))
    latent = dataclasses.replace(LatentFlow.tiny_config(), backbone="dit", dit=wrong)
    with pytest.raises(UserError, match="patches of 3 pixels do not divide the latents, 7 pixels a side"):
        LatentFlow(latent).fit(films, seed=0, work=Work(tmp_path, budget=Budget(2)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("generator", "what"), [("flow", "the images, 32"), ("latent_flow", "the latents, 8")])
def test_a_patch_that_does_not_divide_is_refused_before_any_image_is_made(
    generator: str, what: str, run_here: Any, tmp_path: Path
) -> None:
    asked = ["--preset", "smoke", "--dataset", "phantom", "--generator", generator]
    out = run_here("-m", "benchmarks.run", *asked, "--gen.backbone", "dit", "--gen.dit.patch", "5")
    assert out.returncode == 2
    assert f"patches of 5 pixels do not divide {what} pixels a side" in " ".join(out.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_a_vector_latent_and_a_pretrained_unet_have_no_transformer() -> None:
    first = dataclasses.replace(LatentFlow.tiny_config().first_stage, latent="vector", latent_size=4)
    with pytest.raises(UserError, match=r"--gen.backbone dit was asked for, and a vector latent is denoised by an MLP"):
        LatentFlowConfig(first_stage=first, backbone="dit", batch=8)
    with pytest.raises(UserError, match=r"--gen.backbone dit was asked for beside --gen.pretrained"):
        PixelDDPMConfig(backbone="dit", pretrained_id="ab")


@pytest.mark.parametrize(("change", "what"), [
    ({"width": 20, "head_width": 8}, "--gen.dit.width 20 with --gen.dit.head-width 8"),
    ({"width": 18, "head_width": 9}, "multiple of 4"),
    ({"patch": 0}, "--gen.dit.patch 0 was asked for"),
    ({"depth": 0}, "--gen.dit.depth 0 was asked for"),
])  # fmt: skip
def test_a_transformer_that_cannot_be_is_refused(change: dict[str, int], what: str) -> None:
    with pytest.raises(UserError, match=what):
        DiTConfig(**change)


def test_the_backbone_is_an_option_of_the_command() -> None:
    request = parse(
        ["--preset", "smoke", "--generator", "flow", "--gen.backbone", "dit", "--gen.dit.patch", "4"], prog="run"
    )
    assert (request.gen.backbone, request.gen.dit.patch) == ("dit", 4)
