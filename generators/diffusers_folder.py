"""A folder as diffusers saves it: which network lies in it, and its weights, whole or not at all."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generators.places import locate
from synthworth.artifacts import read_json
from synthworth.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

STEM = "diffusion_pytorch_model"
SAVE_WHOLE = "Give the folder as diffusers saved it (save_pretrained)"
INDEX = "weight_map"


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_row(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) > 0


NEEDED: Mapping[str, Callable[[Any], bool]] = {
    "in_channels": _is_whole,
    "out_channels": _is_whole,
    "block_out_channels": lambda value: _is_row(value) and all(map(_is_whole, value)),
    "down_block_types": _is_row,
    "up_block_types": _is_row,
    "layers_per_block": lambda value: _is_whole(value) or _is_row(value),
    "norm_num_groups": lambda value: value is None or _is_whole(value),
}
"""What every configuration says of its network since diffusers began. Without it diffusers would take a default, under
which the weights may fit and mean something else."""
OF_KIND: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "UNet2DConditionModel": {"cross_attention_dim": lambda value: _is_whole(value) or _is_row(value)},
    "AutoencoderKL": {"latent_channels": _is_whole},
}
WITHOUT_BLOCKS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "SD3Transformer2DModel": dict.fromkeys(
        ("in_channels", "out_channels", "sample_size", "patch_size", "num_layers", "attention_head_dim",
         "num_attention_heads", "joint_attention_dim", "caption_projection_dim", "pooled_projection_dim"), _is_whole
    ),
    "SanaTransformer2DModel": dict.fromkeys(
        ("in_channels", "out_channels", "sample_size", "patch_size", "num_layers", "attention_head_dim",
         "num_attention_heads", "caption_channels"), _is_whole
    ),
    "AutoencoderDC": {
        "in_channels": _is_whole, "latent_channels": _is_whole, "encoder_block_out_channels": _is_row,
        "decoder_block_out_channels": _is_row, "scaling_factor": lambda value: isinstance(value, (int, float)),
    },
}  # fmt: skip
"""The same of networks that are not built of `NEEDED`'s blocks."""


def read_settings(file: Path, *, what: str) -> dict[str, Any]:
    """A JSON mapping of another's making.

    Raises
    ------
    UserError
        When the file is no JSON, or no mapping.
    """
    found = read_json(file, advice=f"{SAVE_WHOLE} in {what}")
    if not isinstance(found, dict):
        raise UserError(f"{what}: {file} holds a {type(found).__name__}, not settings by name. {SAVE_WHOLE}")
    return found


