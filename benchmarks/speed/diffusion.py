"""Speed of training `pixel_ddpm`, against a plain loop of diffusers and against denoising-diffusion-pytorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.speed.denoising_peer import PeerLoop, network_of_size
from benchmarks.speed.loops import batches, count, gflop, timed
from benchmarks.speed.peers import find_peer
from benchmarks.speed.pictures import SIDE, bench, phantom_films
from benchmarks.speed.row import SEED, Row, in_turn

if TYPE_CHECKING:
    from generators.pixel_ddpm import PixelDDPMConfig

BATCH, N_STEPS = 32, 4
QUICK = {"widths": (64, 96, 128), "patch": 2, "prediction": "v_prediction", "schedule": "squaredcos_cap_v2", "lr": 1e-3}
"""What preset `quick` makes of the network; the default has 64, 128, 128 channels and no patches."""


def default_config(**options: Any) -> PixelDDPMConfig:
    """Options of `pixel_ddpm` at the batch that all loops of these rows take."""
    from generators.pixel_ddpm import PixelDDPMConfig

    return PixelDDPMConfig(**{"batch": BATCH, **options})


def pixel_ddpm_rows(
    repeat: int, *, name: str = "default", options: dict[str, Any] | None = None, precision: str = "fp32",
    device: str = "cpu", side: int = SIDE, n_steps: int = N_STEPS,
) -> list[Row]:  # fmt: skip
    """Seconds a step of `pixel_ddpm` through its own `fit`, and of both peers, in turn.

    Parameters
    ----------
    name : what the size of the network is called in the table.
    options : of `pixel_ddpm`, where they are not the defaults.
    precision : fp32, tf32 or bf16 (autocast), the same for all three.
    """
    package = find_peer("denoising_diffusion_pytorch", row="pixel-ddpm")
    config = default_config(**(options or {}))
    plain = DiffusersLoop(config, device=device, precision=precision, side=side)
    unet, described = network_of_size(package.Unet, plain.n_parameters, n_levels=len(config.widths))
    theirs = PeerLoop(package, unet, device=device, precision=precision, side=side, batch=config.batch)
    ours, loop, peer = in_turn(
        (
            lambda: fit_seconds(config, device=device, precision=precision, side=side, n_steps=n_steps),
            lambda: plain.seconds(n_steps),
            lambda: theirs.seconds(n_steps),
        ),
        repeat,
    )
    what = f"pixel_ddpm, {name}, {side} px, batch {config.batch}, {precision}"
    rows = []
    for peer_name, value, them, how in (
        ("diffusers, a plain loop", loop, plain, "the same network"),
        ("denoising-diffusion-pytorch", peer, theirs, described),
    ):
        rates = [config.batch * n_steps / seconds for seconds in (ours, value)]
        note = (
            f"{rates[0]:.1f} against {rates[1]:.1f} images/s; {plain.n_parameters:,} against {them.n_parameters:,} "
            f"parameters, {plain.gflop:.2f} against {them.gflop:.2f} GFLOP an image forward ({how})"
        )
        facts = {
            "images_per_second": rates[0], "peer_images_per_second": rates[1], "n_parameters": plain.n_parameters,
            "peer_n_parameters": them.n_parameters, "gflop_forward": plain.gflop, "peer_gflop_forward": them.gflop,
            "batch": config.batch, "side": side, "precision": precision, "device": device,
        }  # fmt: skip
        rows.append(Row(what, "fit", peer_name, ours / n_steps, value / n_steps, note, unit="s a step", facts=facts))
    return rows


def quick_rows(repeat: int) -> list[Row]:
    """The network of preset `quick`."""
    return pixel_ddpm_rows(repeat, name="quick", options=QUICK)


def auto_rows(repeat: int) -> list[Row]:
    """The default network at the precision that `auto` gives on this processor."""
    return pixel_ddpm_rows(repeat, precision=auto_precision())


def auto_precision(device: str = "cpu") -> str:
    """What `--precision auto` comes to for this generator."""
    from generators.bfloat16 import faster_in_bf16
    from synthworth.devices import bf16_unit

    return "bf16" if faster_in_bf16("pixel_ddpm", unit=bf16_unit(device)) else "fp32"


def fit_seconds(config: PixelDDPMConfig, *, device: str, precision: str, side: int, n_steps: int) -> float:
    """Seconds in the training loop of a whole `fit`, as its report has them."""
    from generators.pixel_ddpm import PixelDDPM

    with bench(steps=n_steps, device=device, precision=precision) as work:
        return PixelDDPM(config).fit(phantom_films(side=side), seed=SEED, work=work).seconds


def plain_network(config: PixelDDPMConfig, *, side: int, n_classes: int = 6) -> Any:
    """The UNet of `pixel_ddpm` with diffusers' own class embedding, which has one vector more: no label given."""
    from diffusers import UNet2DModel

    from generators.nets.denoiser import make_denoiser
    from generators.nets.labels import ConditionSpec

    ours = make_denoiser(
        channels=1, size=side, spec=ConditionSpec("label", n_classes, multilabel=False), widths=config.widths,
        n_blocks=config.blocks, attention=config.attention, patch=config.patch,
    )  # fmt: skip
    options = {k: v for k, v in ours.unet.config.items() if not k.startswith("_")}  # type: ignore[union-attr]
    return UNet2DModel(**{**options, "class_embed_type": None, "num_class_embeds": n_classes + 1})


