"""A record says which commit made it: in a checkout, and in a package that was built from one."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from benchmarks.records import provenance

ROOT = Path(__file__).resolve().parent.parent


def git(*args: str, folder: Path = ROOT) -> str:
    return subprocess.run(["git", "-C", folder, *args], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clone of this project's last commit."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    subprocess.run(["git", "clone", "-q", "--shared", ROOT, tmp_path / "clone"], check=True)
    shutil.copy(ROOT / "hatch_build.py", tmp_path / "clone")
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "clone")
    return tmp_path / "clone"


def build(folder: Path, what: str) -> Path:
    """Build a wheel or sdist as an installer does."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", what], cwd=folder, check=True, capture_output=True
    )
    (made,) = (folder / "dist").glob("*.whl" if what == "wheel" else "*.tar.gz")
    return made


def test_in_a_checkout_the_commit_is_gits() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    found = provenance._commit()
    assert found is not None and found.rstrip("+") == git("rev-parse", "HEAD")


def test_a_wheel_and_an_sdist_hold_the_commit_they_were_built_from(checkout: Path, tmp_path: Path) -> None:
    head = git("rev-parse", "HEAD", folder=checkout)
    sdist = build(checkout, "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "sdist", filter="data")
    (unpacked,) = (tmp_path / "sdist").iterdir()
    assert not (unpacked / ".git").exists()
    for place in (checkout, unpacked):
        with zipfile.ZipFile(build(place, "wheel")) as wheel:
            assert wheel.read("synthworth/COMMIT").decode().strip().rstrip("+") == head


def test_outside_a_checkout_the_commit_is_the_one_that_was_written_at_build_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "benchmarks/records/provenance.py"))
    assert provenance._commit() is None
    (tmp_path / "synthworth").mkdir()
    (tmp_path / "synthworth/COMMIT").write_text("abc123+\n")
    assert provenance._commit() == "abc123+"


def test_the_command_says_which_preset_the_environment_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    provenance.provenance.cache_clear()
    monkeypatch.setenv("SYNTHWORTH_PRESET", "smoke")
    assert provenance.provenance()["command"].startswith("SYNTHWORTH_PRESET=smoke python -m ")
    provenance.provenance.cache_clear()
    monkeypatch.delenv("SYNTHWORTH_PRESET")
    assert provenance.provenance()["command"].startswith("python -m ")
    provenance.provenance.cache_clear()


def test_the_command_names_no_place_on_somebodys_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder may be named after a patient; a name alone, and the name of a hub's repository, say nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smith" / "films").mkdir(parents=True)
    words = [
        "--config", "/smith/mine.yaml", "--out=smith/films", "--plugin", "../smith/fade.py", "--gen.path",
        "~/smith",
        "--gen.base", "stabilityai/sdxl", "--config", "suite_phantom", "--generator", "pool", "--ratio", "0.5",
    ]  # fmt: skip
    monkeypatch.setattr("sys.argv", [str(tmp_path / "benchmarks" / "sweep" / "__main__.py"), *words])
    monkeypatch.setattr("sys.modules", {**sys.modules, "__main__": object()})
    assert provenance.provenance()["command"].endswith(
        "python -m benchmarks.sweep --config PATH --out=PATH --plugin PATH --gen.path PATH --gen.base stabilityai/sdxl "
        "--config suite_phantom --generator pool --ratio 0.5"
    )
