"""Compile one network ahead, for the processes after this one: `python -m benchmarks.speed.gpu.warm NAME DEVICE`."""

from __future__ import annotations

import sys


def warm(name: str, device: str) -> None:
    """Compile a classifier's step, or the network of `pixel_ddpm`, as the rows take it."""
    if name == "pixel_ddpm":
        from benchmarks.speed.gpu.denoiser import fit, standard_config

        fit(standard_config(), device=device, side=64, n_steps=50, compile=True)
        return
    from benchmarks.speed.gpu.trainings import train

    train(name, 25, device=device, compile=True)


if __name__ == "__main__":
    warm(*sys.argv[1:])
