"""CITATION.cff says what the code says of itself."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

import synthworth

ROOT = Path(__file__).resolve().parent.parent


def test_the_citation_names_the_version_and_the_licence_of_the_code() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["version"] == synthworth.__version__
    assert citation["license"] == project["license"]
