"""Damaged and hostile files of every kind that is read: each is taken or refused in one line, quickly and bounded.

`python tests/chaos/fuzz_inputs.py --inputs 2000` prints a table: inputs, taken, refused, faults, the slowest, memory.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import io
import json
import os
import resource
import shutil
import signal
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from synthworth.errors import LONGEST, UserError

SECONDS, MEMORY = 10, 2 << 30  # that one input may take; bytes of address space beyond those of the imports
EDITS = ("flip", "cut", "drop", "insert", "repeat", "swap", "number")
Edit = tuple[str, float, bytes]


@dataclass(frozen=True)
class Kind:
    """A kind of file: whole examples of it, and how it is read."""

    suffix: str
    examples: Callable[[], Sequence[bytes]]
    read: Callable[[Path], Any]


def edited(content: bytes, edits: Sequence[Edit]) -> bytes:
    """The bytes after some edits, each at a place from 0 to 1."""
    for how, where, some in edits:
        at = int(where * len(content))
        head, tail = content[:at], content[at:]
        if how == "flip":
            content = head + bytes(b ^ (some or b"\x01")[0] for b in tail[:1]) + tail[1:]
        elif how == "cut":
            content = head
        elif how == "drop":
            content = head + tail[len(some) :]
        elif how == "insert":
            content = head + some + tail
        elif how == "repeat":
            content = head + tail[: 1 + len(some)] * 200 + tail
        elif how == "swap":
            content = tail[: len(some)] + head + tail[len(some) :]
        else:  # a length or an offset that is as large as can be
            content = head + b"\xff" * min(8, 1 + len(some)) + tail[min(8, 1 + len(some)) :]
    return content


# -- whole examples --------------------------------------------------------------------------------------------------


def _yaml() -> list[bytes]:
    plain = "generator: noise\nratio: [0.5, 1]\nfit: {steps: 3, seconds: 1.5}\ndata: {size: 32}\ncontrols: [none]\n"
    odd = "a: &a [1, 2]\nb: *a\nseeds: !!int 3\nc: 2020-01-01\n? [x]\n: y\n<<: {d: 1}\ne: |\n  text\nf: !!binary aGk=\n"
    deep = "ratio: " + "[" * 40 + "1" + "]" * 40 + "\n"
    return [plain.encode(), odd.encode(), deep.encode(), plain.encode("utf-16")]


def _csv() -> list[bytes]:
    rows = "image,label,patient_id,age\n" + "".join(f"{k}.png,{'ab'[k % 2]},p{k},{k}.5\n" for k in range(30))
    quoted = 'image;label\n"a;b.png";"x ""y"""\n"c\nd.png";z\n'
    return [rows.encode(), quoted.encode(), rows.encode("utf-16"), gzip.compress(rows.encode(), mtime=0)]


def _parquet() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"image": [f"{k}.png" for k in range(50)], "n": list(range(50)), "x": [0.5] * 50, "l": [["a"]] * 50}
    found = []
    for compression in ("snappy", "zstd", "none"):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns), sink, compression=compression)
        found.append(sink.getvalue().to_pybytes())
    return found


def _archives() -> list[bytes]:
    names = ("images/a.png", "images/" + "b" * 120 + ".png", "c/d/e.txt")
    found = []
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode, format=tarfile.GNU_FORMAT) as tar:
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = 600
                tar.addfile(info, io.BytesIO(b"x" * 600))
        found.append(out.getvalue())
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            for name in names:
                archive.writestr(name, b"x" * 600)
        found.append(out.getvalue())
    return found


