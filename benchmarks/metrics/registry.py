"""The tables of metrics and of extractors, and which metrics a kind of evidence allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

from benchmarks.metrics.declare import Metric, declared
from benchmarks.metrics.value import Value
from synthworth.registry import BuiltIn, Registry

__all__ = ["EXTRACTORS", "METRICS", "Value", "added_metrics", "measure", "metric_named", "metrics_on"]

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
        "fixed_rates": BuiltIn(
            "benchmarks.metrics.fixed_rates:fixed_rates",
            "sensitivity at 90 and 95 % specificity and the reverse, at thresholds chosen on val",
        ),
        "net_benefit": BuiltIn(
            "benchmarks.metrics.net_benefit:net_benefit",
            "net benefit of decisions at a stated prevalence (--prevalence)",
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


def metric_named(name: str) -> Metric:
    """The registered metric of that name, imported now; a bare function as a Metric of one quantity.

    Raises
    ------
    UserError
        As `Registry.get`.
    """
    return declared(name, METRICS.get(name))


def metrics_on(evidence: Set[str]) -> Iterator[tuple[str, Metric]]:
    """The registered metrics that are asked with a piece of `evidence`, by name."""
    for name in METRICS.names():
        found = metric_named(name)
        if found.asked_with in evidence:
            yield name, found


def added_metrics() -> Iterator[Metric]:
    """The registered metrics that are not built in, by name; not those that cannot be imported."""
    for row in METRICS.listing():
        if row.source != "built in" and row.error is None:
            yield metric_named(row.name)


def measure(metric: Callable[..., Mapping[str, Value]], **evidence: Any) -> dict[str, Value]:
    """`Metric.measure` of a metric, or of a bare function."""
    return declared(getattr(metric, "__name__", "metric"), metric).measure(**evidence)
