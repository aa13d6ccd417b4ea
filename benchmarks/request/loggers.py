"""The trackers that records and curves may be sent to: their names and what each needs."""

from __future__ import annotations

import importlib.util
from typing import Literal

from synthworth.errors import UserError

LoggerName = Literal["none", "tensorboard", "mlflow", "wandb"]
NEEDS = {
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow",),
    "wandb": ("wandb",),
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