def _images() -> list[bytes]:
    from PIL import Image

    grey = np.random.default_rng(0).integers(0, 256, (24, 32), dtype=np.uint8)
    deep = grey.astype(np.uint16) * 200
    pictures = [Image.fromarray(grey), Image.fromarray(np.dstack([grey] * 3)), Image.fromarray(np.dstack([grey] * 4))]
    found = []
    for picture, formats in (
        (pictures[0], ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM", "JPEG2000", "ICO", "TGA", "PCX")),
        (pictures[1], ("PNG", "JPEG", "TIFF", "WEBP", "PPM")),
        (pictures[2], ("PNG", "TIFF", "WEBP")),
        (Image.fromarray(deep), ("PNG", "TIFF")),
    ):
        for name in formats:
            out = io.BytesIO()
            picture.save(out, name)
            found.append(out.getvalue())
    frames = io.BytesIO()
    pictures[0].save(frames, "TIFF", save_all=True, append_images=[pictures[0]], compression="tiff_deflate")
    return [*found, frames.getvalue(), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 90 90\nshowpage\n"]


def _npz() -> list[bytes]:
    arrays = {}
    for split in ("train", "val", "test"):
        arrays |= {f"{split}_images": np.zeros((4, 28, 28), np.uint8), f"{split}_labels": np.zeros((4, 1), np.uint8)}
    found = []
    for save in (np.savez, np.savez_compressed):
        out = io.BytesIO()
        save(out, **arrays)
        found.append(out.getvalue())
    return found


@functools.cache
def _tensors() -> list[bytes]:
    import torch
    from safetensors.torch import save

    named = {"conv1.weight": torch.zeros(4, 3, 3, 3), "fc.bias": torch.ones(4)}
    found = [save(named)]
    for zipped in (True, False):
        out = io.BytesIO()
        torch.save({"state_dict": named, "epoch": 3}, out, _use_new_zipfile_serialization=zipped)
        found.append(out.getvalue())
    return found


def _npy() -> list[bytes]:
    found = []
    for array in (np.arange(24.0).reshape(4, 6), np.zeros((3, 1, 8, 8), np.uint8), np.array(["a", "bc"])):
        out = io.BytesIO()
        np.save(out, array)
        found.append(out.getvalue())
    return found


# -- how each is read ------------------------------------------------------------------------------------------------


def _read_yaml(file: Path) -> None:
    from benchmarks.request.options import parse
    from benchmarks.request.yaml_file import read_yaml

    if set(read_yaml(file)) <= {"generator", "ratio", "fit", "data", "controls", "seeds"}:
        parse(["--config", str(file), "--preset", "smoke"], prog="fuzz")


def _read_archive(file: Path) -> None:
    from data.downloads.unpack import unpack

    unpack(file, file.with_name("out"), max_bytes=1 << 26, max_files=10_000)


def _read_image(file: Path) -> None:
    from data.films.decode import decode_film
    from data.films.looks import look_at

    look_at(file)
    decode_film(file, channels=3, target=32, deep=(0, 100), max_pixels=4_000_000)


def _read_table(file: Path) -> None:
    from data.datasets.folder.tables_beside import name_tables
    from data.films.text_table import read_table

    name_tables([file], file.parent)
    read_table(file)


def _read_npz(file: Path) -> None:
    from data.datasets.medmnist.npz import read_npz

    read_npz(file)


def _read_weights(file: Path) -> None:
    from synthworth.training.weight_files import read_weights

    read_weights(file, what="--clf.weights")


def _read_array(file: Path) -> None:
    from synthworth.artifacts import read_array

    read_array(file)
    read_array(file, mapped=True)


def _read_tensors(file: Path) -> None:
    from synthworth.artifacts import read_tensors

    read_tensors(file)


def _read_json(file: Path) -> None:
    from synthworth.artifacts import read_json

    read_json(file)


KINDS = {
    "yaml": Kind(".yaml", _yaml, _read_yaml),
    "table": Kind(".csv", _csv, _read_table),
    "parquet": Kind(".parquet", _parquet, _read_table),
    "archive": Kind(".tar", _archives, _read_archive),
    "image": Kind(".png", _images, _read_image),
    "npz": Kind(".npz", _npz, _read_npz),
    "weights": Kind(".pt", _tensors, _read_weights),
    "array": Kind(".npy", _npy, _read_array),
    "tensors": Kind(".safetensors", _tensors, _read_tensors),
    "json": Kind(".json", lambda: [json.dumps({"a": [1, 2.5, None], "b": {"c": "d"}}).encode()], _read_json),
}


def try_one(kind: Kind, content: bytes, folder: Path) -> bool:
    """Read one file; whether it was taken.

    Raises
    ------
    AssertionError
        When it is refused in more than one line, or leaves something behind.
    Exception
        Whatever else the reader raises: a fault.
    """
    file = folder / f"input{kind.suffix}"
    file.write_bytes(content)
    try:
        kind.read(file)
    except UserError as error:
        said = str(error)
        assert said.isprintable() and len(said) <= LONGEST, f"not one line: {said[:200]!r}"
        assert sorted(p.name for p in folder.iterdir()) == [file.name], "something is left of what was refused"
        return False
    finally:
        shutil.rmtree(folder / "out", ignore_errors=True)
    return True


# -- many of them, in processes of their own -------------------------------------------------------------------------


def drawn(rng: np.random.Generator) -> list[Edit]:
    """One to four edits."""
    return [
        (str(rng.choice(EDITS)), float(rng.random()), rng.bytes(int(rng.integers(0, 12))))
        for _ in range(int(rng.integers(1, 5)))
    ]


def _batch(name: str, seeds: Sequence[int], pipe: int) -> None:
    """Read the inputs of some seeds and tell the parent of each; runs in a child."""
    kind = KINDS[name]
    examples = kind.examples()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        try_one(kind, examples[0], Path(place))  # imports, and pools of memory
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, taken + MEMORY))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)  # what C libraries say of damaged pictures
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        for seed in seeds:
            rng = np.random.default_rng([seed, len(name)])
            content = edited(examples[seed % len(examples)], drawn(rng))
            os.write(pipe, f"? {seed}\n".encode())
            signal.alarm(SECONDS)
            began = time.perf_counter()
            try:
                said = "taken" if try_one(kind, content, Path(place)) else "refused"
            except (Exception, SystemExit) as error:
                said = f"fault {type(error).__name__}: {' '.join(str(error).split())[:200]}"
            signal.alarm(0)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            os.write(pipe, f"= {time.perf_counter() - began:.2f} {peak} {said}\n".encode())


