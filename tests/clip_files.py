"""A tiny CLIP on disk, as its folder would lie there."""

from __future__ import annotations

import json
from pathlib import Path

WIDTH, LENGTH = 12, 16


def write_clip(folder: Path) -> Path:
    """Text, vision and tokenizer with random weights."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    from synthworth.devices import isolated_randomness

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>", "an</w>"]
    (folder / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\na n</w>\n")
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    narrow = {"hidden_size": WIDTH, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**narrow, "vocab_size": len(words), "max_position_embeddings": 64, "projection_dim": WIDTH,
            "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}  # fmt: skip
    vision = {**narrow, "image_size": LENGTH, "patch_size": 8, "projection_dim": WIDTH}
    with isolated_randomness(0):
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))
    model.save_pretrained(folder, safe_serialization=True)
    return folder
