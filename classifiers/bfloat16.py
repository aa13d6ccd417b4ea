"""For which networks of the built-in classifier bfloat16 trains faster: a table of measured cases."""

from __future__ import annotations

from collections.abc import Callable

from synthworth.devices import Bf16Unit

PAYS_FROM: dict[Bf16Unit, float] = {"avx512": 0.0, "amx": 0.25, "cuda": 0.0}
"""GFLOP of one image forward from which training in bf16 is faster than in fp32, by what multiplies it."""


def faster_in_bf16(gflop: Callable[[], float] | None, *, unit: Bf16Unit) -> bool:
    """Whether training is faster in bf16, by a table of measured cases and never by a timing: precision is identity.

    Images a second, forward and backward and AdamW, batch 64 (fewer where a step would take too long), one thread,
    grey images, fp32 and bf16 in turn; avx512 is an AMD Zen 4, amx an Intel Xeon:

    ============ ==== ======== ====== ====== ===== ===== =====
    network      side stem     GFLOP  unit   fp32  bf16  ratio
    ============ ==== ======== ====== ====== ===== ===== =====
    resnet10t    32   imagenet 0.044  avx512 476.3 679   1.43
    resnet18     32   imagenet 0.071  avx512 352.3 460.7 1.31
    densenet121  32   imagenet 0.112  avx512 137.8 206.9 1.50
    resnet10t    32   half     0.139  avx512 194.4 334.5 1.72
    resnet50     32   imagenet 0.164  avx512 108.2 157.5 1.46
    resnet10t    64   imagenet 0.178  avx512 137.1 225.3 1.64
    resnet18     32   half     0.277  avx512 111.4 195.4 1.75
    resnet18     64   imagenet 0.283  avx512 55.2  85.4  1.55
    densenet121  32   half     0.444  avx512 46.6  80.2  1.72
    resnet10t    32   small    0.556  avx512 50    97    1.94
    resnet10t    64   half     0.556  avx512 53.3  96.1  1.80
    resnet50     32   half     0.648  avx512 36.9  65.3  1.77
    resnet18     32   small    1.109  avx512 29.2  56.7  1.94
    resnet18     64   half     1.109  avx512 8     18.3  2.29
    densenet121  32   small    1.774  avx512 9.5   19.9  2.09
    resnet50     32   small    2.593  avx512 7.5   17.4  2.31
    resnet18     32   imagenet 0.071  amx    303   251   0.83
    resnet18     32   small    1.109  amx    35    89    2.54
    ============ ==== ======== ====== ====== ===== ===== =====

    Without AMX everything that was measured gains, and the more the more an image takes. AMX gains most where an image
    takes much, and loses at maps of a few pixels. The bound there is the geometric mean of its two cases, rounded down:
    what lies between them was not measured. Where nothing multiplies bf16, nothing gains.

    Parameters
    ----------
    gflop : counts the GFLOP of one image forward, and is called where they decide; None where the size of the images
        is not known.

    Returns
    -------
    False as well where it cannot be told.
    """
    if unit == "none":
        return False
    if PAYS_FROM[unit] == 0:
        return True
    return gflop is not None and gflop() >= PAYS_FROM[unit]
