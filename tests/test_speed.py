"""The speed rows: what is measured is what the row says, peers are of our size, and exponents are those of the data."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pages import ROOT
from torch import nn

from benchmarks.speed import (
    classifier,
    diffusion,
    growth,
    growth_arms,
    growth_films,
    growth_seeds,
    growth_sweep,
    peers,
    rows,
)
from benchmarks.speed.__main__ import main
from benchmarks.speed.denoising_peer import WITHIN, network_of_size
from benchmarks.speed.films import _peak, films
from benchmarks.speed.growth import Growth, Measured, judge, measure_here, slope
from benchmarks.speed.loops import count
from benchmarks.speed.row import Row, in_turn
from data.images import ImageSet
from synthworth.errors import UserError


def test_the_process_whose_memory_is_measured_caches_films() -> None:
    with films(6, 6, 16) as root:
        assert 20 < _peak(root) < 8_000  # MiB


# -- against peers --------------------------------------------------------------------------------------------------


def test_contenders_are_measured_in_turn_and_warm() -> None:
    order = []

    def contender(name: str, times: list[float]) -> Callable[[], float]:
        def run() -> float:
            order.append(name)
            return times.pop(0)

        return run

    assert in_turn([contender("a", [9, 2, 3]), contender("b", [1, 5, 4])], 2) == [2, 4]
    assert order == ["a", "b"] * 3


def sized(*, dim: int, dim_mults: tuple[int, ...], channels: int) -> nn.Module:
    return nn.Linear(dim * dim_mults[-1], dim, bias=False)


def test_the_peer_has_as_many_parameters_as_we_have() -> None:
    net, said = network_of_size(sized, 48 * 96 + 100, n_levels=3)
    assert abs(count(net) / (48 * 96 + 100) - 1) <= WITHIN
    assert re.fullmatch(r"dim \d+, dim_mults \(1, \d, \d\)", said)


def test_no_peer_of_our_size_is_an_error() -> None:
    with pytest.raises(ValueError, match="no network of 3 parameters"):
        network_of_size(sized, 3, n_levels=2)


@pytest.mark.parametrize("options", [{"widths": (8, 16)}, {"widths": (8, 16), "patch": 2}], ids=["plain", "patches"])
def test_the_plain_loop_trains_the_network_of_pixel_ddpm(
    options: dict[str, Any], make_images: Callable[..., ImageSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    from generators.nets.denoiser import make_denoiser
    from generators.nets.labels import ConditionSpec

    images = make_images((6, 6, 6))
    monkeypatch.setattr(diffusion, "phantom_films", lambda **_: images)
    config = diffusion.default_config(batch=4, **options)
    loop = diffusion.DiffusersLoop(config, device="cpu", precision="fp32", side=8)
    ours = make_denoiser(
        channels=1, size=8, spec=ConditionSpec("label", 6, multilabel=False), widths=config.widths,
        n_blocks=config.blocks, attention=config.attention, patch=config.patch,
    )  # fmt: skip
    assert loop.n_parameters == count(ours)
    before = [p.clone() for p in loop.net.parameters()]
    assert math.isfinite(loop.step())
    loop.step()  # the rate of the very first step is 0
    assert any((a != b).any() for a, b in zip(before, loop.net.parameters(), strict=True))


def test_the_loop_of_timm_learns_what_ours_is_shown(
    make_images: Callable[..., ImageSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    from classifiers.config import Config

    images = make_images((3,) * 6)
    images = replace(images, images=images.images.repeat(1, 1, 4, 4))
    monkeypatch.setattr(classifier, "phantom_films", lambda *_, **__: images)
    config = Config(stem="imagenet", batch_size=8, augment="exposure")
    loop = classifier.TimmLoop(config, device="cpu", precision="fp32", side=32)
    first = next(iter(loop.loader))
    losses = [loop.step(*first) for _ in range(6)]
    assert losses[-1] < losses[0]
    assert 0 <= loop.evaluate() <= 1


def test_a_missing_peer_is_said_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pythae", None)
    with pytest.raises(UserError, match="pip install pythae"):
        peers.find_peer("pythae", row="vae")


def test_every_peer_is_in_the_extra() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    [extra] = [line for line in project.splitlines() if line.startswith("speed = [")]
    assert all(f'"{package}>=' in extra for package in peers.PEERS.values())


# -- growth ---------------------------------------------------------------------------------------------------------


def test_an_exponent_is_that_of_the_last_decade() -> None:
    values = {n: 5.0 + 1e-9 * n**1.5 for n in (10, 100, 1000)} | {
        10**8: 1e-9 * 10**12,
        4 * 10**8: 1.0,
        10**9: 1e-9 * 10**13.5,
    }
    assert slope(values) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("grows", "power", "worse"),
    [(lambda n: n, 1, False), (lambda n: n * math.log(n), 1, False), (lambda n: n**1.5, 1, True),
     (lambda n: n**2, 2, False), (lambda n: n**2.5, 2, True)],
)  # fmt: skip
def test_a_stage_that_grows_faster_than_it_may_is_said_to(
    grows: Callable[[float], float], power: int, worse: bool
) -> None:
    found = judge("s", "films", {n: Measured(grows(n), grows(n), 10.0 * n) for n in (1000, 10_000)}, power=power)
    assert found.worse is worse
    assert found.memory_exponent == pytest.approx(1)


def test_what_is_too_short_or_was_measured_once_has_no_exponent_and_says_why() -> None:
    short = judge("s", "films", {10: Measured(1e-4, 1e-4, 0.0), 100: Measured(1e-3, 1e-3, 0.0)})
    assert (short.exponent, short.worse) == (None, None) and "below" in short.why["exponent"]
    assert "one size" in judge("s", "films", {10: Measured(1.0, 1.0, 1.0)}).why["exponent"]


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("growth")
    growth_films.lay_out(folder, 90)
    return folder


@pytest.mark.parametrize("stage", [name for name in growth_films.STAGES if name != "prepare: render"])
def test_every_stage_of_films_runs(stage: str, laid_out: Path) -> None:
    seconds, _, mebibytes = measure_here(growth_films.__name__, stage, str(laid_out), 90)
    assert seconds > 0 and mebibytes >= 0


@pytest.mark.parametrize("module", [growth_arms, growth_seeds], ids=["arms", "seeds"])
def test_every_stage_of_arms_and_seeds_runs(module: ModuleType, tmp_path: Path) -> None:
    for k, stage in enumerate(module.STAGES):
        (tmp_path / str(k)).mkdir()
        assert measure_here(module.__name__, stage, str(tmp_path / str(k)), 3)[0] > 0


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cells")
    growth_sweep.lay_out(folder, 4)
    return folder


def test_every_stage_of_cells_runs_on_as_many_as_there_should_be(cells: Path) -> None:
    import pandas as pd

    for stage in growth_sweep.STAGES:
        assert measure_here(growth_sweep.__name__, stage, str(cells), 4)[0] > 0
    for kind in growth_sweep.KINDS:
        table = pd.read_csv(cells / kind / "out" / "table.csv")
        assert list(table["state"]) == ["done"] * 4 and table["vs_duplicate"].notna().all()
        board = pd.read_csv(cells / kind / "site" / "leaderboard.csv")
        assert board["auroc"].notna().all() and set(table["run_id"]) < set(board["run_id"])


def test_memory_that_is_given_back_is_no_memory_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The kernel counts pages in batches: the peak may read a few pages lower after the work than before."""
    readings = iter([5000, 4944])
    monkeypatch.setattr(growth, "peak_kib", lambda: next(readings))
    assert measure_here(growth_arms.__name__, "records written", str(tmp_path), 1).mebibytes == 0


