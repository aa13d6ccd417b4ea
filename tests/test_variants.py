"""Variants of published systems: a name behind a plus changes what its file says, and nothing else."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from pages import ROOT

from benchmarks.request.families import parse_each
from benchmarks.request.named import VARIANT_FOLDER, read_config, systems, variants
from benchmarks.request.options import parse
from benchmarks.request.yaml_file import read_yaml
from data.datasets.nih.table import NO_FINDING, read_entries
from synthworth.errors import UserError

FAMILY = ("vae_vgg16", "gmvae_vgg16", "fs_gmvae_vgg16")
OF_ALL = [name for name in variants() if name.endswith("_findings")]
PAIRS = [(s, v) for s in sorted(systems()) for v in variants() if v in OF_ALL or s in FAMILY]


def plain(config: str) -> dict[str, Any]:
    request = parse(["--config", config], prog="test")
    return {part: vars(getattr(request, part)) for part in ("gen", "data", "clf", "options")}


@pytest.mark.parametrize(("system", "variant"), PAIRS, ids=lambda name: name)
def test_a_variant_changes_what_its_file_says_and_nothing_else(system: str, variant: str) -> None:
    before, after = plain(system), plain(f"{system}+{variant}")
    said = {(part, name) for part, values in read_yaml(VARIANT_FOLDER / f"{variant}.yaml").items() for name in values}
    changed = {(p, name) for p, values in after.items() for name, value in values.items() if before[p][name] != value}
    assert changed - {("options", "config")} <= said
    assert all(value_of(after, part, name) == value for part, name, value in values_of(variant))


def values_of(variant: str) -> list[tuple[str, str, Any]]:
    found = read_yaml(VARIANT_FOLDER / f"{variant}.yaml")
    return [(part, name, value) for part, values in found.items() for name, value in values.items()]


def value_of(request: dict[str, Any], part: str, name: str) -> Any:
    value = request[part][name]
    return list(value) if isinstance(value, tuple) else value


def test_variants_go_together_in_any_order() -> None:
    one = plain("vae_vgg16+densenet121+decoder1+4_findings")
    assert (one["gen"]["encoder"], one["gen"]["decoder"], one["data"]["k"]) == ("densenet121", "linear", 4)
    other = plain("vae_vgg16+4_findings+decoder1+densenet121")
    assert one["gen"] == other["gen"] and one["data"] == other["data"]


def test_flags_and_the_smoke_preset_beat_a_variant() -> None:
    flags = ["--config", "gmvae_vgg16+densenet121", "--preset", "smoke", "--gen.encoder", "vgg16"]
    request = parse(flags, prog="test")
    assert (request.gen.encoder, request.data.size, request.options.fit.steps) == ("vgg16", 32, 6)


def test_several_classifiers_read_a_variant_too() -> None:
    flags = ["--config", "vae_vgg16+decoder1", "--classifier", "resnet18", "densenet121"]
    assert [request.gen.decoder for request in parse_each(flags, prog="test")] == ["linear", "linear"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("vae_vgg16+decodr1", "no variant of a system named 'decodr1'. Did you mean 'decoder1'"),
        ("vae_vgg16+", "no variant of a system named ''"),
        ("vae_vgg61+decoder1", "no published system named 'vae_vgg61'. Did you mean 'vae_vgg16'"),
        ("vae_vgg16+decoder1+decoder2", r"vae_vgg16\+decoder1\+decoder2: decoder1 and decoder2 both say gen.decoder"),
        ("lsgan_14_findings+decoder1", r"lsgan_14_findings\+decoder1: no option gen.\w+ of lsgan"),
    ],
)
def test_what_is_no_variant_of_the_system_is_refused_in_one_line(config: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as refused:
        parse(["--config", config], prog="test")
    assert "\n" not in str(refused.value)


def test_a_file_of_ones_own_may_have_a_plus_in_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a+b.yaml").write_text("generator: vae\n")
    assert read_config(Path("a+b.yaml")) == {"generator": "vae"}


def test_the_findings_of_the_whole_set_come_in_the_order_that_the_variants_state() -> None:
    table = Path(os.environ.get("SYNTHWORTH_DATA") or "/nowhere") / "nih14" / "Data_Entry_2017_v2020.csv"
    if not table.is_file():
        pytest.skip("SYNTHWORTH_DATA holds no nih14")
    counts = {name: n for name, n in read_entries(table).counts().items() if name != NO_FINDING}
    ranked = [name.replace("_", " ") for name in sorted(counts, key=lambda name: -counts[name])]
    page = " ".join((ROOT / "docs/systems.md").read_text(encoding="utf-8").split())
    steps = [ranked[a:b] for a, b in itertools.pairwise((0, 2, 4, 6, 8, 14))]
    assert " | ".join(map(", ".join, steps)) in page
    assert f"{steps[0][0]} and {steps[0][1]}" in variants()["2_findings"]
    for k, (one, other) in zip((4, 6, 8), steps[1:4], strict=True):
        assert f"{one} and {other}" in variants()[f"{k}_findings"].replace(", ", " and ").replace("_", " ")


def test_the_list_has_a_line_on_each_variant(run_here: Any) -> None:
    done = run_here("-m", "benchmarks.list", "variants", "--json")
    rows = json.loads(done.stdout)["variants"]
    assert [row["name"] for row in rows][-5:] == [f"{k}_findings" for k in (2, 4, 6, 8, 14)]
    assert {row["name"] for row in rows} == {file.stem for file in VARIANT_FOLDER.glob("*.yaml")}
    assert all(row["summary"].endswith(".") for row in rows)
