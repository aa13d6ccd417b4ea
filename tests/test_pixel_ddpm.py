"""The generator `pixel_ddpm`: from scratch, told anything, and fine-tuned from another's network."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DConditionModel, UNet2DModel

from benchmarks.check.checks import check_generator, make_images
from data.images import ImageSet
from generators.conditioning import ConditionConfig
from generators.nets.labels import ConditionSpec
from generators.pixel_ddpm import PixelDDPM, PixelDDPMConfig
from generators.pretrained import load_unet
from synthworth.devices import isolated_randomness
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = PixelDDPM.tiny_config()


@pytest.fixture
def train() -> ImageSet:
    return make_images(multilabel=False, channels=1, size=16)


def fit(config: PixelDDPMConfig, train: ImageSet, folder: Path, steps: int = 3, **work: Any) -> PixelDDPM:
    model = PixelDDPM(config)
    model.fit(train, seed=1, work=Work(folder, budget=Budget(steps), **work))
    return model


def apart(one: torch.Tensor, other: torch.Tensor) -> int:
    return int((one.int() - other.int()).abs().max())


@pytest.mark.parametrize(("multilabel", "channels", "size"), [(False, 1, 28), (True, 3, 50)])
def test_pixel_ddpm_keeps_the_contract(multilabel: bool, channels: int, size: int) -> None:
    results = check_generator(PixelDDPM, multilabel=multilabel, channels=channels, size=size)
    assert [r.message for r in results if not r.passed] == []


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "dpmsolver++"])
def test_how_many_are_drawn_at_a_time_changes_nothing_and_is_not_identity(
    sampler: str, train: ImageSet, tmp_path: Path
) -> None:
    model = fit(dataclasses.replace(TINY, sampler=sampler, guidance=2.0), train, tmp_path)  # type: ignore[arg-type]
    whole = model.sample(train.labels[:10], seed=2)
    wider = dataclasses.replace(model.config, sample_batch=3)
    before, model.config = model.config, wider
    assert apart(model.sample(train.labels[:10], seed=2), whole) <= 1
    assert digest(before) == digest(wider)


def test_snapshots_change_nothing_of_what_is_learned(train: ImageSet, tmp_path: Path) -> None:
    for name in ("plain", "watched"):
        (tmp_path / name).mkdir()
    plain = fit(TINY, train, tmp_path / "plain", steps=12)
    watched = fit(TINY, train, tmp_path / "watched", steps=12, snapshot_epochs=1.0)
    ours, theirs = plain.denoiser.state_dict(), watched.denoiser.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    pictures = sorted((tmp_path / "watched" / "snapshots").iterdir())
    assert [p.name for p in pictures[:2]] == ["step-000006.png", "step-000006.safetensors"]


def test_accumulation_takes_the_same_step(train: ImageSet, tmp_path: Path) -> None:
    """Noise is drawn part by part, so only what does not depend on it can be compared: the number of steps."""
    parts = dataclasses.replace(TINY, accumulate=4)
    report = PixelDDPM(parts).fit(train, seed=1, work=Work(tmp_path, budget=Budget(3)))
    assert (report.steps, report.images_seen) == (3, 3 * TINY.batch)


@pytest.mark.parametrize("kind", ["multilabel", "embedding"])
@pytest.mark.parametrize("multilabel", [False, True])
def test_tokens_condition_training_and_sampling(kind: str, multilabel: bool, tmp_path: Path) -> None:
    train = make_images(multilabel=multilabel, channels=1, size=16)
    rng = np.random.default_rng(0)
    file = tmp_path / "e.npz"
    np.savez(file, **{name: rng.standard_normal((2, 8)).astype(np.float32) for name in train.ids})
    told = ConditionConfig(kind, embeddings=file, embedding_shape=(2, 8), token_width=8)  # type: ignore[arg-type]
    model = fit(dataclasses.replace(TINY, condition=told), train, tmp_path)
    drawn = model.sample(train.labels[:5], seed=2)
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    file.unlink()
    loaded = PixelDDPM.load(tmp_path / "saved", device="cpu")
    assert loaded.config == model.config
    assert torch.equal(loaded.sample(train.labels[:5], seed=2), drawn)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"guidance": 2.0, "drop": 0.0}, "needs a prediction without condition"),
        ({"sampling_steps": 0}, "1 to 1000"),
        ({"accumulate": 3}, "8 images of a batch are cut into as many equal parts"),
        ({"attention": (5,)}, r"--gen.attention \(5,\) .* each -2 to 1"),
        ({"condition": ConditionConfig("embedding")}, "needs a file"),
        ({"pretrained": "not a folder"}, "there is no such"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    change: dict[str, Any], says: str, train: ImageSet, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=says):
        fit(dataclasses.replace(TINY, **change), train, tmp_path)
    assert not list(tmp_path.iterdir())


def test_pixel_ddpm_learns_to_draw_the_class_it_is_asked_for(tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=16, n=96)
    config = PixelDDPMConfig(
        widths=(32, 32), patch=2, prediction="v_prediction", schedule="squaredcos_cap_v2", lr=3e-3, ema=0.95,
        sampler="dpmsolver++", sampling_steps=8,
    )  # fmt: skip
    model = fit(config, train, tmp_path, steps=120)
    asked = torch.arange(30) % 3
    drawn = model.sample(asked, seed=2).float()[:, 0]
    thirds = torch.stack([part.mean((1, 2)) for part in drawn[:, 4:12].tensor_split(3, dim=2)], dim=1)
    assert (thirds.argmax(1) == asked).float().mean() > 0.8
    assert abs(drawn.mean() - train.images.float().mean()) < 20


# -- fine-tuning ----------------------------------------------------------------------------------------------------


def make_unet(**change: Any) -> UNet2DModel:
    options: dict[str, Any] = {
        "sample_size": 16, "in_channels": 3, "out_channels": 3, "block_out_channels": (8, 16), "layers_per_block": 1,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
        "norm_num_groups": 4, "attention_head_dim": 8,
    }  # fmt: skip
    with isolated_randomness(0):
        return UNet2DModel(**{**options, **change})


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A tiny RGB pipeline on disk, with betas of its own."""
    scheduler = DDPMScheduler(1000, beta_start=2e-4, beta_end=0.03, prediction_type="v_prediction")
    DDPMPipeline(make_unet(), scheduler).save_pretrained(tmp_path / "pipeline", safe_serialization=True)
    return tmp_path / "pipeline"


