"""Every generator on a GPU: a few steps, a few images, saved, read again, the same images.

Those that cannot do without files of the user's are left out.

`python -m benchmarks.speed.gpu.generators cuda` prints a line on each, and ends with 1 where one has a fault.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.speed.gpu.denoiser import films
from benchmarks.speed.pictures import bench
from benchmarks.speed.row import SEED

SIDE, N, STEPS = 32, 64, 4


def smoke(device: str) -> dict[str, dict[str, Any]]:
    """Seconds of each built-in generator that trains, or its fault in words."""
    from generators.registry import generators

    return {name: _tried(name, device) for name in generators.names() if _trains(generators.get(name))}


def _trains(cls: Any) -> bool:
    alone = getattr(cls, "trains", True) and not getattr(cls, "is_control", False)
    return bool(alone and hasattr(cls, "tiny_config") and not getattr(cls, "required", ()))


def _tried(name: str, device: str) -> dict[str, Any]:
    began = time.perf_counter()
    try:
        same = _once(name, device)
    except Exception as error:  # whatever it is, it is told in the file, and the next one is tried
        return {"fault": f"{type(error).__name__}: {error}"[:500], "seconds": time.perf_counter() - began}
    return {"same_when_read_again": same, "seconds": time.perf_counter() - began}


def _once(name: str, device: str) -> bool:
    """Whether what was saved draws the same images."""
    import torch

    from generators.registry import generators
    from synthworth.devices import repeatable

    cls = generators.get(name)
    train = films(SIDE, N)
    labels = torch.arange(4) % train.n_classes
    with bench(steps=STEPS, device=device, precision="bf16") as work, repeatable(device=device):
        model = cls(cls.tiny_config())
        model.fit(train, seed=SEED, work=work)
        drawn = model.sample(labels, seed=SEED)
        with tempfile.TemporaryDirectory(prefix="speed-") as folder:
            model.save(Path(folder))
            again = cls.load(Path(folder), device=device).sample(labels, seed=SEED)
    return bool(torch.equal(drawn.cpu(), again.cpu()))


def main(device: str) -> int:
    """Try all, and say so."""
    found = smoke(device)
    for name, told in found.items():
        right = "right" if told.get("same_when_read_again") else "other images when read again"
        print(f"{name}: {told.get('fault', right)}, {told['seconds']:.1f} s")
    return 0 if all(told.get("same_when_read_again") for told in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
