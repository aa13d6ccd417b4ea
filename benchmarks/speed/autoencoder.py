"""Speed of training `vae` against pythae's trainer over an encoder and a decoder of the same classes."""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.speed.loops import count
from benchmarks.speed.peers import find_peer
from benchmarks.speed.pictures import SIDE, bench, phantom_films
from benchmarks.speed.row import SEED, Row, in_turn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from generators.vae import VAEConfig

N_STEPS = 32


def vae_row(repeat: int, *, device: str = "cpu", side: int = SIDE, n_steps: int = N_STEPS) -> Row:
    """Seconds a step of `vae` with its default options through its own `fit`, and of an epoch of pythae's BaseTrainer.

    Both in fp32. Ours is told the label, which its peer is not: 4 % more parameters.
    """
    from generators.vae import VAEConfig

    find_peer("pythae.trainers", row="vae")
    config = VAEConfig()
    with pythae_trainer(config, device=device, side=side, n_images=n_steps * config.batch) as trainer:
        n_peer = count(trainer.model)

        def epoch() -> float:
            began = time.perf_counter()
            trainer.train_step(1)  # it reads every loss, so nothing is left to wait for
            return time.perf_counter() - began

        ours, peer = in_turn(
            (lambda: fit_seconds(config, device=device, side=side, n_steps=n_steps)[0], epoch), repeat
        )  # fmt: skip
    n_ours = fit_seconds(config, device=device, side=side, n_steps=1)[1]
    rates = [config.batch * n_steps / seconds for seconds in (ours, peer)]
    return Row(
        f"vae, {side} px, batch {config.batch}, fp32", "fit", "pythae, BaseTrainer", ours / n_steps, peer / n_steps,
        f"{rates[0]:.1f} against {rates[1]:.1f} images/s; {n_ours:,} against {n_peer:,} parameters",
        unit="s a step",
        facts={
            "images_per_second": rates[0], "peer_images_per_second": rates[1], "n_parameters": n_ours,
            "peer_n_parameters": n_peer, "batch": config.batch, "side": side, "device": device,
        },
    )  # fmt: skip


def fit_seconds(config: VAEConfig, *, device: str, side: int, n_steps: int) -> tuple[float, int]:
    """Seconds in the training loop of a whole `fit`, as its report has them, and the network's parameters."""
    from generators.vae import VAE

    with bench(steps=n_steps, device=device) as work:
        model = VAE(config)
        report = model.fit(phantom_films(side=side), seed=SEED, work=work)
    return report.seconds, count(model.net)


@contextmanager
def pythae_trainer(config: VAEConfig, *, device: str, side: int, n_images: int) -> Iterator[Any]:
    """The peer, ready for its first epoch over so many films: AdamW, the batch and the rate of `config`."""
    import torch
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE as PythaeVAE
    from pythae.models import VAEConfig as PythaeConfig
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    films = phantom_films(side=side)
    rows = torch.arange(n_images) % len(films)
    data = BaseDataset(films.images[rows].float() / 127.5 - 1, films.labels[rows])
    encoder, decoder, n_latent = parts(config, side=side)
    model = PythaeVAE(PythaeConfig(input_dim=(1, side, side), latent_dim=n_latent), encoder, decoder)
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        options = BaseTrainerConfig(
            output_dir=folder, per_device_train_batch_size=config.batch, num_epochs=1, optimizer_cls="AdamW",
            learning_rate=config.lr, no_cuda=device == "cpu", seed=SEED,
        )  # fmt: skip
        trainer = BaseTrainer(model, data, training_config=options)
        trainer.prepare_training()
        yield trainer


def parts(config: VAEConfig, *, side: int) -> tuple[Any, Any, int]:
    """Encoder and decoder of `vae` without its label, as pythae wants them, and the numbers of a latent."""
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from torch import Tensor

    from generators.nets.decoders import UpsampleDecoder
    from generators.nets.encoders import ResNetEncoder, SpatialHead

    c, low = config, side // config.factor
    shape = (c.latent_channels, low, low)

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.encoder = ResNetEncoder(channels=1, widths=c.widths, n_blocks=c.blocks, patch=c.patch)
            self.head = SpatialHead(width=self.encoder.width, channels=c.latent_channels, transition=0, label_width=0)

        def forward(self, x: Tensor) -> Any:
            mean, logvar = self.head(self.encoder(x), None).chunk(2, dim=1)
            return ModelOutput(embedding=mean.flatten(1), log_covariance=logvar.flatten(1))

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.decoder = UpsampleDecoder(
                shape, channels=1, size=side, widths=c.widths, n_blocks=c.blocks, patch=c.patch, label_width=0
            )

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.decoder(z.view(-1, *shape), None))

    return Encoder(), Decoder(), c.latent_channels * low * low
