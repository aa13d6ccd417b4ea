"""CLIP and files of embeddings that are damaged, incomplete or another's: one line before anything is trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_files import write_clip
from safetensors.torch import load_file, save_file

from generators.clip import embed_texts
from generators.conditioning import ConditionConfig, check_condition
from generators.embeddings import read_embeddings
from synthworth.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")
MODEL = "model.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers", reason="the extra `clip` is not installed")
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def clip(made: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(made, tmp_path / "clip"))


def halve(folder: Path) -> None:
    state = load_file(folder / MODEL)
    save_file(dict(list(state.items())[::2]), folder / MODEL, metadata={"format": "pt"})


def another(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))


def narrower(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    for part in ("text_config", "vision_config"):
        config[part]["hidden_size"] = 8
    (folder / "config.json").write_text(json.dumps(config))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "half the tensors": (halve, r"does not fill CLIP\w+: \d+ of \d+ tensors are missing, \S+ for one"),
    "cut short": (lambda f: (f / MODEL).write_bytes((f / MODEL).read_bytes()[:-50]), "cannot be read as CLIP"),
    "a web page": (lambda f: (f / MODEL).write_text("<html>"), "cannot be read as CLIP"),
    "an empty file": (lambda f: (f / MODEL).write_bytes(b""), "cannot be read as CLIP"),
    "no JSON": (lambda f: (f / "config.json").write_text("{"), r"config\.json is not JSON"),
    "no configuration": (lambda f: (f / "config.json").unlink(), "there is no config.json in it"),
    "another network": (another, "holds a bert; what is needed is clip"),
    "other widths": (narrower, r"cannot be read as CLIP|tensors are missing"),
}


@pytest.mark.parametrize("kind", ["clip_text", "clip_vision"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_clip_that_cannot_be_used_is_refused_in_one_line(fault: str, kind: str, clip: Path) -> None:
    damage, says = FAULTS[fault]
    check_condition(ConditionConfig(kind, clip=str(clip)), fetch=False)  # type: ignore[arg-type]
    damage(clip)
    with pytest.raises(UserError, match=says) as refused:
        check_condition(ConditionConfig(kind, clip=str(clip)), fetch=False)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    assert "--gen.condition.clip" in str(refused.value)
    assert "made again" not in str(refused.value)


def test_a_clip_without_its_tokenizer_does_for_pictures_alone(clip: Path) -> None:
    for name in ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"):
        (clip / name).unlink(missing_ok=True)
    check_condition(ConditionConfig("clip_vision", clip=str(clip)), fetch=False)
    with pytest.raises(UserError, match="no tokenizer of CLIP") as refused:
        check_condition(ConditionConfig("clip_text", clip=str(clip)), fetch=False)
    assert "\n" not in str(refused.value)


def test_a_clip_of_an_fp16_variant_alone_is_read(clip: Path) -> None:
    whole = embed_texts(["a film"], str(clip), device="cpu")
    half = {name: t.half() if t.is_floating_point() else t for name, t in load_file(clip / MODEL).items()}
    save_file(half, clip / "model.fp16.safetensors", metadata={"format": "pt"})
    (clip / MODEL).unlink()
    found = embed_texts(["a film"], str(clip), device="cpu")
    assert found.dtype == torch.float32
    assert torch.allclose(found, whole, atol=1e-2)


def test_a_hub_id_is_not_asked_for_where_fetching_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHWORTH_OFFLINE", "1")
    check_condition(ConditionConfig("clip_text", clip="nobody-at-all/nothing"), fetch=False)
    with pytest.raises(UserError, match="fetching is forbidden"):
        check_condition(ConditionConfig("clip_text", clip="nobody-at-all/nothing"), fetch=True)


# -- embeddings -------------------------------------------------------------------------------------------------------


def write_npz(file: Path) -> None:
    np.savez(file, **{f"id-{k}": np.random.default_rng(k).normal(size=(16, 32)) for k in range(4)})


def test_embeddings_that_were_cut_short_anywhere_are_one_line(tmp_path: Path) -> None:
    write_npz(tmp_path / "whole.npz")
    content, file = (tmp_path / "whole.npz").read_bytes(), tmp_path / "cut.npz"
    for end in (0, 10, len(content) // 2, len(content) - 20):
        file.write_bytes(content[:end])
        with pytest.raises(UserError, match=r"cut\.npz is not an \.npz, or cut short"):
            check_condition(ConditionConfig("embedding", embeddings=file), fetch=False)


def test_embeddings_with_damaged_numbers_are_one_line(tmp_path: Path) -> None:
    file = tmp_path / "worn.npz"
    write_npz(file)
    content = bytearray(file.read_bytes())
    content[1000:1010] = b"\0" * 10
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"the embedding of 'id-0' in .*worn\.npz cannot be read") as refused:
        read_embeddings(file, ["id-0"], shape=(16, 32))
    assert "\n" not in str(refused.value)


def test_embeddings_that_are_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "o.npz", **{"id-0": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(UserError, match=r"the embedding of 'id-0' .* cannot be read"):
        read_embeddings(tmp_path / "o.npz", ["id-0"], shape=(1, 1))
    np.savez(tmp_path / "o.npz", ids=np.array(["a", object()], dtype=object), embeddings=np.zeros((2, 3)))
    with pytest.raises(UserError, match=r"o\.npz cannot be read"):
        read_embeddings(tmp_path / "o.npz", ["a"], shape=(1, 3))
