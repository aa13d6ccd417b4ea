"""A fitted model on disk: one JSON of what it is, one safetensors file of its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from synthworth.artifacts import from_json, read_json, read_tensors, write_json, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

C = TypeVar("C")
FACTS, WEIGHTS = "model.json", "model.safetensors"


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a network must know of the images it learns.

    Parameters
    ----------
    channels : 1 or 3.
    size : pixels a side.
    n_classes : K.
    multilabel : whether labels are (N, K).
    """

    channels: int
    size: int
    n_classes: int
    multilabel: bool

    @classmethod
    def of(cls, images: Any) -> Shape:
        """The shape of an `ImageSet`."""
        return cls(images.channels, images.size, images.n_classes, images.multilabel)

    def blank(self, n: int) -> Tensor:
        """Room for `n` such images: uint8 (n, channels, size, size), not yet set."""
        import torch

        return torch.empty((n, self.channels, self.size, self.size), dtype=torch.uint8)


def write_model(folder: Path, *, config: Any, shape: Shape, weights: Mapping[str, Mapping[str, Tensor]]) -> None:
    """Write a model.

    Parameters
    ----------
    weights : a state dict for each network, by a name without a dot.
    """
    flat = {f"{net}.{name}": tensor for net, state in weights.items() for name, tensor in state.items()}
    write_tensors(folder / WEIGHTS, flat)
    write_json(folder / FACTS, {"config": config_to_json(config), "shape": dataclasses.asdict(shape)})


def read_model(folder: Path, config_type: type[C]) -> tuple[C, Shape, dict[str, dict[str, Tensor]]]:
    """Read what `write_model` wrote: options, shape, and a state dict (on the CPU) for each network."""
    facts = read_json(folder / FACTS)
    weights: dict[str, dict[str, Tensor]] = {}
    for name, tensor in read_tensors(folder / WEIGHTS).items():
        net, _, rest = name.partition(".")
        weights.setdefault(net, {})[rest] = tensor
    return from_json(config_type, facts["config"]), from_json(Shape, facts["shape"]), weights


def config_to_json(value: Any) -> Any:
    """Every field of a Config, Configs within it too, as JSON has it: tuples as lists, paths as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: config_to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [config_to_json(v) for v in value]
    return value.as_posix() if isinstance(value, Path) else value
