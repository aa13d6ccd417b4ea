"""How the processes of one fit are joined, and the precision they share."""

from __future__ import annotations

import logging
from typing import Any

from synthworth.work import Work


def make_fabric(work: Work) -> Any:
    """Lightning Fabric on the work's device and precision.

    Alone, or as one of `work.devices` processes that were started with their rank in the environment
    (`synthworth.processes.run_together`).
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells the precision of every fit
    kind, _, index = work.device.partition(":")
    precision: Any = "bf16-mixed" if work.precision == "bf16" else "32-true"
    if work.devices == 1:
        return Fabric(accelerator=kind, devices=[int(index)] if index else 1, precision=precision)
    strategy = DDPStrategy(broadcast_buffers=False, process_group_backend="gloo" if kind == "cpu" else None)
    fabric = Fabric(accelerator=kind, devices=work.devices, strategy=strategy, precision=precision)
    fabric.launch()
    return fabric
