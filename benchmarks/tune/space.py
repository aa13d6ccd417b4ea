"""What a study searches: what the Configs declare, less what the request says; and the requests of its trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.request.options import Request
from benchmarks.request.remedies import REMEDIES
from benchmarks.request.spec import NONE
from benchmarks.request.tuned import Tuned
from benchmarks.tune.by import FIDELITY, KINDS, STEPS, UTILITY, By
from benchmarks.tune.equal import Held
from benchmarks.tune.options import TuneOptions
from generators.registry import generators
from synthworth.errors import UserError, unknown_name
from synthworth.keys import digest, plain
from synthworth.registry import config_of
from synthworth.search_space import OneOf, Plain, Searched, changed, declared, label_of, value_at

if TYPE_CHECKING:
    from optuna.trial import Trial

RATIOS = (0.25, 0.5, 1.0, 2.0)
"""Ratios that are tried unless the request names some."""
RATIO, REMEDY, CLF = "ratio", "remedy", "clf."
REGULARISERS = ("label_smoothing", "dropout", "weight_decay")
"""Options of the classifier that are searched beside every remedy: the classical means against learning by heart."""
PARTS = {"gen": "generator", "clf": "classifier"}
Space = Mapping[str, Searched]
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a study of its own.

    Parameters
    ----------
    study : its name.
    space : what is searched, by name (`gen.lr`, `ratio`, `remedy`), in the order it is drawn.
    arm : the generator's name; empty for the remedies, of which a trial draws one.
    request : what holds for every trial.
    by : what its trials are compared by.
    extractor : that the films are compared in, by registered name; empty where they are not.
    held : what every fit computes, where all compute as much.
    """

    study: str
    space: Space
    arm: str
    request: Request
    by: By = UTILITY
    extractor: str = ""
    held: Held | None = None

    @property
    def facts(self) -> tuple[str, ...]:
        """What is kept of a trial beside its value."""
        return self.by.facts or ((STEPS,) if self.held is not None else ())

    @property
    def digest(self) -> str:
        """Of the space."""
        return digest({name: plain_space(one) for name, one in self.space.items()})

    def draw(self, trial: Trial) -> dict[str, Any]:
        """The values of a trial; an option that would change nothing beside the others is not drawn."""
        values: dict[str, Any] = {}
        for name, one in self.space.items():
            if self.matters(name, values):
                values[name] = draw(trial, name, one)
        return values

    def values_of(self, labels: Mapping[str, Plain]) -> dict[str, Any]:
        """The values of a trial as a storage keeps them."""
        return {name: value_of(self.space[name], label) for name, label in labels.items()}

    def matters(self, name: str, values: Values) -> bool:
        """Whether an option changes anything beside the values that were drawn before it."""
        return all(self.now(other, values) in allowed for other, allowed in self.space[name].when.items())

    def now(self, name: str, values: Values) -> Any:
        """What an option is in a trial."""
        part, _, inner = name.partition(".")
        return values[name] if name in values else value_at(getattr(self.request, part), inner) if inner else None

    def as_asked(self) -> list[dict[str, Plain]]:
        """The trials that change nothing, where the space holds them: no tuned arm is worse on val than these.

        Of the generator it is one; of the remedies one for each.
        """
        begun: list[dict[str, Any]] = [{}]
        if not self.arm:
            remedies = self.space[REMEDY].space
            assert isinstance(remedies, OneOf)
            begun = [{REMEDY: remedy} for remedy in remedies.values]
        found = (self._as_asked(values) for values in begun)
        return [values for values in found if values is not None]

    def _as_asked(self, begun: Values) -> dict[str, Plain] | None:
        values: dict[str, Any] = {}
        for name, one in self.space.items():
            if name in begun:
                value = begun[name]
            else:
                value = self.request.options.ratio[0] if name == RATIO else self.now(name, {})
            if not one.space.holds(value):
                return None
            if self.matters(name, values):
                values[name] = value
        return {name: label_in(self.space[name], value) for name, value in values.items()}

    def asked(self, values: Values, *, trials: int) -> Request:
        """The request of a trial's arm, as a run would be asked for it, marked as tuned.

        Raises
        ------
        UserError
            For values that do not go together.
        """
        request, o = self.request, self.request.options
        parts = {
            part: changed(getattr(request, part), {name[len(part) + 1 :]: value for name, value in values.items()
                                                   if name.startswith(f"{part}.")})
            for part in ("gen", "clf")
        }  # fmt: skip
        arm, options = self.arm, {}
        if not arm:
            arm, parts["clf"] = values[REMEDY], request.clf
            options = {name[len(CLF) :]: value for name, value in values.items() if name.startswith(CLF)}
            o = dataclasses.replace(o, controls=(NONE, arm))
        if RATIO in values:
            o = dataclasses.replace(o, ratio=(values[RATIO],))
        if self.held is not None:
            steps = self.held.steps(parts["gen"], n_steps=o.fit.steps)
            o = dataclasses.replace(o, fit=dataclasses.replace(o.fit, steps=steps))
        tuned = Tuned(arm, self.study, trials, self.digest, options, "fidelity" if self.by is FIDELITY else "")
        return dataclasses.replace(request, options=o, tuned=tuned, **parts)


