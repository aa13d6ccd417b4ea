"""What the training of every generator shares: data near the device, learners, batches cut into parts, snapshots."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from synthworth.errors import UserError
from synthworth.keys import seed_from
from synthworth.training.average import make_average
from synthworth.training.loop import PhaseReport, make_fabric, run_steps
from synthworth.training.order import BatchOrder
from synthworth.work import FitReport, Work

RESIDENT_BYTES = 8 << 30
Losses = Mapping[str, Tensor]


class Resident:
    """Tensors of equal length, kept on the device where they fit, drawn from by row.

    What is larger than `limit` bytes in all stays where it is (a memory map, for one) and moves batch by batch.
    """

    def __init__(self, *tensors: Tensor, device: Any, limit: int = RESIDENT_BYTES) -> None:
        self.device = device
        fits = sum(t.numel() * t.element_size() for t in tensors) <= limit
        self.tensors = tuple(t.to(device) if fits else t for t in tensors)

    def __call__(self, rows: Tensor) -> tuple[Tensor, ...]:  # int64 (n,) -> each tensor's rows, on the device
        """The rows, in that order."""
        return tuple(t[rows.to(t.device)].to(self.device) for t in self.tensors)


@dataclass(frozen=True)
class Part:
    """A share of an optimiser step's batch, computed at one time on one device.

    rows : int64 (n,), which training images. seed : of all that is drawn while it is computed.
    """

    rows: Tensor
    seed: int


class Learner:
    """A network that one optimiser trains: its rate, the bound on its gradient, its moving average.

    Call it for a forward pass in training: Fabric sees to precision and to gradients shared between processes.
    `net` is the network itself, `average` the moving average of its weights or None.
    """

    def __init__(
        self,
        fabric: Any,
        net: nn.Module,
        optimiser: Optimizer,
        rate: LambdaLR,
        *,
        clip: float | None,
        ema: float | None,
    ) -> None:
        self.fabric, self.net, self.rate, self.clip = fabric, net, rate, clip
        self.average = make_average(net, ema) if ema is not None else None
        self.raw_optimiser = optimiser
        self.wrapped, self.optimiser = fabric.setup(net, optimiser)

    def __call__(self, *inputs: Any) -> Any:
        """A forward pass of training."""
        return self.wrapped(*inputs)

    def through(self, *inputs: Any) -> Any:
        """A forward pass whose gradient reaches the inputs and leaves this network's weights alone."""
        held = [p for p in self.net.parameters() if p.requires_grad]
        for p in held:
            p.requires_grad_(False)
        with self.fabric.autocast():
            out = self.net(*inputs)
        for p in held:
            p.requires_grad_(True)
        return out

    def update(self, parts: Sequence[Part], loss: Callable[[Part], Losses]) -> dict[str, Tensor]:
        """One optimiser step on the mean loss of all parts, here and in the other processes.

        loss : returns 0-d tensors, "loss" among them, which is differentiated. Torch is seeded with the part's
            seed before each call, so what is drawn depends on the part alone, wherever it is computed.

        Returns the means over all parts, detached.
        """
        self.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for k, part in enumerate(parts):
            torch.manual_seed(part.seed)
            with self.fabric.no_backward_sync(self.wrapped, enabled=k + 1 < len(parts)):
                scalars = loss(part)
                self.fabric.backward(scalars["loss"] / len(parts))
            for name, value in scalars.items():
                sums[name] = sums.get(name, 0) + value.detach().float() / len(parts)
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.optimiser.step()
        self.rate.step()
        if self.average is not None:
            self.average.update_parameters(self.net)
        if self.fabric.world_size > 1:
            together = self.fabric.all_reduce(torch.stack(list(sums.values())), reduce_op="mean")
            sums = dict(zip(sums, together, strict=True))
        return sums

    def exported(self) -> nn.Module:
        """The network that is drawn with: the moving average where one is kept."""
        return self.average.module if self.average is not None else self.net

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs."""
        kept = {"net": self.net, "optimiser": self.raw_optimiser, "rate": self.rate, "average": self.average}
        return {name: part.state_dict() for name, part in kept.items() if part is not None}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        for name, part in (("net", self.net), ("optimiser", self.raw_optimiser), ("rate", self.rate)):
            part.load_state_dict(state[name])
        if self.average is not None:
            self.average.load_state_dict(state["average"])


class Trainer:
    """One phase of a fit: learners, the order of the images, and the loop that calls a step.

    batch : images of an optimiser step. accumulate : equal parts it is cut into; one is computed at a time, or one
    on each device (`work.devices`). What is computed depends on both numbers and never on how many devices share
    the parts, up to rounding. Batch norm and whatever else looks at a batch sees one part.

    Raises
    ------
    UserError
        When the batch cannot be cut so, or the parts cannot be shared so.
    """

    def __init__(self, work: Work, *, seed: int, batch: int, accumulate: int = 1) -> None:
        if accumulate < 1 or batch % accumulate:
            raise UserError(f"a batch of {batch} images cannot be cut into {accumulate} equal parts; change accumulate")
        if accumulate % work.devices:
            raise UserError(
                f"{work.devices} devices cannot share the {accumulate} parts of a step evenly; set --gen.accumulate to "
                f"{work.devices}, or a multiple of it that divides the batch of {batch}"
            )
        self.work, self.seed, self.batch, self.accumulate = work, seed, batch, accumulate
        self.fabric = make_fabric(work)
        self.learners: dict[str, Learner] = {}

    @property
    def device(self) -> Any:
        """Where this process computes."""
        return self.fabric.device

    def learner(
        self,
        name: str,
        net: nn.Module,
        *,
        lr: float,
        n_steps: int,
        optimiser: Literal["adam", "adamw"] = "adamw",
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        schedule: Literal["constant", "cosine"] = "cosine",
        warmup: int = 0,
        clip: float | None = None,
        ema: float | None = None,
    ) -> Learner:
        """Set a network up for training (only those of its parameters that want a gradient).

        schedule : constant, or half a cosine down to zero over `n_steps`; both rise linearly over `warmup` steps (at
            most a tenth of the training). The rate depends on the step's number alone.
        ema : decay of the moving average of the weights; None for no average.
        """
        place(net, str(self.device))
        if self.work.compile:
            net.compile(options={"fallback_random": True})  # the same noise as without
        make = {"adam": Adam, "adamw": AdamW}[optimiser]
        trained = [p for p in net.parameters() if p.requires_grad]
        algorithm = make(trained, lr=lr, betas=betas, weight_decay=weight_decay, fused=self.device.type != "mps")
        rate = LambdaLR(algorithm, lambda step: rate_at(step, n_steps, warmup=warmup, schedule=schedule))
        self.learners[name] = Learner(self.fabric, net, algorithm, rate, clip=clip, ema=ema)
        return self.learners[name]

    def parts(self, order: BatchOrder, t: int) -> list[Part]:
        """This process's share of step `t`."""
        cut = order(t).chunk(self.accumulate)
        mine = range(self.fabric.global_rank, self.accumulate, self.fabric.world_size)
        return [Part(cut[k], seed_from(self.seed, "part", t, k)) for k in mine]

    def run(
        self,
        phase: str,
        step: Callable[[Sequence[Part]], Losses],
        *,
        n_images: int,
        n_steps: int,
        seconds: float | None = None,
        after: Callable[[int], None] | None = None,
    ) -> PhaseReport:
        """Call `step(parts)` n_steps times, resuming where a checkpoint is; see `run_steps`."""
        order = BatchOrder(n_images, self.batch, seed=seed_from(self.seed, phase, "order"))
        return run_steps(
            phase, lambda t: step(self.parts(order, t)), n_steps=n_steps, parts=self.learners, seed=self.seed,
            work=self.work, seconds=seconds, images_per_step=self.batch, fabric=self.fabric, after=after,
        )  # fmt: skip


