"""Weights of other people's making in the classifier: what is loaded, what is fitted, what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from benchmarks.job.plan import specs_of
from benchmarks.request.options import parse
from classifiers.config import Config
from classifiers.factory import TimmClassifier, create_network
from data.images import ImageSet, Split
from data.mixing import mix
from synthworth.artifacts import read_json
from synthworth.devices import isolated_randomness
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.training.weight_files import read_weights
from synthworth.training.weights import match_weights
from synthworth.work import Budget, FitReport, Work

TINY = "test_resnet"
"""timm's own ResNet for tests: a deep stem of 3 x 3 convolutions, 2 MB."""


def films(split: str, n: int, *, channels: int, size: int = 32) -> ImageSet:
    rng = np.random.default_rng([n, *split.encode()])
    pixels, labels = rng.integers(0, 256, (n, channels, size, size), dtype=np.uint8), np.arange(n) % 2
    ids = tuple(f"{split}-{i}" for i in range(n))
    return ImageSet(torch.from_numpy(pixels), torch.from_numpy(labels), ids, ids, Split(split), ("dark", "bright"))


def network(arch: str, *, channels: int = 3, n_classes: int = 1000) -> nn.Module:
    with isolated_randomness(7):
        made: nn.Module = timm.create_model(arch, in_chans=channels, num_classes=n_classes)
    return made


@pytest.fixture(scope="module")
def source() -> nn.Module:
    return network(TINY)


@pytest.fixture
def write(tmp_path: Path, source: nn.Module) -> Callable[..., Path]:
    def to_file(change: Callable[[dict[str, Tensor]], Any] = dict, name: str = "given.pth") -> Path:
        torch.save(change(source.state_dict()), tmp_path / name)
        return tmp_path / name

    return to_file


def loaded(file: Path, *, arch: str = TINY, channels: int = 3, stem: str = "imagenet", n_classes: int = 3) -> Any:
    config = Config(arch=arch, weights=file)
    with isolated_randomness(0):
        return create_network(config, channels=channels, size=32, n_classes=n_classes, stem=stem)


def train(folder: Path, file: Path, *, arch: str = TINY, channels: int) -> tuple[TimmClassifier, FitReport]:
    config = Config(arch=arch, stem="half", batch_size=4, n_evaluations=1, weights=file, learning_rate=1e-9)
    made = TimmClassifier(config)
    given = mix(films("train", 8, channels=channels), None, keep_real=8, seed=0)
    work = Work(folder, budget=Budget(1))
    return made, made.fit(given, films("val", 8, channels=channels), seed=0, work=work)


def prefixed(prefix: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda state: {f"{prefix}{name}": value for name, value in state.items()}


WRAPPED: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "as it is": dict,
    "DataParallel": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "compiled and parallel": prefixed("module._orig_mod."),
    "a backbone in a model": prefixed("model.net.backbone."),
    "a prefix nobody heard of": prefixed("film_reader_3."),
    "state_dict and epoch": lambda state: {"state_dict": state, "epoch": 3, "best": 0.7},
    "model and epoch": lambda state: {"model": state, "epoch": 3, "optimizer": {"state": {0: {"step": 1}}}},
    "nested, with a prefix": lambda state: {"checkpoint": {"model_state_dict": prefixed("module.")(state)}},
    "beside another network": lambda state: {"net": state, "critic": {"0.weight": torch.zeros(3, 3)}},
    "without counters": lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
    "without a head": lambda state: {k: v for k, v in state.items() if not k.startswith("fc.")},
    "a head of other classes": lambda state: {**state, "fc.weight": torch.zeros(5, 9), "fc.bias": torch.zeros(5)},
    "a head of layers": lambda state: {
        **state,
        "fc.0.weight": torch.zeros(5, 9),
        "projector.weight": torch.zeros(2, 2),
    },
    "half precision": lambda state: {k: v.half() if v.is_floating_point() else v for k, v in state.items()},
}


@pytest.mark.parametrize("wrapping", WRAPPED)
def test_weights_are_found_whatever_they_are_wrapped_in(
    wrapping: str, write: Callable[..., Path], source: nn.Module
) -> None:
    ours, theirs = loaded(write(WRAPPED[wrapping])).state_dict(), source.state_dict()
    unlike = [
        name for name in theirs
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
        and not torch.allclose(ours[name], theirs[name], atol=1e-2 if wrapping == "half precision" else 0)
    ]  # fmt: skip
    assert unlike == []
    assert ours["fc.weight"].shape[0] == 3


def test_a_moving_average_is_taken_where_it_lies_beside_the_network(
    write: Callable[..., Path], source: nn.Module, caplog: pytest.LogCaptureFixture
) -> None:
    doubled = {name: 2 * value for name, value in source.state_dict().items()}
    model = loaded(write(lambda state: {"state_dict": state, "state_dict_ema": doubled}))
    assert torch.equal(model.layer1[0].conv1.weight, 2 * source.layer1[0].conv1.weight)  # type: ignore[index,union-attr]
    assert "the average, state_dict_ema, is taken" in caplog.text


def half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for k, (name, value) in enumerate(state.items()) if k % 2}


