"""How many steps the fit of a trial takes, so that it computes as much as the fit that was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from generators.registry import generators
from synthworth.cost import Operations, ask_operations
from synthworth.errors import UserError

if TYPE_CHECKING:
    from data.images import ImageSet

ROUNDS = 4
"""How often the number of steps is corrected: phases are whole steps, so the first guess may be one or two off."""


@dataclass(frozen=True)
class Held:
    """What every fit of a study computes.

    Parameters
    ----------
    generator : its name.
    shape : of the training images, as `ask_operations` takes it.
    operations : of the fit that was asked for, by the plan of its generator.
    """

    generator: str
    shape: Mapping[str, Any]
    operations: float

    @classmethod
    def to(cls, generator: str, config: Any, train: ImageSet, *, n_steps: int) -> Held:
        """Hold every fit to what this one computes.

        Raises
        ------
        UserError
            Where the generator does not know what it computes.
        """
        shape = shape_of(train)
        return cls(generator, shape, planned(generator, config, shape, n_steps=n_steps))

    def steps(self, config: Any, *, n_steps: int) -> int:
        """Steps in which a fit with this Config computes as much, to the nearest step.

        Parameters
        ----------
        n_steps : of the fit that was asked for; a Config whose steps cost the same gets as many.

        Raises
        ------
        UserError
            Where what it computes is not known, or half a step of it is already more.
        """
        found = n_steps
        for _ in range(ROUNDS):
            better = round(found * self.operations / planned(self.generator, config, self.shape, n_steps=found))
            if better < 1:
                raise UserError(
                    f"--equal-operations: a step of {self.generator} with these options computes more than the "
                    f"{n_steps:,} steps that were asked for; raise --fit.steps"
                )
            if better == found:
                break
            found = better

        def away(n: int) -> float:
            return abs(planned(self.generator, config, self.shape, n_steps=n) - self.operations)

        # stages round their shares, so that of few steps a neighbour may be nearer
        return min((found, *range(max(2, found - 2), found + 3)), key=away)


def shape_of(train: ImageSet) -> dict[str, Any]:
    """Of training images, as `ask_operations` takes it."""
    return {"channels": train.channels, "size": train.size, "n_classes": train.n_classes,
            "multilabel": train.multilabel}  # fmt: skip


def planned(generator: str, config: Any, shape: Mapping[str, Any], *, n_steps: int) -> float:
    """Floating-point operations of a fit, by the plan of its generator.

    Raises
    ------
    UserError
        Where they are not known, or none.
    """
    known = ask_operations(generators.get(generator)(config), **shape, n_steps=n_steps)
    if isinstance(known, str):
        raise UserError(f"--equal-operations: what {generator} computes is {known}. Leave it out")
    if not (total := of_fit(known)):
        raise UserError(f"--equal-operations: a fit of {generator} computes nothing; leave it out")
    return total


def of_fit(known: Operations) -> float:
    """Floating-point operations of all phases of a fit."""
    return float(sum(phase.steps * phase.batch * phase.flops for phase in known.phases))
