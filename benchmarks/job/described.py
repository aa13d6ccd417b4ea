"""What a record tells whoever reports the run: terms of the dataset, attributes by split, pre-trained parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.judging.subgroups import MOST_GROUPS, UNSTATED
from benchmarks.records.kinds import DIGEST
from data.images import Split
from data.prepared import read_index

if TYPE_CHECKING:
    from benchmarks.stages.experiment import Experiment
    from benchmarks.stages.images import Images
    from data.images import ImageSet

UNREAD = "films that could not be read"
OUTSIDE = "training images outside what was asked for (--real-fraction, --patients-per-class)"
OF_THE_DONOR = "training images of the donor"
NOT_COUNTED = "the reader of this dataset counts nothing that it leaves out"
OWN_FILE = "a file that the run was given; under which licence, the record cannot know"
ALEXNET = "AlexNet of torchvision, for LPIPS"
ALEXNET_LICENCE = "BSD-3-Clause (torchvision), BSD-2-Clause (LPIPS)"
HUB = "hub:"


def describe_dataset(experiment: Experiment) -> dict[str, Any]:
    """The part `dataset` of a record.

    Returns
    -------
    name : of the dataset.
    licence, citation : as its plugin states them; null where it does not.
    attributes : split -> attribute -> value -> images, of the images that the run used. An attribute with more than
        `MOST_GROUPS` values is left out: it is a number, or names somebody. Where there is none, the split's is empty.
    left_out : what was left out, in words -> how many.
    remarks : what the reader of the films counted beside, in its words -> how many.
    note : why `left_out` may say too little; null where it does not.
    """
    images = experiment.images
    dataset, index = images.dataset, read_index(images.folder)
    notes = index.get("notes")
    left_out = {} if notes is None else {UNREAD: len(notes.get("skipped", ()))}
    donor = images.donor if images.spec.donor else None
    n_donor = 0 if donor is None else len(donor)
    outside = index["splits"]["train"]["n"] - len(images.train) - n_donor
    left_out |= {OUTSIDE: outside} if outside else {}
    left_out |= {OF_THE_DONOR: n_donor} if n_donor else {}
    return {
        "name": images.spec.dataset,
        "licence": getattr(dataset, "licence", "") or None,
        "citation": getattr(dataset, "citation", "") or None,
        "attributes": {split.value: attributes_of(those) for split, those in _splits(images, donor)},
        "left_out": left_out,
        "remarks": {name: n for name, n in (notes or {}).items() if type(n) is int},
        "note": NOT_COUNTED if notes is None else None,
    }


def _splits(images: Images, donor: ImageSet | None) -> Iterator[tuple[Split, ImageSet]]:
    yield from ((Split.train, images.train), (Split.val, images.val), (Split.test, images.test))
    if donor is not None:
        yield Split.donor, donor


def attributes_of(images: ImageSet) -> dict[str, dict[str, int]]:
    """Images by value of each attribute; those that do not state it are `unknown`."""
    found = {}
    for name, values in sorted(images.attributes.items()):
        counted = Counter(map(_value, np.asarray(values).tolist()))
        if len(counted) <= MOST_GROUPS:
            found[name] = dict(sorted(counted.items()))
    return found


def _value(value: Any) -> str:
    said = f"{value:g}" if isinstance(value, float) else str(value).strip()
    return "unknown" if said.lower() in UNSTATED else said


def pretrained_parts(
    spec: Mapping[str, Any], training: Mapping[str, Any], extractors: Mapping[str, Any], fidelity: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The part `pretrained` of a record: what of the run was trained elsewhere before.

    Parameters
    ----------
    spec : in its plain form.
    training : of the classifiers, as the record has it.
    extractors : the networks that images were measured with, by name; of an arm without images none count.
    fidelity : of the arm, as the record has it.

    Returns
    -------
    Rows of `part`, `name`, `sha256`, `licence` and `note`; null is what is not known, and then the note says why.
    """
    rows = list(_of_classifier(spec, training))
    rows += _of_generator(spec["gen"])
    measured = {value["extractor"] for value in fidelity.values() if value["value"] is not None}
    for name, extractor in extractors.items():
        if name in measured:
            licence = getattr(extractor, "weights_licence", "") or None
            note = None if licence else "the extractor does not say under which licence its weights are"
            rows.append(_row("extractor", name, extractor.weights_sha256, licence, note))
    if (fidelity.get("lpips_within") or {"value": None})["value"] is not None:
        rows.append(_alexnet("metric"))
    return rows


def _row(part: str, name: str, sha256: str | None, licence: str | None, note: str | None) -> dict[str, Any]:
    return {"part": part, "name": name, "sha256": sha256, "licence": licence, "note": note}


def _alexnet(part: str) -> dict[str, Any]:
    from generators.perceptual import PUBLISHED

    return _row(part, ALEXNET, PUBLISHED, ALEXNET_LICENCE, "the sha256 is that of the convolutions' numbers")


def _of_classifier(spec: Mapping[str, Any], training: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Where each training began; the seeds of an arm began alike."""
    for weights in dict.fromkeys(str(facts.get("weights", "random")) for facts in training.get("facts", ())):
        if weights == "random":
            continue
        if DIGEST.fullmatch(weights):
            yield _row("classifier", "weights of --clf.weights", weights, None, OWN_FILE)
            continue
        licence = _licence_on_hub(weights)
        note = "named by its tag on the hub; of its file no sha256 was taken"
        unknown = "" if licence else "; its licence is not stated where timm looks it up"
        yield _row("classifier", weights, None, licence, note + unknown)


def _licence_on_hub(name: str) -> str | None:
    import timm

    try:
        found = timm.get_pretrained_cfg(name)
    except RuntimeError:  # no such network in this version of timm
        return None
    return None if found is None else found.license


def _of_generator(options: Mapping[str, Any], prefix: str = "") -> Iterator[dict[str, Any]]:
    """Options that stand for files or hub ids in a key, and the two that mean published weights by a number."""
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _of_generator(value, f"{prefix}{name}.")
        elif name.endswith(("_sha256", "_id")) and isinstance(value, str):
            if DIGEST.fullmatch(value):
                yield _row("generator", f"{prefix}{name}", value, None, OWN_FILE)
            elif value.startswith(HUB):
                note = "named by its id on the hub; of its files no sha256 was taken, and their card has the licence"
                yield _row("generator", f"{prefix}{name} {value.removeprefix(HUB)}", None, None, note)
    if options.get("encoder_pretrained") is True and not options.get("encoder_sha256"):
        note = "as its library gives it; of the file no sha256 was taken, and the library has the licence"
        yield _row("generator", f"{prefix}encoder {options.get('encoder')}, ImageNet weights", None, None, note)
    if options.get("perceptual") and not options.get("perceptual_sha256"):
        yield _alexnet("generator")
