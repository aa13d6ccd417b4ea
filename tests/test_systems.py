"""Every published system is trained with its own structure, at reduced size and steps, and draws."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from pages import ROOT
from safetensors.torch import load_file
from small_systems import (
    BUDGETS,
    PLACES,
    SHRUNK,
    SIX_RENDERED,
    TOKEN_WIDTH,
    TOKENS,
    small_flags,
    stand_ins,
    write_alexnet,
    write_encoder,
    write_rendered,
)
from torch import Tensor

from benchmarks.job.opened import Opened, open_request
from benchmarks.request.named import systems
from benchmarks.request.options import parse
from benchmarks.stages.generator import draw_pool, fit_generator
from data.images import ImageSet
from data.mixing import SyntheticSet
from data.registry import datasets
from generators.nets.encoders import TAGS
from generators.registry import generators
from synthworth.artifacts import read_json

pytestmark = pytest.mark.usefixtures("one_thread")

FAMILY = ("vae_vgg16", "gmvae_vgg16", "fs_gmvae_vgg16")
BY_LABEL = sorted(set(systems()) - {"gmvae_vgg16"})
"""Systems that are told what to draw; gmvae shows a label as far as its components found it, and those of a few steps
found none."""
TOLD = {
    "cxr_diffusion_text": [TOKENS, TOKEN_WIDTH],
    "cxr_diffusion_vision": [1, TOKEN_WIDTH],
    "cxr_diffusion_elixr": [32, 768],
}
"""Tokens and width of what cross-attention looks at."""

NO_CURVE = ("dcgan_infiltration", "lsgan_14_findings", "vae_latent_ddpm")
"""Systems whose loss need not fall in six steps: games, and two stages of three."""


@dataclass(frozen=True)
class Trained:
    """A system that was fitted and drawn from."""

    opened: Opened
    folder: Path
    report: dict[str, Any]
    pool: SyntheticSet

    @property
    def train(self) -> ImageSet:
        return self.opened.experiment.images.train

    def draw(self, labels: Tensor) -> Tensor:
        """Images of these labels, from the same noise each time."""
        model = generators.get(self.opened.request.options.generator).load(self.folder, device="cpu")
        drawn: Tensor = model.sample(labels, seed=3)
        return drawn

    def weights(self, of: str) -> dict[str, Tensor]:
        """Of a network of the fit, under the names that it has itself."""
        state = load_file(self.folder / "model.safetensors")
        return {name.removeprefix(of): value for name, value in state.items() if name.startswith(of)}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered films in NIH's layout, and a folder of weights as SYNTHWORTH_WEIGHTS names one."""
    pytest.importorskip("transformers", reason="the extra `clip` is not installed")
    folder = tmp_path_factory.mktemp("systems")
    for name in ("nih", "weights"):
        (folder / name).mkdir()
    write_rendered(folder / "nih", 240)
    for tag in TAGS.values():
        write_encoder(folder / "weights", tag)
    write_alexnet(folder / "alexnet.pt")
    return folder


_trained: dict[tuple[str, ...], Trained] = {}


@pytest.fixture
def train_system(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Trained]:
    """`train_system(name, *flags)`: the system fitted and drawn from, once for all tests of this file."""
    monkeypatch.setenv("SYNTHWORTH_WEIGHTS", str(place / "weights"))
    monkeypatch.setenv("SYNTHWORTH_OFFLINE", "1")

    def train(name: str, *more: str) -> Trained:
        key = (str(place), name, *more)
        if key not in _trained:
            flags = [*small_flags(name, size=32, divide=16, batch=4, steps=6, draws=2), *where(name, place), *more]
            label = ["--gen.condition.kind", "label"] if name == "cxr_diffusion_elixr" else []
            films = open_request(parse([*flags, *label], prog="test")).experiment.images.train
            flags += stand_ins(name, place, films.ids, films.labels.numpy())
            opened = open_request(parse(flags, prog="test"))
            (arm,) = (arm for arm in opened.arms if arm.draws)
            fitted = fit_generator(opened.experiment, arm.spec)
            report = {**read_json(fitted.folder / "fit.json"), "losses": losses(fitted.folder / "history.csv")}
            pool = draw_pool(opened.experiment, arm)
            assert pool is not None
            _trained[key] = Trained(opened, fitted.folder, report, pool)
        return _trained[key]

    return train


