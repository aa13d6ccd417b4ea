"""The priors of the VAE family: their divergences, what is measured on train, and correlated noise."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Categorical, Normal, kl_divergence

from generators.correlated import correlate, gaussian_kernel, white_side
from generators.nets.priors import RATE, LabelPrior, MixturePrior, StandardPrior, gaussian_kl, principal_directions

pytestmark = pytest.mark.usefixtures("one_thread")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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
            parameter.copy_(torch.randn(parameter.shape, generator=seeded(3)) / 2 / RATE)
    labels = torch.tensor([[1, 0, 1]], dtype=torch.uint8) if multilabel else torch.tensor([2])
    rows = [0, 2] if multilabel else [2]
    mu = RATE * (prior.base[0] + sum(prior.table[k, 0] for k in rows))
    log_variance = RATE * (prior.base[1] + sum(prior.table[k, 1] for k in rows))
    mean, logvar = torch.randn(1, 5, generator=seeded(1)), torch.randn(1, 5, generator=seeded(2))
    exact = kl_divergence(Normal(mean, (logvar / 2).exp()), Normal(mu, (log_variance / 2).exp())).sum()
    assert prior.divergence(mean, logvar, labels)["kl"].item() == pytest.approx(exact.item(), rel=1e-5)
    noise = torch.randn(40_000, 5, generator=seeded(4))
    drawn = prior.draw(noise, labels.expand(40_000, *labels.shape[1:]))
    assert torch.allclose(drawn.mean(0), mu, atol=0.05)
    assert torch.allclose(drawn.std(0), (log_variance / 2).exp(), atol=0.05)


def make_mixture(
    *, context: int = 0, free_bits: float = 0.0, rounds: int = 0, multilabel: bool = False
) -> MixturePrior:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        prior = MixturePrior(
            (2,), kernel_width=0.0, n_components=3, context=context, hidden=4, free_bits=free_bits, rounds=rounds,
            n_classes=2,
            multilabel=multilabel,
        )  # fmt: skip
        for name, parameter in prior.named_parameters():
            torch.nn.init.normal_(parameter, std=0.5 / RATE if name in ("mean", "logvar") else 0.5)
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
        q = prior.assign(mean, logvar, w)[0].exp()
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
        q = torch.softmax(best + torch.randn(1, 3, generator=seeded(seed)) / 3, dim=1)
        assert (q * (kl + q.log() + math.log(3))).sum() > least


def test_components_that_are_out_of_reach_leave_the_gradient_finite() -> None:
    prior = make_mixture().requires_grad_(True)
    with torch.no_grad():
        prior.mean[1] = 1e3
    mean = torch.zeros(2, 2, requires_grad=True)
    prior.divergence(mean, torch.zeros(2, 2), torch.zeros(2))["kl"].sum().backward()
    assert all(torch.isfinite(t.grad).all() for t in (mean, prior.mean, prior.logvar))


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
    prior.mean.copy_(torch.tensor([[10.0, 0.0], [-10.0, 0.0], [0.0, 50.0]]) / RATE)
    prior.logvar.zero_()
    classes = torch.tensor([0] * 30 + [1] * 10)
    latents = RATE * prior.mean[classes] + 0.1 * torch.randn(40, 2, generator=seeded())
    labels = torch.stack([classes == 0, classes == 1], dim=1).byte() if multilabel else classes
    facts = prior.settle(latents, torch.zeros(40, 2), labels)
    assert facts["component_shares"] == [0.75, 0.25, 0.0]
    entropy = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    assert facts["effective_components"] == pytest.approx(math.exp(entropy), abs=1e-3)
    assert facts["assignment_entropy"] == pytest.approx(0.0, abs=1e-4)
    weights = prior.weights(labels[[0, -1]])
    assert weights[0, 0] > 0.9 and weights[1, 1] > 0.8
    noise = torch.randn(4000, prior.n_noise, generator=seeded(1))
    drawn = prior.draw(noise, labels[:1].expand(4000, *labels.shape[1:]))
    assert (drawn[:, 0] > 5).float().mean().item() == pytest.approx(weights[0, 0].item(), abs=0.03)


def test_closing_rounds_put_idle_components_to_use_and_never_worsen_the_bound() -> None:
    centres = torch.tensor([[4.0, 0.0], [-4.0, 0.0], [0.0, 4.0]])
    mean = centres[torch.arange(90) % 3] + 0.1 * torch.randn(90, 2, generator=seeded())
    logvar, labels = torch.full((90, 2), -3.0), torch.arange(90) % 2
    bounds = {}
    for rounds in (0, 5):
        prior = make_mixture(rounds=rounds)
        prior.mean.copy_(torch.tensor([[1.0, 1.0], [90.0, 0.0], [0.0, 90.0]]) / RATE)
        facts = prior.settle(mean, logvar, labels)
        assert facts["learned_effective_components"] == pytest.approx(1.0)
        assert facts["effective_components"] == pytest.approx(3.0 if rounds else 1.0, abs=1e-3)
        bounds[rounds] = prior.divergence(mean, logvar, labels)["kl"].mean().item()
    assert bounds[5] < bounds[0] - 1
    assert facts["kl_gained"] == pytest.approx(bounds[0] - bounds[5], abs=1e-2)
    again = prior.mean.clone()
    assert prior.settle(mean, logvar, labels)["kl_gained"] == pytest.approx(0.0, abs=1e-3)
    assert torch.allclose(prior.mean, again, atol=1e-3)


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
