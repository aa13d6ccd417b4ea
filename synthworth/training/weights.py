"""Weights of other people's making in a network of ours: matched by name, and refused where they do not fill it."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from synthworth.errors import UserError

logger = logging.getLogger(__name__)

WRAPPERS = frozenset({"_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
"""Parts of a name that torch's wrappers put in, anywhere in it."""
OLD_NAMES = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\."), r"\1\2."),  # torchvision's DenseNets
    (re.compile(r"\.query\.(weight|bias)$"), r".to_q.\1"),  # attention in diffusers before 0.12
    (re.compile(r"\.key\.(weight|bias)$"), r".to_k.\1"),
    (re.compile(r"\.value\.(weight|bias)$"), r".to_v.\1"),
    (re.compile(r"\.proj_attn\.(weight|bias)$"), r".to_out.0.\1"),
)
"""Names that published files still carry, and what became of them."""
AVERAGED = re.compile(r"(^|[._])(ema|average|averaged)([._]|$)")
COUNTERS = ".num_batches_tracked"
"""Of batch norm: no weight, and lacking in old files."""


def load_weights(
    net: nn.Module,
    found: Mapping[str, Tensor],
    *,
    where: str,
    network: str,
    fresh: Collection[str] = (),
    replaced: Collection[str] = (),
    first: Sequence[str] = (),
) -> None:
    """Put the tensors of a file into a network; arguments as for `match_weights`, which refuses what does not fit."""
    named = match_weights(
        net.state_dict(), found, where=where, network=network, fresh=fresh, replaced=replaced, first=first
    )
    net.load_state_dict(named, strict=False)


def match_weights(
    wanted: Mapping[str, Tensor],
    found: Mapping[str, Tensor],
    *,
    where: str,
    network: str,
    fresh: Collection[str] = (),
    replaced: Collection[str] = (),
    first: Sequence[str] = (),
) -> dict[str, Tensor]:
    """The tensors of a file under the names of a network.

    Names may carry what was around the network when it was saved (`module.`, `model.`, `state_dict.net.backbone.`):
    the prefix under which most of the network's names are found. Where two do equally well, the moving average is
    taken, as timm does, and that is said.

    Parameters
    ----------
    wanted : of the network, names with tensors of the right shape (they may be on `meta`).
    found : of the file (`read_weights`).
    where, network : the file and the network, for the errors.
    fresh : beginnings of names that stay as they are whatever the file holds (a head for other classes).
    replaced : names that stay as they are unless the file holds them in the right shape (a stem of another shape).
    first : names of first convolutions' weights, whose channels are fitted (`fit_channels`).

    Returns
    -------
    A tensor for every name of `wanted` but those in `fresh` and `replaced`, and counters of batch norm.

    Raises
    ------
    UserError
        When a tensor is missing, has another shape or type, or numbers that are not finite; when the file holds layers
        that the network has not. The message counts them.
    """
    asked = {name: t for name, t in wanted.items() if not name.startswith(tuple(fresh))}
    named = _without_prefix(_modern(found, wanted), asked, where=where, network=network)
    _refuse_kinds(named, asked, where=where, network=network)
    for name in set(first) & set(asked) & set(named):
        if named[name].shape[2:] == asked[name].shape[2:]:  # another one is refused below, and copied before by nobody
            named[name] = fit_channels(named[name], asked[name].shape[1])
    for name in replaced:
        if name in named and named[name].shape != asked[name].shape:
            del named[name]
    needed = {name: t for name, t in asked.items() if not name.endswith(COUNTERS)}
    required = {name: t for name, t in needed.items() if name not in replaced}
    _refuse_missing(required, named, where=where, network=network)
    _refuse_unlike(needed, named, where=where, network=network)
    _refuse_further(named, asked, fresh, where=where, network=network)
    return {name: named[name] for name in asked if name in named}


def fit_channels(weight: Tensor, channels: int) -> Tensor:
    """A convolution's weight for images of `channels` channels, so that grey seen as RGB gives the response of grey.

    Parameters
    ----------
    weight : (O, C, k, k).

    Returns
    -------
    (O, channels, k, k): summed over RGB for grey, as timm does; repeated and divided by three from grey to RGB; as it
    is where neither applies.
    """
    if weight.ndim != 4 or (weight.shape[1], channels) not in ((3, 1), (1, 3)):
        return weight
    wide = weight.float()
    return wide.sum(1, keepdim=True) if channels == 1 else wide.repeat(1, 3, 1, 1) / 3


