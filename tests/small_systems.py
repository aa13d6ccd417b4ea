"""Published systems at reduced size: the flags that shrink one and change nothing else, and what stands in for weights.

Used by tests/test_systems.py and by docs/systems.py, so that the page shows what the tests train.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from clip_files import write_clip
from nih_copy import lines_of, names_of, write_table
from PIL import Image

from benchmarks.request.options import parse
from data.datasets.nih.table import FINDINGS, NO_FINDING
from synthworth.devices import isolated_randomness
from synthworth.search_space import unmet

SHRUNK = ("widths", "width", "max_width", "transition", "mlp_width", "latent_size")
"""Options that say how wide a network is: divided in a small system."""
BUDGETS = ("batch", "lr", "critic_lr", "sampling_steps", "ema")
"""Options that suit the length of a training: those of a small system are its own."""
PLACES = ("encoder_weights", "encoder_sha256", "perceptual_weights", "perceptual_sha256", "pretrained", "pretrained_id")
"""Options that say where weights from elsewhere lie."""
OF_RENDERED = {
    "cardiomegaly": "Cardiomegaly", "effusion": "Effusion", "pneumothorax": "Pneumothorax", "nodule": "Nodule",
    "infiltration": "Infiltration",
}  # fmt: skip
"""What rendered films can show, in NIH's words."""
SIX_RENDERED = (NO_FINDING, *OF_RENDERED.values())
TOKENS, TOKEN_WIDTH = 77, 768
"""Of the CLIP that the systems name: tokens of a prompt, and the width of a token or a picture's embedding."""
SIDE_OF_DDPM = 32


def small_flags(
    name: str, *, size: int, divide: int, batch: int = 8, steps: int = 8, draws: int = 3, lr: float = 1e-3
) -> list[str]:
    """The flags of a system at reduced size; whatever they do not name is the system's own.

    Parameters
    ----------
    size : of the films in pixels; `google/ddpm-cifar10-32` keeps its 32.
    divide : what widths are divided by, 8 channels at least.
    draws : steps of the sampler.
    """
    published = parse(["--config", name], prog="test")
    gen, data = published.gen, published.data
    fields = {f.name for f in dataclasses.fields(gen)}
    shown = SIDE_OF_DDPM if getattr(gen, "pretrained", "") else size
    flags = ["--config", name, "--data.size", str(shown), "--fit.steps", str(steps), "--gen.batch", str(batch)]
    if data.resize is not None:
        flags += ["--data.resize", str(round(shown * data.resize / data.size))]
    flags += _narrowed(gen, divide, "--gen.")
    if "first_stage" in fields:
        flags += [*_narrowed(gen.first_stage, divide, "--gen.first-stage."), "--gen.first-stage.batch", str(batch)]
        flags += ["--gen.first-stage.lr", str(lr), "--gen.first-stage.ema", "0"]
    if "sampling_steps" in fields:
        flags += ["--gen.sampling-steps", str(draws)]
    if getattr(gen, "ema", None):
        flags += ["--gen.ema", "0.5" if steps < 100 else "0.99"]
    return [*flags, *([] if "critic_lr" in fields else ["--gen.lr", str(lr)]), "--snapshot-epochs", "0"]


