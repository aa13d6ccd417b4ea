"""`lora`: adapters learn, their base does not, and the pipeline draws as its own makers have it draw."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from lora_files import SIDE, write_sana, write_stable_diffusion, write_three, write_xl
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.check.candidate import Interrupted, interrupted_after
from benchmarks.check.checks import check_generator, make_images
from data.images import ImageSet
from generators.learned_noise import Flow
from generators.lora import LoRA
from generators.lora_options import LoRAConfig
from generators.pipeline_folder import PipelineFolder
from generators.reconstruct import Reconstruct, ReconstructConfig
from generators.text_to_image import TextToImage
from synthworth.devices import isolated_randomness
from synthworth.errors import UserError
from synthworth.images import from_signed, resize, to_signed
from synthworth.keys import seed_from
from synthworth.work import Budget, FitReport, Work

pytestmark = pytest.mark.usefixtures("one_thread")
WRITERS: dict[str, Callable[[Path], Path]] = {
    "StableDiffusionPipeline": write_stable_diffusion, "StableDiffusionXLPipeline": write_xl,
    "StableDiffusion3Pipeline": write_three, "SanaPipeline": write_sana,
}  # fmt: skip
PROMPT = "a chest X-ray with left"


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny pipeline, written when it is first asked for."""
    pytest.importorskip("peft", reason="the extra `lora` is not installed")
    root, made = tmp_path_factory.mktemp("bases"), {}

    def of(kind: str = "StableDiffusionPipeline") -> Path:
        if kind not in made:
            made[kind] = WRITERS[kind](root / kind)
        return made[kind]

    return of


@pytest.fixture
def base(bases: Callable[[str], Path]) -> Path:
    return bases("StableDiffusionPipeline")


@pytest.fixture
def train() -> ImageSet:
    return make_images(multilabel=False, channels=1, size=SIDE)


def tiny(base: Path, **options: Any) -> LoRAConfig:
    return dataclasses.replace(LoRA.tiny_config(), base=str(base), saw_test="no", **options)


def fit(config: LoRAConfig, train: ImageSet, folder: Path, steps: int = 4, **bench: Any) -> tuple[LoRA, FitReport]:
    model = LoRA(config)
    report = model.fit(train, seed=1, work=Work(folder, budget=Budget(steps), **bench))
    return model, report


def opened(base: Path) -> tuple[PipelineFolder, TextToImage]:
    found = PipelineFolder.find(str(base))
    return found, TextToImage(found, side=found.side(0), device="cpu")


# -- every kind of pipeline ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "multilabel", "channels"), [("StableDiffusionPipeline", True, 3), ("StableDiffusion3Pipeline", False, 1)]
)
def test_a_base_of_betas_and_one_of_flow_keep_the_contract(
    kind: str, multilabel: bool, channels: int, bases: Callable[[str], Path]
) -> None:
    asked = tiny(bases(kind), sampling_steps=2, sample_batch=8)
    results = check_generator(LoRA, multilabel=multilabel, channels=channels, size=SIDE, config=asked)
    assert [f"{r.name}: {r.message}" for r in results if not r.passed] == []


@pytest.mark.parametrize("kind", ["StableDiffusionXLPipeline", "SanaPipeline"])
def test_the_other_kinds_learn_and_are_read_again(
    kind: str, bases: Callable[[str], Path], tmp_path: Path, train: ImageSet
) -> None:
    model, report = fit(tiny(bases(kind), sampling_steps=2), train, tmp_path / "work", 2)
    assert report.facts["pipeline"] == kind
    assert report.facts["learned"] == ("flow" if kind == "SanaPipeline" else "epsilon")
    assert any(bool(value.any()) for name, value in model.adapters.weights().items() if ".lora_B." in name)
    model.save(tmp_path)
    drawn = model.sample(train.labels[:3], seed=2)
    assert torch.equal(LoRA.load(tmp_path, device="cpu").sample(train.labels[:3], seed=2), drawn)
    assert drawn.shape == (3, 1, SIDE, SIDE)


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("kind", WRITERS)
def test_a_base_without_adapters_draws_what_diffusers_itself_draws(
    kind: str, guidance: float, bases: Callable[[str], Path]
) -> None:
    _, base = opened(bases(kind))
    noise = torch.randn(2, *base.latent_shape, generator=torch.Generator().manual_seed(0))
    told = base.tell([PROMPT, "a chest X-ray with no finding"])
    drawn = base.draw(
        noise, told, guidance=guidance, n_steps=3, channels=3, size=base.side, seed=1, first=0
    )  # fmt: skip
    own = getattr(diffusers, kind).from_pretrained(bases(kind))
    own.set_progress_bar_config(disable=True)
    more = {"use_resolution_binning": False} if kind == "SanaPipeline" else {}
    images = own(
        prompt=[PROMPT, "a chest X-ray with no finding"], latents=noise.clone(), guidance_scale=guidance,
        num_inference_steps=3, height=base.side, width=base.side, output_type="pt", **more,
    ).images  # fmt: skip
    assert (drawn.int() - from_signed(images * 2 - 1).int()).abs().max() <= 1
    assert drawn.float().std() > 1


