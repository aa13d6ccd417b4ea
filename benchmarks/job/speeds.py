"""How fast kinds of networks run on kinds of devices: a small table of measured cases, for estimates of the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from synthworth.cost import PlannedPhase


@dataclass(frozen=True)
class Speed:
    """A measured case.

    Parameters
    ----------
    share : of the device's peak (one large matrix product in the same precision) that a training reaches where steps
        are long.
    step : seconds that every optimiser step takes beside: launching kernels, optimiser, average, data.
    """

    share: float
    step: float


TRAINING: Mapping[tuple[str, str, str], Speed] = {
    ("cpu", "bf16", "autoencoder"): Speed(0.55, 0.008),
    ("cpu", "bf16", "gan"): Speed(0.53, 0.020),
    ("cpu", "bf16", "unet"): Speed(0.62, 0.027),
    ("cpu", "bf16", "dit"): Speed(0.44, 0.013),
    ("cpu", "bf16", "resnet"): Speed(0.50, 0.024),
    ("cpu", "bf16", "densenet"): Speed(0.20, 0.030),
    ("cpu", "fp32", "autoencoder"): Speed(0.87, 0.009),
    ("cpu", "fp32", "gan"): Speed(0.78, 0.028),
    ("cpu", "fp32", "unet"): Speed(0.82, 0.025),
    ("cpu", "fp32", "dit"): Speed(0.82, 0.013),
    ("cpu", "fp32", "resnet"): Speed(0.68, 0.030),
    ("cpu", "fp32", "densenet"): Speed(0.20, 0.030),
    ("cuda", "bf16", "autoencoder"): Speed(0.2, 0.02),
    ("cuda", "bf16", "gan"): Speed(0.1, 0.02),
    ("cuda", "bf16", "densenet"): Speed(0.104, 0.002),
    ("cuda", "bf16", "resnet"): Speed(0.261, 0.0005),
    ("cuda", "bf16", "unet"): Speed(0.348, 0.003),
    ("cuda", "bf16", "dit"): Speed(0.348, 0.003),
}
"""(device, precision, kind of network) -> how it trains.

cpu: one thread of an AMD EPYC with fast bf16 (222 GFLOP/s in bf16, 102 in fp32), phantom at 32 px under preset
quick, each at its batch and at four times that: two equations for the two numbers; `unet` and `autoencoder` are
means of the cases of `pixel_ddpm`, `vae` and `latent_ddpm`. `densenet` (121, 64 px, half stem) while others computed.
cuda: one H200, compiled and recorded, batch 64 at 64 px, shares of the 758 TFLOP/s that its products in bf16 came to
(results/reference/speed): the UNet of `standard`, 1,478 images/s of 166 GFLOP; DenseNet-121, six side by side, 159
steps/s of 5.3 GFLOP an image; ResNet-18 likewise, 634. What a step takes beside its products is assumed: a recorded one
half a millisecond (ResNet), two (DenseNet) or three (UNet, with what it draws and its average). `autoencoder` and `gan`
are assumed: 20 ms a step, which launching plain steps took there; `dit` was measured on the processor in bf16, and is
taken to be as fast as `unet` elsewhere. In fp32 and tf32 the shares of bf16 are assumed.
"""
COMPILING: Mapping[str, float] = {"unet": 76.0, "densenet": 121.0, "resnet": 10.0}
"""Seconds to compile a network of a kind on CUDA, once a run; measured on machines of 16 cores."""
USE: Mapping[tuple[str, str, str], float] = {
    ("cpu", "fp32", "autoencoder"): 0.65,
    ("cpu", "fp32", "gan"): 0.54,
    ("cpu", "fp32", "unet"): 0.90,
    ("cpu", "fp32", "resnet"): 0.83,
    ("cpu", "bf16", "resnet"): 0.57,
    ("cpu", "fp32", "densenet"): 0.25,
    ("cpu", "bf16", "densenet"): 0.25,
    ("cpu", "fp32", "efficientnet_lite0"): 0.22,
    ("cpu", "fp32", "vgg16_random"): 1.0,
    ("cuda", "fp32", "autoencoder"): 0.6,
    ("cuda", "fp32", "gan"): 0.6,
    ("cuda", "fp32", "efficientnet_lite0"): 0.1,
    ("cuda", "fp32", "vgg16_random"): 0.3,
    ("cuda", "fp32", "inception"): 0.3,
    ("cuda", "bf16", "efficientnet_lite0"): 0.01,
    ("cuda", "bf16", "vgg16_random"): 0.1,
    ("cuda", "bf16", "inception"): 0.1,
    ("cuda", "fp32", "unet"): 1.33,
    ("cuda", "bf16", "unet"): 0.128,
}
"""(device, precision, kind of network or extractor) -> share of the peak when images are drawn, predicted or looked at,
batch by batch without gradients, on the same machine. What is not there is taken to be as fast as in training. Of cuda
`unet` was measured, 18 images/s of 5.4 TFLOP in bf16 and 12 in fp32 (more than the peak, for torch draws with
convolutions in TensorFloat-32), and the others are assumed."""
ASSUMED = frozenset({
    ("training", "cuda", "bf16", "autoencoder"), ("training", "cuda", "bf16", "gan"), ("use", "cuda", "fp32", "gan"),
    ("use", "cuda", "fp32", "autoencoder"),
    *(("use", "cuda", p, name) for p in ("fp32", "bf16")
      for name in ("efficientnet_lite0", "vgg16_random", "inception")),
    *(("training", "cuda", p, kind) for p in ("fp32", "tf32")
      for kind in ("autoencoder", "gan", "unet", "dit", "resnet", "densenet")),
    ("training", "cpu", "fp32", "dit"), ("training", "cuda", "bf16", "dit"),
})  # fmt: skip
"""Cases that nobody has measured; what is taken as fast as in training is another."""
EXTRACTED = {"efficientnet_lite0@128": 0.251e9, "vgg16_random@64": 2.71e9, "inception@299": 11.4e9}
"""Floating-point operations of an image, by the extractor's name and size."""
LOAD_SECONDS = 3.0
"""For an extractor to be built, and to be tried whether it sees an image alike in every place of a batch."""
START_SECONDS = 6.0
"""For worker processes to import what they need."""
SHARD_SECONDS = 0.05
"""To fit a control that trains nothing, or to draw a shard of real images."""
PREPARED: Mapping[str, Callable[[int], float]] = {"phantom": lambda size: 3.0e-3 + 2.0e-6 * size**2}
"""Dataset -> seconds of making one image of so many pixels a side."""


