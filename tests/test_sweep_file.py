"""A sweep's file: what it varies, which requests come of it, and what is said of one that cannot be."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.request import cells, same_flags
from benchmarks.request.cells import Sweep, cells_of, read_sweep
from benchmarks.sweep.__main__ import main
from benchmarks.sweep.options import SHIPPED
from synthworth.errors import UserError

BASE = "preset: smoke\ndevice: cpu\n"


def read(tmp_path: Path, text: str, *flags: str) -> Sweep:
    file = tmp_path / "ablation.yaml"
    file.write_text(BASE + text)
    return read_sweep(file, flags, prog="t")


def test_ratios_and_trainings_of_one_generator_are_one_request(tmp_path: Path) -> None:
    found = read(
        tmp_path, "sweep:\n  product: {generator: [vae, dcgan], ratio: [0, 0.5, 1], generator_seed: [0, 1, 2]}\n"
    )
    assert len(found.cells) == 18 and len(found.requests) == 2
    every = ((0, 0.5, 1), (0, 1, 2))
    asked = {r.options.generator: (r.options.ratio, r.options.generator_seed) for r in found.requests}
    assert asked == {"vae": every, "dcgan": every}
    assert [found.requests[n].options.generator for n in found.answers] == ["vae"] * 9 + ["dcgan"] * 9


def test_cells_that_are_no_whole_product_have_requests_of_their_own(tmp_path: Path) -> None:
    text = "sweep:\n  list:\n    - {ratio: 0.5, generator_seed: 0}\n    - {ratio: 1, generator_seed: 1}\n"
    found = read(tmp_path, text)
    assert [(r.options.ratio, r.options.generator_seed) for r in found.requests] == [((0.5,), (0,)), ((1,), (1,))]
    assert found.answers == (0, 1)


def test_options_of_plugins_are_varied_by_their_names(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "generator: latent_ddpm\nfit: {steps: 7}\nsweep:\n  product: {gen.guidance: [1, 2.5], train.steps: [3]}\n",
    )
    assert [(r.gen.guidance, r.options.train.steps, r.options.fit.steps) for r in found.requests] == [
        (1, 3, 7), (2.5, 3, 7)
    ]  # fmt: skip


def test_a_list_and_a_product_of_one_block_are_multiplied_and_blocks_are_added(tmp_path: Path) -> None:
    cells = cells_of(
        [{"list": [{"mode": "add"}, {"mode": "replace"}], "product": {"ratio": [0.5, 1]}}, {"product": {"ratio": [4]}}],
        where="f",
    )
    assert cells == [
        {"mode": "add", "ratio": 0.5}, {"mode": "add", "ratio": 1}, {"mode": "replace", "ratio": 0.5},
        {"mode": "replace", "ratio": 1}, {"ratio": 4},
    ]  # fmt: skip


def test_flags_beat_the_file_in_every_cell(tmp_path: Path) -> None:
    found = read(tmp_path, "seeds: 3\nsweep:\n  product: {ratio: [0.5, 1]}\n", "--seeds", "2")
    assert [r.options.seeds for r in found.requests] == [2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sweep:\n  product: {ratoi: [1]}\n", "no option ratoi. Did you mean ratio?"),
        ("sweep:\n  product: {ratio: []}\n", "product.ratio is empty, so the sweep has no cell"),
        ("sweep:\n  list: []\n", "list is empty, so the sweep has no cell"),
        ("sweep:\n  product: {ratio: 1}\n", "product.ratio is a list of values, not 1"),
        ("generator: vae\nsweep:\n  product: {gen.guidance: [1]}\n", "no option gen.guidance of vae"),
        (
            "sweep:\n  product: {generator: [noise, vae], gen.guidance: [1]}\n",
            "no option gen.guidance of noise. noise has no options",
        ),
        ("sweep:\n  product: {gem.guidance: [1]}\n", "gem"),
        ("sweep:\n  prodcut: {ratio: [1]}\n", "did you mean .product"),
        ("sweep:\n  - 3\n", "neither product: nor list:"),
        ("ratio: [1]\n", "a sweep says under sweep: what is varied"),
        ("sweep: {}\n", "nothing is varied"),
        ("sweep: {product: {}}\n", "nothing is varied"),
        ("sweep:\n  list: [{ratio: 2}]\n  product: {ratio: [1]}\n", "one cell says ratio and ratio"),
        ("generator: pixel_ddpm\nsweep:\n  list: [{gen.guidance: 3, gen: {drop: 0.2}}]\n", "gen.guidance and gen"),
        ("sweep:\n  product: {ratio: [{a: 1}]}\n", "ratio"),
        ("sweep:\n  product: {generator_seed: [{a: 1}, 1]}\n", "generator_seed"),
        ("sweep:\n  product: {generator: [vea]}\n", "vea"),
        ("sweep:\n  product: {seed: [%s], seeds: [%s]}\n" % (("1, " * 101,) * 2), "10,201 cells"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_a_file_that_cannot_be_is_refused_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as refused:
        read(tmp_path, text)
    assert re.search(said.lower().replace("(", r"\("), str(refused.value).lower()) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--item", "3/2"], "--item 3/2"), (["--item", "\u00b2/3"], "--item"), (["--item", f"1/{10**11}"], "--item"),
 (["--item", "0/2"], "--item 0/2"), (["--jobs", "-1"], "--jobs -1"),
        (["--max-hours", "fit=0"], "--max-hours fit=0"), (["--max-hours", "fti=1"], "fti"),
        (["--max-hours", "nan"], "--max-hours nan"), (["--retry", "-2"], "--retry -2"),
    ],
)  # fmt: skip
def test_numbers_that_cannot_be_are_refused_before_anything_is_read(flags: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        main(["--config", "nothing.yaml", *flags])


def test_a_name_that_is_no_shipped_sweep_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="ratio_ablation"):
        main(["--config", "ratio_ablatoin"])


@pytest.mark.parametrize(
    ("varied", "flags"),
    [
        ("ratio: [0.5, 1]", ["--ratio", "0.5"]), ("gen.guidance: [1, 3]", ["--gen.guidance", "2"]),
        ("fit.steps: [1, 3]", ["--fit.steps=2"]), ("generator_seed: [0, 1]", ["--generator-seed", "1"]),
    ],
)  # fmt: skip
def test_a_flag_that_is_also_varied_is_refused(varied: str, flags: list[str], tmp_path: Path) -> None:
    name = varied.partition(":")[0]
    with pytest.raises(UserError, match=f"varies {re.escape(name)}; take it out of one of them"):
        read(tmp_path, f"generator: pixel_ddpm\nsweep:\n  product: {{{varied}}}\n", *flags)


def test_a_mapping_in_a_cell_is_laid_over_the_files(tmp_path: Path) -> None:
    text = "generator: pixel_ddpm\ngen: {drop: 0.3}\nsweep:\n  list: [{gen: {guidance: 3}}]\n"
    (request,) = read(tmp_path, text).requests
    assert (request.gen.drop, request.gen.guidance) == (0.3, 3)


def test_the_preset_of_the_environment_is_that_of_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHWORTH_PRESET", "smoke")
    file = tmp_path / "plain.yaml"
    file.write_text("sweep: {product: {ratio: [1]}}\n")
    (request,) = read_sweep(file, [], prog="t").requests
    assert request.options.preset == "smoke" and request.options.seeds == 2


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_sweeps_are_read(file: Path) -> None:
    found = read_sweep(file, [], prog="t")
    assert found.cells and found.requests


VARIED = """
generator: latent_ddpm
gen: {batch: 8}
sweep:
  - product: {gen.guidance: [1, 2.5, 1.75, 3], train.steps: [3, 4], clf.learning-rate: [0.001, 0.01]}
  - product: {generator: [vae, dcgan], classifier: [resnet18, densenet121], controls: [[none], [none, mixup]]}