def _refuse_kinds(named: Mapping[str, Tensor], asked: Mapping[str, Tensor], *, where: str, network: str) -> None:
    """Refuse tensors that hold no plain numbers: on no device, sparse, quantised, or whole where floats are asked."""
    import torch

    for name, tensor in named.items():
        if name not in asked:
            continue
        odd = next(
            (
                word
                for word, is_so in (
                    ("holds no numbers (it is on the meta device)", tensor.is_meta),
                    ("is quantised", tensor.is_quantized),
                    ("is sparse", tensor.layout is not torch.strided),
                    (f"is {tensor.dtype}", asked[name].is_floating_point() and not tensor.is_floating_point()),
                )
                if is_so
            ),
            None,
        )
        if odd:
            raise UserError(
                f"{where} does not fit {network}: {name} {odd}, and plain floating-point numbers are needed"
            )


def missing_of(missing: Sequence[str], total: int) -> str:
    """How many tensors are missing, in words, the first of them by name."""
    return f"{len(missing)} of {total} tensors are missing, {missing[0]} for one"


def _modern(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without wrappers, and old ones as they are now, unless the network has the old ones."""
    renamed = [(old, new) for old, new in OLD_NAMES if not any(old.search(name) for name in wanted)]
    named = {}
    for name, tensor in found.items():
        plain = ".".join(part for part in name.split(".") if part not in WRAPPERS)
        for old, new in renamed:
            plain = old.sub(new, plain)
        named[plain] = tensor
    return named


def _without_prefix(
    found: Mapping[str, Tensor], asked: Mapping[str, Tensor], *, where: str, network: str
) -> dict[str, Tensor]:
    """What lies under the prefix that most of the network's names are found under."""
    counts: Counter[str] = Counter()
    for name in found:
        at = 0
        while at >= 0:
            if name[at:] in asked:
                counts[name[:at]] += 1
            at = name.find(".", at) + 1 or -1
    if not counts:
        shown, looked_for = next(iter(found)), next(iter(asked), "")
        raise UserError(
            f"{where} holds no tensor of {network}: none of its {len(found)} is called as one of the {len(asked)} that "
            f"are needed ({shown} for one, where {looked_for} was looked for). Give weights of {network}"
        )
    most = max(counts.values())
    best = sorted(prefix for prefix, n in counts.items() if n == most)
    prefix = best[0]
    if len(best) > 1 and 2 * most > len(asked):
        averaged = [one for one in best if AVERAGED.search(one)]
        told = ", ".join(one.rstrip(".") or "no prefix" for one in best)
        if len(averaged) != 1:
            raise UserError(
                f"{where} holds {len(best)} networks that fit {network} equally well ({told}); save the one that is "
                "meant alone"
            )
        prefix = averaged[0]
        logger.warning("%s holds %d networks (%s); the average, %s, is taken", where, len(best), told, prefix[:-1])
    return {name.removeprefix(prefix): tensor for name, tensor in found.items() if name.startswith(prefix)}


def _refuse_missing(required: Mapping[str, Tensor], named: Mapping[str, Tensor], *, where: str, network: str) -> None:
    missing = [name for name in required if name not in named]
    if missing:
        raise UserError(
            f"{where} does not fill {network}: {missing_of(missing, len(required))}. Give all weights of {network}"
        )


def _refuse_unlike(needed: Mapping[str, Tensor], named: Mapping[str, Tensor], *, where: str, network: str) -> None:
    """Refuse other shapes and types, and numbers that are not finite."""
    held = {name: named[name] for name in needed if name in named}
    other = [name for name, tensor in held.items() if tensor.shape != needed[name].shape]
    if other:
        name = other[0]
        raise UserError(
            f"{where} is of another network than {network}: {len(other)} of {len(needed)} tensors have another shape, "
            f"{name} for one is {tuple(held[name].shape)} and {tuple(needed[name].shape)} is needed. Give the weights "
            f"of {network}"
        )
    whole = [name for name, t in held.items() if t.is_floating_point() != needed[name].is_floating_point()]
    if whole:
        raise UserError(
            f"{where}: {len(whole)} of {len(needed)} tensors hold {held[whole[0]].dtype}, {whole[0]} for one; weights "
            "of floating point are needed, not quantised ones"
        )
    broken = [name for name, t in held.items() if t.is_floating_point() and not bool(torch.isfinite(t.float()).all())]
    if broken:
        raise UserError(
            f"{where}: {len(broken)} of {len(needed)} tensors hold numbers that are not finite, {broken[0]} for one. "
            "Give other weights"
        )


def _refuse_further(
    named: Mapping[str, Tensor], asked: Mapping[str, Tensor], fresh: Collection[str], *, where: str, network: str
) -> None:
    """Refuse a larger network: further layers in a part that the network has. Other heads and statistics may be."""
    parts = {name.partition(".")[0] for name in asked}
    further = [
        name
        for name, tensor in named.items()
        if tensor.ndim > 1 and name not in asked
        and name.partition(".")[0] in parts and not name.startswith(tuple(fresh))
    ]  # fmt: skip
    if further:
        raise UserError(
            f"{where} is of another network than {network}: {len(further)} of its {len(named)} tensors have no place "
            f"there, {further[0]} for one. Give the weights of {network}"
        )
