"""Denoising of the latents of an autoencoder: its fit, extraction, saving. A subclass says by which process."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

from data.images import ImageSet
from generators.backbones import Backbone, DiTConfig, is_levels, is_widths, make_dit, require_divides
from generators.copy_stop import require_judge
from generators.denoising import Denoising
from generators.first_stage import FLAG, FirstStageConfig, PublishedAutoencoder
from generators.places import identify, is_fetched, require_identity
from generators.saving import Shape, read_model, write_model
from generators.vae import VAE
from synthworth.cost import Operations, PlannedPhase
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY, SINCE_DEFAULT, seed_from
from synthworth.search_space import Between, OneOf, applies, searched, searched_inside
from synthworth.work import Budget, FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor, nn

    from generators.first_stage import FirstStage
    from generators.training import Part, Trainer

FIRST_STAGE, LATENTS = "first_stage", "latents.safetensors"
ENCODED_AT_A_TIME = 256
OF_UNET = applies(**{"first_stage.latent": ("spatial",), "backbone": ("unet",)})


@dataclass(frozen=True)
class LatentOptions:
    """The autoencoder, and the network that denoises its latents. A vector latent knows the condition `label` alone."""

    first_stage: FirstStageConfig = field(
        default_factory=FirstStageConfig, metadata=searched_inside("beta", "latent_channels", autoencoder=("",))
    )
    """The autoencoder that is trained first. Its `latent` decides between the two denoisers: a UNet for a spatial
    latent, a residual MLP for a vector."""
    first_stage_share: float = field(default=0.5, metadata=searched(Between(0.2, 0.7, step=0.1), autoencoder=("",)))
    """Share of the budget (steps, and seconds where they are limited) that trains the autoencoder."""
    autoencoder: str = field(default="", metadata=NOT_IDENTITY)
    """A trained AutoencoderKL in the autoencoder's place: a diffusers folder or hub id, as safetensors. All of the
    budget then trains the denoiser."""
    autoencoder_id: str = ""
    """sha256 of that folder's files, or "hub:" and the id; filled in, in the key in its place."""
    standardise: Literal["channel", "dimension"] = field(
        default="channel", metadata=applies(**{"first_stage.latent": ("spatial",)})
    )
    """Latents are brought to mean 0 and spread 1 by channel, or by channel and position; a vector by number in both."""
    unet_widths: tuple[int, ...] = field(
        default=(64, 128),
        metadata=searched(
            OneOf((32, 64), (64, 128), (96, 192), (128, 256)),
            **{"first_stage.latent": ("spatial",), "backbone": ("unet",)},
        ),
    )
    """Channels of the denoising UNet by resolution; each after the first halves it."""
    unet_blocks: int = field(default=1, metadata=OF_UNET)
    """Residual blocks of the UNet at each resolution."""
    unet_attention: tuple[int, ...] = field(default=(), metadata=OF_UNET)
    """Resolutions with attention: 0 is the finest, -1 the coarsest. The middle of the network always has it."""
    mlp_width: int = field(default=512, metadata=searched(OneOf(256, 512, 1024), **{"first_stage.latent": ("vector",)}))
    """Width of the denoising MLP."""
    mlp_blocks: int = field(default=6, metadata=applies(**{"first_stage.latent": ("vector",)}))
    """Residual blocks of the MLP."""
    backbone: Backbone = field(default="unet", metadata=SINCE_DEFAULT)
    """The network that denoises latent images: a UNet (`unet_*`), or a transformer over patches of them (`dit`; Peebles
    & Xie 2023), whose options are those of `--gen.dit`."""
    dit: DiTConfig = field(
        default=DiTConfig(patch=1), metadata=SINCE_DEFAULT | searched_inside("width", "depth", backbone=("dit",))
    )
    """The transformer's options."""

    def ranges(self) -> dict[str, tuple[bool, str]]:
        """Whether each option that has one is in its range, those of the process too; for `require_ranges`."""
        others: dict[str, tuple[bool, str]] = super().ranges()  # type: ignore[misc]
        return others | {
            "first_stage_share": (0 < self.first_stage_share < 1, "between 0 and 1"),
            "unet_widths": is_widths(self.unet_widths),
            "unet_blocks": (self.unet_blocks >= 1, "1 or more"),
            "unet_attention": is_levels(self.unet_attention, len(self.unet_widths)),
            "mlp_width": (self.mlp_width >= 1, "1 or more"),
            "mlp_blocks": (self.mlp_blocks >= 1, "1 or more"),
        }

    def _check_latents(self) -> None:
        """Fill in `autoencoder_id`, and refuse what a vector latent has no place for; for `__post_init__`."""
        self._identify_autoencoder()
        c: Any = self
        if self.autoencoder_id or self.first_stage.latent != "vector":
            return
        if c.condition.kind != "label":
            raise UserError(
                f"--gen.condition.kind {c.condition.kind} is cross-attention, which a vector latent has no place for; "
                "set --gen.first-stage.latent spatial, or --gen.condition.kind label"
            )
        if self.backbone != "unet":
            raise UserError(
                f"--gen.backbone {self.backbone} was asked for, and a vector latent is denoised by an MLP; set "
                "--gen.first-stage.latent spatial, or leave the backbone out"
            )

    def _identify_autoencoder(self) -> None:
        """Fill in `autoencoder_id`."""
        if self.autoencoder and not self.autoencoder_id:
            object.__setattr__(self, "autoencoder_id", identify(self.autoencoder, what=FLAG))


