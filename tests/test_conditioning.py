"""What a diffusion model is told: labels, prompts, reference films, embeddings from a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from clip_files import WIDTH, write_clip

from benchmarks.check.checks import make_images
from data.images import ImageSet, Split
from generators.conditioning import ConditionConfig, Conditioner, TextBank, make_conditioner
from generators.matching import rows_showing
from generators.places import locate
from synthworth.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLIP with random weights."""
    pytest.importorskip("transformers", reason="the extra `clip` is not installed")
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def train() -> ImageSet:
    return make_images(multilabel=True, channels=1, size=16)


def single() -> ImageSet:
    return make_images(multilabel=False, channels=1, size=16)


def write_npz(file: Path, ids: tuple[str, ...], shape: tuple[int, ...] = (2, 3)) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    found = {name: rng.standard_normal(shape).astype(np.float32) for name in ids}
    np.savez(file, **found)
    return found


def embedded(file: Path, shape: tuple[int, int] = (2, 3)) -> ConditionConfig:
    return ConditionConfig(kind="embedding", embeddings=file, embedding_shape=shape)


def fitted(config: ConditionConfig, train: ImageSet, folder: Path) -> Conditioner:
    found = make_conditioner(config, n_classes=train.n_classes, multilabel=train.multilabel)
    found.fit(train, device="cpu", folder=folder)
    return found


def config_of(kind: str, clip: Path, file: Path) -> ConditionConfig:
    return ConditionConfig(kind, clip=str(clip), embeddings=file, embedding_shape=(2, 3))  # type: ignore[arg-type]


KINDS = ("label", "multilabel", "clip_text", "clip_vision", "embedding")


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_conditions_training_and_sampling(kind: str, multilabel: bool, clip: Path, tmp_path: Path) -> None:
    train = make_images(multilabel=multilabel, channels=1, size=16)
    write_npz(tmp_path / "e.npz", train.ids)
    found = fitted(config_of(kind, clip, tmp_path / "e.npz"), train, tmp_path)
    rows = torch.tensor([5, 0, 7])
    shown = found.of_training(rows)
    told = found.look_up(found.plan(train.labels[:4], seed=3))
    if kind in ("label", "multilabel"):
        assert torch.equal(shown, train.labels[rows]) and torch.equal(told, train.labels[:4])
    else:
        assert shown.shape == (3, found.spec.n_tokens, found.spec.width)
        assert told.shape == (4, *shown.shape[1:])
    assert found.spec.kind == kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_a_plan_depends_on_seed_row_and_label_alone(
    kind: str, clip: Path, train: ImageSet, tmp_path: Path
) -> None:
    write_npz(tmp_path / "e.npz", train.ids)
    found = fitted(config_of(kind, clip, tmp_path / "e.npz"), train, tmp_path)
    whole = found.plan(train.labels, seed=3)
    assert torch.equal(found.plan(train.labels[:7], seed=3), whole[:7])
    swapped = train.labels.clone()
    swapped[0] = 1 - swapped[0]
    assert torch.equal(found.plan(swapped, seed=3)[1:], whole[1:])
    if kind in ("clip_vision", "embedding"):
        assert not torch.equal(found.plan(train.labels, seed=4), whole)


@pytest.mark.parametrize("kind", ["clip_vision", "embedding"])
def test_references_show_the_label_vector_that_is_asked_for(
    kind: str, clip: Path, train: ImageSet, tmp_path: Path
) -> None:
    write_npz(tmp_path / "e.npz", train.ids)
    found = fitted(config_of(kind, clip, tmp_path / "e.npz"), train, tmp_path)
    rows = found.plan(train.labels, seed=1)
    assert torch.equal(train.labels[rows], train.labels)
    assert len(set(rows.tolist())) > train.n_classes


def test_where_no_image_has_a_label_vector_the_nearest_stand_in() -> None:
    labels = np.array([[0, 0, 0], [1, 1, 1], [1, 1, 0], [0, 0, 1]], dtype=np.uint8)
    assert rows_showing(labels, labels[2], whose="x").tolist() == [2]
    assert rows_showing(labels, np.array([1, 0, 1], dtype=np.uint8), whose="x").tolist() == [1, 3]
    with pytest.raises(UserError, match="the training set has no image of class 5"):
        rows_showing(np.array([0, 1]), np.array(5), whose="the training set")


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_conditioner_needs_neither_clip_nor_the_file(
    kind: str, clip: Path, train: ImageSet, tmp_path: Path
) -> None:
    file = tmp_path / "e.npz"
    write_npz(file, train.ids)
    found = fitted(config_of(kind, clip, file), train, tmp_path)
    (tmp_path / "saved").mkdir()
    found.save(tmp_path / "saved")
    file.unlink()
    gone = dataclasses.replace(found.config, clip=str(tmp_path / "nowhere"))
    loaded = make_conditioner(gone, n_classes=3, multilabel=True)
    loaded.restore(tmp_path / "saved", device="cpu")
    assert loaded.spec == found.spec
    plan = found.plan(train.labels, seed=2)
    assert torch.equal(loaded.plan(train.labels, seed=2), plan)
    assert torch.equal(loaded.look_up(plan), found.look_up(plan))
    if kind == "clip_text":
        assert torch.equal(loaded.absent, found.absent)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
