"""What a run or a sweep will write is reckoned before it begins, and a disk without room for it is refused."""

from __future__ import annotations

from collections import namedtuple
from pathlib import Path

import pytest
from small_sweeps import FLAGS, SHORT, write

from benchmarks.artifacts import size_of
from benchmarks.job.carry_out import carry_out
from benchmarks.job.opened import open_request
from benchmarks.job.room import bytes_of_arms, in_bytes
from benchmarks.request.options import parse
from benchmarks.run import main as run_main
from benchmarks.sweep.__main__ import main
from benchmarks.sweep.options import find_sweep
from synthworth.errors import UserError
from synthworth.store import Store

pytestmark = pytest.mark.usefixtures("one_thread")
Usage = namedtuple("Usage", ("total", "used", "free"))


def free(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    monkeypatch.setattr("benchmarks.job.room.shutil.disk_usage", lambda place: Usage(10**12, 10**12 - n, n))


@pytest.mark.parametrize("n", [0, 1_000_000])
def test_a_sweep_on_a_full_disk_is_refused_in_one_line_and_writes_nothing(
    n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free(monkeypatch, n)
    args = write(tmp_path, SHORT)
    with pytest.raises(
        UserError,
        match=rf"no room in .*home: about [\d.]+ MB are to be written there, and {in_bytes(n)} are free",
    ):
        main(args)
    assert [path.name for path in tmp_path.iterdir()] == ["ablation.yaml"]


def test_a_run_is_refused_likewise_and_a_dry_run_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    free(monkeypatch, 0)
    words = [*FLAGS, "--generator", "duplicate", "--home", str(tmp_path / "home"), "--results", str(tmp_path / "runs")]
    with pytest.raises(UserError, match="no room in"):
        run_main(words)
    assert run_main([*words, "--dry-run"]) == 0
    assert not list(tmp_path.iterdir())


def test_what_is_reckoned_is_written_and_what_is_there_is_not_reckoned_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*FLAGS, "--generator", "vae", "--home", str(tmp_path / "home"), "--results", str(tmp_path / "runs")]
    request = parse([*words, "--workers", "1", "--controls", "none", "--seeds", "1"], prog="test")
    opened = open_request(request)
    needed = bytes_of_arms(opened.bench, opened.arms, finished=())
    carry_out(request)
    for (kind, key), n in needed.items():
        folder = opened.bench.store.path(kind, key) if kind != "record" else tmp_path / "runs" / key[:16]
        assert folder.is_dir()
        assert kind == "record" or n / 2.5 < size_of(folder) < 2.5 * n, (kind, n)
    stored = {(kind.name, one.name) for kind in (tmp_path / "home/artifacts").iterdir() for one in kind.iterdir()}
    assert {one for one in stored if one[0] in ("fit", "pool", "classify")} <= needed.keys()
    free(monkeypatch, 0)
    assert bytes_of_arms(opened.bench, opened.arms, finished={arm.spec.run_id for arm in opened.arms}) == {}
    assert {kind for kind, _ in bytes_of_arms(opened.bench, opened.arms, finished=())} == {"record"}
    carry_out(request)  # of what is complete nothing is written
    opened.bench.store = Store(tmp_path / "elsewhere")
    assert bytes_of_arms(opened.bench, opened.arms, finished=()) == needed


def test_a_shipped_sweep_is_found_with_its_suffix_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = find_sweep(Path("ratio_ablation.yaml"))
    assert found.is_file() and found == find_sweep(Path("ratio_ablation"))
    (tmp_path / "ratio_ablation.yaml").touch()
    assert find_sweep(Path("ratio_ablation.yaml")) == Path("ratio_ablation.yaml")
    with pytest.raises(UserError, match=r"--config other.yaml: there is no such file, and no shipped sweep"):
        find_sweep(Path("other.yaml"))
    from benchmarks.request.named import find_config

    assert find_config(Path("cxr_diffusion_text.yaml")).is_file()
