"""What is known of arms and pairs of arms: made again from predictions, looked up by content, or claimed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.records.predictions import Contradicted, Entry, read_auroc
from benchmarks.records.reproduced import content_of
from benchmarks.request.spec import ANALYSIS, NONE
from benchmarks.statistics.word import too_few_seeds
from benchmarks.verdicts.again import worth_again
from benchmarks.verdicts.differing import differing, in_words_of
from benchmarks.verdicts.equal_compute import unequal
from benchmarks.verdicts.over_families import by_arm, family_sentences, over_classifiers
from benchmarks.verdicts.over_trainings import by_method, pooled_sentences
from benchmarks.verdicts.recheck import believed_utility, compared_again, further_of, positive_again
from leaderboard.known import Known
from leaderboard.slim import Slim, slim_row, slim_training, slim_worth, whole
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from benchmarks.statistics.sampled import Sampled

MOST_SAMPLED = 200
"""Arms whose resampled AUROC is held at a time: a tenth of a megabyte each."""
NOT_AGAIN = "cannot be made again from the predictions"
Row = Mapping[str, Any]
Noted = tuple[Row | None, str | None, bool]
"""A part of a record as its predictions have it (as the record has it, where they do not give it); what is to be said
of it; and whether the record says another thing than its predictions."""


@dataclass(frozen=True)
class Arm:
    """What is known of one arm.

    Parameters
    ----------
    recomputed : whether its numbers were made again from its predictions, now or in an earlier build.
    missing : why its predictions cannot be used, where they cannot.
    contradicted : whether they say another thing than the record; `missing` says what.
    design : of the test set and its resamples: only arms of one design can be paired.
    doubted : by number of `utility`, why what the record says of it is not believed.
    """

    recomputed: bool
    missing: str | None = None
    contradicted: bool = False
    design: str | None = None
    doubted: Mapping[str, str] = field(default_factory=dict)


CLAIMED = Arm(recomputed=False)


class Judge:
    """Makes what a record says again from predictions, or looks it up by the contents of the files, or neither.

    Parameters
    ----------
    known : where it is looked up and kept.
    recompute : whether what is not known is made; else it is None, and the record's word is a claim.
    """

    def __init__(self, known: Known | None = None, *, recompute: bool = True) -> None:
        self._known, self._recompute = known, recompute
        self._sampled: dict[tuple[str, str], Sampled] = {}
        self._contents: dict[str, str] = {}
        self._seen: set[str] = set()

    def unknown(self, entries: Sequence[Entry]) -> int:
        """How many of these arms would have to be made again from their predictions."""
        if self._known is None:
            return len(entries)
        return len(entries) - sum(self._found("arm", [entry]) is not None for entry in entries)

    def claim(self) -> None:
        """From now on make nothing that is not known."""
        self._recompute = False

    def arm(self, entry: Entry) -> Arm:
        """What is known of an arm by itself."""
        found = self._memo("arm", [entry], lambda: self._check(entry))
        return CLAIMED if found is None else Arm(**found)

    def apart(self, head: Entry, mine: Entry) -> bool | None:
        """Whether the paired interval of the difference of two recomputed arms excludes 0; None where unknown."""
        from benchmarks.statistics.compare import told_apart

        def make() -> list[bool]:
            return [bool(told_apart(self.sampled(head), self.sampled(mine)))]

        found = self._memo("apart", [head, mine], make)
        return None if found is None else found[0]

    def compared(self, entry: Entry, control: Entry) -> Row | None:
        """Two recomputed arms compared, as a record would hold it; None where unknown."""
        from benchmarks.statistics.compare import compare

        def make() -> dict[str, Any]:
            names = {"name_a": entry.record["name"], "name_b": control.record["name"]}
            made = compare(self.sampled(entry), self.sampled(control), **names).to_json()
            training = (slim_training(e.record["training"]) for e in (entry, control))
            return {
                "run_id": control.run_id,
                **slim_row(made, control.spec["generator"]),
                "unequal": unequal(*training),
            }

        return self._memo("compared", [entry, control], make)

    def compared_again(self, entry: Entry, name: str, control: Entry) -> Noted | None:
        """A comparison of a record, made again from the predictions of both arms; None where unknown."""

        def make() -> Noted:
            row = whole(entry)["comparisons"][name]
            pair = self.sampled(entry), self.sampled(control)
            training = [whole(e)["training"] for e in (entry, control)]
            try:
                further = further_of(*pair, entry.spec["margin"], training)
                found, note = compared_again(row, *pair, analysis=entry.spec["analysis"], further=further)
            except Unavailable as reason:
                return slim_row(row, name), f"{NOT_AGAIN}: {reason}", False
            return slim_row(found, name), note, note is not None

        return self._memo("compared again", [entry, control], make, name)

    def positive_again(self, entry: Entry, control: Entry, zero: Entry) -> Noted | None:
        """The positive control of a record, made again; None where unknown."""
        recorded = entry.record["positive_control"]

        def make() -> Noted:
            pair = self.sampled(control), self.sampled(zero)
            try:
                found, note = positive_again(recorded, *pair, analysis=entry.spec["analysis"])
            except Unavailable as reason:
                return recorded, f"positive control: {NOT_AGAIN}: {reason}", False
            # which intervals count as shown was decided otherwise by older analyses
            return found, note, note is not None and entry.spec["analysis"] == ANALYSIS

        return self._memo("positive", [entry, control, zero], make)

    def worth_again(self, entry: Entry, alone: Sequence[Entry]) -> Noted | None:
        """The worth of a record, measured again beside the arms of real images alone; None where unknown."""

        def make() -> Noted:
            recorded = whole(entry)["worth"]
            points = [(one.record, self.sampled(one)) for one in alone]
            try:
                again = worth_again(recorded, self.sampled(entry), points)
            except (Unavailable, ValueError) as reason:
                return slim_worth(recorded), f"not measured again from the predictions: {reason}", False
            if lines := list(differing(again, recorded)):
                return slim_worth(again), f"the record says another thing than its predictions: {lines[0]}", True
            return slim_worth(in_words_of(again, recorded)), None, False

        return self._memo("worth", [entry, *sorted(alone, key=lambda one: one.run_id)], make)

    def pooled(self, entries: Sequence[Entry]) -> tuple[list[str], int]:
        """A line for each generator that was trained several times, and of how many such there is none here."""
        zeros = [entry for entry in entries if entry.spec["generator"] == NONE]
        lines, left = [], 0
        for group in by_method(entries):
            every = [*group, *zeros]
            make = partial(self._pooled, every)
            found = self._memo("pooled", every, make, *_positives(group))
            lines += found or []
            left += found is None
        return lines, left

    def _pooled(self, entries: Sequence[Entry]) -> list[str]:
        return pooled_sentences(entries, self._sampled_of(entries))

    def over(self, entries: Sequence[Entry]) -> tuple[list[str], int]:
        """A line for each arm that several classifiers have, controls aside; of how many arms there is none here."""
        some = {entry.run_id: entry for families in by_arm(entries) for entry in families.values()}
        if not some:
            return [], 0
        by_id = {entry.run_id: entry for entry in entries}
        named = [row["run_id"] for entry in some.values() for row in entry.record["comparisons"].values()]
        every = list({**some, **{i: by_id[i] for i in named if i in by_id}}.values())

        def make() -> list[str]:
            return family_sentences([over for over in over_classifiers(every) if not over.is_control])

        found = self._memo("over", every, make, *_positives(every))
        return found or [], len(some) if found is None else 0

    def sampled(self, entry: Entry) -> Sampled:
        """The resampled AUROC of an arm, from its predictions; the last ones are held.

        Raises
        ------
        Unavailable
            As `read_auroc`.
        """
        key = entry.run_id, str(entry.folder)
        found = self._sampled.pop(key, None)
        return self._hold(key, found or read_auroc(entry))

    def _hold(self, key: tuple[str, str], sampled: Sampled) -> Sampled:
        self._sampled[key] = sampled
        while len(self._sampled) > MOST_SAMPLED:
            self._sampled.pop(next(iter(self._sampled)))
        return sampled

    def _check(self, entry: Entry) -> dict[str, Any]:
        try:
            sampled, doubted = believed_utility(Entry(whole(entry), entry.folder))
        except Unavailable as reason:
            contradicted = isinstance(reason, Contradicted)
            return {"recomputed": contradicted, "missing": str(reason), "contradicted": contradicted}
        self._hold((entry.run_id, str(entry.folder)), sampled)
        return {"recomputed": True, "design": sampled.design, "doubted": doubted}

    def _sampled_of(self, entries: Iterable[Entry]) -> dict[str, Sampled]:
        """The AUROC of those whose predictions can be used, by run id."""
        usable = [entry for entry in entries if (arm := self.arm(entry)).recomputed and arm.missing is None]
        return {entry.run_id: self.sampled(entry) for entry in usable[:MOST_SAMPLED]}

    def _memo(self, kind: str, entries: Sequence[Entry], make: Callable[[], Any], *words: str) -> Any:
        """What is known under the contents of these entries, else what `make` gives, else None."""
        found = self._found(kind, entries, *words)
        if found is None and self._recompute:
            found = make()
            if self._known is not None and (key := self._key(kind, entries, *words)):
                self._known.keep(key, found)
                for entry in entries:
                    self._known.keep(self._trace(entry), True)
        return found

    def _found(self, kind: str, entries: Sequence[Entry], *words: str) -> Any:
        if self._known is None or not all(self._was_seen(entry) for entry in entries):
            return None
        key = self._key(kind, entries, *words)
        return self._known.find([key]).get(key) if key else None

    def _was_seen(self, entry: Entry) -> bool:
        """Whether anything is known of a record, by its bytes alone: else its predictions need not be hashed."""
        if self._known is None or not isinstance(entry, Slim):
            return False
        if entry.sha256 not in self._seen:
            key = self._trace(entry)
            self._seen |= {entry.sha256} if self._known.find([key]) else set()
        return entry.sha256 in self._seen

    def _trace(self, entry: Entry) -> str:
        assert self._known is not None and isinstance(entry, Slim)
        return self._known.key("seen", entry.sha256)

    def _key(self, kind: str, entries: Sequence[Entry], *words: str) -> str | None:
        slim = [entry for entry in entries if isinstance(entry, Slim)]
        if self._known is None or len(slim) < len(entries):
            return None
        return self._known.key(kind, *map(self._content, slim), "", *words)

    def _content(self, entry: Slim) -> str:
        """Digest of what lies in the folder of an entry, taken once a build."""
        place = str(entry.folder)
        if place not in self._contents:
            self._contents[place] = content_of(entry.folder, entry.sha256)
        return self._contents[place]


def _positives(entries: Iterable[Entry]) -> list[str]:
    """What the positive controls of entries were made to say: as far as a sentence over several depends on them."""
    return [repr(entry.record.get("positive_control")) for entry in entries]


def apart_by_claims(head: Entry, mine: Entry) -> bool:
    """Whether two arms are told apart by what their records say alone: not unless they are by their predictions.

    They are where their 95 % intervals of AUROC, or of the gain over the same real images alone, do not touch. Then
    their difference is larger than the sum of both half-widths, which no half-width of the difference exceeds, however
    the two arms go together. A paired interval tells more arms apart.
    """
    if too_few_seeds(min(head.spec["seeds"], mine.spec["seeds"])):
        return False
    gains = [one.record["comparisons"].get(NONE) for one in (head, mine)]
    same = all(gains) and gains[0]["run_id"] == gains[1]["run_id"]
    return _disjoint(*(one.record["utility"]["auroc"] for one in (head, mine))) or bool(same and _disjoint(*gains))


def _disjoint(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    ends = one["low"], one["high"], other["low"], other["high"]
    return None not in ends and (one["high"] < other["low"] or other["high"] < one["low"])
