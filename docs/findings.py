"""Makes docs/findings.md from docs/findings.jinja and the committed records: `python docs/findings.py`.

The template holds the sentences, and no number: `arm("b4b8da1")` is the record whose identifier begins so, wherever it
lies below results/reference, and its properties are numbers as the pages print them. So a sentence can say nothing that
its record does not hold.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from benchmarks.records.predictions import Entry, read_auroc
from benchmarks.records.telling import telling
from benchmarks.request.spec import NONE
from benchmarks.statistics.crossed_trainings import Pooled, pool
from benchmarks.statistics.sampled import Sampled
from benchmarks.verdicts.sentences import p_text

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "results/reference"
TEMPLATE, PAGE = ROOT / "docs/findings.jinja", ROOT / "docs/findings.md"
UNITS = re.compile(r"\d+ px|95 %|ResNet-1[08]|CIFAR-10|below \.05 too")
"""Numbers that a sentence may hold itself: they are no results."""
PUBLISHED = {
    "medmnist": "AUROC .944, accuracy .854",  # Yang et al. 2023, Scientific Data 10:41: ResNet-18, 28 px
    "diffaugment": "from 39.78 to 22.40 and from 36.02 to 14.50",  # Zhao et al. 2020: CIFAR-10, a tenth, FID
    "minimal_diffusion": "93.8 and 87.3 % accuracy on CIFAR-10, AUROC 69.7 and 64.1 on melanomas",  # V. Sehwag, 2022
}
"""What others have published, in their words."""
WIDTH = 118
"""Characters of a line of the page."""


@dataclass(frozen=True)
class Arm:
    """A record, read for sentences.

    Parameters
    ----------
    folder : where it lies.
    record : what it holds.
    """

    folder: Path
    record: dict[str, Any]

    @property
    def link(self) -> str:
        """`[b4b8da1](../results/reference/.../record.json)`."""
        return f"[{self.folder.name[:7]}](../{(self.folder / 'record.json').relative_to(ROOT).as_posix()})"

    @property
    def auroc(self) -> str:
        """On test, with its interval over seeds and patients."""
        return _with_interval(self.record["utility"]["auroc"], "value", sign="")

    @property
    def val(self) -> str:
        """AUROC on val, with its interval over seeds."""
        return _with_interval(self.record["validation"]["auroc"], "value", sign="")

    @property
    def n_real(self) -> str:
        """Real training images."""
        return f"{sum(self.record['counts']['real'].values()):,}"

    @property
    def n_added(self) -> str:
        """Images that were added to them."""
        return f"{sum(self.record['counts']['synthetic'].values()):,}"

    @property
    def n_test(self) -> str:
        """Test images."""
        return f"{self.record['utility']['auroc']['n']:,}"

    @property
    def steps(self) -> str:
        """Optimiser steps of the generator's training, its stages together."""
        return f"{self.record['cost']['fit']['steps']:,}"

    @property
    def gflop(self) -> str:
        """Operations of the generator's training."""
        cost = self.record["cost"]["fit"]["cost"]
        return f"{cost['gflop_per_image'] * cost['images_seen']:,.0f} GFLOP"

    @property
    def gain(self) -> str:
        """Difference of AUROC to real images alone."""
        return self.against(NONE)

    def against(self, control: str, metric: str = "auroc") -> str:
        """Difference to another arm, by the name of its generator, with its interval."""
        row = self._row(control)
        return _with_interval(row if metric == "auroc" else row["metrics"][metric], "difference", sign="+")

    def p(self, control: str = NONE) -> str:
        """`p = 0.031`, of the difference to another arm."""
        return f"p {p_text(self._row(control)['p_interval'])}"

    def detectable(self, control: str = NONE) -> str:
        """The smallest difference that would have been shown in four of five experiments."""
        return f"{self._row(control)['detectable']:.3f}"

    def said(self, control: str = NONE) -> str:
        """The verdict's word on the difference to another arm: `no difference shown`."""
        return str(self._row(control)["verdict"])

    @property
    def worth(self) -> str:
        """Real images that one added image was worth, with its interval."""
        found = self.record["worth"]
        ends = [f"{found[end]:.2f}" if found[end] is not None else "..." for end in ("low", "high")]
        return f"{found['worth']:.2f} [{', '.join(ends)}]"

    @property
    def kept(self) -> str:
        """Share of the gain of sharing films that is kept."""
        return _with_interval(self.record["sharing"]["kept"], "kept", sign="", digits=2)

    def fidelity(self, metric: str, digits: int = 0) -> str:
        """A fidelity number, in features that need no download where it has any."""
        return f"{self._of('fidelity', metric)['value']:.{digits}f}"

    def privacy(self, metric: str, digits: int = 3, space: str = "") -> str:
        """A number of the audit for copies, in the space that tells most, or in `features`."""
        return f"{self._private(metric, space)['value']:.{digits}f}"

    def interval(self, metric: str, digits: int = 3) -> str:
        """A number of the audit for copies, with its interval."""
        return _with_interval(self._private(metric), "value", sign="", digits=digits)

    def floor(self, metric: str, digits: int = 3) -> str:
        """What never-seen real images come to in that number of the audit."""
        return f"{self._private(metric)['extra']['floor']:.{digits}f}"

    def elsewhere(self, dataset: str) -> str:
        """AUROC on another dataset's test films."""
        return _with_interval(self.record["elsewhere"][dataset]["utility"]["auroc"], "value", sign="")

    @property
    def corrupted(self) -> str:
        """Difference of AUROC to real images alone on corrupted test images."""
        return _with_interval(self.record["robustness"]["comparisons"][NONE], "difference", sign="+")

    @cached_property
    def sampled(self) -> Sampled:
        """Its AUROC, resampled from the predictions that lie beside the record."""
        return read_auroc(Entry(self.record, self.folder))

    def _private(self, metric: str, space: str = "") -> Mapping[str, Any]:
        there = self.record["privacy"]
        found = telling({k: v for k, v in there.items() if not space or v["features"] != "pixels"}, metric)
        if found is None:
            raise KeyError(f"{self.folder.name}: {metric} is null")
        return found

    def _of(self, part: str, metric: str) -> dict[str, Any]:
        there = [v for v in self.record[part].values() if v["metric"] == metric and v["value"] is not None]
        return next((v for v in there if v["features"] is not None), there[0])

    def _row(self, control: str) -> dict[str, Any]:
        rows = self.record["comparisons"]
        if control in rows:
            return dict(rows[control])
        found = [row for row in rows.values() if row["b"] == control]
        if len(found) != 1:
            raise KeyError(f"{self.folder.name}: compared with {sorted(row['b'] for row in rows.values())}")
        return dict(found[0])


