"""From records to tables: which records share one, and what a row holds."""

from __future__ import annotations

from bisect import bisect_left
from collections import ChainMap, Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from benchmarks.records.predictions import Entry
from benchmarks.records.reproduced import Note
from benchmarks.request.situations import situation_of
from benchmarks.request.spec import NONE, NOT_THE_ARM, is_zero_line
from benchmarks.statistics.word import too_few_seeds
from benchmarks.verdicts.sentences import tuned_sentence
from benchmarks.verdicts.verdict import Kind, Word, verdict, word_of_arm
from leaderboard.best_ratio import NO_RATIO, Best, best_ratios
from leaderboard.contamination import contamination_of
from leaderboard.judge import Judge
from leaderboard.numbers import Number, added_columns, numbers_of
from leaderboard.quality import Agreement, agreements
from leaderboard.rank import Standing, stand
from leaderboard.status import Status, status_of
from leaderboard.suite import dataset_of
from synthworth.keys import digest

NOT_MADE = "was not made from the predictions in this build (--recompute)"
SEEN = "may have seen these films"
"""Said of a contaminated arm wherever it stands."""
ARM_FIELDS = (
    "generator", "gen", "generator_version", "fit", "ratio", "mode", "generator_seed", "shard", "extractors",
    "extractor_precision", "controls", "curve", "margin", "portion", "filters", "generator_precision", "tuned",
    "learn_from", "test_on", "robustness", "prevalence",
)  # fmt: skip
"""Fields of a RunSpec in which the arms of one table may differ; every other field must be equal. Not every spec
has one that came later."""


@dataclass(frozen=True)
class Row:
    """An arm in its table."""

    standing: Standing
    label: str
    """Name of the arm, with the settings in which it differs from its namesakes."""
    numbers: Mapping[str, Number]
    word: Word
    """What is shown of the arm."""
    verdict: str
    """The same in a word or two, or what the arm is in its table."""
    sentence: str
    """The same with its differences and intervals."""
    situation: str
    """What the synthetic images are put to the test for."""
    status: Status
    """How far the numbers are to be trusted."""
    contaminated: str | None
    """Why a part of the arm may have seen the films; None where none was trained elsewhere. It keeps its rank."""
    place: int | None = None
    """Its rank among the judged arms alone; None of what is not judged, or has no rank."""
    tied: bool = False
    """Whether another judged arm has this place."""

    @property
    def named(self) -> str:
        """The label, with a sign on an arm that may have seen the films: what pictures call it."""
        return f"{self.label} ({SEEN})" if self.contaminated else self.label

    @property
    def kind(self) -> str:
        """`judged`, or what is set apart from it: `control`, `curve` (real images alone, some or more of them)."""
        record = self.standing.entry.record
        if record["spec"]["generator"] == NONE and not is_zero_line(record["spec"]):
            return "curve"
        return "control" if record["is_control"] else "judged"


@dataclass(frozen=True)
class Table:
    """Arms that can be compared, best first."""

    setting: Mapping[str, Any]
    heading: str
    facts: tuple[str, ...]
    rows: tuple[Row, ...]
    failed: tuple[Mapping[str, Any], ...] = ()
    repeated: tuple[str, ...] = field(default=())
    """Records of arms that stand in the table already, measured with other extractors or controls."""
    quality: tuple[Agreement, ...] = field(default=())
    """How far each fidelity number agrees with the gain in usefulness, over the arms of the table."""
    pooled: tuple[str, ...] = field(default=())
    """What can be said of generators that were trained several times, a line each."""
    attributes: frozenset[str] = frozenset()
    """Attributes of patients that an arm has subgroups by."""

    @cached_property
    def corrected(self) -> str:
        """Over how many comparisons p is corrected; empty where there is none."""
        return _corrected(self.rows)

    @cached_property
    def key(self) -> str:
        """Digest of the setting, 12 digits."""
        return digest(self.setting)[:12]


def setting_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal for two arms to be comparable."""
    return {k: v for k, v in spec.items() if k not in ARM_FIELDS}


def arm_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What makes an arm of a table another one."""
    return {k: spec[k] for k in ARM_FIELDS if k in spec and k not in NOT_THE_ARM}


