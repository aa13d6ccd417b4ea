"""How many cores this process has, and how its threads wait: asleep, so that a busy core costs its share alone."""

from __future__ import annotations

import os

POLICY = "OMP_WAIT_POLICY"
OF_THE_USER = (POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Environment variables that say how OpenMP waits; where one is set, it is the user who decides."""


def n_cores() -> int:
    """Processor cores that this process may use: what a scheduler or `taskset` left it, not what the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def wait_asleep() -> None:
    """Let the threads of OpenMP sleep while they wait, in this process and in those it starts.

    By default they spin. A step of training has thousands of places where all threads wait for the last one. Where
    another program holds a core, the last one has lost its turn, and those that spin keep the cores that it waits for.
    ResNet-18 at 32 px, images a second on two cores that other programs kept busy, in one run, and with one busy loop
    more on each core:

    ================ ====== ================
    threads          beside and a busy loop
    ================ ====== ================
    two, spinning    19     3.3
    two, asleep      125    115
    one              129    48
    ================ ====== ================

    How threads wait changes no bit of what they compute. OpenMP reads the variable when it is loaded, so this comes
    before the first import of torch: the package calls it when it is imported.
    """
    if not any(name in os.environ for name in OF_THE_USER):
        os.environ[POLICY] = "PASSIVE"
