"""The identity of a run, and of each stage in it: what every key is made of, and what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from benchmarks.request.remedies import REMEDIES, changed_budget, changed_options
from data.mixing import Demand, Mode, check_ratio
from synthworth.errors import UserError
from synthworth.keys import SINCE_DEFAULT, digest, plain, seed_from
from synthworth.work import Budget

NONE = "none"
TUNED = " (tuned)"
"""Ends the name of an arm that was chosen by a search."""
N_BOOTSTRAP = 2000
NOT_THE_ARM = (
    "extractors", "extractor_precision", "controls", "curve", "margin", "test_on", "robustness", "prevalence",
)  # fmt: skip
"""Fields of a RunSpec that only say what is measured on an arm: they do not make it another arm."""
SETTING = (
    "dataset", "data", "data_version", "fingerprint", "real_fraction", "patients_per_class", "classifier", "clf",
    "classifier_version", "train", "precision", "donor",
)  # fmt: skip
"""Fields of a RunSpec in which two arms of one experiment agree: where they do not, a difference is not the images'
doing alone."""
DONOR = "donor"
"""What `learn_from` says of an arm whose images were learned from, or are, a donor's films."""
PRETRAINED = "shared_pretrained"
"""The control that goes by mode `pretrain` beside arms of every mode."""
COPY_JUDGE = 2
"""Raised when a fit that stops before it copies would be told other copy rates of the same images: part of its key, and
of no other fit's."""
ANALYSIS = 3
"""Raised when the same predictions would be analysed otherwise; part of a run's identity, of no stage's."""


