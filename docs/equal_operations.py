"""What generators draw for equal operations: `python docs/equal_operations.py phantom medmnist`; rows are kept.

`python docs/equal_operations.py time:phantom` adds the seconds of drawing, `worth:phantom` what the films are worth: it
trains the generator once more, in the home (SYNTHWORTH_HOME) where it is kept, and classifiers with its films.

Each generator is trained on the films of preset quick until it has computed as much as `pixel_ddpm` does there. Then it
draws a film for each label that it learned from (at most 400 of them), in 1, 2, 4, 10 and 25 steps where it has steps.
Rows and films go to results/reference/generators, from where `python docs/equal_operations.py` makes the tables and
pictures of docs/equal_operations.md. A row that is there is not made again. Test films are not looked at.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.metrics.frechet import frechet_distance
from benchmarks.metrics.manifold import prdc
from benchmarks.metrics.registry import EXTRACTORS
from benchmarks.metrics.utility import argmax_accuracy, auroc
from benchmarks.request.options import parse
from benchmarks.speed.pictures import as_mixture
from classifiers.registry import classifiers
from data.images import ImageSet, Split
from data.registry import datasets
from generators.registry import generators
from synthworth.artifacts import write_json
from synthworth.work import Budget, Work

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results/reference/generators"
FILE = Path(os.environ.get("SYNTHWORTH_DATA", "data")) / "pneumoniamnist.npz"
DATASETS = {"phantom": (), "medmnist": ("--dataset", "medmnist", "--data.file", str(FILE))}
DIT = ("--gen.backbone", "dit")
VARIANTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "pixel_ddpm": ("pixel_ddpm", ()),
    "pixel_ddpm, DiT": ("pixel_ddpm", DIT),
    "flow": ("flow", ()),
    "flow, DiT": ("flow", DIT),
    "flow, logit-normal": ("flow", ("--gen.times", "logit_normal")),
    "flow, coupled": ("flow", ("--gen.coupling",)),
    "edm": ("edm", ()),
    "edm, DiT": ("edm", DIT),
    "edm, augmented": ("edm", ("--gen.augment", "0.12")),
    "consistency": ("consistency", ()),
    "latent_ddpm": ("latent_ddpm", ()),
    "latent_flow": ("latent_flow", ()),
    "dcgan": ("dcgan", ()),
    "lsgan": ("lsgan", ()),
    "r3gan": ("r3gan", ()),
    "vae": ("vae", ()),
    "dcgan, adaptive": ("dcgan", ("--gen.augment", "ada")),
    "r3gan, adaptive": ("r3gan", ("--gen.augment", "ada")),
}
"""Name of a row -> generator and options beside those of preset quick."""
STEPS = (1, 2, 4, 10, 25)
MOST = 400
"""Films that are drawn, at most."""
TIMED = 64
"""Films that are drawn to time it."""
SHOWN = 2
"""Films of each class that are kept for the picture."""
SEED = 0
FEATURES = "efficientnet_lite0"


def measure(dataset: str, names: list[str]) -> None:
    """Add the rows of a dataset that are not there yet; each is on disk before the next begins."""
    train, val = films_of(dataset)
    file = RESULTS / f"{dataset}.json"
    kept: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {"rows": {}}
    extractor = EXTRACTORS.get(FEATURES)(device="cpu", precision="fp32")
    real = extractor.extract(train.images).features
    held = extractor.extract(val.images).features
    kept["real"] = {"n": len(train), "n_val": len(val), "fd_of_val": frechet_distance(real=real, fake=held)}
    kept["features"] = extractor.id
    RESULTS.mkdir(parents=True, exist_ok=True)
    keep_films(dataset, "real", train.images, train)
    judge = judge_of(dataset, train, val)
    asked = train.subset(torch.randperm(len(train), generator=torch.Generator().manual_seed(SEED))[:MOST].sort().values)
    kept["n_drawn"] = len(asked)
    reference = operations("pixel_ddpm", (), train, n_steps=1000)
    for name in names:
        if name in kept["rows"]:
            continue
        generator, options = VARIANTS[name]
        a_step = operations(generator, options, train, n_steps=1000) / 1000
        model, row = fitted(dataset, generator, options, train, n_steps=round(reference / a_step))
        row["draws"] = []
        for n_steps in STEPS if hasattr(model.config, "sampling_steps") else (None,):
            drawn = draw(model, asked, n_steps=n_steps)
            fake = extractor.extract(drawn).features
            found, scores = prdc(real=real, fake=fake), judge.predict(drawn)
            truth = asked.labels.numpy()
            row["draws"].append({
                "steps": n_steps, "predictions": passes(model) if n_steps else 1,
                "fd": frechet_distance(real=real, fake=fake), "precision": found.precision, "recall": found.recall,
                "consistency_auroc": auroc(truth=truth, scores=scores, classes=train.classes)["auroc"].value,
                "consistency": argmax_accuracy(truth, scores, train.classes).value,
            })  # fmt: skip
            print(dataset, name, row["draws"][-1], flush=True)
        kept["rows"][name] = row
        keep_films(dataset, name, drawn, asked)
        write_json(file, kept)


def films_of(dataset: str) -> tuple[ImageSet, ImageSet]:
    """Train and val of a dataset under preset quick."""
    request = parse(["--preset", "quick", "--generator", "vae", *DATASETS[dataset]], prog="generators")
    made = datasets.get(dataset)(request.data)
    with tempfile.TemporaryDirectory() as folder:
        made.prepare(Path(folder))
        return made.load(Path(folder), Split.train), made.load(Path(folder), Split.val)


def operations(generator: str, options: tuple[str, ...], train: ImageSet, *, n_steps: int) -> float:
    """Floating-point operations of so many steps."""
    config = parse(["--preset", "quick", "--generator", generator, *options], prog="generators").gen
    known = generators.get(generator)(config).operations(
        channels=train.channels, size=train.size, n_classes=train.n_classes, multilabel=train.multilabel,
        n_steps=n_steps,
    )  # fmt: skip
    return float(sum(phase.steps * phase.batch * phase.flops for phase in known.phases))


def judge_of(dataset: str, train: ImageSet, val: ImageSet) -> Any:
    """The classifier of preset quick, trained on the real films for 160 steps."""
    request = parse(["--preset", "quick", "--generator", "vae", *DATASETS[dataset]], prog="generators")
    judge = classifiers.get("resnet10t")(request.clf)
    with tempfile.TemporaryDirectory() as folder:
        judge.fit(as_mixture(train), val, seed=SEED, work=Work(Path(folder), budget=Budget(160)))
    return judge


def fitted(
    dataset: str, generator: str, options: tuple[str, ...], train: ImageSet, *, n_steps: int
) -> tuple[Any, dict[str, Any]]:
    """The trained generator, and what its training was."""
    config = parse(["--preset", "quick", "--generator", generator, *DATASETS[dataset], *options], prog="generators").gen
    model = generators.get(generator)(config)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        work = Work(Path(folder), budget=Budget(n_steps), precision="bf16", checkpoint_seconds=1e9)
        report = model.fit(train, seed=SEED, work=work)
    known = generators.get(generator)(config).operations(
        channels=train.channels, size=train.size, n_classes=train.n_classes, multilabel=train.multilabel,
        n_steps=n_steps,
    )  # fmt: skip
    gflop = sum(phase.steps * phase.batch * phase.flops for phase in known.phases) / 1e9
    return model, {
        "options": list(options), "steps": n_steps, "images_seen": report.images_seen, "gflop": gflop,
        "parameters": known.parameters, "gflop_a_prediction": known.use / 1e9 / passes(model),
        "seconds": time.perf_counter() - began,
    }  # fmt: skip


def passes(model: Any) -> int:
    """Predictions of the network that an image takes."""
    return int(model._passes()) if hasattr(model, "_passes") else 1


def draw(model: Any, train: ImageSet, *, n_steps: int | None) -> torch.Tensor:
    """A film for each training film's label."""
    if n_steps is not None:
        model.config = dataclasses.replace(model.config, sampling_steps=n_steps)
    drawn: torch.Tensor = model.sample(train.labels, seed=SEED + 1)
    return drawn


