"""How a record says where a generator that looks for copies stopped, in one line a training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synthworth.work import COPYING, is_copying


def copying_sentences(record: Mapping[str, Any]) -> Iterator[str]:
    """What the looks of the generator's training saw; nothing where it never looked.

    `stopped at step 300 of 1000: copy rate 0.020 there, 0.110 [0.070, 0.160] at the look after (step 400), above 0.05`.
    One line for a generator of a model a class for each of them.
    """
    facts = record["cost"].get("fit", {}).get("facts", {})
    for name, found in facts.items():
        if not is_copying(name):
            continue
        of = name.removeprefix(COPYING)
        rates = {look["step"]: look for look in found["looks"]}
        if found["stopped"] is not None:
            after, kept = rates[found["stopped"]], rates[found["kept"]]
            said = (
                f"stopped at step {found['kept']} of {found['n_steps']}: copy rate {kept['rate']:.3f} there, "
                f"{_with_interval(after)} at the look after (step {found['stopped']}), above {found['bound']:g}"
            )
        else:
            highest = max(found["looks"], key=lambda look: float(look["rate"]))
            said = (
                f"not stopped in {found['looks'][-1]['step']} steps: of {len(found['looks'])} looks none was above "
                f"{found['bound']:g}, the highest copy rate {_with_interval(highest)} at step {highest['step']}"
            )
        yield f"{record['spec']['generator']}{of} {said}; by chance {found['chance']:.3f}"


def _with_interval(look: Mapping[str, Any]) -> str:
    return f"{look['rate']:.3f} [{look['low']:.3f}, {look['high']:.3f}]"
