"""What synthetic images must pass, through the command line: copies and noise are kept out, real films are let in."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.job.plan import specs_of
from benchmarks.metrics.neighbours import nearest
from benchmarks.request.options import parse

Run = Callable[..., subprocess.CompletedProcess[str]]
SMALL = ("-m", "benchmarks.run", "--preset", "smoke", "--seeds", "1", "--extractors", "--controls", "none",
         "--ratio", "0.2", "--workers", "1")  # fmt: skip
COPIED = (*SMALL[:6], "--extractors", "efficientnet_lite0", *SMALL[7:])


@pytest.mark.parametrize(("generator", "name"), [("duplicate", "no_copies"), ("noise", "near")])
def test_images_that_do_not_pass_are_not_used(generator: str, name: str, run_here: Run, tmp_path: Path) -> None:
    films = ("--data.n-train", "300", "--data.n-val", "120", "--max-train", "0")
    done = run_here(*SMALL, *films, "--generator", generator, "--filters", name)
    assert done.returncode == 2, done.stderr
    assert f"--filters {name}: " in done.stderr and f"that {generator} drew pass" in done.stderr
    assert not list(tmp_path.glob("results/runs/*/record.json"))


def test_real_films_of_other_patients_pass_every_filter_and_the_record_says_so(run_here: Run, tmp_path: Path) -> None:
    films = ("--data.n-val", "150")
    done = run_here(*SMALL, *films, "--generator", "holdout_real", "--filters", "no_copies", "near")
    assert done.returncode == 0, done.stderr
    (record,) = (
        r for p in tmp_path.glob("results/runs/*/record.json")
        if (r := json.loads(p.read_text()))["spec"]["generator"] == "holdout_real"
    )  # fmt: skip
    assert record["name"] == "holdout_real add 0.2 [no_copies+near]"
    assert record["spec"]["filters"] == ["no_copies", "near"]
    assert sum(record["counts"]["synthetic"].values()) == 24


def test_too_few_val_images_to_say_what_a_near_copy_is_are_named(run_here: Run, tmp_path: Path) -> None:
    done = run_here(*SMALL, "--data.n-val", "18", "--generator", "holdout_real", "--filters", "no_copies")
    assert done.returncode == 2, done.stderr
    assert "--filters no_copies: needs 20 held-out real images; there are 18 in val. Use a larger" in done.stderr
    assert not list(tmp_path.glob("results/runs/*/record.json"))


def test_an_unknown_filter_is_refused_with_the_nearest_name(run_here: Run) -> None:
    done = run_here(*SMALL, "--filters", "copies")
    assert done.returncode == 2
    assert "no filter named 'copies'. Did you mean 'no_copies' or 'no_pixel_copies' or 'confident'?" in done.stderr


def names_of(*args: str) -> list[str]:
    request = parse(["--preset", "smoke", "--generator", "vae", *args], prog="run")
    return [spec.name for spec in specs_of(request, fingerprint="", precision="fp32")]


def test_controls_are_not_filtered() -> None:
    assert names_of("--filters", "no_copies") == ["none", "duplicate add 0.5", "vae add 0.5 [no_copies]"]


def test_an_arm_without_copies_joins_each_ratio_of_the_generator_and_no_control() -> None:
    found = names_of("--without-copies", "--ratio", "0", "1", "2", "--controls", "none", "duplicate")
    assert sorted(n for n in found if "no_copies" in n) == [f"vae add {k} [no_copies+no_pixel_copies]" for k in (1, 2)]
    asked = ("--filters", "no_copies", "no_pixel_copies")
    assert len(names_of("--without-copies", *asked)) == len(names_of(*asked))
    assert len(names_of("--without-copies", *asked[:2])) == len(names_of(*asked[:2])) + 1


def test_a_generator_that_only_copies_keeps_its_row_and_the_one_without_copies_says_why_it_is_missing(
    run_here: Run, tmp_path: Path
) -> None:
    films = ("--data.n-train", "300", "--data.n-val", "120", "--max-train", "0")
    done = run_here(*COPIED, *films, "--generator", "duplicate", "--without-copies")
    assert done.returncode == 0, done.stderr
    skipped = "SKIPPED duplicate add 0.2 [no_copies+no_pixel_copies]: --filters no_copies no_pixel_copies: 0 of "
    assert skipped in done.stdout
    assert "without near-copies: 0 of 60 images are left; train on others in their place" in done.stdout
    found = {r["name"]: r for p in tmp_path.glob("results/runs/*/record.json") if (r := json.loads(p.read_text()))}
    assert found["duplicate add 0.2"]["status"] == "ok"
    assert found["duplicate add 0.2 [no_copies+no_pixel_copies]"]["status"] == "skipped"
    assert "0 of " in found["duplicate add 0.2 [no_copies+no_pixel_copies]"]["error"]


def test_a_copy_is_at_distance_0_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.randn(40, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 100
    others = torch.cat([points[:10] + 1e-9, points[10:20], points.flip(0) + 3])
    whole = nearest(points, others, k=2)
    exact = (points[:, None] - others[None]).square().sum(-1).sort(1)
    assert torch.allclose(whole.squared, exact.values[:, :2])
    assert (whole.squared[10:20, 0] == 0).all()
    assert torch.equal(whole.index[:20, 0], torch.arange(20))
    monkeypatch.setattr("benchmarks.metrics.neighbours.CHUNK", 50)
    assert torch.equal(nearest(points, others, k=2).squared, whole.squared)
    own = nearest(points, points, same=True)
    assert (own.index[:, 0] != torch.arange(40)).all()
    with pytest.raises(ValueError, match="40 nearest of 39"):
        nearest(points, points, k=40, same=True)
