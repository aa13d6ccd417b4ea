"""The generators and controls by name."""

from __future__ import annotations

from synthworth.registry import BuiltIn, Registry

BUILT_IN = {
    "latent_ddpm": BuiltIn(
        "generators.latent_ddpm:LatentDDPM", "VAE or AutoencoderKL, then a conditional DDPM on its latents"
    ),
    "pixel_ddpm": BuiltIn("generators.pixel_ddpm:PixelDDPM", "conditional DDPM on pixels (Ho 2020), or fine-tuned"),
    "flow": BuiltIn("generators.flow:Flow", "rectified flow on pixels (Liu 2022, Lipman 2023)"),
    "latent_flow": BuiltIn("generators.flow:LatentFlow", "VAE or AutoencoderKL, then rectified flow on its latents"),
    "edm": BuiltIn("generators.edm:EDM", "diffusion on pixels as in Karras 2022: preconditioning, Heun's sampler"),
    "consistency": BuiltIn(
        "generators.consistency:Consistency", "an `edm` tuned to draw in 1 to 4 steps (Song 2023, Geng 2024)"
    ),
    "lora": BuiltIn("generators.lora:LoRA", "a text-to-image pipeline of diffusers (--gen.base), fine-tuned by LoRA"),
    "vae": BuiltIn("generators.vae:VAE", "VAE (Kingma 2014), latent a vector or an image"),
    "gmvae": BuiltIn("generators.gmvae:GMVAE", "VAE with a Gaussian-mixture prior (Dilokthanakul 2016)"),
    "fs_gmvae": BuiltIn("generators.fs_gmvae:FSGMVAE", "VAE whose prior is tied to the label vector"),
    "dcgan": BuiltIn("generators.dcgan:DCGAN", "class-conditional DCGAN (Radford 2015)"),
    "dcgan_per_class": BuiltIn("generators.dcgan:DCGANPerClass", "one unconditional DCGAN a class"),
    "lsgan": BuiltIn("generators.lsgan:LSGAN", "DCGAN's networks under least squares (Mao 2017)"),
    "lsgan_per_class": BuiltIn("generators.lsgan:LSGANPerClass", "one unconditional LSGAN a class"),
    "r3gan": BuiltIn("generators.r3gan:R3GAN", "relativistic GAN on residual networks (Huang 2024)"),
    "pool": BuiltIn("generators.pool:Pool", "images that somebody else made, from a folder or a table (--gen.path)"),
    "none": BuiltIn("generators.controls:NoImages", "control: real images only, the zero line"),
    "duplicate": BuiltIn(
        "generators.controls:Duplicate", "control: real training images drawn again, the bar to clear"
    ),
    "jitter": BuiltIn(
        "generators.controls:Jittered", "control: real training images, strongly augmented: the second bar"
    ),
    "label_shuffle": BuiltIn(
        "generators.controls:LabelShuffle", "control: real training images under wrong labels; must hurt"
    ),
    "noise": BuiltIn("generators.controls:Noise", "control: noise of the real mean and spread; must not help"),
    "reconstruct": BuiltIn(
        "generators.reconstruct:Reconstruct", "control: training images through the generator's own autoencoder"
    ),
    "holdout_real": BuiltIn(
        "generators.controls:HoldoutReal",
        "control: real images no arm trains on, the upper bound of worth",
    ),
    "shared_real": BuiltIn(
        "generators.shared:SharedReal", "control: the films of a donor (--donor) themselves, the upper bound of sharing"
    ),
    "shared_pretrained": BuiltIn(
        "generators.shared:SharedPretrained", "control: a classifier first trained on the films of a donor (--donor)"
    ),
}
generators = Registry("generator", "synthworth.generators", BUILT_IN)
register = generators.register
CONTROLS = frozenset(name for name, row in BUILT_IN.items() if row.summary.startswith("control: "))
"""The built-in controls: known without importing one."""
NEEDS = ("version", "fit", "sample", "save", "load")
"""What a generator cannot do without, beside its Config."""


def added_by(name: str) -> str:
    """What the images are that a generator adds: its `adds`, and `synthetic` where it has none or is not known here."""
    return str(getattr(generators.get(name), "adds", "synthetic")) if name in generators else "synthetic"
