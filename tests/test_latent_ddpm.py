"""Latent diffusion: its two stages, its latents, and first stages that others trained."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file

from benchmarks.check.checks import check_generator, make_images
from benchmarks.request.options import parse
from data.images import ImageSet
from generators.backbones import DiTConfig
from generators.conditioning import ConditionConfig
from generators.first_stage import FirstStageConfig, PublishedAutoencoder
from generators.latent_ddpm import LatentDDPM, LatentDDPMConfig
from generators.nets.labels import ConditionSpec
from generators.nets.mlp import VectorDenoiser
from generators.saving import config_to_json
from generators.vae import VAE
from synthworth.artifacts import from_json
from synthworth.devices import isolated_randomness
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.processes import run_together
from synthworth.work import Budget, Work

TINY = LatentDDPM.tiny_config()
VECTOR = dataclasses.replace(
    TINY, first_stage=dataclasses.replace(TINY.first_stage, latent="vector", latent_size=6, beta=1e-4)
)
pytestmark = pytest.mark.usefixtures("one_thread")


class VectorLatentDDPM(LatentDDPM):
    """The vector variant, for the contract test."""

    @classmethod
    def tiny_config(cls) -> LatentDDPMConfig:
        return VECTOR


@pytest.fixture
def train() -> ImageSet:
    return make_images(multilabel=False, channels=1, size=32)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as diffusers writes it: an AutoencoderKL of three channels with two levels."""
    folder = tmp_path_factory.mktemp("published")
    with isolated_randomness(0):
        net = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(8, 8), latent_channels=2, norm_num_groups=4, sample_size=16, scaling_factor=0.5,
            shift_factor=0.25,
        )  # fmt: skip
    net.save_pretrained(folder, safe_serialization=True)
    return folder


def fit(config: LatentDDPMConfig, train: ImageSet, folder: Path, steps: int = 6, **bench: Any) -> LatentDDPM:
    model = LatentDDPM(config)
    model.fit(train, seed=1, work=Work(folder, budget=Budget(steps), **bench))
    return model


def change(config: LatentDDPMConfig, **fields: Any) -> LatentDDPMConfig:
    """The Config with other values; those of the first stage carry the prefix `first_`."""
    outer = {k: v for k, v in fields.items() if not k.startswith("first_") or k == "first_stage_share"}
    inner = {k.removeprefix("first_"): v for k, v in fields.items() if k not in outer}
    return dataclasses.replace(config, first_stage=dataclasses.replace(config.first_stage, **inner), **outer)


# -- contract ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "multilabel", "channels", "size"),
    [
        (LatentDDPM, False, 1, 28),
        (LatentDDPM, True, 3, 50),
        (VectorLatentDDPM, False, 3, 32),
        (VectorLatentDDPM, True, 1, 50),
    ],
)
def test_latent_ddpm_keeps_the_contract(cls: type, multilabel: bool, channels: int, size: int) -> None:
    results = check_generator(cls, multilabel=multilabel, channels=channels, size=size)
    assert [r.message for r in results if not r.passed] == []


# -- the first stage ---------------------------------------------------------------------------------------------------


def test_the_budget_is_split_between_the_stages(train: ImageSet, tmp_path: Path) -> None:
    model = LatentDDPM(change(TINY, first_stage_share=0.3))
    report = model.fit(train, seed=1, work=Work(tmp_path, budget=Budget(10)))
    assert (report.steps, report.facts["first_stage_steps"]) == (10, 3)
    assert report.images_seen == 3 * TINY.first_stage.batch + 7 * TINY.batch
    assert [row["stage"] for row in report.history] == [1.0] * 3 + [2.0] * 7
    assert report.facts["latent"] == [2, 8, 8]


