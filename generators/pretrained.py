"""A pretrained diffusion UNet: what it learned with, and how it is fitted to other channels and conditions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generators.diffusers_folder import SAVE_WHOLE, DiffusersFolder, read_settings
from synthworth.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from generators.nets.labels import ConditionSpec

FILES = tuple(
    f"{folder}{name}"
    for folder in ("", "unet/", "scheduler/")
    for name in ("config.json", "scheduler_config.json", "diffusion_pytorch_model*.safetensors*")
)
FLAG = "--gen.pretrained"
UNETS = ("UNet2DModel", "UNet2DConditionModel")


@dataclass(frozen=True)
class Pretrained:
    """A UNet of another's making, and what it learned with.

    Parameters
    ----------
    unet : its channels and condition fitted to ours.
    config : its configuration, as JSON has it, from which `rebuild` makes the same network.
    betas, prediction : of its scheduler; None, None where none lies beside it.
    """

    unet: nn.Module
    config: dict[str, Any]
    betas: tuple[float, ...] | None
    prediction: str | None


def load_unet(name: str, *, channels: int, size: int, spec: ConditionSpec) -> Pretrained:
    """A diffusers folder (a pipeline, or a UNet alone) or hub id as a denoiser of our images.

    Channels: where they differ, the first convolution's weights are summed over RGB, so that a grey image gives the
    response that it gives as three equal channels, and the last's are averaged; or, from grey to RGB, repeated (the
    first's divided by three). Condition: an embedding of its own classes gives way to ours (`Denoiser`).

    Raises
    ------
    UserError
        When there is no safetensors file, it does not hold all of the network, or the network is of another kind, works
        at another size, predicts something else or cannot be told the condition.
    """
    found = _find(name, channels=channels, size=size, kind=spec.kind, width=spec.width)
    kind = found.config["_class_name"]
    unet = found.load(**_told(kind))
    _fit_channels(unet, channels)
    betas, prediction = read_process(found.folder)
    kept = {k: v for k, v in unet.config.items() if not k.startswith("_")}
    return Pretrained(unet, {"_class_name": kind, **kept}, betas, prediction)


def check_unet(name: str, *, channels: int | None, size: int | None, kind: str, width: int | None) -> None:
    """Refuse whatever `load_unet` would, as far as it can be known before there are images.

    Parameters
    ----------
    channels, size : of the images, None where they are not known.
    kind : of the condition.
    width : of its tokens, None where it is not known.
    """
    found = _find(name, channels=channels, size=size, kind=kind, width=width)
    read_process(found.folder)
    found.check(**_told(found.config["_class_name"]))


def _find(name: str, *, channels: int | None, size: int | None, kind: str, width: int | None) -> DiffusersFolder:
    found = DiffusersFolder.find(name, part="unet", kinds=UNETS, patterns=FILES, what="--gen.pretrained")
    _refuse(found.config, found.home, channels=channels, size=size, kind=kind, width=width)
    return found


def _told(kind: str) -> dict[str, Any]:
    """How a UNet is told our condition: an embedding of its own classes gives way to ours."""
    return {"class_embed_type": "identity" if kind == "UNet2DModel" else None, "num_class_embeds": None}


def rebuild(config: dict[str, Any]) -> nn.Module:
    """A UNet with the configuration of `Pretrained.config` and weights from torch's global generator."""
    import diffusers

    options = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if not k.startswith("_")}
    unet: nn.Module = getattr(diffusers, config["_class_name"])(**options)
    return unet


