"""Sites for tests: of committed records, taken at their word, with arms that are hostile, failed or foreign."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from leaderboard.gather import collect
from leaderboard.judge import Judge
from leaderboard.tables import Table, make_tables

ROOT = Path(__file__).resolve().parent.parent
HOSTILE = "<img src=x onerror=alert(1)>"
REASON = "out of memory </script><script>alert(2)</script>"
FOREIGN = "the autoencoder (hub:somebody/vae)"


def committed_tables(*, hostile: bool = False) -> list[Table]:
    """The tables of the committed records; with a hostile name, a foreign part and two unfinished runs where asked."""
    reference = ROOT / "results" / "reference"
    found = collect([reference, reference / "sharing", reference / "elsewhere"])
    judge = Judge()
    judge.claim()
    entries, failed = list(found.entries), list(found.failed)
    if hostile:
        entries = [_hostile(_foreign(entry)) for entry in entries]
        for status, name in (("failed", "dcgan add 1"), ("skipped", f"{HOSTILE} add 2")):
            spec = {**entries[0].spec, "generator": name.rpartition(" add")[0], "ratio": float(name[-1]), "mode": "add"}
            failed.append({
                "schema": 4, "status": status, "run_id": ("ab" if status == "failed" else "cd") * 32, "name": name,
                "spec": spec, "error": REASON, "provenance": entries[0].record["provenance"],
            })  # fmt: skip
    return make_tables(entries, failed, judge)


def _hostile(entry: Any) -> Any:
    if entry.spec["generator"] != "pixel_ddpm":
        return entry
    spec = {**entry.spec, "generator": HOSTILE}
    name = entry.record["name"].replace("pixel_ddpm", HOSTILE)
    return dataclasses.replace(entry, record={**entry.record, "spec": spec, "name": name})


def _foreign(entry: Any) -> Any:
    if (entry.spec["dataset"], entry.record["name"]) != ("phantom", "latent_ddpm add 0.5"):
        return entry
    spec = {**entry.spec, "gen": {**entry.spec["gen"], "autoencoder_id": "hub:somebody/vae"}}
    return dataclasses.replace(entry, record={**entry.record, "spec": spec})
