"""The flags of a search that are none of `benchmarks.run`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import tyro

from benchmarks.tune.by import Named
from synthworth.errors import UserError

PROG = "python -m benchmarks.tune"
MOST_TRIALS = 100_000
Part = Literal["gen", "clf", "ratio"]


@dataclass(frozen=True)
class TuneOptions:
    """Search options, and run the best once on test, beside the same generator untuned.

    Every flag of `benchmarks.run` may follow. An option that is given a value is not searched; several ratios are those
    that are tried.
    """

    trials: int = 20
    """Trials of the whole study, over all calls and workers; pruned and failed ones count."""
    study: str = ""
    """Name of the study, in the storage and in records; the generator and the dataset unless it is given."""
    storage: str = ""
    """Where trials are kept, as SQLAlchemy's URL (postgresql://me@host/tuning); an SQLite file in --home unless it is
    given."""
    tune: tuple[Part, ...] = ("gen", "ratio")
    """What is searched: options of the generator (gen), of the classifier (clf), the ratio; beside `--by fidelity` gen
    alone."""
    by: Named = "utility"
    """What a trial is worth. utility: the AUROC on val of classifiers trained with its images. fidelity: the Frechet
    distance of what it draws to the real training images, in the first of --extractors that works; nothing is trained
    on it, and lower is better."""
    equal_operations: bool = False
    """Scale the steps of each trial's fit so that it computes as much as the fit that was asked for: no trial wins by
    computing more in training."""
    search_only: bool = False
    """Stop after the search: its trials, figures and best options are written, and nothing is run on test."""
    only: tuple[str, ...] = ()
    """Of the options that the Configs declare only these (gen.lr, say)."""
    fair: bool = False
    """Search the classical remedies with as many trials too, and compare with the best of them."""
    out: Path | None = None
    """Folder of figures and tables; results/tune and the study's name unless it is given."""
    dry_run: bool = False
    """Print what would be searched, and stop."""


def read_options(args: Sequence[str]) -> tuple[TuneOptions, list[str]]:
    """The flags of a search, and those for `benchmarks.run`.

    Raises
    ------
    UserError
        For a number of trials that cannot be, and nothing to search.
    """
    options, rest = tyro.cli(TuneOptions, args=list(args), return_unknown_args=True, prog=PROG)
    if not 1 <= options.trials <= MOST_TRIALS:
        raise UserError(f"--trials {options.trials} was asked for; it is 1 to {MOST_TRIALS:,}")
    options = _by_fidelity(options, args) if options.by == "fidelity" else options
    if "--only" in args and not options.only:
        raise UserError("--only names nothing; name the options that are searched, gen.lr say, or leave it out")
    if not options.tune:
        raise UserError("--tune names nothing; say what is searched: gen, clf, ratio")
    if options.study and ("/" in options.study or options.study.startswith(".")):
        raise UserError(f"--study {options.study}: a name without / that begins with no dot; folders are named by it")
    return options, list(rest)


def _by_fidelity(o: TuneOptions, args: Sequence[str]) -> TuneOptions:
    """The options as they are beside `--by fidelity`, where the generator's alone are searched."""
    given = any(arg == "--tune" or arg.startswith("--tune=") for arg in args)
    if given and "ratio" in o.tune:
        raise UserError(
            "--tune ratio beside --by fidelity: a Frechet distance falls with the number of films, so that the largest "
            "ratio would win; leave ratio out"
        )
    if given and "clf" in o.tune:
        raise UserError(
            "--tune clf beside --by fidelity: no classifier takes part in what a trial is worth there; leave clf out"
        )
    if o.fair:
        raise UserError(
            "--fair beside --by fidelity: the classical remedies draw nothing that could be compared; leave one of the "
            "two out"
        )
    return o if given else replace(o, tune=("gen",))