def time_drawing(dataset: str, names: list[str]) -> None:
    """Seconds a thousand films at each number of steps, of networks that are hardly trained; for a quiet machine."""
    train, _ = films_of(dataset)
    file = RESULTS / f"{dataset}.json"
    kept = json.loads(file.read_text())
    few = train.subset(torch.arange(TIMED))
    for name in names:
        generator, options = VARIANTS[name]
        model, _ = fitted(dataset, generator, options, train, n_steps=2)
        for at in kept["rows"][name]["draws"]:
            draw(model, few, n_steps=at["steps"])
            began = time.perf_counter()
            draw(model, few, n_steps=at["steps"])
            at["seconds_per_1000"] = 1000 * (time.perf_counter() - began) / TIMED
    write_json(file, kept)


CURVE, WORTH_CONTROLS = (0.25, 0.5, 2, 4), ("none", "duplicate", "holdout_real")
"""What `worth:` asks of a run beside a film for each real one: points of the learning curve, controls."""


def worth_of(dataset: str, names: list[str]) -> None:
    """Worth and gain of a row's films, drawn as preset quick draws them; a row that has them is left as it is."""
    from benchmarks.run import main as run

    file = RESULTS / f"{dataset}.json"
    for name in names:
        kept = json.loads(file.read_text())
        row = kept["rows"][name]
        if "worth" in row:
            continue
        generator, options = VARIANTS[name]
        with tempfile.TemporaryDirectory() as folder:
            asked = ["--preset", "quick", "--generator", generator, *DATASETS[dataset], *options, "--ratio", "1",
                     "--fit.steps", str(row["steps"]), "--curve", *map(str, CURVE), "--controls", *WORTH_CONTROLS,
                     "--extractors", FEATURES, "--results", folder]  # fmt: skip
            if run(asked):
                raise SystemExit(f"{dataset}, {name}: the run failed")
            records = [json.loads(record.read_text()) for record in Path(folder).glob("*/record.json")]
        (record,) = (one for one in records if one["spec"]["generator"] == generator)
        gain, worth = record["comparisons"]["none"], record["worth"]
        row["worth"] = {key: worth[key] for key in ("worth", "low", "high", "note") if key in worth} | {
            "gain": {key: gain[key] for key in ("difference", "low", "high")},
            "run_id": record["run_id"],
        }
        write_json(file, kept)