def test_the_second_attempt_trains_and_encodes_nothing_that_is_there(
    train: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fit(TINY, train, tmp_path)
    assert (tmp_path / "first_stage" / "vae.ckpt").is_file()

    def refuse(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(VAE, "encode", refuse)
    again = fit(TINY, train, tmp_path)
    assert torch.equal(again.sample(train.labels[:4], seed=2), first.sample(train.labels[:4], seed=2))


def test_the_first_stage_is_a_vae_that_stands_alone(train: ImageSet, tmp_path: Path) -> None:
    model = fit(TINY, train, tmp_path / "work")
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    alone = VAE.load(tmp_path / "saved" / "first_stage", device="cpu")
    images = train.images[:5]
    assert torch.equal(alone.reconstruct(images), model.reconstruct(images))
    assert torch.equal(model.reconstruct(images), alone.decode(alone.encode(images)[0]))


def test_a_first_stage_may_be_told_the_label(train: ImageSet, tmp_path: Path) -> None:
    model = fit(change(TINY, first_conditional=True), train, tmp_path)
    assert model.sample(train.labels[:3], seed=2).shape == (3, 1, 32, 32)
    assert model.reconstruct(train.images[:3], train.labels[:3]).shape == (3, 1, 32, 32)
    with pytest.raises(UserError, match="labels"):
        model.reconstruct(train.images[:3])


@pytest.mark.parametrize("config", [TINY, VECTOR], ids=["spatial", "vector"])
@pytest.mark.parametrize("standardise", ["channel", "dimension"])
def test_latents_are_kept_and_standardised(
    config: LatentDDPMConfig, standardise: str, train: ImageSet, tmp_path: Path
) -> None:
    model = fit(change(config, standardise=standardise), train, tmp_path)
    kept = load_file(tmp_path / "latents.safetensors")
    axes = (0, 2, 3) if standardise == "channel" and config is TINY else (0,)
    scaled = (kept["mean"] - model.mean) / model.std
    assert torch.allclose(scaled.mean(axes), torch.zeros(()), atol=1e-4)
    spread = scaled.var(axes, correction=0) + (kept["logvar"].exp() / model.std**2).mean(axes)
    assert torch.allclose(spread, torch.ones(()), atol=1e-3)


@pytest.mark.parametrize("config", [TINY, VECTOR], ids=["spatial", "vector"])
def test_decoding_inverts_padding_and_standardisation(config: LatentDDPMConfig, tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=28)
    model = fit(change(config, standardise="dimension"), train, tmp_path)
    latents, _ = model.first_stage.encode(train.images[:6])
    given = model._padded((latents - model.mean) / model.std)
    assert given.shape[1:] == model.noise_shape
    assert torch.allclose(model._restored(given), latents, atol=1e-5)
    if config is TINY:
        assert (latents.shape[-1], given.shape[-1]) == (7, 8)


# -- a published autoencoder -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 33)])
def test_a_published_autoencoder_is_a_first_stage(channels: int, size: int, published: Path, tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=channels, size=size)
    config = dataclasses.replace(TINY, autoencoder=str(published))
    model = LatentDDPM(config)
    report = model.fit(train, seed=1, work=Work(tmp_path / "work", budget=Budget(1)))
    assert (report.steps, report.facts["first_stage_steps"]) == (1, 0)
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    loaded = LatentDDPM.load(tmp_path / "saved", device="cpu")
    labels = train.labels[:4]
    drawn = model.sample(labels, seed=2)
    assert drawn.shape == (4, channels, size, size)
    assert torch.equal(loaded.sample(labels, seed=2), drawn)
    assert torch.equal(loaded.reconstruct(train.images[:4]), model.reconstruct(train.images[:4]))


def test_a_transformer_denoises_the_latents_of_a_published_autoencoder_or_says_why_not(
    published: Path, train: ImageSet, tmp_path: Path
) -> None:
    (channels, side, _) = PublishedAutoencoder.latent_of(str(published), channels=1, size=32)
    assert (channels, side) == PublishedAutoencoder.open(
        str(published), channels=1, size=32, device="cpu"
    ).latent_shape[:2]
    small = DiTConfig(patch=2, width=16, depth=1, head_width=8)
    config = dataclasses.replace(TINY, autoencoder=str(published), backbone="dit", dit=small)
    model = fit(config, train, tmp_path, steps=2)
    assert model.sample(train.labels[:2], seed=0).shape == (2, 1, 32, 32)
    wrong = dataclasses.replace(config, dit=dataclasses.replace(small, patch=5))
    with pytest.raises(UserError, match=f"patches of 5 pixels do not divide the latents, {side} pixels a side"):
        fit(wrong, train, tmp_path / "wrong")


def test_latents_of_a_published_autoencoder_are_scaled_as_it_says(published: Path) -> None:
    images = make_images(multilabel=False, channels=1, size=32).images[:3]
    stage = PublishedAutoencoder.open(str(published), channels=1, size=32, device="cpu")
    net = AutoencoderKL.from_pretrained(published, low_cpu_mem_usage=False)
    with torch.inference_mode():
        rgb = images.expand(-1, 3, -1, -1).float() / 127.5 - 1
        known = net.encode(rgb).latent_dist
        decoded = net.decode(known.mean).sample.mean(1, keepdim=True)
    mean, logvar = stage.encode(images)
    assert torch.allclose(mean, (known.mean - 0.25) * 0.5, atol=1e-5)
    assert torch.allclose((0.5 * logvar).exp(), known.std * 0.5, atol=1e-5)
    apart = stage.decode(mean).float() - ((decoded.clamp(-1, 1) + 1) * 127.5).round()
    assert float(apart.abs().max()) <= 1


def test_a_published_autoencoder_is_known_by_its_files_and_not_by_its_folder(published: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(published, elsewhere)
    one, same = (dataclasses.replace(TINY, autoencoder=str(folder)) for folder in (published, elsewhere))
    assert digest(one) == digest(same) != digest(TINY)
    facts = json.loads((elsewhere / "config.json").read_text())
    (elsewhere / "config.json").write_text(json.dumps(facts | {"scaling_factor": 0.75}))
    assert digest(dataclasses.replace(TINY, autoencoder=str(elsewhere))) != digest(one)
    hub = dataclasses.replace(TINY, autoencoder="stabilityai/sd-vae-ft-mse")
    assert hub.autoencoder_id == "hub:stabilityai/sd-vae-ft-mse"


def test_what_is_no_published_autoencoder_is_refused_in_one_line(
    published: Path, train: ImageSet, tmp_path: Path
) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    shutil.copy(published / "config.json", pickled)
    (pickled / "diffusion_pytorch_model.bin").write_bytes(b"anything")
    with pytest.raises(UserError, match="holds no safetensors"):
        fit(dataclasses.replace(TINY, autoencoder=str(pickled)), train, tmp_path / "work")
    (pickled / "diffusion_pytorch_model.safetensors").write_bytes(b"no weights")
    with pytest.raises(UserError, match="cannot be read") as caught:
        fit(dataclasses.replace(TINY, autoencoder=str(pickled)), train, tmp_path / "work")
    assert "\n" not in str(caught.value)
    other = tmp_path / "other"
    shutil.copytree(published, other)
    facts = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(facts | {"_class_name": "UNet2DModel"}))
    with pytest.raises(UserError, match="holds a UNet2DModel"):
        fit(dataclasses.replace(TINY, autoencoder=str(other)), train, tmp_path / "work")
    with pytest.raises(UserError, match="0000 was asked for"):
        fit(dataclasses.replace(TINY, autoencoder=str(published), autoencoder_id="0" * 64), train, tmp_path / "work")
    with pytest.raises(UserError, match="no such file or folder"):
        dataclasses.replace(TINY, autoencoder=str(tmp_path / "nothing"))


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "steps", "says"),
    [
        ({"guidance": 2.0, "drop": 0.0}, 6, "needs a prediction without condition"),
        ({"first_stage_share": 1.0}, 6, "between 0 and 1"),
        ({}, 1, "trains 2 networks or stages in turn, and has 1 steps"),
        ({"sampling_steps": 2000}, 6, "2000 sampling steps"),
        ({"autoencoder_id": "hub:some/one"}, 6, "say with --gen.autoencoder where it is"),
        ({"first_latent": "vector", "condition": ConditionConfig(kind="multilabel")}, 6, "cross-attention"),
        ({"accumulate": 3}, 6, "--gen.accumulate 3"),
        ({"unet_attention": (5,), "first_batch": 16}, 6, "each -2 to 1"),
    ],
)
def test_options_that_contradict_each_other_are_refused_before_anything_is_written(
    changed: dict[str, Any], steps: int, says: str, train: ImageSet, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=says):
        fit(change(TINY, **changed), train, tmp_path, steps)
    assert not list(tmp_path.iterdir())


