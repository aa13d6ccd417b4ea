"""Half-made files carry their own digest; one that is not as it was written is named and made again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from synthworth.sealed import keep_tensors, read_sealed, write_sealed


def make() -> dict[str, torch.Tensor]:
    return {"mean": torch.arange(64.0).reshape(8, 8), "logvar": torch.ones(8, dtype=torch.float16)}


def test_tensors_are_made_once_and_lie_there_as_plain_safetensors(tmp_path: Path) -> None:
    file = tmp_path / "latents.safetensors"
    made = keep_tensors(file, make)
    again = keep_tensors(file, lambda: pytest.fail("made again"))
    for found in (made, again, load_file(file)):
        assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in make().items()}


@pytest.mark.parametrize("at", [0.0, 0.05, 0.2, 0.3, 0.45, 0.6, 0.8, 0.99])
def test_one_changed_bit_of_kept_tensors_is_named_and_they_are_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at: float
) -> None:
    file = tmp_path / "latents.safetensors"
    keep_tensors(file, make)
    content = bytearray(file.read_bytes())
    content[int(at * len(content))] ^= 1
    file.write_bytes(content)
    found = keep_tensors(file, make)
    assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in make().items()}
    assert "latents.safetensors is damaged" in caplog.text
    assert (tmp_path / "latents.safetensors.damaged").is_file()


def test_what_was_sealed_comes_back_and_what_is_missing_is_none(tmp_path: Path) -> None:
    write_sealed(tmp_path / "a", b"content")
    held = read_sealed(tmp_path / "a")
    assert held is not None and held.read() == b"content"
    assert read_sealed(tmp_path / "b") is None
