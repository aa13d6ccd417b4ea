"""Where the loss curve of a fit is shown beside the progress bar: TensorBoard, MLflow or Weights & Biases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.request.loggers import LoggerName, check_logger
from synthworth.work import ignore_scalars


def make_log(name: LoggerName, *, folder: Path, run: str) -> Callable[..., None]:
    """`log(step, **scalars)` into a Lightning logger below `folder`.

    With "none" it does nothing: the curve is kept beside the fitted generator (`history.csv`) all the same. mlflow and
    wandb take their server, project and mode from their own environment variables.

    Parameters
    ----------
    run : names the curve.
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