class Latents(Denoising):
    """An autoencoder with a small KL term, then a denoiser of its latents.

    Stage 1 fits a `vae`: ||x - x'||^2 + beta KL(q(z | x) || N(0, I)), with LPIPS where asked; or takes a published
    AutoencoderKL as it is. The latents' mean and log-variance are then extracted once and kept. Stage 2 learns to
    denoise (z - mean) / std of latents drawn from q(z | x), mean and std measured on train, and exports the moving
    average of its weights. Sampling starts from noise that depends on (seed, row) alone, inverts the standardisation
    and decodes. Latent images whose side the UNet cannot halve are padded at the edge, and cut before decoding.
    """

    first_stage: FirstStage
    idle = MappingProxyType(
        {f"first_stage.{name}": "the denoiser draws the latents" for name in ("draw_from", "kernel_width")}
    )

    def operations(
        self, *, channels: int, size: int, n_classes: int, multilabel: bool, n_steps: int
    ) -> Operations | None:
        """See `BaseGenerator`; not known with a published autoencoder, nor of conditions that are tokens."""
        from generators.operations import counted_once, of_denoiser

        c = self.config
        if c.autoencoder_id or c.condition.kind != "label":
            return None
        first_steps = self._first_steps(n_steps)
        first = VAE(c.first_stage)
        known = first.operations(
            channels=channels, size=size, n_classes=n_classes, multilabel=multilabel, n_steps=first_steps
        )
        assert known is not None
        self.shape = Shape(channels, size, n_classes, multilabel)
        self.conditioner = self._conditioner()
        train, use, n = counted_once(
            self, lambda: of_denoiser(lambda: self._build(first.latent_shape), lambda: self.noise_shape, self.shape)
        )
        kind = c.backbone if len(first.latent_shape) == 3 else "mlp"
        second = PlannedPhase(kind, n_steps - first_steps, c.batch, train)
        return Operations((*known.phases, second), self._passes() * use + known.use, known.parameters + int(n))

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Train both stages within the budget, the first in `work.folder / "first_stage"`.

        Raises
        ------
        UserError
            For another split than train, a class without an image, a budget of a single step, options that
            contradict each other, or weights that cannot be had.
        """
        import torch

        from synthworth.training.reports import join_reports, report_of

        self.require(train)
        self._refuse(work)
        trainer = self._begin(train, seed=seed, work=work)
        with torch.device("meta"):  # what the denoiser cannot be is said before the first stage is trained
            self._build(self._latent_to_come())
        first = self._fit_first_stage(train, seed=seed, work=work)
        began = time.perf_counter()
        latents = self._extract(train, trainer)
        extracting = time.perf_counter() - began
        seconds = work.budget.seconds
        second = self._learn(
            trainer, lambda: self._build(self.first_stage.latent_shape), self._cleaner(latents, trainer), train.labels,
            seed=seed, n_steps=work.budget.steps - first.steps,
            seconds=None if seconds is None else max(seconds - first.seconds, 0.1),
        )  # fmt: skip
        facts = {
            **first.facts,
            "first_stage_steps": first.steps,
            "first_stage_seconds": round(first.seconds, 3),
            "latent": list(self.first_stage.latent_shape),
            **self._facts(),
            "extraction_seconds": round(extracting, 3),
        }
        return join_reports([first, report_of(second, batch=self.config.batch)], label="stage", first=1, facts=facts)

    def check_files(self, *, fetch: bool, channels: int | None, size: int | None) -> None:
        """Refuse a published autoencoder, or weights of an own one, that cannot be used; see `BaseGenerator`."""
        super().check_files(fetch=fetch, channels=channels, size=size)
        self._require_autoencoder()
        c = self.config
        if c.backbone == "dit" and not self._latent_is_vector and not c.autoencoder and size is not None:
            first = VAE(c.first_stage)
            first.shape = Shape(channels or 1, size, n_classes=2, multilabel=False)
            require_divides(c.dit.patch, first.latent_shape[-1], what="the latents")
        if not c.autoencoder:
            VAE(c.first_stage).check_files(fetch=fetch, channels=channels, size=size)
        elif fetch or not is_fetched(c.autoencoder):
            PublishedAutoencoder.check(c.autoencoder, channels=channels)

    def _require_autoencoder(self) -> None:
        """Refuse an autoencoder that is another than the key says, or that nobody says the place of."""
        c = self.config
        if c.autoencoder_id and not c.autoencoder:
            raise UserError(f"the autoencoder {c.autoencoder_id} is asked for; say with {FLAG} where it is")
        if c.autoencoder:
            require_identity(c.autoencoder, c.autoencoder_id, what=FLAG)

    @classmethod
    def least_steps(cls, config: Any, *, n_classes: int | None = None) -> int:
        """A step for the first stage, unless it is another's, and one for the denoiser."""
        return 1 if config.autoencoder_id else 2

    def _refuse(self, work: Work) -> None:
        self._require_autoencoder()
        c = self.config
        require_judge(c, work)
        self.require_steps(c, work.budget.steps)
        if not c.autoencoder_id and c.first_stage.accumulate % work.devices:
            raise UserError(
                f"{work.devices} devices cannot share the {c.first_stage.accumulate} parts of a step of the first "
                f"stage evenly; set --gen.first-stage.accumulate to {work.devices}, or a multiple of it"
            )
        self.check_drawing()

    def _latent_to_come(self) -> tuple[int, ...]:
        """Shape of a latent of the first stage, before that is trained."""
        c, shape = self.config, self.shape
        if c.autoencoder:
            return PublishedAutoencoder.latent_of(c.autoencoder, channels=shape.channels, size=shape.size)
        first = VAE(c.first_stage)
        first.shape = shape
        return first.latent_shape

    @property
    def _latent_is_vector(self) -> bool:
        return not self.config.autoencoder_id and self.config.first_stage.latent == "vector"

    def _first_steps(self, n_steps: int) -> int:
        """Steps of a budget that train the autoencoder."""
        return min(max(1, round(self.config.first_stage_share * n_steps)), n_steps - 1)

    def _fit_first_stage(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Sets `first_stage`; a published one takes no step."""
        c, budget = self.config, work.budget
        if c.autoencoder:
            self.first_stage = PublishedAutoencoder.open(
                c.autoencoder, channels=self.shape.channels, size=self.shape.size, device=self.device
            )
            return FitReport(steps=0, images_seen=0, seconds=0.0)
        n_steps = self._first_steps(budget.steps)
        seconds = None if budget.seconds is None else budget.seconds * c.first_stage_share
        own = dataclasses.replace(
            work, folder=work.folder / FIRST_STAGE, budget=Budget(n_steps, seconds), snapshot_epochs=0.0
        )
        self.first_stage = autoencoder = VAE(c.first_stage)
        return autoencoder.fit(train, seed=seed_from(seed, "first stage"), work=own)

    def _extract(self, train: ImageSet, trainer: Trainer) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of every training image's latent; measures the standardisation.

        They are read from `work.folder` where they lie there already.
        """
        import torch

        from synthworth.artifacts import ensure_folder
        from synthworth.progress import track
        from synthworth.sealed import keep_tensors

        def encode() -> dict[str, Tensor]:
            found: dict[str, list[Tensor]] = {"mean": [], "logvar": []}
            for start in track(range(0, len(train), ENCODED_AT_A_TIME), "latents", unit="batches"):
                rows = slice(start, start + ENCODED_AT_A_TIME)
                mean, logvar = self.first_stage.encode(train.images[rows], train.labels[rows])
                found["mean"].append(mean.cpu())
                found["logvar"].append(logvar.cpu())
            return {name: torch.cat(parts) for name, parts in found.items()}

        file = ensure_folder(trainer.work.folder) / LATENTS
        if trainer.fabric.global_rank == 0:
            keep_tensors(file, encode)
        trainer.fabric.barrier()
        latents = keep_tensors(file, encode)
        mean, logvar = latents["mean"], latents["logvar"]
        axes = (0, 2, 3) if self.config.standardise == "channel" and mean.ndim == 4 else (0,)
        variance = mean.var(axes, correction=0, keepdim=True) + logvar.exp().mean(axes, keepdim=True)
        self.mean = mean.mean(axes, keepdim=True)[0].to(self.device)
        self.std = variance.sqrt().clamp_min(1e-6)[0].to(self.device)
        return mean, logvar

    def _build(self, latent: tuple[int, ...]) -> nn.Module:
        """The denoiser of latents of a shape, with fresh weights from torch's global generator.

        Sets the shape that it works at.
        """
        from generators.nets.denoiser import make_denoiser, side_multiple
        from generators.nets.mlp import VectorDenoiser

        c, spec = self.config, self.conditioner.spec
        if len(latent) == 1:
            self.noise_shape = latent
            return VectorDenoiser(length=latent[0], spec=spec, width=c.mlp_width, n_blocks=c.mlp_blocks)
        if c.backbone == "dit":
            self.noise_shape = latent
            return make_dit(
                c.dit, channels=latent[0], size=latent[1], spec=spec, what="the latents", absent=self.conditioner.absent
            )
        multiple = side_multiple(c.unet_widths, 1)
        side = -(-latent[1] // multiple) * multiple
        self.noise_shape = (latent[0], side, side)
        return make_denoiser(
            channels=latent[0], size=side, spec=spec, widths=c.unet_widths, n_blocks=c.unet_blocks,
            attention=c.unet_attention, absent=self.conditioner.absent,
        )  # fmt: skip

    def _cleaner(self, latents: tuple[Tensor, Tensor], trainer: Trainer) -> Callable[[Part], Tensor]:
        """What is denoised of a part: latents drawn from q(z | x), standardised and padded."""
        import torch

        source = trainer.near(*latents)

        def clean(part: Part) -> Tensor:
            mean, logvar = source(part.rows)
            drawn = mean + (0.5 * logvar).exp() * torch.randn_like(mean)
            return self._padded((drawn - self.mean) / self.std)

        return clean

    def _padded(self, latents: Tensor) -> Tensor:
        """Latents (N, C, h, w) with their edge repeated up to the side the UNet works at; vectors as they are."""
        from torch.nn import functional as F

        missing = self.noise_shape[-1] - latents.shape[-1]
        return F.pad(latents, (0, missing, 0, missing), mode="replicate") if missing else latents

    def _as_images(self, drawn: Tensor, labels: Tensor) -> Tensor:
        return self.first_stage.decode(self._restored(drawn), labels)

    def _restored(self, drawn: Tensor) -> Tensor:
        """Latents as the first stage knows them: without padding and standardisation."""
        latent = self.first_stage.latent_shape
        inner = drawn if len(latent) == 1 else drawn[:, :, : latent[1], : latent[2]]
        latents: Tensor = inner * self.std + self.mean
        return latents

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images through the first stage: decoded means of their latents.

        Parameters
        ----------
        images : uint8 (N, C, S, S).
        labels : needed where the first stage is told labels, else ignored.

        Returns
        -------
        The same shape and dtype.
        """
        return self.first_stage.reconstruct(images, labels)

    def save(self, folder: Path) -> None:
        """Write the first stage, the denoiser, the standardisation, and what conditions are drawn from."""
        from synthworth.artifacts import ensure_folder

        config = dataclasses.replace(self.config, autoencoder="")
        weights = {"denoiser": self.denoiser.state_dict(), "latent": {"mean": self.mean, "std": self.std}}
        write_model(folder, config=config, shape=self.shape, weights=weights)
        self.first_stage.save(ensure_folder(folder / FIRST_STAGE))
        self.conditioner.save(folder)

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote."""
        from synthworth.training.networks import rebuild

        config, shape, weights = read_model(folder, cls.Config)
        model, inner = cls(config), folder / FIRST_STAGE
        model._restore(folder, shape=shape, device=device)
        if config.autoencoder_id:
            known = {"channels": shape.channels, "size": shape.size, "device": device}
            model.first_stage = PublishedAutoencoder.open(str(inner), **known)  # type: ignore[arg-type]
        else:
            model.first_stage = VAE.load(inner, device=device)
        latent = model.first_stage.latent_shape
        model.denoiser = rebuild(lambda: model._build(latent), weights["denoiser"], device=device)
        model.mean, model.std = (weights["latent"][k].to(device) for k in ("mean", "std"))
        return model
