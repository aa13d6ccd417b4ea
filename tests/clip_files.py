"""A tiny CLIP on disk, as its folder would lie there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

WIDTH, LENGTH = 12, 16


def write_clip(
    folder: Path, *, width: int = WIDTH, heads: int = 2, tokens: int = 64, words: Sequence[str] = ()
) -> Path:
    """Text, vision and tokenizer with random weights.

    Parameters
    ----------
    width : of a token, and of the embedding of a picture.
    tokens : that a prompt is padded to.
    words : lower-case words that are a token or few, as CLIP's own vocabulary has them; of others each letter is one.
    """
    from tokenizers import pre_tokenizers
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    from synthworth.devices import isolated_randomness

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = list(dict.fromkeys(pair for word in ("an", *words) for pair in merges_of(word)))
    ends = ("<|startoftext|>", "<|endoftext|>")
    known = list(dict.fromkeys([*letters, *(f"{c}</w>" for c in letters), *ends, *map("".join, merges)]))
    (folder / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(known)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, merges), ""]))
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    narrow = {"hidden_size": width, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": heads}
    text = {**narrow, "vocab_size": len(known), "max_position_embeddings": tokens, "projection_dim": width,
            "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}  # fmt: skip
    vision = {**narrow, "image_size": LENGTH, "patch_size": 8, "projection_dim": width}
    with isolated_randomness(0):
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=width))
    model.save_pretrained(folder, safe_serialization=True)
    return folder


def merges_of(word: str) -> list[tuple[str, str]]:
    """The pairs by which letters become a word, from the left."""
    letters = [*word[:-1], f"{word[-1]}</w>"]
    return [("".join(letters[:k]), letters[k]) for k in range(1, len(letters))]
