"""Which arms had a part that was trained elsewhere, and may have seen the films it is tested on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

PARTS = {
    "autoencoder_id": "the autoencoder",
    "pretrained_id": "the denoiser",
    "base_id": "the text-to-image pipeline",
    "teacher_id": "the denoiser that was tuned",
    "source_id": "the encoder of conditions",
    "perceptual_sha256": "the network of the perceptual loss",
    "encoder_sha256": "the weights that the encoder began with",
}
"""Option of a generator that names a part from elsewhere -> what that part is. Empty where there is none."""
POOL = "pool"
HUB = "hub:"
DIGEST = re.compile(r"[0-9a-f]{64}")
JUDGED = ("generator", "classifier")
"""Parts that learn or draw; the networks that images are measured with teach an arm nothing."""
IMAGENET = {
    "generator": re.compile(r", ImageNet weights$|^AlexNet of torchvision, for LPIPS$"),
    "classifier": re.compile(r"[._]in(1|12|21|22)k"),
}
"""How records name parts that learned from ImageNet: the encoder and LPIPS of a generator; tags of timm."""


def contamination_of(spec: Mapping[str, Any], pretrained: Sequence[Mapping[str, Any]] = ()) -> str | None:
    """Why an arm may have seen the films, in words; None where no part of it was trained elsewhere.

    A part is named by its key in the spec: the sha256 of its files, or its id on a hub, which any option may hold; or
    by the record. What such a part was trained on is not known here, so nobody can rule out that test films were among
    it. ImageNet's weights are disclosed in a record too, and are none: no film is in ImageNet.

    Parameters
    ----------
    pretrained : what the record says of parts that were trained elsewhere: rows of `part`, `name` and `sha256`.
    """
    if spec["generator"] == POOL:
        return "the images were made elsewhere: what their generator learned from is not known"
    found = list(_parts(spec["gen"]))
    if spec["clf"].get("weights_sha256"):
        found.append(f"the classifier began with weights of a file ({_short(spec['clf']['weights_sha256'])})")
    told = " ".join(found)
    found += [named for row in pretrained if (named := _disclosed(row, told)) is not None]
    return f"{'; '.join(found)}: trained elsewhere, and may have seen these films" if found else None


def _parts(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _parts(value)
        elif isinstance(value, str) and value and (name in PARTS or value.startswith(HUB)):
            yield f"{PARTS.get(name, name)} ({_short(value)})"


def _disclosed(row: Mapping[str, Any], told: str) -> str | None:
    """A part that the record discloses, unless it was told already, or is published as trained on ImageNet alone."""
    name, sha256 = str(row["name"]), row["sha256"]
    if row["part"] not in JUDGED or IMAGENET[row["part"]].search(name):
        return None
    short = f"sha256 {sha256[:12]}" if sha256 else name.rpartition(" ")[2]
    return None if short in told else f"{row['part']}: {name}" + (f" ({short})" if sha256 else "")


def _short(named: str) -> str:
    return f"sha256 {named[:12]}" if DIGEST.fullmatch(named) else named
