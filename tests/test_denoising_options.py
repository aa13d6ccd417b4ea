"""Options of what denoises: those that cannot be, or that would do nothing, are refused in a line before training."""

from __future__ import annotations

from typing import Any

import pytest

from generators.registry import generators
from synthworth.errors import UserError

PIXELS = ("pixel_ddpm", "flow", "edm", "consistency")
LATENTS = ("latent_ddpm", "latent_flow")


def made(generator: str, **options: Any) -> Any:
    kind = generators.get(generator)
    return kind(kind.Config(**options))


@pytest.mark.parametrize("generator", [*PIXELS, *LATENTS])
@pytest.mark.parametrize("options", [
    {"drop": 1.0}, {"drop": -0.5}, {"drop": 2.0}, {"ema": 1.0}, {"ema": -1.0}, {"guidance": 0.0}, {"guidance": -3.0},
    {"guidance": 1e30},
])  # fmt: skip
def test_what_would_draw_something_else_in_silence_is_refused(generator: str, options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(UserError, match=f"--gen.{name}"):
        made(generator, **options)


@pytest.mark.parametrize("generator", PIXELS)
@pytest.mark.parametrize("options", [
    {"patch": 0}, {"patch": -2}, {"blocks": 0}, {"blocks": -1}, {"widths": ()}, {"widths": (0, 8)},
])  # fmt: skip
def test_a_network_that_cannot_be_built_is_refused(generator: str, options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(UserError, match=f"--gen.{name}"):
        made(generator, **options)


@pytest.mark.parametrize(("generator", "options"), [
    ("edm", {"rho": 0.01}), ("edm", {"sigma_min": 1e-320}), ("edm", {"churn_min": 5.0, "churn_max": 1.0}),
    ("flow", {"shift": 1e-300}), ("latent_flow", {"shift": 1e9}),
    ("flow", {"times": "uniform", "times_mean": 0.5}), ("latent_flow", {"times": "uniform", "times_spread": 2.0}),
])  # fmt: skip
def test_a_sampler_that_overflows_and_options_without_effect_are_refused(
    generator: str, options: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=f"--gen.({'|'.join(n.replace('_', '.') for n in options)})"):
        made(generator, **options)


@pytest.mark.parametrize("generator", [*PIXELS, *LATENTS])
def test_guidance_without_hidden_conditions_is_refused_before_anything_is_made(generator: str) -> None:
    asked = made(generator, drop=0.0, guidance=1.5)
    with pytest.raises(UserError, match=r"guidance 1.5 needs a prediction without condition: set --gen.drop above 0"):
        asked.check_files(fetch=False, channels=1, size=32)
    made(generator, drop=0.0, guidance=1.0).check_files(fetch=False, channels=1, size=32)