@dataclass(frozen=True)
class RunSpec:
    """One arm: a dataset, a generator at a ratio, a classifier at some seeds, and the controls it is read against.

    `gen`, `data` and `clf` are plain forms of the plugins' Configs, without the fields that are not identity. `gen` of
    a tuned remedy holds what a search found for it: options of the classifier.
    """

    dataset: str
    data: Mapping[str, Any]
    data_version: int
    fingerprint: str
    """Of the prepared images, all splits."""
    generator: str
    gen: Mapping[str, Any]
    generator_version: int
    fit: Budget | None
    """Budget of the generator; None for a control that does not train."""
    classifier: str
    clf: Mapping[str, Any]
    classifier_version: int
    train: Budget
    """Budget of the classifier, the same for every arm."""
    ratio: float = 0.5
    mode: Mode = "add"
    real_fraction: float = 1.0
    patients_per_class: int = 0
    """Training patients of each class that anything may learn from; 0 for all."""
    portion: float = 1.0
    """Share of the training images that an arm of real images alone learns from (a point of the learning curve);
    above 1 further real images join, which no other arm trains on."""
    filters: tuple[str, ...] = ()
    """What synthetic images must pass before they are used."""
    seed: int = 0
    generator_seed: int = 0
    """Which training of the generator."""
    seeds: int = 6
    """Number of classifier seeds."""
    shard: int = 256
    """Synthetic images drawn at a time and stream."""
    precision: str = "fp32"
    """Arithmetic of the classifier, and of the generator where `generator_precision` is empty."""
    generator_precision: str = field(default="", metadata=SINCE_DEFAULT)
    """Arithmetic of the generator's training, where it is another than the classifier's; else empty, and no part of
    any key or record: so records and stored work from before there were two mean what they meant."""
    extractors: tuple[str, ...] = ("inception", "efficientnet_lite0", "vgg16_random")
    extractor_precision: str = "fp32"
    controls: tuple[str, ...] = (NONE, "duplicate")
    curve: tuple[float, ...] = ()
    """Points of the learning curve that the worth in real images is read off."""
    margin: float = 0.01
    """Difference of AUROC below which two arms count as equivalent."""
    n_bootstrap: int = N_BOOTSTRAP
    analysis: int = field(default=ANALYSIS)
    donor: str = field(default="", metadata=SINCE_DEFAULT)
    """Which training films are a donor hospital's (`0.8`, `site=B`), and not the recipient's own; empty for none."""
    learn_from: str = field(default="", metadata=SINCE_DEFAULT)
    """`donor` where what the arm adds was learned from, or is, the donor's films."""
    tuned: Mapping[str, Any] | None = field(default=None, metadata=SINCE_DEFAULT)
    """Where a search on val chose the arm: its `study`, how many `trials` it had, and the digest of its `space`. In no
    stage's key: an arm is trained alike, however it was found."""
    test_on: tuple[Mapping[str, Any], ...] = field(default=(), metadata=SINCE_DEFAULT)
    """Further datasets that its classifiers predict on: of each its `name`, `dataset`, plain `data`, `version`,
    `fingerprint`, and `classes`, each of its classes -> ours or None. Every classifier is then kept."""
    robustness: bool = field(default=False, metadata=SINCE_DEFAULT)
    """Whether they predict on corrupted test images too; every classifier is then kept."""
    prevalence: float = field(default=0.0, metadata=SINCE_DEFAULT)
    """Share of patients with the finding at which net benefit is measured; 0 for not at all."""

    def __post_init__(self) -> None:
        check_ratio(self.ratio, self.mode)
        if not 0 < self.real_fraction <= 1:
            raise UserError(f"--real-fraction {self.real_fraction} was asked for; it lies above 0 and up to 1")
        if self.patients_per_class < 0:
            raise UserError(
                f"--patients-per-class {self.patients_per_class} was asked for; it is 1 or more, or 0 for all"
            )
        if self.portion <= 0:
            raise UserError(f"a learning curve has no point at {self.portion} of the images; it lies above 0")
        if not 0 < self.margin < 1:
            raise UserError(f"--margin {self.margin} was asked for; it is a difference of AUROC between 0 and 1")
        if self.prevalence != 0 and not 0 < self.prevalence < 1:
            raise UserError(
                f"--prevalence {self.prevalence:g} was asked for; it is a share of patients, above 0 and below 1 "
                "(or 0 for no net benefit)"
            )
        if self.seeds < 1:
            raise UserError(f"--seeds {self.seeds} was asked for; at least 1 classifier seed is needed")
        if self.shard < 1:
            raise UserError(f"--shard {self.shard} was asked for; a shard holds at least 1 image")
        if self.generator_precision == self.precision:  # one form for one meaning
            object.__setattr__(self, "generator_precision", "")

    @cached_property
    def run_id(self) -> str:
        """sha256 of the canonical JSON."""
        return digest(self)

    def fields(self) -> Iterator[tuple[str, Any]]:
        """Names and values that make the spec, but for those that are left out at their default."""
        for known in fields(self):
            value = getattr(self, known.name)
            if known.metadata != SINCE_DEFAULT or value != known.default:
                yield known.name, value

    @property
    def family(self) -> str:
        """What arms are called together that differ in their ratio and training alone."""
        if self.is_real_only:
            return self.name
        passed = f" [{'+'.join(self.filters)}]" if self.filters else ""
        return f"{self.generator}{_whose(vars(self))} {self.mode}{passed}{TUNED if self.tuned else ''}"

    @property
    def name(self) -> str:
        """How tables call the arm."""
        return name_of(vars(self))

    @property
    def found(self) -> Mapping[str, Any]:
        """Options of the classifier that a search found for a remedy; none for every other arm."""
        return self.gen if self.tuned and self.generator in REMEDIES else {}

    @property
    def predicts_elsewhere(self) -> bool:
        """Whether its classifiers predict on other images than val and test: on other datasets, on corrupted ones."""
        return bool(self.test_on) or self.robustness

    @property
    def is_real_only(self) -> bool:
        """Whether the arm trains on real images alone: the zero line, a classical remedy, a point of the curve."""
        return is_real_only(vars(self))

    @property
    def is_zero_line(self) -> bool:
        """Whether the arm is the one that every other is compared with first."""
        return is_zero_line(vars(self))

    def to_json(self) -> dict[str, Any]:
        """The plain form that stands in the record and that `run_id` is the digest of."""
        form: dict[str, Any] = plain(self)
        return form

    # -- the identities of the stages ---------------------------------------------------------------------------

    def data_identity(self) -> dict[str, Any]:
        """The images every arm of an experiment starts from."""
        identity: dict[str, Any] = {
            "dataset": self.dataset,
            "config": self.data,
            "version": self.data_version,
            "fingerprint": self.fingerprint,
            "real_fraction": self.real_fraction,
            "patients_per_class": self.patients_per_class,
        }
        if self.real_fraction < 1 or self.patients_per_class:
            identity["seed"] = seed_from(self.seed, "real fraction")
        if self.donor:
            identity |= {"donor": self.donor, "donor_seed": self.donor_seed}
        return identity

    @property
    def donor_seed(self) -> int:
        """Seed of the choice of the donor's patients, where a share decides."""
        return seed_from(self.seed, "donor")

    @property
    def fit_seed(self) -> int:
        """Seed of the generator's fit."""
        return seed_from(self.seed, "fit", self.generator_seed)

    @property
    def fit_precision(self) -> str:
        """Arithmetic of the generator's fit."""
        return self.generator_precision or self.precision

    def fit_identity(self) -> dict[str, Any]:
        """One training of the generator; no ratio, mode or classifier in it."""
        judged = {"copy_judge": COPY_JUDGE} if self.copy_bound else {}
        identity = {
            "data": self.data_identity(),
            "generator": self.generator,
            "config": self.gen,
            "version": self.generator_version,
            "budget": self.fit,
            "seed": self.fit_seed,
            "precision": self.fit_precision,
            **judged,
        }
        return {**identity, "learn_from": self.learn_from} if self.learn_from else identity

    @property
    def copy_bound(self) -> float:
        """Share of near-copies at which the generator's training stops; 0 where it never looks."""
        of = self.gen["config"] if "of_generator" in self.gen else self.gen
        return float(of.get("stop_at_copy_rate", 0.0)) if self.fit is not None else 0.0

    @cached_property
    def fit_key(self) -> str:
        """Digest of the training of the generator."""
        return digest(self.fit_identity())

    def fitted_on(self) -> RunSpec | None:
        """The arm whose fitted generator this one's needs (the control `reconstruct`), or None for most.

        Such an arm's `gen` holds that generator: its name, version and plain Config; its `fit` is that one's budget.
        """
        if "of_generator" not in self.gen:
            return None
        return replace(
            self, generator=self.gen["of_generator"], gen=self.gen["config"], generator_version=self.gen["version"]
        )

    def shard_seed(self, stream: str, number: int) -> int:
        """Seed of one shard of one stream."""
        return seed_from(self.seed, "sample", self.generator_seed, stream, number)

    def shard_identity(self, stream: str, number: int) -> dict[str, Any]:
        """One shard of synthetic images."""
        return self._shard(self.fit_key, stream, number)

    def _shard(self, fit: str, stream: str, number: int) -> dict[str, Any]:
        return {
            "fit": fit,
            "stream": stream,
            "number": number,
            "size": self.shard,
            "seed": self.shard_seed(stream, number),
        }

    def pool_identity(self, demanded: Demand) -> dict[str, Any] | None:
        """The prefix of the pool an arm uses; None for real images alone."""
        if self.is_real_only:
            return None
        shards = {s: [digest(self._shard(self.fit_key, s, k)) for k in range(n_shards(n, self.shard))]
                  for s, n in demanded.streams.items()}  # fmt: skip
        return {"streams": dict(demanded.streams), "shards": shards, "filters": list(self.filters)}

    @property
    def classifier_budget(self) -> Budget:
        """Steps of one classifier: those of every arm, but for the remedy that trains longer."""
        return changed_budget(self.generator, self.train, ratio=self.ratio)

    def classifier_seed(self, number: int) -> int:
        """Seed of one classifier: never depends on generator or ratio, so that arms pair up."""
        return seed_from(self.seed, "classifier", number)

    @property
    def mix_seed(self) -> int:
        """Seed of the shuffling of real and synthetic, the same for every arm."""
        return seed_from(self.seed, "mix")

    def classify_identity(self, demanded: Demand, number: int) -> dict[str, Any]:
        """One training of the classifier on one mixture."""
        return self.classify_identities(demanded, [number])[0]

    def classify_identities(
        self, demanded: Demand, numbers: Sequence[int], *, pool: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """Several trainings of the classifier on one mixture, in plain form.

        Parameters
        ----------
        pool : `pool_identity(demanded)`, where it is known.
        """
        mixture: dict[str, Any] = plain({
            "data": self.data_identity(),
            "pool": pool or self.pool_identity(demanded),
            "keep_real": demanded.keep_real,
            "portion": self.portion,
            "pretraining": demanded.pretraining,
            "mix_seed": self.mix_seed,
            "classifier": self.classifier,
            "config": changed_options(self.generator, self.clf, self.found),
            "version": self.classifier_version,
            "budget": self.classifier_budget,
            "precision": self.precision,
        })  # fmt: skip
        return [{**mixture, "seed": self.classifier_seed(k), "keep_model": self.keeps_model(k)} for k in numbers]

    def keeps_model(self, number: int) -> bool:
        """Whether a classifier's weights are kept: where it predicts elsewhere, and of one that looks at drawn images.

        It is in the key of the training, as it decides what is stored; what is learned is the same.
        """
        return self.predicts_elsewhere or (self.is_zero_line and number == 0)


def is_real_only(spec: Mapping[str, Any]) -> bool:
    """Whether an arm, as its record holds it, trains on real images alone."""
    return spec["generator"] == NONE or spec["generator"] in REMEDIES


def is_zero_line(spec: Mapping[str, Any]) -> bool:
    """Whether an arm, as its record holds it, is real images alone, all of them: what every other is compared with."""
    return bool(spec["generator"] == NONE and spec["portion"] == 1)


def n_shards(n: int, size: int) -> int:
    """Shards that hold n images."""
    return -(-n // size)


def name_of(spec: Mapping[str, Any]) -> str:
    """How tables call the arm with this spec; any form of it."""
    generator, ratio, portion = spec["generator"], spec["ratio"], spec["portion"]
    if spec.get("tuned"):
        return name_of({**spec, "tuned": None}) + TUNED
    if not is_real_only(spec):
        passed = f" [{'+'.join(spec['filters'])}]" if spec["filters"] else ""
        training = f" (generator seed {spec['generator_seed']})" if spec["generator_seed"] else ""
        return f"{generator}{_whose(spec)} {spec['mode']} {ratio:g}{passed}{training}"
    if portion != 1:
        return f"{generator} x {portion:g}"
    return f"{generator} x {1 + ratio:g}" if ratio else str(generator)


def _whose(spec: Mapping[str, Any]) -> str:
    """That a generator learned from a donor's films; a control that draws them says so by its name."""
    return " from donor" if spec.get("learn_from") and not spec["generator"].startswith("shared_") else ""


def common_setting(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What an arm, as its record holds it, shares with the arms of its experiment."""
    return {name: spec.get(name, "") for name in SETTING}


def real_only(spec: RunSpec, *, generator: str = NONE) -> RunSpec:
    """The arm without synthetic images that `spec` is compared with; every ratio and generator shares it.

    Parameters
    ----------
    generator : `none`, or the name of a classical remedy.
    """
    return replace(
        spec, generator=generator, gen={}, generator_version=1, fit=None, ratio=0.0, mode="add", generator_seed=0,
        shard=256, controls=() if generator == NONE else (NONE,), filters=(), curve=(), margin=0.01,
        generator_precision="", learn_from="", tuned=None,
    )  # fmt: skip


def normalise(spec: RunSpec) -> RunSpec:
    """Give equal requests one form: ratio 0 and the generator `none` both mean real images alone.

    Raises
    ------
    UserError
        For ratio 0 in mode `only`, which leaves nothing to train on.
    """
    if spec.ratio == 0 and spec.mode == "only":
        raise UserError("--ratio 0 with --mode only leaves no image to train on; raise the ratio")
    if spec.generator in REMEDIES:
        ratio = spec.ratio if REMEDIES[spec.generator].trains_longer else 0.0
        return replace(real_only(spec, generator=spec.generator), ratio=ratio, gen=spec.found, tuned=spec.tuned)
    if spec.ratio == 0 or spec.generator == NONE:
        return real_only(spec)
    return replace(spec, controls=tuple(c for c in spec.controls if c != spec.generator))
