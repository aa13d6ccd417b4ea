"""Records of several trainings of one generator, told together: a verdict on the method, not on one training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from benchmarks.records.predictions import Entry, read_auroc
from benchmarks.records.store import Records
from benchmarks.request.spec import NOT_THE_ARM, common_setting, is_zero_line
from benchmarks.verdicts.equal_compute import unequal
from benchmarks.verdicts.sentences import control_sentence, doubts, p_text, power_sentence
from benchmarks.verdicts.verdict import Kind, on_test_set, word_of
from synthworth.errors import Unavailable
from synthworth.keys import digest

if TYPE_CHECKING:
    from benchmarks.statistics.crossed_trainings import Pooled
    from benchmarks.statistics.sampled import Sampled


def by_method(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Records of two or more trainings of one generator, otherwise alike, in the order of their seeds."""
    groups: dict[str, dict[int, Entry]] = {}
    for entry in entries:
        spec = entry.spec
        if spec["fit"] is not None:
            key = digest({k: v for k, v in spec.items() if k not in ("generator_seed", *NOT_THE_ARM)})
            groups.setdefault(key, {}).setdefault(spec["generator_seed"], entry)
    return [[same[k] for k in sorted(same)] for same in groups.values() if len(same) > 1]


def pooled_sentences(entries: Sequence[Entry], known: Mapping[str, Sampled] | None = None) -> list[str]:
    """A line for each method that was trained several times, against real images alone (among `entries`).

    Parameters
    ----------
    known : AUROC of arms that were judged just now, by run id; that of the others is made from their predictions.
    """
    zeros: dict[str, Entry] = {}
    for entry in entries:
        if is_zero_line(entry.spec):
            zeros.setdefault(_experiment(entry), entry)
    read = _reader(known or {}, {zero.run_id for zero in zeros.values()})
    return [_sentence(group, zeros.get(_experiment(group[0])), read) for group in by_method(entries)]


def _experiment(entry: Entry) -> str:
    """What real images alone share with the arms they are compared with: records of several may lie in one folder."""
    return digest({**common_setting(entry.spec), **{name: entry.spec[name] for name in ("seed", "seeds")}})


def _reader(known: Mapping[str, Sampled], zeros: Set[str]) -> Callable[[Entry], Sampled]:
    """Reads the AUROC of an arm, that of real images alone once."""
    kept = dict(known)

    def read(entry: Entry) -> Sampled:
        found = kept.get(entry.run_id) or read_auroc(entry)
        if entry.run_id in zeros:
            kept[entry.run_id] = found
        return found

    return read


def _sentence(group: Sequence[Entry], zero: Entry | None, read: Callable[[Entry], Sampled]) -> str:
    arm = on_test_set(group[0].spec, group[0].record["name"].partition(" (generator seed")[0])
    name = f"{arm}, {len(group)} trainings"
    if zero is None:
        return f"{name}: not compared with real images alone"
    from benchmarks.statistics.crossed_trainings import pool

    try:
        found = pool([read(entry) for entry in group], read(zero))
    except (Unavailable, ValueError) as reason:
        return f"{name}: {reason}"
    differing = (unequal(e.record["training"], zero.record["training"]) for e in group)
    row = {
        **found.to_json(),
        "unequal": next(filter(None, differing), None),
        "equivalence": {"margin": group[0].spec["margin"], "equivalent": False},
    }
    positive = next(filter(None, (e.record.get("positive_control") for e in group)), None)
    word = word_of(row, positive=positive)
    control = control_sentence(positive, nothing_shown=word.kind is Kind.NO_DIFFERENCE)
    further = [text for text in (power_sentence(row), control, *doubts(row, zero.record.get("audit"))) if text]
    said = f"{word.loud}. {name}: {_numbers(found)}"
    return f"{said}. {' '.join(further)}" if further else said


def _numbers(found: Pooled) -> str:
    each = ", ".join(f"{x:+.4f}" for x in found.by_training)
    return (
        f"AUROC {found.difference:+.4f} [{found.low:+.4f}, {found.high:+.4f}] against real images alone, for new "
        f"trainings, seeds and patients, p {p_text(found.p_interval)}; each training: {each}"
    )


def entries_of(folder: Records, records: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """The finished ones of these records, with the folders they lie in."""
    return [Entry(record, folder.path(record["run_id"])) for record in records if record["status"] == "ok"]