@pytest.mark.parametrize("kind", WRITERS)
def test_the_network_is_trained_with_the_arguments_that_it_is_drawn_with(
    kind: str, bases: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, base = opened(bases(kind))
    heard: list[dict[str, Any]] = []
    plain = type(base.network).forward

    def forward(self: Any, *args: Any, **given: Any) -> Any:
        names = ("hidden_states",) if "transformer" in found.kind.part else ("sample", "timestep")
        heard.append({**dict(zip(names, args, strict=False)), **given})
        return plain(self, *args, **given)

    monkeypatch.setattr(type(base.network), "forward", forward)
    noise = torch.randn(1, *base.latent_shape, generator=torch.Generator().manual_seed(0))
    told = base.tell([PROMPT])
    base.draw(noise, told, guidance=1.0, n_steps=2, channels=1, size=8, seed=1, first=0)
    drawing = heard[0]
    with torch.no_grad():
        base.predict(base.network, noise, torch.as_tensor(drawing["timestep"]).reshape(-1), told)
    training = heard[-1]
    for name, value in training.items():
        if isinstance(value, Tensor) and name not in ("sample", "hidden_states"):
            assert torch.equal(value.float(), torch.as_tensor(drawing[name]).reshape(value.shape).float()), name
    more = training.get("added_cond_kwargs") or {}
    assert all(torch.equal(value, drawing["added_cond_kwargs"][name]) for name, value in more.items())
    assert {name for name, value in drawing.items() if isinstance(value, Tensor)} <= set(training)


# -- what is learned -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "last"), [("StableDiffusionPipeline", "conv_out"), ("StableDiffusion3Pipeline", "proj_out")]
)
def test_the_loss_falls_and_the_adapters_alone_have_changed(
    kind: str, last: str, bases: Callable[[str], Path], tmp_path: Path, train: ImageSet
) -> None:
    losses: list[float] = []
    found = PipelineFolder.find(str(bases(kind)))
    model, report = fit(
        tiny(bases(kind), batch=16, targets=("to_q", "to_k", "to_v", "to_out.0", last), rank=4, alpha=16.0, warmup=3),
        train, tmp_path, steps=40, log=lambda step, **values: losses.append(values["adapters/loss"]),
    )  # fmt: skip
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])
    before = load_file(found.network.weight_files()[0])
    after = {name.replace(".base_layer", ""): p for name, p in model.base.network.state_dict().items()}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert after.keys() - before.keys() == {n for n in after if "lora_" in n}
    weights = model.adapters.weights()
    assert report.facts["adapter_parameters"] == sum(value.numel() for value in weights.values())
    assert all(bool(value.any()) for name, value in weights.items() if ".lora_B." in name)


def test_each_film_is_told_its_prompt_but_for_those_that_are_told_none(
    base: Path, tmp_path: Path, train: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Tensor] = []
    plain = TextToImage.predict

    def predict(self: TextToImage, network: Any, noisy: Tensor, times: Tensor, told: Any) -> Tensor:
        heard.append(told[0].detach().clone())
        return plain(self, network, noisy, times, told)

    monkeypatch.setattr(TextToImage, "predict", predict)
    for drop in (0.0, 0.5):
        heard.clear()
        model, report = fit(
            tiny(base, batch=48, drop=drop, guidance=1.0 if not drop else 2.0), train, tmp_path / str(drop), 1
        )
        told = heard[0]
        assert len(told) == 48 and report.facts["prompts"] == 3
        prompts = [f"a chest X-ray with {name}" for name in train.classes]
        n_each = [int((told == model.base.tell([text])[0]).flatten(1).all(1).sum()) for text in prompts]
        n_none = int((told == model.base.absent[0]).flatten(1).all(1).sum())
        assert sum(n_each) + n_none == 48
        assert (n_each == [16, 16, 16]) if not drop else (10 < n_none < 38 and min(n_each) > 0)