def make_tables(
    entries: Sequence[Entry],
    failed: Sequence[Mapping[str, Any]] = (),
    judge: Judge | None = None,
    notes: Mapping[str, Note] | None = None,
) -> list[Table]:
    """One table a setting, in the order of their headings.

    Parameters
    ----------
    entries : finished records, no run twice.
    failed : records of runs that did not finish.
    judge : who knows what the predictions say; by default everything is made again from them.
    notes : of reproductions that count here, by the digest of the record's file.
    """
    settings: dict[str, dict[str, Any]] = {}
    arms_of: dict[str, list[Entry]] = defaultdict(list)
    failed_of: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        setting = setting_of(entry.spec)
        settings.setdefault(key := digest(setting), setting)
        arms_of[key].append(entry)
    for record in failed:
        setting = setting_of(record["spec"])
        settings.setdefault(key := digest(setting), setting)
        failed_of[key].append(record)
    judge = judge or Judge()
    made = [_table(setting, arms_of[key], failed_of[key], judge, notes or {}) for key, setting in settings.items()]
    headings = Counter(table.heading for table in made)
    made = [t if headings[t.heading] == 1 else replace(t, heading=f"{t.heading} ({t.key})") for t in made]
    return sorted(made, key=lambda t: t.heading)


def _table(
    setting: Mapping[str, Any],
    entries: Sequence[Entry],
    failed: Sequence[Mapping[str, Any]],
    judge: Judge,
    notes: Mapping[str, Note],
) -> Table:
    """The table of one setting."""
    arms, repeated = _one_an_arm(entries)
    labels, standings, added = _labels(arms), stand(arms, judge), tuple(added_columns())
    best = best_ratios([one.entry for one in standings if not one.contradicted])
    rows = tuple(
        _row(one, labels[one.entry.run_id], best.get(one.entry.run_id, NO_RATIO), added, notes) for one in standings
    )
    rows = _placed(rows)
    quality = agreements([row.standing for row in rows if not row.contaminated])
    pooled, left = judge.pooled([_as_it_stands(row.standing) for row in rows if not row.standing.contradicted])
    if left:
        pooled.append(f"{left} generators were trained several times; what they come to together {NOT_MADE}")
    return Table(
        setting, _heading(setting), _facts(setting, rows), rows, tuple(failed), repeated, quality, tuple(pooled),
        frozenset(attribute for entry in arms for attribute in entry.record.get("subgroups", ())),
    )  # fmt: skip


def over_tables(tables: Sequence[Table], judge: Judge | None = None) -> tuple[str, ...]:
    """What can be said of arms that stand in the tables of several classifiers, a line each; controls have none."""
    rows = [row for table in tables for row in table.rows if not row.standing.contradicted]
    lines, left = (judge or Judge()).over([_as_it_stands(row.standing) for row in rows])
    return (*lines, *([f"{left} arms have several classifiers; what they come to together {NOT_MADE}"] if left else []))


def _one_an_arm(entries: Sequence[Entry]) -> tuple[list[Entry], tuple[str, ...]]:
    """Of records of one arm the one that says most; run ids of the others."""
    arms: dict[str, list[Entry]] = {}
    for entry in entries:
        spec = entry.spec
        arms.setdefault(digest(arm_of(spec)), []).append(entry)

    def says(entry: Entry) -> tuple[int, int, str]:
        measured = sum(v["value"] is not None for v in entry.record["fidelity"].values())
        return len(entry.record["comparisons"]), measured, entry.run_id

    kept = [same[0] if len(same) == 1 else max(same, key=says) for same in arms.values()]
    ids = {e.run_id for e in kept}
    return kept, tuple(sorted(e.run_id for e in entries if e.run_id not in ids))


def _labels(entries: Sequence[Entry]) -> dict[str, str]:
    """Name of each arm by run id; arms of one name are told apart by the settings in which they differ."""
    by_name: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_name[entry.record["name"]].append(entry)
    labels = {}
    for name, same in by_name.items():
        flats = [dict(_flat(arm_of(e.spec))) for e in same]
        keys = dict.fromkeys(key for flat in flats for key in flat)
        differing = {key for key in keys if any(flat.get(key) != flats[0].get(key) for flat in flats)}
        for entry, mine in zip(same, flats, strict=True):
            extra = ", ".join(f"{key}={value}" for key, value in mine.items() if key in differing)
            labels[entry.run_id] = f"{name} ({extra})" if extra else name
    return labels


