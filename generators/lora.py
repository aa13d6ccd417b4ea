"""The generator `lora`: a text-to-image pipeline of diffusers, fine-tuned by LoRA on prompts made of the findings."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from data.images import ImageSet
from generators.base import BaseGenerator
from generators.copy_stop import require_judge
from generators.lora_options import LoRAConfig
from generators.noise import draw_chunks
from generators.pipeline_folder import FLAG, WEIGHTS, PipelineFolder, identity_of, place_of
from generators.places import is_fetched
from generators.prompts import prompt_of, require_template
from generators.saving import Shape, read_model, write_model
from synthworth.artifacts import ensure_folder, read_json, write_json
from synthworth.errors import UserError
from synthworth.keys import seed_from
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor

    from generators.adapters import Adapters
    from generators.learned_noise import Betas, Flow
    from generators.text_to_image import TextToImage
    from generators.training import Part, Trainer

logger = logging.getLogger(__name__)
LATENTS, BASE = "latents.safetensors", "base.json"
KEPT_BYTES = 8 << 30
"""Latents that take more are not kept: they are computed anew in each step."""
ENCODED_AT_A_TIME = 8
SEEN = f"the base ({FLAG}) may have learned from the test films (--gen.saw-test yes): a gain may be memory"
UNKNOWN = f"whether the base ({FLAG}) learned from the test films is not known; say so with --gen.saw-test no or yes"


class LoRA(BaseGenerator):
    """Adapters of low rank on a frozen text-to-image pipeline: W' = W + (alpha / r) B A (Hu 2021, section 4.1).

    Films are brought to the pipeline's side and encoded once. Noise e is mixed into latents z as the pipeline's
    scheduler says. The network f, told a prompt y of the findings, learns

        E || e - f(sqrt(a_t) z + sqrt(1 - a_t) e, t, y) ||^2   (Ho 2020, eq. 14), or v = sqrt(a_t) e - sqrt(1 - a_t) z
        E || (e - z) - f((1 - s) z + s e, s, y) ||^2           (flow matching: Lipman 2023, Esser 2024)

    in A and B alone. Images are drawn by the pipeline's own loop and scheduler, from noise that depends on (seed, row),
    decoded, and shrunk to the dataset's size.

    A fitted model holds the adapters and refers to the base, which must be at hand wherever it draws.
    """

    Config: ClassVar[type] = LoRAConfig
    version: ClassVar[int] = 1
    required: ClassVar[tuple[str, ...]] = ("base",)
    config: LoRAConfig
    shape: Shape
    device: str
    classes: tuple[str, ...]

    @classmethod
    def tiny_config(cls) -> LoRAConfig:
        """The smallest that does everything, for the contract test; the base is still to be named."""
        return LoRAConfig(rank=2, alpha=2.0, batch=4, accumulate=1, lr=1e-2, guidance=2.0, sampling_steps=3)

    def check_files(self, *, fetch: bool, channels: int | None, size: int | None) -> None:
        """Refuse a base that was not named or cannot be used; see `BaseGenerator`."""
        self._require_base()
        self.check_drawing()
        if fetch or not is_fetched(place_of(self.config.base)):
            found = self._find()
            found.side(self.config.draw_size)
            found.check(self.config.targets, n_steps=self.config.sampling_steps)

    def _require_base(self) -> None:
        """Refuse a base that was not named, is another than the key says, or cannot be used without peft."""
        from generators.adapters import require_peft

        c = self.config
        if not c.base:
            if c.base_id:
                raise UserError(f"the base {c.base_id} is asked for; say with {FLAG} where it is")
            raise UserError(
                f"lora needs {FLAG} FOLDER or a hub id: a text-to-image pipeline of diffusers (Stable Diffusion, XL, 3 "
                "or Sana) as safetensors"
            )
        require_template(c.prompt)
        require_peft()
        found = identity_of(c.base, c.base_revision)
        if found != c.base_id:
            raise UserError(
                f"{FLAG} {c.base} is {found}, and {c.base_id} was asked for: it has changed, or the id beside it is "
                "another's. Leave the id out to take what is there"
            )

    def check_drawing(self) -> None:
        """Refuse what could not be drawn from, before anything is trained or a fit is made from another."""
        c = self.config
        if c.guidance != 1.0 and c.drop <= 0:
            raise UserError(f"guidance {c.guidance} needs a prediction without prompt: set drop above 0 (0.1, say)")

    def _find(self) -> PipelineFolder:
        return PipelineFolder.find(self.config.base, revision=self.config.base_revision)

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Train the adapters for the budget's steps.

        Raises
        ------
        UserError
            For another split than train, a class without an image, options that contradict each other, a base that is
            not at hand or cannot be used; before any training.
        """
        from generators.training import Trainer
        from synthworth.training.reports import report_phases

        self.require(train)
        self._require_base()
        self.check_drawing()
        c = self.config
        require_judge(c, work)
        found = self._find()
        noise = found.noise()
        if c.saw_test != "no":
            logger.warning("%s", UNKNOWN if c.saw_test == "unknown" else SEEN)
        trainer = Trainer(work, seed=seed_from(seed, "adapters"), batch=c.batch, accumulate=c.accumulate)
        self.shape, self.classes, self.device = Shape.of(train), tuple(train.classes), str(trainer.device)
        self._content = found.content()
        adapters = self._put_in(found, seed=seed_from(seed, "initial weights"))
        if c.checkpointing:
            self.base.network.enable_gradient_checkpointing()
        learn = self._loss(train, trainer, noise)
        n_steps = work.budget.steps
        learner = trainer.learner(
            "adapters", adapters, lr=c.lr, n_steps=n_steps, warmup=c.warmup, clip=c.clip, ema=c.ema or None
        )

        def exported() -> Adapters:
            return learner.exported()  # type: ignore[return-value]

        snapshots = trainer.snapshots(
            train.labels, draw=lambda labels, picture: self._draw(exported(), labels, seed=picture),
            weights=lambda: exported().weights(),
        )  # fmt: skip
        stop = trainer.copy_stop(
            c, train.labels, n_steps=n_steps, draw=lambda labels, noise: self._draw(exported(), labels, seed=noise),
            exported=learner.exported,
        )  # fmt: skip
        report = trainer.run(
            "adapters", lambda parts: learner.update(parts, partial(learn, learner)), n_images=len(train),
            n_steps=n_steps, seconds=work.budget.seconds, after=snapshots, stop=stop,
        )  # fmt: skip
        self.adapters = exported()
        n_prompts = len(set(self._prompts(train.labels)))
        facts = {**self._facts(found, noise.name), "prompts": n_prompts, **stop.facts()}
        return report_phases([report], [c.batch], facts=facts)

    def _put_in(self, found: PipelineFolder, *, seed: int) -> Adapters:
        """Open the base, and put fresh adapters into its network."""
        from generators.adapters import Adapters, require_targets
        from generators.text_to_image import TextToImage

        c = self.config
        self.base: TextToImage = TextToImage(found, side=found.side(c.draw_size), device=self.device)
        network = self.base.network
        require_targets(network, c.targets, where=f"{FLAG}: {found.network.home}")
        adapters = Adapters.put_in(
            network, self.base.predict, rank=c.rank, alpha=c.alpha, targets=c.targets, seed=seed
        )  # fmt: skip
        return adapters.to(self.device)

    def _loss(
        self, train: ImageSet, trainer: Trainer, noise: Betas | Flow
    ) -> Callable[[Callable[..., Tensor], Part], dict[str, Tensor]]:
        """The squared error of a prediction, of what predicts and a part of the batch."""
        import torch

        prompts, base = self._prompts(train.labels), self.base
        distinct = sorted(set(prompts))
        at = {text: k for k, text in enumerate(distinct)}
        bank = trainer.near(*base.tell(distinct))
        which = trainer.near(torch.tensor([at[text] for text in prompts], dtype=torch.int64))
        absent = [row.to(trainer.device) for row in base.absent]
        clean = self._cleaner(train, trainer)

        def loss(net: Callable[..., Tensor], part: Part) -> dict[str, Tensor]:
            noisy, times, target, dropped = noise(clean(part), drop=self.config.drop)
            (rows,) = which(part.rows)
            told = [
                torch.where(dropped.reshape(-1, *[1] * (given.ndim - 1)), none, given)
                for given, none in zip(bank(rows), absent, strict=True)
            ]
            return {"loss": torch.nn.functional.mse_loss(net(noisy, times, told).float(), target)}

        return loss

    def _prompts(self, labels: Tensor) -> list[str]:
        c = self.config
        return [
            prompt_of(label, self.classes, prompt=c.prompt, prompt_none=c.prompt_none) for label in labels.cpu().numpy()
        ]

    def _cleaner(self, train: ImageSet, trainer: Trainer) -> Callable[[Part], Tensor]:
        """Latents drawn from q(z | x) for a part; mean and spread of all films are kept if they are not too large."""
        import torch

        from synthworth.progress import track
        from synthworth.sealed import keep_tensors

        base = self.base

        def encode(images: Tensor) -> tuple[Tensor, Tensor]:
            parts = [base.encode(images[k : k + ENCODED_AT_A_TIME]) for k in range(0, len(images), ENCODED_AT_A_TIME)]
            mean, spread = (torch.cat(rows) for rows in zip(*parts, strict=True))
            return mean, spread

        def encode_all() -> dict[str, Tensor]:
            starts = range(0, len(train), ENCODED_AT_A_TIME)
            parts = [
                tuple(part.cpu() for part in base.encode(train.images[k : k + ENCODED_AT_A_TIME]))
                for k in track(starts, "latents", unit="batches")
            ]
            return dict(zip(("mean", "spread"), map(torch.cat, zip(*parts, strict=True)), strict=True))

        file = ensure_folder(trainer.work.folder) / LATENTS
        n_bytes = 2 * 4 * len(train) * torch.Size(base.latent_shape).numel()
        if n_bytes > KEPT_BYTES:
            source = trainer.near(train.images)
            found: Callable[[Tensor], Sequence[Tensor]] = lambda rows: encode(source(rows)[0])  # noqa: E731
        else:
            if trainer.fabric.global_rank == 0:
                keep_tensors(file, encode_all)
            trainer.fabric.barrier()
            kept = keep_tensors(file, encode_all)
            found = trainer.near(kept["mean"], kept["spread"])

        def clean(part: Part) -> Tensor:
            mean, spread = found(part.rows)
            drawn: Tensor = mean + spread * torch.randn_like(mean)
            return drawn

        return clean

    def _facts(self, found: PipelineFolder, noise: str) -> dict[str, Any]:
        """What is worth a line in the record."""
        from synthworth.training.networks import count_parameters

        n_own = count_parameters(self.adapters)
        return {
            "base": self.config.base_id, "base_content": self._content, "base_saw_test": self.config.saw_test,
            "pipeline": found.kind.pipeline, "base_parameters": count_parameters(self.base.network) - n_own,
            "adapter_parameters": n_own, "learned": noise, "drawn_at": self.base.side,
        }  # fmt: skip

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """Draw one image a label, by the base with the adapters.

        float32 but for what `sampling_precision` makes bfloat16, so that a row does not depend on how many are drawn
        at a time by more than the last bit of rounding.

        Returns
        -------
        uint8 (N, C, H, W), row i shows `labels[i]`.
        """
        if not hasattr(self, "base"):
            self._open()
        return self._draw(self.adapters, labels, seed=seed)

    def _draw(self, adapters: Adapters, labels: Tensor, *, seed: int) -> Tensor:
        from synthworth.devices import autocast, fused_attention

        c, shape, prompts = self.config, self.shape, self._prompts(labels)
        images = shape.blank(len(labels))
        with adapters.worn(), fused_attention(self.device):
            for rows, noise in draw_chunks(len(labels), self.base.latent_shape, seed=seed, chunk=c.sample_batch):
                told = self.base.tell(prompts[rows])
                with autocast(self.device, c.sampling_precision):
                    images[rows] = self.base.draw(
                        noise, told, guidance=c.guidance, n_steps=c.sampling_steps, channels=shape.channels,
                        size=shape.size, seed=seed, first=rows.start,
                    )  # fmt: skip
        return images

    def reconstruct(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images through the pipeline's autoencoder, at its side: decoded means of their latents.

        Parameters
        ----------
        images : uint8 (N, C, S, S).

        Returns
        -------
        The same shape and dtype.
        """
        import torch

        if not hasattr(self, "base"):
            self._open()
        known = {"channels": self.shape.channels, "size": self.shape.size}
        parts = [self.base.decode(self.base.encode(part)[0], **known) for part in images.split(ENCODED_AT_A_TIME)]
        return torch.cat(parts) if parts else images

    def save(self, folder: Path) -> None:
        """Write the adapters, and which base they are of; the base itself is not copied."""
        weights = self.adapters.weights() if hasattr(self, "adapters") else self._weights
        place = Path(place_of(self.config.base)).expanduser()
        base = str(place.resolve()) if place.exists() else self.config.base
        config = replace(self.config, base=base)
        write_model(folder, config=config, shape=self.shape, weights={self._part: weights})
        write_json(folder / BASE, {"content": self._content, "part": self._part, "classes": list(self.classes)})

    @property
    def _part(self) -> str:
        return self.base.kind.part if hasattr(self, "base") else self._saved_part

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote.

        Raises
        ------
        UserError
            When the base is not at hand, or has changed.
        """
        config, shape, weights = read_model(folder, LoRAConfig)
        facts = read_json(folder / BASE)
        model = cls(config)
        model.shape, model.device, model.classes = shape, device, tuple(facts["classes"])
        model._content, model._saved_part, model._weights = facts["content"], facts["part"], weights[facts["part"]]
        model._require_content()
        return model

    def _require_content(self) -> PipelineFolder:
        try:
            found = self._find()
        except UserError as error:
            raise UserError(
                f"this model is adapters alone, and their base is not at hand: {error}. Put it there, or in a "
                f"folder of that name below {WEIGHTS}"
            ) from error
        if found.content() != self._content:
            raise UserError(
                f"this model is adapters alone, of the base {self._content[:12]}, and {FLAG} {self.config.base} has "
                "changed since. Put it back, or fit again"
            )
        return found

    def _open(self) -> None:
        """Open the base of a model that was read."""
        adapters = self._put_in(self._require_content(), seed=0)
        adapters.take(self._weights)
        self.adapters = adapters
