"""Which features the judging of an arm reads, so that they can be made before it, and elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from benchmarks.judging.fidelity import Fidelity
from benchmarks.judging.privacy import Privacy
from benchmarks.metrics.registry import EXTRACTORS
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from benchmarks.stages.features import features_key
from benchmarks.stages.images import Images

SPLITS = ("train", "test")
"""That synthetic images are compared with in every extractor; the privacy numbers read val beside them."""


def fidelity_of(bench: Bench, images: Images, arms: Sequence[Arm], *, fetch: bool = True) -> Fidelity:
    """What measures the arms of a request, which all have the same extractors; those of real images alone have none.

    Parameters
    ----------
    fetch : whether weights that are not on this machine may be fetched; else their extractors are left out.
    """
    spec = next((arm.spec for arm in arms if not arm.spec.is_real_only), arms[0].spec)
    if not fetch:
        spec = replace(spec, extractors=tuple(name for name in spec.extractors if EXTRACTORS.get(name).is_at_hand()))
    return Fidelity(bench, images, spec)


def real_splits(fidelity: Fidelity) -> Iterator[tuple[str, str]]:
    """Extractor and split of the real images' features."""
    for name in fidelity.extractors:
        yield from ((name, split) for split in SPLITS)
    if (looked_at := Privacy(fidelity).extractor) is not None:
        yield looked_at, "val"


def feature_keys(fidelity: Fidelity, arm: Arm | None) -> list[str]:
    """Keys of the features of an arm's synthetic images, in every extractor; of the real images for None."""
    named = fidelity.extractors
    if arm is None:
        return [features_key(fidelity.bench, named[name], fidelity.real_key(of)) for name, of in real_splits(fidelity)]
    return [features_key(fidelity.bench, extractor, fidelity.drawn_key(arm)) for extractor in named.values()]


def extract_all(fidelity: Fidelity, arm: Arm | None) -> None:
    """Make those of `feature_keys` that are not stored. The arm's pool has been drawn."""
    if arm is None:
        for name, split in real_splits(fidelity):
            fidelity.features(name, split)
        return
    for name in fidelity.extractors:
        fidelity.drawn(name, arm)