class DiffusersLoop:
    """What people write after diffusers' tutorial on unconditional generation, with labels.

    UNet2DModel, DDPMScheduler, AdamW, cosine schedule, gradient clipping, EMAModel; labels are hidden as often as ours.
    """

    def __init__(self, config: PixelDDPMConfig, *, device: str, precision: str, side: int) -> None:
        import torch
        from diffusers import DDPMScheduler
        from diffusers.optimization import get_cosine_schedule_with_warmup
        from diffusers.training_utils import EMAModel

        self.config, self.device, self.precision = config, device, precision
        torch.manual_seed(SEED)
        self.net = plain_network(config, side=side).to(device)
        self.n_parameters = count(self.net)
        one, folded = torch.zeros(1, dtype=torch.int64, device=device), side // config.patch
        self.gflop = gflop(self.net, torch.zeros(1, config.patch**2, folded, folded, device=device), one, one)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=config.lr)
        self.rate = get_cosine_schedule_with_warmup(self.optimiser, 500, 100_000)
        self.average = EMAModel(self.net.parameters(), decay=config.ema)
        self.noising = DDPMScheduler(1000, beta_schedule=config.schedule, prediction_type=config.prediction)
        films = phantom_films(side=side)
        self.batches = batches(films.images.float() / 127.5 - 1, films.labels, size=config.batch)

    def seconds(self, n_steps: int) -> float:
        """Of so many further steps."""
        self.net.train()
        return timed(self.step, n_steps, self.device)

    def step(self) -> float:
        """One optimiser step; returns the loss."""
        import torch
        from torch.nn import functional as F

        from synthworth.devices import autocast

        images, labels = (part.to(self.device) for part in next(self.batches))
        noise = torch.randn_like(images)
        steps = torch.randint(0, 1000, (len(images),), device=images.device)
        noisy = self.noising.add_noise(images, noise, steps)
        target = noise
        if self.config.prediction == "v_prediction":
            target = self.noising.get_velocity(images, noise, steps)
        hidden = torch.rand(len(labels), device=labels.device) < self.config.drop
        labels = torch.where(hidden, len(self.net.class_embedding.weight) - 1, labels)
        with autocast(self.device, self.precision):
            folded = F.pixel_unshuffle(noisy, self.config.patch)
            out = F.pixel_shuffle(self.net(folded, steps, class_labels=labels).sample, self.config.patch)
        loss = F.mse_loss(out.float(), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip)
        self.optimiser.step()
        self.rate.step()
        self.optimiser.zero_grad()
        self.average.step(self.net.parameters())
        return loss.item()
