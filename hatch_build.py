"""Build hook: writes the commit that a wheel or sdist is built from into the package, where records read it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMMIT = "synthworth/COMMIT"
"""Where `benchmarks.records.provenance` looks for it, below the root of the packages."""


class CommitHook(BuildHookInterface[Any]):
    """Adds the file to what is built in a git checkout. An sdist already holds it: a wheel built from one keeps it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a build; `version` is "standard", or "editable" where git can still be asked."""
        git = shutil.which("git")
        if version == "editable" or git is None or not Path(self.root, ".git").exists():
            return
        head = self._git(git, "rev-parse", "HEAD")
        if head is None:
            return
        dirty = self._git(git, "status", "--porcelain", "--untracked-files=no")
        self.folder = Path(tempfile.mkdtemp())
        file = self.folder / "COMMIT"
        file.write_text(head + ("+" if dirty else "") + "\n", encoding="utf-8")
        build_data["force_include"][str(file)] = COMMIT

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called by hatchling after the build."""
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def _git(self, git: str, *args: str) -> str | None:
        done = subprocess.run([git, "-C", self.root, *args], capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None
