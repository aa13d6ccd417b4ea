"""The built-in generators: what their parts compute, and that they learn at all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.contract import make_images
from data.base import ImageSet
from generators.dcgan import DCGAN
from generators.diffusion import DDIM, denoising_loss, make_noising
from generators.latent_ddpm import LatentDDPM, LatentDDPMConfig
from generators.nets.autoencoder import Autoencoder, elbo_terms
from generators.nets.dcgan import Ladder
from generators.nets.denoiser import Denoiser
from generators.nets.labels import LabelEmbedding
from generators.noise import draw_chunks
from generators.padding import cut_signed, pad_signed
from synthworth.errors import UserError
from synthworth.work import Budget, Work

TINY = LatentDDPM.tiny_config()


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def train() -> ImageSet:
    return make_images(multilabel=False, channels=1, size=32)


def test_noise_of_a_row_depends_on_neither_request_nor_chunk() -> None:
    whole = torch.cat([noise for _, noise in draw_chunks(11, (3, 5), seed=4, chunk=100)])
    for n, chunk in [(11, 1), (11, 4), (6, 5), (1, 9)]:
        rows = [(rows, noise) for rows, noise in draw_chunks(n, (3, 5), seed=4, chunk=chunk)]
        assert torch.equal(torch.cat([noise for _, noise in rows]), whole[:n])
        assert [i for r, _ in rows for i in range(n)[r]] == list(range(n))
    assert list(draw_chunks(0, (3,), seed=4, chunk=2)) == []


@pytest.mark.parametrize(("size", "padded"), [(28, 32), (32, 32), (33, 48), (50, 64)])
def test_padding_is_inverted_byte_for_byte(size: int, padded: int) -> None:
    images = torch.randint(0, 256, (3, 1, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    larger = pad_signed(images, padded)
    assert larger.shape == (3, 1, padded, padded)
    assert torch.equal(cut_signed(larger, size), images)


@pytest.mark.parametrize(("size", "start", "end"), [(28, 7, 28), (32, 4, 32), (50, 7, 56), (64, 4, 64), (256, 4, 256)])
def test_the_ladder_of_dcgan_reaches_every_size(size: int, start: int, end: int) -> None:
    ladder = Ladder.reaching(size)
    assert (ladder.start, ladder.end) == (start, end)


def test_a_label_vector_is_embedded_as_the_sum_of_its_findings() -> None:
    multi = LabelEmbedding(3, 5, multilabel=True)
    single = LabelEmbedding(3, 5, multilabel=False)
    single.load_state_dict(multi.state_dict())
    of_both = multi(torch.tensor([[1, 0, 1]], dtype=torch.uint8))
    assert torch.allclose(of_both, single(torch.tensor([0])) + single(torch.tensor([2])))
    assert not multi(torch.zeros((1, 3), dtype=torch.uint8)).any()


def test_the_kl_term_is_that_of_two_gaussians() -> None:
    mean, logvar = torch.tensor([[[[0.5]]]]), torch.tensor([[[[-1.0]]]])
    images = torch.zeros(1, 1, 2, 2)
    exact = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * logvar).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    error, kl = elbo_terms(images, (images + 0.5, mean, logvar))
    assert error.item() == pytest.approx(0.25)
    assert kl.item() == pytest.approx(exact.item() / 4)


@pytest.mark.parametrize(("patch", "widths", "factor"), [(1, (8,), 1), (2, (8, 16), 4), (1, (8, 8, 16), 4)])
def test_the_autoencoder_halves_once_a_width(patch: int, widths: tuple[int, ...], factor: int) -> None:
    net = Autoencoder(channels=3, latent=2, widths=widths, n_blocks=1, patch=patch)
    mean, logvar = net.encode(torch.zeros(2, 3, 16, 16))
    assert net.factor == factor
    assert mean.shape == logvar.shape == (2, 2, 16 // factor, 16 // factor)
    assert net.decode(mean).shape == (2, 3, 16, 16)


class Oracle(torch.nn.Module):
    """Predicts what points from any noisy image to one known clean image: the perfect denoiser."""

    def __init__(self, clean: torch.Tensor, schedule: str, prediction: str) -> None:
        super().__init__()
        self.clean, self.prediction = clean, prediction
        self.alphas = make_noising(schedule, prediction).alphas_cumprod

    def forward(
        self, x: torch.Tensor, steps: torch.Tensor, labels: torch.Tensor, dropped: torch.Tensor | None = None
    ) -> torch.Tensor:
        a = self.alphas[steps][:, None, None, None]
        noise = (x - a.sqrt() * self.clean) / (1 - a).sqrt()
        return noise if self.prediction == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * self.clean


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize(
    ("schedule", "prediction"),
    [("linear", "epsilon"), ("linear", "v_prediction"), ("squaredcos_cap_v2", "v_prediction")],
)
def test_ddim_with_a_perfect_denoiser_draws_the_image_it_knows(schedule: str, prediction: str, guidance: float) -> None:
    clean = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    draw = DDIM(schedule=schedule, prediction=prediction, n_steps=10, guidance=guidance)
    ((_, noise),) = draw_chunks(3, (1, 4, 4), seed=1, chunk=3)
    drawn = draw(Oracle(clean, schedule, prediction), noise, torch.zeros(3, dtype=torch.int64))
    assert torch.allclose(drawn, clean.expand_as(drawn), atol=0.05)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_the_denoising_loss_of_a_perfect_denoiser_is_zero(prediction: str) -> None:
    clean = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    noising = make_noising("linear", prediction)
    batch = clean.expand(8, 1, 4, 4)
    with torch.random.fork_rng():
        loss = denoising_loss(
            Oracle(clean, "linear", prediction), noising, batch, torch.zeros(8, dtype=torch.int64), drop=0.5
        )
    assert loss.item() < 1e-6


def test_guidance_one_costs_one_pass_and_above_it_two() -> None:
    passes: list[bool] = []

    class Counting(torch.nn.Module):
        def forward(self, x: torch.Tensor, steps: object, labels: object, dropped: object = None) -> torch.Tensor:
            passes.append(dropped is not None)
            return torch.zeros_like(x)

    for guidance in (1.0, 2.0):
        draw = DDIM(schedule="linear", prediction="epsilon", n_steps=4, guidance=guidance)
        draw(Counting(), torch.zeros(2, 1, 4, 4), torch.zeros(2, dtype=torch.int64))
    assert passes == [False] * 4 + [False, True] * 4


def test_a_dropped_label_leaves_no_trace() -> None:
    net = Denoiser(channels=1, size=4, n_classes=3, multilabel=False, widths=(16, 16), n_blocks=1).eval()
    x, steps, dropped = torch.randn(3, 1, 4, 4), torch.tensor([5, 5, 5]), torch.tensor([True, True, True])
    with torch.inference_mode():
        one, other = (net(x, steps, torch.tensor(y), dropped) for y in ([0, 1, 2], [2, 0, 1]))
        told = net(x, steps, torch.tensor([0, 1, 2]))
    assert torch.equal(one, other)
    assert not torch.allclose(one, told)


def fit(config: LatentDDPMConfig, train: ImageSet, folder: Path, steps: int = 6) -> LatentDDPM:
    model = LatentDDPM(config)
    model.fit(train, seed=1, work=Work(folder, budget=Budget(steps)))
    return model


@pytest.mark.parametrize("size", [28, 50])
def test_latent_ddpm_draws_any_size(size: int, tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=size)
    drawn = fit(TINY, train, tmp_path).sample(train.labels[:3], seed=2)
    assert drawn.shape == (3, 1, size, size)


@pytest.mark.parametrize("standardise", ["channel", "dimension"])
def test_latents_are_kept_and_standardised(standardise: str, train: ImageSet, tmp_path: Path) -> None:
    model = fit(dataclasses.replace(TINY, standardise=standardise), train, tmp_path)  # type: ignore[arg-type]
    kept = load_file(tmp_path / "latents.safetensors")
    axes = (0, 2, 3) if standardise == "channel" else (0,)
    scaled = (kept["mean"] - model.mean) / model.std
    assert torch.allclose(scaled.mean(axes), torch.zeros(()), atol=1e-4)
    spread = scaled.var(axes, correction=0) + (kept["logvar"].exp() / model.std**2).mean(axes)
    assert torch.allclose(spread, torch.ones(()), atol=1e-3)


def test_a_resumed_fit_does_not_encode_again(train: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(TINY, train, tmp_path)

    def refuse(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(Autoencoder, "encode", refuse)
    fit(TINY, train, tmp_path)


def test_the_budget_is_split_between_the_stages(train: ImageSet, tmp_path: Path) -> None:
    model = LatentDDPM(dataclasses.replace(TINY, first_stage_share=0.5))
    report = model.fit(train, seed=1, work=Work(tmp_path, budget=Budget(10)))
    assert (report.steps, report.facts["first_stage_steps"]) == (10, 5)
    assert report.images_seen == 5 * TINY.first_stage_batch + 5 * TINY.batch
    assert {row["stage"] for row in report.history} == {1.0, 2.0}


def test_how_many_are_drawn_at_a_time_changes_nothing_and_is_not_identity(train: ImageSet, tmp_path: Path) -> None:
    from synthworth.keys import digest

    model = fit(TINY, train, tmp_path)
    whole = model.sample(train.labels[:10], seed=2)
    model.config = dataclasses.replace(TINY, sample_batch=3)
    apart = (model.sample(train.labels[:10], seed=2).int() - whole.int()).abs().max()
    assert int(apart) <= 1
    assert digest(model.config) == digest(TINY)


@pytest.mark.parametrize(
    ("change", "steps", "says"),
    [
        ({"guidance": 2.0, "drop": 0.0}, 6, "needs a prediction without label"),
        ({"first_stage_share": 1.0}, 6, "between 0 and 1"),
        ({}, 1, "at least 2"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    change: dict[str, float], steps: int, says: str, train: ImageSet, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=says):
        fit(dataclasses.replace(TINY, **change), train, tmp_path, steps)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cls", [LatentDDPM, DCGAN])
def test_a_class_without_an_image_is_refused(cls: type, train: ImageSet, tmp_path: Path) -> None:
    lacking = train.subset(np.flatnonzero(train.labels.numpy() != 1))
    with pytest.raises(UserError, match="no training image shows middle"):
        cls(cls.tiny_config()).fit(lacking, seed=1, work=Work(tmp_path))  # type: ignore[attr-defined]


def test_latent_ddpm_learns_to_draw_the_class_it_is_asked_for(tmp_path: Path) -> None:
    train = make_images(multilabel=False, channels=1, size=16, n=96)
    config = LatentDDPMConfig(
        widths=(16, 32), unet_widths=(32, 32), first_stage_batch=16, batch=32, sampling_steps=10, ema=0.95,
        lr=3e-3, guidance=1.0, first_stage_lr=4e-3,
    )  # fmt: skip
    model = LatentDDPM(config)
    model.fit(train, seed=1, work=Work(tmp_path, budget=Budget(150)))
    asked = torch.arange(30) % 3
    drawn = model.sample(asked, seed=2).float()[:, 0]
    thirds = torch.stack([part.mean((1, 2)) for part in drawn[:, 4:12].tensor_split(3, dim=2)], dim=1)
    assert (thirds.argmax(1) == asked).float().mean() > 0.8
    assert abs(drawn.mean() - train.images.float().mean()) < 20
