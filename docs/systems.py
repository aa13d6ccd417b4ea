"""The table and picture of docs/systems.md: every published system trained at reduced size, `python docs/systems.py`.

It needs NIH's films (SYNTHWORTH_DATA, as docs/data.md has it), trains for some minutes on two cores, writes what was
trained to results/reference/systems/trained.json, the picture to docs/images/systems.png, and prints the table.
`python docs/systems.py table` prints it from that file alone.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]  # the stand-ins of weights are those of the tests

import small_systems as small  # noqa: E402

TRAINED = ROOT / "results/reference/systems/trained.json"
PICTURE = ROOT / "docs/images/systems.png"
COLUMNS = ("system", "data", "films", "px", "steps x batch", "stand-in weights", "loss, first to last", "seconds")
N_SHOWN = 6
"""Films in each half of a row of the picture."""
REAL, RENDERED = "NIH ChestX-ray14", "rendered"


@dataclass(frozen=True)
class Plan:
    """How a system is trained here.

    Parameters
    ----------
    size, divide : pixels on a side; what widths are divided by.
    weights : what stands in for weights that would be fetched.
    more : further flags; batches of 16 are cut into 2 parts where the system cuts 256 into 4.
    data : real films, or rendered ones in NIH's layout.
    """

    size: int
    divide: int
    steps: int
    batch: int = 16
    draws: int = 25
    lr: float = 1e-3
    weights: str = "none needed"
    data: str = REAL
    more: tuple[str, ...] = ()


VGG = "VGG16: random"
CLIP = "CLIP of 2 layers: random"
IN_TWO = ("--gen.accumulate", "2")
PLANS = {
    "vae_latent_ddpm": Plan(64, 4, 600, draws=50, weights="LPIPS: torchvision's AlexNet"),
    "dcgan_infiltration": Plan(64, 4, 400),
    "ddpm_cifar10_finetuned": Plan(32, 4, 120, weights="UNet of a sixteenth of the width, 250 steps on rendered films"),
    "conditional_pixel_ddpm": Plan(32, 8, 250, data=RENDERED),
    "cxr_diffusion_text": Plan(32, 8, 280, weights=CLIP, more=IN_TWO),
    "cxr_diffusion_vision": Plan(32, 8, 280, weights=CLIP, more=IN_TWO),
    "cxr_diffusion_elixr": Plan(32, 8, 280, weights="random projections of the labels", more=IN_TWO),
    "vae_vgg16": Plan(64, 4, 100, batch=8, weights=VGG),
    "gmvae_vgg16": Plan(64, 4, 100, batch=8, weights=VGG),
    "fs_gmvae_vgg16": Plan(64, 4, 100, batch=8, weights=VGG),
    "lsgan_14_findings": Plan(64, 4, 400),
}


def train(name: str, plan: Plan, place: Path) -> tuple[dict[str, Any], Any, Any]:
    """Train one system and draw.

    Returns
    -------
    What the table says; real films, and images drawn for their labels: uint8 (N_SHOWN, C, H, W).
    """
    import numpy as np

    from benchmarks.job.opened import open_request
    from benchmarks.request.options import parse
    from benchmarks.stages.generator import fit_generator
    from generators.registry import generators
    from synthworth.artifacts import read_json

    flags = small.small_flags(
        name, size=plan.size, divide=plan.divide, batch=plan.batch, steps=plan.steps, draws=plan.draws, lr=plan.lr
    )
    flags += [*plan.more, "--home", str(place / "home"), "--controls", "none", "--device", "cpu"]
    if plan.data == RENDERED:
        flags += ["--data.path", str(place / "nih"), "--data.findings", *small.SIX_RENDERED]
    told = ["--gen.condition.kind", "label"] if name == "cxr_diffusion_elixr" else []
    films = open_request(parse([*flags, *told], prog="systems")).experiment.images.train
    flags += small.stand_ins(name, place, films.ids, films.labels.numpy())
    opened = open_request(parse(flags, prog="systems"))
    (arm,) = (arm for arm in opened.arms if arm.draws)
    fitted = fit_generator(opened.experiment, arm.spec).folder
    report = read_json(fitted / "fit.json")
    header, *rows = (line.split(",") for line in (fitted / "history.csv").read_text().splitlines())
    losses = [float(row[header.index("loss")]) for row in rows if header[0] != "stage" or row[0] == rows[-1][0]]
    model = generators.get(opened.request.options.generator).load(fitted, device="cpu")
    chosen = shown_rows(films.labels.numpy())
    drawn = model.sample(films.labels[chosen], seed=0)
    row = {
        "system": name, "data": plan.data, "films": len(films), "size": films.size, "steps": report["steps"],
        "batch": plan.batch, "weights": plan.weights, "loss": [losses[0], losses[-1]],
        "seconds": round(report["seconds"]),
    }  # fmt: skip
    return row, np.asarray(films.images[chosen]), drawn.numpy()


def shown_rows(labels: Any) -> list[int]:
    """The training films of the picture: one of each class in turn, or those without a finding and with most."""
    import numpy as np

    if labels.ndim == 1:
        of_class = [np.flatnonzero(labels == k) for k in np.unique(labels)]
        return [int(of_class[i % len(of_class)][i // len(of_class)]) for i in range(N_SHOWN)]
    order = np.argsort(labels.sum(1), kind="stable")
    half = N_SHOWN // 2
    return [*map(int, order[:half]), *map(int, order[-half:])]


def pretrain(place: Path, *, steps: int = 250) -> None:
    """The saved DDPM that is fine-tuned: the small UNet, trained on rendered films without a label."""
    import numpy as np
    import torch
    from diffusers import DDPMScheduler
    from PIL import Image
    from torch.nn import functional as F

    files = sorted((place / "nih" / "images").glob("*.png"))
    films = torch.from_numpy(np.stack([np.asarray(Image.open(file).resize((32, 32))) for file in files]))
    clean = (films.float()[:, None] / 127.5 - 1).expand(-1, 3, -1, -1)
    net, noising, seeded = small.make_unet(16), DDPMScheduler(1000), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    for _ in range(steps):
        x = clean[torch.randint(len(clean), (16,), generator=seeded)]
        noise = torch.randn(x.shape, generator=seeded)
        t = torch.randint(1000, (16,), generator=seeded)
        loss = F.mse_loss(net(noising.add_noise(x, noise, t), t).sample, noise)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    small.write_ddpm(place / "ddpm", net)


def table_of(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of the page."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- | --- | ---: | ---: | ---: | --- | ---: | ---: |"]
    for row in rows:
        first, last = row["loss"]
        cells = (
            f"`{row['system']}`", row["data"], row["films"], row["size"], f"{row['steps']} x {row['batch']}",
            row["weights"], f"{first:.3g} to {last:.3g}", row["seconds"],
        )  # fmt: skip
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def draw(shown: Sequence[tuple[Mapping[str, Any], Any, Any]]) -> None:
    """The picture: a row a system, real films on the left, images drawn for the same labels on the right."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    height = 0.86
    figure, axes = plt.subplots(
        len(shown), 2 * N_SHOWN + 1, figsize=(13.4, 0.5 + height * len(shown)), dpi=110,
        gridspec_kw={"width_ratios": [3.1, *[1] * (2 * N_SHOWN)], "wspace": 0.04, "hspace": 0.06,
                     "left": 0.005, "right": 0.995, "top": 0.955, "bottom": 0.005},
    )  # fmt: skip
    for line, (row, real, drawn) in zip(axes, shown, strict=True):
        for axis in line:
            axis.axis("off")
        line[0].text(0.02, 0.62, row["system"], fontsize=10, family="monospace", va="center")
        said = f"{row['size']} px, {row['steps']} steps of {row['batch']}\n{row['data']} films"
        line[0].text(0.02, 0.28, said, fontsize=8, color="0.35", va="center")
        for axis, image in zip(line[1:], [*real, *drawn], strict=True):
            axis.imshow(image.transpose(1, 2, 0).squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for column, title in ((1, "training films"), (1 + N_SHOWN, "drawn for the same labels")):
        axes[0][column].set_title(title, loc="left", fontsize=11)
    figure.savefig(PICTURE)


def set_up(place: Path) -> None:
    """Rendered films and stand-ins of weights; SYNTHWORTH_WEIGHTS then names these, beside what it named before."""
    for name in ("nih", "weights"):
        (place / name).mkdir()
    small.write_rendered(place / "nih", 1200)
    small.write_encoder(place / "weights", "vgg16.tv_in1k")
    found = os.environ.get("SYNTHWORTH_WEIGHTS")
    for file in Path(found).iterdir() if found else ():
        (place / "weights" / file.name).symlink_to(file.resolve())
    os.environ["SYNTHWORTH_WEIGHTS"] = str(place / "weights")


def main(args: Sequence[str]) -> None:
    """Train all, write the file and the picture, and print the table."""
    if list(args) == ["table"]:
        print(table_of(json.loads(TRAINED.read_text(encoding="utf-8"))))
        return
    began, shown = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as folder:
        set_up(Path(folder))
        pretrain(Path(folder))
        for name, plan in PLANS.items():
            shown.append(train(name, plan, Path(folder)))
            print(f"{time.perf_counter() - began:5.0f} s  {name}", file=sys.stderr)
    rows = [row for row, _, _ in shown]
    TRAINED.parent.mkdir(parents=True, exist_ok=True)
    TRAINED.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    draw(shown)
    print(table_of(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
