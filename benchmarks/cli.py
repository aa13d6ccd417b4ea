"""The installed command `synthworth`: one name for every command."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from synthworth.commands import OK, WRONG, guarded
from synthworth.errors import unknown_name
from synthworth.interrupts import hear

COMMANDS = {
    "run": ("benchmarks.run", "the main job: what a generator's images are worth"),
    "prepare": ("data.prepare", "decode a dataset once, into the cache that a run reads"),
    "audit": ("data.audit.__main__", "what splits share: patients, equal and near-equal films, shortcuts"),
    "download": ("data.download", "NIH ChestX-ray14 or a MedMNIST set, verified and resumable"),
    "list": ("benchmarks.list", "generators, datasets, classifiers, metrics"),
    "check": ("benchmarks.check.__main__", "prove that a plugin keeps its contract"),
    "show": ("benchmarks.show", "one record, in full"),
    "reader": ("benchmarks.reader.__main__", "a blinded page of real and synthetic films, and the answers to it"),
    "pool": ("benchmarks.pool.__main__", "the images of a run as a folder for others"),
    "export": ("benchmarks.export.__main__", "a record as Croissant, RO-Crate, model card, CLAIM or SMD card"),
    "compare": ("benchmarks.compare", "two finished runs against each other, paired"),
    "reanalyse": ("benchmarks.reanalyse", "finished records again by today's statistics, nothing trained"),
    "repack": ("benchmarks.repack", "finished records again in today's layout, which is smaller; no number changes"),
    "sweep": ("benchmarks.sweep.__main__", "many requests from one YAML, each artifact once, resumable"),
    "tune": ("benchmarks.tune.__main__", "options searched on val, the best run on test once"),
    "reproduce": ("benchmarks.reproduce", "a record's run carried out again, and what differs"),
    "artifacts": ("benchmarks.artifacts", "what is stored, whether it is whole, and what may go"),
    "calibrate": ("benchmarks.calibrate.__main__", "how often the statistics are wrong, by simulation"),
    "speed": ("benchmarks.speed.__main__", "speed ratios against peers, in one run"),
    "leaderboard": ("leaderboard.build", "tables from records"),
    "submit": ("leaderboard.submit", "records checked and laid out for the published leaderboard"),
}


def dispatch(args: Sequence[str]) -> int:
    """`synthworth COMMAND ...`: import the command's module and call its `main`."""
    if not args or args[0] in ("-h", "--help"):
        print("usage: synthworth COMMAND [options]\n")
        for name, (_, what) in COMMANDS.items():
            print(f"  {name:<12} {what}")
        return OK if args else WRONG
    if args[0] not in COMMANDS:
        raise unknown_name("command", args[0], COMMANDS)
    module = importlib.import_module(COMMANDS[args[0]][0])
    code: int = module.main(args[1:])
    return code


def main() -> int:
    """Entry point of the console script."""
    hear()
    return guarded(dispatch)