def test_a_class_without_an_image_is_refused(train: ImageSet, tmp_path: Path) -> None:
    lacking = train.subset(np.flatnonzero(train.labels.numpy() != 1))
    with pytest.raises(UserError, match="no training image shows middle"):
        fit(TINY, lacking, tmp_path)


def test_flags_and_yaml_reach_the_first_stage(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("generator: latent_ddpm\ngen: {first_stage: {beta: 0.5, widths: [8, 16]}, batch: 4}\n")
    flags = ["--gen.first-stage.blocks", "3", "--gen.condition.kind", "multilabel"]
    asked = parse(["--preset", "smoke", "--config", str(file), *flags], prog="t")
    first = asked.gen.first_stage
    assert type(first) is FirstStageConfig
    assert (first.beta, first.widths, first.blocks, asked.gen.batch) == (0.5, (8, 16), 3, 4)
    assert (first.conditional, first.batch) == (False, 8), (
        "what the file does not name keeps the default of latent_ddpm, not that of vae"
    )
    assert asked.gen.condition.kind == "multilabel"


def test_a_config_within_a_config_is_saved_whole() -> None:
    condition = ConditionConfig(kind="embedding", embeddings=Path("a/b.npz"), source_id="c" * 64)
    config = change(TINY, condition=condition, first_widths=(4, 8, 16))
    kept = json.loads(json.dumps(config_to_json(config)))
    assert from_json(LatentDDPMConfig, kept) == config


def test_how_many_are_drawn_at_a_time_changes_nothing_and_is_not_identity(train: ImageSet, tmp_path: Path) -> None:
    model = fit(TINY, train, tmp_path)
    whole = model.sample(train.labels[:10], seed=2)
    model.config = dataclasses.replace(TINY, sample_batch=3)
    apart = (model.sample(train.labels[:10], seed=2).int() - whole.int()).abs().max()
    assert int(apart) <= 1
    assert digest(model.config) == digest(TINY)
    assert digest(change(TINY, first_sample_batch=3)) == digest(TINY) != digest(change(TINY, first_beta=0.1))


# -- what is learned ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "sampler"), [("multilabel", "ddim"), ("label", "ddpm")])
def test_other_conditions_and_samplers_draw_from_spatial_latents(
    kind: Any, sampler: Any, train: ImageSet, tmp_path: Path
) -> None:
    config = change(TINY, condition=ConditionConfig(kind=kind, token_width=8), sampler=sampler, guidance=1.5)
    model = fit(config, train, tmp_path)
    assert model.sample(train.labels[:3], seed=2).shape == (3, 1, 32, 32)


def test_a_dropped_label_leaves_no_trace_in_the_mlp() -> None:
    with isolated_randomness(0):
        net = VectorDenoiser(length=5, spec=ConditionSpec("label", 3, False), width=16, n_blocks=2).eval()
        for block in net.blocks:
            torch.nn.init.normal_(block.second.weight)
        x = torch.randn(3, 5)
    steps, dropped = torch.tensor([5, 5, 5]), torch.tensor([True, True, True])
    with torch.inference_mode():
        one, other = (net(x, steps, torch.tensor(y), dropped) for y in ([0, 1, 2], [2, 0, 1]))
        told, later = net(x, steps, torch.tensor([0, 1, 2])), net(x, steps + 500, torch.tensor([0, 1, 2]))
    assert torch.equal(one, other)
    assert not torch.allclose(one, told)
    assert not torch.allclose(told, later)


def test_snapshots_are_taken_while_the_denoiser_learns_and_change_nothing(train: ImageSet, tmp_path: Path) -> None:
    plain = fit(TINY, train, tmp_path / "plain", steps=30)
    seen = fit(TINY, train, tmp_path / "seen", steps=30, snapshot_epochs=1.0)
    assert [p.name for p in sorted((tmp_path / "seen" / "snapshots").glob("*.png"))] == [
        "step-000006.png", "step-000012.png",
    ]  # fmt: skip
    assert not (tmp_path / "seen" / "first_stage" / "snapshots").exists()
    assert torch.equal(plain.sample(train.labels[:4], seed=2), seen.sample(train.labels[:4], seed=2))


def fit_in_process(rank: int, folder: Path, devices: int) -> list[float]:
    """The loss curve of both stages."""
    config = change(TINY, accumulate=2, first_accumulate=2)
    train = make_images(multilabel=False, channels=1, size=32)
    report = LatentDDPM(config).fit(train, seed=1, work=Work(folder, budget=Budget(6), devices=devices))
    return [row["loss"] for row in report.history]


@pytest.mark.slow
def test_two_processes_share_both_stages(tmp_path: Path) -> None:
    two = run_together(fit_in_process, tmp_path / "two", 2, n=2, what="test")
    assert two == pytest.approx(fit_in_process(0, tmp_path / "one", 1), rel=1e-4)
    with pytest.raises(UserError, match=r"parts of a step of the first stage evenly"):
        fit_in_process(0, tmp_path / "three", 3)


@pytest.mark.parametrize("latent", ["spatial", "vector"])
def test_latent_ddpm_learns_to_draw_the_class_it_is_asked_for(latent: Any, tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=16, n=96)
    first = FirstStageConfig(latent=latent, latent_size=16, latent_channels=4, widths=(32,), lr=4e-3)
    config = LatentDDPMConfig(
        first_stage=first, unet_widths=(32, 32), mlp_width=128, mlp_blocks=3, sampling_steps=10, ema=0.95, lr=3e-3
    )
    model = fit(config, train, tmp_path, steps=150 if latent == "spatial" else 400)
    asked = torch.arange(30) % 3
    drawn = model.sample(asked, seed=2).float()[:, 0]
    thirds = torch.stack([part.mean((1, 2)) for part in drawn[:, 4:12].tensor_split(3, dim=2)], dim=1)
    assert (thirds.argmax(1) == asked).float().mean() > 0.8
    assert abs(drawn.mean() - train.images.float().mean()) < 20