def judged(n_arms: int, n_drawing: int, n_test: int) -> float:
    """Seconds of measuring and recording arms, and of what is in no stage: imports, the audit, what is printed.

    Parameters
    ----------
    n_drawing : arms with synthetic images: fidelity, privacy and pictures as well.
    n_test : test images.
    """
    return 18.0 + n_arms * (1.0 + 1e-3 * n_test) + n_drawing * 3.0


def training_seconds(phase: PlannedPhase, *, device: str, precision: str, peak: float) -> float | None:
    """Seconds of a phase of a fit; None for a kind of network that was never measured on a kind of device.

    Parameters
    ----------
    device : "cpu", "cuda", "cuda:1", ...
    precision : "fp32", "tf32" or "bf16".
    peak : floating-point operations a second of a matrix product, in that precision.
    """
    speed = TRAINING.get(_case(device, precision, phase.kind))
    if speed is None:
        return None
    return phase.steps * (speed.step + phase.batch * phase.flops / (peak * speed.share))


def use_seconds(kind: str, flops: float, *, device: str, precision: str, peak: float) -> float | None:
    """Seconds of so many operations without gradients; None as `training_seconds`, which has the parameters."""
    case = _case(device, precision, kind, used=True)
    trained = TRAINING.get(_case(device, precision, kind))
    share = USE.get(case, trained.share if trained else None)
    return None if share is None else flops / (peak * share)


def _case(device: str, precision: str, kind: str, *, used: bool = False) -> tuple[str, str, str]:
    """The measured case that stands for this one: TensorFloat-32 is a GPU's alone, and its speeds are those of bf16."""
    on = device.partition(":")[0]
    if on == "cpu" and precision == "tf32":
        precision = "fp32"
    if on == "cuda" and not used and (on, precision, kind) not in TRAINING:
        precision = "bf16"
    return on, precision, kind


def said_of(what: str, kind: str, *, device: str, precision: str) -> str:
    """What an estimate rests on, in words.

    Parameters
    ----------
    what : `training` or `use`.
    """
    case = device.partition(":")[0], precision, kind
    measured = (what, *case) not in ASSUMED and (what == "training" or case in USE)
    return "operations" if measured else "operations, at an assumed speed"
