"""The parts of a record on other test sets and on corrupted images, and the predictions that go beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.judging.elsewhere import OnCorrupted, OnExternal
from benchmarks.records.elsewhere import CORRUPTED, external_file, write_corrupted, write_external
from benchmarks.stages.arm import Arm
from benchmarks.stages.experiment import Experiment
from benchmarks.verdicts.elsewhere import Corrupted, Seen, judge_corrupted, judge_elsewhere
from benchmarks.verdicts.equal_compute import describe_training
from data.corruptions import VERSION
from data.images import count_labels

if TYPE_CHECKING:
    from benchmarks.statistics.sampled import Sampled


class JudgedElsewhere:
    """The arms of a request, judged together on everything but their own test split."""

    def __init__(
        self, experiment: Experiment, arms: Sequence[Arm], *, here: Mapping[str, Mapping[str, Sampled]]
    ) -> None:
        """Hold what the arms share; nothing is predicted or sampled yet.

        Parameters
        ----------
        here : metrics on the own test split, by run id.
        """
        self.experiment, self.arms, self.here = experiment, arms, here
        self.externals = [OnExternal(experiment, external) for external in experiment.externals]
        self.corrupted = OnCorrupted(experiment)

    def of(self, arm: Arm, controls: Sequence[Arm], *, audited: Mapping[str, Any]) -> dict[str, Any]:
        """`elsewhere` and `robustness` of an arm's record, as far as they were asked for.

        Parameters
        ----------
        controls : the arms that it is compared with.
        audited : of the splits.
        """
        found: dict[str, Any] = {}
        if self.externals:
            found["elsewhere"] = {on.external.name: self._on(on, arm, controls) for on in self.externals}
        if arm.spec.robustness:
            named = {one.spec.generator: self._seen_corrupted(one) for one in controls}
            judged = judge_corrupted(self._seen_corrupted(arm), named, audited=audited)
            found["robustness"] = {"version": VERSION, **judged}
        return found

    def files(self, arm: Arm) -> dict[str, Any]:
        """Name -> what writes it, of the predictions that the parts were made from."""
        files: dict[str, Any] = {
            external_file(on.external.name): write_external(on.films, on.scores(arm)) for on in self.externals
        }
        if arm.spec.robustness:
            files[CORRUPTED] = write_corrupted(self.experiment.images.test, self.corrupted.scores(arm))
        return files

    def _on(self, on: OnExternal, arm: Arm, controls: Sequence[Arm]) -> dict[str, Any]:
        films = on.films
        truth, known = films.labels.numpy(), {"n_without": films.n_without, "n_images": len(films)}
        judged = judge_elsewhere(
            on.external.name, self._seen(on, arm), {one.spec.generator: self._seen(on, one) for one in controls},
            [self._seen(on, one) for one in self.arms], truth=truth, classes=films.classes, patients=films.groups,
            known=known,
        )  # fmt: skip
        return {
            "dataset": on.external.told["dataset"],
            "counts": count_labels(films.labels, films.classes),
            "n_patients": len(set(films.groups)),
            "left_out": dict(films.left_out),
            "shared": dict(films.shared),
            "patients_known": known,
            "utility": {name: value.to_json() for name, value in on.utility(arm).items()},
            **judged,
        }

    def _seen(self, on: OnExternal, arm: Arm) -> Seen:
        spec = arm.spec
        return Seen(
            spec.name, spec.run_id, vars(spec), _training(arm), on.sampled(arm), self.here[spec.run_id], on.scores(arm)
        )

    def _seen_corrupted(self, arm: Arm) -> Corrupted:
        spec = arm.spec
        here = self.here[spec.run_id]
        return Corrupted(spec.name, spec.run_id, vars(spec), _training(arm), self.corrupted.auroc(arm), here)


def _training(arm: Arm) -> dict[str, Any]:
    return describe_training([scores.report for scores in arm.scores])