def test_flow_is_a_straight_line_that_is_left_by_its_direction() -> None:
    clean = torch.randn(512, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    with isolated_randomness(0):
        noisy, times, target, dropped = Flow(shift=3.0)(clean, drop=0.25)
    s = (times / 1000).reshape(-1, 1, 1, 1)
    assert torch.allclose(noisy - s * target, clean, atol=1e-5)
    assert torch.allclose(noisy + (1 - s) * target, target + clean, atol=1e-5)
    # the median of a logistic normal number is 1/2, and 3/2 / (1 + 2/2) = 3/4 is what a shift of 3 makes of it
    assert float(times.median()) == pytest.approx(750, abs=30)
    assert 0.15 < float(dropped.float().mean()) < 0.35


def test_latents_that_are_too_large_to_keep_are_computed_in_each_step(
    base: Path, tmp_path: Path, train: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[float] = []
    told = {"log": lambda step, **values: losses.append(values["adapters/loss"])}
    fit(tiny(base, lr=1e-9), train, tmp_path / "kept", 3, **told)
    monkeypatch.setattr("generators.lora.KEPT_BYTES", 0)
    fit(tiny(base, lr=1e-9), train, tmp_path / "anew", 3, **told)
    assert (tmp_path / "kept" / "latents.safetensors").is_file()
    assert not (tmp_path / "anew" / "latents.safetensors").exists()
    assert losses[:3] == pytest.approx(losses[3:], rel=1e-4)
    assert len(set(losses[:3])) == 3


@pytest.mark.parametrize("options", [{}, {"ema": 0.9}])
def test_a_fit_that_was_killed_goes_on_and_ends_with_the_same_bits(
    options: dict[str, Any], base: Path, tmp_path: Path, train: ImageSet
) -> None:
    config = tiny(base, accumulate=2, **options)
    whole, _ = fit(config, train, tmp_path / "whole", checkpoint_seconds=0.0)
    with pytest.raises(Interrupted):
        fit(config, train, tmp_path / "cut", checkpoint_seconds=0.0, log=interrupted_after(2, []))
    resumed, _ = fit(config, train, tmp_path / "cut", checkpoint_seconds=0.0)
    for name, value in whole.adapters.weights().items():
        assert torch.equal(value, resumed.adapters.weights()[name])
    assert torch.equal(whole.sample(train.labels[:3], seed=2), resumed.sample(train.labels[:3], seed=2))
    size = max(file.stat().st_size for file in (tmp_path / "cut").rglob("*") if file.is_file())
    assert size < 200_000, "a checkpoint holds the adapters, not the base"


def test_checkpointing_and_precision_change_memory_and_numbers_as_they_say(
    base: Path, tmp_path: Path, train: ImageSet
) -> None:
    plain, _ = fit(tiny(base), train, tmp_path / "plain", 2)
    anew, _ = fit(tiny(base, checkpointing=True), train, tmp_path / "anew", 2)
    half, _ = fit(tiny(base, sampling_precision="bf16"), train, tmp_path / "half", 2, precision="bf16")
    for name, value in plain.adapters.weights().items():
        assert torch.equal(value, anew.adapters.weights()[name])
        assert half.adapters.weights()[name].dtype == torch.float32
    assert anew.base.network.is_gradient_checkpointing and not plain.base.network.is_gradient_checkpointing
    assert not torch.equal(half.sample(train.labels[:3], seed=2), plain.sample(train.labels[:3], seed=2))


# -- what is drawn, and what is kept ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(bases: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> LoRA:
    """A fit on its own copy of the base, with an ancestral scheduler: it draws at random in every step."""
    folder = tmp_path_factory.mktemp("fitted")
    known = {"beta_schedule": "scaled_linear", "prediction_type": "v_prediction", "steps_offset": 1}
    base = write_stable_diffusion(folder / "base", scheduler=diffusers.EulerAncestralDiscreteScheduler(**known))
    train = make_images(multilabel=False, channels=1, size=SIDE)
    model, report = fit(tiny(base, ema=0.5, rank=4, alpha=4.0), train, folder / "work")
    assert report.facts["learned"] == "v_prediction"
    return model


def test_rows_depend_on_seed_and_row_alone_however_many_are_drawn_at_a_time(fitted: LoRA) -> None:
    labels = torch.tensor([0, 1, 2, 0, 1])
    whole = fitted.sample(labels, seed=3)
    one = LoRA(dataclasses.replace(fitted.config, sample_batch=1))
    one.__dict__.update({k: v for k, v in fitted.__dict__.items() if k != "config"})
    assert (one.sample(labels, seed=3).int() - whole.int()).abs().max() <= 1
    other = fitted.sample(torch.tensor([2, 1]), seed=3)
    assert (other[1].int() - whole[1].int()).abs().max() <= 1
    assert (other[0].int() - whole[0].int()).abs().max() > 1


def test_a_saved_model_holds_the_adapters_alone_and_draws_the_same(fitted: LoRA, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["base.json", "model.json", "model.safetensors"]
    assert (tmp_path / "model.safetensors").stat().st_size < 50_000
    labels = torch.tensor([0, 1, 2])
    loaded = LoRA.load(tmp_path, device="cpu")
    (tmp_path / "again").mkdir()
    loaded.save(tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    assert torch.equal(loaded.sample(labels, seed=3), fitted.sample(labels, seed=3))


@pytest.mark.parametrize("kind", ["StableDiffusion3Pipeline", "SanaPipeline"])
def test_what_is_encoded_is_decoded_as_the_autoencoder_itself_does(kind: str, bases: Callable[[str], Path]) -> None:
    _, base = opened(bases(kind))
    films = make_images(multilabel=False, channels=3, size=base.side).images[:3]
    mean, spread = base.encode(films)
    seen = base.decode(mean, channels=3, size=base.side)
    with torch.no_grad():
        found = base.autoencoder.encode(to_signed(films))
        latents = found.latent_dist.mode() if hasattr(found, "latent_dist") else found.latent
        own = base.autoencoder.decode(latents).sample
    assert (seen.int() - from_signed(own).int()).abs().max() <= 1
    scale = base.autoencoder.config["scaling_factor"]
    assert torch.allclose(mean / scale + (base.autoencoder.config.get("shift_factor") or 0), latents, atol=1e-5)
    assert bool(spread.any()) == hasattr(found, "latent_dist")


def test_the_control_reconstruct_sees_films_through_the_autoencoder_of_the_base(fitted: LoRA, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    train = make_images(multilabel=False, channels=1, size=SIDE)
    control = Reconstruct(ReconstructConfig(generator="lora"))
    control.fit(train, seed=1, work=Work(tmp_path / "work", fitted=tmp_path))
    seen = fitted.reconstruct(train.images)
    assert seen.shape == train.images.shape and not torch.equal(seen, train.images)
    assert {image.numpy().tobytes() for image in control.sample(train.labels[:5], seed=2)} <= {
        image.numpy().tobytes() for image in seen
    }


def test_diffusers_reads_the_saved_adapters_and_draws_the_same(fitted: LoRA, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    own = diffusers.StableDiffusionPipeline.from_pretrained(fitted.config.base, safety_checker=None)
    own.set_progress_bar_config(disable=True)
    own.load_lora_weights(str(tmp_path), weight_name="model.safetensors")
    base = fitted.base
    noise = torch.randn(1, *base.latent_shape, generator=torch.Generator().manual_seed(0))
    with fitted.adapters.worn():
        drawn = base.draw(
            noise, base.tell([PROMPT]), guidance=2.0, n_steps=3, channels=1, size=8, seed=1, first=0
        )  # fmt: skip
    images = own(
        PROMPT, latents=noise, guidance_scale=2.0, num_inference_steps=3, height=SIDE, width=SIDE, output_type="pt",
        generator=torch.Generator().manual_seed(seed_from(1, "scheduler", 0)),
    ).images  # fmt: skip
    grey = resize(from_signed((images * 2 - 1).mean(1, keepdim=True)), 8)
    assert (drawn.int() - grey.int()).abs().max() <= 1


def test_a_model_elsewhere_finds_its_base_by_name_and_refuses_another(
    fitted: LoRA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted.save(tmp_path)
    labels, where = torch.tensor([0, 1]), Path(fitted.config.base)
    wanted = fitted.sample(labels, seed=3)
    there = Path(shutil.copytree(where, tmp_path / "weights" / where.name))
    hidden = where.rename(where.with_name("hidden"))
    try:
        with pytest.raises(UserError, match=r"adapters alone, and their base is not at hand.*SYNTHWORTH_WEIGHTS"):
            LoRA.load(tmp_path, device="cpu")
        monkeypatch.setenv("SYNTHWORTH_WEIGHTS", str(tmp_path / "weights"))
        assert torch.equal(LoRA.load(tmp_path, device="cpu").sample(labels, seed=3), wanted)
        (there / "scheduler" / "scheduler_config.json").write_text(
            (there / "scheduler" / "scheduler_config.json").read_text().replace("0.02", "0.03")
        )
        with pytest.raises(UserError, match=r"has changed since\. Put it back, or fit again"):
            LoRA.load(tmp_path, device="cpu")
    finally:
        hidden.rename(where)
