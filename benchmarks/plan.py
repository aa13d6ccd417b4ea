"""The plan: which arms a request means, and what of each is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.metrics.registry import EXTRACTORS
from benchmarks.options import Request
from benchmarks.spec import NONE, RunSpec, n_shards, normalise
from benchmarks.stages import Bench, Images, data_preparation
from data.mixing import Demand
from data.registry import datasets
from generators.registry import generators
from synthworth.errors import UserError
from synthworth.keys import digest, plain


@dataclass(frozen=True)
class Row:
    """A line of the plan: a stage of an arm, how many artifacts it has and how many are to do."""

    arm: str
    stage: str
    have: int
    todo: int


def resolve_precision(name: str, device: str) -> str:
    """`auto` is bf16 where the processor multiplies it natively, else fp32: part of a run's identity."""
    from synthworth.devices import has_fast_bf16

    if name != "auto":
        return name
    return "bf16" if device != "mps" and has_fast_bf16() else "fp32"


def specs_of(request: Request, *, fingerprint: str, precision: str) -> list[RunSpec]:
    """Every arm of a request, controls first, none of them twice.

    Raises
    ------
    UserError
        For a control or extractor that does not exist, or a ratio that means nothing.
    """
    o = request.options
    if not o.ratio:
        raise UserError("--ratio needs at least one number")
    for extractor in o.extractors:
        EXTRACTORS.require(extractor)
    for control in o.controls:
        if not getattr(generators.get(control), "is_control", False):
            raise UserError(f"--controls {control}: it is a generator, not a control; give it as --generator")
    dataset = datasets.get(o.dataset)

    def arm(generator: str, ratio: float) -> RunSpec:
        cls = generators.get(generator)
        config = request.gen if generator == o.generator else cls.Config()
        gen, budget = plain(config), o.fit if getattr(cls, "trains", True) else None
        if getattr(cls, "needs_generator", False):
            if generator == o.generator:
                raise UserError(
                    f"{generator} shows what a generator's autoencoder keeps: ask for it beside one, for instance "
                    f"--generator latent_ddpm --controls none duplicate {generator}"
                )
            of = generators.get(o.generator)
            gen, budget = {"of_generator": o.generator, "version": of.version, "config": plain(request.gen)}, o.fit
        from classifiers.registry import classifiers

        return normalise(
            RunSpec(
                dataset=o.dataset,
                data=plain(request.data),
                data_version=dataset.version,
                fingerprint=fingerprint,
                generator=generator,
                gen=gen,
                generator_version=cls.version,
                fit=budget,
                classifier=o.classifier,
                clf=plain(request.clf),
                classifier_version=classifiers.get(o.classifier).version,
                train=o.train,
                ratio=ratio,
                mode=o.mode,
                real_fraction=o.real_fraction,
                seed=o.seed,
                generator_seed=o.generator_seed,
                seeds=o.seeds,
                shard=o.shard,
                precision=precision,
                extractors=o.extractors,
                extractor_precision=o.extractor_precision,
                controls=o.controls,
            )
        )

    wanted = [arm(control, ratio) for ratio in o.ratio for control in (*o.controls, o.generator)]
    unique = {spec.run_id: spec for spec in wanted}
    return sorted(unique.values(), key=lambda s: (s.generator != NONE, s.generator == o.generator))


def check_classes(images: Images, specs: Sequence[RunSpec]) -> None:
    """Refuse, before anything is trained, what no arm could learn from.

    Raises
    ------
    UserError
        For a class without a training image.
    """
    empty = [c for c, n in images.train.counts().items() if n == 0]
    if empty:
        raise UserError(
            f"no training image shows {', '.join(empty)} (dataset {specs[0].dataset}, {len(images.train)} training "
            "images). Raise --real-fraction, or leave the class out"
        )


def rows_of(bench: Bench, spec: RunSpec, demanded: Demand) -> list[Row]:
    """What of an arm is there and what is to do."""

    def count(stage: str, identities: Sequence[Mapping[str, Any]]) -> Row:
        have = sum(bench.store.has(stage, digest(identity)) for identity in identities)
        return Row(spec.name, stage, have, len(identities) - have)

    rows = []
    if not spec.is_real_only and demanded.total:
        shards = [
            spec.shard_identity(stream, number)
            for stream, n in demanded.streams.items()
            for number in range(n_shards(n, spec.shard))
        ]
        rows += [count("fit", [spec.fit_identity()]), count("pool", shards)]
    return [*rows, count("classify", [spec.classify_identity(demanded, k) for k in range(spec.seeds)])]


def prepared(bench: Bench, name: str, dataset: Any) -> Path | None:
    """Folder of the prepared dataset, or None while it is not there."""
    key = digest(data_preparation(name, dataset))
    return bench.store.path("data", key) if bench.store.has("data", key) else None
