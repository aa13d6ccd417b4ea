"""Which built-in generators train faster in bfloat16 on a CPU: a table of measured cases."""

from __future__ import annotations

from synthworth.devices import Bf16Unit

FASTER: dict[Bf16Unit, frozenset[str]] = {
    "none": frozenset(),
    "avx512": frozenset(
        {
            "pixel_ddpm",
            "latent_ddpm",
            "flow",
            "latent_flow",
            "edm",
            "consistency",
            "vae",
            "gmvae",
            "fs_gmvae",
            "dcgan",
            "lsgan",
            "dcgan_per_class",
            "lsgan_per_class",
            "r3gan",
            "lora",
        }
    ),
    "amx": frozenset({"pixel_ddpm", "flow", "edm", "consistency"}),
}
"""By what multiplies bf16."""


def faster_in_bf16(name: str, *, unit: Bf16Unit) -> bool:
    """Whether a built-in generator trains faster in bf16; False for a name that is not in the table.

    Steps a second, grey films of 32 px, one thread (amx: two), fp32 and bf16 in turn, by the sizes of preset quick;
    avx512 is an AMD Zen 4, amx an Intel Xeon:

    =============== ======== ====== ====== ====== =====
    generator       sizes    unit   fp32   bf16   ratio
    =============== ======== ====== ====== ====== =====
    pixel_ddpm      quick    avx512 2.17   3.1    1.43
    pixel_ddpm      quick    amx    2.63   2.75   1.05
    latent_ddpm     quick    avx512 18.34  23.49  1.28
    vae             quick    avx512 16.08  23.39  1.46
    dcgan           quick    avx512 5.63   8.16   1.45
    lsgan           quick    avx512 4.83   6.93   1.44
    gmvae           quick    avx512 6.48   9.03   1.39
    fs_gmvae        quick    avx512 7.87   12.43  1.58
    r3gan           quick    avx512 0.52   0.81   1.56
    lora            see text avx512 .14    .22    1.6
    =============== ======== ====== ====== ====== =====

    `r3gan` and `lora` were measured on machines that others used too: their ratios can be compared, their steps a
    second cannot. Of `r3gan` it is the middle of three turns, in which bf16 was 1.56 to 2 times as fast. `lora` had
    random weights: Stable Diffusion's UNet with widths 64, 128, 256, 256 on latents of 32 x 32, batch 4.

    `dcgan_per_class` and `lsgan_per_class` were not measured: they train the networks of `dcgan` and `lsgan`. Nor
    were `flow`, `edm` and the teacher of `consistency`, which train that of `pixel_ddpm` (its tuning is in fp32
    everywhere), and `latent_flow`, that of `latent_ddpm`. A GPU trains everything in bf16.
    """
    return unit == "cuda" or name in FASTER[unit]
