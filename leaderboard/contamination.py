"""Which arms had a part that was trained elsewhere, and may have seen the films it is tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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


def contamination_of(spec: Mapping[str, Any]) -> str | None:
    """Why an arm may have seen the films, in words; None where no part of it was trained elsewhere.

    A part is named by its key in the spec: the sha256 of its files, or its id on a hub. What such a part was trained on
    is not known here, so nobody can rule out that test films were among it. ImageNet's weights are disclosed in a
    record too, and are none: no film is in ImageNet.
    """
    if spec["generator"] == POOL:
        return "the images were made elsewhere: what their generator learned from is not known"
    found = list(_parts(spec["gen"]))
    if spec["clf"].get("weights_sha256"):
        found.append(f"the classifier began with weights of a file ({_short(spec['clf']['weights_sha256'])})")
    return f"{'; '.join(found)}: trained elsewhere, and may have seen these films" if found else None


def _parts(options: Mapping[str, Any]) -> Iterator[str]:
    for name, value in options.items():
        if isinstance(value, Mapping):
            yield from _parts(value)
        elif name in PARTS and isinstance(value, str) and value:
            yield f"{PARTS[name]} ({_short(value)})"


def _short(named: str) -> str:
    return named if named.startswith("hub:") else f"sha256 {named[:12]}"
