"""The generators and controls by name."""

from __future__ import annotations

from synthworth.registry import BuiltIn, Registry

generators = Registry(
    "generator",
    "synthworth.generators",
    {
        "latent_ddpm": BuiltIn(
            "generators.latent_ddpm:LatentDDPM",
            "ResNet VAE, then a class-conditional DDPM in its latent space",
        ),
        "dcgan": BuiltIn("generators.dcgan:DCGAN", "class-conditional DCGAN (Radford 2015)"),
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
        "holdout_real": BuiltIn(
            "generators.controls:HoldoutReal",
            "control: real images no arm trains on, the upper bound of worth",
        ),
    },
)
register = generators.register