def truncated(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if not name.startswith("layer4.")}


REFUSED: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "half of the tensors": (half, r"does not fill test_resnet: \d+ of \d+ tensors are missing, \S+ for one"),
    "no last stage": (truncated, r"\d+ of \d+ tensors are missing, layer4\.0\.conv1\.weight for one"),
    "no stem": (
        lambda state: {k: v for k, v in state.items() if k != "conv1.0.weight"},
        r"1 of \d+ tensors are missing, conv1\.0\.weight for one",
    ),
    "names of nobody": (
        lambda state: {f"a{k}": v for k, v in enumerate(state.values())}, "holds no tensor of test_resnet"
    ),
    "another shape": (
        lambda state: {**state, "layer1.0.conv1.weight": torch.zeros(4, 4, 3, 3)},
        r"1 of \d+ tensors have another shape, layer1\.0\.conv1\.weight for one is \(4, 4, 3, 3\) and",
    ),
    "a deeper network": (
        lambda state: {**state, "layer1.9.conv1.weight": torch.zeros(4, 4, 3, 3)},
        r"1 of its \d+ tensors have no place there, layer1\.9\.conv1\.weight",
    ),
    "two networks": (
        lambda state: {"student": state, "teacher": state},
        r"holds 2 networks that fit test_resnet equally well \(student, teacher\)",
    ),
    "not a number": (
        lambda state: {**state, "bn1.weight": torch.full_like(state["bn1.weight"], float("nan"))},
        r"1 of \d+ tensors hold numbers that are not finite, bn1\.weight",
    ),
    "quantised": (
        lambda state: {**state, "bn1.weight": torch.zeros_like(state["bn1.weight"], dtype=torch.int8)},
        r"bn1\.weight is torch\.int8, and plain floating-point numbers are needed",
    ),
    "four channels": (
        lambda state: {**state, "conv1.0.weight": torch.zeros(16, 4, 3, 3)}, r"conv1\.0\.weight for one is \(16, 4"
    ),
    "a list": (list, "holds no named tensors"),
    "arrays": (lambda state: {k: v.numpy() for k, v in state.items()}, r"holds numpy\S+ beside tensors, which is not"),
    "a whole module": (lambda state: network(TINY), r"holds timm\S+ beside tensors, which is not unpickled here"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_weights_that_do_not_fill_the_network_are_refused_with_a_count(
    fault: str, write: Callable[..., Path], tmp_path: Path
) -> None:
    change, says = REFUSED[fault]
    file = write(change)
    with pytest.raises(UserError, match=says) as refused:
        train(tmp_path, file, channels=3)
    assert "\n" not in str(refused.value)
    assert str(file) in str(refused.value)


def test_weights_of_a_deeper_resnet_are_refused_though_every_name_is_there(tmp_path: Path) -> None:
    with torch.device("meta"):
        state = network("resnet34").state_dict()
    torch.save({k: torch.zeros(v.shape, dtype=v.dtype) for k, v in state.items()}, tmp_path / "resnet34.pth")
    with pytest.raises(UserError, match=r"of another network than resnet18: \d+ of its 218 tensors have no place"):
        loaded(tmp_path / "resnet34.pth", arch="resnet18")


@pytest.fixture(scope="module")
def resnet18(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    file, model = tmp_path_factory.mktemp("weights") / "resnet18.safetensors", network("resnet18")
    save_file(model.state_dict(), file)
    return file, model


def test_a_replaced_stem_is_fresh_unless_the_file_holds_one_of_its_shape(
    resnet18: tuple[Path, Any], tmp_path: Path
) -> None:
    file, source = resnet18
    model = loaded(file, arch="resnet18", channels=1, stem="half")
    assert torch.equal(model.layer2[0].conv1.weight, source.layer2[0].conv1.weight)
    assert model.conv1.weight.shape == (64, 1, 3, 3)
    own = {name: 3 * value for name, value in model.state_dict().items()}
    save_file(own, tmp_path / "own.safetensors")
    assert torch.equal(loaded(tmp_path / "own.safetensors", arch="resnet18", channels=1, stem="half").conv1.weight,
                       own["conv1.weight"])  # fmt: skip
    del own["conv1.weight"]
    save_file(own, tmp_path / "own.safetensors")
    assert loaded(tmp_path / "own.safetensors", arch="resnet18", channels=1, stem="half").conv1.weight.std() > 0
    with pytest.raises(UserError, match=r"1 of 100 tensors are missing, conv1\.weight"):
        loaded(tmp_path / "own.safetensors", arch="resnet18", channels=1, stem="imagenet")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_training_from_weights_sees_grey_as_it_sees_colours(
    tmp_path: Path, channels: int, resnet18: tuple[Path, Any]
) -> None:
    made, report = train(tmp_path, resnet18[0], arch="resnet18", channels=channels)
    assert report.facts["weights"] == Config(weights=resnet18[0]).weights_sha256
    (tmp_path / "saved").mkdir()
    made.save(tmp_path / "saved")
    eye = read_json(tmp_path / "saved" / "classifier.json")["eye"]
    assert eye["mean"] == pytest.approx([0.449] if channels == 1 else [0.485, 0.456, 0.406])
    assert eye["std"] == pytest.approx([0.226] if channels == 1 else [0.229, 0.224, 0.225])
    images = films("test", 5, channels=channels).images
    again = TimmClassifier.load(tmp_path / "saved", device="cpu")
    np.testing.assert_array_equal(made.predict(images), again.predict(images))


@pytest.mark.parametrize(("of_file", "of_images"), [(3, 1), (1, 3), (1, 1)])
def test_the_first_convolution_is_fitted_to_the_channels_and_trained(
    of_file: int, of_images: int, tmp_path: Path
) -> None:
    state = network(TINY, channels=of_file).state_dict()
    torch.save(state, tmp_path / "weights.pt")
    found = loaded(tmp_path / "weights.pt", channels=of_images).conv1[0].weight
    theirs, grey = state["conv1.0.weight"], torch.rand(2, 1, 8, 8)
    response = torch.nn.functional.conv2d(grey.expand(-1, of_file, -1, -1), theirs)
    ours = torch.nn.functional.conv2d(grey.expand(-1, of_images, -1, -1), found)
    assert torch.allclose(ours, response, atol=1e-5)
    made, report = train(tmp_path, tmp_path / "weights.pt", channels=of_images)
    assert report.steps == 1
    assert made.predict(films("test", 3, channels=of_images).images).shape == (3, 2)


def test_a_weights_file_is_known_by_its_content_and_not_by_its_place(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    file, copy, other = write(), tmp_path / "copy.pth", tmp_path / "other.pth"
    copy.write_bytes(file.read_bytes())
    other.write_bytes(b"another")
    keys = [digest(Config(weights=one)) for one in (file, copy, other, None)]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    with pytest.raises(UserError, match="sha256"):
        Config(weights=other, weights_sha256=Config(weights=copy).weights_sha256)
    with pytest.raises(UserError, match="no such file"):
        Config(weights=tmp_path / "missing.pth")
    with pytest.raises(UserError, match=r"is a folder, and one file is needed: it holds copy\.pth, given\.pth"):
        Config(weights=tmp_path)


def test_a_home_folder_may_be_written_as_a_tilde(
    tmp_path: Path, write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, source: nn.Module
) -> None:
    file = write()
    monkeypatch.setenv("HOME", str(tmp_path))
    model = loaded(Path("~", file.name))
    assert torch.equal(model.layer1[0].conv1.weight, source.layer1[0].conv1.weight)  # type: ignore[index,union-attr]


def test_torchvisions_old_names_of_a_densenet_are_read(tmp_path: Path) -> None:
    with torch.device("meta"):
        shapes = network("densenet121").state_dict()
    old = {}
    for name, value in shapes.items():
        for layer in ("norm1", "norm2", "conv1", "conv2"):
            name = name.replace(f".{layer}.", f".{layer[:-1]}.{layer[-1]}.") if "denselayer" in name else name
        old[name] = torch.ones(value.shape, dtype=value.dtype)
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "old.pth")
    model = loaded(tmp_path / "old.pth", arch="densenet121", channels=1)
    assert torch.equal(model.features.denseblock2.denselayer3.conv2.weight, torch.ones(32, 128, 3, 3))
    assert torch.equal(model.features.conv0.weight, torch.full((64, 1, 7, 7), 3.0))


def test_trainings_from_weights_that_may_never_have_been_loaded_are_not_believed(write: Callable[..., Path]) -> None:
    assert TimmClassifier.version_of(Config()) == TimmClassifier.version
    assert TimmClassifier.version_of(Config(weights=write())) == TimmClassifier.version + 1
    named = ["--clf.weights", str(write())]
    specs = [specs_of(parse(flags, prog="t"), fingerprint="f", precision="fp32")[0] for flags in ([], named)]
    assert [spec.classifier_version for spec in specs] == [TimmClassifier.version, TimmClassifier.version + 1]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["meta", "sparse", "quantised", "whole"])
def test_tensors_that_hold_no_plain_numbers_are_refused_in_one_line(kind: str, channels: int) -> None:
    net = timm.create_model("test_resnet", num_classes=2)
    state = net.state_dict()
    name = next(n for n, t in state.items() if t.ndim == 4)
    state[name] = {
        "meta": lambda t: t.to("meta"),
        "sparse": lambda t: t.to_sparse(),
        "quantised": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
        "whole": lambda t: (t * 10).to(torch.int8),
    }[kind](state[name])
    asked = timm.create_model("test_resnet", num_classes=2, in_chans=channels).state_dict()
    with pytest.raises(UserError, match=f"does not fit a net: {re.escape(name)} ") as error:
        match_weights(asked, state, where="w.pt", network="a net", first=[name])
    assert "\n" not in str(error.value)


def test_a_mapping_that_holds_itself_is_looked_into_once(tmp_path: Path) -> None:
    state: dict[str, Any] = {"weight": torch.ones(2)}
    state["again"] = state
    torch.save(state, tmp_path / "w.pt")
    assert list(read_weights(tmp_path / "w.pt", what="weights")) == ["weight"]
