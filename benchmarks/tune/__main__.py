"""Options searched, the best run on test once: `python -m benchmarks.tune --generator vae --trials 20`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.request.options import parse
from benchmarks.tune.options import PROG, TuneOptions, read_options
from synthworth.commands import FAILED, OK, guarded
from synthworth.errors import UserError
from synthworth.registry import no_exit

if TYPE_CHECKING:
    from optuna.study import Study
    from rich.console import Console

    from benchmarks.job.opened import Opened
    from benchmarks.request.options import Request
    from benchmarks.tune.space import Side


def main(args: Sequence[str]) -> int:
    """Search, print, run the best.

    Returns
    -------
    int
        The exit code: 1 where every trial failed, or a run on test did.
    """
    o, flags = read_options(args)
    request = parse(flags, prog=PROG)
    with no_exit():
        return tune(o, request)


def tune(o: TuneOptions, request: Request) -> int:
    """What the command does."""
    from benchmarks.report.tables import console
    from benchmarks.tune.space import sides_of
    from benchmarks.tune.storage import open_storage, said, sqlite_file, url_of
    from benchmarks.tune.study import NothingFound
    from synthworth.store import Store

    out = console()
    sides = sides_of(o, request)
    url = url_of(o.storage, Store.open(request.options.home).home)
    is_remote = sqlite_file(url) is None
    storage = open_storage(url) if is_remote and not o.dry_run else None  # refused before anything is prepared
    opened = begin(o, request, sides, out, where=said(url))
    if opened is None:
        return OK
    from optuna.exceptions import StorageInternalError

    sides = ready(o, sides, opened)
    try:
        studies = search(o, sides, storage or open_storage(url), opened, out)
    except NothingFound as nothing:
        out.print(str(nothing), style="bold red", markup=False, soft_wrap=True)
        return FAILED
    except StorageInternalError as error:
        from benchmarks.tune.storage import reason

        raise UserError(f"--storage {said(url)} does not answer any more: {reason(error, url)}. Start again when it "
                        "does: the trials that have ended are kept") from error  # fmt: skip
    return finish(o, request, sides, studies, out)


def begin(o: TuneOptions, request: Request, sides: Sequence[Side], out: Console, *, where: str) -> Opened | None:
    """Refuse what cannot be, print space and plan; the request with its images, None for a dry run."""
    from benchmarks.job.estimate import Estimate, Sizes, Todo
    from benchmarks.job.opened import begin_request, open_prepared
    from benchmarks.job.outside_files import check_outside_files
    from benchmarks.job.plan import check_classes
    from benchmarks.report.plan import print_expected
    from benchmarks.stages.images import prepare_data
    from benchmarks.tune.final import untuned_of
    from benchmarks.tune.say import print_space
    from synthworth.artifacts import check_writable

    begun = begin_request(untuned_of(request))
    arm = [spec for spec in begun.specs if spec.generator == request.options.generator][:1]
    if not arm:
        raise UserError(f"--generator {request.options.generator} adds no image, so there is nothing to search")
    for side in sides:
        print_space(out, side)
    sizes = Sizes.of(begun.dataset, None)
    lines = Estimate(begun.bench, begun.request, sizes, Todo.of_specs(arm, sizes), begun.dataset).lines()
    stages = ("data", "fit", "pool", *(("classify",) if o.by == "utility" else ()))
    each = " in each of 2 studies" if len(sides) > 1 else ""
    out.print(f"{o.trials} trials{each}, kept in {where}; a trial as asked:", markup=False, soft_wrap=True)
    print_expected(out, [line for line in lines if line.stage in stages])
    out.file.flush()
    if o.dry_run:
        return None
    for place in (folder_of(o, sides[0]), request.options.results, begun.bench.store.home):
        check_writable(place)
    check_outside_files(begun.request, begun.dataset)
    folder, index = prepare_data(begun.bench, request.options.dataset, begun.dataset)
    opened = open_prepared(begun.request, begun.bench, begun.dataset, folder, index)
    check_classes(opened.experiment.images, opened.specs)
    return opened


def ready(o: TuneOptions, sides: Sequence[Side], opened: Opened) -> tuple[Side, ...]:
    """The studies with what only the images tell; refuses films too few to compare."""
    from benchmarks.tune.by import FIDELITY
    from benchmarks.tune.drawn import extractor_of, refuse_few
    from benchmarks.tune.equal import Held

    first, *others = sides
    if first.by is FIDELITY:
        refuse_few(opened)
        first = replace(first, extractor=extractor_of(opened))
    if o.equal_operations:
        run = first.request.options
        train = opened.experiment.images.train
        first = replace(first, held=Held.to(run.generator, first.request.gen, train, n_steps=run.fit.steps))
    return (first, *others)


def folder_of(o: TuneOptions, side: Side) -> Path:
    """Of figures and tables."""
    return o.out or Path("results/tune") / side.study


def base_of(opened: Opened) -> Mapping[str, Any]:
    """What the trials change: the arm as asked, without what is only measured on it."""
    from benchmarks.request.spec import NOT_THE_ARM

    spec = next(s for s in opened.specs if s.generator == opened.request.options.generator)
    left_out = {*NOT_THE_ARM, "n_bootstrap", "analysis"}
    return {name: value for name, value in spec.to_json().items() if name not in left_out}


def search(o: TuneOptions, sides: Sequence[Side], storage: Any, opened: Opened, out: Console) -> list[Study]:
    """Both studies opened, then worked at in turn."""
    from benchmarks.stages.images import Images
    from benchmarks.tune.say import counts, print_best, print_trial
    from benchmarks.tune.study import best_of, open_study, work_at

    base = base_of(opened)
    studies = [open_study(storage, side, base, trials=o.trials) for side in sides]
    images: dict[str, Images] = {}
    for side, study in zip(sides, studies, strict=True):
        out.print(f"study {side.study}: {counts(study)} of {o.trials}", markup=False)
        began = time.monotonic()

        def told(trial: Any, side: Side = side, study: Any = study, began: float = began) -> None:
            print_trial(out, side, study, trial, trials=o.trials, seconds=time.monotonic() - began)

        def waits() -> None:
            out.print("the last trials are with other workers; waiting for them", markup=False)
            out.file.flush()

        work_at(study, side, trials=o.trials, told=told, images=images, waits=waits)
        best_of(study)
        print_best(out, side, study)
    return studies


def finish(o: TuneOptions, request: Request, sides: Sequence[Side], studies: Sequence[Study], out: Console) -> int:
    """Figures, the best options, and unless only a search was asked for the runs on test and what they say."""
    from benchmarks.report import tables as report
    from benchmarks.tune.figures import write_study
    from benchmarks.tune.final import best_to, files_of, run_on_test
    from benchmarks.tune.say import print_compared

    folder = folder_of(o, sides[0])
    files: list[Path] = []
    for side, study in zip(sides, studies, strict=True):
        files += write_study(study, side, folder if side is sides[0] else folder / "remedies")
    if o.search_only:
        files += best_to(folder, sides, studies)
        out.print("written: " + ", ".join(map(str, files)), markup=False, soft_wrap=True)
        return OK
    final = run_on_test(request, sides, studies)
    files += files_of(final, folder, sides, studies)
    report.print_arms(out, final.records)
    report.print_comparisons(out, [r for r in final.records if r["spec"].get("tuned")])
    report.print_verdicts(out, [record for record in (final.tuned,) if record is not None])
    print_compared(out, final.lines)
    report.print_places(out, request.options.results, [r for r in final.records if r["spec"].get("tuned")])
    out.print("written: " + ", ".join(map(str, files)), markup=False, soft_wrap=True)
    for record in final.failed:
        out.print(f"FAILED {record['name']}: {record['error']}", style="bold red", markup=False)
    return FAILED if final.failed or final.tuned is None else OK


if __name__ == "__main__":
    sys.exit(guarded(main))
