"""Which features the judging of an arm reads, so that they can be made before it, and elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from benchmarks.judging.fidelity import Fidelity
from benchmarks.judging.privacy import Privacy
from benchmarks.metrics.registry import EXTRACTORS
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from benchmarks.stages.features import features_key
from benchmarks.stages.images import Images, Source

SPLITS = ("train", "test")
"""That synthetic images are compared with in every extractor; the privacy numbers read val beside them."""


Measures = Mapping[str, Fidelity]
"""What measures the arms of a request, by what their images were learned from (`RunSpec.learn_from`)."""


def measures_of(bench: Bench, images: Images, arms: Sequence[Arm], *, fetch: bool = True) -> Measures:
    """What measures the arms of a request, which all have the same extractors; those of real images alone have none.

    Parameters
    ----------
    fetch : whether weights that are not on this machine may be fetched; else their extractors are left out.

    Returns
    -------
    One for each hospital that an arm's images were learned from; the recipient's is always there.
    """
    spec = next((arm.spec for arm in arms if not arm.spec.is_real_only), arms[0].spec)
    if not fetch:
        spec = replace(spec, extractors=tuple(name for name in spec.extractors if EXTRACTORS.get(name).is_at_hand()))
    made = Fidelity(bench, Source(images.train, images.val, images.test), spec)
    donors = {a.spec.learn_from: made.against(images.learned_from(a.spec)) for a in arms if a.spec.learn_from}
    return {"": made, **donors}


def real_splits(fidelity: Fidelity) -> Iterator[tuple[str, str]]:
    """Extractor and split of the real images' features."""
    for name in fidelity.extractors:
        yield from ((name, split) for split in SPLITS)
    if (looked_at := Privacy(fidelity).extractor) is not None:
        yield looked_at, "val"


def feature_keys(measures: Measures, arm: Arm | None) -> list[str]:
    """Keys of the features of an arm's synthetic images, in every extractor; of the real images for None."""
    if arm is None:
        keys = [
            features_key(fidelity.bench, fidelity.extractors[name], fidelity.real_key(of))
            for fidelity in measures.values() for name, of in real_splits(fidelity)
        ]  # fmt: skip
        return list(dict.fromkeys(keys))
    fidelity = measures[arm.spec.learn_from]
    return [features_key(fidelity.bench, one, fidelity.drawn_key(arm)) for one in fidelity.extractors.values()]


def extract_all(measures: Measures, arm: Arm | None) -> None:
    """Make those of `feature_keys` that are not stored. The arm's pool has been drawn."""
    if arm is None:
        for fidelity in measures.values():
            for name, split in real_splits(fidelity):
                fidelity.features(name, split)
        return
    fidelity = measures[arm.spec.learn_from]
    for name in fidelity.extractors:
        fidelity.drawn(name, arm)
