"""How every generator is trained: learners, batches cut into parts that devices share, snapshots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from generators.snapshots import Snapshots, first_of_each
from synthworth.devices import autocast, strict
from synthworth.errors import UserError
from synthworth.keys import seed_from
from synthworth.training.average import Average
from synthworth.training.compiling import compile_options
from synthworth.training.fabric import make_fabric
from synthworth.training.flops import count_aside
from synthworth.training.loop import PhaseReport, run_steps
from synthworth.training.near import RESIDENT_BYTES, Resident, half_of_free
from synthworth.training.networks import place
from synthworth.training.order import BatchOrder, Near
from synthworth.training.rates import rate_at
from synthworth.training.reports import join_reports, report_of
from synthworth.work import FitReport, Work

Losses = Mapping[str, Tensor]


@dataclass(frozen=True)
class Part:
    """A share of an optimiser step's batch, computed at one time on one device.

    Parameters
    ----------
    rows : int64 (n,), which training images; on the device.
    seed : of all that is drawn while it is computed.
    """

    rows: Tensor
    seed: int


class Learner:
    """A network that one optimiser trains: its rate, the bound on its gradient, its moving average.

    Call it for a forward pass in training: Fabric sees to precision and to gradients shared between processes.

    Attributes
    ----------
    net : the network itself.
    average : the moving average of its weights, or None.
    """

    def __init__(
        self,
        fabric: Any,
        net: nn.Module,
        optimiser: Optimizer,
        rate: LambdaLR,
        *,
        precision: str,
        clip: float | None,
        average: Average | None,
        strictly: bool,
    ) -> None:
        self.fabric, self.net, self.rate, self.precision, self.clip = fabric, net, rate, precision, clip
        self.average, self.strictly = average, strictly
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
        with autocast(str(self.fabric.device), self.precision):
            out = self.net(*inputs)
        for p in held:
            p.requires_grad_(True)
        return out

    def update(self, parts: Sequence[Part], loss: Callable[[Part], Losses]) -> dict[str, Tensor]:
        """One optimiser step on the mean loss of all parts, here and in the other processes.

        Parameters
        ----------
        loss : returns 0-d tensors, "loss" among them, which is differentiated. Torch is seeded with the part's
            seed before each call, so what is drawn depends on the part alone, wherever it is computed.

        Returns
        -------
        The means over all parts, detached.
        """
        self.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for k, part in enumerate(parts):
            torch.manual_seed(part.seed)
            with (
                self.fabric.no_backward_sync(self.wrapped, enabled=k + 1 < len(parts)),
                strict(str(self.fabric.device), enabled=self.strictly),
            ):
                scalars = loss(part)
                self.fabric.backward(scalars["loss"] / len(parts))
            for name, value in scalars.items():
                sums[name] = sums.get(name, 0) + value.detach().float() / len(parts)
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.optimiser.step()
        self.rate.step()
        if self.average is not None:
            self.average.follow(self.net, self.rate.last_epoch)
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

    What is computed depends on `batch` and `accumulate` and never on how many devices share the parts, up to rounding.
    Batch norm and whatever else looks at a batch sees one part.

    Parameters
    ----------
    batch : images of an optimiser step.
    accumulate : equal parts it is cut into; one is computed at a time, or one on each device (`work.devices`).

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
        if work.compile:
            torch._dynamo.reset()  # torch keeps few compilations of one function, and then goes on without
        self.work, self.seed, self.batch, self.accumulate = work, seed, batch, accumulate
        self.fabric = make_fabric(work)
        self.learners: dict[str, Learner] = {}

    @property
    def device(self) -> Any:
        """Where this process computes."""
        return self.fabric.device

    def near(self, *tensors: Tensor) -> Resident:
        """Tensors of the training set, one row an image, near the device: call it with the rows of a part."""
        on_gpu = self.device.type == "cuda"
        limit = min(RESIDENT_BYTES, half_of_free(str(self.device))) if on_gpu else RESIDENT_BYTES
        return Resident(*tensors, device=self.device, limit=limit)

    def autocast(self) -> AbstractContextManager[None]:
        """For a forward pass that does not go through a learner: the precision that learners compute in."""
        return autocast(str(self.device), self.work.precision)

    def snapshots(
        self, labels: Tensor, *, draw: Callable[[Tensor, int], Tensor], weights: Callable[[], Mapping[str, Tensor]]
    ) -> Snapshots:
        """Pictures of what is drawn while this phase trains, some of every class, for `run(after=...)`.

        Parameters
        ----------
        labels : of all training images.
        draw, weights : see `Snapshots`.
        """
        return Snapshots(
            self.work, n_images=len(labels), batch=self.batch, labels=first_of_each(labels), draw=draw,
            weights=weights, is_first=self.fabric.global_rank == 0,
        )  # fmt: skip

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
        ema_every: int = 1,
        strictly: bool = False,
    ) -> Learner:
        """Set a network up for training (only those of its parameters that want a gradient).

        Parameters
        ----------
        schedule : constant, or half a cosine down to zero over `n_steps`; both rise linearly over `warmup` steps (at
            most a tenth of the training). The rate depends on the step's number alone.
        ema, ema_every : decay of the moving average of the weights, and the steps between two of its looks at them
            (`Average`); None for no average.
        strictly : whether all that the network computes has a deterministic form on CUDA, so that its attention may
            take the fused kernels (`synthworth.devices.strict`).
        """
        place(net, str(self.device))
        if self.work.compile:
            net.compile(options=compile_options())
        make = {"adam": Adam, "adamw": AdamW}[optimiser]
        trained = [p for p in net.parameters() if p.requires_grad]
        algorithm = make(trained, lr=lr, betas=betas, weight_decay=weight_decay, fused=self.device.type != "mps")
        n_rise = max(1, min(warmup, n_steps // 10))
        rate = LambdaLR(algorithm, lambda t: rate_at(t, n_steps, schedule=schedule, n_rise=n_rise, overlap=True))
        average = None if ema is None else Average(net, ema, every=ema_every, n_steps=n_steps)
        self.learners[name] = Learner(
            self.fabric, net, algorithm, rate, precision=self.work.precision, clip=clip, average=average,
            strictly=strictly,
        )  # fmt: skip
        return self.learners[name]

    def parts(self, order: Callable[[int], Tensor], t: int) -> list[Part]:
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
        order = Near(BatchOrder(n_images, self.batch, seed=seed_from(self.seed, phase, "order")), device=self.device)

        def flops() -> int:
            return count_aside(lambda: step(self.parts(order, 0)), self.learners, seed=self.seed)

        return run_steps(
            phase, lambda t: step(self.parts(order, t)), n_steps=n_steps, parts=self.learners, seed=self.seed,
            work=self.work, seconds=seconds, images_per_step=self.batch, fabric=self.fabric, after=after,
            flops=flops if self.work.compile else None,
        )  # fmt: skip


def report_phases(phases: Sequence[PhaseReport], batches: Sequence[int], *, facts: Mapping[str, Any]) -> FitReport:
    """One `FitReport` of a fit in phases, each with its batch; rows of several phases carry `stage` 1, 2, ..."""
    reports = [report_of(phase, batch=batch, facts=facts) for phase, batch in zip(phases, batches, strict=True)]
    return reports[0] if len(reports) == 1 else join_reports(reports, label="stage", first=1, facts=facts)
