"""How the defaults of preset quick were chosen: `python docs/defaults.py` makes the table and picture of its page.

The trials are those of `python -m benchmarks.tune --by fidelity --search-only`, one study a generator and set of films,
in results/reference/searched. A study tries the options as they are first, and then the same others on both sets, at a
third of the budget; files that end with -whole have what passed there at the whole of it.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TRIALS, PAGE = ROOT / "results/reference/searched", ROOT / "docs/defaults.md"
PICTURE = ROOT / "docs/images/defaults.png"
SETS = {"phantom": "rendered films", "pneumoniamnist": "PneumoniaMNIST"}
"""Beginning of a file of trials -> what its films are."""
COLOURS = {"phantom": "#D55E00", "pneumoniamnist": "#0072B2"}
GENERATORS = (
    "vae", "gmvae", "fs_gmvae", "dcgan", "lsgan", "r3gan", "latent_ddpm", "latent_flow", "pixel_ddpm", "flow", "edm",
)  # fmt: skip
"""In the order of the page."""
NEARER, SEEN = 0.9, 0.02
"""The rule: a setting becomes the default where its FD is at most this share of the default's on both sets, and its
consistency at most this much lower on either."""


@dataclass(frozen=True)
class Setting:
    """Options that were tried, and what came of them.

    Parameters
    ----------
    options : name of an option -> its value, as text.
    trials : set -> its row of trials.csv.
    """

    options: dict[str, str]
    trials: dict[str, dict[str, str]]

    def value(self, films: str, column: str) -> float | None:
        """A number of its trial; None where there is none."""
        text = self.trials[films][column]
        return float(text) if text else None

    @property
    def told(self) -> str:
        """`lr .001, ema .999`."""
        values = {name.removeprefix("gen."): float(value) for name, value in self.options.items()}
        return ", ".join(f"{name} {value:.{4 if 0.9 < value < 1 else 2}g}" for name, value in values.items())


WHOLE = "-whole"
"""Ending of the name of trials at the whole budget."""


def settings(generator: str, budget: str = "") -> list[Setting]:
    """What was tried of a generator on both sets, the options as they were first; empty where nothing was.

    Parameters
    ----------
    budget : `WHOLE`, or nothing for a third.
    """
    files = {films: TRIALS / f"{films}-{generator}{budget}.csv" for films in SETS}
    if not all(file.is_file() for file in files.values()):
        return []
    found: dict[tuple[str, ...], Setting] = {}
    for films, file in files.items():
        with file.open(encoding="utf-8", newline="") as opened:
            for row in csv.DictReader(opened):
                options = {name: value for name, value in row.items() if name.startswith("gen.")}
                found.setdefault(tuple(options.values()), Setting(options, {})).trials[films] = row
    assert all(set(setting.trials) == set(SETS) for setting in found.values()), f"{generator}: others on each set"
    return list(found.values())


def ratio(setting: Setting, asked: Setting, films: str) -> float:
    """FD of a setting over that of the default; infinite where it has none."""
    fd, of_asked = setting.value(films, "fd"), asked.value(films, "fd")
    assert of_asked is not None
    return math.inf if fd is None else fd / of_asked


def chosen(tried: list[Setting]) -> Setting:
    """The setting that the rule takes: of those that pass the one with the lowest product of both ratios."""
    asked = tried[0]
    passing = [one for one in tried[1:] if all(_passes(one, asked, films) for films in SETS)]
    return min(passing, key=lambda one: math.prod(ratio(one, asked, films) for films in SETS), default=asked)


def decided(generator: str) -> Setting:
    """What becomes the default: what the rule takes at a third of the budget and at the whole of it."""
    tried = settings(generator)
    if (taken := chosen(tried)) is tried[0]:
        return taken
    whole = settings(generator, WHOLE)
    assert [one.options for one in whole] == [tried[0].options, taken.options], (
        f"{generator}: not run at the whole budget"
    )
    return chosen(whole)


def _passes(one: Setting, asked: Setting, films: str) -> bool:
    seen, before = one.value(films, "consistency_auroc"), asked.value(films, "consistency_auroc")
    return ratio(one, asked, films) <= NEARER and seen is not None and (before is None or seen >= before - SEEN)


# -- the table and the picture ------------------------------------------------------------------------------------

OF_SET = ("FD", "consistency", "recall")
HEAD = ("generator", "budget", "options", *(f"{what}, {films}" for films in SETS.values() for what in OF_SET), "")


def table_of(found: dict[str, list[Setting]]) -> str:
    """A row a setting, as Markdown; those at the whole budget below those at a third."""
    lines = ["| " + " | ".join(HEAD) + " |", "| --- | --- | --- |" + " ---: |" * (len(HEAD) - 4) + " --- |"]
    for generator, tried in found.items():
        for budget, some in (("a third", tried), ("the whole", settings(generator, WHOLE))):
            for k, one in enumerate(some):
                marks = [word for word, is_it in (("default", k == 0), ("passes", k and one is chosen(some))) if is_it]
                first = k == 0 and budget == "a third"
                cells = [f"`{generator}`" if first else "", budget if k == 0 else "", one.told]
                for films in SETS:
                    cells += [_number(one.value(films, name), digits) for name, digits in
                              (("fd", 0), ("consistency_auroc", 2), ("recall", 2))]  # fmt: skip
                lines.append("| " + " | ".join([*cells, ", ".join(marks)]) + " |")
    return "\n".join(lines)


def _number(value: float | None, digits: int) -> str:
    return "failed" if value is None else f"{value:,.{digits}f}"


def filled(page: str, table: str) -> str:
    """A page with a table below its mark."""
    before, mark, after = page.partition("<!-- table: trials -->\n")
    assert mark, f"{mark} is missing"
    rest = after.lstrip("\n")
    rest = rest.partition("\n\n")[2] if rest.startswith("|") else rest
    return f"{before}{mark}\n{table}\n\n{rest}"


def draw(file: Path, found: dict[str, list[Setting]]) -> None:
    """FD of each setting over that of the default, a line a generator."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(8.6, 0.46 * len(found) + 1.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    for line, tried in enumerate(found.values()):
        for films, up in zip(SETS, (0.13, -0.13), strict=True):
            x = [ratio(one, tried[0], films) for one in tried[1:]]
            axes.plot(x, [line - up] * len(x), "o", color=COLOURS[films], ms=6, alpha=0.8,
                      label=SETS[films] if line == 0 else None)  # fmt: skip
    axes.axvline(1, color="#444444", lw=1)
    axes.axvline(NEARER, color="#444444", lw=1, ls=":")
    axes.set(xscale="log", xlabel="FD of a setting over that of the default, at a third of the budget (left: nearer)",
             yticks=range(len(found)), yticklabels=list(found), ylim=(len(found) - 0.5, -0.5))  # fmt: skip
    axes.xaxis.set_major_locator(FixedLocator((0.5, 0.7, 0.9, 1, 1.5, 2, 3, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", color="#e5e5e5", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(frameon=False, loc="outside upper right", ncols=2)
    figure.savefig(file, dpi=110)


def all_found() -> dict[str, list[Setting]]:
    """What was tried, by generator."""
    return {generator: tried for generator in GENERATORS if (tried := settings(generator))}


def main() -> None:
    """Write the table into the page, and draw the picture."""
    found = all_found()
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), table_of(found)), encoding="utf-8")
    draw(PICTURE, found)


if __name__ == "__main__":
    main()
