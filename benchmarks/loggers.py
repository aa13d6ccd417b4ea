"""Where the loss curve of a fit is shown beside the progress bar: TensorBoard, MLflow or Weights & Biases."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from synthworth.errors import UserError
from synthworth.work import ignore_scalars

LoggerName = Literal["none", "tensorboard", "mlflow", "wandb"]
NEEDS = {
    "tensorboard": ("tensorboard",),
    "mlflow": ("pytorch_lightning", "mlflow"),
    "wandb": ("pytorch_lightning", "wandb"),
}


def check_logger(name: LoggerName) -> None:
    """Refuse, before anything starts, a logger whose packages are not installed.

    Raises
    ------
    UserError
        With the command that installs them.
    """
    for package in NEEDS.get(name, ()):
        if importlib.util.find_spec(package) is None:
            raise UserError(f'--logger {name} needs the package {package}: pip install "synthworth[{name}]"')


def make_log(name: LoggerName, *, folder: Path, run: str) -> Callable[..., None]:
    """`log(step, **scalars)` into a Lightning logger below `folder`; `run` names the curve. With "none" it does
    nothing: the curve is kept beside the fitted generator (`history.csv`) all the same.

    mlflow and wandb take their server, project and mode from their own environment variables.
    """
    check_logger(name)
    if name == "none":
        return ignore_scalars
    logger = make_logger(name, folder, run)

    def log(step: int, **scalars: float) -> None:
        logger.log_metrics(scalars, step=step)

    return log


def make_logger(name: str, folder: Path, run: str) -> Any:
    """The Lightning logger of that name."""
    if name == "tensorboard":
        from lightning_fabric.loggers import TensorBoardLogger

        return TensorBoardLogger(root_dir=folder, name=run, version="")
    if name == "mlflow":
        from pytorch_lightning.loggers import MLFlowLogger

        return MLFlowLogger(experiment_name="synthworth", run_name=run, save_dir=str(folder / "mlruns"))
    from pytorch_lightning.loggers import WandbLogger

    return WandbLogger(name=run, save_dir=folder, project="synthworth", id=run, resume="allow")