def where(name: str, place: Path) -> list[str]:
    """Where films, artifacts and AlexNet lie; and no more than a few images to draw."""
    flags = ["--data.path", str(place / "nih"), "--home", str(place / "home"), "--controls", "none"]
    flags += ["--shard", "4", "--ratio", "0.05", "--device", "cpu"]
    if name == "conditional_pixel_ddpm":
        flags += ["--data.findings", *SIX_RENDERED, "--ratio", "0.2"]
    if name == "vae_latent_ddpm":
        flags += ["--gen.first-stage.perceptual-weights", str(place / "alexnet.pt")]
    return flags


def losses(history: Path) -> list[float]:
    header, *rows = (line.split(",") for line in history.read_text().splitlines())
    return [float(row[header.index("loss")]) for row in rows]


def differing(a: Any, b: Any) -> set[str]:
    """Names of the options in which two Configs differ, of those within them too."""
    found: set[str] = set()
    for field in dataclasses.fields(a):
        one, other = getattr(a, field.name), getattr(b, field.name)
        if dataclasses.is_dataclass(one):
            found |= differing(one, other)
        elif field.name == "widths" and len(one) != len(other):
            found.add(f"length of {field.name}")
        elif one != other:
            found.add(field.name)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(systems()))
def test_a_published_system_trains_with_its_own_structure_and_draws(
    name: str, train_system: Callable[..., Trained]
) -> None:
    found, published = train_system(name), parse(["--config", name], prog="test")
    gen, data = found.opened.request.gen, found.opened.request.data
    assert differing(published.gen, gen) <= {*SHRUNK, *BUDGETS, *PLACES, "clip", "embeddings", "source_id"}
    assert differing(published.data, data) <= {"size", "resize", "path", "findings"}
    first, *_, last = found.report["losses"]
    assert found.report["steps"] == 6 and math.isfinite(last)
    assert last < first or name in NO_CURVE
    train, pool = found.train, found.pool
    assert pool.images.shape[1:] == (data.channels, 32, 32) and pool.images.dtype == torch.uint8
    assert len({image.numpy().tobytes() for image in pool.images}) == len(pool.images) > 1
    assert pool.classes == train.classes and pool.labels.dtype == train.labels.dtype
    n_classes = {"multilabel14": 14, "single": 6, "binary": 2}[data.task]
    assert len(train.classes) == n_classes
    if data.task == "multilabel14":
        assert pool.labels.shape[1] == 14
        assert int(train.labels.sum(1).max()) > 1 < int(pool.labels.sum(1).max()), "findings co-occur"
    else:
        assert pool.labels.unique().tolist() == list(range(n_classes))


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_LABEL)
def test_a_published_system_draws_another_image_of_another_label_from_the_same_noise(
    name: str, train_system: Callable[..., Trained]
) -> None:
    found = train_system(name)
    one, other = contrasting(found.train.labels)
    a, again, b = (found.draw(label.expand(4, *label.shape)) for label in (one, one, other))
    assert torch.equal(a, again)
    assert not torch.equal(a, b)


def contrasting(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Two labels that training has: the first and the last class, or no finding and the most findings."""
    order = labels.argsort(stable=True) if labels.ndim == 1 else labels.sum(1).argsort(stable=True)
    return labels[order[0]], labels[order[-1]]


def encoders(found: Trained, place: Path, name: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The encoder's weights and statistics after training, and those that lay in SYNTHWORTH_WEIGHTS."""
    there = load_file(place / "weights" / f"{TAGS[name]}.safetensors")
    return found.weights("net.encoder.net."), {key.replace("features.", "features_", 1): v for key, v in there.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "encoder", "n"),
    [*((name, "vgg16", 26) for name in FAMILY), ("vae_vgg16+densenet121+decoder1", "densenet121", 600)],
)
def test_the_frozen_encoder_keeps_the_weights_that_lay_in_synthworth_weights(
    name: str, encoder: str, n: int, train_system: Callable[..., Trained], place: Path
) -> None:
    after, before = encoders(train_system(name), place, encoder)
    assert after.keys() == before.keys() and len(after) >= n
    assert all(torch.equal(after[key], value) for key, value in before.items())


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TOLD))
def test_cross_attention_is_told_tokens_of_the_published_shape(name: str, train_system: Callable[..., Trained]) -> None:
    found = train_system(name)
    assert found.report["facts"]["condition_shape"] == TOLD[name]
    assert any("attn2" in key for key in found.weights("denoiser."))


