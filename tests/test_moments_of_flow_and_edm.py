"""Samplers of rectified flow, EDM and few steps with an exact denoiser of Gaussian pixels: textbook formulas."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler
from torch import Tensor

from generators.consistency_tuning import FewStepSampler
from generators.flow_matching import OF_TIME, FlowSampler, times_of
from generators.karras import OF_NOISE, Churn, KarrasSampler, Preconditioned, noises_of
from generators.noise import draw_chunks
from generators.ode import n_evaluations

pytestmark = pytest.mark.usefixtures("one_thread")

MEAN, STD = 0.3, 0.5
METHODS = ("euler", "heun", "dpmsolver++")
COUNTS = (1, 2, 3, 4, 5, 7, 10, 18, 25, 40, 50, 100, 333, 1000)
KNOWN = Preconditioned(0.4)
ENDS = torch.tensor([[0.0], [1.0]])
Affine = tuple[float, float]
"""x = slope * noise + mean, as (mean, slope)."""


def velocity(x: Tensor, times: Tensor, condition: Tensor, dropped: Tensor | None = None) -> Tensor:
    """E[e - x0 | x_t] of x_t = (1 - t) x0 + t e, in float64."""
    t, x = (times / OF_TIME).double().view(-1, *[1] * (x.ndim - 1)), x.double()
    away = (x - (1 - t) * MEAN) / ((1 - t) ** 2 * STD**2 + t**2)
    return t * away - (MEAN + (1 - t) * STD**2 * away)


def network(x: Tensor, times: Tensor, condition: Tensor, dropped: Tensor | None = None) -> Tensor:
    """F of D(x; s) = E[x0 | x0 + s e], in float64."""
    s = (4 * times.double() / OF_NOISE).exp().view(-1, *[1] * (x.ndim - 1))
    noisy = x.double() * (s**2 + KNOWN.data**2) ** 0.5
    clean = MEAN + STD**2 / (STD**2 + s**2) * (noisy - MEAN)
    return (clean - KNOWN.skip(s) * noisy) / KNOWN.out(s)


def moments(sampler: Callable[..., Tensor], net: Callable[..., Tensor]) -> Affine:
    """Mean and spread of what a deterministic sampler draws: it is a straight line here."""
    at_zero, at_one = sampler(net, ENDS, ENDS, seed=0, rows=slice(0, 2)).flatten().tolist()
    return at_zero, at_one - at_zero


def karras(method: str, n: int, **options: object) -> KarrasSampler:
    return KarrasSampler(method, known=KNOWN, noises=noises_of(n, lowest=0.002, highest=80.0, rho=7.0), **options)  # type: ignore[arg-type]


def denoised(a: float, s: float, x: Affine) -> Affine:
    gain = a * STD**2 / (a**2 * STD**2 + s**2)
    return MEAN + gain * (x[0] - a * MEAN), gain * x[1]


def mixed(*terms: tuple[float, Affine]) -> Affine:
    return tuple(sum(w * v[k] for w, v in terms) for k in range(2))  # type: ignore[return-value]


def by_hand(method: str, levels: list[tuple[float, float]], slope: Callable[..., Affine], x: Affine) -> Affine:
    """Euler's and Heun's methods in the time of each process, and DPM-Solver++(2M) as its paper writes it."""
    old: tuple[float, Affine] | None = None
    for (a, s), (a_next, s_next) in itertools.pairwise(levels):
        clean, h = denoised(a, s, x), s_next - s  # both processes have s for their time
        if method == "dpmsolver++":
            log_snr = math.log(a / s) if a > 0 else -math.inf
            if s_next == 0:
                return clean
            step = math.log(a_next / s_next) - log_snr
            used = clean
            if old is not None and math.isfinite(old[0]):
                r = (log_snr - old[0]) / step
                used = mixed((1 + 1 / (2 * r), clean), (-1 / (2 * r), old[1]))
            x = mixed((s_next / s, x), (-a_next * math.expm1(-step), used))
            old = log_snr, clean
            continue
        first = slope(a, s, x)
        tried = mixed((1.0, x), (h, first))
        if method == "heun" and s_next > 0:
            tried = mixed((1.0, x), (h / 2, first), (h / 2, slope(a_next, s_next, tried)))
        x = tried
    return x


def slope_of_flow(a: float, s: float, x: Affine) -> Affine:
    """dx / dt = E[e - x0 | x_t] = (x - x0) / t."""
    return mixed((1 / s, x), (-1 / s, denoised(a, s, x)))


def slope_of_edm(a: float, s: float, x: Affine) -> Affine:
    """dx / ds = (x - D(x; s)) / s (Karras 2022, eq. 1 and 3)."""
    return mixed((1 / s, x), (-1 / s, denoised(1.0, s, x)))


@pytest.mark.parametrize("method", METHODS)
def test_flow_keeps_mean_and_spread_of_gaussian_pixels_at_every_count_of_steps(method: str) -> None:
    for n, shift in itertools.product(COUNTS, (1.0, 3.0)):
        sampler = FlowSampler(method, n_steps=n, shift=shift)  # type: ignore[arg-type]
        mean, spread = moments(sampler, velocity)
        levels = [(1 - t, t) for t in times_of(n, shift=shift)]
        assert (mean, spread) == pytest.approx(by_hand(method, levels, slope_of_flow, (0.0, 1.0)), abs=1e-5)
        assert mean == pytest.approx(MEAN, rel=1e-3)
        if shift == 1 and n >= {"euler": 333, "heun": 18, "dpmsolver++": 40}[method]:
            assert spread == pytest.approx(STD, rel=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_edm_keeps_mean_and_spread_of_gaussian_pixels_at_every_count_of_steps(method: str) -> None:
    for n in COUNTS:
        mean, spread = moments(karras(method, n), network)
        noises = noises_of(n, lowest=0.002, highest=80.0, rho=7.0)
        levels = [*((1 / (1 + s), s / (1 + s)) for s in noises), (1.0, 0.0)]
        wanted = by_hand(method, levels, slope_of_flow, (0.0, 80 / 81))  # x / (1 + s) goes as in rectified flow
        assert (mean, spread) == pytest.approx(wanted, rel=1e-3, abs=1e-4)
        if method == "euler":
            in_x = [*((1.0, s) for s in noises), (1.0, 0.0)]
            assert (mean, spread) == pytest.approx(by_hand(method, in_x, slope_of_edm, (0.0, 80.0)), rel=1e-3, abs=1e-4)
        if n >= {"euler": 1000, "heun": 25, "dpmsolver++": 50}[method]:
            assert mean == pytest.approx(MEAN, rel=0.01)
            assert spread == pytest.approx(STD, rel=0.01)


def test_churn_keeps_mean_and_spread_and_a_rows_noise_is_its_own() -> None:
    (_, noise) = next(draw_chunks(1, (128 * 128,), seed=1, chunk=1))
    sampler = karras("heun", 100, churn=Churn(40.0, lowest=0.05, highest=50.0, spread=1.0))
    drawn = sampler(network, noise, noise, seed=1, rows=slice(0, 1))
    assert drawn.mean().item() == pytest.approx(MEAN, abs=0.02)  # four standard errors
    assert drawn.std().item() == pytest.approx(STD, abs=0.02)
    several = noise[:, :600].reshape(6, 100)
    whole = sampler(network, several, several, seed=3, rows=slice(0, 6))
    assert torch.equal(sampler(network, several[2:5], several, seed=3, rows=slice(2, 5)), whole[2:5])
    assert not torch.equal(sampler(network, several, several, seed=4, rows=slice(0, 6)), whole)


def test_few_steps_of_an_exact_consistency_function_keep_mean_and_spread() -> None:
    """f of the line through x at s: MEAN + STD / sqrt(STD^2 + s^2) (x - MEAN)."""

    def net(x: Tensor, times: Tensor, condition: Tensor, dropped: Tensor | None = None) -> Tensor:
        s = (4 * times.double() / OF_NOISE).exp().view(-1, 1)
        noisy = x.double() * (s**2 + KNOWN.data**2) ** 0.5
        clean = MEAN + STD / (STD**2 + s**2) ** 0.5 * (noisy - MEAN)
        return (clean - KNOWN.skip(s) * noisy) / KNOWN.out(s)

    (_, noise) = next(draw_chunks(1, (128 * 128,), seed=1, chunk=1))
    for n in (1, 2, 3, 4, 8):
        noises = noises_of(n + 1, lowest=0.002, highest=80.0, rho=7.0)[:-1]
        drawn = FewStepSampler(known=KNOWN, noises=noises, lowest=0.002)(net, noise, noise, seed=2, rows=slice(0, 1))
        assert drawn.mean().item() == pytest.approx(MEAN, abs=0.02), n
        assert drawn.std().item() == pytest.approx(STD, abs=0.02), n


# as diffusers has it -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_euler_of_flow_is_that_of_diffusers(shift: float) -> None:
    (_, noise) = next(draw_chunks(3, (1, 4, 4), seed=5, chunk=3))
    theirs, n = FlowMatchEulerDiscreteScheduler(shift=shift), 12
    theirs.set_timesteps(sigmas=[k / n for k in range(n, 0, -1)])
    x = noise
    for t in theirs.timesteps:
        x = theirs.step(velocity(x, torch.full((3,), t.item()), x).float(), t, x).prev_sample
    ours = FlowSampler("euler", n_steps=n, shift=shift)(velocity, noise, noise, seed=0, rows=slice(0, 3))
    assert torch.allclose(ours.float(), x, atol=1e-5)


@pytest.mark.parametrize("method", ["euler", "dpmsolver++"])
def test_euler_and_multistep_of_edm_are_those_of_diffusers(method: str) -> None:
    (_, noise) = next(draw_chunks(3, (1, 4, 4), seed=5, chunk=3))
    kind = EDMEulerScheduler if method == "euler" else EDMDPMSolverMultistepScheduler
    options = {} if method == "euler" else {"solver_order": 2, "lower_order_final": True}
    theirs, n = kind(sigma_data=KNOWN.data, **options), 20
    theirs.set_timesteps(n)
    x = 80.0 * noise
    for t in theirs.timesteps:
        seen = theirs.scale_model_input(x, t)
        x = theirs.step(network(seen, OF_NOISE * t.expand(3), x).float(), t, x).prev_sample
    ours = karras(method, n)(network, noise, noise, seed=0, rows=slice(0, 3))
    assert torch.allclose(ours.float(), x, atol=2e-4)


def test_guidance_follows_two_predictions_and_a_bound_holds_at_every_step() -> None:
    seen: list[Tensor] = []

    def far(x: Tensor, times: Tensor, condition: Tensor, dropped: Tensor | None = None) -> Tensor:
        seen.append(torch.zeros(len(x), dtype=torch.bool) if dropped is None else dropped)
        return torch.where(seen[-1].view(-1, 1), -3.0, 3.0).expand_as(x)

    noise = torch.zeros(4, 2)
    for doubled in (False, True):
        for sampler in (FlowSampler("heun", n_steps=3, guidance=2.0, doubled=doubled, clip=1.0),
                        karras("heun", 3, guidance=2.0, doubled=doubled, clip=1.0)):  # fmt: skip
            seen.clear()
            drawn = sampler(far, noise, torch.zeros(4), seed=0, rows=slice(0, 4))
            assert drawn.abs().max() <= 1.0 + 1e-6
            assert len(seen) == n_evaluations("heun", 3) * (1 if doubled else 2)
            assert sum(int(rows.sum()) for rows in seen) == 4 * n_evaluations("heun", 3)