def side_of(config: dict[str, Any], size: int) -> int:
    """The side that images of `size` are padded to for a UNet of this configuration."""
    multiple = 2 ** (len(config["block_out_channels"]) - 1)
    return -(-size // multiple) * multiple


def _refuse(
    config: dict[str, Any], home: Path, *, channels: int | None, size: int | None, kind: str, width: int | None
) -> None:
    network, side = config["_class_name"], _side(config["sample_size"], home)
    if size is not None and side not in (None, side_of(config, size)):
        raise UserError(
            f"--gen.pretrained: {home} works at {side} px and the images have {size}; prepare the dataset at {side}"
        )
    if {config["in_channels"], config["out_channels"], channels} - {1, 3, None}:
        raise UserError(
            f"--gen.pretrained: {home} maps {config['in_channels']} channels to {config['out_channels']}; a network of "
            "grey (1) or RGB (3) images is needed"
        )
    if (network == "UNet2DModel") != (kind == "label"):
        right = "label" if network == "UNet2DModel" else "multilabel, clip_text, clip_vision or embedding"
        raise UserError(f"--gen.pretrained: {home} is a {network}, which can be told condition {right}, not {kind}")
    if kind != "label" and width is not None and config["cross_attention_dim"] != width:
        raise UserError(
            f"--gen.pretrained: {home} attends to tokens of width {config['cross_attention_dim']}, and those of "
            f"condition {kind} have {width}"
        )


def _side(given: Any, home: Path) -> int | None:
    """The side that a UNet works at, of a number or a pair of equal ones; None where its configuration leaves it open.

    Raises
    ------
    UserError
        For a network of oblong images.
    """
    sides = set(given) if isinstance(given, (list, tuple)) and given else {given}
    if len(sides) > 1:
        shape = " x ".join(map(str, given))
        raise UserError(f"--gen.pretrained: {home} works at {shape} px; images here are square. Give another network")
    (side,) = sides
    return side


def read_process(folder: Path, *, what: str = FLAG) -> tuple[tuple[float, ...] | None, str | None]:
    """Betas and prediction type of the scheduler beside a UNet; None, None where there is no scheduler.

    Parameters
    ----------
    what : the flag that the UNet was asked for with.

    Raises
    ------
    UserError
        When it has none, as those of flow matching and EDM, is none that diffusers knows, or predicts something else.
    """
    from diffusers import DDPMScheduler

    files = (folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json")
    file = next((f for f in files if f.is_file()), None)
    if file is None:
        return None, None
    settings = read_settings(file, what=what)
    _require_betas(settings, file, what)
    known = set(DDPMScheduler().config)
    try:
        scheduler = DDPMScheduler(**{k: v for k, v in settings.items() if k in known and not k.startswith("_")})
    except (TypeError, ValueError, LookupError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"{what}: {file} describes no schedule of noise ({reason}). {SAVE_WHOLE}") from error
    prediction = scheduler.config["prediction_type"]
    if prediction not in ("epsilon", "v_prediction"):
        raise UserError(f"{what}: {file} says that the network predicts {prediction}; epsilon or v_prediction can be")
    return tuple(scheduler.betas.tolist()), prediction


def _require_betas(settings: dict[str, Any], file: Path, what: str) -> None:
    """Refuse a scheduler without betas: its network learned another process than diffusion in discrete steps."""
    has_betas = settings.get("trained_betas") is not None or settings.get("beta_schedule") is not None
    if not has_betas or settings.get("use_flow_sigmas"):
        raise UserError(
            f"{what}: {file} is of a {settings.get('_class_name', 'scheduler')} without betas (flow matching "
            "or EDM, say), and what is fine-tuned here learned a schedule of betas (DDPM). Give such a network"
        )


def _fit_channels(unet: Any, channels: int) -> None:
    """Make the first and last convolution of a UNet take and give `channels` (see `load_unet`)."""
    from synthworth.training.weights import fit_channels

    n_in, n_out = unet.conv_in.in_channels, unet.conv_out.out_channels
    if n_in != channels:
        unet.conv_in = _replaced(unet.conv_in, fit_channels(unet.conv_in.weight, channels), unet.conv_in.bias)
    if n_out != channels:
        weight, bias = unet.conv_out.weight, unet.conv_out.bias
        if channels == 1:
            weight, bias = weight.mean(0, keepdim=True), bias.mean(0, keepdim=True)
        else:
            weight, bias = weight.repeat(3, 1, 1, 1), bias.repeat(3)
        unet.conv_out = _replaced(unet.conv_out, weight, bias)
    unet.register_to_config(in_channels=channels, out_channels=channels)


def _replaced(conv: nn.Conv2d, weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """A convolution like `conv` with these weights."""
    from torch import nn

    made = nn.Conv2d(weight.shape[1], weight.shape[0], conv.kernel_size, conv.stride, conv.padding)  # type: ignore[arg-type]
    made.weight, made.bias = nn.Parameter(weight.detach().clone()), nn.Parameter(bias.detach().clone())
    return made
