"""The VAE family: what it draws, its networks, LPIPS, its use as a first stage, and what its options change."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.check.checks import check_generator, make_images
from data.images import ImageSet
from generators.fs_gmvae import FSGMVAE, FSGMVAEConfig
from generators.gmvae import GMVAE, GMVAEConfig
from generators.nets.decoders import LinearDecoder
from generators.nets.encoders import REDUCTIONS, ResNetEncoder, TimmEncoder, VectorHead
from generators.perceptual import FILE_NAMES, load_lpips
from generators.vae import VAE, VAEConfig
from generators.vae_base import VAEFamily
from generators.vae_options import FamilyConfig
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")

FAMILY: tuple[type[VAEFamily], ...] = (VAE, GMVAE, FSGMVAE)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fit(config: FamilyConfig, train: ImageSet, folder: Path, steps: int = 4, **work: Any) -> Any:
    cls = {VAEConfig: VAE, GMVAEConfig: GMVAE, FSGMVAEConfig: FSGMVAE}[type(config)]
    model = cls(config)
    model.report = model.fit(train, seed=1, work=Work(folder, budget=Budget(steps), **work))
    return model


def tiny(cls: type[VAEFamily] = VAE, **change: Any) -> Any:
    return dataclasses.replace(cls.tiny_config(), **change)


@pytest.fixture
def train() -> ImageSet:
    return make_images(multilabel=False, channels=1, size=16)


# -- drawing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", FAMILY)
def test_labels_are_honoured(cls: type[VAEFamily], tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=16, n=96)
    config = tiny(cls, widths=(16, 32), batch=16, lr=4e-3, label_width=16, beta=0.1)
    model = fit(config, train, tmp_path, 120)
    asked = torch.arange(60) % 3
    drawn = model.sample(asked, seed=2).float()[:, 0]
    thirds = torch.stack([part.mean((1, 2)) for part in drawn[:, 4:12].tensor_split(3, dim=2)], dim=1)
    assert (thirds.argmax(1) == asked).float().mean() > 0.9
    assert abs(drawn.mean() - train.images.float().mean()) < 20


def test_without_being_told_labels_the_mixture_shows_them_through_its_components(tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=16, n=96)
    config = tiny(GMVAE, widths=(16, 32), batch=16, lr=4e-3, conditional=False, context=0, beta=0.1)
    model = fit(config, train, tmp_path, 150)
    asked = torch.arange(60) % 3
    drawn = model.sample(asked, seed=2).float()[:, 0]
    thirds = torch.stack([part.mean((1, 2)) for part in drawn[:, 4:12].tensor_split(3, dim=2)], dim=1)
    assert (thirds.argmax(1) == asked).float().mean() > 0.5
    assert len(model.report.facts["component_shares"]) == 3


# -- networks -------------------------------------------------------------------------------------------------------

VARIANTS = {
    "vae-vector-deconv": (VAE, {"latent": "vector", "latent_size": 5, "decoder": "deconv", "draw_from": "prior"}),
    "vae-spatial-linear": (VAE, {"decoder": "linear", "hidden": (8,), "kernel_width": 1.0, "ema": 0.9}),
    "vae-spatial-deconv": (VAE, {"decoder": "deconv", "conditional": False, "patch": 4, "transition": 6}),
    "vae-vector-upsample": (VAE, {"latent": "vector", "latent_size": 5, "transition": 7}),
    "gmvae-spatial": (
        GMVAE,
        {"latent": "spatial", "context": 0, "latent_channels": 2, "conditional": False, "free_bits": 0.5},
    ),
    "fs_gmvae-linear": (FSGMVAE, {"decoder": "linear", "hidden": (), "conditional": True}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_latent_and_decoder_keeps_the_contract(name: str) -> None:
    base, change = VARIANTS[name]
    config = tiny(base, **change)
    variant = type(base.__name__, (base,), {"tiny_config": classmethod(lambda cls: config)})
    multilabel = name in ("vae-vector-deconv", "gmvae-spatial", "fs_gmvae-linear")
    results = check_generator(variant, multilabel=multilabel, channels=3 if multilabel else 1, size=28)
    assert [r for r in results if not r.passed] == []


@pytest.mark.parametrize(("patch", "widths", "factor"), [(1, (8,), 1), (2, (8, 16), 4), (1, (8, 8, 16), 4)])
def test_the_encoder_halves_once_a_width(patch: int, widths: tuple[int, ...], factor: int) -> None:
    net = ResNetEncoder(channels=3, widths=widths, n_blocks=1, patch=patch)
    assert net.factor == factor
    assert net(torch.zeros(2, 3, 16, 16)).shape == (2, widths[-1], 16 // factor, 16 // factor)


@pytest.mark.parametrize("name", ["vgg16", "densenet121"])
def test_timm_features_come_at_the_stride_asked_for(name: str) -> None:
    for factor in REDUCTIONS[name][1:3]:
        net = TimmEncoder(name, factor=factor, frozen=True, weights=None)
        assert net(torch.zeros(1, 1, 16, 16)).shape == (1, net.width, 16 // factor, 16 // factor)


def test_a_stride_that_has_no_features_is_refused() -> None:
    with pytest.raises(UserError, match="features at strides 2, 4, 8, 16, 32"):
        TimmEncoder("densenet121", factor=1, frozen=True, weights=None)


@pytest.mark.parametrize("encoder", ["vgg16", "densenet121"])
def test_what_a_family_on_a_published_encoder_computes_is_known_before_it_is_trained(encoder: str) -> None:
    model = VAE(VAEConfig(encoder=encoder, widths=(8, 16), latent="vector", latent_size=6))  # type: ignore[arg-type]
    known = model.operations(channels=1, size=16, n_classes=3, multilabel=False, n_steps=4)
    assert known is not None and known.of_a_step() > 0 and known.parameters > 10_000


@pytest.mark.parametrize("frozen", [True, False])
def test_a_frozen_encoder_does_not_change(frozen: bool, train: ImageSet, tmp_path: Path) -> None:
    config = tiny(encoder="densenet121", encoder_frozen=frozen, patch=1, batch=4)
    shape = VAE(config)
    model = fit(config, train, tmp_path, 2)
    from generators.saving import Shape
    from synthworth.devices import isolated_randomness
    from synthworth.keys import seed_from

    shape.shape = Shape.of(train)
    with isolated_randomness(seed_from(1, "initial weights")):
        before = shape._build().encoder.net.state_dict()
    after = model.net.encoder.net.state_dict()
    changed = [name for name in before if not torch.equal(before[name], after[name])]
    assert bool(changed) is not frozen


def test_the_encoder_begins_with_the_weights_of_a_file(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = TimmEncoder("densenet121", factor=2, frozen=True, weights=None).net.state_dict()
    whole = {name.replace("features_", "features."): value for name, value in state.items()}
    import timm

    complete = {k: v.clone() for k, v in timm.create_model("densenet121").state_dict().items()} | whole
    save_file(complete, tmp_path / "own.safetensors")
    loaded = TimmEncoder("densenet121", factor=2, frozen=True, weights=tmp_path / "own.safetensors").net.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def test_nothing_in_a_file_of_encoder_weights_is_executed(tmp_path: Path) -> None:
    torch.save({"state_dict": Payload(tmp_path / "executed")}, tmp_path / "own.pth")
    with pytest.raises(UserError, match="which is not unpickled here"):
        TimmEncoder("densenet121", factor=2, frozen=True, weights=tmp_path / "own.pth")
    assert not (tmp_path / "executed").exists()
    with pytest.raises(UserError, match="no such file"):
        TimmEncoder("densenet121", factor=2, frozen=True, weights=tmp_path / "absent.safetensors")


def test_an_encoder_with_half_its_weights_is_refused_and_one_under_a_prefix_is_read(tmp_path: Path) -> None:
    import timm

    with torch.device("meta"):
        shapes = timm.create_model("densenet121").state_dict()
    whole = {f"model.{k}": torch.full(v.shape, 0.5).to(v.dtype) for k, v in shapes.items() if "classifier" not in k}
    torch.save({"state_dict": whole}, tmp_path / "own.pth")
    net = TimmEncoder("densenet121", factor=2, frozen=True, weights=tmp_path / "own.pth").net
    assert all(bool((t == 0.5).all()) for t in net.state_dict().values() if t.is_floating_point())
    lacking = {k: v for k, v in whole.items() if "denseblock1.denselayer1." not in k}
    torch.save(lacking, tmp_path / "own.pth")
    says = r"10 of 604 tensors are missing, features\.denseblock1\.denselayer1\.norm1\.weight for one"
    with pytest.raises(UserError, match=says):
        TimmEncoder("densenet121", factor=2, frozen=True, weights=tmp_path / "own.pth")


def test_the_transition_layer_has_the_width_asked_for() -> None:
    head = VectorHead(features=(6, 4, 4), size=5, transition=7, label_width=3)
    assert head.transition[0].out_features == 7
    assert head.out.in_features == 10
    assert head(torch.zeros(2, 6, 4, 4), torch.zeros(2, 3)).shape == (2, 10)
    assert VectorHead(features=(6, 4, 4), size=5, transition=0, label_width=0).out.in_features == 96


def test_the_linear_decoder_without_hidden_layers_is_affine() -> None:
    net = LinearDecoder((3,), channels=1, size=4, hidden=(), label_width=0)
    a, b = torch.randn(2, 1, 3, generator=seeded())
    zero = net(torch.zeros(1, 3), None)
    assert torch.allclose(net(a + b, None) - zero, net(a, None) + net(b, None) - 2 * zero, atol=1e-5)


# -- LPIPS ----------------------------------------------------------------------------------------------------------


def local_weights() -> Path | None:
    folder = os.environ.get("SYNTHWORTH_WEIGHTS")
    found = [Path(folder, name) for name in FILE_NAMES if Path(folder, name).is_file()] if folder else []
    return found[0] if found else None


@pytest.mark.skipif(local_weights() is None, reason="SYNTHWORTH_WEIGHTS holds no AlexNet weights")
def test_lpips_is_that_of_its_package() -> None:
    import lpips

    ours = load_lpips(None)
    with pytest.warns(UserWarning, match="deprecated"), torch.random.fork_rng():
        theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    state = torch.load(local_weights(), map_location="cpu", weights_only=True)
    for part in (theirs.net.slice1, theirs.net.slice2, theirs.net.slice3, theirs.net.slice4, theirs.net.slice5):
        part.load_state_dict({k: state[f"features.{k}"] for k in part.state_dict()})
    one, other = torch.rand(2, 3, 3, 64, 64, generator=seeded()) * 2 - 1
    assert torch.allclose(ours(one, other), theirs(one, other).flatten(), atol=1e-5)
    assert ours(one, one).tolist() == [0.0, 0.0, 0.0]
    small = torch.rand(2, 2, 1, 28, 28, generator=seeded()) * 2 - 1
    assert torch.isfinite(ours(small[0], small[1])).all()
    flat = torch.full((1, 1, 28, 28), -1.0, requires_grad=True)
    ours(flat, small[0][:1]).sum().backward()
    assert torch.isfinite(flat.grad).all()


@pytest.mark.skipif(local_weights() is None, reason="SYNTHWORTH_WEIGHTS holds no AlexNet weights")
def test_training_with_lpips_resumes_and_reports_it(train: ImageSet, tmp_path: Path) -> None:
    config = tiny(perceptual=0.5, perceptual_weights=local_weights())
    model = fit(config, train, tmp_path, 2)
    assert model.report.history[-1]["lpips"] > 0
    row = model.report.history[-1]
    assert row["loss"] == pytest.approx(row["squared_error"] + config.beta * row["kl"] + 0.5 * row["lpips"], rel=1e-5)
    model.save(tmp_path)
    loaded = VAE.load(tmp_path, device="cpu")
    assert loaded.config.perceptual_weights is None
    assert digest(loaded.config) == digest(model.config)


def test_lpips_without_weights_says_what_to_do(
    train: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHWORTH_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("SYNTHWORTH_OFFLINE", "1")
    with pytest.raises(UserError, match=r"--gen\.perceptual 0"):
        fit(tiny(perceptual=1.0), train, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_weights_that_are_not_alexnets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("SYNTHWORTH_WEIGHTS", str(tmp_path))
    file = tmp_path / FILE_NAMES[0]
    file.write_bytes(b"anything")
    with pytest.raises(UserError, match="cannot be read"):
        load_lpips(None)
    torch.save({"features.0.weight": torch.zeros(1)}, file)
    with pytest.raises(UserError, match="9 of 10 tensors are missing"):
        load_lpips(None)


# -- a first stage --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("latent", ["vector", "spatial"])
def test_images_go_to_latents_and_back(latent: str, train: ImageSet, tmp_path: Path) -> None:
    model = fit(tiny(latent=latent, conditional=False, draw_from="prior"), train, tmp_path)
    mean, logvar = model.encode(train.images)
    assert mean.shape == logvar.shape == (len(train), *model.latent_shape)
    assert mean.dtype == torch.float32
    model.config = dataclasses.replace(model.config, sample_batch=5)
    assert torch.allclose(model.encode(train.images)[0], mean, atol=1e-5)
    back = model.decode(mean)
    assert back.shape == train.images.shape and back.dtype == torch.uint8
    assert int((back.int() - model.reconstruct(train.images).int()).abs().max()) <= 1
    assert model.encode(train.images[:0])[0].shape == (0, *model.latent_shape)
    assert "active_units" not in model.report.facts


def test_a_conditional_autoencoder_asks_for_labels(train: ImageSet, tmp_path: Path) -> None:
    model = fit(tiny(), train, tmp_path)
    assert model.reconstruct(train.images[:3], train.labels[:3]).shape == (3, 1, 16, 16)
    for call in (model.encode, model.reconstruct):
        with pytest.raises(UserError, match="pass them"):
            call(train.images[:3])


def test_the_more_it_trains_the_better_it_reconstructs(train: ImageSet, tmp_path: Path) -> None:
    errors = []
    for steps in (2, 60):
        model = fit(tiny(conditional=False, widths=(16, 32)), train, tmp_path / str(steps), steps)
        errors.append((model.reconstruct(train.images).float() - train.images.float()).square().mean().item())
    assert errors[1] < 0.5 * errors[0]


@pytest.mark.parametrize("cls", FAMILY)
def test_snapshots_change_nothing(cls: type[VAEFamily], train: ImageSet, tmp_path: Path) -> None:
    plain, watched = fit(tiny(cls), train, tmp_path / "a"), fit(tiny(cls), train, tmp_path / "b", snapshot_epochs=0.3)
    assert len(list((tmp_path / "b" / "snapshots").glob("*.png"))) == 2
    assert plain.report.history == watched.report.history
    assert torch.equal(plain.sample(train.labels, seed=3), watched.sample(train.labels, seed=3))


def test_parts_of_a_batch_train_like_the_whole(train: ImageSet, tmp_path: Path) -> None:
    model = fit(tiny(accumulate=2, beta=0.0), train, tmp_path)
    assert model.report.images_seen == 4 * 8
    with pytest.raises(UserError, match="8 images of a batch are cut into as many equal parts"):
        fit(tiny(accumulate=3), train, tmp_path / "odd")


# -- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "change", "says"),
    [
        (VAE, {"kernel_width": 1.0, "latent": "vector"}, "smooths a spatial latent"),
        (VAE, {"patch": 3}, "out of range"),
        (VAE, {"rank": -1}, "out of range"),
        (VAE, {"encoder_pretrained": True}, "begins untrained"),
        (VAE, {"encoder": "vgg16", "encoder_weights": Path("nowhere.safetensors")}, "no such file"),
        (VAE, {"perceptual_weights": Path("nowhere.pt")}, "no such file"),
        (GMVAE, {"free_bits": 3.0}, "cannot exceed log K"),
        (GMVAE, {"components": 0}, "begin at 1"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    cls: type[VAEFamily], change: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        tiny(cls, **change)


def test_a_weights_file_is_known_by_its_content_and_not_by_its_path(tmp_path: Path) -> None:
    for name, content in (("a.pt", b"one"), ("b.pt", b"one"), ("c.pt", b"two")):
        (tmp_path / name).write_bytes(content)
    one, same, other = (VAEConfig(perceptual_weights=tmp_path / f"{n}.pt") for n in "abc")
    assert digest(one) == digest(same) != digest(other)
    with pytest.raises(UserError, match=r"not .* as asked"):
        VAEConfig(perceptual_weights=tmp_path / "c.pt", perceptual_sha256=one.perceptual_sha256)


def test_a_class_without_an_image_is_refused(train: ImageSet, tmp_path: Path) -> None:
    lacking = train.subset(np.flatnonzero(train.labels.numpy() != 1))
    with pytest.raises(UserError, match="no training image shows middle"):
        fit(tiny(), lacking, tmp_path)
