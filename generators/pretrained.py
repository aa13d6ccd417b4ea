"""Pretrained networks: where they lie, and how a diffusion UNet is fitted to other channels and conditions."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthworth.artifacts import read_json
from synthworth.errors import UserError
from synthworth.keys import file_sha256, sha256_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from generators.nets.labels import ConditionSpec

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
FILES = tuple(
    f"{folder}{name}"
    for folder in ("", "unet/", "scheduler/")
    for name in ("config.json", "scheduler_config.json", "diffusion_pytorch_model*.safetensors*")
)
UNETS = ("UNet2DModel", "UNet2DConditionModel")


def is_offline() -> bool:
    """Whether `SYNTHWORTH_OFFLINE` or `HF_HUB_OFFLINE` forbids fetching."""
    return any(os.environ.get(name, "") not in ("", "0") for name in ("SYNTHWORTH_OFFLINE", "HF_HUB_OFFLINE"))


def identify(where: str | Path, *, what: str) -> str:
    """What stands for weights or a file in a key.

    Returns
    -------
    sha256 of a file, or of all JSON and safetensors of a folder with their names; "hub:" and the id for what lies on
    the hub.

    Raises
    ------
    UserError
        When there is none.
    """
    path = Path(where).expanduser()
    if path.is_file():
        files = [path]
    elif path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.suffix in (".json", ".safetensors", ".txt") and f.is_file())
    elif isinstance(where, str) and HUB_ID.fullmatch(where):
        return f"hub:{where}"
    else:
        raise UserError(f"{what} {str(where)!r}: there is no such file or folder, nor can it be a hub id (owner/name)")
    stats = [(file, file.stat()) for file in files]
    return sha256_of(
        f"{file.relative_to(path).as_posix()}\0{_sha256(file, stat.st_size, stat.st_mtime_ns)}\n"
        for file, stat in stats
    )


@functools.lru_cache(maxsize=256)
def _sha256(file: Path, size: int, changed: int) -> str:
    """sha256 of a file, read once while size and time of change stay."""
    return file_sha256(file)


def require_identity(where: str | Path, wanted: str, *, what: str) -> None:
    """Refuse what is no longer what the key says.

    Raises
    ------
    UserError
        When `where` is not `wanted` (`identify`).
    """
    found = identify(where, what=what)
    if found != wanted:
        raise UserError(f"{what} {where} is {found}, and {wanted} was asked for")


def locate(name: str, *, patterns: Sequence[str], what: str) -> Path:
    """The folder that a path or hub id means.

    Parameters
    ----------
    name : path or hub id.
    patterns : the files of a hub id that are fetched, once.

    Raises
    ------
    UserError
        When there is no such folder, or the hub cannot be reached or has no such id; at once where fetching is
        forbidden (`is_offline`).
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if not HUB_ID.fullmatch(name):
        raise UserError(f"{what} {name!r}: there is no such folder, nor can it be a hub id (owner/name)")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    offline = is_offline()
    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns), local_files_only=offline, etag_timeout=5))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        why = "fetching is forbidden (SYNTHWORTH_OFFLINE, HF_HUB_OFFLINE)" if offline else str(error).splitlines()[0]
        raise UserError(f"{what} {name} is not on this machine and cannot be fetched: {why}. Give a folder") from error


