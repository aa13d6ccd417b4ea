"""`pixel_ddpm` of preset `standard` on a GPU: training against a plain diffusers loop, and drawing."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.speed.gpu.trainings import CLASSES, grain
from benchmarks.speed.pictures import bench
from benchmarks.speed.row import SEED, Row

if TYPE_CHECKING:
    from data.images import ImageSet
    from generators.pixel_ddpm import PixelDDPM, PixelDDPMConfig

LOOK = 25
"""Steps between two looks at the loss on a GPU: what is timed lies between two of them."""


def standard_config(**changed: Any) -> PixelDDPMConfig:
    """Options of `pixel_ddpm` in preset `standard`."""
    from benchmarks.request.options import parse

    config: PixelDDPMConfig = parse(["--preset", "standard", "--generator", "pixel_ddpm"], prog="speed").gen
    return replace(config, **changed)


def films(side: int, n: int = 1024) -> ImageSet:
    """Grain as a train split."""
    from data.images import ImageSet, Split

    mixture, _ = grain(side, n)
    names = tuple(map(str, range(n)))
    return ImageSet(mixture.images, mixture.labels, names, names, Split.train, CLASSES)


def fit(
    config: PixelDDPMConfig, *, device: str, side: int, n_steps: int, compile: bool, precision: str = "bf16"
) -> tuple[PixelDDPM, float, float]:
    """Train for so many steps.

    Returns
    -------
    The model, steps a second after the first look at the loss, and seconds until that (compiling is in them).
    """
    from generators.pixel_ddpm import PixelDDPM
    from synthworth.devices import repeatable

    looks: list[tuple[int, float]] = []

    def log(step: int, **scalars: float) -> None:
        looks.append((step, time.perf_counter()))

    model, began = PixelDDPM(config), time.perf_counter()
    with bench(steps=n_steps, device=device, precision=precision) as work, repeatable(device=device):
        model.fit(films(side), seed=SEED, work=replace(work, compile=compile, log=log))
    (first, at_first), (last, at_last) = looks[0], looks[-1]
    return model, (last - first) / (at_last - at_first), at_first - began


def denoiser_row(
    *, device: str, n_steps: int, peer_steps: int, peak: float, compile: bool, side: int = 64,
    config: PixelDDPMConfig | None = None,
) -> tuple[Row, PixelDDPM]:  # fmt: skip
    """Training against a plain loop over the same network, and the model that was trained."""
    from benchmarks.speed.diffusion import DiffusersLoop
    from benchmarks.speed.loops import timed
    from generators.pixel_ddpm import PixelDDPM

    config = standard_config() if config is None else config
    loop = DiffusersLoop(config, device=device, precision="bf16", side=side)
    timed(loop.step, 3, device)
    peer = timed(loop.step, peer_steps, device) / peer_steps
    n_parameters = loop.n_parameters
    del loop
    told = PixelDDPM(config).operations(
        channels=1, size=side, n_classes=len(CLASSES), multilabel=False, n_steps=n_steps
    )
    gflop = told.phases[0].flops / 1e9
    model, steps, ready = fit(config, device=device, side=side, n_steps=n_steps, compile=compile)
    images, theirs = steps * config.batch, config.batch / peer
    share = images * gflop * 1e9 / peak
    note = (
        f"{images:,.0f} against {theirs:,.0f} images/s; {n_parameters:,} parameters in both; {gflop:.0f} GFLOP an "
        f"image, {share:.1%} of the peak; first look at the loss after {ready:.0f} s"
    )
    facts = {
        "images_per_second": images, "peer_images_per_second": theirs, "gflop_per_image": gflop,
        "tflops": images * gflop / 1e3, "share_of_peak": share, "n_parameters": n_parameters, "ready_seconds": ready,
        "compiled": compile,
    }  # fmt: skip
    row = Row(
        f"pixel_ddpm of standard, {side} px, batch {config.batch}, bf16", "fit, compiled" if compile else "fit",
        "diffusers, a plain loop", 1 / steps, peer, note, unit="s a step", facts=facts,
    )  # fmt: skip
    return row, model


def sampler_row(model: PixelDDPM, *, device: str, n: int = 64) -> Row:
    """Drawing in bf16 against float32, with guidance, the same images wanted."""
    import torch

    from synthworth.devices import repeatable, wait_for

    labels = torch.arange(n) % len(CLASSES)
    seconds, images = {}, {}
    for precision in ("fp32", "bf16"):
        model.config = replace(model.config, sampling_precision=precision, sample_batch=n)
        with repeatable(device=device):
            model.sample(labels[:4], seed=SEED)  # kernels are loaded and chosen in the first one
            wait_for(device)
            began = time.perf_counter()
            images[precision] = model.sample(labels, seed=SEED)
            wait_for(device)
        seconds[precision] = time.perf_counter() - began
    apart = float((images["fp32"].float() - images["bf16"].float()).abs().mean())
    rates, c = {precision: n / spent for precision, spent in seconds.items()}, model.config
    note = f"{rates['bf16']:.1f} against {rates['fp32']:.1f} images/s; pixels {apart:.2f} of 255 apart"
    facts = {
        "images_per_second": rates["bf16"], "peer_images_per_second": rates["fp32"], "mean_difference_of_255": apart
    }  # fmt: skip
    return Row(
        f"drawing {n} images, {c.sampler} {c.sampling_steps} steps, guidance {c.guidance}", "bf16", "fp32",
        seconds["bf16"], seconds["fp32"], note, facts=facts,
    )  # fmt: skip