def test_conditions_are_computed_on_train_alone(kind: str, clip: Path, tmp_path: Path) -> None:
    val = make_images(multilabel=True, channels=1, size=16, split=Split.val)
    write_npz(tmp_path / "e.npz", val.ids)
    with pytest.raises(UserError, match="train split only"):
        fitted(config_of(kind, clip, tmp_path / "e.npz"), val, tmp_path)


# -- prompts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "label", "says"),
    [
        (("No Finding", "Effusion", "Mass"), np.array(1), "a film with effusion"),
        (("No Finding", "Effusion", "Mass"), np.array(0), "a clear film"),
        (("Pleural_Thickening", "Mass"), np.array([1, 1]), "a film with pleural thickening and mass"),
        (("Edema", "Mass", "Hernia"), np.array([1, 1, 1]), "a film with edema, mass and hernia"),
        (("Edema", "Mass"), np.array([0, 0]), "a clear film"),
        (("No Finding", "Mass"), np.array([1, 0]), "a clear film"),
        (("No Finding", "Mass"), np.array([1, 1]), "a film with mass"),
        (("normal", "pneumonia"), np.array(0), "a clear film"),
    ],
)
def test_prompts_name_the_findings(classes: tuple[str, ...], label: np.ndarray, says: str) -> None:
    config = ConditionConfig("clip_text", prompt="a film with {findings}", prompt_none="a clear film")
    bank = make_conditioner(config, n_classes=len(classes), multilabel=label.ndim == 1)
    assert isinstance(bank, TextBank)
    assert bank.prompt(label, classes) == says


def test_one_prompt_is_embedded_once(clip: Path, train: ImageSet, tmp_path: Path) -> None:
    found = fitted(ConditionConfig("clip_text", clip=str(clip)), train, tmp_path)
    distinct = len(torch.unique(train.labels, dim=0))
    assert found.facts()["condition_bank"] == distinct
    assert (found.spec.n_tokens, found.spec.width) == (64, WIDTH)
    same = (train.labels == train.labels[0]).all(1).nonzero()[:, 0]
    of_same = found.of_training(same)
    assert torch.equal(of_same, of_same[:1].expand_as(of_same))
    assert found.absent is not None and found.absent.shape == (64, WIDTH)


def test_the_text_tokens_are_those_of_transformers(clip: Path, tmp_path: Path) -> None:
    from transformers import CLIPModel, CLIPTokenizer

    train = single()
    found = fitted(ConditionConfig("clip_text", clip=str(clip), prompt="x {findings}"), train, tmp_path)
    read = CLIPTokenizer.from_pretrained(clip)("x middle", padding="max_length", max_length=64, return_tensors="pt")
    with torch.inference_mode():
        model = CLIPModel.from_pretrained(clip).eval()
        tokens = model.text_model(read["input_ids"]).last_hidden_state[0]
    middle = (train.labels == 1).nonzero()[0]
    assert torch.allclose(found.of_training(middle)[0].float(), tokens, atol=2e-3)


def test_the_picture_embeddings_are_those_of_transformers(clip: Path, tmp_path: Path) -> None:
    from transformers import CLIPModel

    from generators.clip import MEAN, STD

    train = single()
    found = fitted(ConditionConfig("clip_vision", clip=str(clip)), train, tmp_path)
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    pixels = (train.images[:2].expand(-1, 3, -1, -1) / 255.0 - mean) / std
    with torch.inference_mode():
        wanted = CLIPModel.from_pretrained(clip).eval()
        embedding = wanted.visual_projection(wanted.vision_model(pixels).pooler_output)
    assert found.spec.n_tokens == 1
    assert torch.allclose(found.of_training(torch.tensor([0, 1]))[:, 0].float(), embedding, atol=2e-3)


def test_a_second_fit_does_not_embed_again(
    clip: Path, train: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ConditionConfig("clip_vision", clip=str(clip))
    rows = torch.arange(5)
    first = fitted(config, train, tmp_path).of_training(rows)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("embedded again")

    monkeypatch.setattr("generators.clip.embed_pictures", refuse)
    assert torch.equal(fitted(config, train, tmp_path).of_training(rows), first)


def test_a_prompt_longer_than_clip_reads_is_refused(clip: Path, train: ImageSet, tmp_path: Path) -> None:
    long = ConditionConfig("clip_text", clip=str(clip), prompt="{findings} " + "and so on " * 20)
    with pytest.raises(UserError, match="CLIP reads 64"):
        fitted(long, train, tmp_path)


def test_transformers_that_are_missing_are_named(
    train: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(UserError, match="pip install"):
        fitted(ConditionConfig("clip_text", clip=str(tmp_path)), train, tmp_path)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (ConditionConfig("clip_text", prompt="a film"), "does not say where"),
        (ConditionConfig("embedding"), "needs a file"),
    ],
)
def test_settings_that_cannot_be_are_refused(config: ConditionConfig, says: str) -> None:
    with pytest.raises(UserError, match=says):
        make_conditioner(config, n_classes=3, multilabel=False)


