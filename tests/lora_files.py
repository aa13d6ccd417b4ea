"""Tiny text-to-image pipelines with random weights, as their folders would lie there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from synthworth.devices import isolated_randomness

SIDE = 16
"""Pixels a side that they draw."""
WORDS = 64
"""Tokens that an encoder of prompts reads."""
UNET = {
    "sample_size": 8, "in_channels": 4, "out_channels": 4, "block_out_channels": (8, 16), "layers_per_block": 1,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 4, "attention_head_dim": 2,
}  # fmt: skip


def _tokenizer(folder: Path) -> Any:
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    folder.mkdir(parents=True)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*letters, *(f"{c}</w>" for c in letters), "<|startoftext|>", "<|endoftext|>", "an</w>"]
    (folder / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\na n</w>\n")
    return CLIPTokenizer.from_pretrained(folder, model_max_length=WORDS)


def _clip(tokenizer: Any, *, width: int, projected: bool) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        hidden_size=width, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, projection_dim=width,
        vocab_size=len(tokenizer), max_position_embeddings=WORDS, bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config)


def _autoencoder(channels: int = 4, **more: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8), latent_channels=channels, norm_num_groups=4, sample_size=SIDE, **more,
    )  # fmt: skip


def _pieces() -> Any:
    """A tokenizer of single letters, as T5's and Gemma's are saved: one tokenizer.json."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = [chr(k) for k in range(33, 127)]
    pieces = [(word, 0.0) for word in ("<pad>", "</s>", "<unk>")] + [(f, -1.0) for f in ("\u2581", *letters)]
    made = Tokenizer(models.Unigram(pieces, unk_id=2))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return made


def write_stable_diffusion(folder: Path, *, scheduler: Any = None) -> Path:
    """Stable Diffusion with a UNet of two levels; its scheduler is a PNDM unless another is given."""
    from diffusers import PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel

    known = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    made = scheduler or PNDMScheduler(skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False, **known)
    tokenizer = _tokenizer(folder / "words")
    with isolated_randomness(0):
        pipe = StableDiffusionPipeline(
            vae=_autoencoder(), text_encoder=_clip(tokenizer, width=12, projected=False), tokenizer=tokenizer,
            unet=UNet2DConditionModel(cross_attention_dim=12, **UNET), scheduler=made, safety_checker=None,
            feature_extractor=None, requires_safety_checker=False,
        )  # fmt: skip
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder


def write_xl(folder: Path) -> Path:
    """Stable Diffusion XL: two encoders of prompts, and a UNet that is told sizes."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel

    tokenizer = _tokenizer(folder / "words")
    with isolated_randomness(0):
        unet = UNet2DConditionModel(
            cross_attention_dim=20, addition_embed_type="text_time", addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=6 * 4 + 12, **UNET,
        )  # fmt: skip
        pipe = StableDiffusionXLPipeline(
            vae=_autoencoder(), text_encoder=_clip(tokenizer, width=8, projected=False),
            text_encoder_2=_clip(tokenizer, width=12, projected=True), tokenizer=tokenizer, tokenizer_2=tokenizer,
            unet=unet, scheduler=EulerDiscreteScheduler(beta_schedule="scaled_linear"), add_watermarker=False,
        )  # fmt: skip
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder


def write_three(folder: Path, *, t5: bool = True) -> Path:
    """Stable Diffusion 3; without T5 too, as it may be saved."""
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline
    from transformers import T5Config, T5EncoderModel, T5TokenizerFast

    pieces = T5TokenizerFast(tokenizer_object=_pieces(), extra_ids=0) if t5 else None
    tokenizer = _tokenizer(folder / "words")
    narrow = {"d_model": 24, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    with isolated_randomness(0):
        third = T5EncoderModel(T5Config(vocab_size=len(pieces), **narrow)) if pieces is not None else None
        transformer = SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8,
            num_attention_heads=2, joint_attention_dim=24, caption_projection_dim=16, pooled_projection_dim=20,
            pos_embed_max_size=8,
        )  # fmt: skip
        pipe = StableDiffusion3Pipeline(
            transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            vae=_autoencoder(shift_factor=0.25, scaling_factor=1.5), tokenizer=tokenizer, tokenizer_2=tokenizer,
            text_encoder=_clip(tokenizer, width=8, projected=True),
            text_encoder_2=_clip(tokenizer, width=12, projected=True), text_encoder_3=third, tokenizer_3=pieces,
        )  # fmt: skip
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder


def write_sana(folder: Path) -> Path:
    """Sana: Gemma reads the prompt, and its autoencoder has no distribution."""
    from diffusers import AutoencoderDC, DPMSolverMultistepScheduler, SanaPipeline, SanaTransformer2DModel
    from transformers import Gemma2Config, Gemma2Model, GemmaTokenizerFast

    tokenizer = GemmaTokenizerFast(
        tokenizer_object=_pieces(), pad_token="<pad>", eos_token="</s>", bos_token="</s>", unk_token="<unk>"
    )
    with isolated_randomness(0):
        text = Gemma2Model(Gemma2Config(
            vocab_size=len(tokenizer), hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, head_dim=4,
        ))  # fmt: skip
        vae = AutoencoderDC(
            latent_channels=4, attention_head_dim=2, encoder_block_types=("ResBlock",) * 6,
            decoder_block_types=("ResBlock",) * 6, encoder_block_out_channels=(4,) * 6,
            decoder_block_out_channels=(4,) * 6, encoder_layers_per_block=(1,) * 6, decoder_layers_per_block=(1,) * 6,
            encoder_qkv_multiscales=((),) * 6, decoder_qkv_multiscales=((),) * 6,
            downsample_block_type="conv", upsample_block_type="interpolate", scaling_factor=0.4,
        )  # fmt: skip
        transformer = SanaTransformer2DModel(
            in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=4, num_layers=1,
            num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=8,
            sample_size=1,
        )  # fmt: skip
        pipe = SanaPipeline(
            tokenizer=tokenizer, text_encoder=text, vae=vae, transformer=transformer,
            scheduler=DPMSolverMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
            ),
        )  # fmt: skip
    pipe.save_pretrained(folder, safe_serialization=True)
    return folder
