"""What a metric returns (`Value`), how one is called by name, and the tables of metrics and extractors."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from synthworth.errors import Unavailable
from synthworth.registry import BuiltIn, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator


Direction = Literal["higher", "lower"]

METRICS = Registry(
    "metric",
    group="synthworth.metrics",
    builtins={
        "auroc": BuiltIn("benchmarks.metrics.utility:auroc", "area under the ROC curve, per class and macro"),
        "auprc": BuiltIn("benchmarks.metrics.utility:auprc", "average precision, per class and macro"),
        "operating_point": BuiltIn(
            "benchmarks.metrics.utility:operating_point",
            "balanced accuracy, precision, recall, F1, specificity at the threshold chosen on val",
        ),
        "brier": BuiltIn("benchmarks.metrics.calibration:brier", "mean squared error of the probabilities"),
        "ece": BuiltIn("benchmarks.metrics.calibration:ece", "expected calibration error, 15 equal bins"),
        "after_temperature": BuiltIn(
            "benchmarks.metrics.calibration:after_temperature",
            "Brier score and calibration error after temperature scaling on val",
        ),
        "fd": BuiltIn(
            "benchmarks.metrics.frechet:measure_frechet", "Frechet distance of features (with Inception: FID)"
        ),
        "kd": BuiltIn("benchmarks.metrics.kernel:measure_kernel", "kernel distance of features (with Inception: KID)"),
        "inception_score": BuiltIn(
            "benchmarks.metrics.inception_score:measure_inception_score", "Inception score of the synthetic images"
        ),
        "fd_infinity": BuiltIn(
            "benchmarks.metrics.fd_infinity:measure_fd_infinity",
            "Frechet distance extrapolated to infinitely many images",
        ),
        "radiograph": BuiltIn(
            "benchmarks.metrics.radiograph:measure_radiograph", "grey levels, edge density and histograms of the images"
        ),
        "ssim_within": BuiltIn(
            "benchmarks.metrics.radiograph:measure_ssim", "how alike synthetic images of one label are: SSIM of pairs"
        ),
        "lpips_within": BuiltIn(
            "benchmarks.metrics.radiograph:measure_lpips",
            "how unlike synthetic images of one label are: LPIPS of pairs",
        ),
        "prdc": BuiltIn("benchmarks.metrics.manifold:measure_prdc", "improved precision and recall, density, coverage"),
    },
)

EXTRACTORS = Registry(
    "extractor",
    group="synthworth.extractors",
    builtins={
        "efficientnet_lite0": BuiltIn(
            "benchmarks.metrics.extractors.efficientnet:EfficientNetLite0",
            "EfficientNet-Lite0, ImageNet weights from the package index, 1280-d",
        ),
        "vgg16_random": BuiltIn(
            "benchmarks.metrics.extractors.vgg16:RandomVGG16", "VGG16 with random weights of a fixed seed, 64-d"
        ),
        "inception": BuiltIn(
            "benchmarks.metrics.extractors.inception:Inception", "TensorFlow's 2015 Inception-v3 (FID, KID, IS), 2048-d"
        ),
        "torchxrayvision": BuiltIn(
            "benchmarks.metrics.extractors.xrv:TorchXRayVision",
            "DenseNet-121 trained on chest films, weights from a path, 1024-d",
        ),
    },
)


@dataclass(frozen=True)
class Value:
    """One number of a record, with what is needed to judge it. A missing number is None with a note."""

    name: str
    """What it is, for instance `auroc` (the macro) or `auroc[effusion]`."""
    value: float | None
    """The number, or None where it cannot be computed; then `note` says why."""
    n: int
    """How many images it stands on (synthetic ones, for a fidelity metric)."""
    direction: Direction
    """Which way is better."""
    low: float | None = None
    """Lower end of the 95 % interval, where there is one."""
    high: float | None = None
    """Upper end of the 95 % interval, where there is one."""
    note: str | None = None
    """Why it is missing, or what a reader must know."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further JSON values: thresholds, standard deviation, numbers of images."""

    @classmethod
    def missing(cls, name: str, reason: Unavailable | str, *, n: int, direction: Direction) -> Value:
        """The null that stands in a record for a number that cannot be computed."""
        return cls(name, None, n, direction, note=str(reason))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values.

        Raises
        ------
        ValueError
            Naming the metric, for NaN or infinity anywhere in it, and for a null without a note.
        """
        if self.value is None and not self.note:
            raise ValueError(f"metric {self.name!r} is null without a note that says why")
        row = {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "direction": self.direction,
            "note": self.note,
            "extra": dict(self.extra),
        }
        return {key: _finite(part, self.name) for key, part in row.items()}


def _finite(part: Any, name: str) -> Any:
    if isinstance(part, Mapping):
        return {str(key): _finite(value, name) for key, value in part.items()}
    if isinstance(part, (list, tuple)):
        return [_finite(value, name) for value in part]
    if part is None or isinstance(part, (str, bool)):
        return part
    number = part.item() if hasattr(part, "item") else part
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"metric {name!r} holds {number}: a record takes finite numbers or null with a note")
    return number


def measure(metric: Callable[..., Mapping[str, Value]], **evidence: Any) -> dict[str, Value]:
    """Call a metric with those pieces of `evidence` that its signature names.

    A metric is a function of keyword arguments that returns name -> Value. What a run offers: `real`, `fake`
    (float32 (N, D) features), `logits` (float32 (N, 1008) of the synthetic images, Inception only), `seed`;
    `real_images`, `fake_images` (uint8 (N, C, H, W)), `fake_labels` (int64 (N,) or uint8 (N, K)), `device`;
    `truth`, `scores`, `val_truth`, `val_scores`, `classes`.

    Raises
    ------
    Unavailable
        When the metric needs a piece that is not there; the message names it.
    """
    parameters = inspect.signature(metric).parameters.values()
    missing = [p.name for p in parameters if p.default is p.empty and evidence.get(p.name) is None]
    if missing:
        raise Unavailable(f"needs {', '.join(missing)}, which this run does not have")
    wanted = {p.name: evidence[p.name] for p in parameters if evidence.get(p.name) is not None}
    return dict(metric(**wanted))


def fidelity_name(metric: str, *, extractor: str, n: int) -> str:
    """Name of a fidelity number in a record: `fid@2500`, `kid@2500`; elsewhere `fd@2500/<extractor id>`.

    FID and KID name the distances in Inception's features in fp32 alone, so that no other number passes for them.
    """
    if extractor.startswith("inception@") and not extractor.endswith("-bf16"):
        return f"{ {'fd': 'fid', 'kd': 'kid', 'fd_infinity': 'fid_infinity'}.get(metric, metric) }@{n}"
    return f"{metric}@{n}/{extractor}"


def metrics_on(
    evidence: frozenset[str] | set[str],
) -> Iterator[tuple[str, Callable[..., Mapping[str, Value]]]]:
    """The registered metrics whose first needed piece of evidence is among `evidence`."""
    for name in METRICS.names():
        metric = METRICS.get(name)
        needed = [p.name for p in inspect.signature(metric).parameters.values() if p.default is p.empty]
        if needed and needed[0] in evidence:
            yield name, metric
