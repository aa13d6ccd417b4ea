"""How a classifier is trained: a fixed number of optimiser steps on one mixture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from classifiers.balance import BalancedOrder, PhasedOrder, blend_batch, class_weights, soft_targets
from classifiers.logits import row_losses, to_probabilities
from classifiers.selection import Best, evaluation_steps, macro_auroc
from data.augment import find_augmentation
from synthworth.devices import autocast
from synthworth.images import to_unit
from synthworth.keys import seed_from
from synthworth.training.loop import PhaseReport, run_steps
from synthworth.training.near import Resident, half_of_free, hold
from synthworth.training.networks import evaluating, place
from synthworth.training.order import BatchOrder
from synthworth.training.rates import Schedule, rate_at

if TYPE_CHECKING:
    from classifiers.config import Config
    from data.images import ImageSet
    from data.mixing import TrainingMix
    from synthworth.work import Work

PHASE = "classifier"
EVALUATION_BATCH = 128


@dataclass(frozen=True)
class Eye:
    """How a network sees images: normalisation, device and precision, the same in training and prediction.

    Parameters
    ----------
    mean, std : of the intensity 0..1, one value a channel.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    device: str
    precision: str

    def normalise(self, images: Tensor) -> Tensor:  # float (N, C, H, W), 0..1 -> standardised, channels last
        """Subtract the mean and divide by the standard deviation."""
        mean = torch.tensor(self.mean, device=images.device).view(-1, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(-1, 1, 1)
        return images.sub(mean).div_(std).contiguous(memory_format=torch.channels_last)

    def logits(self, model: nn.Module, images: Tensor) -> Tensor:  # float (N, C, H, W) -> float32 (N, K)
        """Forward pass of images 0..1. The head always runs in float32: bfloat16 logits would tie scores."""
        with autocast(self.device, self.precision):
            features = model.forward_features(self.normalise(images))  # type: ignore[operator]
        logits: Tensor = model.forward_head(features.float())  # type: ignore[operator]
        return logits

    def look(self, model: nn.Module, images: Tensor) -> Tensor:  # uint8 (N, C, H, W) -> float32 (N, K)
        """Logits in evaluation mode, batch by batch."""
        with evaluating(model):
            batches = images.split(EVALUATION_BATCH)
            parts = [self.logits(model, to_unit(batch.to(self.device))) for batch in batches]
        # a clone made outside inference mode is an ordinary tensor again
        return torch.cat(parts).clone()


def learning_rate(t: int, n_steps: int, *, peak: float, schedule: Schedule) -> float:
    """Rate of step t (from 0) by the step budget alone: `one_cycle` rises over the first 30 %, any other over 5 %."""
    share = 0.3 if schedule == "one_cycle" else 0.05
    return rate_at(t, n_steps, schedule=schedule, n_rise=max(1, round(share * n_steps)), peak=peak)


def make_optimiser(model: nn.Module, config: Config, device: str) -> torch.optim.AdamW:
    """AdamW (Loshchilov 2019) with no decay on biases and norms; fused where torch has a fused kernel."""
    from timm.optim import param_groups_weight_decay

    groups = param_groups_weight_decay(model, config.weight_decay)
    fused = device.partition(":")[0] in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=fused)


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
        """Take back what `state_dict` gave."""
        self.finished = bool(state["finished"])
        self.best.load_state_dict(state["best"])
        if not self.finished:
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])


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


def train(
    model: nn.Module, eye: Eye, mix: TrainingMix, val: ImageSet, *, config: Config, seed: int, work: Work
) -> tuple[PhaseReport, Best]:
    """Train `model` for `work.budget.steps` steps and leave the best weights (by val) in it.

    Batch order and augmentation depend on `seed` and the step's number alone. Val is looked at inside the
    steps that `evaluation_steps` names, so a resumed training looks after the same ones.
    """
    device, n_steps = work.device, work.budget.steps
    place(model, device).train()
    course = Course(model, make_optimiser(model, config, device))
    source = Resident(mix.images, mix.labels, device=device, limit=half_of_free(device))
    (val_images,), truth = hold(val.images, device=device, limit=half_of_free(device)), val.labels
    order = make_order(mix, config, n_steps=n_steps, seed=seed_from(seed, "order"))
    weights = class_weights(mix.labels).to(device) if config.class_weights else None
    augment = find_augmentation(config.augment)
    looks = frozenset(evaluation_steps(n_steps, config.n_evaluations))

    def evaluate(step: int) -> None:
        logits = eye.look(model, val_images).cpu()
        auroc = macro_auroc(to_probabilities(logits, multilabel=val.multilabel), truth.numpy())
        course.best.offer(model, step=step, auroc=auroc, loss=float(row_losses(logits, truth)))

    def step(t: int) -> dict[str, Tensor]:
        images, targets = source(order(t))
        batch = augment(to_unit(images))
        if config.blend != "none":
            targets = soft_targets(targets, len(mix.classes))
            batch, targets = blend_batch(batch, targets, how=config.blend, alpha=config.blend_alpha)
        logits = eye.logits(model, batch)
        loss = row_losses(logits, targets, smoothing=config.label_smoothing, weights=weights, multilabel=mix.multilabel)
        course.optimiser.zero_grad()
        loss.backward()
        for group in course.optimiser.param_groups:
            group["lr"] = learning_rate(t, n_steps, peak=config.learning_rate, schedule=config.schedule)
        course.optimiser.step()
        rate = torch.tensor(course.optimiser.param_groups[0]["lr"], dtype=torch.float64)
        scalars = {"loss": loss.detach(), "learning_rate": rate}
        if t + 1 in looks:
            evaluate(t + 1)
            scalars["val_auroc"] = torch.tensor(course.best.scores[-1]["auroc"])
        course.finished = t + 1 == n_steps
        return scalars

    report = run_steps(
        PHASE,
        step,
        n_steps=n_steps,
        parts={"course": course},
        seed=seed,
        work=work,
        seconds=work.budget.seconds,
        images_per_step=config.batch_size,
    )
    if report.stopped == "seconds":
        evaluate(report.steps)
    model.load_state_dict(course.best.weights)
    return report, course.best