@dataclass(frozen=True)
class DiffusersFolder:
    """Where a network of diffusers lies: in `folder`, or, of a pipeline, in `home` below it.

    Parameters
    ----------
    config : the network's: what JSON says of it, and diffusers' defaults for the rest.
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
            When there is no such folder, it is none of diffusers, holds another kind of network, one that its
            configuration does not say enough of, or no safetensors.
        """
        folder = locate(name, patterns=patterns, what=what)
        home = folder / part if (folder / part).is_dir() else folder
        file = home / "config.json"
        if not file.is_file():
            where = f"there is no config.json in it, nor in {part}/"
            raise UserError(f"{what}: {folder} is no folder of diffusers: {where}")
        config = read_settings(file, what=what)
        kind = config.get("_class_name")
        if kind not in kinds:
            held = f"holds a {kind}" if kind else "does not say what it holds (_class_name in config.json)"
            raise UserError(f"{what}: {home} {held}; what is needed is {' or '.join(kinds)}")
        needed = WITHOUT_BLOCKS.get(kind) or {**NEEDED, **OF_KIND.get(kind, {})}
        lacking = [key for key in needed if key not in config]
        if lacking:
            raise UserError(
                f"{what}: {file} lacks {', '.join(lacking)}, without which no {kind} is built. {SAVE_WHOLE}"
            )
        wrong = [key for key, fits in needed.items() if not fits(config[key])]
        if wrong:
            raise UserError(f"{what}: {file} says {wrong[0]} {config[wrong[0]]!r}, which is none. {SAVE_WHOLE}")
        found = cls(folder, home, {**_defaults(kind), **config}, what)
        found.weight_files()
        return found

    def weight_files(self) -> list[Path]:
        """The safetensors of the network: one file or its shards; of one variant alone (fp16, say) where that is all.

        Raises
        ------
        UserError
            When there are none, several that could be meant, or a shard is missing.
        """
        plain, index = self.home / f"{STEM}.safetensors", self.home / f"{STEM}.safetensors.index.json"
        indices = sorted(self.home.glob("*.safetensors.index*.json"))
        single = sorted(f for f in self.home.glob("*.safetensors") if "-of-" not in f.name)
        if plain.exists():
            return [plain]
        if index.is_file() or (len(indices) == 1 and not single):
            return self._shards(index if index.is_file() else indices[0])
        if len(single) == 1:
            return single
        if not single:
            raise UserError(
                f"{self.what}: {self.home} holds no safetensors; other formats are not read. Save the network with "
                "save_pretrained(FOLDER, safe_serialization=True)"
            )
        names = ", ".join(f.name for f in single)
        raise UserError(f"{self.what}: {self.home} holds {names}; keep the one that is meant, as {plain.name}")

    def _shards(self, index: Path) -> list[Path]:
        names = read_settings(index, what=self.what).get(INDEX)
        if not isinstance(names, dict) or not names:
            raise UserError(f"{self.what}: {index} names no shards ({INDEX}). {SAVE_WHOLE}")
        files = [self.home / str(name) for name in sorted(set(map(str, names.values())))]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise UserError(
                f"{self.what}: {self.home} lacks {len(missing)} of the {len(files)} shards that its index names, "
                f"{missing[0]} for one. {SAVE_WHOLE}"
            )
        return files

    def load(self, **options: Any) -> Any:
        """The network with its weights, in evaluation mode. What they replace is drawn from torch's global generator.

        Parameters
        ----------
        options : of the network, in the place of its configuration's.

        Raises
        ------
        UserError
            When the weights cannot be read, or are not all of the network's.
        """
        from synthworth.training.weights import load_weights

        net = self._build(options)
        load_weights(net, self._tensors(), where=self._where, network=self._network)
        return net.eval()

    def check(self, **options: Any) -> None:
        """Refuse whatever `load` would, without memory for the network."""
        from synthworth.training.weights import match_weights

        net = self.outline(**options)
        match_weights(net.state_dict(), self._tensors(), where=self._where, network=self._network)

    def outline(self, **options: Any) -> Any:
        """The network on the `meta` device: its modules and shapes, no numbers."""
        import torch

        with torch.device("meta"):
            return self._build(options)

    @property
    def _where(self) -> str:
        return f"{self.what}: {self.home}"

    @property
    def _network(self) -> str:
        return f"the {self.config['_class_name']} of its config.json"

    def _build(self, options: Mapping[str, Any]) -> Any:
        import diffusers

        kind = self.config["_class_name"]
        try:
            return getattr(diffusers, kind).from_config(self.config, **options)
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError) as error:
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            raise UserError(
                f"{self.what}: no {kind} can be built as {self.home / 'config.json'} says ({reason}). {SAVE_WHOLE}"
            ) from error

    def _tensors(self) -> dict[str, Tensor]:
        from synthworth.training.weight_files import read_weights

        found: dict[str, Tensor] = {}
        for file in self.weight_files():
            found |= read_weights(file, what=f"{self.what}: the weights in", advice="Fetch the file again")
        return found


def _defaults(kind: str) -> dict[str, Any]:
    """What diffusers takes for whatever a configuration does not say."""
    import diffusers

    known = inspect.signature(getattr(diffusers, kind).__init__).parameters.values()
    return {one.name: one.default for one in known if one.default is not one.empty}
