"""The VAE family: what its terms compute, what it draws, and what its options change."""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from benchmarks.contract import check_generator, make_images
from data.base import ImageSet
from generators.correlated import correlate, gaussian_kernel, white_side
from generators.fs_gmvae import FSGMVAE, FSGMVAEConfig
from generators.gmvae import GMVAE, GMVAEConfig
from generators.nets.decoders import LinearDecoder
from generators.nets.encoders import REDUCTIONS, ResNetEncoder, TimmEncoder, VectorHead
from generators.nets.priors import LabelPrior, MixturePrior, StandardPrior, gaussian_kl, principal_directions
from generators.perceptual import FILE_NAMES, load_lpips
from generators.vae import VAE, VAEConfig
from generators.vae_base import FamilyConfig, VAEFamily
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


# -- divergences ----------------------------------------------------------------------------------------------------


def test_the_kl_of_two_gaussians_is_that_of_torch() -> None:
    mean, logvar, other, spread = (torch.randn(4, 7, generator=seeded(k)) for k in range(4))
    ours = gaussian_kl(mean, logvar, other, spread)
    exact = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(other, (spread / 2).exp())).sum(1)
    assert torch.allclose(ours, exact, atol=1e-5)
    assert gaussian_kl(torch.zeros(2, 3), torch.zeros(2, 3)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("multilabel", [False, True])
def test_the_supervised_prior_is_the_gaussian_of_the_label(multilabel: bool) -> None:
    prior = LabelPrior((5,), kernel_width=0.0, n_classes=3)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=seeded(3)) / 2)
    labels = torch.tensor([[1, 0, 1]], dtype=torch.uint8) if multilabel else torch.tensor([2])
    rows = [0, 2] if multilabel else [2]
    mu = prior.base[0] + sum(prior.table[k, 0] for k in rows)
    log_variance = prior.base[1] + sum(prior.table[k, 1] for k in rows)
    mean, logvar = torch.randn(1, 5, generator=seeded(1)), torch.randn(1, 5, generator=seeded(2))
    exact = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(mu, (log_variance / 2).exp())).sum()
    assert prior.divergence(mean, logvar, labels)["kl"].item() == pytest.approx(exact.item(), rel=1e-5)
    noise = torch.randn(40_000, 5, generator=seeded(4))
    drawn = prior.draw(noise, labels.expand(40_000, *labels.shape[1:]))
    assert torch.allclose(drawn.mean(0), mu, atol=0.05)
    assert torch.allclose(drawn.std(0), (log_variance / 2).exp(), atol=0.05)


def make_mixture(*, context: int = 0, free_bits: float = 0.0, multilabel: bool = False) -> MixturePrior:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        prior = MixturePrior(
            (2,), kernel_width=0.0, n_components=3, context=context, hidden=4, free_bits=free_bits, n_classes=2,
            multilabel=multilabel,
        )  # fmt: skip
        for parameter in prior.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
    return prior.requires_grad_(False)


@pytest.mark.parametrize("context", [0, 1])
def test_the_bound_of_the_mixture_is_what_brute_force_finds(context: int) -> None:
    prior, n = make_mixture(context=context), 200_000
    mean, logvar = torch.tensor([[0.4, -0.6]]), torch.tensor([[-1.0, -0.5]])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        many = mean.expand(50_000 if context else 1, -1), logvar.expand(50_000 if context else 1, -1)
        ours = prior.divergence(*many, torch.zeros(1, dtype=torch.int64))["kl"].mean()
        torch.manual_seed(2)
        q_z, w, ratio = Normal(mean, (logvar / 2).exp()), None, torch.zeros(n)
        if context:
            w_mean, w_logvar = prior.recognise(torch.cat([mean, logvar], dim=1)).chunk(2, dim=1)
            q_w = Normal(w_mean, (w_logvar / 2).exp())
            w = q_w.sample((n,))[:, 0]
            ratio += (q_w.log_prob(w) - Normal(0.0, 1.0).log_prob(w)).sum(1)
        q, _ = prior.assign(mean, logvar, w)
        c, z = Categorical(q.expand(n, -1)).sample(), q_z.sample((n,))[:, 0]
        of_mean, of_logvar = (side.expand(n, -1, -1)[torch.arange(n), c] for side in prior.gaussians(w))
        ratio += q_z.log_prob(z).sum(1) - Normal(of_mean, (of_logvar / 2).exp()).log_prob(z).sum(1)
        ratio += q.expand(n, -1)[torch.arange(n), c].log() + math.log(3)
    assert ours.item() == pytest.approx(ratio.mean().item(), abs=0.02)


