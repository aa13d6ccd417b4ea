"""When a training stops because what it draws copies training images, and which weights are then kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from generators.options import BatchConfig
from synthworth.devices import generator, isolated_randomness
from synthworth.errors import Diverged, UserError
from synthworth.keys import seed_from
from synthworth.work import COPIES, COPYING, Work

if TYPE_CHECKING:
    from torch import Tensor, nn

FLAG = "--gen.stop-at-copy-rate"


def require_judge(options: BatchConfig, work: Work) -> None:
    """Refuse to look for copies where nobody is there to tell what one is.

    Raises
    ------
    UserError
        When `Work.copy_judge` is None and looks are asked for.
    """
    if options.stop_at_copy_rate and work.copy_judge is None:
        raise UserError(
            f"{FLAG} {options.stop_at_copy_rate:g} was asked for, and nobody is there to tell what a copy is: "
            "benchmarks.run has such a judge; give another fit one in Work.copy_judge"
        )


class CopyStop:
    """Looks at what a generator draws while it learns, and ends its training once that copies: `Trainer.run(stop=...)`.

    At a look `copy_images` images are drawn with the weights that would be exported at that moment; their labels are
    drawn from those of the training images. Labels and noise are the same at every look, so that looks compare. Where
    the share of near-copies is above `stop_at_copy_rate` the training ends, and `put_back` gives the exported network
    the weights of the last look at or below it. The share itself is held against the bound, not an end of its interval:
    with few val images the lower end is 0 for a generator that copies one image in ten, and the upper end would stop
    one that copies none.

    A training that no look ends is the same to the bit as one without looks. What was seen and the weights that would
    be kept are a part of the checkpoint, so that a resumed training ends as an uninterrupted one.

    Parameters
    ----------
    options : `stop_at_copy_rate`, `copy_looks` and `copy_images` of them; without the first nothing is ever done.
    labels : of all training images.
    draw : `draw(labels, seed)` gives uint8 (N, C, H, W) with the weights of this moment.
    exported : the network that is drawn with; the same object at every call.
    fabric : of the processes that share the training. The first one looks, and tells the others.

    Raises
    ------
    UserError
        As `require_judge`.
    """

    def __init__(
        self,
        options: BatchConfig,
        work: Work,
        *,
        labels: Tensor,
        n_steps: int,
        seed: int,
        draw: Callable[[Tensor, int], Tensor],
        exported: Callable[[], nn.Module],
        fabric: Any,
    ) -> None:
        self.bound, self.n_steps = options.stop_at_copy_rate, n_steps
        self.draw, self.exported, self.fabric, self.judge = draw, exported, fabric, work.copy_judge
        self.seed = seed_from(seed, "copy looks")
        self.looks: list[dict[str, Any]] = []
        self.kept: dict[str, Tensor] = {}
        self.spent = 0.0
        if not self.asked:
            return
        require_judge(options, work)
        import torch

        looks = min(options.copy_looks, n_steps)
        self.due = {-(-k * n_steps // looks) for k in range(1, looks + 1)}
        rows = torch.randint(len(labels), (options.copy_images,), generator=generator(self.seed))
        self.labels = labels[rows]

    @property
    def asked(self) -> bool:
        """Whether there are looks at all."""
        return self.bound > 0

    @property
    def ended(self) -> bool:
        """Whether the latest look ended the training."""
        return bool(self.looks) and self.looks[-1]["rate"] > self.bound

    def __call__(self, step: int, last: bool) -> str | None:
        """Look, if it is time: `COPIES` where the training ends after `step` steps, else None.

        Raises
        ------
        Diverged
            When the first look already is above the bound: no weights are known that do not copy.
        """
        if not self.asked or step == 0:
            return None
        if (last or step in self.due) and (not self.looks or self.looks[-1]["step"] < step):
            self._look(step)
        return COPIES if self.ended else None

    def _look(self, step: int) -> None:
        began = time.perf_counter()
        seen: dict[str, Any] = {}
        if self.fabric.global_rank == 0:
            assert self.judge is not None
            with isolated_randomness(self.seed):
                seen = {"step": step, **asdict(self.judge(self.draw(self.labels, self.seed)))}
        if self.fabric.world_size > 1:
            seen = self.fabric.broadcast(seen)
        self.looks.append(seen)
        if not self.ended:
            self.kept = {
                name: held.detach().to("cpu", copy=True) for name, held in self.exported().state_dict().items()
            }
        elif not self.kept:
            raise Diverged(
                f"{FLAG} {self.bound:g} was asked for: of the {len(self.labels)} images drawn at the first look, after "
                f"step {step} of {self.n_steps}, {seen['rate']:.3f} are near-copies, so no weights are known that copy "
                "less. Look earlier (more --gen.copy-looks, or fewer --fit.steps), or allow more"
            )
        self.spent += time.perf_counter() - began

    def put_back(self) -> None:
        """Give the exported network the weights of the last look that was not above the bound, where one was."""
        if self.ended:
            self.exported().load_state_dict(self.kept)

    def facts(self) -> dict[str, Any]:
        """What stands in the report: empty without looks, else `COPYING` with these.

        bound, chance : what was asked for, and the share of fresh real images that are near-copies by chance.
        n_images, n_steps : images of a look; steps that were asked for.
        looks : step, rate, low and high of each (95 %).
        kept : step whose weights are kept.
        stopped : step at which the training ended; None where it was not ended by a look.
        seconds : wall time of the looks, which is part of the fit's.
        """
        if not self.asked:
            return {}
        assert self.judge is not None
        good = [look["step"] for look in self.looks if look["rate"] <= self.bound]
        return {
            COPYING: {
                "bound": self.bound, "chance": self.judge.chance, "n_images": len(self.labels),
                "n_steps": self.n_steps, "looks": self.looks, "kept": good[-1],
                "stopped": self.looks[-1]["step"] if self.ended else None, "seconds": round(self.spent, 3),
            }
        }  # fmt: skip

    def state_dict(self) -> dict[str, Any]:
        """What was seen, and the weights that would be kept."""
        return {"looks": self.looks, "kept": self.kept, "spent": self.spent}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.looks, self.spent = list(state["looks"]), float(state["spent"])
        self.kept = {name: held.cpu() for name, held in state["kept"].items()}
