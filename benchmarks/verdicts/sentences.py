"""The sentences in which a difference, a worth and a doubt are told, the same wherever they are printed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.statistics.word import side_of_zero, too_few_seeds


def difference_sentence(row: Mapping[str, Any]) -> str:
    """`AUROC +0.0123 [+0.0010, +0.0236], p = 0.031`, of a comparison as a record holds it.

    The p is that of the interval, over seeds and patients: below 0.05 where the interval excludes 0.
    """
    p = f", p {p_text(row['p_interval'])}" if row["n_seeds"] > 1 else ""
    return f"AUROC {row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]{p}"


def p_text(value: float) -> str:
    """`= 0.031`, or `< 0.001`."""
    return "< 0.001" if value < 0.0005 else f"= {value:.3f}"


def power_sentence(row: Mapping[str, Any]) -> str:
    """The smallest difference that would have been shown; empty where fewer seeds than it takes show nothing."""
    if row.get("detectable") is None or too_few_seeds(row["n_seeds"]):
        return ""
    smallest = row["detectable"]
    if smallest >= 1:
        return "This test set and these seeds could not have shown any difference."
    if not smallest:
        return "Nothing scatters on this test set: how small a difference it would have shown cannot be said."
    return f"This test set and these seeds would have shown a difference of {smallest:.3f} in four of five experiments."


def control_sentence(positive: Mapping[str, Any] | None, *, nothing_shown: bool = True) -> str:
    """That the positive control did not come out; empty where it did, was not run, or has too few seeds to.

    Parameters
    ----------
    nothing_shown : whether the arm's own verdict is that no difference is shown.
    """
    if positive is None or positive["shown"] is not False:
        return ""
    word = "HURTS" if side_of_zero(positive["low"], positive["high"]) < 0 else "NOT SHOWN TO HELP"
    so = (
        "What they do not show, added images of any kind could not have shown here."
        if nothing_shown
        else "Where further real images do not help, read with doubt what other images do."
    )
    return (
        f"POSITIVE CONTROL {word}: {positive['name']}, further real images, {difference_sentence(positive)} against "
        f"real images alone. {so}"
    )


def doubts(row: Mapping[str, Any], audited: Mapping[str, Any] | None = None) -> Iterator[str]:
    """Sentences on what a comparison rests on: few patients, one who dominates, a collapsed seed, patients not known.

    Parameters
    ----------
    audited : the audit of the splits, as a record holds it; one of an older record says nothing of patients.
    """
    for seeds in row.get("collapsed") or ():
        yield f"{seeds[0].upper()}{seeds[1:]}."
    if row.get("support"):
        yield f"{row['support'][0].upper()}{row['support'][1:]}."
    known = (audited or {}).get("patients_known") or {"n_without": 0, "n_images": 0}
    if known["n_without"]:
        given = (
            "No patients are given"
            if known["n_without"] == known["n_images"]
            else (f"No patient is given for {known['n_without']} of {known['n_images']} images")
        )
        yield f"{given}: each image counts as a patient, and intervals may be too narrow."


def worth_sentence(record: Mapping[str, Any]) -> str:
    """What an arm's added images were worth in real ones, in a line; empty where no curve was measured."""
    worth = record.get("worth")
    if not worth:
        return ""
    asked = f"{worth['n_synthetic']} added images beside {worth['n_real']} real ones"
    low, high = (("..." if x is None else f"{x:.2f}") for x in (worth["low"], worth["high"]))
    advice = f". {worth['advice']}" if worth.get("advice") else ""
    if worth["where"] == "on a flat curve":
        return f"{record['name']}: not to be said ({worth['note']}){advice}"
    if worth["worth"] is None:
        said = f"{worth['where']} ({worth['note']})"
        return f"{record['name']}: {asked}: {said}; each was worth [{low}, {high}] real images{advice}"
    return (
        f"{record['name']}: {asked} did what {worth['n_equivalent']:.0f} real images do: each was worth "
        f"{worth['worth']:.2f} [{low}, {high}] real images{advice}"
    )


def sharing_sentence(record: Mapping[str, Any]) -> str:
    """What an arm keeps of the gain of sharing films, in a line; empty for an arm that shares nothing of a donor's."""
    sharing = record.get("sharing") or {}
    kept = sharing.get("kept")
    if not kept:
        return ""
    donor = f"{sharing['n_donor']:,} films of {sharing['n_donor_patients']:,} patients"
    whose = f"the donor ({donor}) beside the recipient's {sharing['n_recipient']:,}"
    if kept["kept"] is None:
        return f"{record['name']}: what is kept of sharing is not to be said: {kept['note']}, from {whose}"
    low, high = (("..." if x is None else f"{x:.2f}") for x in (kept["low"], kept["high"]))
    return (
        f"{record['name']}: keeps {kept['kept']:.2f} [{low}, {high}] of what as many films of the donor gain "
        f"({kept['full']:+.4f} [{kept['full_low']:+.4f}, {kept['full_high']:+.4f}], {kept['of']}), from {whose}"
    )


def tuned_sentence(tuned: Mapping[str, Any]) -> str:
    """What a spec's mark means: an arm that was chosen had as many chances as its study had trials."""
    by = "by the distance of its films to the training films" if tuned.get("by") else "on val"
    return f"chosen {by} among {tuned['trials']} trials of study {tuned['study']} (space {tuned['space'][:12]})"


def reader_sentence(found: Mapping[str, Any]) -> str:
    """One line: `41 of 60 told right (0.68 [0.55, 0.80], guessing is 0.50), p = 0.006; ...`."""
    called = found["called_synthetic"]
    said = [f"{called[word]:.2f} of the {word} ones" for word in called if called[word] is not None]
    left = f"; {found['n_films'] - found['n']} left out" if found["n"] < found["n_films"] else ""
    return (
        f"{found['reader'] or 'a reader'}: {found['n_right']} of {found['n']} told right ({found['accuracy']:.2f} "
        f"[{found['low']:.2f}, {found['high']:.2f}], guessing is 0.50), p = {found['p_value']:.3f}; called synthetic: "
        f"{' and '.join(said)}{left}"
    )
