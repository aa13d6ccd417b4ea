"""Which noise the network of a published pipeline learned to take away, as its scheduler says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generators.diffusers_folder import SAVE_WHOLE, read_settings
from synthworth.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Noised = tuple["Tensor", "Tensor", "Tensor", "Tensor"]
"""Noisy latents, their times as the network is told them, the target, and who is told no prompt: bool (n,)."""
CONFIG = Path("scheduler") / "scheduler_config.json"


class Betas:
    """x_t = sqrt(a_t) x + sqrt(1 - a_t) e in steps of a schedule; the target is e (Ho 2020) or v (Salimans & Ho 2022).

    Parameters
    ----------
    betas : of the schedule.
    prediction : epsilon or v_prediction.
    """

    def __init__(self, betas: tuple[float, ...], prediction: str) -> None:
        from generators.diffusion import make_noising

        self.name = prediction
        self.noising = make_noising("linear", prediction, betas=betas)

    def __call__(self, clean: Tensor, *, drop: float) -> Noised:
        """Noise latents; all that is random comes from torch's global generator."""
        from generators.diffusion import noised

        return noised(self.noising, clean, drop=drop)


@dataclass(frozen=True)
class Flow:
    """Flow matching along a straight line (Lipman 2023, Liu 2023): x_s = (1 - s) x + s e, the target is e - x.

    s is the logistic function of a standard normal number (Esser 2024, section 3.1), moved towards noise as the
    scheduler moves it in drawing: s' = k s / (1 + (k - 1) s) (the same, equation 23). The network is told `n_steps` s'.

    Parameters
    ----------
    shift : k.
    n_steps : what s = 1 is told as.
    """

    shift: float = 1.0
    n_steps: int = 1000
    name: str = "flow"

    def __call__(self, clean: Tensor, *, drop: float) -> Noised:
        """Noise latents; all that is random comes from torch's global generator."""
        import torch

        n = len(clean)
        s = torch.randn(n, device=clean.device).sigmoid()
        s = self.shift * s / (1 + (self.shift - 1) * s)
        noise = torch.randn_like(clean)
        dropped = torch.rand(n, device=clean.device) < drop
        share = s.reshape(-1, *[1] * (clean.ndim - 1))
        return (1 - share) * clean + share * noise, s * self.n_steps, noise - clean, dropped


def read_noise(folder: Path, *, what: str) -> Betas | Flow:
    """The noise that the scheduler of a pipeline's folder describes.

    Raises
    ------
    UserError
        When it has none, or is of neither kind (EDM, say).
    """
    from generators.pretrained import read_process

    file = folder / CONFIG
    if not file.is_file():
        raise UserError(f"{what}: {folder} has no {CONFIG.as_posix()}. {SAVE_WHOLE}")
    settings = read_settings(file, what=what)
    flows = str(settings.get("_class_name", "")).startswith("FlowMatch")
    if not (flows or settings.get("use_flow_sigmas") or settings.get("prediction_type") == "flow_prediction"):
        betas, prediction = read_process(folder, what=what)
        assert betas is not None and prediction is not None  # there is a file
        return Betas(betas, prediction)
    shift, n_steps = settings.get("shift" if flows else "flow_shift") or 1.0, settings.get("num_train_timesteps", 1000)
    if settings.get("use_dynamic_shifting"):
        raise UserError(f"{what}: {file} moves its noise with the size of an image; only a fixed shift is known here")
    if not _is_above_zero(shift) or not _is_above_zero(n_steps):
        raise UserError(f"{what}: {file} says shift {shift!r} and {n_steps!r} steps; both are above 0. {SAVE_WHOLE}")
    return Flow(float(shift), int(n_steps))


def make_scheduler(folder: Path, *, what: str) -> Any:
    """The scheduler that a pipeline draws with.

    Raises
    ------
    UserError
        When diffusers has no such scheduler, or cannot make it.
    """
    import diffusers
    from diffusers.schedulers.scheduling_utils import SchedulerMixin

    settings = read_settings(folder / CONFIG, what=what)
    name = settings.get("_class_name")
    cls = getattr(diffusers, name, None) if isinstance(name, str) else None
    if not (isinstance(cls, type) and issubclass(cls, SchedulerMixin)):
        raise UserError(f"{what}: {folder / CONFIG} names {name!r}, which is no scheduler of diffusers. {SAVE_WHOLE}")
    try:
        return cls.from_config(settings)
    except (TypeError, ValueError, LookupError, NotImplementedError, ImportError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{what}: no {name} can be made as {folder / CONFIG} says ({reason}). {SAVE_WHOLE}") from error


def require_steps(scheduler: Any, n_steps: int) -> None:
    """Refuse a number of sampling steps that a scheduler cannot take.

    Raises
    ------
    UserError
        With the scheduler's reason.
    """
    try:
        scheduler.set_timesteps(n_steps)
    except (ValueError, LookupError, RuntimeError, ArithmeticError) as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            f"--gen.sampling-steps {n_steps}: {type(scheduler).__name__} cannot take so many ({reason})"
        ) from error


def _is_above_zero(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")