@dataclass(frozen=True)
class Trainings:
    """Several trainings of one generator, told together."""

    arms: tuple[Arm, ...]

    @property
    def links(self) -> str:
        """To the record of each."""
        return ", ".join(one.link for one in self.arms)

    def minus(self, other: Arm) -> str:
        """AUROC minus that of another arm, for new trainings, seeds and patients."""
        return _with_interval(self._against(other).to_json(), "difference", sign="+")

    def p(self, other: Arm) -> str:
        """`p = 0.031`, of that difference."""
        return f"p {p_text(self._against(other).p_interval)}"

    def _against(self, other: Arm) -> Pooled:
        return pool([one.sampled for one in self.arms], other.sampled)


def _with_interval(found: Mapping[str, Any], value: str, *, sign: str, digits: int = 3) -> str:
    return f"{found[value]:{sign}.{digits}f} [{found['low']:{sign}.{digits}f}, {found['high']:{sign}.{digits}f}]"


@cache
def folders() -> tuple[Path, ...]:
    """Of all committed records."""
    return tuple(sorted(file.parent for file in REFERENCE.rglob("record.json")))


@cache
def arm(beginning: str) -> Arm:
    """The record whose identifier begins so.

    Raises
    ------
    LookupError
        Where none or several do.
    """
    found = [folder for folder in folders() if folder.name.startswith(beginning)]
    if len(found) != 1:
        raise LookupError(f"{beginning}: {len(found)} records below {REFERENCE.relative_to(ROOT)} begin so")
    return Arm(found[0], json.loads((found[0] / "record.json").read_text(encoding="utf-8")))


@cache
def trainings(*beginnings: str) -> Trainings:
    """The records whose identifiers begin so, of one generator that was trained several times."""
    return Trainings(tuple(map(arm, beginnings)))


def numbers_in_sentences(template: str) -> list[str]:
    """Numbers that stand in the template itself: there are to be none."""
    sentences = re.sub(r"\{[{%].*?[%}]\}|`[^`\n]*`|\]\([^)]*\)|<!--.*?-->", "", template, flags=re.S)
    return re.findall(r"[+-]?\d*\.?\d+", UNITS.sub("", sentences))


def render() -> str:
    """The page."""
    loader = FileSystemLoader(TEMPLATE.parent)
    world = Environment(loader=loader, undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    blocks = (
        world.get_template(TEMPLATE.name)
        .render(arm=arm, trainings=trainings, published=PUBLISHED)
        .strip()
        .split("\n\n")
    )
    return "\n\n".join(_wrapped(block) for block in blocks if block.strip()) + "\n"


def _wrapped(block: str) -> str:
    """A paragraph, or the items of a list, in lines of their own width; tables and headings as they are."""
    if block.lstrip().startswith(("#", "|", "!", "```")):
        return block.strip()
    items = re.split(r"\n(?=- )", block.strip())
    fill = partial(textwrap.fill, width=WIDTH, break_long_words=False, break_on_hyphens=False)
    joined = (" ".join(item.split()) for item in items)
    return "\n".join(fill(item, subsequent_indent="  " if item.startswith("- ") else "") for item in joined)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    print(PAGE.relative_to(ROOT))
