"""The Inception network of FID, KID and IS through torch-fidelity: where its weights are found, and its features."""

from __future__ import annotations

import os
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.metrics.extractors.base import Extractor
from benchmarks.metrics.extractors.efficientnet import fold
from data.downloads.fetch import NoAnswer, Remote, fetch
from synthworth.devices import isolated_randomness
from synthworth.errors import Unavailable, UserError
from synthworth.keys import file_sha256

if TYPE_CHECKING:
    from torch import Tensor, nn

SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
SHA256_PREFIX = SHA256[:8]
FILE_NAMES = (
    f"weights-inception-2015-12-05-{SHA256_PREFIX}.pth",  # torch-fidelity's
    f"pt_inception-2015-12-05-{SHA256_PREFIX}.pth",  # pytorch-fid's; the same bytes
)
REMOTES = tuple(
    Remote(f"{release}/{name}", name, f"sha256:{SHA256}", size=95_628_359)
    for release, name in zip(
        (
            "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0",
            "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights",
        ),
        FILE_NAMES,
        strict=True,
    )
)
SECONDS_TO_ANSWER = 5.0  # a host without a network may otherwise hang for minutes
HOW_TO = (
    f"put {FILE_NAMES[0]} (torch-fidelity release v0.2.0) or {FILE_NAMES[1]} (pytorch-fid) into a folder "
    "and set SYNTHWORTH_WEIGHTS to it"
)
_failed: dict[str, str] = {}  # a download that failed is not tried again by this process


class Inception(Extractor):
    """TensorFlow's Inception-v3 of 2015 as converted by torch-fidelity: 2048-d pooled features and 1008 logits.

    torch-fidelity resizes inside the network, the way TensorFlow 1.x did (bilinear, no antialiasing, corners not
    aligned) to 299 pixels, and scales to (x - 128) / 128. pytorch-fid resizes with torch's own bilinear and
    scales to 2 x / 255 - 1, so the two agree for images that are 299 pixels already, up to that scaling.

    Parameters
    ----------
    weights : a file of weights; looked for as in `find_weights` when left out.
    expected_sha : what the file's sha256 must begin with; None accepts any file (tests do).

    Raises
    ------
    Unavailable
        When there is no file and none can be fetched; the message says how to supply it.
    UserError
        When the file is not the expected one.
    """

    name = "inception"
    weights_licence = "Apache-2.0"
    gives_logits = True
    literature_in = "fp32"
    dim = 2048
    size = 299

    def __init__(
        self,
        *,
        weights: Path | None = None,
        expected_sha: str | None = SHA256_PREFIX,
        device: str = "cpu",
        precision: Literal["fp32", "bf16"] = "fp32",
        channels_last: bool = True,
    ) -> None:
        super().__init__(device=device, precision=precision, channels_last=channels_last)
        self.weights = Path(weights) if weights is not None else find_weights()
        if not self.weights.is_file():
            raise UserError(f"Inception weights {self.weights}: no such file. To supply it: {HOW_TO}")
        if expected_sha is not None and not self.weights_sha256.startswith(expected_sha):
            raise UserError(
                f"Inception weights {self.weights}: sha256 begins with {self.weights_sha256[:8]}, not {expected_sha}: "
                "the file is damaged or another one. Fetch it again"
            )

    @classmethod
    def is_at_hand(cls) -> bool:
        """Whether the weights are on this machine."""
        return local_weights() is not None

    @cached_property
    def weights_sha256(self) -> str:  # type: ignore[override]
        """sha256 of the weights file."""
        return file_sha256(self.weights)

    def build(self) -> nn.Module:
        """torch-fidelity's module, batch norms folded.

        torch-fidelity unpickles whatever lies at the path it is given. So the file is read with
        `weights_only=True`, and the module is given a temporary file of nothing but these tensors.
        """
        import torch
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        state = read_state_dict(self.weights)
        with tempfile.TemporaryDirectory() as folder, isolated_randomness(0):  # its layers draw initial weights
            copy = Path(folder, "weights.pth")
            torch.save(state, copy)
            try:
                net = FeatureExtractorInceptionV3(
                    "inception-v3-compat", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(copy)
                )
            except RuntimeError as error:
                why = " ".join(str(error).split())[:200]
                raise UserError(f"Inception weights {self.weights}: those of another network ({why})") from error
        for module in net.modules():
            if hasattr(module, "conv") and hasattr(module, "bn"):
                module.conv, module.bn = fold(module.conv, module.bn)
        return net

    def forward(self, net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Pooled features (n, 2048) and logits without bias (n, 1008), from one pass."""
        features, logits = net(images)
        return features, logits


def read_state_dict(path: Path) -> dict[str, Any]:
    """Tensors of a weights file by name; nothing in it is executed.

    Raises
    ------
    UserError
        When the file cannot be read, or needs more than tensors.
    """
    from synthworth.training.weight_files import read_weights

    return read_weights(path, what="Inception weights", advice=HOW_TO[0].upper() + HOW_TO[1:])


def weights_cache() -> Path:
    """Where torch keeps what it fetched."""
    import torch

    return Path(torch.hub.get_dir(), "checkpoints")


def local_weights() -> Path | None:
    """The weights file in `SYNTHWORTH_WEIGHTS` or in torch's cache; None when it is in neither."""
    own = os.environ.get("SYNTHWORTH_WEIGHTS")
    folders = ([Path(own)] if own else []) + [weights_cache()]
    return next((f / name for f in folders for name in FILE_NAMES if (f / name).is_file()), None)


def find_weights() -> Path:
    """The weights file: from `SYNTHWORTH_WEIGHTS`, else from torch's cache, else fetched into that cache.

    `SYNTHWORTH_OFFLINE=1` forbids fetching.

    Raises
    ------
    Unavailable
        When it is nowhere and cannot be fetched; after a few seconds, and at once when asked again.
    """
    found = local_weights()
    if found is not None:
        return found
    if os.environ.get("SYNTHWORTH_OFFLINE", "") not in ("", "0"):
        raise Unavailable(f"no Inception weights, and SYNTHWORTH_OFFLINE forbids fetching them: {HOW_TO}")
    for remote in REMOTES:
        if remote.address not in _failed:
            try:
                return fetch(remote, weights_cache(), hint="It was asked once", within=SECONDS_TO_ANSWER)
            except UserError as error:
                _failed[remote.address] = str(error)
                if isinstance(error, NoAnswer):  # the host has no way out: the next address would hang as well
                    _failed.update({other.address: str(error) for other in REMOTES if other.address not in _failed})
    raise Unavailable(f"no Inception weights, and fetching them failed ({_failed[REMOTES[0].address]}): {HOW_TO}")
