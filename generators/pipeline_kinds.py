"""Which text-to-image pipelines of diffusers are known, and how each is told a prompt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Told = tuple["Tensor", ...]
"""What a prompt becomes, one row a film: what `Kind.told` names, in that order."""


@dataclass(frozen=True)
class Text:
    """An encoder of prompts with its tokenizer, in a pipeline's folder.

    Parameters
    ----------
    encoder, tokenizer : folders below it.
    kinds : classes of transformers that the encoder may be of.
    tokenizers : the same of the tokenizer.
    n_tokens : the longest prompt that it reads, with its marks.
    needed : whether there is no pipeline without it.
    """

    encoder: str
    tokenizer: str
    kinds: tuple[str, ...]
    tokenizers: tuple[str, ...] = ("CLIPTokenizer", "CLIPTokenizerFast")
    n_tokens: int = 77
    needed: bool = True


@dataclass(frozen=True)
class Kind:
    """A pipeline of diffusers, by what differs between one and the next.

    Parameters
    ----------
    pipeline : its class, which its model_index.json names.
    part, network : folder and class of the network that denoises.
    autoencoder : class of what makes latents of images.
    texts : its encoders of prompts.
    call : a prediction: of the network, noisy latents (n, C, h, w), times (n,), `Told`, and the images' side.
    told : arguments of the pipeline that stand for a prompt; with `negative_` before them for none.
    given, absent : where these are in what its `encode_prompt` returns.
    asking : further arguments of `encode_prompt`.
    making, drawing : further arguments of the pipeline's class, and of a call of it.
    shifts : whether the latents are shifted before they are scaled.
    """

    pipeline: str
    part: str
    network: str
    autoencoder: str
    texts: tuple[Text, ...]
    call: Callable[[Any, Tensor, Tensor, Told, int], Tensor]
    told: tuple[str, ...]
    given: tuple[int, ...]
    absent: tuple[int, ...]
    asking: Mapping[str, Any] = field(default_factory=dict)
    making: Mapping[str, Any] = field(default_factory=dict)
    drawing: Mapping[str, Any] = field(default_factory=dict)
    shifts: bool = False


def _stable_diffusion(net: Any, noisy: Tensor, times: Tensor, told: Told, side: int) -> Tensor:
    out: Tensor = net(noisy, times, encoder_hidden_states=told[0], return_dict=False)[0]
    return out


def _xl(net: Any, noisy: Tensor, times: Tensor, told: Told, side: int) -> Tensor:
    """As the pipeline calls it in drawing: an image of its own size, cut nowhere (Podell 2023, section 2.2)."""
    sizes = noisy.new_tensor([side, side, 0, 0, side, side]).expand(len(noisy), -1)
    more = {"text_embeds": told[1], "time_ids": sizes}
    out: Tensor = net(noisy, times, encoder_hidden_states=told[0], added_cond_kwargs=more, return_dict=False)[0]
    return out


def _three(net: Any, noisy: Tensor, times: Tensor, told: Told, side: int) -> Tensor:
    tokens, pooled = told
    out: Tensor = net(
        hidden_states=noisy, timestep=times, encoder_hidden_states=tokens, pooled_projections=pooled, return_dict=False
    )[0]
    return out


def _sana(net: Any, noisy: Tensor, times: Tensor, told: Told, side: int) -> Tensor:
    tokens, mask = told
    scaled = times * net.config["timestep_scale"]
    out: Tensor = net(
        noisy, encoder_hidden_states=tokens, encoder_attention_mask=mask, timestep=scaled, return_dict=False
    )[0]
    return out


ONE = Text("text_encoder", "tokenizer", ("CLIPTextModel",))
PROJECTED = ("CLIPTextModelWithProjection",)
TWO = Text("text_encoder_2", "tokenizer_2", PROJECTED)
T5 = Text(
    "text_encoder_3", "tokenizer_3", ("T5EncoderModel",), ("T5TokenizerFast", "T5Tokenizer"), n_tokens=256, needed=False
)
GEMMA = Text(
    "text_encoder", "tokenizer", ("Gemma2Model",), ("GemmaTokenizerFast", "GemmaTokenizer"), n_tokens=300
)  # fmt: skip
KINDS: Mapping[str, Kind] = {
    kind.pipeline: kind
    for kind in (
        Kind(
            "StableDiffusionPipeline", "unet", "UNet2DConditionModel", "AutoencoderKL", (ONE,), _stable_diffusion,
            ("prompt_embeds",), (0,), (1,),
            making={"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
        ),
        Kind(
            "StableDiffusionXLPipeline", "unet", "UNet2DConditionModel", "AutoencoderKL",
            (ONE, TWO), _xl,
            ("prompt_embeds", "pooled_prompt_embeds"), (0, 2), (1, 3), making={"add_watermarker": False},
        ),
        Kind(
            "StableDiffusion3Pipeline", "transformer", "SD3Transformer2DModel", "AutoencoderKL",
            (Text("text_encoder", "tokenizer", PROJECTED), TWO, T5), _three,
            ("prompt_embeds", "pooled_prompt_embeds"), (0, 2), (1, 3), asking={"prompt_2": None, "prompt_3": None},
            shifts=True,
        ),
        Kind(
            "SanaPipeline", "transformer", "SanaTransformer2DModel", "AutoencoderDC", (GEMMA,), _sana,
            ("prompt_embeds", "prompt_attention_mask"), (0, 1), (2, 3),
            drawing={"use_resolution_binning": False, "negative_prompt": None},
        ),
    )
}  # fmt: skip
"""By class. Nothing else of diffusers is loaded: no safety checker, which may blacken images, and no watermark."""
