"""Which columns the site's table has: their names, groups and explanations, and which are shown at first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from leaderboard.numbers import FIDELITY, INTERVAL, added_columns

Kind = Literal["rank", "arm", "text", "number", "interval", "gain", "floor", "p", "cost", "status", "verdict"]


@dataclass(frozen=True)
class Column:
    """One column.

    Parameters
    ----------
    id : of the number in `leaderboard.numbers`, or of a text.
    kind : how a cell is written.
    better : `high` or `low`, which end is sorted to the top first; empty for text.
    shown : whether it is shown before a reader chooses.
    """

    id: str
    label: str
    group: str
    help: str
    kind: Kind = "number"
    better: Literal["high", "low", ""] = "high"
    shown: bool = False


IDENTITY, WORTH, UTILITY, TRUST = "Which arm", "Usefulness", "Classifier on test", "Trust"
QUALITY, PRIVACY, COST = "Image quality", "Copies", "Cost"
INCEPTION = "features of Inception; with the same number between two halves of real images as its floor"
COLUMNS = (
    Column("rank", "Rank", IDENTITY, "Rank by AUROC among the arms of one setting. Arms that the data cannot tell apart "
           "share a rank, which is marked =.", "rank", "low", True),
    Column("arm", "Arm", IDENTITY, "The generator, how its images join the real ones, and the ratio of synthetic to real "
           "images.", "arm", "", True),
    Column("situation", "Situation", IDENTITY, "What the synthetic images are put to the test for: augmenting adds them "
           "to all real ones, replacing puts them in place of some, balancing fills up rare classes, pretraining begins "
           "with them, only leaves real ones out, sharing takes those that another hospital's films taught.", "text", "",
           True),
    Column("worth", "Worth", WORTH, "What one added image did, in further real images: 1 is as good as a real image, .5 "
           "half of one, 0 does nothing. Read off the learning curve of real images alone.", "interval", "high", True),
    Column("vs_none", "Gain over real images alone", WORTH, "Paired difference of AUROC to real images alone, with its "
           "95 % interval and p after Holm's correction over the setting.", "gain", "high", True),
    Column("vs_duplicate", "Gain over duplicates", WORTH, "Paired difference of AUROC to real images drawn again, as many "
           "as the synthetic ones, with its 95 % interval and p after Holm's correction.", "gain", "high", True),
    Column("verdict", "Verdict", WORTH, "What may be said: helps and hurts are said where the corrected p is below "
           ".05.", "verdict", "", True),
    Column("best_ratio", "Best ratio (val)", WORTH, "Of the same arm at several ratios the one that validation images "
           "chose; 0 is real images alone. Test never chooses."),
    Column("p_none", "p, real images alone", WORTH, "Of the gain over real images alone, not corrected.", "p", "low"),
    Column("p_duplicate", "p, duplicates", WORTH, "Of the gain over duplicates, not corrected.", "p", "low"),
    Column("auroc", "AUROC", UTILITY, "Area under the ROC curve on test, mean over classes and classifier seeds, with "
           "its 95 % interval.", "interval", "high", True),
    Column("auprc", "AUPRC", UTILITY, "Area under the precision-recall curve on test, mean over classes.", "interval"),
    Column("sensitivity_at_95_specificity", "Sensitivity at 95 % specificity", UTILITY, "Specificity is held at 95 % on "
           "validation images; the sensitivity is that on test.", "interval"),
    Column("balanced_accuracy", "Balanced accuracy", UTILITY, "Mean of the recall of the classes.", "interval"),
    Column("f1", "F1", UTILITY, "At the threshold that validation chose.", "interval"),
    Column("ece", "ECE", UTILITY, "Expected calibration error: how far confidence is from being right, on average; 0 is "
           "best.", "interval", "low"),
    Column("ece_calibrated", "ECE calibrated", UTILITY, "The same after temperature scaling on validation images.",
           "interval", "low"),
    Column("brier", "Brier", UTILITY, "Brier score: squared error of the probabilities; 0 is best.", "interval", "low"),
    Column("fid", "FID", QUALITY, f"Frechet distance, {INCEPTION}. Lower is nearer to real.", "floor", "low"),
    Column("kid", "KID", QUALITY, f"Kernel distance, {INCEPTION}. Lower is nearer to real.", "floor", "low"),
    Column("fd_efficientnet_lite0", "FD (EfficientNet)", QUALITY, "Frechet distance in features of EfficientNet-Lite0, "
           "with the floor of real images. Lower is nearer to real. It never ranks: it does not tell usefulness.", "floor",
           "low", True),
    Column("manifold_precision", "Precision", QUALITY, f"Share of drawn images that look real, {INCEPTION}.", "floor"),
    Column("manifold_recall", "Recall", QUALITY, f"Share of real images that are covered, {INCEPTION}.", "floor"),
    Column("density", "Density", QUALITY, f"How densely drawn images lie among real ones, {INCEPTION}.", "floor"),
    Column("coverage", "Coverage", QUALITY, f"Share of real images with a drawn one near, {INCEPTION}.", "floor"),
    Column("inception_score", "IS", QUALITY, "Inception score. Made for photographs; given for completeness.", "floor"),
    Column("class_consistency_auroc", "Class consistency", QUALITY, "AUROC with which a classifier of real images sees "
           "the label that was asked for.", "interval"),
    Column("copy_rate", "Copy rate (pixels)", PRIVACY, "Share of drawn images that are nearer to a training image than "
           "1 % of held-out real images are, by pixels.", "interval", "low", True),
    Column("copy_rate_features", "Copy rate (features)", PRIVACY, "The same by features of EfficientNet-Lite0.",
           "interval", "low"),
    Column("fit_gflop", "Fit, GFLOP", COST, "Operations of the generator's training, forward and backward.", "cost",
           "low"),
    Column("fit_seconds", "Fit, s", COST, "Seconds of the generator's training on the machine of the record.", "cost",
           "low"),
    Column("draw_seconds_per_1000", "Draw 1,000, s", COST, "Seconds to draw 1,000 images.", "cost", "low"),
    Column("classifier_gflop", "Classifier, GFLOP", COST, "Operations of one training of the classifier.", "cost", "low"),
    Column("classifier_seconds", "Classifier, s", COST, "Seconds of one training of the classifier.", "cost", "low"),
    Column("status", "Status", TRUST, "claimed: the record says so. recomputed: its statistics were made again here from "
           "its predictions, and agree. reproduced: the run was carried out again. contradicted: its predictions say "
           "another thing, and nothing of it is shown.", "status", "", True),
    Column("dataset", "Dataset", IDENTITY, "The real images.", "text", ""),
    Column("classifier", "Classifier", IDENTITY, "The network that is trained on the mixture.", "text", ""),
    Column("real_fraction", "Real patients", IDENTITY, "Share of the real training patients that are used.", "number"),
    Column("run", "Run", IDENTITY, "The first digits of the run's id; `python -m benchmarks.show` takes them.", "text",
           ""),
)  # fmt: skip
"""The built-in columns, in order."""


def columns() -> list[dict[str, Any]]:
    """Every column as the page's script takes it: the built-in ones, then those of added metrics."""
    added = [
        Column(name, heading, UTILITY, "A metric that a plugin added.", "interval")
        for name, heading in added_columns().items()
    ]
    return [asdict(one) for one in (*COLUMNS, *added)]


def parts_of(name: str) -> tuple[str, ...]:
    """Which parts of a number the script needs beside its value, by the fields of `leaderboard.numbers.Number`."""
    if name in FIDELITY:
        return ("n", "floor", "floor_n", "at_floor_n")
    return ("low", "high") if name in INTERVAL or name in added_columns() else ()
