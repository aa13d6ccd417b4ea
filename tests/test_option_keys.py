"""Options under which artifacts are stored: where options are written down changes no key, and each has its help."""

from __future__ import annotations

from typing import Any

import pytest
import tyro

from classifiers.registry import classifiers
from generators.registry import generators
from synthworth.keys import digest

KEYS = {
    "consistency": ("a1b57032e022770f", "289176d5d62f0a98"),
    "dcgan": ("f15054ae54706d13", "b81e3b0c800edd13"),
    "dcgan_per_class": ("f15054ae54706d13", "b81e3b0c800edd13"),
    "edm": ("42b747fff81d1e03", "c7e6b96a45c43b17"),
    "flow": ("122ae8c52689ada4", "b61a565348f7c697"),
    "fs_gmvae": ("6be6748b7badb32f", "165244244e2f4689"),
    "gmvae": ("4934d76c47042b57", "08a2dc895cd8a352"),
    "latent_ddpm": ("3c65670f8ca5bf1e", "3a92a82945552e53"),
    "latent_flow": ("b8b442841e20b078", "2c3082e720135b7b"),
    "lora": ("73b36ac86e0b6370", "d58193d829c2e98b"),
    "lsgan": ("490475cfadfe2ff3", "8dadf01cb282a41d"),
    "lsgan_per_class": ("490475cfadfe2ff3", "8dadf01cb282a41d"),
    "pixel_ddpm": ("3c89fafea526b0a8", "2bbca4970035fe8a"),
    "pool": ("4376689650006f0e", ""),
    "r3gan": ("a79c30604f45f051", "86cec93a88652123"),
    "reconstruct": ("382aa2e51496482c", ""),
    "vae": ("020f880366637fed", "39f05145bcf07d5c"),
}
"""The first digits of the digests of each generator's default and smallest Config at commit 4a5db4c, before options
were shared between Configs; of `r3gan`, when it came. An option that is added, or a default that is changed, changes a
line here; artifacts made under the old one are then made again."""
CLASSIFIERS = {"resnet18": "0d2a1ce8f000d042", "resnet50": "f0a8522fa642d1e7", "densenet121": "97be236f2b8c8b2d"}
"""The same of three classifiers."""


@pytest.mark.parametrize("name", KEYS)
def test_the_options_of_a_generator_keep_their_key(name: str) -> None:
    cls: Any = generators.get(name)
    assert digest(cls.Config())[:16] == KEYS[name][0]
    if KEYS[name][1]:
        assert digest(cls.tiny_config())[:16] == KEYS[name][1]


def test_every_generator_with_options_is_in_the_table() -> None:
    assert {
        name for name in generators.names() if generators.get(name).Config() != generators.get("none").Config()
    } == {*KEYS}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_options_of_a_classifier_keep_their_key(name: str) -> None:
    cls: Any = classifiers.get(name)
    assert digest(cls.Config(**classifiers.implied(name)))[:16] == CLASSIFIERS[name]


@pytest.mark.parametrize("name", [n for n in KEYS if not n.endswith("per_class")])
def test_an_option_that_a_base_explains_has_its_help_and_its_own_default(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config: Any = generators.get(name).Config
    with pytest.raises(SystemExit):
        tyro.cli(config, args=["--help"])
    text = " ".join(capsys.readouterr().out.encode("ascii", "ignore").decode().split())
    if hasattr(config(), "batch"):
        assert f"Images in a step. (default: {config().batch})" in text
    if hasattr(config(), "warmup"):
        assert f"then half a cosine to zero). (default: {config().lr})" in text
