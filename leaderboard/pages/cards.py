"""What is known of a generator by its name: how it works, its equation and its source."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.request.remedies import REMEDIES
from generators.registry import BUILT_IN, CONTROLS

CONTROL = "control: "


@dataclass(frozen=True)
class Card:
    """A generator in a few words.

    Parameters
    ----------
    summary : what it is.
    equation : lines of plain text, with what it minimises or does; empty where none is known.
    source : papers by author and year; empty where none is known.
    weak : what it is bad at; empty where nothing is known.
    """

    summary: str
    equation: tuple[str, ...] = ()
    source: str = ""
    weak: str = ""
    is_control: bool = False


DDPM = ("xₜ = √ᾱₜ x + √(1 − ᾱₜ) ε", "minimise ‖ε − f(xₜ, t, y)‖²")
LATENT = ("z = E(x), standardised; zₜ = √ᾱₜ z + √(1 − ᾱₜ) ε", "minimise ‖ε − f(zₜ, t, y)‖²;  x = D(z)")
FLOW = ("xₜ = (1 − t) x + t ε", "minimise ‖(ε − x) − v(xₜ, t, y)‖²;  draw by dx = v dt")
GAN = ("D minimises −log σ(D(x, y)) − log(1 − σ(D(G(z, y), y)))", "G minimises −log σ(D(G(z, y), y))")
LSGAN = ("D minimises ½ (D(x) − 1)² + ½ D(G(z))²", "G minimises ½ (D(G(z)) − 1)²")
VAE = ("minimise ‖x − x′‖² + β KL(q(z | x) ‖ N(0, I))",)
SLOW = "Drawing is slow; short training leaves grain."
BLURRED = "Films are blurred, and fine structure is lost."
KNOWN: dict[str, tuple[tuple[str, ...], str, str]] = {
    "pixel_ddpm": (DDPM, "Ho, Jain & Abbeel 2020; guidance: Ho & Salimans 2022", SLOW),
    "latent_ddpm": (LATENT, "Rombach et al. 2022; Ho, Jain & Abbeel 2020", f"{SLOW} What the first stage lost is gone."),
    "flow": (FLOW, "Liu et al. 2022; Lipman et al. 2023", SLOW),
    "latent_flow": (FLOW, "Lipman et al. 2023; Rombach et al. 2022", f"{SLOW} What the first stage lost is gone."),
    "edm": (
        ("D(x; s) = c_skip x + c_out F(c_in x; c_noise)", "draw by dx = (x − D(x; s)) / s ds, Heun's method"),
        "Karras et al. 2022", SLOW,
    ),
    "consistency": (
        ("minimise E h(f(x + s ε; s) − f(x + r ε; r)) / (s − r),  r < s",), "Song et al. 2023; Geng et al. 2024",
        "It is no better than the model that it was tuned from.",
    ),
    "lora": (
        ("W′ = W + (α / r) B A, with W frozen",), "Hu et al. 2021",
        "What the frozen weights learned from is not known in full: they may have seen these films.",
    ),
    "vae": (VAE, "Kingma & Welling 2014; drawing: Ghosh et al. 2020", BLURRED),
    "gmvae": ((*VAE, "prior: a mixture of K Gaussians, fitted by EM"), "Dilokthanakul et al. 2016", BLURRED),
    "fs_gmvae": (
        (*VAE, "prior: p(z | y) = N(μ(y), σ(y)), affine in the labels"), "Dilokthanakul et al. 2016, fully supervised",
        BLURRED,
    ),
    "dcgan": (GAN, "Radford, Metz & Chintala 2015", "A small class has little variety; classes come out exaggerated."),
    "dcgan_per_class": (GAN, "Radford, Metz & Chintala 2015, one network a class", "Poor for classes with few images."),
    "lsgan": (LSGAN, "Mao et al. 2017", "Grain; a small class has little variety."),
    "lsgan_per_class": (LSGAN, "Mao et al. 2017, one network a class", "Poor for classes with few images."),
    "r3gan": (
        ("f(t) = log(1 + eᵗ)", "D minimises f(D(G(z, y), y) − D(x, y)) + γ/2 (‖∇D(x)‖² + ‖∇D(G(z))‖²)",
         "G minimises f(D(x, y) − D(G(z, y), y))"),
        "Huang et al. 2024", "It learns slowly, from many small steps.",
    ),
    "pool": ((), "whoever made the images", "What their generator learned from is not known here."),
}  # fmt: skip
"""Built-in generators: equation, source, weakness; docs/generators.md has more on each."""


def card_of(name: str) -> Card:
    """The card of a generator, a control or a remedy; of a plugin from elsewhere its name is all that is known."""
    if name in REMEDIES:
        return Card(f"classical remedy on real images: {REMEDIES[name].summary}", is_control=True)
    row = BUILT_IN.get(name)
    if row is None:
        return Card("a plugin that is not part of this suite")
    equation, source, weak = KNOWN.get(name, ((), "", ""))
    return Card(row.summary.removeprefix(CONTROL), equation, source, weak, name in CONTROLS)