def sides_of(o: TuneOptions, request: Request) -> tuple[Side, ...]:
    """The studies of a call: the generator's, and with --fair the remedies'.

    Raises
    ------
    UserError
        For a part that declares nothing, a name that is not declared, and what does not go with --by fidelity.
    """
    by = KINDS[o.by]
    refuse_beside(o, request)
    marked = "-fidelity" if by is FIDELITY else ""
    name = o.study or f"{request.options.generator}-{request.options.dataset}{marked}"
    space = narrowed(space_of(o, request), o.only, given=request.given)
    found = [Side(name, space, request.options.generator, request, by)]
    if o.fair:
        found.append(remedies_of(f"{name}-remedies", o, request))
    return tuple(found)


def refuse_beside(o: TuneOptions, request: Request) -> None:
    """Refuse options of a run that make no sense beside those of the search.

    Raises
    ------
    UserError
        Naming which, and why.
    """
    run = request.options
    if o.equal_operations and run.fit.seconds is not None:
        raise UserError(
            f"--fit.seconds {run.fit.seconds:g} beside --equal-operations: the clock would end fits before they have "
            "computed as much; leave one of the two out"
        )
    if o.by != FIDELITY.name:
        return
    if len(run.ratio) != 1 or run.ratio[0] == 0:
        raise UserError(
            f"--ratio {' '.join(f'{ratio:g}' for ratio in run.ratio)} beside --by fidelity: a Frechet distance falls "
            "with the number of films, so all trials draw as many; give one ratio above 0"
        )
    if not run.extractors:
        raise UserError("--by fidelity needs a feature network: --extractors efficientnet_lite0, say")


def space_of(o: TuneOptions, request: Request) -> dict[str, Searched]:
    """What the Configs declare, less what is given a value."""
    found: dict[str, Searched] = {}
    for part, kind in PARTS.items():
        if part in o.tune:
            name = getattr(request.options, kind)
            idle = getattr(generators.get(name), "idle", {}) if part == "gen" else {}
            known = {option: one for option, one in declared(getattr(request, part)).items() if option not in idle}
            own = _qualified(known, part)
            if not own:
                raise UserError(
                    f"{kind} {name!r} declares no search space. Write beside an option of its Config, say, "
                    "lr: float = field(default=1e-3, metadata=searched(Between(1e-4, 1e-2, log=True))) (from "
                    f"synthworth.api), or leave {part} out of --tune"
                )
            found |= {one: space for one, space in own.items() if one not in request.given}
    if RATIO in o.tune and (ratios := ratios_of(request)) is not None:
        found[RATIO] = Searched(OneOf(*ratios))
    found = _in_order(found, request)
    if not found:
        raise UserError(
            f"--tune {' '.join(o.tune)}: every option of it is given a value, and nothing is left to search"
        )
    return found


def _qualified(space: Space, part: str) -> dict[str, Searched]:
    return {
        f"{part}.{name}": Searched(one.space, {f"{part}.{other}": values for other, values in one.when.items()})
        for name, one in space.items()
    }


def ratios_of(request: Request) -> tuple[float, ...] | None:
    """Ratios to choose from; None where the request names one.

    Raises
    ------
    UserError
        For ratio 0, real images alone.
    """
    if RATIO not in request.given:
        return RATIOS
    asked = tuple(dict.fromkeys(request.options.ratio))
    if 0 in asked:
        raise UserError("--ratio 0 is real images alone, which every arm is compared with anyhow; leave it out")
    return asked if len(asked) > 1 else None