def tuned(folder: Path) -> PixelDDPMConfig:
    return dataclasses.replace(TINY, pretrained=str(folder), sampler="ddim", lr=1e-5)


LABEL = ConditionSpec("label", 3, False)


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize(("channels", "size"), [(1, 16), (3, 16), (1, 15)])
def test_a_pretrained_pipeline_is_fine_tuned_saved_and_loaded(
    channels: int, size: int, multilabel: bool, pipeline: Path, tmp_path: Path
) -> None:
    train = make_images(multilabel=multilabel, channels=channels, size=size)
    (tmp_path / "work").mkdir()
    model = fit(tuned(pipeline), train, tmp_path / "work")
    assert model.process["prediction"] == "v_prediction"
    assert model.process["betas"][-1] == pytest.approx(0.03)
    drawn = model.sample(train.labels[:4], seed=2)
    assert drawn.shape == (4, channels, size, size)
    (tmp_path / "saved").mkdir()
    model.save(tmp_path / "saved")
    for file in pipeline.rglob("*.*"):
        file.unlink()
    loaded = PixelDDPM.load(tmp_path / "saved", device="cpu")
    assert torch.equal(loaded.sample(train.labels[:4], seed=2), drawn)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_a_network_whose_betas_end_in_pure_noise_is_fine_tuned_and_drawn_from(
    prediction: str, train: ImageSet, tmp_path: Path
) -> None:
    scheduler = DDPMScheduler(40, prediction_type=prediction, rescale_betas_zero_snr=True)
    DDPMPipeline(make_unet(), scheduler).save_pretrained(tmp_path / "pipeline", safe_serialization=True)
    model = fit(tuned(tmp_path / "pipeline"), train, tmp_path)
    assert model.process["betas"][-1] == 1.0
    for sampler, n in (("dpmsolver++", 15), ("ddim", 3), ("ddim", 40), ("ddpm", 40)):
        model.config = dataclasses.replace(model.config, sampler=sampler, sampling_steps=n)  # type: ignore[arg-type]
        drawn = model.sample(train.labels[:3], seed=2)
        assert drawn.float().std() > 16


def test_before_any_step_labels_change_nothing_of_a_pretrained_network(pipeline: Path) -> None:
    train = make_images(multilabel=False, channels=3, size=16)
    from generators.conditioning import make_conditioner
    from generators.saving import Shape

    model = PixelDDPM(tuned(pipeline))
    model.shape = Shape.of(train)
    model.conditioner = make_conditioner(model.config.condition, n_classes=3, multilabel=False)
    net = model._build_to_train().eval()
    x, steps = torch.rand(3, 3, 16, 16), torch.tensor([1, 500, 999])
    with torch.inference_mode():
        expected = UNet2DModel.from_pretrained(pipeline / "unet").eval()(x, steps).sample
        told, untold = net(x, steps, torch.arange(3)), net(x, steps, torch.arange(3), torch.ones(3, dtype=torch.bool))
    assert torch.allclose(told, expected, atol=1e-6)
    assert torch.allclose(untold, expected, atol=1e-6)
    net(x, steps, torch.arange(3), torch.zeros(3, dtype=torch.bool)).sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


