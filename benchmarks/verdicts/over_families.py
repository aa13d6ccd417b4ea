"""Records of one arm with several classifiers, told together: a verdict that goes beyond one classifier family."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from benchmarks.judging.positive_control import POSITIVES
from benchmarks.records.predictions import Entry, read_auroc
from benchmarks.request.controls import is_control_of
from benchmarks.request.spec import NONE, NOT_THE_ARM
from benchmarks.verdicts.equal_compute import unequal
from benchmarks.verdicts.sentences import control_sentence, difference_sentence, doubts, p_text, power_sentence
from benchmarks.verdicts.verdict import SPELT_OUT, Kind, Word, on_test_set, word_of, word_of_arm
from synthworth.errors import Unavailable
from synthworth.keys import digest

if TYPE_CHECKING:
    from benchmarks.statistics.sampled import Sampled

OF_CLASSIFIER = ("classifier", "classifier_version", "clf", "precision", "generator_precision")
"""Fields of a spec in which two families of one arm may differ."""


@dataclass(frozen=True)
class Over:
    """One arm with two or more classifiers.

    Parameters
    ----------
    name : of the arm.
    entries : the record of each family, by what the family is called.
    against : by control, what the families come to together: a comparison as `word_of` reads it; or why there is none.
    positive : what the positive control comes to over the same families, where it was run with each.
    missing : classifiers that were asked for and have no record of the arm.
    """

    name: str
    entries: Mapping[str, Entry]
    against: Mapping[str, Mapping[str, Any] | str]
    positive: Mapping[str, Any] | None = None
    missing: tuple[str, ...] = field(default=())

    @property
    def compared(self) -> dict[str, Mapping[str, Any]]:
        """The comparisons that could be made, by control."""
        return {name: row for name, row in self.against.items() if not isinstance(row, str)}

    def is_of(self, generator: str) -> bool:
        """Whether it is an arm of this generator, and not of a control beside it."""
        return all(entry.spec["generator"] == generator for entry in self.entries.values())

    @property
    def is_control(self) -> bool:
        """Whether it is there to be compared with."""
        return any(entry.record["is_control"] for entry in self.entries.values())

    @property
    def title(self) -> str:
        """`latent_ddpm add 0.5, 3 classifiers`."""
        without = f" (without {', '.join(self.missing)})" if self.missing else ""
        return f"{self.name}, {len(self.entries)} classifiers{without}"

    @cached_property
    def word(self) -> Word:
        """What can be said of the arm over classifiers."""
        return word_of_arm(self.compared, positive=self.positive)


def over_classifiers(
    entries: Sequence[Entry],
    known: Mapping[str, Sampled] | None = None,
    *,
    together: bool = False,
    asked: Sequence[str] = (),
) -> list[Over]:
    """Every arm of which `entries` hold two or more classifiers, with what it comes to against its controls.

    Parameters
    ----------
    entries : finished records, with those of the controls among them.
    known : AUROC of arms that were judged just now, by run id; that of the others is made from their predictions.
    together : the records are of one call, which asked for these classifiers at the same options. Records that merely
        lie in one folder are put together only where the options of their classifiers agree.
    asked : what the classifiers of that call are called, to name those that an arm lacks.
    """
    by_id, kept = {entry.run_id: entry for entry in entries}, dict(known or {})

    def read(entry: Entry) -> Sampled:
        if entry.run_id not in kept:
            kept[entry.run_id] = read_auroc(entry)
        return kept[entry.run_id]

    found = []
    for families in by_arm(entries, together=together):
        one = next(iter(families.values()))
        against: dict[str, Mapping[str, Any] | str] = {}
        for control in one.record["comparisons"]:
            pairs = {name: (entry, _control(entry, control, by_id)) for name, entry in families.items()}
            against[control] = _pooled(pairs, read)
        if against:
            missing = tuple(name for name in asked if name not in families)
            name = on_test_set(one.spec, one.record["name"])
            found.append(Over(name, families, against, missing=missing))
    return [_with_positive(over, found) for over in found]


def by_arm(entries: Sequence[Entry], *, together: bool = False) -> list[dict[str, Entry]]:
    """The records of each arm that several classifiers have, by what the classifiers are called.

    One network counts once, by whatever names it was asked for.

    Parameters
    ----------
    together : as for `over_classifiers`.
    """
    groups: dict[str, dict[str, tuple[str, Entry]]] = {}
    for entry in entries:
        spec = entry.spec
        rest: dict[str, Any] = {k: v for k, v in spec.items() if k not in (*OF_CLASSIFIER, *NOT_THE_ARM)}
        if spec["fit"] is not None:
            rest["fit_precision"] = spec.get("generator_precision") or spec["precision"]
        if not together:
            rest["options"] = {k: v for k, v in spec["clf"].items() if k != "arch"}
        network = family_of(spec) if together else str(spec["clf"].get("arch") or spec["classifier"])
        groups.setdefault(digest(rest), {}).setdefault(network, (family_of(spec), entry))
    return [dict(families.values()) for families in groups.values() if len(families) > 1]


def family_of(spec: Mapping[str, Any]) -> str:
    """What a classifier is called: its name, with the architecture where that is another word."""
    arch = spec["clf"].get("arch")
    return spec["classifier"] if arch in (None, spec["classifier"]) else f"{spec['classifier']} ({arch})"


def family_sentences(found: Sequence[Over]) -> list[str]:
    """A line for each arm that was trained with several classifiers: its word, and what that comes from."""
    return [_sentence(over) for over in found]


def _control(entry: Entry, name: str, by_id: Mapping[str, Entry]) -> Entry | None:
    row = entry.record["comparisons"].get(name)
    return None if row is None else by_id.get(row["run_id"])


def _pooled(pairs: Mapping[str, tuple[Entry, Entry | None]], read: Any) -> Mapping[str, Any] | str:
    """The families' differences to one control as a comparison, or why there is none."""
    from benchmarks.statistics.families import over_families

    if lacking := [name for name, (_, control) in pairs.items() if control is None]:
        return f"there is no record of it with {', '.join(lacking)}"
    both = {name: (entry, control) for name, (entry, control) in pairs.items() if control is not None}
    try:
        made = over_families([(read(entry), read(control)) for entry, control in both.values()], names=list(both))
    except (Unavailable, ValueError) as reason:
        return str(reason)
    differing = (
        f"with {name} {text}" for name, (entry, control) in both.items()
        if (text := unequal(entry.record["training"], control.record["training"]))
    )  # fmt: skip
    entry, control = next(iter(both.values()))
    return {
        **made.to_json(),
        "by_family": dict(zip(both, made.by_family, strict=True)),
        "unequal": next(differing, None),
        "equivalence": {"margin": entry.spec["margin"], "equivalent": False},
        "audited": control.record.get("audit"),
    }


