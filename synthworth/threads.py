"""Cores and threads: how many there are, how many a step is worth, and how they wait (asleep, for busy machines)."""

from __future__ import annotations

import os

POLICY = "OMP_WAIT_POLICY"
OF_THE_USER = (POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Environment variables that say how OpenMP waits; where one is set, it is the user who decides."""


def n_cores() -> int:
    """Processor cores that this process may use: what a scheduler or `taskset` left it, not what the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_of_cores(processes: int) -> int:
    """Threads of each of so many processes side by side, whatever is left for them to do.

    Not more than `OMP_NUM_THREADS` where that is set: as many as torch takes in a process that nobody told.
    """
    return max(1, min(n_cores() // processes, _asked_for()))


def _asked_for() -> int:
    """The threads that the environment allows, the first of several levels; as many as there are cores by default."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isascii() and first.isdecimal() and int(first) > 0 else n_cores()


FLOPS_A_THREAD = 6e9
"""Floating-point operations of an optimiser step that are worth a thread."""


def threads_for(flops: float, *, at_most: int) -> int:
    """Threads that an optimiser step of so many operations, forward and backward, is computed with on a CPU.

    A step is thousands of small tasks, after each of which all threads wait, and waking one that sleeps takes longer
    than a small task. Milliseconds a step under preset quick, on two cores that nobody else used:

    ========================== ===== ========== =========== =============
    step                       GFLOP one thread two, asleep two, spinning
    ========================== ===== ========== =========== =============
    autoencoder of latent_ddpm 2.2   20         30          15
    vae                        4.6   46         45          30
    denoiser of latent_ddpm    5.9   60         82          46
    dcgan                      13.3  129        95          75
    pixel_ddpm                 37.9  289        238         182
    ========================== ===== ========== =========== =============

    Spinning threads are faster still, until another program wants a core (`wait_asleep`).
    """
    return max(1, min(at_most, int(flops / FLOPS_A_THREAD)))


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