def _patients(n: int | None) -> str:
    return "patients not known" if n is None else f"{n} patients"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _heading(setting: Mapping[str, Any]) -> str:
    size = setting["data"].get("size")
    dataset = dataset_of(setting) + (f" at {size} px" if size else "")
    share = setting["real_fraction"]
    real = "all real training patients" if share == 1 else f"{100 * share:g} % of the real training patients"
    train, seeds = setting["train"], setting["seeds"]
    limit = f" or {train['seconds']:g} s" if train["seconds"] else ""
    budget = f"{train['steps']} steps{limit}, {seeds} seed{'s' * (seeds > 1)}"
    return f"{dataset}, {real}: {setting['classifier']}, {budget}, {setting['precision']}"


def _facts(setting: Mapping[str, Any], rows: Sequence[Row]) -> tuple[str, ...]:
    """Lines on what the arms share, and on where they were measured."""
    lines = []
    records = [row.standing.entry.record for row in rows]
    for record in records[:1]:
        audited, classes = record["audit"], record["classes"]
        parts = [
            f"{audited['n_images'][s]} {s} images of {_patients(audited['n_patients'][s])}"
            for s in ("train", "val", "test")
        ]
        lines.append(f"{', '.join(parts)}; {len(classes)} classes: {', '.join(classes)}")
    for name, title in (("data", "data"), ("clf", "classifier")):
        said = ", ".join(f"{k} {v}" for k, v in _flat(setting[name]) if v not in (None, ""))
        lines.append(f"{title}: {said or 'no options'}")
    lines.append(f"images {setting['fingerprint'][:12]}, root seed {setting['seed']}")
    machines = {
        f"{p['gpu'] if p['gpu'] and p['device'].startswith('cuda') else p['processor']} ({p['n_cores']} cores)"
        for p in (record["provenance"] for record in records)
    }
    if machines:
        lines.append(f"measured on {'; '.join(sorted(machines))}")
    for record in records:
        if tuned := record["spec"].get("tuned"):
            lines.append(f"{record['name']} was {tuned_sentence(tuned)}; an arm without the mark had one trial")
    lines += filter(None, [_corrected(rows)])
    if reason := too_few_seeds(setting["seeds"]):
        lines.append(f"Screening: {reason}")
    return tuple(lines)


def _corrected(rows: Sequence[Row]) -> str:
    over = {
        "real images alone": sum(row.standing.holm is not None for row in rows),
        "duplicates": sum(row.standing.holm_duplicate is not None for row in rows),
    }
    said = [f"{n} comparison{'s' * (n > 1)} with {name}" for name, n in over.items() if n]
    return f"p corrected (Holm) over {' and over '.join(said)}" if said else ""


# -- rows ---------------------------------------------------------------------------------------------------------


def _row(standing: Standing, label: str, best: Best, added: Sequence[str], notes: Mapping[str, Note]) -> Row:
    record = standing.entry.record
    comparisons = {} if standing.contradicted else {**record["comparisons"], **standing.against}
    how: dict[str, Any] = {"adjusted": standing.holm, "positive": standing.positive}
    word = word_of_arm(comparisons, **how)
    missing = standing.contradicted or record.get("not_compared", {}).get(NONE)
    sentence = verdict(record["name"], comparisons, **how, missing=missing, audited=record.get("audit"))
    numbers = numbers_of(standing, best, added)
    spec = record["spec"]
    return Row(
        standing, label, numbers, word, _said(word, spec), sentence, situation_of(spec), status_of(standing, notes),
        contamination_of(spec, record.get("pretrained", ())),
    )  # fmt: skip


def _placed(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows, with the places of the judged ones: controls are read beside them, and take none."""
    ranks = sorted(rank for row in rows if row.kind == "judged" and (rank := row.standing.rank) is not None)
    placed = []
    for row in rows:
        rank = row.standing.rank if row.kind == "judged" else None
        if rank is not None:
            row = replace(row, place=1 + bisect_left(ranks, rank), tied=ranks.count(rank) > 1)
        placed.append(row)
    return tuple(placed)


def _as_it_stands(standing: Standing) -> Entry:
    """The arm with the positive control that its predictions give."""
    entry = standing.entry
    beside: Any = entry.record
    return replace(entry, record=ChainMap({"positive_control": standing.positive}, beside))


def _said(word: Word, spec: Mapping[str, Any]) -> str:
    if word.kind is not Kind.NOT_COMPARED or spec["generator"] != NONE:
        return word.short
    return "the zero line" if is_zero_line(spec) else "a point of the curve"
