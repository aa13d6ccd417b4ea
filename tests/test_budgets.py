"""What the presets let generators see, as docs/generators.md says it; and what `standard` asks of an hour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.job.plan import specs_of
from benchmarks.request.options import Request, parse

PAGE = Path(__file__).resolve().parent.parent / "docs" / "generators.md"
TRAINED = (
    "pixel_ddpm", "flow", "edm", "consistency", "latent_ddpm", "latent_flow", "vae", "gmvae", "fs_gmvae", "dcgan",
    "lsgan", "dcgan_per_class", "r3gan",
)  # fmt: skip
PRESETS = ("quick", "standard", "full")
PUBLISHED = {"5 M": 5e6, "51 M": 51e6}


def asked(preset: str, generator: str) -> Request:
    return parse(["--preset", preset, "--generator", generator], prog="x")


def images_seen(request: Request) -> int:
    """Steps times batch; of latent diffusion those of the denoiser, which is what published numbers count."""
    gen, steps = request.gen, request.options.fit.steps
    if hasattr(gen, "first_stage_share"):
        steps -= round(gen.first_stage_share * steps)
    return int(steps * gen.batch)


def said(n: float) -> str:
    return f"{n / 1e6:.2f} M" if n >= 1e6 else f"{n / 1e3:.0f} k"


def table() -> list[str]:
    """The rows of the page."""
    shares = [f"`standard` of {name}" for name in PUBLISHED]
    rows = [f"| generator | {' | '.join(f'`{preset}`' for preset in PRESETS)} | {' | '.join(shares)} |"]
    rows.append("| --- | " + " | ".join(["---:"] * (len(PRESETS) + len(shares))) + " |")
    for name in TRAINED:
        seen = {preset: images_seen(asked(preset, name)) for preset in PRESETS}
        of = [f"{100 * seen['standard'] / n:.1f} %" for n in PUBLISHED.values()]
        rows.append(f"| `{name}` | {' | '.join([*map(said, seen.values()), *of])} |")
    return rows


def test_the_page_tells_the_images_that_each_preset_lets_a_generator_see() -> None:
    assert "\n".join(table()) in PAGE.read_text(encoding="utf-8")


STEPS_A_SECOND, SECONDS_TO_COMPILE, WITH_A_RESERVE = 158, 121, 2
"""DenseNet-121 at 64 px in batches of 64, six side by side on one H200 (results/reference/speed); seconds of compiling,
once; and the controls that can be asked for beside the preset's."""


@pytest.mark.parametrize("generator", ["latent_ddpm", "pixel_ddpm"])
def test_the_classifiers_of_standard_take_at_most_half_an_hour_of_a_large_gpu(generator: str) -> None:
    request = asked("standard", generator)
    specs = specs_of(request, fingerprint="", precision="bf16")
    steps: Any = sum(spec.seeds * spec.classifier_budget.steps for spec in specs)
    assert len(specs) == 14  # ten controls, three points of the curve, the generator: as the preset's comment counts
    assert steps / STEPS_A_SECOND + SECONDS_TO_COMPILE < 0.9 * 1800  # a tenth for looks at val and for predictions
    more = steps * (1 + WITH_A_RESERVE / len(specs))
    assert more / STEPS_A_SECOND + SECONDS_TO_COMPILE < 0.95 * 1800
