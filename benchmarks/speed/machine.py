"""The machine that rows were measured on: without it a time says nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any


def machine(device: str = "cpu") -> dict[str, Any]:
    """Processor, cores, threads of torch, memory, and versions; with a GPU its name. Plain JSON values."""
    import psutil
    import torch

    from synthworth import __version__

    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "synthworth": __version__,
        "device": device,
        "gpu": name,
    }


def processor() -> str:
    """The processor's name, as the system has it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