def test_a_grey_image_gets_the_response_of_three_equal_channels(pipeline: Path) -> None:
    grey, steps = torch.rand(2, 1, 16, 16), torch.tensor([10, 900])
    rgb = load_unet(str(pipeline), channels=3, size=16, spec=LABEL).unet.eval()
    fitted = load_unet(str(pipeline), channels=1, size=16, spec=LABEL).unet.eval()
    nothing = torch.zeros(2, 32)
    with torch.inference_mode():
        expected = rgb(grey.expand(-1, 3, -1, -1), steps, nothing).sample.mean(1, keepdim=True)
        found = fitted(grey, steps, nothing).sample
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_grey_network_treats_rgb_as_grey(tmp_path: Path) -> None:
    make_unet(in_channels=1, out_channels=1).save_pretrained(tmp_path / "unet", safe_serialization=True)
    grey, steps, nothing = torch.rand(2, 1, 16, 16), torch.tensor([10, 900]), torch.zeros(2, 32)
    ours = load_unet(str(tmp_path), channels=1, size=16, spec=LABEL)
    wider = load_unet(str(tmp_path), channels=3, size=16, spec=LABEL)
    assert (ours.betas, ours.prediction) == (None, None)
    with torch.inference_mode():
        expected = ours.unet.eval()(grey, steps, nothing).sample.expand(-1, 3, -1, -1)
        found = wider.unet.eval()(grey.expand(-1, 3, -1, -1), steps, nothing).sample
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_network_with_classes_of_its_own_is_told_ours(tmp_path: Path, train: ImageSet) -> None:
    make_unet(num_class_embeds=10).save_pretrained(tmp_path / "unet", safe_serialization=True)
    (tmp_path / "work").mkdir()
    assert fit(tuned(tmp_path / "unet"), train, tmp_path / "work").sample(train.labels[:2], seed=1).shape[0] == 2


def test_a_pretrained_network_with_cross_attention_is_told_tokens(train: ImageSet, tmp_path: Path) -> None:
    net = UNet2DConditionModel(
        sample_size=16, in_channels=3, out_channels=3, block_out_channels=(8, 16), layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4, attention_head_dim=2, cross_attention_dim=8,
    )  # fmt: skip
    net.save_pretrained(tmp_path / "unet", safe_serialization=True)
    (tmp_path / "work").mkdir()
    told = ConditionConfig("multilabel", token_width=8)
    model = fit(dataclasses.replace(tuned(tmp_path / "unet"), condition=told), train, tmp_path / "work")
    assert model.sample(train.labels[:2], seed=1).shape == (2, 1, 16, 16)


@pytest.mark.parametrize(
    ("size", "spec", "change", "says"),
    [
        (32, LABEL, {}, "works at 16 px and the images have 32"),
        (16, ConditionSpec("multilabel", 3, False, 3, 8), {}, "can be told condition label, not multilabel"),
        (16, LABEL, {"config.json": {"_class_name": "VQModel"}}, "holds a VQModel"),
        (16, LABEL, {"config.json": {"in_channels": 4}}, "maps 4 channels to 3"),
        (16, LABEL, {"scheduler_config.json": {"prediction_type": "sample"}}, "predicts sample"),
        (16, LABEL, {"diffusion_pytorch_model.safetensors": None}, "holds no safetensors"),
        (16, LABEL, {"diffusion_pytorch_model.safetensors": b"no weights"}, "the weights in .* cannot be read"),
        (16, LABEL, {"config.json": None}, "is no folder of diffusers"),
    ],
)
def test_a_pretrained_network_that_does_not_fit_is_refused(
    size: int, spec: ConditionSpec, change: dict[str, Any], says: str, pipeline: Path
) -> None:
    for name, values in change.items():
        (file,) = [f for f in pipeline.rglob(name) if f.parent.name in ("unet", "scheduler")]
        if values is None:
            file.unlink()
        elif isinstance(values, bytes):
            file.write_bytes(values)
        else:
            file.write_text(json.dumps({**json.loads(file.read_text()), **values}))
    with pytest.raises(UserError, match=says) as error:
        load_unet(str(pipeline), channels=1, size=size, spec=spec)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("forbidding", ["SYNTHWORTH_OFFLINE", "HF_HUB_OFFLINE"])
def test_a_hub_id_that_may_not_be_fetched_is_one_line(
    forbidding: str, train: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(forbidding, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    config = dataclasses.replace(TINY, pretrained="nobody-at-all/ddpm-of-nothing")
    with pytest.raises(UserError, match="fetching is forbidden") as error:
        fit(config, train, tmp_path)
    assert "\n" not in str(error.value)
