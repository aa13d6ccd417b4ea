"""What a file of weights may be: whole, or refused in one line that says what it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from synthworth.errors import UserError
from synthworth.training.weight_files import read_weights
from synthworth.training.weights import fit_channels, match_weights

STATE = {"layer.weight": torch.arange(12.0).reshape(3, 4), "layer.bias": torch.ones(3)}


def as_safetensors(file: Path) -> None:
    save_file(STATE, file)


def as_zip(file: Path) -> None:
    torch.save(STATE, file)


def as_old_torch(file: Path) -> None:
    torch.save(STATE, file, _use_new_zipfile_serialization=False)


WRITERS: list[Callable[[Path], None]] = [as_safetensors, as_zip, as_old_torch]


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".bin", ""])
@pytest.mark.parametrize("write", WRITERS)
def test_a_file_is_told_by_its_bytes_and_not_by_its_name(
    write: Callable[[Path], None], suffix: str, tmp_path: Path
) -> None:
    file = tmp_path / f"weights{suffix}"
    write(file)
    found = read_weights(file, what="--x")
    assert found.keys() == STATE.keys()
    assert all(torch.equal(found[name], value) for name, value in STATE.items())


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("write", WRITERS)
def test_a_file_that_was_cut_short_anywhere_is_one_line(
    write: Callable[[Path], None], suffix: str, tmp_path: Path
) -> None:
    write(tmp_path / "whole")
    content, file = (tmp_path / "whole").read_bytes(), tmp_path / f"cut{suffix}"
    for end in {1, 7, 9, 40, len(content) // 3, len(content) // 2, len(content) - 9}:
        file.write_bytes(content[:end])
        with pytest.raises(UserError, match=r"^--x .*cut\S* cannot be read") as refused:
            read_weights(file, what="--x")
        assert "\n" not in str(refused.value)
        assert "made again" not in str(refused.value), "nobody but its owner can make it again"


CONTENT = {
    "empty": (b"", "it is empty"),
    "a web page": (b"\n<!DOCTYPE html><html><body>Please log in</body></html>", r"it is a web page \(HTML"),
    "an error in XML": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", r"it is a web page \(HTML"),
    "an error in JSON": (b'{"error": "Repository not found"}', "it is JSON"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "pointer of Git LFS"),
    "text": (b"please log in", "cannot be read"),
    "zeros": (b"\0" * 4096, "cannot be read"),
    "noise": (np.random.default_rng(0).bytes(4096), "cannot be read"),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("content", CONTENT)
def test_what_is_no_weights_file_is_said_to_be_what_it_is(content: str, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"weights{suffix}"
    file.write_bytes(CONTENT[content][0])
    with pytest.raises(UserError, match=CONTENT[content][1]) as refused:
        read_weights(file, what="--x")
    assert "\n" not in str(refused.value)


def test_other_archives_and_folders_are_no_weights(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", a=np.zeros(3))
    with pytest.raises(UserError, match="cannot be read by torch"):
        read_weights(tmp_path / "arrays.npz", what="--x")
    with pytest.raises(UserError, match=r"is a folder, and one file is needed: it holds no weights file"):
        read_weights(tmp_path, what="--x")
    torch.save(STATE["layer.bias"], tmp_path / "bare.pt")
    with pytest.raises(UserError, match="holds no named tensors"):
        read_weights(tmp_path / "bare.pt", what="--x")


class Mark:
    """Leaves a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.file,)


def test_what_would_have_to_be_unpickled_is_named_and_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "args": Mark(tmp_path / "ran")}, tmp_path / "trap.pt")
    with pytest.raises(UserError, match=r"holds \S+ beside tensors, which is not unpickled here") as said:
        read_weights(tmp_path / "trap.pt", what="--x")
    assert "\n" not in str(said.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(("given", "wanted"), [((2, 3, 1, 1), 1), ((2, 1, 1, 1), 3)])
def test_grey_seen_as_colours_gives_the_response_of_grey(given: tuple[int, ...], wanted: int) -> None:
    weight = torch.arange(1.0, 1 + 2 * given[1]).reshape(given)
    fitted = fit_channels(weight, wanted)
    assert fitted.shape[1] == wanted
    assert torch.allclose(fitted.sum(1), weight.sum(1))
    assert torch.equal(fit_channels(torch.ones(2, 4, 1, 1), 3), torch.ones(2, 4, 1, 1))


def test_a_prefix_is_found_at_the_right_depth() -> None:
    """`block.weight` is a name of the whole network and, below `block.`, nearly one of a part of it."""
    wanted = {"weight": torch.zeros(1), "block.weight": torch.zeros(1), "block.block.weight": torch.zeros(1)}
    found = {f"net.{name}": torch.full((1,), float(k)) for k, name in enumerate(wanted)}
    matched = match_weights(wanted, found, where="f", network="n")
    assert {name: float(value) for name, value in matched.items()} == {
        "weight": 0.0, "block.weight": 1.0, "block.block.weight": 2.0,
    }  # fmt: skip