def test_records_that_are_grown_are_read_back(tmp_path: Path) -> None:
    shelf = growth_arms.written(tmp_path, 3).read()
    assert len(shelf.unfinished) == 3 and not shelf.unread


def test_no_two_films_of_a_grown_set_are_equal(make_images: Callable[..., ImageSet]) -> None:
    few = make_images((4, 4))
    many = growth_films.repeated(few, 50, few.split)
    assert len({image.numpy().tobytes() for image in many.images}) == 50


# -- the command ----------------------------------------------------------------------------------------------------

ROW = Row("w", "o", "p", 2.0, 3.0, "said", facts={"n": 1})
GROWN: Growth = judge("stage", "films", {10: Measured(1.0, 1.0, 2.0), 100: Measured(100.0, 100.0, 20.0)})


def test_rows_and_growth_go_to_a_file_with_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(rows.ROWS["cpu"], "a", lambda repeat: [ROW] * repeat)
    monkeypatch.setitem(rows.ROWS["cpu"], "growth-films", lambda sizes: [GROWN])
    file = tmp_path / "not there yet" / "speed.json"
    assert main(["a", "growth-films", "--repeat", "2", "--json-file", str(file)]) == 0
    written = json.loads(file.read_text())
    assert written["machine"]["processor"] and written["machine"]["threads"] >= 1
    assert [(row["name"], row["ratio"], row["facts"]) for row in written["rows"]] == [("a", 1.5, {"n": 1})] * 2
    [grown] = written["growth"]
    assert grown["seconds"] == {"10": 1.0, "100": 100.0} and grown["worse"] is True
    printed = capsys.readouterr().out
    assert "WORSE" in printed and "1.50" in printed


def test_a_row_without_its_peer_is_left_out_unless_it_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lonely(repeat: int) -> Row:
        raise peers.NoPeer("the row b needs its peer: pip install it")

    monkeypatch.setitem(rows.ROWS, "cpu", {"a": lambda repeat: ROW, "b": lonely})
    assert main(["--json-file", str(tmp_path / "f.json")]) == 0
    assert json.loads((tmp_path / "f.json").read_text())["missing"] == {"b": "the row b needs its peer: pip install it"}
    assert "b left out" in capsys.readouterr().out
    with pytest.raises(UserError, match="pip install it"):
        main(["b"])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--device", "tpu"], "there are rows for cpu and cuda"),
        (["no-row"], "no row"),
        (["--sizes", "10", "10"], "none twice"),
        (["--repeat", "0"], "1 or more"),
        (["--minutes", "-1"], "--minutes -1"),
        (["--device", "cuda", "--minutes", "nan"], "--minutes nan"),
        (["--json-file", "."], "that is a folder"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(args: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        main(args)


# -- docs/scaling.md ------------------------------------------------------------------------------------------------


def test_the_page_on_scaling_has_the_tables_that_its_script_computes() -> None:
    spec = importlib.util.spec_from_file_location("scaling", ROOT / "docs" / "scaling.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules["scaling"] = script  # dataclasses look their module up
    spec.loader.exec_module(script)
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    for name, table in script.tables().items():
        assert table in page, f"the table {name} is not what docs/scaling.py prints"