def _in_order(space: Space, request: Request) -> dict[str, Searched]:
    """Options after those that they depend on, without those that can never matter."""
    found: dict[str, Searched] = {}
    left = dict(space)
    while left:
        ready = {n: one for n, one in left.items() if not any(other in left and other != n for other in one.when)}
        for name, one in (ready or left).items():
            fixed = {other: values for other, values in one.when.items() if other not in space}
            if all(_at(request, other) in values for other, values in fixed.items()):
                found[name] = one
            del left[name]
    return found


def _at(request: Request, name: str) -> Any:
    part, _, inner = name.partition(".")
    return value_at(getattr(request, part), inner)


def narrowed(space: Space, only: Sequence[str], *, given: Container[str] = ()) -> dict[str, Searched]:
    """The options that --only names.

    Parameters
    ----------
    given : options that are given a value, which are not searched.

    Raises
    ------
    UserError
        For a name that is not searched.
    """
    names = [name.replace("-", "_") for name in only]
    for name in names:
        if name in given:
            raise UserError(f"--only {name}: it is given a value, so it is not searched; leave one of the two out")
        if name not in space:
            raise unknown_name("searched option", name, space)
    return {name: one for name, one in space.items() if not names or name in names}


def remedies_of(study: str, o: TuneOptions, request: Request) -> Side:
    """The remedies that the classifier has the options for, and how strong they are.

    What of the classifier is searched for the generator is searched here too.
    """
    config = request.clf
    known = {field.name for field in dataclasses.fields(config)}
    names = tuple(name for name, remedy in REMEDIES.items() if set(remedy.options) <= known)
    if len(names) < 2:
        raise UserError(
            f"--fair searches the classical remedies, and classifier {request.options.classifier!r} has the options of "
            f"{len(names)} of them ({', '.join(names)}); leave --fair out"
        )
    space: dict[str, Searched] = {REMEDY: Searched(OneOf(*names))}
    all_of_clf = _qualified(declared(config), "clf")
    for name, one in all_of_clf.items():
        option = name[len(CLF) :]
        if name in request.given:
            continue
        of = tuple(n for n in names if option in REMEDIES[n].strength)
        if of:
            space[name] = Searched(one.space, {REMEDY: of})
        elif option in REGULARISERS:
            space[name] = Searched(one.space)
        elif "clf" in o.tune and not one.when:
            free = tuple(n for n in names if option not in REMEDIES[n].options)
            space[name] = Searched(one.space, {REMEDY: free})
    longer = tuple(name for name in names if REMEDIES[name].trains_longer)
    if longer:
        ratios = (ratios_of(request) if RATIO in o.tune else None) or request.options.ratio
        if len(ratios) > 1:
            space[RATIO] = Searched(OneOf(*ratios), {REMEDY: longer})
    none = config_of(generators.get(NONE), NONE)
    options = dataclasses.replace(request.options, generator=NONE, filters=(), curve=())
    return Side(study, space, "", dataclasses.replace(request, options=options, gen=none()))


# -- values as a storage keeps them ----------------------------------------------------------------------------------


def draw(trial: Trial, name: str, one: Searched) -> Any:
    """Let the study's sampler choose a value."""
    space = one.space
    if isinstance(space, OneOf):
        return space.value_of(trial.suggest_categorical(name, space.labels))
    if space.whole:
        step = 1 if space.step is None else int(space.step)
        return trial.suggest_int(name, int(space.low), int(space.high), step=step, log=space.log)
    return trial.suggest_float(name, space.low, space.high, step=space.step, log=space.log)


def value_of(one: Searched, label: Plain) -> Any:
    """The value that a storage keeps under this label."""
    return one.space.value_of(label) if isinstance(one.space, OneOf) else label


def label_in(one: Searched, value: Any) -> Plain:
    """What a storage keeps of a value."""
    space = one.space
    return label_of(value) if isinstance(space, OneOf) else value


def plain_space(one: Searched) -> dict[str, Any]:
    """A space as JSON: what its digest is of."""
    space = one.space
    told = {"values": list(space.labels)} if isinstance(space, OneOf) else vars(space)
    form: dict[str, Any] = plain({**told, "when": dict(one.when)})
    return form
