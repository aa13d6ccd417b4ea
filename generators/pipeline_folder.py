"""A text-to-image pipeline in a folder as diffusers saves it: read part by part, or refused in one line."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generators.diffusers_folder import SAVE_WHOLE, STEM, DiffusersFolder, read_settings
from generators.learned_noise import CONFIG, Betas, Flow, make_scheduler, read_noise, require_steps
from generators.pipeline_kinds import KINDS, Kind, Text
from generators.places import HUB_ID, identify, locate
from generators.transformers_folder import load_network, load_tokenizer
from synthworth.errors import UserError, bounded
from synthworth.keys import sha256_of, unchanged_sha256

FLAG = "--gen.base"
INDEX = "model_index.json"
LEAST = 8
"""Pipelines with a UNet draw sides that are multiples of it, whatever their autoencoder is."""
WEIGHTS = "SYNTHWORTH_WEIGHTS"
PLAIN = ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors")
"""Weights of transformers, of no variant."""
FILES = (
    INDEX,
    CONFIG.as_posix(),
    *(f"{part}/{name}" for part in ("unet", "transformer", "vae")
      for name in ("config.json", f"{STEM}.safetensors*", f"{STEM}-*-of-*.safetensors")),
    *(f"text_encoder{which}/{name}" for which in ("", "_2", "_3") for name in ("*.json", *PLAIN)),
    *(f"tokenizer{which}/*" for which in ("", "_2", "_3")),
)  # fmt: skip
"""What is fetched of a hub id: no pickles, no variants, no safety checker."""
TOKENIZER_FILES = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model")


def place_of(base: str) -> str:
    """Where a base lies: there, or, unless it may be a hub id, in a folder of its name below `SYNTHWORTH_WEIGHTS`."""
    path, weights = Path(base).expanduser(), os.environ.get(WEIGHTS, "")
    if path.exists() or HUB_ID.fullmatch(base) or not weights:
        return base
    there = Path(weights).expanduser() / path.name
    return str(there) if there.is_dir() else base


def identity_of(base: str, revision: str) -> str:
    """What stands for a base in a key: sha256 of a folder's files, or "hub:ID", "hub:ID@REVISION" where one is given.

    Raises
    ------
    UserError
        For a base that is nowhere, and for the revision of a folder.
    """
    place = place_of(base)
    found = identify(place, what=FLAG)
    if not revision:
        return found
    if Path(place).expanduser().exists():
        raise UserError(f"--gen.base-revision {revision} is of a hub id, and {base} is a folder. Leave it out")
    return f"{found}@{revision}"


@dataclass(frozen=True)
class PipelineFolder:
    """Where a pipeline lies, and what it is. Nothing in it is unpickled, and no code of it is run.

    Parameters
    ----------
    index : its model_index.json.
    network, autoencoder : what denoises, and what makes latents.
    """

    folder: Path
    kind: Kind
    index: dict[str, Any]
    network: DiffusersFolder
    autoencoder: DiffusersFolder

    @classmethod
    def find(cls, base: str, *, revision: str = "") -> PipelineFolder:
        """The pipeline of a folder or hub id.

        Raises
        ------
        UserError
            When there is none, it is of an unknown kind or no text-to-image one, or a part is missing.
        """
        folder = locate(place_of(base), patterns=FILES, what=FLAG, revision=revision or None)
        if not (folder / INDEX).is_file():
            raise UserError(f"{FLAG}: {folder} holds no pipeline of diffusers: there is no {INDEX}. {SAVE_WHOLE}")
        index = read_settings(folder / INDEX, what=FLAG)
        name = index.get("_class_name")
        kind = KINDS.get(name) if isinstance(name, str) else None
        if kind is None:
            held = f"holds a {bounded(str(name))}" if name else f"does not say what it holds (_class_name in {INDEX})"
            raise UserError(f"{FLAG}: {folder} {held}; what can be fine-tuned is a {', '.join(KINDS)}")
        for text in kind.texts:
            _require_text(folder, index, text)
        network, autoencoder = (
            DiffusersFolder.find(str(folder / part), part=part, kinds=(wanted,), patterns=(), what=FLAG)
            for part, wanted in ((kind.part, kind.network), ("vae", kind.autoencoder))
        )
        found = cls(folder, kind, index, network, autoencoder)
        found._refuse()
        return found

    def _refuse(self) -> None:
        """Refuse a network that is not told latents and a prompt alone, or whose images are not RGB."""
        net, vae = self.network.config, self.autoencoder.config
        if net["in_channels"] != vae["latent_channels"]:
            raise UserError(
                f"{FLAG}: {self.network.home} takes {net['in_channels']} channels, and the latents have "
                f"{vae['latent_channels']}: it is told more than a prompt (inpainting, say). Give a text-to-image one"
            )
        if net["out_channels"] != net["in_channels"]:
            raise UserError(
                f"{FLAG}: {self.network.home} makes {net['out_channels']} channels of {net['in_channels']}; what it "
                "predicts cannot be learned here"
            )
        if vae["in_channels"] != 3 or vae.get("out_channels", 3) != 3:
            raise UserError(f"{FLAG}: {self.autoencoder.home} is of images of other than 3 channels")
        if vae.get("latents_mean") is not None or vae.get("latents_std") is not None:
            raise UserError(f"{FLAG}: {self.autoencoder.home} brings latents to a mean (latents_mean), unknown here")
        if not isinstance(net["sample_size"], int):
            raise UserError(
                f"{FLAG}: {self.network.home} says sample_size {net['sample_size']!r}, which is no one side"
            )

    @property
    def factor(self) -> int:
        """Pixels a side of an image that a latent stands for."""
        widths = "encoder_block_out_channels" if self.kind.autoencoder == "AutoencoderDC" else "block_out_channels"
        return int(2 ** (len(self.autoencoder.config[widths]) - 1))

    def side(self, asked: int) -> int:
        """Pixels a side that are drawn: `asked`, or where that is 0 what the network learned.

        Raises
        ------
        UserError
            When it cannot draw images of that side.
        """
        net = self.network.config
        patch = net.get("patch_size")
        multiple = self.factor * int(patch) if patch else math.lcm(self.factor, LEAST)
        side = asked or net["sample_size"] * self.factor
        if side % multiple or side < multiple:
            raise UserError(f"--gen.draw-size {side} was asked for; {self.folder} draws multiples of {multiple}")
        most = net.get("pos_embed_max_size")
        if most and side // multiple > most:
            raise UserError(f"--gen.draw-size {side} was asked for; {self.folder} draws {most * multiple} at most")
        return side

    def noise(self) -> Betas | Flow:
        """The noise that the network learned; see `read_noise`."""
        return read_noise(self.folder, what=FLAG)

    def check(self, targets: Sequence[str], *, n_steps: int) -> None:
        """Refuse whatever `open` would, and adapters that have no place, without memory for the network.

        Parameters
        ----------
        targets : of the adapters (`generators.adapters.require_targets`).
        n_steps : of drawing.
        """
        from generators.adapters import require_targets

        self.noise()
        require_steps(make_scheduler(self.folder, what=FLAG), n_steps)
        require_targets(self.network.outline(), targets, where=f"{FLAG}: {self.network.home}")
        self.network.check()
        self.autoencoder.check()
        self._texts()

    def content(self) -> str:
        """sha256 of the names and bytes of every file that is read."""
        files = [self.folder / INDEX, self.folder / CONFIG]
        for part in (self.network, self.autoencoder):
            files += [part.home / "config.json", *part.weight_files()]
        for text in self._there():
            files += _read_of(self.folder / text.encoder)
            files += sorted(f for f in (self.folder / text.tokenizer).iterdir() if f.is_file())
        names = ((file.relative_to(self.folder).as_posix(), unchanged_sha256(file)) for file in sorted(files))
        return sha256_of(f"{name}\0{digest}\n" for name, digest in names)

    def open(self) -> Any:
        """The pipeline with all of its parts, float32 on the CPU, frozen, in evaluation mode.

        Raises
        ------
        UserError
            When a part cannot be read, or its files do not fill it.
        """
        import diffusers

        from synthworth.devices import isolated_randomness

        kind = self.kind
        with isolated_randomness(0):  # networks draw initial weights
            parts = {kind.part: self.network.load(), "vae": self.autoencoder.load(), **self._texts()}
        for net in (parts[kind.part], parts["vae"]):
            net.requires_grad_(False)
        more = {"force_zeros_for_empty_prompt": self.index.get("force_zeros_for_empty_prompt", True)}
        own = more if kind.pipeline == "StableDiffusionXLPipeline" else {}
        scheduler = make_scheduler(self.folder, what=FLAG)
        return getattr(diffusers, kind.pipeline)(**parts, scheduler=scheduler, **kind.making, **own)

    def _there(self) -> list[Text]:
        return [text for text in self.kind.texts if _named(self.index, text.encoder)]

    def _texts(self) -> dict[str, Any]:
        """Encoders of prompts and their tokenizers by their names; None for one that may be missing and is."""
        parts: dict[str, Any] = {name: None for text in self.kind.texts for name in (text.encoder, text.tokenizer)}
        for text in self._there():
            parts[text.encoder] = load_network(_named(self.index, text.encoder), self.folder / text.encoder, what=FLAG)
            where = self.folder / text.tokenizer
            if not any((where / name).is_file() for name in TOKENIZER_FILES):  # transformers makes one up
                raise UserError(f"{FLAG}: {where} holds no tokenizer: none of {', '.join(TOKENIZER_FILES)}")
            parts[text.tokenizer] = load_tokenizer(
                _named(self.index, text.tokenizer), where, what=FLAG, of=text.encoder
            )  # fmt: skip
        return parts


def _named(index: dict[str, Any], part: str) -> str:
    """The class that model_index.json names for a part; "" for none."""
    entry = index.get(part)
    is_pair = isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[1], str)
    return str(entry[1]) if is_pair and entry is not None else ""


def _require_text(folder: Path, index: dict[str, Any], text: Text) -> None:
    encoder, tokenizer = (_named(index, part) for part in (text.encoder, text.tokenizer))
    if not encoder and not text.needed:
        return
    has_encoder = (folder / text.encoder / "config.json").is_file()
    there = has_encoder and (folder / text.tokenizer).is_dir()
    if not encoder or not tokenizer or not there:
        missing = "no text encoder" if not encoder or not has_encoder else "no tokenizer beside its text encoder"
        raise UserError(
            f"{FLAG}: {folder} has {missing} ({text.encoder} with {text.tokenizer}), and without one no prompt can be "
            "told to it. Give a whole text-to-image pipeline"
        )
    for name, allowed in ((encoder, text.kinds), (tokenizer, text.tokenizers)):
        if name not in allowed:
            raise UserError(f"{FLAG}: {folder / INDEX} names a {bounded(name)}; what is needed is {allowed[0]}")
    if not list((folder / text.encoder).glob("*.safetensors")):
        raise UserError(
            f"{FLAG}: {folder / text.encoder} holds no safetensors; other formats are not read. Save the pipeline with "
            "save_pretrained(FOLDER, safe_serialization=True)"
        )


def _read_of(encoder: Path) -> list[Path]:
    """The files of an encoder that are read."""
    plain = sorted({file for name in PLAIN for file in encoder.glob(name)})
    weights = plain or sorted(encoder.glob("*.safetensors*"))
    return sorted({*weights, *encoder.glob("*.json")})