@pytest.mark.slow
def test_the_fine_tuned_ddpm_begins_where_the_saved_one_stood(
    train_system: Callable[..., Trained], place: Path
) -> None:
    found = train_system("ddpm_cifar10_finetuned").weights("denoiser.unet.")
    saved = load_file(place / "ddpm" / "unet" / "diffusion_pytorch_model.safetensors")
    name = "mid_block.resnets.0.conv1.weight"
    moved = (found[name] - saved[name]).norm() / saved[name].norm()
    assert 0 < float(moved) < 0.2


# -- variants -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_variants_of_the_vae_family_train_together(train_system: Callable[..., Trained], place: Path) -> None:
    at_64 = ("--data.size", "64", "--data.resize", "73", "--fit.steps", "2")
    found = train_system("fs_gmvae_vgg16+correlated_noise+trainable_encoder+no_transition", *at_64)
    assert found.report["facts"]["latent"] == [5, 2, 2]
    after, before = encoders(found, place, "vgg16")
    assert not any(torch.equal(after[key], value) for key, value in before.items() if key.endswith("weight"))
    assert not any("transition" in key for key in found.weights("net.head."))


@pytest.mark.slow
def test_an_unconditional_family_draws_by_the_findings_of_a_progressive_task(
    train_system: Callable[..., Trained],
) -> None:
    found = train_system("lsgan_14_findings+2_findings", "--ratio", "0.2")
    assert len(found.train.classes) == 2 == found.pool.labels.shape[1]


@pytest.mark.parametrize("name", ["lsgan_14_findings", "dcgan_infiltration"])
def test_progressive_variants_take_more_and_more_findings_of_the_same_films(name: str, place: Path) -> None:
    before: tuple[str, ...] = ()
    for k in (2, 4, 6, 8, 14):
        data = parse(["--config", f"{name}+{k}_findings", "--data.path", str(place / "nih")], prog="test").data
        assert (data.task, data.k, data.cap) == ("progressive", k, None)
        table = datasets.get("nih")(data).table
        assert len(table.classes) == k and table.classes[: len(before)] == before
        before = table.classes


# -- real films ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_of_a_published_system_on_real_films_gives_a_record(run_here: Any, tmp_path: Path) -> None:
    real = Path(os.environ.get("SYNTHWORTH_DATA") or "/nowhere") / "nih14"
    if not real.exists():
        pytest.skip("SYNTHWORTH_DATA holds no nih14")
    small = ["--preset", "smoke", "--clf.arch", "resnet10t", "--extractors", "--controls", "none", "--workers", "1"]
    flags = ["--config", "dcgan_infiltration", "--data.path", str(real), "--data.cap", "60", *small]
    done = run_here("-m", "benchmarks.run", *flags)
    assert done.returncode == 0, done.stderr
    records = [json.loads(file.read_text()) for file in tmp_path.glob("results/runs/*/record.json")]
    (record,) = (r for r in records if r["spec"]["generator"] == "dcgan")
    assert record["status"] == "ok" and record["classes"] == ["No Finding", "Infiltration"]
    assert set(record["comparisons"]) == {"none"}
    assert sum(record["counts"]["synthetic"].values()) == 0.5 * sum(record["counts"]["real"].values())


# -- the page -----------------------------------------------------------------------------------------------------


def test_the_table_of_the_page_is_that_of_what_was_trained() -> None:
    made = runpy.run_path(str(ROOT / "docs/systems.py"))
    rows = json.loads(made["TRAINED"].read_text(encoding="utf-8"))
    assert {row["system"] for row in rows} == set(systems()) == set(made["PLANS"])
    assert made["table_of"](rows) in (ROOT / "docs/systems.md").read_text(encoding="utf-8")
    assert made["PICTURE"].is_file()
