"""Which counter of energy a device has, and how it is read: NVML for NVIDIA GPUs, RAPL for processors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from synthworth.errors import Unavailable

POWERCAP = Path("/sys/class/powercap")
MICRO, MILLI = 1e-6, 1e-3


class Counter(Protocol):
    """Energy that whole devices have taken since the counter was opened.

    Attributes
    ----------
    of : what it measures, in words.
    """

    of: str

    def joules(self) -> float:
        """Taken so far. Asked at least every few minutes, or a counter that wraps around may do so unseen.

        Raises
        ------
        Unavailable
            When it cannot be read any more.
        """
        ...


class Rapl:
    """Processor packages and the memory that is counted beside them, through Linux's powercap.

    Each zone counts microjoules up to its `max_energy_range_uj` and begins again at 0.

    Raises
    ------
    Unavailable
        When there is no package zone, or one that this user may not read.
    """

    of = "processor packages and their memory (RAPL), with whatever else ran on them"

    def __init__(self, folder: Path = POWERCAP) -> None:
        packages = [zone for zone in sorted(folder.glob("intel-rapl:*")) if _name(zone).startswith("package")]
        memory = [zone for zone in sorted(folder.glob("intel-rapl:*:*")) if _name(zone) == "dram"]
        if not packages:
            raise Unavailable(f"this machine has no RAPL counter ({folder}/intel-rapl:*)")
        try:
            self._zones = [(zone / "energy_uj", _number(zone / "max_energy_range_uj")) for zone in packages + memory]
            self._last = [_number(file) for file, _ in self._zones]
        except (OSError, ValueError) as error:
            raise Unavailable(f"RAPL's counter cannot be read by this user ({error})") from error
        self._total = 0

    def joules(self) -> float:
        """Taken so far; a zone that stands lower than before has wrapped around once."""
        for k, (file, span) in enumerate(self._zones):
            try:
                now = _number(file)
            except (OSError, ValueError) as error:
                raise Unavailable(f"RAPL's counter cannot be read any more ({error})") from error
            self._total += now - self._last[k] + (span if now < self._last[k] else 0)
            self._last[k] = now
        return self._total * MICRO


def _name(zone: Path) -> str:
    try:
        return (zone / "name").read_text(encoding="ascii").strip()
    except OSError:  # a zone that does not tell its name is none that we know
        return ""


def _number(file: Path) -> int:
    return int(file.read_text(encoding="ascii"))


class Nvml:
    """NVIDIA GPUs by the total energy counter of their driver (Volta and later), in millijoules since it was loaded.

    Parameters
    ----------
    uuids : of the GPUs, as NVML spells them (`GPU-...`).

    Raises
    ------
    Unavailable
        When the package nvidia-ml-py is not installed, or the driver gives no such counter.
    """

    of = "whole GPUs (NVML), with whatever else ran on them"

    def __init__(self, uuids: Sequence[str]) -> None:
        try:
            import pynvml  # type: ignore[import-not-found, import-untyped, unused-ignore]
        except ImportError as error:
            raise Unavailable("NVML is read through the package nvidia-ml-py, which is not installed") from error
        self._nvml: Any = pynvml
        try:
            pynvml.nvmlInit()
            self._gpus = [pynvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
            self._first = self._read()
        except pynvml.NVMLError as error:
            raise Unavailable(f"NVML gives no energy counter of this GPU ({error})") from error

    def _read(self) -> float:
        return float(sum(self._nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) for gpu in self._gpus)) * MILLI

    def joules(self) -> float:
        """Taken so far."""
        try:
            return self._read() - self._first
        except self._nvml.NVMLError as error:
            raise Unavailable(f"NVML's counter cannot be read any more ({error})") from error


def open_counter(device: str, n: int = 1, *, folder: Path = POWERCAP) -> Counter:
    """The energy counter of a device.

    Parameters
    ----------
    device : "cpu", "cuda", "cuda:1", ...
    n : how many GPUs, from the first on, share the work.
    folder : of Linux's powercap.

    Raises
    ------
    Unavailable
        When there is none that can be read; says why.
    """
    kind, _, index = device.partition(":")
    if kind == "cpu":
        return Rapl(folder)
    if kind != "cuda":
        raise Unavailable(f"no energy counter of {kind} is known")
    import torch

    numbers = range(n) if n > 1 else [int(index) if index else torch.cuda.current_device()]
    return Nvml([f"GPU-{torch.cuda.get_device_properties(k).uuid}" for k in numbers])
