"""From records to tables: which records share one, and what a row holds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from benchmarks.judging.positive_control import POSITIVE
from benchmarks.records.predictions import Entry
from benchmarks.report.columns import UTILITY, utility_columns, value_of
from benchmarks.request.spec import NONE, NOT_THE_ARM, is_real_only, is_zero_line
from benchmarks.statistics.word import too_few_seeds
from benchmarks.verdicts.over_families import family_sentences, over_classifiers
from benchmarks.verdicts.over_trainings import pooled_sentences
from benchmarks.verdicts.sentences import tuned_sentence
from benchmarks.verdicts.verdict import Kind, Word, verdict, word_of_arm
from leaderboard.quality import Agreement, agreements
from leaderboard.rank import Standing, stand
from synthworth.keys import digest

ARM_FIELDS = (
    "generator", "gen", "generator_version", "fit", "ratio", "mode", "generator_seed", "shard", "extractors",
    "extractor_precision", "controls", "curve", "margin", "portion", "filters", "generator_precision", "tuned",
    "learn_from", "test_on", "robustness", "prevalence",
)  # fmt: skip
"""Fields of a RunSpec in which the arms of one table may differ; every other field must be equal. Not every spec
has one that came later."""
INTERVAL = ("auroc", "vs_none", "vs_duplicate", "worth", "auprc", "balanced_accuracy", "f1")
FIDELITY = {
    "fid": {"metric": "fd", "alias": "fid"},
    "fd_efficientnet_lite0": {"metric": "fd", "extractor": "efficientnet_lite0"},
}
"""Columns of the Frechet distance, and the fields by which a value belongs there."""
NUMBERS = (
    "auroc", "vs_none", "p_none", "holm_none", "vs_duplicate", "p_duplicate", "worth", "auprc",
    "balanced_accuracy", "f1", "fid", "fd_efficientnet_lite0", "class_consistency_auroc", "class_consistency",
    "fit_seconds", "draw_seconds_per_1000",
)  # fmt: skip
NOT_MEASURED = "this metric was not measured"
NO_GENERATOR = "real images alone: nothing was fitted or drawn"


@dataclass(frozen=True, slots=True)
class Number:
    """One cell: a value with its interval or its real-real floor; None with a note where it is missing."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    floor: float | None = None
    floor_n: int | None = None
    at_floor_n: float | None = None
    """The value of as many images as the floor stands on, where these are fewer than n."""
    note: str | None = None


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