def fuzz(name: str, n: int, *, first: int = 0, at_once: int = 100) -> dict[str, Any]:
    """Counts of `n` inputs of a kind: taken, refused, faults (with the seed of each), slowest (s), peak (MiB)."""
    row: dict[str, Any] = {"inputs": 0, "taken": 0, "refused": 0, "faults": [], "slowest": 0.0, "peak": 0}
    waiting = list(range(first, first + n))
    while waiting:
        seeds, (here, there) = waiting[:at_once], os.pipe()
        child = os.fork()
        if not child:
            os.close(here)
            try:
                _batch(name, seeds, there)
            finally:
                os._exit(0)
        os.close(there)
        with os.fdopen(here) as pipe:
            lines = pipe.read().splitlines()
        os.waitpid(child, 0)
        begun = [int(line[2:]) for line in lines if line.startswith("? ")]
        ended = [line[2:].split(" ", 2) for line in lines if line.startswith("= ")]
        for seed, (seconds, peak, said) in zip(begun, ended, strict=False):
            row["slowest"], row["peak"] = max(row["slowest"], float(seconds)), max(row["peak"], int(peak))
            if said in ("taken", "refused"):
                row[said] += 1
            else:
                row["faults"].append(f"{seed}: {said}")
        if len(ended) < len(begun):
            row["faults"].append(f"{begun[-1]}: killed (over {SECONDS} s, or a crash)")
        row["inputs"] += max(len(begun), 1)
        waiting = waiting[max(len(begun), 1) :]
    return row


def main() -> int:
    """Fuzz every kind and print what came of it; 1 where there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=2000, help="over all kinds")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--first", type=int, default=0, help="seed of the first input of each kind")
    asked = parser.parse_args()
    import torch

    import data.films.decode  # noqa: F401

    torch.set_num_threads(1)
    n_faults = 0
    print(f"{'kind':<10}{'inputs':>8}{'taken':>8}{'refused':>9}{'faults':>8}{'slowest':>10}{'peak MiB':>10}")
    for name in asked.kinds:
        row = fuzz(name, -(-asked.inputs // len(asked.kinds)), first=asked.first)
        n_faults += len(row["faults"])
        print(
            f"{name:<10}{row['inputs']:>8}{row['taken']:>8}{row['refused']:>9}{len(row['faults']):>8}"
            f"{row['slowest']:>8.2f} s{row['peak']:>10}",
            flush=True,
        )
        for fault in row["faults"][:10]:
            print(f"    {fault}")
    return 1 if n_faults else 0


if __name__ == "__main__":
    sys.exit(main())
