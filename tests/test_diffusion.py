"""The loss of diffusion, its samplers, and the UNets that it denoises with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from generators.diffusion import Sampler, denoising_loss, make_noising
from generators.nets.denoiser import make_denoiser
from generators.nets.labels import ConditionSpec, ConditionTokens, LabelEmbedding, LabelVector
from generators.noise import draw_chunks
from synthworth.devices import isolated_randomness
from synthworth.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("ddpm", "ddim", "dpmsolver++")
PROCESSES = tuple(itertools.product(("linear", "squaredcos_cap_v2"), ("epsilon", "v_prediction")))
SPECS = {
    "label": ConditionSpec("label", 3, False),
    "multilabel": ConditionSpec("multilabel", 3, True, n_tokens=3, width=8),
    "clip_text": ConditionSpec("clip_text", 3, False, n_tokens=5, width=8),
    "embedding": ConditionSpec("embedding", 3, False, n_tokens=2, width=8),
}


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    with isolated_randomness(0):
        yield


class Oracle(torch.nn.Module):
    """Predicts what points from any noisy image to one known clean image: the perfect denoiser."""

    def __init__(self, clean: Tensor, schedule: str, prediction: str) -> None:
        super().__init__()
        self.clean, self.prediction = clean, prediction
        self.alphas = make_noising(schedule, prediction).alphas_cumprod

    def forward(self, x: Tensor, steps: Tensor, condition: Tensor, dropped: Tensor | None = None) -> Tensor:
        a = self.alphas[steps][:, None, None, None]
        noise = (x - a.sqrt() * self.clean) / (1 - a).sqrt()
        return noise if self.prediction == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * self.clean


class GaussianOracle(torch.nn.Module):
    """The best prediction there is where every pixel of an image is drawn from N(mean, std^2)."""

    def __init__(self, mean: float, std: float, schedule: str, prediction: str) -> None:
        super().__init__()
        self.mean, self.std, self.prediction = mean, std, prediction
        self.alphas = make_noising(schedule, prediction).alphas_cumprod

    def forward(self, x: Tensor, steps: Tensor, condition: Tensor, dropped: Tensor | None = None) -> Tensor:
        a = self.alphas[steps][:, None, None, None]
        away = x - a.sqrt() * self.mean
        spread = a * self.std**2 + 1 - a
        noise, clean = (1 - a).sqrt() * away / spread, self.mean + a.sqrt() * self.std**2 * away / spread
        return noise if self.prediction == "epsilon" else a.sqrt() * noise - (1 - a).sqrt() * clean


NONE = torch.zeros(3, dtype=torch.int64)


def draw(sampler: Sampler, net: torch.nn.Module, n: int = 3, *, seed: int = 1, chunk: int = 100) -> Tensor:
    parts = []
    for rows, noise in draw_chunks(n, (1, 4, 4), seed=seed, chunk=chunk):
        condition = torch.zeros(len(noise), dtype=torch.int64)
        parts.append(sampler(net, noise, condition, seed=seed, rows=rows))
    return torch.cat(parts)


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize(("schedule", "prediction"), PROCESSES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_denoiser_draws_the_image_it_knows(
    kind: str, schedule: str, prediction: str, clip: float | None
) -> None:
    clean = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    sampler = Sampler(kind, schedule=schedule, prediction=prediction, n_steps=10, guidance=3.0, clip=clip)
    drawn = draw(sampler, Oracle(clean, schedule, prediction))
    assert torch.allclose(drawn, clean.expand_as(drawn), atol=1e-3)


@pytest.mark.parametrize(("schedule", "prediction"), PROCESSES)
@pytest.mark.parametrize(("kind", "n_steps"), [("ddpm", 250), ("ddim", 50), ("dpmsolver++", 20)])
def test_a_perfect_denoiser_of_gaussian_pixels_draws_their_mean_and_spread(
    kind: str, n_steps: int, schedule: str, prediction: str
) -> None:
    sampler = Sampler(kind, schedule=schedule, prediction=prediction, n_steps=n_steps)
    drawn = draw(sampler, GaussianOracle(0.4, 0.3, schedule, prediction), n=250)
    assert drawn.mean().item() == pytest.approx(0.4, abs=0.03)
    assert drawn.std().item() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_sampler_draws_in_a_row_depends_on_seed_and_row_alone(kind: str) -> None:
    sampler = Sampler(kind, schedule="linear", prediction="epsilon", n_steps=4)
    net = GaussianOracle(0.0, 1.0, "linear", "epsilon")
    before = torch.get_rng_state()
    whole = draw(sampler, net, n=7)
    for n, chunk in [(7, 3), (7, 1), (4, 100)]:
        assert torch.allclose(draw(sampler, net, n=n, chunk=chunk), whole[:n], atol=1e-6)
    assert torch.equal(draw(sampler, net, n=7), whole)
    assert not torch.allclose(draw(sampler, net, n=7, seed=2), whole)
    assert torch.equal(torch.get_rng_state(), before)


def test_only_the_ancestral_sampler_adds_noise_of_its_own() -> None:
    net = GaussianOracle(0.0, 1.0, "linear", "epsilon")
    noise = torch.randn(2, 1, 4, 4)
    for kind in KINDS:
        sampler = Sampler(kind, schedule="linear", prediction="epsilon", n_steps=4)
        one, other = (sampler(net, noise, NONE[:2], seed=seed, rows=slice(0, 2)) for seed in (1, 2))
        assert torch.equal(one, other) == (kind != "ddpm")


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_clipping_bounds_what_is_drawn(prediction: str) -> None:
    beyond = Oracle(torch.full((1, 1, 4, 4), 3.0), "squaredcos_cap_v2", prediction)
    for kind in KINDS:
        bounded = Sampler(kind, schedule="squaredcos_cap_v2", prediction=prediction, n_steps=10, clip=1.0)
        assert torch.allclose(draw(bounded, beyond), torch.ones(()), atol=1e-3)


def test_betas_of_another_network_stand_in_the_place_of_the_schedule() -> None:
    betas = make_noising("squaredcos_cap_v2", "epsilon").betas.tolist()
    clean = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    oracle = Oracle(clean, "squaredcos_cap_v2", "epsilon")
    for kind in KINDS:
        sampler = Sampler(kind, schedule="linear", betas=betas, prediction="epsilon", n_steps=10, clip=1.0)
        drawn = draw(sampler, oracle)
        assert torch.allclose(drawn, clean.expand_as(drawn), atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "n_steps", "says"),
    [
        ("ddim", 0, "1 to 1000"), ("ddpm", 1001, "1 to 1000"), ("euler", 5, "no sampler named 'euler'"),
        ("dpmsolver++", 999, "ask for fewer"),
    ],
)  # fmt: skip
def test_steps_that_there_are_not_are_refused(kind: str, n_steps: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        Sampler(kind, schedule="squaredcos_cap_v2", prediction="epsilon", n_steps=n_steps)


def test_guidance_one_costs_one_pass_and_above_it_two() -> None:
    passes: list[bool] = []

    class Counting(torch.nn.Module):
        def forward(self, x: Tensor, steps: object, condition: object, dropped: object = None) -> Tensor:
            passes.append(dropped is not None)
            return torch.zeros_like(x)

    for guidance in (1.0, 2.0):
        draw(Sampler("ddim", schedule="linear", prediction="epsilon", n_steps=4, guidance=guidance), Counting())
    assert passes == [False] * 4 + [False, True] * 4


@pytest.mark.parametrize("kind", SPECS)
def test_guidance_in_one_pass_over_twice_the_rows_is_guidance_in_two_passes(kind: str) -> None:
    spec = SPECS[kind]
    net = make_denoiser(channels=1, size=8, spec=spec, widths=(8, 16), n_blocks=1).eval()
    told = torch.randint(2, (5, 3), dtype=torch.uint8) if spec.multilabel else torch.arange(5) % 3
    told = told if kind in ("label", "multilabel") else torch.randn(5, spec.n_tokens, spec.width)
    rows: list[int] = []
    drawn = {}
    for doubled in (False, True):
        sampler = Sampler(
            "ddim", schedule="linear", prediction="epsilon", n_steps=3, guidance=2.5, clip=1.0, doubled=doubled
        )

        def counting(x: Tensor, *rest: Tensor) -> Tensor:
            rows.append(len(x))
            return net(x, *rest)

        with torch.inference_mode():
            drawn[doubled] = sampler(counting, torch.ones(5, 1, 8, 8).cumsum(3) / 8, told, seed=0, rows=slice(0, 5))
    assert rows == [5] * 6 + [10] * 3
    torch.testing.assert_close(drawn[True], drawn[False], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("schedule", "prediction"), PROCESSES)
def test_the_denoising_loss_of_a_perfect_denoiser_is_zero(schedule: str, prediction: str) -> None:
    clean = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    noising = make_noising(schedule, prediction)
    labels = torch.zeros(64, dtype=torch.int64)
    loss = denoising_loss(Oracle(clean, schedule, prediction), noising, clean.expand(64, 1, 4, 4), labels, drop=0.5)
    assert loss.item() < 1e-6


def test_conditions_are_dropped_as_often_as_asked() -> None:
    shares: list[float] = []

    class Watching(torch.nn.Module):
        def forward(self, x: Tensor, steps: object, condition: object, dropped: Tensor) -> Tensor:
            shares.append(dropped.float().mean().item())
            return torch.zeros_like(x)

    batch, labels = torch.zeros(2000, 1, 1, 1), torch.zeros(2000, dtype=torch.int64)
    for drop in (0.0, 0.3, 1.0):
        denoising_loss(Watching(), make_noising("linear", "epsilon"), batch, labels, drop=drop)
    assert shares == [0.0, pytest.approx(0.3, abs=0.04), 1.0]


def condition_of(spec: ConditionSpec, n: int) -> Tensor:
    if spec.kind in ("clip_text", "embedding"):
        return torch.randn(n, spec.n_tokens, spec.width).half()
    labels = torch.arange(n) % spec.n_classes
    return torch.nn.functional.one_hot(labels, spec.n_classes).byte() if spec.multilabel else labels


@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("kind", SPECS)
def test_every_parameter_has_a_gradient_even_where_nothing_is_dropped(kind: str, patch: int) -> None:
    spec = SPECS[kind]
    net = make_denoiser(channels=1, size=8, spec=spec, widths=(8, 16), n_blocks=1, attention=(0, -1), patch=patch)
    condition = condition_of(spec, 4)
    noising = make_noising("linear", "epsilon")
    denoising_loss(net, noising, torch.randn(4, 1, 8, 8), condition, drop=0.0).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("kind", SPECS)
def test_a_dropped_condition_leaves_no_trace(kind: str) -> None:
    spec = SPECS[kind]
    net = make_denoiser(channels=1, size=4, spec=spec, widths=(16, 16), n_blocks=1).eval()
    x, steps, dropped = torch.randn(3, 1, 4, 4), torch.tensor([5, 5, 5]), torch.tensor([True, True, True])
    condition = condition_of(spec, 3)
    with torch.inference_mode():
        one, other = (net(x, steps, c, dropped) for c in (condition, condition.flip(0)))
        told, without = net(x, steps, condition), net(x, steps, condition, torch.zeros(3, dtype=torch.bool))
    assert torch.equal(one, other)
    assert torch.equal(told, without)
    assert not torch.allclose(one, told)


def test_a_label_vector_is_embedded_as_the_sum_of_its_findings() -> None:
    multi = LabelEmbedding(3, 5, multilabel=True)
    single = LabelEmbedding(3, 5, multilabel=False)
    single.load_state_dict(multi.state_dict())
    of_both = multi(torch.tensor([[1, 0, 1]], dtype=torch.uint8))
    assert torch.allclose(of_both, single(torch.tensor([0])) + single(torch.tensor([2])))
    assert not multi(torch.zeros((1, 3), dtype=torch.uint8)).any()


def test_the_vector_of_no_label_is_its_own() -> None:
    vectors = LabelVector(3, 5, multilabel=True)
    labels = torch.tensor([[0, 0, 0], [1, 0, 1]], dtype=torch.uint8)
    given, dropped = vectors(labels), vectors(labels, torch.tensor([True, False]))
    assert not given[0].any()
    assert torch.equal(dropped, torch.stack([vectors.absent, given[1]]))


def test_a_finding_is_one_token_present_or_absent() -> None:
    tokens = ConditionTokens(SPECS["multilabel"])(torch.tensor([[1, 0, 1], [0, 0, 1]], dtype=torch.uint8))
    assert tokens.shape == (2, 3, 8)
    assert torch.equal(tokens[0, 1:], tokens[1, 1:])
    assert not torch.allclose(tokens[0, 0], tokens[1, 0])
    single = ConditionTokens(ConditionSpec("multilabel", 3, False, n_tokens=3, width=8))
    assert torch.equal(single(torch.tensor([1]))[0, 1], single.table[1, 1])


def test_the_empty_prompt_is_kept_with_the_network() -> None:
    empty = torch.randn(5, 8)
    net = make_denoiser(channels=1, size=4, spec=SPECS["clip_text"], widths=(8,), n_blocks=1, absent=empty)
    again = make_denoiser(channels=1, size=4, spec=SPECS["clip_text"], widths=(8,), n_blocks=1)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.condition.absent, empty)
    assert "condition.absent" not in dict(net.named_parameters())


@pytest.mark.parametrize(
    ("change", "says"),
    [({"attention": (2,)}, "levels 0 to 1"), ({"size": 6, "patch": 2}, "multiples of 4"), ({"size": 7}, "multiples")],
)
def test_a_network_that_cannot_be_is_refused(change: dict[str, object], says: str) -> None:
    usual: dict[str, object] = {"channels": 1, "size": 8, "spec": SPECS["label"], "widths": (8, 8), "n_blocks": 1}
    with pytest.raises(UserError, match=says):
        make_denoiser(**{**usual, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(("n_tokens", "width"), [(77, 768), (1, 768), (32, 768)])
def test_a_512_px_rgb_network_takes_a_step_told_tokens(n_tokens: int, width: int) -> None:
    spec = ConditionSpec("embedding", 14, True, n_tokens=n_tokens, width=width)
    net = make_denoiser(channels=3, size=512, spec=spec, widths=(4, 4, 4, 8, 8, 8), n_blocks=1, attention=(-2, -1))
    noising = make_noising("linear", "epsilon")
    loss = denoising_loss(net, noising, torch.randn(1, 3, 512, 512), condition_of(spec, 1), drop=0.1)
    loss.backward()
    torch.optim.AdamW(net.parameters(), lr=1e-4).step()
    assert torch.isfinite(loss)


FULL = {
    "label at 256 px": (ConditionSpec("label", 6, False), 1, 256, (3, 4), 120),
    "CLIP text at 512 px": (ConditionSpec("clip_text", 14, True, 77, 768), 3, 512, (4, 5), 179),
    "ELIXR-B at 512 px": (ConditionSpec("embedding", 14, True, 32, 768), 3, 512, (4, 5), 179),
}


@pytest.mark.parametrize("which", FULL)
def test_networks_of_the_published_sizes_can_be_built(which: str) -> None:
    spec, channels, size, attention, millions = FULL[which]
    with torch.device("meta"):
        net = make_denoiser(
            channels=channels, size=size, spec=spec, widths=(128, 128, 256, 256, 512, 512), n_blocks=2,
            attention=attention,
        )  # fmt: skip
    assert round(sum(p.numel() for p in net.parameters()) / 1e6) == millions
