"""Images that somebody else made, as a generator: in their order, each once, and never more than there are."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.job.carry_out import carry_out
from benchmarks.records.predictions import PREDICTIONS
from benchmarks.request.options import parse
from data.images import ImageSet, Split
from generators.pool import Pool, PoolConfig
from synthworth.errors import UserError
from synthworth.work import Work

pytestmark = pytest.mark.usefixtures("one_thread")

FLAGS = [
    *("--preset", "smoke", "--device", "cpu", "--seeds", "1", "--controls", "none", "--workers", "1"),
    *("--train.steps", "3", "--clf.arch", "resnet10t", "--extractors"),
    *("--data.n-train", "120", "--data.n-val", "40", "--data.n-test", "40"),
]


def run(place: Path, *words: str) -> dict[str, Any]:
    """The records of a run, by name."""
    folders = ["--home", str(place / "home"), "--results", str(place / "runs")]
    outcome = carry_out(parse([*FLAGS, *folders, *words], prog="test"))
    return {record["name"]: record for record in outcome.records}


def export(place: Path, folder: Path, *, n: int, classes: list[str]) -> None:
    """The first n images of each class that a run drew, as PNG in class folders."""
    for shard in sorted((place / "home/artifacts/pool").iterdir()):
        images, labels = np.load(shard / "images.npy"), np.load(shard / "labels.npy")
        of = folder / classes[int(labels[0])]
        of.mkdir(parents=True, exist_ok=True)
        for row, image in enumerate(images[:n]):
            Image.fromarray(image[0]).save(of / f"{row:05}.png")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """A run of `vae`, and the 20 images of each class that it used, in a folder."""
    place = tmp_path_factory.mktemp("drawn")
    records = run(place, "--generator", "vae", "--fit.steps", "2", "--ratio", "0.5")
    classes = records["vae add 0.5"]["classes"]
    n = records["vae add 0.5"]["counts"]["synthetic"]
    assert len(set(n.values())) == 1
    export(place, place / "folder", n=next(iter(n.values())), classes=classes)
    return place, place / "folder", records


def predictions(place: Path, record: dict[str, Any]) -> bytes:
    return (place / "runs" / record["run_id"][:16] / PREDICTIONS).read_bytes()


def test_images_drawn_earlier_give_the_predictions_of_the_generator_that_drew_them(
    drawn: tuple[Path, Path, dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, folder, before = drawn
    more = ["--gen.made-by", "a VAE", "--gen.licence", "CC0", "--gen.trained-on", "phantom's train split"]
    found = run(tmp_path, "--generator", "pool", "--gen.path", str(folder), "--ratio", "0.5", *more)
    arm = found["pool add 0.5"]
    assert predictions(tmp_path, arm) == predictions(place, before["vae add 0.5"])
    assert arm["counts"] == before["vae add 0.5"]["counts"] and arm["added"] == "synthetic"
    told = arm["spec"]["gen"]
    assert (told["made_by"], told["licence"], told["saw_test"]) == ("a VAE", "CC0", "unknown")
    assert len(told["sha256"]) == 64 and "path" not in told
    assert "--gen.saw-test" in caplog.text


def test_a_demand_larger_than_the_pool_is_refused_before_anything_is_made(
    drawn: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, folder, before = drawn
    name, n = "no_finding", before["vae add 0.5"]["counts"]["synthetic"]["no_finding"]
    words = ["--generator", "pool", "--gen.path", str(folder), "--ratio", "0.6"]
    with pytest.raises(UserError, match=f"holds {n} images of {name}, and {n + 2} are asked for"):
        run(tmp_path, *words)
    assert not list((tmp_path / "home/artifacts").glob("classify/*")) and not list(tmp_path.glob("runs/*"))
    assert run(tmp_path, *words, "--gen.repeat")["pool add 0.6"]["counts"]["synthetic"][name] == n + 2


def test_what_is_no_pool_of_this_dataset_is_refused_in_one_line(
    drawn: tuple[Path, Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, folder, _ = drawn
    (tmp_path / "odd" / "a hand").mkdir(parents=True)
    Image.new("L", (32, 32)).save(tmp_path / "odd" / "a hand" / "1.png")
    asked = {
        ("--gen.path", str(tmp_path / "nowhere")): "--gen.path .*nowhere: no such folder",
        (): "pool needs --gen.path FOLDER or --gen.table FILE",
        ("--gen.path", str(tmp_path / "odd")): "the pool: .*a hand",
        ("--gen.path", str(folder), "--gen.sha256", "0" * 64): "have sha256 .* not 0000",
        ("--gen.path", str(folder), "--generator-seed", "0", "1"): "--generator-seed 0 1: pool has one training, 0",
    }
    for words, said in asked.items():
        with pytest.raises(UserError, match=said) as error:
            run(tmp_path, "--generator", "pool", *words)
        assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("runs/*"))


def co_occurring(n: int) -> ImageSet:
    labels = torch.tensor([[k % 2, k // 2 % 2] for k in range(n)], dtype=torch.uint8)
    ids = tuple(map(str, range(n)))
    return ImageSet(torch.zeros((n, 1, 8, 8), dtype=torch.uint8), labels, ids, ids, Split.train, ("A", "B"))


@pytest.fixture
def listed(tmp_path: Path) -> Pool:
    """Six images whose grey value is their row; findings in a table: A, A|B, none, A, B, A."""
    said = ["A", "A|B", "No Finding", "A", "B", "A"]
    rows = ["image,label"]
    for k, label in enumerate(said):
        Image.new("L", (8, 8), 10 * k).save(tmp_path / f"{k}.png")
        rows.append(f"{k}.png,{label}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    pool = Pool(PoolConfig(path=tmp_path))
    pool.fit(co_occurring(8), seed=0, work=Work(tmp_path / "work"))
    (tmp_path / "saved").mkdir()
    pool.save(tmp_path / "saved")
    return Pool.load(tmp_path / "saved", device="cpu")


def greys(images: torch.Tensor) -> list[int]:
    return (images[:, 0, 0, 0] // 10).tolist()


A, B, BOTH, NEITHER = [1, 0], [0, 1], [1, 1], [0, 0]


def test_findings_are_answered_by_images_with_exactly_these_in_their_order_and_once(listed: Pool) -> None:
    def ask(labels: list[list[int]], earlier: list[list[int]] | None = None) -> list[int]:
        told = torch.tensor(earlier or [], dtype=torch.uint8).reshape(-1, 2)
        return greys(listed.sample_next(torch.tensor(labels, dtype=torch.uint8), earlier=told))

    assert ask([A, NEITHER, A, BOTH, B]) == [0, 2, 3, 1, 4]
    assert ask([A], [A, B, A]) == [5]
    assert ask([A, A, BOTH], [A, A, BOTH]) == [5]  # nothing after the first that cannot be answered
    with pytest.raises(UserError, match="holds 1 images with one of the labels, and 2 are asked for"):
        listed.sample(torch.tensor([B, A, B], dtype=torch.uint8), seed=0)


def test_images_come_again_in_turns_where_that_was_asked_for(tmp_path: Path, listed: Pool) -> None:
    again = Pool(PoolConfig(repeat=True))
    again.images, again.labels = listed.images, listed.labels
    asked = torch.tensor([A] * 5, dtype=torch.uint8)
    assert greys(again.sample_next(asked, earlier=asked[:2])) == [5, 0, 3, 5, 0]


def test_a_pool_that_changed_since_it_was_asked_for_is_refused(tmp_path: Path) -> None:
    for name in ("A", "B"):
        (tmp_path / "pool" / name).mkdir(parents=True)
        Image.new("L", (8, 8), 7).save(tmp_path / "pool" / name / "1.png")
    labels, ids = torch.tensor([0, 1]), ("a", "b")
    train = ImageSet(torch.zeros((2, 1, 8, 8), dtype=torch.uint8), labels, ids, ids, Split.train, ("A", "B"))
    pool = Pool(PoolConfig(path=tmp_path / "pool"))
    Image.new("L", (8, 8), 8).save(tmp_path / "pool" / "B" / "1.png")
    with pytest.raises(UserError, match="the images of the pool have changed"):
        pool.fit(train, seed=0, work=Work(tmp_path / "work"))


def test_the_same_images_elsewhere_are_the_same_pool(drawn: tuple[Path, Path, dict[str, Any]], tmp_path: Path) -> None:
    _, folder, _ = drawn
    shutil.copytree(folder, tmp_path / "copy")
    one, other = PoolConfig(path=folder), PoolConfig(path=tmp_path / "copy")
    assert one.sha256 == other.sha256
    first, second = sorted((tmp_path / "copy").iterdir())[:2]
    (first / "00000.png").rename(second / "x.png")  # the same bytes under another label
    assert PoolConfig(path=tmp_path / "copy").sha256 != one.sha256