"""
FLAGS = ["--seeds", "3", "--home", "h", "--clf.batch-size", "12", "--data.n-train", "90", "--without-copies"]


def test_flags_are_read_once_for_each_kind_of_cell_and_say_the_same_as_for_each_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = same_flags.read_flags
    calls: list[Any] = []
    monkeypatch.setattr(same_flags, "read_flags", lambda *args, **more: calls.append(args) or read(*args, **more))
    found = read_sweep_of(tmp_path, VARIED)
    assert len(found.requests) == 24 and len(calls) == 3  # a generator's Config, and that of the classifiers
    monkeypatch.setattr(cells, "SameFlags", lambda flags, prog: lambda default: read(flags, default, prog=prog))
    assert read_sweep_of(tmp_path, VARIED) == found


def read_sweep_of(tmp_path: Path, text: str) -> Sweep:
    return read(tmp_path, text, *FLAGS)


def test_what_a_cell_refuses_is_said_as_of_a_cell_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The flag is of the first cells and not of the last, whose generator has no such option."""
    with pytest.raises(SystemExit) as ended:
        read(tmp_path, "sweep:\n  product: {generator: [vae, dcgan]}\n", "--gen.beta", "2")
    assert ended.value.code == 2 and "gen.beta" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"no option gen\.guidanc of latent_ddpm\. Did you mean gen\.guidance"):
        read(tmp_path, "generator: latent_ddpm\nsweep:\n  list: [{gen.guidance: 1}, {gen.guidanc: 2}]\n")
    with pytest.raises(UserError, match=r"gen\.guidance cannot be 'much'"):
        read(tmp_path, "generator: latent_ddpm\nsweep:\n  product: {gen.guidance: [1, much]}\n")
