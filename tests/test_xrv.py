"""The chest-film encoder gives torchxrayvision's features, from tensors alone, and says what to do without them."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import interpolate

from benchmarks.metrics.extractors.xrv import FILE_NAME, TorchXRayVision
from benchmarks.metrics.registry import EXTRACTORS
from synthworth.devices import generator, isolated_randomness
from synthworth.errors import Unavailable, UserError

pytestmark = pytest.mark.usefixtures("one_thread")


def films(n: int, *, size: int = 64, channels: int = 1, seed: int = 0) -> torch.Tensor:
    """Smooth random pictures, uint8 (n, channels, size, size)."""
    coarse = torch.rand(n, channels, 8, 8, generator=generator(seed))
    return (interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1) * 255).to(torch.uint8)


def random_state() -> dict[str, torch.Tensor]:
    """Random weights with lively batch norms, under the names of torchvision's and torchxrayvision's DenseNet-121."""
    from torchvision.models import densenet121

    source = generator(1)
    with isolated_randomness(0):
        net = densenet121(weights=None, num_classes=18)
        net.features.conv0 = torch.nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            n = module.num_features
            module.running_mean = 0.1 * torch.randn(n, generator=source)
            module.running_var = 0.5 + torch.rand(n, generator=source)
            module.bias.data = 0.1 * torch.randn(n, generator=source)
    return {**net.state_dict(), "op_threshs": torch.full((18,), 0.5)}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return random_state()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, state) -> Path:
    """What SYNTHWORTH_WEIGHTS names, with the converted file in it."""
    path: Path = tmp_path_factory.mktemp("weights")
    save_file(state, path / FILE_NAME)
    return path


@pytest.fixture(scope="module")
def encoder(folder) -> TorchXRayVision:
    return TorchXRayVision(weights=folder / FILE_NAME)


THEIRS = """
import json, sys
import torch, torchxrayvision as xrv
from safetensors.torch import load_file
torch.set_num_threads(1)
state = load_file(sys.argv[1])
state.pop("op_threshs")
net = xrv.models.DenseNet(num_classes=18).eval()
net.load_state_dict(state)
images = torch.load(sys.argv[2], weights_only=True)
ready = torch.stack([torch.from_numpy(xrv.utils.normalize(image.numpy(), 255)) for image in images])
with torch.inference_mode():
    torch.save(net.features2(ready), sys.argv[3])
"""


def test_features_are_those_of_torchxrayvision_on_the_same_weights(encoder, folder, run_python, tmp_path) -> None:
    """In a process of its own: importing torchxrayvision changes the warning filters of the whole process."""
    if importlib.util.find_spec("torchxrayvision") is None:
        pytest.skip("torchxrayvision is not installed: it comes with the extra `xrv`")
    images = films(3, size=224)
    torch.save(images, tmp_path / "images.pt")
    done = run_python("-c", THEIRS, str(folder / FILE_NAME), str(tmp_path / "images.pt"), str(tmp_path / "out.pt"))
    assert done.returncode == 0, done.stderr
    theirs = torch.load(tmp_path / "out.pt", weights_only=True).numpy()
    found = encoder.extract(images).features
    assert found.shape == (3, 1024)
    assert np.abs(theirs).mean() > 1
    np.testing.assert_allclose(found, theirs, rtol=1e-3, atol=1e-5 * float(np.abs(theirs).max()))


def test_films_of_any_size_and_colour_are_brought_to_one_grey_square(encoder) -> None:
    grey = films(2, size=32)
    found = encoder.extract(grey).features
    np.testing.assert_allclose(encoder.extract(grey.repeat(1, 3, 1, 1)).features, found, rtol=1e-5)
    enlarged = interpolate(grey.float(), (224, 224), mode="bilinear", align_corners=False)
    with torch.inference_mode():
        theirs = encoder.net(enlarged / 255 * 2048 - 1024).numpy()
    np.testing.assert_allclose(found, theirs, rtol=1e-3, atol=1e-5 * float(np.abs(theirs).max()))


def test_the_batch_size_changes_nothing(encoder) -> None:
    images = films(3)
    scale = float(np.abs(whole := encoder.extract(images, batch=3).features).max())
    np.testing.assert_allclose(encoder.extract(images, batch=1).features, whole, rtol=1e-4, atol=1e-6 * scale)


def test_it_is_found_by_name_and_in_the_weights_folder(folder, monkeypatch) -> None:
    monkeypatch.setenv("SYNTHWORTH_WEIGHTS", str(folder))
    assert EXTRACTORS.get("torchxrayvision") is TorchXRayVision
    assert TorchXRayVision.is_at_hand()
    made = TorchXRayVision()
    assert made.weights == folder / FILE_NAME
    assert made.id == "torchxrayvision@224-fp32"
    assert len(made.weights_sha256) == 64


def test_without_weights_the_note_says_how_to_make_them(tmp_path, monkeypatch) -> None:
    for folder in (None, tmp_path):
        if folder is None:
            monkeypatch.delenv("SYNTHWORTH_WEIGHTS", raising=False)
        else:
            monkeypatch.setenv("SYNTHWORTH_WEIGHTS", str(folder))
        assert not TorchXRayVision.is_at_hand()
        with pytest.raises(Unavailable, match=rf"{FILE_NAME}: .*save_file.*SYNTHWORTH_WEIGHTS[^\n]*$"):
            TorchXRayVision()
    with pytest.raises(UserError, match=r"nowhere\.safetensors: no such file"):
        TorchXRayVision(weights=tmp_path / "nowhere.safetensors")


class Trap:
    """Pickles into a call that leaves a mark when it is unpickled."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self):
        return open, (self.mark, "w")


@pytest.mark.parametrize("content", ["pickled module", "trap", "text", "nothing"])
def test_a_pickle_in_the_place_of_tensors_is_refused_and_does_not_run(content, tmp_path) -> None:
    file = tmp_path / FILE_NAME
    if content == "pickled module":
        torch.save(torch.nn.Conv2d(1, 1, 1), file)
    elif content == "trap":
        torch.save({"a": Trap(str(tmp_path / "mark"))}, file)
    else:
        file.write_text("please log in" if content == "text" else "")
    with pytest.raises(UserError, match=r"(cannot be read|not unpickled here)[^\n]*never run here[^\n]*$"):
        TorchXRayVision(weights=file).extract(films(1))
    assert not (tmp_path / "mark").exists()


def test_weights_of_another_network_are_refused(state, tmp_path) -> None:
    save_file({k: v for k, v in state.items() if "denseblock4" not in k}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"160 of 604 tensors are missing, features\.denseblock4[^\n]*$"):
        TorchXRayVision(weights=tmp_path / "other.safetensors").build()


def test_randomness_and_warnings_are_left_alone(folder) -> None:
    before, filters = torch.get_rng_state(), list(warnings.filters)
    TorchXRayVision(weights=folder / FILE_NAME).extract(films(1))
    assert torch.equal(torch.get_rng_state(), before)
    assert warnings.filters == filters


def test_nothing_heavy_is_imported_with_the_module(run_python) -> None:
    done = run_python(
        "-c", "import sys, benchmarks.metrics.extractors.xrv; print({'torch', 'torchxrayvision'} & set(sys.modules))"
    )
    assert done.stdout.strip() == "set()"
