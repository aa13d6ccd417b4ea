"""LoRA adapters on a frozen network: where they go, what they hold, when they are worn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from synthworth.devices import isolated_randomness
from synthworth.errors import UserError

NAME = "default"
"""What peft calls the only adapter."""
MARK = "lora_"
"""What the names of peft's weights have in them."""


def require_peft() -> None:
    """Refuse where peft or transformers is not installed.

    Raises
    ------
    UserError
        Saying how they are.
    """
    try:
        import peft  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise UserError("lora needs peft and transformers: pip install 'synthworth[lora]'") from error


def require_targets(network: nn.Module, targets: Sequence[str], *, where: str) -> None:
    """Refuse targets that no module of a network is called, or that are no linear layer or convolution.

    Parameters
    ----------
    targets : names of modules, or their last parts: `to_q` is every module whose name ends with `.to_q`.
    where : the network, for the error.

    Raises
    ------
    UserError
        Naming the first such target, and what could be meant.
    """
    modules = dict(network.named_modules())
    linear = {name for name, module in modules.items() if isinstance(module, (nn.Linear, nn.Conv2d))}
    if not targets:
        raise UserError("--gen.targets names no module, and without one nothing is learned; leave it out")
    for target in targets:
        meant = {name for name in modules if name == target or name.endswith(f".{target}")}
        if not meant:
            ends = {name.rpartition(".")[2] for name in linear if isinstance(modules[name], nn.Linear)}
            known = ", ".join(sorted(end for end in ends if not end.isdigit())[:8])
            raise UserError(f"{where} has no module {target!r} (--gen.targets); linear ones are {known}")
        if meant - linear:
            kind = type(modules[min(meant - linear)]).__name__
            raise UserError(f"{where}: {target!r} (--gen.targets) is a {kind}; a linear layer or convolution is needed")


class Adapters(nn.Module):
    """The adapters of a network as a module of their own: W' = W + (alpha / r) B A (Hu 2021, 4.1).

    A (r, in) begins as Kaiming's uniform numbers and B (out, r) as zeros, so that W' begins as W. Its parameters and
    its state are A and B alone; the network is used and held by no name. A copy has weights of its own and shares the
    network, which computes with them while the copy is worn.

    Parameters
    ----------
    network : with adapters in it.
    call : a prediction of the network, for `forward`.
    """

    def __init__(self, network: nn.Module, call: Callable[..., Tensor]) -> None:
        super().__init__()
        inside = {name: p for name, p in network.named_parameters() if MARK in name}
        self._around = (network, call, inside)  # in a tuple, so that torch takes none of it for a part of this module
        for name, parameter in inside.items():
            self.register_parameter(name.replace(".", "/"), parameter)

    @classmethod
    def put_in(
        cls,
        network: nn.Module,
        call: Callable[..., Tensor],
        *,
        rank: int,
        alpha: float,
        targets: Sequence[str],
        seed: int,
    ) -> Self:
        """Put fresh adapters into a network, whose own weights peft freezes.

        Parameters
        ----------
        seed : of A.

        Raises
        ------
        UserError
            When peft is not installed.
        """
        require_peft()
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), lora_dropout=0.0)
        with isolated_randomness(seed):
            inject_adapter_in_model(config, network, adapter_name=NAME)
        network.eval()
        return cls(network, call)

    def forward(self, *inputs: Any) -> Tensor:
        """A prediction of the network."""
        network, call, _ = self._around
        return call(network, *inputs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Adapters:
        """Weights of its own around the same network."""
        made = type(self).__new__(type(self))
        nn.Module.__init__(made)
        made._around = self._around
        for name, parameter in self.named_parameters():
            made.register_parameter(name, nn.Parameter(parameter.detach().clone(), parameter.requires_grad))
        return made

    @contextmanager
    def worn(self) -> Iterator[None]:
        """Inside the block the network computes with these weights."""
        inside = self._around[2].values()
        before = [parameter.data for parameter in inside]
        try:
            for parameter, own in zip(inside, self.parameters(), strict=True):
                parameter.data = own.data
            yield
        finally:
            for parameter, was in zip(inside, before, strict=True):
                parameter.data = was

    def weights(self) -> dict[str, Tensor]:
        """A and B by their names in peft's own files, as `mid_block.attentions.0.to_q.lora_A.weight`."""
        return {name.replace("/", ".").replace(f".{NAME}.", "."): p.detach() for name, p in self.named_parameters()}

    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Take weights as `weights` gave them.

        Raises
        ------
        UserError
            When they are not those of adapters of this network.
        """
        own = self.weights()
        if own.keys() != weights.keys() or any(own[name].shape != weights[name].shape for name in own):
            raise UserError("the saved adapters are not those of this base and these options; fit again")
        with torch.no_grad():
            for name, held in own.items():
                held.copy_(weights[name])
