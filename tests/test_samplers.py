"""Every sampler at every count of steps, against an independent recursion of the moments of Gaussian pixels."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor

from generators.diffusion import Sampler, denoising_loss, make_noising
from generators.latent_ddpm import LatentDDPM, LatentDDPMConfig
from generators.noise import draw_chunks
from generators.pixel_ddpm import PixelDDPM, PixelDDPMConfig
from synthworth.devices import isolated_randomness
from synthworth.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

MEAN, STD = 0.3, 0.5
KINDS, PREDICTIONS = ("ddpm", "ddim", "dpmsolver++"), ("epsilon", "v_prediction")
COUNTS = (1, 2, 7, 20, 33, 50, 60, 100, 300, 333, 400, 600, 999, 1000)
DIVISORS = (1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500, 1000)
N_PIXELS = 128 * 128
Moments = tuple[float, float]


@functools.cache
def betas_of(process: str) -> tuple[float, ...]:
    """What networks learn with: ours, and those of others, which may end in pure noise or be fewer."""
    made = {
        "linear": {},
        "squaredcos_cap_v2": {"beta_schedule": "squaredcos_cap_v2"},
        "zero SNR": {"rescale_betas_zero_snr": True},
        "zero SNR, stable diffusion": {
            "rescale_betas_zero_snr": True, "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
        },
        "200 steps": {"num_train_timesteps": 200, "beta_end": 0.1},
        "200 steps, zero SNR": {"num_train_timesteps": 200, "rescale_betas_zero_snr": True},
        "noiseless at first": {"trained_betas": [0.0, *torch.linspace(1e-4, 0.02, 999).tolist()]},
        "early noise": {"trained_betas": [*torch.linspace(1e-4, 0.05, 400).tolist(), 1.0, *[0.5] * 599]},
    }  # fmt: skip
    return tuple(DDPMScheduler(**made[process]).betas.tolist())


OURS = ("linear", "squaredcos_cap_v2")
ALL = (*OURS, "zero SNR", "zero SNR, stable diffusion", "200 steps", "200 steps, zero SNR", "noiseless at first")


class GaussianOracle:
    """The best prediction there is where every pixel is drawn from N(MEAN, STD^2), in float64."""

    def __init__(self, process: str, prediction: str) -> None:
        self.prediction = prediction
        self.alphas = make_noising("linear", prediction, betas=betas_of(process)).alphas_cumprod.double()

    def __call__(self, x: Tensor, steps: Tensor, condition: Tensor, dropped: Tensor | None = None) -> Tensor:
        a2, x = self.alphas[steps].view(-1, *[1] * (x.ndim - 1)), x.double()
        a, s = a2.sqrt(), (1 - a2).sqrt()
        away = (x - a * MEAN) / (a2 * STD**2 + 1 - a2)
        noise, clean = s * away, MEAN + a * STD**2 * away
        return noise if self.prediction == "epsilon" else a * noise - s * clean


def sampler_of(kind: str, process: str, prediction: str, n_steps: int, clip: float | None = None) -> Sampler:
    return Sampler(kind, schedule="linear", betas=betas_of(process), prediction=prediction, n_steps=n_steps, clip=clip)


def moments_drawn(sampler: Sampler, oracle: GaussianOracle) -> Moments:
    """Mean and spread of what is drawn: exact for the deterministic samplers, which are straight lines here."""
    if sampler.kind != "ddpm":
        ends = torch.tensor([[0.0], [1.0]])
        at_zero, at_one = sampler(oracle, ends, ends, seed=0, rows=slice(0, 2)).flatten().tolist()  # type: ignore[arg-type]
        return at_zero, at_one - at_zero
    ((rows, noise),) = draw_chunks(1, (N_PIXELS,), seed=1, chunk=1)
    drawn = sampler(oracle, noise, noise, seed=1, rows=rows)  # type: ignore[arg-type]
    return drawn.mean().item(), drawn.std().item()


def moments_expected(kind: str, alphas: list[float], steps: list[int], prediction: str) -> Moments:
    """What the sampler makes of N(0, 1), followed by hand from a step to its true predecessor, in float64.

    `ddim` as the first-order exponential integrator that it is, `ddpm` by the posterior q(x' | x, x0) of two Gaussian
    factors, `dpmsolver++` as its paper has it (Lu 2022, algorithm 2), all three unlike the code.
    """
    mean, slope, variance = 0.0, 1.0, 0.0  # x = slope * noise + mean, and what was added since
    before: tuple[float, float, float] | None = None  # of the last step: its log SNR, and x0 as slope and mean
    for k, t in enumerate(steps):
        a2 = max(alphas[t], 2.0**-60)
        a2_next = alphas[steps[k + 1]] if k + 1 < len(steps) else 1.0
        a, s, a_next, s_next = (math.sqrt(v) for v in (a2, 1 - a2, a2_next, 1 - a2_next))
        gain = a * STD**2 / (a2 * STD**2 + 1 - a2)  # x0 = MEAN + gain (x - a MEAN)
        x0 = (gain * slope, MEAN + gain * (mean - a * MEAN))
        if kind == "ddpm":
            ratio = a2 / a2_next
            of_x0 = 1.0 if s_next == 0 else a_next * (1 - ratio) / (1 - a2)
            of_x = 0.0 if s_next == 0 else 1 / (1 / s_next**2 + ratio / (1 - ratio)) * math.sqrt(ratio) / (1 - ratio)
            added = 0.0 if s_next == 0 else 1 / (1 / s_next**2 + ratio / (1 - ratio))
            variance = (of_x0 * gain + of_x) ** 2 * variance + added
            slope, mean = of_x0 * x0[0] + of_x * slope, of_x0 * x0[1] + of_x * mean
            continue
        now = math.log(a / s)
        if kind == "dpmsolver++" and before is not None and s_next > 0:
            r = (now - before[0]) / (math.log(a_next / s_next) - now)
            used = tuple(v + (v - old) / (2 * r) for v, old in zip(x0, before[1:], strict=True))
        else:
            used = x0
        before = (now, *x0)
        keep = s_next / s
        slope, mean = keep * slope + (a_next - a * keep) * used[0], keep * mean + (a_next - a * keep) * used[1]
    return mean, math.sqrt(slope**2 + variance)


def bound_on_spread(kind: str, n: int) -> float:
    """How far from STD a first-order sampler (a second-order one at few steps) may be: about 1 / n."""
    return min(0.5, (4.0 if kind == "ddpm" else 1.5) / n) + 0.0035


CASES = [
    (kind, process, prediction)
    for kind, process, prediction in itertools.product(KINDS, ALL, PREDICTIONS)
    if kind != "ddpm" or process in (*OURS, "zero SNR", "200 steps, zero SNR")
]


@pytest.mark.parametrize(("kind", "process", "prediction"), CASES)
def test_gaussian_pixels_keep_their_mean_and_spread_at_every_count_of_steps(
    kind: str, process: str, prediction: str
) -> None:
    oracle = GaussianOracle(process, prediction)
    n_train, usable = len(oracle.alphas), 0.5 * (oracle.alphas / (1 - oracle.alphas)).log() >= -5.1
    for n in sorted({min(n, n_train) for n in COUNTS}):
        if kind == "dpmsolver++" and prediction == "epsilon" and n > usable.sum():
            with pytest.raises(UserError, match=f"leaves {usable.sum()} of"):
                sampler_of(kind, process, prediction, n)
            continue
        sampler = sampler_of(kind, process, prediction, n)
        assert len(set(sampler.steps)) == n and sampler.steps == sorted(sampler.steps, reverse=True)
        assert sampler.steps[-1] >= 0
        mean, std = moments_drawn(sampler, oracle)
        alphas = oracle.alphas.clamp(max=1 - 2**-24).tolist()
        wanted = moments_expected(kind, alphas, sampler.steps, prediction)
        close = {"abs": 0.011 if kind == "ddpm" else 1.5e-3}  # four standard errors; float32 and 2**-24 for nothing
        assert (mean, std) == (pytest.approx(wanted[0], **close), pytest.approx(wanted[1], **close)), n
        assert mean == pytest.approx(MEAN, abs=0.021 if kind == "ddpm" else 0.01), n
        assert std == pytest.approx(STD, abs=bound_on_spread(kind, n) + close["abs"]), n


@pytest.mark.parametrize(("process", "prediction"), [*itertools.product(ALL, PREDICTIONS)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_step_holds_next_to_nothing_of_an_image(kind: str, process: str, prediction: str) -> None:
    alphas = GaussianOracle(process, prediction).alphas
    for n in (1, 2, 3, 7, 10, 20, 33, 50, 60, 100, 190, 300, 600, 930):
        if n > len(alphas):
            break
        first = sampler_of(kind, process, prediction, n).steps[0]
        if prediction == "v_prediction":
            assert first == len(alphas) - 1
        else:
            assert alphas[first].sqrt() - alphas[-1].sqrt() <= 0.05
            assert first >= 0.99 * len(alphas) - len(alphas) / n or kind == "dpmsolver++"


def test_the_numbers_of_a_bug_report() -> None:
    """The spread that an exact denoiser keeps under cosine and v, where diffusers' DDIM gave .499, .530 and .655."""
    oracle = GaussianOracle("squaredcos_cap_v2", "v_prediction")
    for n, std in ((60, 0.487), (300, 0.497), (600, 0.499)):
        drawn = moments_drawn(sampler_of("ddim", "squaredcos_cap_v2", "v_prediction", n), oracle)
        assert drawn[1] == pytest.approx(std, abs=1e-3)


def test_steps_of_noise_alone_before_the_end_are_passed_over() -> None:
    for kind, prediction in itertools.product(KINDS, PREDICTIONS):
        oracle = GaussianOracle("early noise", prediction)
        sampler = sampler_of(kind, "early noise", prediction, 60)
        assert sampler.steps[0] <= 400
        assert moments_drawn(sampler, oracle) == (pytest.approx(MEAN, abs=0.02), pytest.approx(STD, abs=0.08))


# as diffusers has it, where it is right -------------------------------------------------------------------------


def of_diffusers(kind: str, schedule: str, prediction: str, n: int, net: GaussianOracle, x: Tensor) -> Tensor:
    """The loop that diffusers documents, with its own spacing of steps."""
    spacing = "trailing" if prediction == "v_prediction" else "leading"
    cls = DDIMScheduler if kind == "ddim" else DDPMScheduler
    scheduler = cls(beta_schedule=schedule, prediction_type=prediction, timestep_spacing=spacing, clip_sample=False)
    scheduler.set_timesteps(n)
    from synthworth.keys import seed_from

    noise = [torch.Generator().manual_seed(seed_from(5, "sampler", row)) for row in range(len(x))]
    for t in scheduler.timesteps.tolist():
        predicted = net(x, torch.full((len(x),), t), x).float()
        x = scheduler.step(predicted, t, x, generator=noise if kind == "ddpm" else None).prev_sample
    return x


def dpm_of_diffusers(prediction: str, steps: list[int], schedule: str, net: GaussianOracle, x: Tensor) -> Tensor:
    scheduler = DPMSolverMultistepScheduler(beta_schedule=schedule, prediction_type=prediction)
    scheduler.set_timesteps(timesteps=steps)
    for t in steps:
        x = scheduler.step(net(x, torch.full((len(x),), t), x).float(), t, x).prev_sample
    return x


@pytest.mark.parametrize(("schedule", "prediction"), [*itertools.product(OURS, PREDICTIONS)])
def test_at_counts_that_divide_the_process_every_bit_is_diffusers(schedule: str, prediction: str) -> None:
    ((rows, noise),) = draw_chunks(3, (1, 4, 4), seed=5, chunk=3)
    oracle = GaussianOracle(schedule, prediction)
    for kind, n in (("ddim", 50), ("ddim", 250), ("ddpm", 50), ("ddpm", 250), ("dpmsolver++", 15)):
        sampler = Sampler(kind, schedule=schedule, prediction=prediction, n_steps=n)
        drawn = sampler(oracle, noise, noise, seed=5, rows=rows)  # type: ignore[arg-type]
        if kind == "dpmsolver++":
            theirs = dpm_of_diffusers(prediction, sampler.steps, schedule, oracle, noise)
        else:
            theirs = of_diffusers(kind, schedule, prediction, n, oracle, noise)
        assert torch.equal(drawn, theirs), (kind, n)


@pytest.mark.parametrize(("schedule", "prediction"), [*itertools.product(OURS, PREDICTIONS)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_version_is_raised_exactly_where_steps_are_others_than_they_were(
    kind: str, schedule: str, prediction: str
) -> None:
    options = {"sampler": kind, "schedule": schedule, "prediction": prediction}
    spacing = "trailing" if prediction == "v_prediction" else "leading"
    scheduler = DDPMScheduler(beta_schedule=schedule, timestep_spacing=spacing)
    for n in (*DIVISORS, 3, 15, 32, 33, 60, 600, 999):
        raised = 0
        if kind != "dpmsolver++":
            scheduler.set_timesteps(n)
            now = Sampler(kind, schedule=schedule, prediction=prediction, n_steps=n).steps
            raised = int(now != scheduler.timesteps.tolist() or n not in DIVISORS)
        for cls, config in ((PixelDDPM, PixelDDPMConfig), (LatentDDPM, LatentDDPMConfig)):
            assert cls.version_of(config(**options, sampling_steps=n)) == cls.version + raised, n  # type: ignore[arg-type]


def test_a_pretrained_networks_version_is_raised_always_and_again_where_steps_are_others() -> None:
    """Its betas could have ended in noise and its weights could have been lacking, whatever the steps."""
    for kind, n, raised in (("ddpm", 1000, 1), ("ddim", 50, 1), ("ddim", 60, 2), ("dpmsolver++", 15, 1)):
        config = PixelDDPMConfig(pretrained_id="ab", sampler=kind, sampling_steps=n)  # type: ignore[arg-type]
        assert PixelDDPM.version_of(config) == PixelDDPM.version + raised


# betas that end in pure noise -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "prediction", "clip"), [*itertools.product(KINDS, PREDICTIONS, (None, 1.0))])
def test_a_denoiser_that_is_far_from_perfect_draws_numbers_from_betas_without_a_signal(
    kind: str, prediction: str, clip: float | None
) -> None:
    """A network's error of a hundredth stays one: nothing is divided by what is all but zero."""
    ((rows, noise),) = draw_chunks(2, (1, 4, 4), seed=5, chunk=2)
    exact = GaussianOracle("zero SNR", prediction)

    def net(x: Tensor, steps: Tensor, condition: Tensor, dropped: Tensor | None = None) -> Tensor:
        return exact(x, steps, condition) + 0.01 * torch.sin(7 * x + steps[0])

    for n in (1, 7, 50, 600, 930, 1000):
        if kind == "dpmsolver++" and prediction == "epsilon" and n == 1000:
            continue
        drawn = sampler_of(kind, "zero SNR", prediction, n, clip)(net, noise, noise, seed=5, rows=rows)
        assert drawn.isfinite().all() and drawn.abs().max() < 4, n


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_betas_that_end_in_pure_noise_can_be_learned_with(prediction: str) -> None:
    noising = make_noising("linear", prediction, betas=betas_of("zero SNR"))
    assert noising.alphas_cumprod[-1] == 0
    net = torch.nn.Conv2d(1, 1, 1)
    with isolated_randomness(0):
        clean, labels = torch.randn(1000, 1, 2, 2), torch.zeros(1000, dtype=torch.int64)
        loss = denoising_loss(lambda x, t, y, d: net(x), noising, clean, labels, drop=0.1)
    loss.backward()
    assert loss.isfinite() and all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize(
    ("betas", "says"),
    [([0.1, math.nan], "1 are not, nan"), ([-0.1, 0.5, 1.5], "of the scheduler's 3, 2 are not, -0.1"),
     ([1.0, 0.5], "below 1 at first"), ([], "of the scheduler's 0")],
)  # fmt: skip
def test_betas_that_are_no_shares_of_noise_are_refused(betas: list[float], says: str) -> None:
    for make in (make_noising, functools.partial(Sampler, "ddim", n_steps=1)):
        with pytest.raises(UserError, match=says):
            make(schedule="linear", prediction="epsilon", betas=betas)  # type: ignore[operator]
