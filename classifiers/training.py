"""How a classifier is trained: a fixed number of optimiser steps on one mixture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from classifiers.balance import BalancedOrder, PhasedOrder, blend_batch, class_weights, soft_targets
from classifiers.logits import row_losses, to_probabilities
from classifiers.selection import Best, evaluation_steps, macro_auroc
from data.augment import Jitter, find_augmentation
from synthworth.devices import float32_products, isolated_randomness
from synthworth.errors import Diverged
from synthworth.images import to_unit
from synthworth.keys import seed_from
from synthworth.training.captured import Captured, Lane, Recorder
from synthworth.training.compiling import compile_options
from synthworth.training.loop import Phase, PhaseReport
from synthworth.training.near import Resident, half_of_free, hold
from synthworth.training.networks import place
from synthworth.training.optimisers import put_back, recordable, set_rate
from synthworth.training.order import BatchOrder, Near
from synthworth.training.rates import Schedule, rate_at

if TYPE_CHECKING:
    from classifiers.config import Config
    from classifiers.eye import Eye
    from data.images import ImageSet
    from data.mixing import TrainingMix
    from synthworth.work import Work

PHASE = "classifier"
VAL_AUROC = f"{PHASE}/val_auroc"
"""In the log of a training: the macro AUROC of a look at val."""


def learning_rate(t: int, n_steps: int, *, peak: float, schedule: Schedule) -> float:
    """Rate of step t (from 0) by the step budget alone: `one_cycle` rises over the first 30 %, any other over 5 %."""
    share = 0.3 if schedule == "one_cycle" else 0.05
    return rate_at(t, n_steps, schedule=schedule, n_rise=max(1, round(share * n_steps)), peak=peak)


def make_optimiser(model: nn.Module, config: Config, device: str) -> torch.optim.AdamW:
    """AdamW (Loshchilov 2019) with no decay on biases and norms; fused where torch has a fused kernel.

    On a GPU the learning rate is a tensor there, so that a step can be recorded (`set_rate`).
    """
    from timm.optim import param_groups_weight_decay

    groups = param_groups_weight_decay(model, config.weight_decay)
    kind = device.partition(":")[0]
    if kind != "cuda":
        return torch.optim.AdamW(groups, lr=config.learning_rate, fused=kind == "cpu")
    return torch.optim.AdamW(groups, **recordable(config.learning_rate, device))


class Course:
    """Everything that changes in a training: network, optimiser, best weights.

    Once the last step is done only the best weights are kept: a quarter of the size.
    """

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        self.model, self.optimiser, self.best = model, optimiser, Best()
        self.finished = False

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""
        state: dict[str, Any] = {"finished": self.finished, "best": self.best.state_dict()}
        if not self.finished:
            state |= {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave; the optimiser keeps its own options, which follow the device."""
        self.finished = bool(state["finished"])
        self.best.load_state_dict(state["best"])
        if not self.finished:
            self.model.load_state_dict(state["model"])
            put_back(self.optimiser, state["optimiser"])


def make_order(mix: TrainingMix, config: Config, *, n_steps: int, seed: int) -> Callable[[int], Tensor]:
    """Which rows a step looks at, by the options.

    All in seeded permutations, or drawn so that classes come out equally often, or the synthetic ones first and the
    real ones then.
    """
    if mix.pretraining:
        real = torch.from_numpy(mix.is_real)
        turn = round(mix.pretraining * n_steps)
        rows = (~real).nonzero().flatten(), real.nonzero().flatten()
        return PhasedOrder(*rows, config.batch_size, turn=turn, seed=seed)
    if config.sampling == "balanced":
        return BalancedOrder(mix.labels, config.batch_size, seed=seed)
    return BatchOrder(len(mix), config.batch_size, seed=seed)


