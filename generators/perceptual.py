"""LPIPS, the learned perceptual distance (Zhang 2018), as a training loss: AlexNet, frozen, without a download."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthworth.errors import UserError
from synthworth.keys import sha256_of

if TYPE_CHECKING:
    from torch import Tensor

    from generators.nets.lpips import LPIPS

FILE_NAMES = ("alexnet_features_lpips.pt", "alexnet-owt-7be5be79.pth")
"""What the weights may be called in SYNTHWORTH_WEIGHTS: the convolutions alone, or torchvision's whole file."""
PUBLISHED = "44534cd66e37ce9a6258bb5e845ef8cd47c33aa68024441c7e616d63c0c1c41a"
"""sha256 over the convolutions of torchvision's AlexNet, by `digest_of`."""
HOW_TO = (
    f"put {FILE_NAMES[0]} or torchvision's {FILE_NAMES[1]} into a folder and set SYNTHWORTH_WEIGHTS to it, name it "
    "with --gen.perceptual-weights, or do without LPIPS: --gen.perceptual 0"
)


def digest_of(state: dict[str, Tensor]) -> str:
    """sha256 over the tensors of a state dict in the order of their names, float32."""
    parts = ((name, state[name].float().contiguous().numpy().tobytes()) for name in sorted(state))
    return sha256_of(piece for part in parts for piece in part)


def find_weights() -> Path | None:
    """The file in SYNTHWORTH_WEIGHTS or among what torch has downloaded; None where there is none."""
    import torch

    own = os.environ.get("SYNTHWORTH_WEIGHTS")
    folders = [*([Path(own)] if own else []), Path(torch.hub.get_dir(), "checkpoints")]
    return next((folder / name for folder in folders for name in FILE_NAMES if (folder / name).is_file()), None)


def read_convolutions(file: Path) -> dict[str, Tensor]:
    """AlexNet's convolutions of a file with torchvision's names; nothing in it is executed.

    Raises
    ------
    UserError
        When the file is not there, or is anything else.
    """
    import torch
    from torchvision.models import alexnet

    from synthworth.training.weight_files import read_weights
    from synthworth.training.weights import match_weights

    with torch.device("meta"):
        whole = alexnet(weights=None).state_dict()
    wanted = {name: tensor for name, tensor in whole.items() if name.startswith("features.")}
    found = read_weights(file, what="AlexNet weights", advice=HOW_TO[0].upper() + HOW_TO[1:])
    return match_weights(wanted, found, where=f"AlexNet weights {file}", network="torchvision's AlexNet")


def fetch() -> dict[str, Tensor]:
    """Torchvision's own weights, downloaded into torch's cache.

    Raises
    ------
    UserError
        When there is no network, or SYNTHWORTH_OFFLINE forbids its use.
    """
    from http.client import HTTPException

    from torch.hub import load_state_dict_from_url
    from torchvision.models import AlexNet_Weights

    if os.environ.get("SYNTHWORTH_OFFLINE", "") not in ("", "0"):
        raise UserError(f"LPIPS needs AlexNet's weights, and SYNTHWORTH_OFFLINE forbids fetching them: {HOW_TO}")
    try:
        state: dict[str, Any] = load_state_dict_from_url(
            AlexNet_Weights.IMAGENET1K_V1.url, map_location="cpu", weights_only=True, check_hash=True
        )
    except (OSError, HTTPException, RuntimeError) as error:
        raise UserError(f"LPIPS needs AlexNet's weights, and fetching them failed ({error}): {HOW_TO}") from error
    return {k: v for k, v in state.items() if k.startswith("features.")}


def load_lpips(weights: Path | None, *, device: Any = "cpu") -> LPIPS:
    """LPIPS version 0.1 with AlexNet, frozen.

    AlexNet's convolutions come from `weights`, else from SYNTHWORTH_WEIGHTS or torch's cache, else downloaded; the
    linear layers from the package `lpips`.

    Raises
    ------
    UserError
        When weights are nowhere, or those found without being named are not torchvision's.
    """
    from generators.nets.lpips import LPIPS
    from synthworth.devices import isolated_randomness
    from synthworth.training.weight_files import read_weights

    found = weights or find_weights()
    convolutions = read_convolutions(found) if found else fetch()
    if weights is None and digest_of(convolutions) != PUBLISHED:
        raise UserError(f"AlexNet weights {found}: not torchvision's; if they are wanted, use --gen.perceptual-weights")
    package = find_spec("lpips")
    if package is None or package.origin is None:
        raise UserError("LPIPS needs its linear layers, which come with a package: pip install lpips")
    own = Path(package.origin).with_name("weights") / "v0.1" / "alex.pth"
    linear = read_weights(own, what="LPIPS's linear layers", advice="Install lpips again")
    with isolated_randomness(0):
        net = LPIPS()
    net.load(convolutions, linear)
    return net.requires_grad_(False).eval().to(device)