def _narrowed(config: Any, divide: int, prefix: str) -> list[str]:
    flags: list[str] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in SHRUNK and value and not unmet(config, field.name):
            made = [str(max(8, one // divide)) for one in (value if isinstance(value, tuple) else (value,))]
            flags += [f"{prefix}{field.name.replace('_', '-')}", *made]
    return flags


def stand_ins(name: str, folder: Path, ids: Sequence[str], labels: np.ndarray) -> list[str]:
    """Make what a system fetches or is given, at random, and give the flags that name it.

    A timm encoder and AlexNet have no flag: they are looked for in SYNTHWORTH_WEIGHTS (`write_encoder`).

    Parameters
    ----------
    ids, labels : of the training films, for their embeddings (`write_embeddings`).
    """
    gen = parse(["--config", name], prog="test").gen
    kind = getattr(getattr(gen, "condition", None), "kind", "label")
    if getattr(gen, "pretrained", ""):
        return ["--gen.pretrained", str(write_ddpm(folder / "ddpm"))]
    if kind in ("clip_text", "clip_vision"):
        where = folder / "clip"
        if not where.exists():
            where.mkdir()
            words = f"a chest x ray with no and {' '.join(FINDINGS)}".lower().replace("_", " ").split()
            write_clip(where, width=TOKEN_WIDTH, heads=12, tokens=TOKENS, words=words)
        return ["--gen.condition.clip", str(where)]
    if kind == "embedding":
        shape = gen.condition.embedding_shape
        return ["--gen.condition.embeddings", str(write_embeddings(folder / "elixr.npz", ids, labels, shape))]
    return []


def write_encoder(folder: Path, tag: str) -> Path:
    """Random weights of a timm network's features where SYNTHWORTH_WEIGHTS would have the published ones."""
    from safetensors.torch import save_file

    from generators.nets.encoders import begin

    with isolated_randomness(0):
        net = begin(tag, None)
    found = {k: v.contiguous() for k, v in net.state_dict().items() if k.startswith("features.")}
    save_file(found, file := folder / f"{tag}.safetensors")
    return file


def write_alexnet(file: Path) -> Path:
    """Random convolutions of AlexNet, for LPIPS."""
    import torch
    from torchvision.models import alexnet

    with isolated_randomness(0):
        state = alexnet(weights=None).state_dict()
    torch.save({k: v.clone() for k, v in state.items() if k.startswith("features.")}, file)
    return file


def make_unet(divide: int = 16) -> Any:
    """The UNet of `google/ddpm-cifar10-32` with its widths divided, and random weights."""
    from diffusers import UNet2DModel

    with isolated_randomness(0):
        return UNet2DModel(
            sample_size=SIDE_OF_DDPM, in_channels=3, out_channels=3, layers_per_block=2, norm_num_groups=8,
            block_out_channels=tuple(width // divide for width in (128, 256, 256, 256)),
            down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
            attention_head_dim=8, act_fn="silu", downsample_padding=0, flip_sin_to_cos=False, freq_shift=1,
        )  # fmt: skip


def write_ddpm(folder: Path, unet: Any = None) -> Path:
    """A pipeline as `google/ddpm-cifar10-32` lies on the hub, of a UNet or of a small one with random weights."""
    from diffusers import DDPMPipeline, DDPMScheduler

    if not folder.exists():
        net = make_unet() if unet is None else unet
        DDPMPipeline(net, DDPMScheduler(1000)).save_pretrained(folder, safe_serialization=True)
    return folder


def write_embeddings(file: Path, ids: Sequence[str], labels: np.ndarray, shape: tuple[int, int]) -> Path:
    """An embedding a film as another program would have extracted it: a random projection of its label, and noise."""
    rng = np.random.default_rng(0)
    project = rng.standard_normal((labels.shape[1] + 1, *shape)).astype(np.float32)
    told = np.concatenate([labels, np.ones((len(labels), 1))], axis=1).astype(np.float32)
    noise = rng.standard_normal((len(ids), *shape)).astype(np.float32)
    found = (np.einsum("nk,ktw->ntw", told, project) + 0.3 * noise).astype(np.float16)
    np.savez(file, ids=np.asarray(ids), embeddings=found)
    return file


def write_rendered(folder: Path, n: int = 160, size: int = 64) -> Path:
    """Rendered films in NIH's layout: half show at most one finding, of half each finding is drawn by itself.

    Films of the second half may also be said to show any of the nine findings that no renderer knows; nothing is to be
    seen of these.
    """
    from data.datasets.phantom.patients import CLASSES, draw_films
    from data.datasets.phantom.render import render

    rng = np.random.default_rng(0)
    unseen = [name for name in FINDINGS if name not in OF_RENDERED.values()]
    rows: list[tuple[int, str]] = []
    pictures: list[np.ndarray] = []
    patients: dict[tuple[str, str], int] = {}
    for task in ("single", "multi"):
        films = draw_films(n // 2, seed=0, stream=task, task=task, difficulty=0.5)
        pictures += list(render(films, size)[:, 0])
        for place, label in enumerate(films.labels):
            if task == "single":
                shown = [OF_RENDERED[CLASSES[label]]] if label else []
            else:
                shown = [name for name, y in zip(OF_RENDERED.values(), label, strict=True) if y]
                shown += [name for name in unseen if rng.random() < 0.2]
            patients.setdefault((task, films.groups[place]), len(patients) + 1)
            rows.append((patients[task, films.groups[place]], "|".join(shown) or NO_FINDING))
    write_table(folder, lines_of(rows))
    (folder / "images").mkdir()
    for name, picture in zip(names_of(rows), pictures, strict=True):
        Image.fromarray(picture).save(folder / "images" / name)
    return folder