def test_the_assignment_maximises_the_bound() -> None:
    prior = make_mixture()
    mean, logvar = torch.tensor([[0.4, -0.6]]), torch.tensor([[-1.0, -0.5]])
    best, kl = prior.assign(mean, logvar, None)
    least = prior.divergence(mean, logvar, torch.zeros(1))["kl"]
    for seed in range(20):
        q = torch.softmax(best.log() + torch.randn(1, 3, generator=seeded(seed)) / 3, dim=1)
        assert (q * (kl + q.log() + math.log(3))).sum() > least


def test_free_bits_are_a_floor_under_the_component_term() -> None:
    mean, logvar, labels = torch.zeros(2, 2), torch.zeros(2, 2), torch.zeros(2, dtype=torch.int64)
    floors = {}
    for free_bits in (0.0, 0.7):
        prior = make_mixture(free_bits=free_bits)
        for parameter in prior.parameters():
            torch.nn.init.zeros_(parameter)  # all components are one: every image is shared evenly
        terms = prior.divergence(mean, logvar, labels)
        assert torch.allclose(terms["component_kl"], torch.zeros(2), atol=1e-6)
        floors[free_bits] = terms["kl"].mean().item()
    assert floors == {0.0: pytest.approx(0.0, abs=1e-6), 0.7: pytest.approx(0.7)}


@pytest.mark.parametrize("multilabel", [False, True])
def test_component_usage_is_reported_and_drawn_from_by_label(multilabel: bool) -> None:
    prior = make_mixture(multilabel=multilabel)
    prior.mean.copy_(torch.tensor([[10.0, 0.0], [-10.0, 0.0], [0.0, 50.0]]))
    prior.logvar.zero_()
    classes = torch.tensor([0] * 30 + [1] * 10)
    latents = prior.mean[classes] + 0.1 * torch.randn(40, 2, generator=seeded())
    labels = torch.stack([classes == 0, classes == 1], dim=1).byte() if multilabel else classes
    facts = prior.settle(latents, torch.zeros(40, 2), labels)
    assert facts["component_shares"] == [0.75, 0.25, 0.0]
    assert facts["effective_components"] == pytest.approx(math.exp(0.75 * math.log(4 / 3) + 0.25 * math.log(4)), abs=1e-3)
    assert facts["assignment_entropy"] == pytest.approx(0.0, abs=1e-4)
    weights = prior.weights(labels[[0, -1]])
    assert weights[0, 0] > 0.9 and weights[1, 1] > 0.8
    noise = torch.randn(4000, prior.n_noise, generator=seeded(1))
    drawn = prior.draw(noise, labels[:1].expand(4000, *labels.shape[1:]))
    assert (drawn[:, 0] > 5).float().mean().item() == pytest.approx(weights[0, 0].item(), abs=0.03)


# -- drawing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [0.5, 1.0, 2.0])
def test_correlated_noise_has_unit_variance_everywhere_and_the_asked_correlation(width: float) -> None:
    side, n = 6, 30_000
    white = torch.randn(n, 1, *(2 * [white_side(side, width)]), generator=seeded())
    noise = correlate(white, width)
    assert noise.shape == (n, 1, side, side)
    assert torch.allclose(noise.var(0), torch.ones(1, side, side), atol=0.05)
    for lag in (1, 2, 3):
        for near, far in ((noise[..., lag:], noise[..., :-lag]), (noise[..., lag:, :], noise[..., :-lag, :])):
            found = (near * far).mean((0, 1, 2, 3)).item()
            kernel = gaussian_kernel(width)
            assert found == pytest.approx(float((kernel[lag:] * kernel[:-lag]).sum()), abs=0.02)
            if width >= 1:
                assert found == pytest.approx(math.exp(-(lag**2) / (4 * width**2)), abs=0.03)


def test_kernel_width_zero_leaves_the_noise_white() -> None:
    white = torch.randn(2, 3, 5, 5, generator=seeded())
    assert white_side(5, 0.0) == 5
    assert torch.equal(correlate(white, 0.0), white)


