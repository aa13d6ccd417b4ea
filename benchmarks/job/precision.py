"""In which arithmetic the generator and the classifier of a request are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.request.options import Request
from classifiers.registry import classifiers
from generators.bfloat16 import faster_in_bf16
from generators.registry import generators
from synthworth.devices import bf16_unit
from synthworth.errors import UserError


@dataclass(frozen=True)
class Precisions:
    """Arithmetic of training: `fp32`, `tf32` or `bf16`; both are part of a run's identity."""

    classifier: str
    generator: str
    certain: bool = True
    """False where the size of the images might change it, which is not known yet."""

    def said(self) -> str:
        """In words, for the head of a run."""
        if not self.certain:
            return "decided once the dataset is prepared"
        if self.classifier == self.generator:
            return self.classifier
        return f"classifier {self.classifier}, generator {self.generator}"


def resolve_precisions(request: Request, device: str, *, channels: int | None, size: int | None) -> Precisions:
    """What `--precision` means for each of the two.

    A precision that is named is that of both. `auto` asks of each network by itself whether bf16 is faster for what it
    is, on what multiplies bf16 in this machine: a plugin says so (its optional `faster_in_bf16`), and a table for the
    built-in generators; everything else is fp32. On a GPU that multiplies bf16 everything is bf16. Nothing is timed:
    the same request on the same kind of processor has the same identity.

    Parameters
    ----------
    channels, size : of the images, as the prepared dataset or its `foretold` says; None where neither does yet.

    Raises
    ------
    UserError
        For a plugin that fails when it is asked, or answers neither True nor False.
    """
    if request.precisions is not None:
        classifier, generator = request.precisions
        return Precisions(classifier, generator or classifier)
    asked, unit = request.options.precision, bf16_unit(device)
    if asked != "auto":
        return Precisions(asked, asked)
    if unit in ("cuda", "none"):
        both = "bf16" if unit == "cuda" else "fp32"
        return Precisions(both, both)
    o = request.options
    known = {"unit": unit, "channels": channels, "size": size}

    def of(plugin: Any, config: Any, *, otherwise: bool) -> str:
        return "bf16" if _answer(plugin, config, known, otherwise=otherwise) else "fp32"

    return Precisions(
        classifier=of(classifiers.get(o.classifier), request.clf, otherwise=False),
        generator=of(generators.get(o.generator), request.gen, otherwise=faster_in_bf16(o.generator, unit=unit)),
        certain=None not in (channels, size),
    )


def _answer(plugin: Any, config: Any, known: dict[str, Any], *, otherwise: bool) -> bool:
    """What a plugin says of itself; precision is identity, so what is no answer is not guessed at."""
    if not hasattr(plugin, "faster_in_bf16"):
        return otherwise
    try:
        faster = plugin.faster_in_bf16(config, **known)
    except UserError:
        raise
    except Exception as error:  # a stranger's may be any
        wrong = f"failed ({type(error).__name__}: {error})"
    else:
        if isinstance(faster, bool | np.bool_):
            return bool(faster)
        wrong = f"answered {faster!r}, neither True nor False"
    raise UserError(
        f"--precision auto: {plugin.__name__}.faster_in_bf16, asked whether it trains faster in bf16, {wrong}. Mend it "
        "or name --precision fp32 or bf16"
    )