def rate_at(step: int, n_steps: int, *, warmup: int, schedule: str) -> float:
    """Share of the highest learning rate at a step: a linear rise over `warmup` steps (at most a tenth of all), then
    constant or half a cosine down to zero."""
    warmup = max(1, min(warmup, n_steps // 10))
    rising = min(1.0, (step + 1) / warmup)
    if schedule == "constant":
        return rising
    return rising * 0.5 * (1.0 + math.cos(math.pi * min(1.0, step / max(1, n_steps))))


def report_phases(phases: Sequence[PhaseReport], batches: Sequence[int], *, facts: Mapping[str, Any]) -> FitReport:
    """One `FitReport` of a fit in phases, each with its batch; rows of several phases carry `stage` 1, 2, ..."""
    history: list[Mapping[str, float]] = []
    for stage, phase in enumerate(phases, start=1):
        history += [{"stage": float(stage), **row} if len(phases) > 1 else row for row in phase.history]
    return FitReport(
        steps=sum(p.steps for p in phases),
        images_seen=sum(p.steps * batch for p, batch in zip(phases, batches, strict=True)),
        seconds=sum(p.seconds for p in phases),
        stopped="seconds" if any(p.stopped == "seconds" for p in phases) else "steps",
        history=tuple(history),
        facts=facts,
    )


def count_parameters(net: nn.Module) -> int:
    """Numbers that a network holds as parameters, trained or not."""
    return sum(p.numel() for p in net.parameters())


N = TypeVar("N", bound=nn.Module)


def place(net: N, device: str) -> N:
    """Move a network to the device; on an accelerator in channels_last, which its convolutions prefer (on a CPU
    the small ones here are no faster for it)."""
    if device.startswith("cuda"):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return net.to(device)


def first_of_each(labels: Tensor, n_each: int = 4) -> Tensor:
    """Labels for a picture: `n_each` rows of every class in turn; where findings co-occur, the first distinct
    vectors of the set, at most 16."""
    if labels.ndim == 1:
        return torch.unique(labels).repeat_interleave(n_each)
    distinct = torch.unique(labels, dim=0)[:16]
    return distinct.repeat_interleave(n_each, dim=0)
