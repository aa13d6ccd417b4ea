"""What the pages hold: commands, plugin files, printed results; and a folder in which the commands can be run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import warm

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")), *sorted((ROOT / "docs").glob("*.md"))]
OURS = re.compile(r"(python -m (benchmarks|leaderboard|data)\.|synthworth )")
SMOKE = {"SYNTHWORTH_PRESET": "smoke", "SYNTHWORTH_OFFLINE": "1", "SYNTHWORTH_WEIGHTS": ""}
"""The environment that commands are run in: small budgets, nothing fetched. Flags are never added or changed."""


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def split_commands(block: str) -> list[str]:
    """Commands of a bash block, without comments and without the folder of the environment."""
    found = []
    for line in re.sub(r"\\\n\s*", " ", block).splitlines():
        words = shlex.split(line, comments=True)
        found += [part.replace(".venv/bin/", "") for part in shlex.join(words).split(" '&&' ") if words]
    return found


def commands(page: Path) -> list[str]:
    """Commands of a page's bash blocks, and those of the project in its text that have arguments."""
    text = " ".join(re.findall(r"`((?:python\s-m|synthworth)\s[^`]+)`", page.read_text(encoding="utf-8")))
    text = " ".join(text.split())
    inline = [part.strip() for part in re.split(r"(?=python -m |synthworth )", text) if OURS.match(part)]
    inline = [part for part in inline if len(part.split()) > (3 if part.startswith("python") else 2)]
    inline = [part for part in inline if "..." not in part]
    in_blocks = [command for block in blocks(page, "bash") for command in split_commands(block)]
    return list(dict.fromkeys([*in_blocks, *inline]))


def marked(page: Path, mark: str, language: str) -> dict[str, str]:
    """Blocks of a language below a comment `<!-- mark: NAME -->`, by NAME."""
    pattern = rf"<!-- {mark} (.*?) -->\n```{language}\n(.*?)^```$"
    return dict(re.findall(pattern, page.read_text(encoding="utf-8"), re.M | re.S))


def plugin_files() -> dict[str, str]:
    """Plugin files that the pages show, by name."""
    return {name: code for page in PAGES for name, code in marked(page, "plugin:", "python").items()}


def make_workplace(folder: Path) -> None:
    """Put into a folder what the pages' reader has there: plugin files, images, copies of public datasets."""
    from nih_copy import lines_of, names_of, rows_of, write_films, write_table
    from PIL import Image
    from public_layouts import LAYOUTS

    rng = np.random.default_rng(0)
    for name, code in plugin_files().items():
        (folder / name).write_text(code, encoding="utf-8")
    pca = plugin_files()["pca_gauss.py"]
    deaf = pca.replace('"pca_gauss"', '"deaf"').replace("zip(labels.tolist(), noise", "zip([0] * len(labels), noise")
    (folder / "deaf.py").write_text(deaf, encoding="utf-8")
    (folder / "film_lab").mkdir()
    (folder / "film_lab/pca_gauss.py").write_text(pca.replace('@register.generator("pca_gauss")\n', ""), "utf-8")
    arrays = {}
    for split, n in (("train", 48), ("val", 24), ("test", 24)):
        labels = (np.arange(n) % 2).astype(np.uint8)[:, None]
        noise = rng.integers(0, 128, (n, 28, 28), dtype=np.uint8)
        arrays |= {f"{split}_images": noise + 60 * labels[:, :, None], f"{split}_labels": labels}
    np.savez(folder / "pneumoniamnist.npz", **arrays)
    for place in ("films", "kermany"):
        for k, name in enumerate(("normal", "opacity")):
            (folder / place / name).mkdir(parents=True)
            for i in range(60):
                pixels = rng.integers(0, 128, (70, 80), dtype=np.uint8) + 60 * k
                Image.fromarray(pixels.astype(np.uint8)).save(folder / place / name / f"{i}.png")
    rows = rows_of(labels=("No Finding", "Pneumonia"))
    write_films(folder / "nih14/images", names_of(rows))
    write_table(folder / "nih14", lines_of(rows))
    for name, write in LAYOUTS.items():
        write(folder / name)


def call(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of this project in a folder, as it is written."""
    words = shlex.split(command)
    program = ["-m", *words[2:]]
    if words[0] == "synthworth":  # what the console script of an installed package does
        program = ["-c", "import sys; from benchmarks.cli import main; sys.exit(main())", *words[1:]]
    own = {"PYTHONPATH": str(ROOT), "SYNTHWORTH_HOME": str(folder / "home")}
    return warm.run(program, folder=folder, environment={**os.environ, **own, **environment}, seconds=1200)
