"""What the VAE family shares: what is minimised, training, drawing, encoding and saving."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from data.images import ImageSet
from generators.base import BaseGenerator
from generators.noise import draw_chunks
from generators.padding import cut_signed, pad_signed
from generators.saving import Shape, read_model, write_model
from generators.vae_networks import build_network, encoder_weights, require_weights, with_own_prior
from synthworth.cost import Operations, PlannedPhase
from synthworth.errors import UserError
from synthworth.keys import seed_from
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor

    from generators.nets.lpips import LPIPS
    from generators.nets.priors import Prior
    from generators.nets.vae import VAENet
    from generators.snapshots import Snapshots
    from generators.training import Learner, Part, Trainer

SETTLE_NUMBERS = 2**27
"""Most latent numbers (half a GiB) that are held while a prior is measured on train: what lies above is left out
evenly."""


class VAEFamily(BaseGenerator):
    """Encoder q(z | x), decoder p(x | z), and a prior that a subclass gives.

    Training minimises, for an image of n values in -1..1,

        ||x - x'||^2 / n + beta D / n + perceptual LPIPS(x, x'),    x' decoded from one z drawn from q(z | x),

    D the divergence of q from the prior in nats. With beta = 2 sigma^2 and without LPIPS this is, up to scale and a
    constant, the negative evidence lower bound of a decoder N(x', sigma^2 I) (Higgins 2017 for the weight). Drawing
    takes z from the prior and decodes its mean; no pixel noise is added. Images whose side is no multiple of what
    the networks need are padded at the edge for training, and cut back after decoding.
    """

    Config: ClassVar[type]
    config: Any
    net: VAENet
    shape: Shape
    device: str

    @property
    def padded(self) -> int:
        """Pixels on a side of what the network sees: those of an image, up to a multiple of the encoder's factor."""
        factor: int = self.config.factor
        return -(-self.shape.size // factor) * factor

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """Of one latent, without the batch: (D,) or (C, H, W)."""
        c, side = self.config, self.padded // self.config.factor
        return (c.latent_size,) if c.latent == "vector" else (c.latent_channels, side, side)

    def _prior(self) -> Prior:
        """The prior with fresh weights, for `self.latent_shape` and `self.shape`."""
        raise NotImplementedError

    def _build(self, *, weights: str | Path | None = None) -> VAENet:
        """The whole network with fresh weights from torch's global generator; `weights` of a timm encoder."""
        return build_network(
            self.config, self.shape, padded=self.padded, latent=self.latent_shape, prior=self._prior, weights=weights
        )

    @classmethod
    def version_of(cls, config: Any) -> int:
        """`version`, and one more with weights of an encoder: before, what a file lacked was left random."""
        return cls.version + bool(config.encoder_sha256 or config.encoder_pretrained)

    def check_files(self, *, fetch: bool, channels: int | None, size: int | None) -> None:
        """Refuse weights of the encoder or of LPIPS that cannot be used; see `BaseGenerator`."""
        c = self.config
        require_weights(self.config)
        if c.encoder != "resnet" and isinstance(weights := encoder_weights(c), Path):
            from generators.nets.encoders import TAGS, read_encoder

            read_encoder(TAGS[c.encoder], weights)
        if c.perceptual and c.perceptual_weights is not None:
            from generators.perceptual import read_convolutions

            read_convolutions(c.perceptual_weights)

    def operations(
        self, *, channels: int, size: int, n_classes: int, multilabel: bool, n_steps: int
    ) -> Operations | None:
        """See `BaseGenerator`."""
        from generators.operations import counted_once, of_autoencoder

        self.shape = Shape(channels, size, n_classes, multilabel)
        train, use, n = counted_once(self, lambda: of_autoencoder(self))
        return Operations((PlannedPhase("autoencoder", n_steps, self.config.batch, train),), use, int(n))

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Train for the budget's steps, then measure on train what drawing needs.

        Raises
        ------
        UserError
            For another split than train, a class without an image, a batch that cannot be cut as asked, or weights
            that cannot be had.
        """
        from generators.training import Trainer
        from synthworth.artifacts import ensure_folder
        from synthworth.devices import isolated_randomness
        from synthworth.training.networks import count_parameters
        from synthworth.training.reports import report_phases

        self.require(train)
        require_weights(self.config)
        self.shape, c = Shape.of(train), self.config
        trainer = Trainer(work, seed=seed, batch=c.batch, accumulate=c.accumulate)
        self.device = str(trainer.device)
        with isolated_randomness(seed_from(seed, "initial weights")):
            net = self._build(weights=encoder_weights(c))
        judge = self._perceptual(trainer)
        ensure_folder(work.folder)
        steps = work.budget.steps
        learner = trainer.learner(
            "net", net, lr=c.lr, n_steps=steps, warmup=c.warmup, clip=c.clip, ema=c.ema or None, ema_every=c.ema_every
        )
        loss = self._loss(train, trainer, learner, judge)
        stop = trainer.copy_stop(
            c, train.labels, n_steps=steps, draw=self._drawn_now(train, learner), exported=learner.exported
        )
        report = trainer.run(
            self._phase(), lambda parts: learner.update(parts, loss), n_images=len(train), n_steps=steps,
            seconds=work.budget.seconds, after=self._snapshots(train, trainer, learner), stop=stop,
        )  # fmt: skip
        self.net = cast("VAENet", learner.exported())
        sizes = {"encoder": net.encoder, "head": net.head, "decoder": net.decoder, "prior": net.prior}
        facts: dict[str, Any] = {f"{name}_parameters": count_parameters(part) for name, part in sizes.items()}
        facts |= {"latent": list(self.latent_shape), **self._settle(train), **stop.facts()}
        return report_phases([report], [c.batch], facts=facts)

    def _phase(self) -> str:
        return type(self).__name__.lower()

    def _perceptual(self, trainer: Trainer) -> LPIPS | None:
        if not self.config.perceptual:
            return None
        from generators.perceptual import load_lpips

        return load_lpips(self.config.perceptual_weights, device=trainer.device)

    def _loss(self, train: ImageSet, trainer: Trainer, learner: Learner, judge: LPIPS | None) -> Any:
        """The loss of a part: "loss" and its terms, each divided by the number of an image's values."""
        from torch.nn import functional as F

        c, source = self.config, trainer.near(train.images, train.labels)
        n_values = self.shape.channels * self.padded**2

        def loss(part: Part) -> Mapping[str, Tensor]:
            rows, labels = source(part.rows)
            images = pad_signed(rows, self.padded)
            made, terms = learner(images, labels)
            scalars = {"squared_error": F.mse_loss(made.float(), images)}
            scalars |= {name: term.mean() / n_values for name, term in terms.items()}
            total = scalars["squared_error"] + c.beta * scalars["kl"]
            if judge is not None:
                with trainer.autocast():
                    scalars["lpips"] = judge(made, images).mean()
                total = total + c.perceptual * scalars["lpips"]
            return {"loss": total, **scalars}

        return loss

    def _snapshots(self, train: ImageSet, trainer: Trainer, learner: Learner) -> Snapshots:
        draw = self._drawn_now(train, learner, most=256)
        return trainer.snapshots(train.labels, draw=draw, weights=lambda: learner.exported().state_dict())

    def _drawn_now(
        self, train: ImageSet, learner: Learner, *, most: int | None = None
    ) -> Callable[[Tensor, int], Tensor]:
        """Draws with the weights of the moment, the prior measured as it would be after training (on `most` images)."""

        def draw(labels: Tensor, seed: int) -> Tensor:
            now = type(self)(self.config)
            now.__dict__.update({k: v for k, v in self.__dict__.items() if k != "net"})
            now.net = with_own_prior(cast("VAENet", learner.exported()))
            now._settle(train, most=most)
            return now.sample(labels, seed=seed)

        return draw

    def _settle(self, train: ImageSet, *, most: int | None = None) -> dict[str, Any]:
        """Let the prior measure training latents: all of them, or as many as fit, evenly spaced."""
        import numpy as np
        import torch

        from synthworth.training.networks import evaluating

        if not self._measures():
            return {}
        fits = max(1, SETTLE_NUMBERS // self.net.prior.n_numbers)
        n = min(len(train), fits, most or len(train))
        rows = np.linspace(0, len(train) - 1, n).round().astype(np.int64)
        labels = train.labels[torch.from_numpy(rows)]
        parts = [
            (mean.flatten(1).cpu(), logvar.flatten(1).cpu())
            for mean, logvar in self._encoded(train.images, labels, rows=torch.from_numpy(rows))
        ]
        mean, logvar = (torch.cat(side) for side in zip(*parts, strict=True))
        prior = self.net.prior.to("cpu")
        with evaluating(prior):
            facts = dict(prior.settle(mean, logvar, labels))
        prior.to(self.device)
        return facts | ({"measured_on": n} if n < len(train) else {})

    def _measures(self) -> bool:
        """Whether the prior looks at training latents after training."""
        return True

    def _told(self, labels: Tensor | None) -> Tensor | None:
        """The labels that the network is told. Raises UserError when it must be and is not."""
        if self.config.conditional and labels is None:
            raise UserError("this autoencoder was trained with labels: pass them, or train one with conditional False")
        return labels if self.config.conditional else None

    def _encoded(self, images: Tensor, labels: Tensor | None, *, rows: Tensor | None = None) -> Iterator[Any]:
        """Mean and log-variance, a batch at a time, on the device."""
        from synthworth.progress import track
        from synthworth.training.networks import evaluating

        told, n = self._told(labels), len(images) if rows is None else len(rows)
        starts = range(0, n, self.config.sample_batch)
        with evaluating(self.net) as net:
            for start in track(starts, "latents", unit="batches") if n > 4096 else starts:
                chunk = slice(start, start + self.config.sample_batch)
                part = images[chunk] if rows is None else images[rows[chunk]]
                y = None if told is None else told[chunk].to(self.device)
                yield net.encode(pad_signed(part.to(self.device), self.padded), y)

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z | x).

        What a row becomes does not depend on how many are encoded at a time but for float rounding.

        Parameters
        ----------
        images : uint8 (N, C, S, S).
        labels : needed by a conditional network, ignored by others.

        Returns
        -------
        Two of float32 (N, *latent_shape), on the device.

        Raises
        ------
        UserError
            When a conditional network is not given labels.
        """
        import torch

        parts = list(self._encoded(images, labels))
        if not parts:
            empty = torch.empty((0, *self.latent_shape), device=self.device)
            return empty, empty.clone()
        mean, logvar = (torch.cat(side) for side in zip(*parts, strict=True))
        return mean, logvar

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images of latents.

        Parameters
        ----------
        latents : float (N, *latent_shape).
        labels : needed by a conditional network, ignored by others.

        Returns
        -------
        uint8 (N, C, S, S), on the CPU.

        Raises
        ------
        UserError
            When a conditional network is not given labels.
        """
        from synthworth.training.networks import evaluating

        told, shape = self._told(labels), self.shape
        images = shape.blank(len(latents))
        with evaluating(self.net) as net:
            for start in range(0, len(latents), self.config.sample_batch):
                rows = slice(start, start + self.config.sample_batch)
                y = None if told is None else told[rows].to(self.device)
                images[rows] = cut_signed(self._decoded(net, latents[rows].to(self.device), y), shape.size)
        return images

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images through the mean of their latents.

        Parameters
        ----------
        images : uint8 (N, C, S, S).

        Returns
        -------
        The same shape and dtype, on the CPU.
        """
        return self.decode(self.encode(images, labels)[0], labels)

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """Draw one image a label.

        float32 throughout, but for what `sampling_precision` makes bfloat16, so that a row does not depend on how many
        are drawn at a time by more than the last bit of rounding.

        Returns
        -------
        uint8 (N, C, S, S), row i shows `labels[i]`.
        """
        from synthworth.training.networks import evaluating

        c, shape = self.config, self.shape
        images = shape.blank(len(labels))
        with evaluating(self.net) as net:
            for rows, noise in draw_chunks(len(labels), (net.prior.n_noise,), seed=seed, chunk=c.sample_batch):
                y = labels[rows].to(self.device)
                latents = net.prior.draw(noise.to(self.device), y)
                images[rows] = cut_signed(self._decoded(net, latents, y), shape.size)
        return images

    def _decoded(self, net: VAENet, latents: Tensor, labels: Tensor | None) -> Tensor:
        """float32 (n, C, padded, padded) of latents on the device, in the precision that was asked for."""
        from synthworth.devices import autocast

        with autocast(self.device, self.config.sampling_precision):
            return net.decode(latents, labels).float()

    def save(self, folder: Path) -> None:
        """Write the network with its prior, and what it was made with (sha256 of weights files, not their paths)."""
        write_model(
            folder, config=self.config.without_paths(), shape=self.shape, weights={"net": self.net.state_dict()}
        )

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote."""
        from synthworth.training.networks import rebuild

        found: Any = read_model(folder, cls.Config)
        config, shape, weights = found
        model = cls(config)
        model.shape, model.device = shape, device
        model.net = rebuild(model._build, weights["net"], device=device)
        return model