def test_weights_that_are_nowhere_are_one_line(
    train: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHWORTH_OFFLINE", "1")
    with pytest.raises(UserError, match="fetching is forbidden") as hub:
        fitted(ConditionConfig("clip_text"), train, tmp_path)
    assert "\n" not in str(hub.value)
    with pytest.raises(UserError, match="there is no such"):
        locate("/nowhere/at/all", patterns=("*",), what="CLIP")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no CLIP as safetensors"):
        fitted(ConditionConfig("clip_vision", clip=str(tmp_path / "empty")), train, tmp_path)


def test_what_is_read_is_in_the_key_and_not_where_it_lies(train: ImageSet, tmp_path: Path) -> None:
    from synthworth.keys import digest

    one, other = tmp_path / "one.npz", tmp_path / "other.npz"
    write_npz(one, train.ids)
    other.write_bytes(one.read_bytes())
    config = embedded(one)
    assert digest(config) == digest(embedded(other))
    write_npz(one, train.ids[::-1])
    assert digest(config) != digest(embedded(one))
    with pytest.raises(UserError, match="was asked for"):
        fitted(config, train, tmp_path)


# -- embeddings from a file -----------------------------------------------------------------------------------------


def as_stacked(file: Path, found: dict[str, np.ndarray]) -> None:
    np.savez(file, ids=np.array(list(found)), embeddings=np.stack(list(found.values())))


def as_flat(file: Path, found: dict[str, np.ndarray]) -> None:
    np.savez(file, **{name: value.ravel() for name, value in found.items()})


def as_parquet(file: Path, found: dict[str, np.ndarray]) -> None:
    from synthworth.artifacts import write_table

    write_table(file, {"id": list(found), "embedding": [value.tolist() for value in found.values()]})


@pytest.mark.parametrize(("name", "write"), [("e.npz", as_stacked), ("e.npz", as_flat), ("e.parquet", as_parquet)])
def test_embeddings_are_read_by_image_id(name: str, write: object, train: ImageSet, tmp_path: Path) -> None:
    found = write_npz(tmp_path / "all.npz", (*train.ids[::-1], "another"))
    write(tmp_path / name, found)  # type: ignore[operator]
    bank = fitted(embedded(tmp_path / name), train, tmp_path)
    wanted = np.stack([found[train.ids[k]] for k in (4, 9)])
    assert torch.allclose(bank.of_training(torch.tensor([4, 9])).float(), torch.from_numpy(wanted), atol=2e-3)


def test_ids_that_a_file_lacks_are_counted_and_one_is_named(train: ImageSet, tmp_path: Path) -> None:
    write_npz(tmp_path / "e.npz", train.ids[3:])
    with pytest.raises(UserError, match=rf"lacks the embeddings of 3 of {len(train)} .*'{train.ids[0]}'"):
        fitted(embedded(tmp_path / "e.npz"), train, tmp_path)


@pytest.mark.parametrize("shape", [(2, 4), (7,), (1, 2, 3)])
def test_an_embedding_of_the_wrong_width_is_refused(shape: tuple[int, ...], train: ImageSet, tmp_path: Path) -> None:
    write_npz(tmp_path / "e.npz", train.ids, shape)
    with pytest.raises(UserError, match=r"has shape .*, and \(2, 3\) was asked for"):
        fitted(embedded(tmp_path / "e.npz"), train, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("e.npz", None, "no such file"), ("e.npz", b"text", "is not an .npz"), ("e.csv", b"id\n", "neither .npz nor"),
        ("e.parquet", b"text", "cannot be read"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_embeddings_is_refused(
    name: str, content: bytes | None, says: str, train: ImageSet, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        fitted(embedded(tmp_path / name), train, tmp_path)


def test_numbers_that_float16_cannot_hold_are_refused(train: ImageSet, tmp_path: Path) -> None:
    found = write_npz(tmp_path / "e.npz", train.ids)
    found[train.ids[0]][0, 0] = 1e6
    np.savez(tmp_path / "e.npz", **found)
    with pytest.raises(UserError, match="65,504"):
        fitted(embedded(tmp_path / "e.npz"), train, tmp_path)


def test_a_parquet_file_needs_its_columns(train: ImageSet, tmp_path: Path) -> None:
    from synthworth.artifacts import write_table

    write_table(tmp_path / "e.parquet", {"name": list(train.ids)})
    with pytest.raises(UserError, match=r"cannot be read|has no column"):
        fitted(embedded(tmp_path / "e.parquet"), train, tmp_path)
