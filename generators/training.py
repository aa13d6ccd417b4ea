"""How every generator is trained: learners, batches cut into parts that devices share, snapshots."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Adam, AdamW, Optimizer

from generators.copy_stop import CopyStop
from generators.options import BatchConfig
from generators.snapshots import Snapshots, first_of_each
from synthworth.devices import autocast, strict
from synthworth.errors import UserError
from synthworth.keys import seed_from
from synthworth.training.average import Average
from synthworth.training.captured import Captured, Lane, Recorder
from synthworth.training.compiling import compile_options
from synthworth.training.fabric import make_fabric
from synthworth.training.flops import count_aside
from synthworth.training.loop import PhaseReport, run_steps
from synthworth.training.near import RESIDENT_BYTES, Resident, half_of_free
from synthworth.training.networks import place
from synthworth.training.optimisers import put_back, recordable, set_rate
from synthworth.training.order import BatchOrder, Near
from synthworth.training.rates import rate_at
from synthworth.work import COPYING, Work

Losses = Mapping[str, Tensor]
R = TypeVar("R")
Schedule = Literal["constant", "cosine"]
"""How a learning rate goes on after its rise."""


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


@dataclass(frozen=True)
class Objective:
    """A loss in two halves, of which the second can be recorded (`synthworth.training.captured`).

    Parameters
    ----------
    draw : tensors for a part, of the same shapes in every step. All that is random, or on the host, is in here.
    of : the losses of those tensors.
    """

    draw: Callable[[Part], tuple[Tensor, ...]]
    of: Callable[..., Losses]

    def __call__(self, part: Part) -> Losses:
        """Both."""
        return self.of(*self.draw(part))


class Learner:
    """A network that one optimiser trains: its rate, the bound on its gradient, its moving average.

    Call it for a forward pass in training: Fabric sees to precision and to gradients shared between processes.

    Parameters
    ----------
    rate : the learning rate of a step, from 0.

    Attributes
    ----------
    net : the network itself.
    average : the moving average of its weights, or None.
    taken : steps so far.
    recorder : records the steps of an `Objective`, where they may be recorded.
    """

    def __init__(
        self,
        fabric: Any,
        net: nn.Module,
        optimiser: Optimizer,
        rate: Callable[[int], float],
        *,
        precision: str,
        clip: float | None,
        average: Average | None,
        strictly: bool,
    ) -> None:
        self.fabric, self.net, self.rate, self.precision, self.clip = fabric, net, rate, precision, clip
        self.average, self.strictly = average, strictly
        self.raw_optimiser, self.taken = optimiser, 0
        self.wrapped, self.optimiser = fabric.setup(net, optimiser)
        self.recorder: Recorder | None = None
        self._recorded: Captured | None = None

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

        That of a single part by an `Objective` is recorded and replayed where there is a `recorder`: to the same bits.

        Parameters
        ----------
        loss : returns 0-d tensors, "loss" among them, which is differentiated. Torch is seeded with the part's
            seed before each call, so what is drawn depends on the part alone, wherever it is computed.

        Returns
        -------
        The means over all parts, detached.
        """
        set_rate(self.raw_optimiser, self.rate(self.taken))
        if self.recorder is not None and isinstance(loss, Objective) and len(parts) == 1:
            sums = self._replayed(parts[0], loss, self.recorder)
        else:
            sums = self._stepped(len(parts), (partial(self._seeded, part, loss) for part in parts))
        self.taken += 1
        if self.average is not None:
            self.average.follow(self.net, self.taken)
        if self.fabric.world_size > 1:
            together = self.fabric.all_reduce(torch.stack(list(sums.values())), reduce_op="mean")
            sums = dict(zip(sums, together, strict=True))
        return sums

    @staticmethod
    def _seeded(part: Part, what: Callable[[Part], R]) -> R:
        torch.manual_seed(part.seed)
        return what(part)

    def _replayed(self, part: Part, loss: Objective, record: Recorder) -> dict[str, Tensor]:
        """As `_stepped`, recorded at the first call."""
        if self._recorded is None:
            body = lambda *drawn: self._stepped(1, [lambda: loss.of(*drawn)])  # noqa: E731
            self._recorded = Captured(body, model=self.net, optimiser=self.raw_optimiser, record=record)
        return dict(self._recorded(*self._seeded(part, loss.draw)))

    def _stepped(self, n: int, losses: Iterable[Callable[[], Losses]]) -> dict[str, Tensor]:
        """Forward, backward and the optimiser's step on the mean of `n` losses."""
        self.optimiser.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        for k, loss in enumerate(losses):
            with (
                self.fabric.no_backward_sync(self.wrapped, enabled=k + 1 < n),
                strict(str(self.fabric.device), enabled=self.strictly),
            ):
                scalars = loss()
                self.fabric.backward(scalars["loss"] / n)
            for name, value in scalars.items():
                sums[name] = sums.get(name, 0) + value.detach().float() / n
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self.optimiser.step()
        return sums

    def forget_recorded(self) -> None:
        """Give back what a recorded step holds on the device."""
        self._recorded = None
        self.raw_optimiser.zero_grad(set_to_none=True)

    def exported(self) -> nn.Module:
        """The network that is drawn with: the moving average where one is kept."""
        return self.average.module if self.average is not None else self.net

    def close(self) -> None:
        """Bring the average to the weights of now: no step follows."""
        if self.average is not None:
            self.average.close(self.net, self.taken)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs."""
        kept = {"net": self.net, "optimiser": self.raw_optimiser, "average": self.average}
        state = {name: part.state_dict() for name, part in kept.items() if part is not None}
        return state | {"rate": {"last_epoch": self.taken}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.net.load_state_dict(state["net"])
        put_back(self.raw_optimiser, state["optimiser"])
        self.taken = int(state["rate"]["last_epoch"])
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

    def copy_stop(
        self, options: BatchConfig, labels: Tensor, *, n_steps: int, draw: Callable[[Tensor, int], Tensor],
        exported: Callable[[], nn.Module],
    ) -> CopyStop:  # fmt: skip
        """What ends this phase before that copies which is drawn, where the options ask for it: for `run(stop=...)`.

        Parameters
        ----------
        options, labels, draw, exported : see `CopyStop`.
        """
        return CopyStop(
            options, self.work, labels=labels, n_steps=n_steps, seed=self.seed, draw=draw, exported=exported,
            fabric=self.fabric,
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
        schedule: Schedule = "cosine",
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
            take the fused kernels (`synthworth.devices.strict`), and draws nothing at random, so that its steps by an
            `Objective` may be recorded.
        """
        place(net, str(self.device))
        if self.work.compile:
            net.compile(options=compile_options(channels_last=self.device.type == "cuda"))
        make = {"adam": Adam, "adamw": AdamW}[optimiser]
        trained = [p for p in net.parameters() if p.requires_grad]
        how: dict[str, Any] = {"lr": lr, "fused": self.device.type != "mps"}
        if strictly and self.device.type == "cuda":
            how = recordable(lr, str(self.device))
        algorithm = make(trained, betas=betas, weight_decay=weight_decay, **how)
        n_rise = max(1, min(warmup, n_steps // 10))

        def rate(t: int) -> float:
            return lr * rate_at(t, n_steps, schedule=schedule, n_rise=n_rise, overlap=True)

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
        stop: CopyStop | None = None,
    ) -> PhaseReport:
        """Call `step(parts)` n_steps times, resuming where a checkpoint is; see `run_steps`.

        Where `stop` ended it the exported network then has the weights that it kept.
        """
        order = Near(BatchOrder(n_images, self.batch, seed=seed_from(self.seed, phase, "order")), device=self.device)

        lane = self.lane()
        recorder = None if lane is None else lane.record
        looks = stop if stop is not None and stop.asked else None
        parts = {**self.learners, **({} if looks is None else {COPYING: looks})}

        def flops() -> int:
            with self.recorded_by(None):
                return count_aside(lambda: step(self.parts(order, 0)), self.learners, seed=self.seed)

        with self.recorded_by(recorder):
            report = run_steps(
                phase, lambda t: step(self.parts(order, t)), n_steps=n_steps, parts=parts, seed=self.seed,
                work=self.work, seconds=seconds, images_per_step=self.batch, fabric=self.fabric, after=after,
                gate=looks, lane=lane or nullcontext, cut=lambda: [one.close() for one in self.learners.values()],
                flops=flops if self.work.compile or recorder else None,
            )  # fmt: skip
        if lane is not None:
            lane.join()
            for learner in self.learners.values():
                learner.forget_recorded()
        if looks is not None:
            looks.put_back()
        return report

    def lane(self) -> Lane | None:
        """Where steps are recorded; not off a GPU, nor in several processes, which wait for each other in a step."""
        may = self.device.type == "cuda" and self.work.capture and self.work.devices == 1
        return Lane(str(self.device)) if may else None

    @contextmanager
    def recorded_by(self, recorder: Recorder | None) -> Iterator[None]:
        """Inside the block the steps of learners that may be are recorded so; None takes them as they are."""
        able = [learner for learner in self.learners.values() if learner.strictly]
        before = [learner.recorder for learner in able]
        for learner in able:
            learner.recorder = recorder
        try:
            yield
        finally:
            for learner, was in zip(able, before, strict=True):
                learner.recorder = was
