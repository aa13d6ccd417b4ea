"""CLIP (Radford 2021) from `transformers`: tokens of prompts, embeddings of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generators.diffusers_folder import read_settings
from generators.places import locate
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
    from synthworth.training.weights import missing_of

    try:
        import transformers
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
    try:
        model, said = getattr(transformers, kind).from_pretrained(
            folder, use_safetensors=True, output_loading_info=True, variant=_variant(folder)
        )
    except Exception as error:  # of which type, depends on the version of transformers and on what is damaged
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{FLAG}: {folder} cannot be read as {kind}: {reason}. Fetch its files again") from error
    lacking = sorted(map(str, said["missing_keys"]))
    if lacking:  # transformers leaves them random
        n_all = len(model.state_dict())
        raise UserError(f"{FLAG}: {folder} does not fill {kind}: {missing_of(lacking, n_all)}. Give all of its weights")
    return model.eval().requires_grad_(False).float().to(device), folder


def _variant(folder: Path) -> str | None:
    """`fp16`, say, where weights lie as `model.fp16.safetensors` alone; None where there are plain ones."""
    names = sorted(file.name for file in folder.glob("model*.safetensors*"))
    plain = any(name in ("model.safetensors", "model.safetensors.index.json") for name in names)
    found = [name.split(".")[1] for name in names if name.count(".") == 2 and "-of-" not in name]
    return None if plain or not found else found[0]


def _load_tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    if not any(all((folder / name).is_file() for name in names) for names in TOKENIZER):
        wanted = " or ".join(" and ".join(names) for names in TOKENIZER)
        raise UserError(
            f"{FLAG}: {folder} holds no tokenizer of CLIP: there is no {wanted}"
        )  # transformers makes one up
    try:
        return CLIPTokenizer.from_pretrained(folder)
    except Exception as error:  # as above
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"{FLAG}: {folder} holds no tokenizer of CLIP: {reason}") from error
