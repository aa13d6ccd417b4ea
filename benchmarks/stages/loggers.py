"""Where the loss curve of a fit is shown while it trains, beside the progress bar: TensorBoard."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.request.loggers import LoggerName, check_logger
from synthworth.work import ignore_scalars

logger = logging.getLogger(__name__)
FLUSH_SECONDS = 10


@contextmanager
def live_log(name: LoggerName, *, folder: Path, run: str) -> Iterator[Callable[..., None]]:
    """`log(step, **scalars)` into an event file below `folder`, for "tensorboard".

    MLflow and W&B get the curve with the record (`benchmarks.trackers`), and "none" does nothing: it is kept beside the
    fitted generator (`history.csv`) all the same. A fit goes on where its curve cannot be written.

    Parameters
    ----------
    run : names the curve.
    """
    check_logger(name)
    if name != "tensorboard":
        yield ignore_scalars
        return
    live = _Live(folder / run)
    try:
        yield live
    finally:
        live.close()


class _Live:
    """Writes scalars as they come; a fit that was resumed writes over the steps that its kill cost it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer: Any = None
        self.failed = False

    def __call__(self, step: int, **scalars: float) -> None:
        """Show some numbers of a step."""
        if self.failed:
            return
        from torch.utils.tensorboard import SummaryWriter

        try:
            if self.writer is None:
                self.writer = SummaryWriter(str(self.folder), purge_step=step, flush_secs=FLUSH_SECONDS)
            for name, value in scalars.items():
                self.writer.add_scalar(name, value, step, new_style=True)
        except Exception as error:  # whatever the disk answers: the fit is worth more than its picture
            self._give_up(error)

    def close(self) -> None:
        """Write what is still in memory."""
        if self.writer is not None and not self.failed:
            try:
                self.writer.close()
            except Exception as error:  # as above
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self.failed = True
        logger.warning("%s takes no more of the loss curve: %s", self.folder, error)
