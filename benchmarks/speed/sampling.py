"""What steps of sampling cost and buy: 25 and 50 DDIM steps against 1,000 ancestral ones of one `pixel_ddpm`."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.speed.pictures import SIDE, bench, phantom_films
from benchmarks.speed.row import SEED, Row

if TYPE_CHECKING:
    from generators.pixel_ddpm import PixelDDPMConfig

N_FIT, N_DRAWN, ANCESTRAL, FEW = 400, 192, 1000, (25, 50)


def sampling_rows(repeat: int, *, device: str = "cpu", n_fit: int = N_FIT, n_drawn: int = N_DRAWN) -> list[Row]:
    """Seconds to draw, and Frechet distances to real test films, by sampler; a small network, trained here.

    Distances are of features of `vgg16_random`, whose 64 numbers fewer than 200 films can fill; the note has that of
    as many real films of other patients. Drawn once: a thousand steps repeat themselves.
    """
    from benchmarks.metrics.extractors.vgg16 import RandomVGG16
    from benchmarks.metrics.frechet import frechet_distance
    from generators.pixel_ddpm import PixelDDPM

    train, real = phantom_films(), phantom_films(2 * n_drawn, split="test")
    config = small_config()
    fitted = PixelDDPM(config)
    with bench(steps=n_fit, device=device) as work:
        fitted.fit(train, seed=SEED, work=work)
    extractor = RandomVGG16(device=device)
    true, others = (extractor.extract(real.images[start::2]).features for start in (0, 1))
    floor = frechet_distance(real=true, fake=others)
    labels = real.labels[1::2]
    seconds, distances = {}, {}
    for sampler, n_steps in (("ddpm", ANCESTRAL), *(("ddim", n) for n in FEW)):
        fitted.config = replace(config, sampler=sampler, sampling_steps=n_steps)
        fitted.sample(labels[:1], seed=SEED) if n_steps < ANCESTRAL else None
        began = time.perf_counter()
        drawn = fitted.sample(labels, seed=SEED)
        seconds[n_steps] = time.perf_counter() - began
        distances[n_steps] = frechet_distance(real=true, fake=extractor.extract(drawn).features)
    return [
        Row(
            f"{len(labels)} films of {SIDE} px by {n} steps", "ddim", f"ddpm, {ANCESTRAL:,} steps", seconds[n],
            seconds[ANCESTRAL],
            f"Frechet distance ({extractor.name}) {distances[n]:.4g} against {distances[ANCESTRAL]:.4g}; between real "
            f"films {floor:.4g}",
            facts={
                "frechet_distance": distances[n], "peer_frechet_distance": distances[ANCESTRAL], "real": floor,
                "n": len(labels), "features": extractor.id, "fit_steps": n_fit, "device": device,
            },
        )
        for n in FEW
    ]  # fmt: skip


def small_config() -> PixelDDPMConfig:
    """A network that two cores draw a thousand steps with inside a minute."""
    from generators.pixel_ddpm import PixelDDPMConfig

    return PixelDDPMConfig(
        widths=(32, 64),
        patch=2,
        attention=(),
        prediction="v_prediction",
        schedule="squaredcos_cap_v2",
        lr=2e-3,
        ema=0.99,
    )