@pytest.mark.parametrize("n_images", [40, 400])
def test_principal_directions_are_those_of_the_covariance(n_images: int) -> None:
    mixing = torch.randn(60, 60, generator=seeded(), dtype=torch.float64) / torch.arange(1, 61)
    rows = torch.randn(n_images, 60, generator=seeded(1), dtype=torch.float64) @ mixing.T
    rows = rows - rows.mean(0)
    basis = principal_directions(rows, 5)
    values = torch.linalg.eigvalsh(rows.T @ rows / n_images)[-5:]
    assert torch.allclose(basis @ basis.T, torch.diag(values), atol=1e-8)


def test_the_fitted_posterior_draws_means_and_covariances_of_the_latents() -> None:
    n = 4000
    labels = torch.arange(n) % 2
    hidden = torch.randn(n, 2, generator=seeded())
    mixing = torch.tensor([[1.0, 0.5, 0.0, -1.0], [0.0, 1.0, 1.0, 0.3]])
    mean = hidden @ mixing + torch.tensor([[3.0, 0, 0, 0], [0, 0, -2.0, 0]])[labels]
    logvar = torch.full((n, 4), math.log(0.04))
    prior = StandardPrior((4,), kernel_width=0.0, draw_from="posterior", rank=2, n_classes=2)
    facts = prior.settle(mean, logvar, labels)
    assert facts["active_units"] == 4
    asked = torch.arange(20_000) % 2
    drawn = prior.draw(torch.randn(20_000, prior.n_noise, generator=seeded(1)), asked)
    for k in (0, 1):
        assert torch.allclose(drawn[asked == k].mean(0), mean[labels == k].mean(0), atol=0.06)
        wanted = torch.cov(mean[labels == k].T) + 0.04 * torch.eye(4)
        assert torch.allclose(torch.cov(drawn[asked == k].T), wanted, atol=0.12)


@pytest.mark.parametrize("cls", FAMILY)
def test_labels_are_honoured(cls: type[VAEFamily], tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=16, n=96)
    config = tiny(cls, widths=(16, 32), batch=16, lr=4e-3, label_width=16)
    model = fit(config, train, tmp_path, 120)
    asked = torch.arange(60) % 3
    drawn = model.sample(asked, seed=2).float()[:, 0]
    thirds = torch.stack([part.mean((1, 2)) for part in drawn[:, 4:12].tensor_split(3, dim=2)], dim=1)
    assert (thirds.argmax(1) == asked).float().mean() > 0.9
    assert abs(drawn.mean() - train.images.float().mean()) < 20


def test_without_being_told_labels_the_mixture_shows_them_through_its_components(tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=16, n=96)
    model = fit(tiny(GMVAE, widths=(16, 32), batch=16, lr=4e-3, conditional=False, context=0), train, tmp_path, 150)
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
    "gmvae-spatial": (GMVAE, {"latent": "spatial", "latent_channels": 2, "conditional": False, "free_bits": 0.5}),
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
    with pytest.raises(UserError, match="cannot be had"):
        TimmEncoder("densenet121", factor=2, frozen=True, weights=tmp_path / "absent.safetensors")


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
    with pytest.raises(UserError, match="--gen.perceptual 0"):
        fit(tiny(perceptual=1.0), train, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_weights_that_are_not_alexnets_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("SYNTHWORTH_WEIGHTS", str(tmp_path))
    file = tmp_path / FILE_NAMES[0]
    file.write_bytes(b"anything")
    with pytest.raises(UserError, match="not a file of tensors"):
        load_lpips(None)
    torch.save({"features.0.weight": torch.zeros(1)}, file)
    with pytest.raises(UserError, match="torchvision's names"):
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
    with pytest.raises(UserError, match="cannot be cut"):
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
def test_options_that_contradict_each_other_are_refused(cls: type[VAEFamily], change: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        tiny(cls, **change)


def test_a_weights_file_is_known_by_its_content_and_not_by_its_path(tmp_path: Path) -> None:
    for name, content in (("a.pt", b"one"), ("b.pt", b"one"), ("c.pt", b"two")):
        (tmp_path / name).write_bytes(content)
    one, same, other = (VAEConfig(perceptual_weights=tmp_path / f"{n}.pt") for n in "abc")
    assert digest(one) == digest(same) != digest(other)
    with pytest.raises(UserError, match="not .* as asked"):
        VAEConfig(perceptual_weights=tmp_path / "c.pt", perceptual_sha256=one.perceptual_sha256)


def test_a_class_without_an_image_is_refused(train: ImageSet, tmp_path: Path) -> None:
    lacking = train.subset(np.flatnonzero(train.labels.numpy() != 1))
    with pytest.raises(UserError, match="no training image shows middle"):
        fit(tiny(), lacking, tmp_path)