def _with_positive(over: Over, found: Sequence[Over]) -> Over:
    """The arm with what the positive control comes to over the same classifiers."""
    spec = next(iter(over.entries.values())).spec
    if spec["generator"] in POSITIVES:
        return over
    for positive in POSITIVES:
        for other in found:
            its = next(iter(other.entries.values())).spec
            row = other.compared.get(NONE)
            same = its["generator"] == positive and is_control_of(its, spec)
            if same and row is not None and other.entries.keys() == over.entries.keys():
                word = word_of(row)
                shown = None if word.kind in (Kind.SCREENING, Kind.UNEQUAL) else word.kind is Kind.HELPS
                return replace(over, positive={**row, "name": other.title, "shown": shown})
    return over


def _sentence(over: Over) -> str:
    zero = over.against.get(NONE, "it was not asked for")
    if isinstance(zero, str):
        return f"{over.title}: not compared with real images alone: {zero}"
    control = control_sentence(over.positive, nothing_shown=over.word.kind is Kind.NO_DIFFERENCE)
    further = [text for text in (power_sentence(zero), control, *doubts(zero, zero["audited"])) if text]
    said = f"{over.word.loud}. {over.title}: {'; '.join(_differences(over, zero))}"
    return f"{said}. {' '.join(further)}" if further else said


def _differences(over: Over, zero: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"AUROC {zero['difference']:+.4f} [{zero['low']:+.4f}, {zero['high']:+.4f}] against real images alone, for new "
        f"classifiers, seeds and patients, p {p_text(zero['p_interval'])}"
    )
    for name in sorted(over.compared):
        if name in SPELT_OUT:
            yield f"{difference_sentence(over.compared[name])} against {name}"
    yield "each classifier: " + ", ".join(f"{name} {x:+.4f}" for name, x in zero["by_family"].items())
