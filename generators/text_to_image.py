"""A text-to-image pipeline at work: prompts told, images made latents, noise made images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from generators.pipeline_folder import PipelineFolder
from generators.pipeline_kinds import Told
from synthworth.devices import isolated_randomness
from synthworth.errors import UserError
from synthworth.images import from_signed, resize, to_rgb, to_signed
from synthworth.keys import seed_from
from synthworth.training.networks import place


class TextToImage:
    """An opened pipeline on a device. Its encoders of prompts wait on the CPU until a prompt is new.

    Parameters
    ----------
    found : where it lies.
    side : pixels a side that it draws.

    Attributes
    ----------
    network : what denoises.
    latent_shape : (channels, h, w) of one image.
    """

    def __init__(self, found: PipelineFolder, *, side: int, device: str) -> None:
        self.kind, self.side, self.device = found.kind, side, device
        self.pipe = found.open()
        self.pipe.set_progress_bar_config(disable=True)
        self.network = place(getattr(self.pipe, self.kind.part), device)
        self.autoencoder = place(self.pipe.vae, device)
        self.latent_shape = (int(self.network.config["in_channels"]), *[side // found.factor] * 2)
        self._encoders = {text.encoder: getattr(self.pipe, text.encoder) for text in self.kind.texts}
        self._known: dict[str, Told] = {}
        self.absent: Told = ()
        self._part_with(None)

    def tell(self, prompts: Sequence[str]) -> Told:
        """What prompts become: a row each, on the CPU. Each is computed once and by itself, whatever stands beside it.

        Sets `absent`, what stands for no prompt: the pipeline's own, of the empty one or zeros.

        Raises
        ------
        UserError
            For a prompt that is longer than an encoder reads.
        """
        new = [text for text in dict.fromkeys(prompts) if text not in self._known]
        for text in new:
            self._require_short(text)
        if new:
            self._part_with(self.device)
            with torch.no_grad():
                for text in new:
                    self._known[text] = self._told(text)
            self._part_with(None)
        return tuple(torch.cat(rows) for rows in zip(*(self._known[text] for text in prompts), strict=True))

    def _told(self, prompt: str) -> Told:
        asking: dict[str, Any] = dict(self.kind.asking)
        if self.kind.pipeline == "SanaPipeline":  # the words that it puts before a prompt in drawing
            asking |= {"complex_human_instruction": _default_of(self.pipe, "complex_human_instruction")}
        found = self.pipe.encode_prompt(
            prompt=prompt, device=torch.device(self.device), num_images_per_prompt=1, do_classifier_free_guidance=True,
            **asking,
        )  # fmt: skip
        self.absent = tuple(found[k].cpu().clone() for k in self.kind.absent)
        return tuple(found[k].cpu().clone() for k in self.kind.given)

    def _require_short(self, prompt: str) -> None:
        for text in self.kind.texts:
            tokenizer = getattr(self.pipe, text.tokenizer)
            if tokenizer is None:
                continue
            limit = min(text.n_tokens, int(tokenizer.model_max_length))
            n = len(tokenizer(prompt)["input_ids"])
            if n > limit:
                raise UserError(
                    f"the prompt {prompt!r} is {n} tokens long; {text.encoder} reads {limit}. Shorten --gen.prompt"
                )

    def _part_with(self, device: str | None) -> None:
        """Give the pipeline its encoders of prompts on a device, or take them away: drawing needs none of them."""
        for name, encoder in self._encoders.items():
            setattr(self.pipe, name, None if device is None or encoder is None else encoder.to(device))
            if device is None and encoder is not None:
                encoder.to("cpu")

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and spread of q(z | x), shifted and scaled as the network learned them.

        Films are brought to the pipeline's side and to RGB. An autoencoder without a distribution has spread 0.

        Parameters
        ----------
        images : uint8 (N, 1 or 3, S, S).

        Returns
        -------
        Two of float32 (N, *latent_shape), on the device.
        """
        scale, shift = self._scale_and_shift()
        with torch.no_grad():
            signed = to_signed(to_rgb(resize(images.to(self.device), self.side)))
            found = self.autoencoder.encode(signed)
            if not hasattr(found, "latent_dist"):
                mean, spread = found.latent.float(), torch.zeros_like(found.latent, dtype=torch.float32)
            else:
                mean, spread = found.latent_dist.mean.float(), found.latent_dist.std.float()
            # contiguous, as kept ones are: torch fills random numbers in the order of memory
            return ((mean - shift) * scale).contiguous(), (spread * scale).contiguous()

    def decode(self, latents: Tensor, *, channels: int, size: int) -> Tensor:
        """Images of latents, as `draw` gives them.

        Parameters
        ----------
        latents : float32 (N, *latent_shape).
        """
        scale, shift = self._scale_and_shift()
        with torch.no_grad():
            signed = self.autoencoder.decode(latents / scale + shift, return_dict=False)[0]
        return self._as_images(signed, channels=channels, size=size)

    def _scale_and_shift(self) -> tuple[float, float]:
        config = self.autoencoder.config
        shift = float(config.get("shift_factor") or 0.0) if self.kind.shifts else 0.0
        return float(config["scaling_factor"]), shift

    @staticmethod
    def _as_images(signed: Tensor, *, channels: int, size: int) -> Tensor:
        """RGB in -1..1 as films: grey is the mean of RGB, and they are shrunk as films are; uint8, on the CPU."""
        signed = signed.float()
        grey = signed.mean(1, keepdim=True) if channels == 1 else signed
        return resize(from_signed(grey), size).cpu()

    def predict(self, network: Any, noisy: Tensor, times: Tensor, told: Sequence[Tensor]) -> Tensor:
        """A prediction of the network, as the pipeline asks for it."""
        return self.kind.call(network, noisy, times, tuple(told), self.side)

    def draw(
        self,
        noise: Tensor,
        told: Told,
        *,
        guidance: float,
        n_steps: int,
        channels: int,
        size: int,
        seed: int,
        first: int,
    ) -> Tensor:
        """Images of noise, by the pipeline's own loop and scheduler.

        Guidance is e0 + g (e_y - e0) (Ho & Salimans 2022). What a scheduler draws at random belongs to (seed, row).

        Parameters
        ----------
        noise : float32 (n, *latent_shape).
        told : n rows (`tell`).
        channels, size : of the images: grey is the mean of RGB, and they are shrunk as films are.
        seed, first : of the request, and the number of the first row in it.

        Returns
        -------
        uint8 (n, channels, size, size), on the CPU.
        """
        rows = [torch.Generator().manual_seed(seed_from(seed, "scheduler", first + k)) for k in range(len(noise))]
        given = {name: rows_of.to(self.device) for name, rows_of in zip(self.kind.told, told, strict=True)}
        if guidance != 1.0:
            n = len(noise)
            given |= {
                f"negative_{name}": row.expand(n, *row.shape[1:]).to(self.device)
                for name, row in zip(self.kind.told, self.absent, strict=True)
            }
        with isolated_randomness(seed_from(seed, "pipeline", first)):
            drawn = self.pipe(
                **given, latents=noise.to(self.device), generator=rows, num_inference_steps=n_steps,
                guidance_scale=guidance, height=self.side, width=self.side, output_type="pt", **self.kind.drawing,
            ).images  # fmt: skip
        return self._as_images(drawn.float() * 2 - 1, channels=channels, size=size)


def _default_of(pipe: Any, argument: str) -> Any:
    import inspect

    return inspect.signature(type(pipe).__call__).parameters[argument].default