def keep_films(dataset: str, name: str, drawn: torch.Tensor, train: ImageSet) -> None:
    """A strip of films, some of every class, as PNG."""
    from PIL import Image

    strip = torch.cat([drawn[train.labels == k][:SHOWN] for k in range(train.n_classes)])
    pixels = strip[:, 0].permute(1, 0, 2).reshape(strip.shape[-2], -1).numpy()
    Image.fromarray(pixels).save(strip_of(dataset, name), optimize=True)


def strip_of(dataset: str, name: str) -> Path:
    """Where the films of a row are."""
    return RESULTS / f"{dataset}-{name.replace(', ', '-').lower()}.png"


# -- tables and pictures ------------------------------------------------------------------------------------------

COLUMNS = (
    "generator", "steps of training", "GFLOP", "parameters", "worth", "steps of drawing", "predictions", "FD",
    "precision", "recall", "consistency", "s per 1,000 images",
)  # fmt: skip


def read(dataset: str) -> dict[str, Any]:
    """What was measured on a dataset."""
    found: dict[str, Any] = json.loads((RESULTS / f"{dataset}.json").read_text(encoding="utf-8"))
    return found


def table_of(kept: dict[str, Any]) -> str:
    """A table as Markdown, a row for each number of steps of drawing."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- |" + " ---: |" * (len(COLUMNS) - 1)]
    for name in in_order(kept):
        row = kept["rows"][name]
        for k, at in enumerate(row["draws"]):
            of_fit = ("",) * 4 if k else (
                f"{row['steps']:,}", f"{row['gflop']:,.0f}", f"{row['parameters']:,}", worth_said(row.get("worth")),
            )  # fmt: skip
            seconds = at.get("seconds_per_1000")
            cells = (
                f"`{name}`" if k == 0 else "", *of_fit, "" if at["steps"] is None else str(at["steps"]),
                str(at["predictions"]), f"{at['fd']:.0f}", f"{at['precision']:.2f}", f"{at['recall']:.2f}",
                f"{at['consistency_auroc']:.2f} ({at['consistency']:.2f})",
                "" if seconds is None else f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}",
            )  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def worth_said(worth: dict[str, Any] | None) -> str:
    """Its interval too; nothing where it was not measured, null where it cannot be."""
    if worth is None:
        return ""
    low, high = ("..." if worth[end] is None else f"{worth[end]:.2f}" for end in ("low", "high"))
    return "null" if worth["worth"] is None else f"{worth['worth']:.2f} [{low}, {high}]"


TITLES = {"phantom": "rendered films, 32 px", "medmnist": "PneumoniaMNIST, 28 px"}
COLOURS = {
    "pixel_ddpm": "#0072B2", "flow": "#D55E00", "edm": "#009E73", "consistency": "#CC79A7", "latent_ddpm": "#56B4E9",
    "latent_flow": "#E69F00", "dcgan": "#000000", "lsgan": "#777777", "r3gan": "#7B3294", "vae": "#A6761D",
}  # fmt: skip
"""Of a generator; its variants have other lines."""
LINES = {"": "-", "DiT": "--", "logit-normal": ":", "coupled": "-.", "augmented": (0, (5, 1, 1, 1, 1, 1))}
"""Of a variant that has steps."""
MARKS = {"dcgan": "s", "lsgan": "D", "r3gan": "^", "vae": "v"}
"""Of what draws in one pass; filled, and hollow with adaptive augmentation."""


def in_order(kept: dict[str, Any]) -> list[str]:
    """The rows that are there, in the order of `VARIANTS`."""
    return [name for name in VARIANTS if name in kept["rows"]]


def draw_steps(file: Path, found: dict[str, dict[str, Any]]) -> None:
    """FD by predictions of the network an image takes, a panel a dataset."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(6.2 * len(found) + 1.6, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    handles: dict[str, Any] = {}
    for axes, (dataset, kept) in zip(panels, found.items(), strict=True):
        for name in in_order(kept):
            draws, (generator, _, variant) = kept["rows"][name]["draws"], name.partition(", ")
            x, y, colour = [at["predictions"] for at in draws], [at["fd"] for at in draws], COLOURS[generator]
            if generator in MARKS:
                (handles[name],) = axes.plot(
                    x, y, MARKS[generator], color=colour, mfc="white" if variant else colour, ms=7
                )
            else:
                (handles[name],) = axes.plot(x, y, marker="o", ls=LINES[variant], color=colour, ms=4, lw=1.6)
        floor = kept["real"]["fd_of_val"]
        axes.axhline(floor, color="#666666", lw=1)
        axes.annotate(
            f"real films of val, {floor:.0f}", (100, floor), xytext=(0, 3), textcoords="offset points", ha="right"
        )
        axes.set(xscale="log", yscale="log", xlabel="predictions of the network an image", title=TITLES[dataset])
        for axis, ticks in ((axes.xaxis, (1, 2, 5, 10, 20, 50, 100)), (axes.yaxis, (50, 100, 200, 400, 800))):
            axis.set_major_locator(FixedLocator(ticks))
            axis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
            axis.set_minor_formatter(NullFormatter())
        axes.grid(color="#e5e5e5", lw=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("FD to the training films (lower is nearer)")
    ordered = [name for name in VARIANTS if name in handles]
    figure.legend([handles[n] for n in ordered], ordered, frameon=False, loc="outside right center", fontsize=9)
    figure.savefig(file, dpi=110)


def draw_films(file: Path, found: dict[str, dict[str, Any]]) -> None:
    """What each generator draws in its last number of steps, a row each, a column a dataset."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    there = {name for kept in found.values() for name in kept["rows"]}
    names = ["real", *(name for name in VARIANTS if name in there)]
    widths = [Image.open(strip_of(dataset, "real")).size for dataset in found]
    shares = [width / height for width, height in widths]
    figure = Figure(figsize=(1.9 + 0.56 * sum(shares), 0.6 * len(names) + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(names), len(found), squeeze=False, width_ratios=shares)
    for (row, name), (column, dataset) in itertools.product(enumerate(names), enumerate(found)):
        axes, strip = grid[row, column], strip_of(dataset, name)
        axes.set_axis_off()
        if strip.is_file():
            axes.imshow(Image.open(strip), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        else:
            axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center", va="center", color="#777777")
        if column == 0:
            axes.text(-0.02, 0.5, name, transform=axes.transAxes, ha="right", va="center", fontsize=9)
        if row == 0:
            axes.set_title(TITLES[dataset], fontsize=10)
    figure.savefig(file, dpi=130)


PAGE = ROOT / "docs/equal_operations.md"


def filled(page: str, found: dict[str, dict[str, Any]]) -> str:
    """The page with each dataset's table below its mark."""
    for dataset, kept in found.items():
        mark = f"<!-- table: {dataset} -->\n"
        before, there, after = page.partition(mark)
        assert there, f"{PAGE.name} has no {mark}"
        rest = after.lstrip("\n").split("\n\n", 1)[-1] if after.lstrip("\n").startswith("|") else after.lstrip("\n")
        page = f"{before}{mark}\n{table_of(kept)}\n\n{rest}"
    return page


def main() -> None:
    """Write the tables into the page, and draw the pictures."""
    found = {dataset: read(dataset) for dataset in DATASETS if (RESULTS / f"{dataset}.json").is_file()}
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    draw_steps(ROOT / "docs/images/steps_of_drawing.png", found)
    draw_films(ROOT / "docs/images/generators_of_today.png", found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for wanted in sys.argv[1:]:
        what, _, rest = wanted.rpartition(":")
        which, _, only = rest.partition("=")
        chosen = [n for n in VARIANTS if not only or n in only.split("+")]
        {"time": time_drawing, "worth": worth_of}.get(what, measure)(which, chosen)
    if not sys.argv[1:]:
        main()
