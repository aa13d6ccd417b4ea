"""CLIP (Radford 2021) from `transformers`: tokens of prompts, embeddings of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generators.diffusers_folder import read_settings
from generators.places import locate
from generators.transformers_folder import load_network, load_tokenizer
from synthworth.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Of the pictures that CLIP learned from."""
FILES = ("*.json", "*.safetensors", "*.txt")
FLAG = "--gen.condition.clip"
TOKENIZER = (("tokenizer.json",), ("vocab.json", "merges.txt"))
"""Files that a tokenizer can be read from: these, or those."""
MODEL_TYPES = ("clip", "clip_text_model", "clip_vision_model")
BATCH = 64


def embed_texts(texts: Sequence[str], name: str, *, device: Any) -> Tensor:
    """Last hidden states of CLIP's text encoder, padded to its full length.

    Parameters
    ----------
    name : folder or hub id.

    Returns
    -------
    float32 (N, tokens, width), on the CPU.

    Raises
    ------
    UserError
        When transformers or the weights are not at hand, or a prompt is longer than the encoder reads.
    """
    import torch

    model, folder = _load("CLIPTextModel", name, device)
    tokenizer = _load_tokenizer(folder)
    limit = model.config.max_position_embeddings
    lengths = [len(tokenizer(text)["input_ids"]) for text in texts]
    if max(lengths) > limit:
        longest = texts[lengths.index(max(lengths))]
        raise UserError(
            f"the prompt {longest!r} is {max(lengths)} tokens long; CLIP reads {limit}. Shorten the template"
        )
    found = []
    with torch.inference_mode():
        for start in range(0, len(texts), BATCH):
            part = list(texts[start : start + BATCH])
            read = tokenizer(part, padding="max_length", max_length=limit, return_tensors="pt")
            found.append(model(read["input_ids"].to(device)).last_hidden_state.float().cpu())
    return torch.cat(found)


def check_clip(name: str, *, pictures: bool) -> None:
    """Refuse a CLIP that could not be used: its weights and, unless it is for `pictures`, its tokenizer.

    Raises
    ------
    UserError
        When transformers or the weights are not at hand, or anything of them is missing or damaged.
    """
    _, folder = _load("CLIPVisionModelWithProjection" if pictures else "CLIPTextModel", name, "cpu")
    if not pictures:
        _load_tokenizer(folder)


def embed_pictures(images: Tensor, name: str, *, device: Any) -> Tensor:
    """CLIP's image embeddings.

    Parameters
    ----------
    images : uint8 (N, 1 or 3, H, W).

    Returns
    -------
    float32 (N, width), on the CPU.

    Raises
    ------
    UserError
        When transformers or the weights are not at hand.
    """
    import torch
    from torch.nn import functional as F

    from synthworth.images import to_rgb, to_unit
    from synthworth.progress import track

    model, _ = _load("CLIPVisionModelWithProjection", name, device)
    side = model.config.image_size
    mean, std = (torch.tensor(v, device=device)[:, None, None] for v in (MEAN, STD))
    found = []
    with torch.inference_mode():
        for start in track(range(0, len(images), BATCH), "CLIP embeddings", unit="batches"):
            part = to_unit(to_rgb(images[start : start + BATCH].to(device)))
            if part.shape[-1] != side:
                part = F.interpolate(part, (side, side), mode="bicubic", antialias=True).clamp_(0.0, 1.0)
            found.append(model(pixel_values=(part - mean) / std).image_embeds.float().cpu())
    return torch.cat(found)


def _load(kind: str, name: str, device: Any) -> tuple[Any, Path]:
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise UserError("CLIP conditions need transformers: pip install 'synthworth[clip]'") from error
    folder = locate(name, patterns=FILES, what=FLAG)
    if not list(folder.glob("*.safetensors")):
        raise UserError(f"{FLAG}: {folder} holds no CLIP as safetensors; other formats are not read")
    if not (folder / "config.json").is_file():
        raise UserError(f"{FLAG}: {folder} holds no CLIP: there is no config.json in it")
    is_of = read_settings(folder / "config.json", what=FLAG).get("model_type")
    if is_of not in MODEL_TYPES:
        raise UserError(f"{FLAG}: {folder} holds a {is_of}; what is needed is {' or '.join(MODEL_TYPES)}")
    return load_network(kind, folder, what=FLAG).to(device), folder


def _load_tokenizer(folder: Path) -> Any:
    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZER):
        wanted = " or ".join(" and ".join(names) for names in TOKENIZER)
        raise UserError(
            f"{FLAG}: {folder} holds no tokenizer of CLIP: there is no {wanted}"
        )  # transformers makes one up
    return load_tokenizer("CLIPTokenizer", folder, what=FLAG, of="CLIP")