@dataclass(frozen=True)
class DiffusersFolder:
    """Where a network of diffusers lies: in `folder`, or, of a pipeline, in `home` below it.

    Parameters
    ----------
    config : the network's, as JSON has it.
    what : the flag that it was asked for with.
    """

    folder: Path
    home: Path
    config: dict[str, Any]
    what: str

    @classmethod
    def find(cls, name: str, *, part: str, kinds: Sequence[str], patterns: Sequence[str], what: str) -> DiffusersFolder:
        """The folder that a path or hub id means (`locate`).

        Parameters
        ----------
        part : of a pipeline, as `vae`.
        kinds : classes of diffusers, one of which it must be.

        Raises
        ------
        UserError
            When there is no such folder, it is none of diffusers, holds another kind of network, or no safetensors.
        """
        folder = locate(name, patterns=patterns, what=what)
        home = folder / part if (folder / part).is_dir() else folder
        if not (home / "config.json").is_file():
            where = f"there is no config.json in it, nor in {part}/"
            raise UserError(f"{what}: {folder} is no folder of diffusers: {where}")
        config = read_json(home / "config.json")
        if config.get("_class_name") not in kinds:
            raise UserError(
                f"{what}: {home} holds a {config.get('_class_name')}; what is needed is {' or '.join(kinds)}"
            )
        if not list(home.glob("*.safetensors")):
            raise UserError(f"{what}: {home} holds no safetensors; other formats are not read")
        return cls(folder, home, config, what)

    def load(self, **options: Any) -> Any:
        """The network with its weights.

        Raises
        ------
        UserError
            When they cannot be read.
        """
        import diffusers

        kind = getattr(diffusers, self.config["_class_name"])
        try:
            return kind.from_pretrained(self.home, use_safetensors=True, low_cpu_mem_usage=False, **options)
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"{self.what}: the weights in {self.home} cannot be read ({reason})") from error


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
        When there is no safetensors file, another kind of network, one that works at another size, predicts something
        else or cannot be told the condition.
    """
    found = DiffusersFolder.find(name, part="unet", kinds=UNETS, patterns=FILES, what="--gen.pretrained")
    _refuse(found.config, found.home, channels=channels, size=size, spec=spec)
    kind = found.config["_class_name"]
    unet = found.load(class_embed_type="identity" if kind == "UNet2DModel" else None, num_class_embeds=None)
    _fit_channels(unet, channels)
    betas, prediction = _read_scheduler(found.folder)
    kept = {k: v for k, v in unet.config.items() if not k.startswith("_")}
    return Pretrained(unet, {"_class_name": kind, **kept}, betas, prediction)


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


def _refuse(config: dict[str, Any], home: Path, *, channels: int, size: int, spec: ConditionSpec) -> None:
    kind, side = config["_class_name"], config.get("sample_size")
    if side not in (None, side_of(config, size)):
        raise UserError(
            f"--gen.pretrained: {home} works at {side} px and the images have {size}; prepare the dataset at {side}"
        )
    if {config["in_channels"], config["out_channels"], channels} - {1, 3}:
        raise UserError(
            f"--gen.pretrained: {home} maps {config['in_channels']} channels to {config['out_channels']}; a network of "
            "grey (1) or RGB (3) images is needed"
        )
    if (kind == "UNet2DModel") != (spec.kind == "label"):
        right = "label" if kind == "UNet2DModel" else "multilabel, clip_text, clip_vision or embedding"
        raise UserError(f"--gen.pretrained: {home} is a {kind}, which can be told condition {right}, not {spec.kind}")
    if spec.kind != "label" and config["cross_attention_dim"] != spec.width:
        raise UserError(
            f"--gen.pretrained: {home} attends to tokens of width {config['cross_attention_dim']}, and those of "
            f"condition {spec.kind} have {spec.width}"
        )


def _read_scheduler(folder: Path) -> tuple[tuple[float, ...] | None, str | None]:
    """Betas and prediction type of the scheduler beside a UNet."""
    from diffusers import DDPMScheduler

    files = (folder / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json")
    file = next((f for f in files if f.is_file()), None)
    if file is None:
        return None, None
    known = set(DDPMScheduler().config)
    scheduler = DDPMScheduler(**{k: v for k, v in read_json(file).items() if k in known and not k.startswith("_")})
    prediction = scheduler.config["prediction_type"]
    if prediction not in ("epsilon", "v_prediction"):
        raise UserError(
            f"--gen.pretrained: {file} says that the network predicts {prediction}; epsilon or v_prediction can be"
        )
    return tuple(scheduler.betas.tolist()), prediction


def _fit_channels(unet: Any, channels: int) -> None:
    """Make the first and last convolution of a UNet take and give `channels` (see `load_unet`)."""
    n_in, n_out = unet.conv_in.in_channels, unet.conv_out.out_channels
    if n_in != channels:
        weight = unet.conv_in.weight
        weight = weight.sum(1, keepdim=True) if channels == 1 else weight.repeat(1, 3, 1, 1) / 3
        unet.conv_in = _replaced(unet.conv_in, weight, unet.conv_in.bias)
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
