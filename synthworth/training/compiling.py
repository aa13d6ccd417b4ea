"""Whether the networks of a fit are compiled before they are trained, and how."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any

from synthworth.work import Budget, Compile

PAYS_STEPS = 3000
"""Steps from which compiling pays on a GPU. A UNet of 29 M parameters took 76 s to compile on an H200 and went from
6.8 to 12.6 steps/s: even after 1,120 steps. A small network takes 20 to 30 s and has less to gain: twice that."""
PAYS_STEPS_OF_MANY = 1000
"""The same of a classifier, which a run trains dozens of times and compiles once: a DenseNet-121 takes two minutes and
then trains 1.8 times as fast."""
PAYS_SECONDS = 300.0
"""The same of a fit that a limit in seconds may end: that UNet is even after 165 s."""

logger = logging.getLogger(__name__)


def decide(asked: Compile, *, device: str, budget: Budget, pays: int = PAYS_STEPS) -> bool:
    """Whether to compile. `auto` compiles on CUDA where the fit's budget is long enough to pay for it.

    It looks at the whole budget of the fit and at nothing that is measured or left over, so that a fit that was killed
    goes on as it began. On a CPU `auto` is no: convolutions, which compiling leaves alone, are nearly all of a step.

    What compiling needs and is not there is said in a line, and the fit goes on without.

    Parameters
    ----------
    device : "cpu", "cuda", "cuda:1", ...
    budget : of the whole fit.
    pays : steps from which `auto` compiles.
    """
    if asked == "no" or (asked == "auto" and not (device.startswith("cuda") and _pays(budget, pays))):
        return False
    if missing := _missing(device):
        logger.warning(
            "networks are not compiled: %s is not there, and torch.compile needs it; steps are slower", missing
        )
        return False
    return True


def _pays(budget: Budget, steps: int) -> bool:
    return budget.steps >= steps and (budget.seconds is None or budget.seconds >= PAYS_SECONDS)


def _missing(device: str) -> str | None:
    """The first thing that torch.compile needs on this device and that this machine lacks, in words, or None."""
    cuda = device.startswith("cuda")
    named = os.environ.get("CC" if cuda else "CXX", "")
    compilers = named.split()[:1] if named else ["gcc", "clang"] if cuda else ["g++", "clang++"]
    if cuda and importlib.util.find_spec("triton") is None:
        return "the package triton"
    if not any(shutil.which(name) for name in compilers):
        return f"a {'C' if cuda else 'C++'} compiler ({' or '.join(compilers)})"
    if cuda and not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "Python.h (python3-dev)"
    return None


def compile_options(*, channels_last: bool = False) -> dict[str, Any]:
    """Options of `torch.compile`: the same noise as without, and no choice of a kernel by its time where torch can.

    Parameters
    ----------
    channels_last : whether convolutions get their inputs in that format even where torch's own rule is not to. One
        convolution with more channels in than out (the last of a UNet) is enough for that rule, and then every
        convolution of an NVIDIA GPU, which computes in channels_last, copies what it is given into it.
    """
    import torch._inductor.config as inductor

    options = {"fallback_random": True, "force_layout_optimization": channels_last}
    return options | ({"deterministic": True} if hasattr(inductor, "deterministic") else {})