def make_tables(entries: Sequence[Entry], failed: Sequence[Mapping[str, Any]] = ()) -> list[Table]:
    """One table a setting, in the order of their headings.

    Parameters
    ----------
    entries : finished records, no run twice.
    failed : records of runs that did not finish.
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
    made = [_table(setting, arms_of[key], failed_of[key]) for key, setting in settings.items()]
    headings = Counter(table.heading for table in made)
    made = [t if headings[t.heading] == 1 else replace(t, heading=f"{t.heading} ({t.key})") for t in made]
    return sorted(made, key=lambda t: t.heading)


def _table(setting: Mapping[str, Any], entries: Sequence[Entry], failed: Sequence[Mapping[str, Any]]) -> Table:
    """The table of one setting."""
    arms, repeated = _one_an_arm(entries)
    labels = _labels(arms)
    added = tuple(added_columns())
    rows = tuple(_row(standing, labels[standing.entry.run_id], added) for standing in stand(arms))
    quality = agreements([row.standing for row in rows])
    pooled = tuple(pooled_sentences([_as_it_stands(row.standing) for row in rows]))
    return Table(setting, _heading(setting), _facts(setting, rows), rows, tuple(failed), repeated, quality, pooled)


def over_tables(tables: Sequence[Table]) -> tuple[str, ...]:
    """What can be said of arms that stand in the tables of several classifiers, a line each; controls have none."""
    entries = [_as_it_stands(row.standing) for table in tables for row in table.rows]
    found = over_classifiers(entries)
    return tuple(family_sentences([over for over in found if not over.is_control]))


def _one_an_arm(entries: Sequence[Entry]) -> tuple[list[Entry], tuple[str, ...]]:
    """Of records of one arm the one that says most; run ids of the others."""
    arms: dict[str, list[Entry]] = {}
    for entry in entries:
        spec = entry.spec
        arms.setdefault(digest(arm_of(spec)), []).append(entry)

    def says(entry: Entry) -> tuple[int, int, str]:
        measured = sum(v["value"] is not None for v in entry.record["fidelity"].values())
        return len(entry.record["comparisons"]), measured, entry.run_id

    kept = [max(same, key=says) for same in arms.values()]
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
    which = setting["data"].get("name")
    dataset = setting["dataset"] + (f" {which}" if which else "") + (f" at {size} px" if size else "")
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
    if reason := too_few_seeds(setting["seeds"]):
        lines.append(f"Screening: {reason}")
    return tuple(lines)


# -- rows ---------------------------------------------------------------------------------------------------------


def _row(standing: Standing, label: str, added: Sequence[str]) -> Row:
    record = standing.entry.record
    believed = {} if standing.contradicted else _not_doubted(standing)
    numbers = {name: _of_value(believed.get(name), standing.contradicted or NOT_MEASURED) for name in UTILITY}
    for control in (NONE, "duplicate"):
        numbers |= _differences(standing, control)
    numbers["worth"] = Number(None, note=standing.contradicted) if standing.contradicted else _worth(standing)
    alone = is_real_only(record["spec"])
    for name, fields in FIDELITY.items():
        numbers[name] = Number(None, note=NO_GENERATOR) if alone else _distance(record, fields)
    for name in ("class_consistency_auroc", "class_consistency"):
        why = "needs one class an image" if name == "class_consistency" else NOT_MEASURED
        numbers[name] = _of_value(record["fidelity"].get(name), NO_GENERATOR if alone else why)
    for name in ("fit_seconds", "draw_seconds_per_1000"):
        value = record["cost"].get(name)
        numbers[name] = Number(value, note=NO_GENERATOR if value is None else None)
    comparisons = {} if standing.contradicted else {**record["comparisons"], **standing.against}
    how: dict[str, Any] = {"adjusted": standing.holm, "positive": standing.positive}
    word = word_of_arm(comparisons, **how)
    missing = standing.contradicted or record.get("not_compared", {}).get(NONE)
    sentence = verdict(record["name"], comparisons, **how, missing=missing, audited=record.get("audit"))
    in_order = {name: numbers[name] for name in NUMBERS}
    for name in added:
        in_order[name] = _of_value(value_of(believed, name), standing.contradicted or NOT_MEASURED)
    return Row(standing, label, in_order, word, _said(word, record["spec"]), sentence)


def added_columns() -> dict[str, str]:
    """Metric -> heading of the utility metrics that are not built in."""
    return {name: heading for name, heading in utility_columns().items() if name not in UTILITY}


def _as_it_stands(standing: Standing) -> Entry:
    """The arm with the positive control that its predictions give."""
    entry = standing.entry
    return Entry({**entry.record, "positive_control": standing.positive}, entry.folder)


def _not_doubted(standing: Standing) -> dict[str, Any]:
    """The utility that the record holds; null, with the reason, where its predictions say another thing."""
    null = {"value": None, "low": None, "high": None}
    doubted = {name: note for name, note in standing.doubted.items() if name != "worth"}
    utility = standing.entry.record["utility"]
    return {**utility, **{name: {**utility[name], **null, "note": note} for name, note in doubted.items()}}


def _worth(standing: Standing) -> Number:
    record, found = standing.entry.record, standing.worth
    if is_real_only(record["spec"]):
        return Number(None, note="real images alone: nothing was added")
    if not found:
        return Number(None, note="no learning curve was measured (--curve)")
    note = "; ".join(part for part in (found["note"], standing.doubted.get("worth")) if part) or None
    if found["worth"] is None and found["low"] is not None:
        note = f"{found['where']}: above {found['low']:.2f}; {note}"
    elif found["worth"] is None and found["high"] is not None:
        note = f"{found['where']}: below {found['high']:.2f}; {note}"
    return Number(found["worth"], found["low"], found["high"], found["n_synthetic"], note=note)


def _of_value(value: Mapping[str, Any] | None, why: str) -> Number:
    if value is None:
        return Number(None, note=why)
    return Number(value["value"], value["low"], value["high"], value["n"], note=value["note"])


def _differences(standing: Standing, control: str) -> dict[str, Number]:
    names = f"vs_{control}", f"p_{control}", f"holm_{control}"
    row = standing.against.get(control)
    if row is None:
        return {name: Number(None, note=standing.missing[control]) for name in names}
    p = Number(row["p_interval"]) if row["n_seeds"] > 1 else Number(None, note="one seed gives no p")
    adjusted = Number(standing.holm) if row["n_seeds"] > 1 else p
    of_positive = standing.noted.get(POSITIVE) if control == NONE else None
    notes = [note for note in (row["note"], standing.noted.get(control), of_positive) if note]
    found = Number(row["difference"], row["low"], row["high"], note="; ".join(notes) or None)
    return dict(zip(names, (found, p, adjusted), strict=True))


def _distance(record: Mapping[str, Any], fields: Mapping[str, str]) -> Number:
    """The distance with these fields, at its n."""
    values = record["fidelity"].values()
    value = next((v for v in values if all(v[name] == wanted for name, wanted in fields.items())), None)
    if value is None:
        return Number(None, note="the extractor was not among those asked for")
    extra, floor = value["extra"], value["extra"].get("floor")
    note = value["note"]
    if note is None and floor is None:
        note = "the real-real floor could not be measured"
    if note is None and record["spec"]["extractor_precision"] == "bf16":
        note = f"features in bf16 ({value['features']}): not to be compared with fp32"
    if note is None and floor is not None and extra["floor_n"] < value["n"] and extra.get("at_floor_n") is None:
        note = "the floor stands on fewer images than the distance, which makes it larger: the two do not compare"
    return Number(
        value["value"], n=value["n"], floor=floor, floor_n=extra.get("floor_n"), at_floor_n=extra.get("at_floor_n"),
        note=note,
    )  # fmt: skip


def _said(word: Word, spec: Mapping[str, Any]) -> str:
    if word.kind is not Kind.NOT_COMPARED or spec["generator"] != NONE:
        return word.short
    return "the zero line" if is_zero_line(spec) else "a point of the curve"