class Training:
    """The training of `model` for `work.budget.steps` steps, step by step: `phase` takes them, `finish` ends it.

    Batch order and augmentation depend on `seed` and the step's number alone. Val is looked at inside the steps that
    `evaluation_steps` names, so a resumed training looks after the same ones. On a GPU a step is recorded and replayed
    (`work.capture`), unless the network itself draws at random.

    Parameters
    ----------
    flops : gives the floating-point operations of a step, which are not seen in a recorded one.
    """

    def __init__(
        self, model: nn.Module, eye: Eye, mix: TrainingMix, val: ImageSet, *, config: Config, seed: int, work: Work,
        flops: Callable[[], int] | None = None,
    ) -> None:  # fmt: skip
        self.eye, self.mix, self.val, self.config = eye, mix, val, config
        self.device, self.n_steps, self.log = work.device, work.budget.steps, work.log
        place(model, self.device).train()
        self.course = Course(model, make_optimiser(model, config, self.device))
        limit = half_of_free(self.device)
        self.source = Resident(mix.images, mix.labels, device=self.device, limit=limit)
        (self.val_images,) = hold(val.images, device=self.device, limit=half_of_free(self.device))
        order = make_order(mix, config, n_steps=self.n_steps, seed=seed_from(seed, "order"))
        self.order = Near(order, device=self.source.tensors[0].device)
        self.weights = class_weights(mix.labels).to(self.device) if config.class_weights else None
        self.augment = find_augmentation(config.augment)
        self.looks = frozenset(evaluation_steps(self.n_steps, config.n_evaluations))
        self.features: Callable[[Tensor], Tensor] | None = None
        self.lane = Lane(self.device)
        self.learn: Callable[..., Mapping[str, Tensor]] = self._learn
        self.inputs: Callable[[int], tuple[Tensor, ...]] = self._batch
        if self.lane.stream is not None and work.capture and not config.dropout:
            self.learn = self.captured(self.lane.record, compile=work.compile)
        self.phase = Phase(
            PHASE,
            self.step,
            n_steps=self.n_steps,
            parts={"course": self.course},
            seed=seed,
            work=work,
            seconds=work.budget.seconds,
            images_per_step=config.batch_size,
            lane=self.lane,
            flops=flops if isinstance(self.learn, Captured) else None,
        )

    def captured(self, record: Recorder, *, compile: bool = False) -> Captured:
        """The part of a step that can be recorded, recorded so.

        Parameters
        ----------
        compile : whether what is recorded is compiled first. torch keeps few compilations of one function and then goes
            on without; what is recorded needs none any more, so they are forgotten for the next training.
        """
        course, body = self.course, self._learn
        if isinstance(self.augment, Jitter) and self.config.blend == "none" and self.source.is_near():
            body, self.inputs = self._learn_from_rows, self._drawn
        if compile:
            whole: Any = course.model.forward_features
            self.features = torch.compile(whole, dynamic=False, options=compile_options())

        def record_compiled(run: Callable[[], None]) -> Callable[[], None]:
            again = record(run)
            if compile:
                torch._dynamo.reset()
            return again

        return Captured(body, model=course.model, optimiser=course.optimiser, record=record_compiled)

    def prepare(self) -> None:
        """Take the memory that the training will need on a GPU, and record its step; nothing is drawn or learned."""
        self.phase.begin()
        if isinstance(self.learn, Captured) and self.phase.t < self.n_steps:
            with self.lane(), isolated_randomness(0), float32_products(self.eye.precision):
                self.learn.prepare(*self.inputs(self.phase.t))

    def _batch(self, t: int) -> tuple[Tensor, Tensor]:
        """Standardised images of step t and their targets, on the device."""
        config = self.config
        images, targets = self.source(self.order(t))
        batch = self.augment(to_unit(images))
        if config.blend != "none":
            targets = soft_targets(targets, len(self.mix.classes))
            batch, targets = blend_batch(batch, targets, how=config.blend, alpha=config.blend_alpha)
        return self.eye.normalise(batch), targets

    def _drawn(self, t: int) -> tuple[Tensor, ...]:
        """The rows of step t, and what its augmentation draws: all of a step that is not the same every time."""
        images = self.source.tensors[0]
        return self.order(t), *self.augment.draw((self.config.batch_size, *images.shape[1:]), self.device)  # type: ignore[union-attr]

    def _learn_from_rows(self, rows: Tensor, *drawn: Tensor) -> dict[str, Tensor]:
        """`_batch` and `_learn` in one, from what `_drawn` gave: the same bits, and one launch for all of it."""
        images, targets = (held.index_select(0, rows) for held in self.source.tensors)
        batch = self.augment.apply(to_unit(images), drawn)  # type: ignore[union-attr]
        return self._learn(self.eye.normalise(batch), targets)

    def step(self, t: int) -> dict[str, Tensor]:
        """Step t, from 0; what `Phase` asks for."""
        config, course = self.config, self.course
        rate = learning_rate(t, self.n_steps, peak=config.learning_rate, schedule=config.schedule)
        set_rate(course.optimiser, rate)
        loss = self.learn(*self.inputs(t))["loss"]
        scalars = {"loss": loss, "learning_rate": torch.tensor(rate, dtype=torch.float64)}
        if t + 1 in self.looks:
            self._evaluate(t + 1)
            scalars["val_auroc"] = torch.tensor(course.best.scores[-1]["auroc"])
        course.finished = t + 1 == self.n_steps
        return scalars

    def _learn(self, standardised: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Forward, backward, and the optimiser's step."""
        course, config = self.course, self.config
        logits = self.eye.logits(course.model, standardised, features=self.features)
        loss = row_losses(
            logits, targets, smoothing=config.label_smoothing, weights=self.weights, multilabel=self.mix.multilabel
        )
        course.optimiser.zero_grad()
        loss.backward()
        course.optimiser.step()
        return {"loss": loss.detach()}

    def _evaluate(self, step: int) -> None:
        """Look at val after `step` steps; raises Diverged where the network's answers are not finite.

        The loss of that step may be finite still, and on a GPU nobody has read it yet.
        """
        course, truth = self.course, self.val.labels
        logits = self.eye.look(course.model, self.val_images).cpu()
        if not logits.isfinite().all():
            raise Diverged(f"{PHASE}: logits of val are not finite after step {step} of {self.n_steps}")
        auroc = macro_auroc(to_probabilities(logits, multilabel=self.val.multilabel), truth.numpy())
        course.best.offer(course.model, step=step, auroc=auroc, loss=float(row_losses(logits, truth)))
        self.log(step, **{VAL_AUROC: auroc})

    def finish(self, report: PhaseReport) -> Best:
        """Leave the best weights in the model, and give back the memory of a GPU."""
        course = self.course
        with self.lane():
            if report.stopped == "seconds":
                self._evaluate(report.steps)
            course.model.load_state_dict(course.best.weights)
        self.lane.join()
        self.learn = self._learn
        course.optimiser.zero_grad(set_to_none=True)
        return course.best
