"""What is drawn and written of a study: Optuna's own plots as PNG, and every trial as a row of a CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.tune.by import FIDELITY, NOTES
from benchmarks.tune.space import Side
from benchmarks.tune.study import KIND, REASON, finished
from synthworth.artifacts import ensure_folder, write_bytes
from synthworth.escape import csv_cell

if TYPE_CHECKING:
    from optuna.study import Study


def write_study(study: Study, side: Side, out: Path) -> list[Path]:
    """Write what there is; the files."""
    ensure_folder(out)
    file = out / "trials.csv"
    write_bytes(file, as_csv(study, side).encode())
    return [file, *draw(study, side, out)]


def as_csv(study: Study, side: Side) -> str:
    """A row a trial: its state, value, seconds, facts, options, and why it failed or a fact of it is null."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", side.by.column, "seconds", *side.facts, *side.space, "reason"])
    for place, trial in enumerate(finished(study), start=1):
        seconds = "" if trial.duration is None else round(trial.duration.total_seconds(), 1)
        fault = f"{trial.user_attrs.get(KIND)}: {trial.user_attrs[REASON]}" if REASON in trial.user_attrs else ""
        fault = fault or "; ".join(f"{name}: {note}" for name, note in trial.user_attrs.get(NOTES, {}).items())
        facts = [trial.user_attrs.get(name) for name in side.facts]
        values = [trial.params.get(name, "") for name in side.space]
        row = [place, trial.state.name.lower(), trial.value, seconds, *facts, *values, fault]
        writer.writerow(map(csv_cell, row))
    return text.getvalue()


def draw(study: Study, side: Side, out: Path) -> list[Path]:
    """History, intermediate values where there are some, slices, and importances where trials differ enough to tell.

    The plots read a copy in memory, without trials that were too many or given back.
    """
    import matplotlib

    matplotlib.use("agg")
    import optuna
    from optuna.trial import TrialState
    from optuna.visualization import matplotlib as plots

    shown = optuna.create_study(direction=side.by.direction, study_name=study.study_name)
    shown.add_trials([trial for trial in finished(study) if trial.state.is_finished()])
    complete = [trial for trial in shown.trials if trial.state == TrialState.COMPLETE]
    made: dict[str, Callable[[], Any]] = {
        "history": lambda: plots.plot_optimization_history(shown, target_name=side.by.says),
        "intermediate": lambda: plots.plot_intermediate_values(shown),
        "slice": lambda: plots.plot_slice(shown, target_name=side.by.says),
    }
    if side.by is FIDELITY:  # its trials are not looked at midway
        del made["intermediate"]
    if len({trial.value for trial in complete}) > 1:
        made["importances"] = lambda: plots.plot_param_importances(shown, target_name=side.by.says)
    drawn = made.items() if complete else ()
    return [_saved(plot(), out / f"{name}.png", f"study {study.study_name}") for name, plot in drawn]


def _saved(axes: Any, file: Path, title: str) -> Path:
    """An axes, or several, as a PNG with this title."""
    import numpy as np
    from matplotlib import pyplot

    panels = list(np.ravel(axes))
    figure = panels[0].figure
    if file.stem == "slice":
        figure.set_size_inches(max(6.0, 2.6 * len(panels)), 4.2)
        figure.suptitle(title)
        for panel in panels:
            panel.tick_params(axis="x", labelrotation=40)
    else:
        figure.set_size_inches(8.0, 4.6)
        panels[0].set_title(title)
    if file.stem == "intermediate":
        panels[0].set_xlabel("percent of a classifier's steps, 100 for each seed")
        panels[0].set_ylabel("AUROC on val, mean over the seeds so far")
        if panels[0].get_legend() is not None:
            panels[0].get_legend().remove()  # a line a trial: they would not fit
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150, bbox_inches="tight")
    pyplot.close(figure)
    write_bytes(file, content.getvalue())
    return file
