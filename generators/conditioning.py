"""What a diffusion model is told of an image: its labels, a prompt, the embedding of a picture, or one from a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from data.images import ImageSet, require_train
from generators.matching import require_alike, rows_showing
from generators.places import identify, is_fetched, require_identity
from generators.prompts import PROMPT, PROMPT_NONE, prompt_of, require_template
from synthworth.artifacts import read_json, read_tensors, write_json, write_tensors
from synthworth.errors import UserError
from synthworth.keys import NOT_IDENTITY, digest, seed_from
from synthworth.sealed import keep_tensors
from synthworth.search_space import applies
from synthworth.training.options import require_ranges

if TYPE_CHECKING:
    from torch import Tensor

    from generators.nets.labels import ConditionSpec
    from synthworth.training.near import Resident

Kind = Literal["label", "multilabel", "clip_text", "clip_vision", "embedding"]
FACTS, BANK = "condition.json", "condition.safetensors"


@dataclass(frozen=True)
class ConditionConfig:
    """What the denoiser is told."""

    kind: Kind = "label"
    """`label`: class or findings through the embedding of the step. The others through cross-attention: `multilabel`,
    one learned token a finding; `clip_text`, CLIP's tokens of a prompt made of the findings; `clip_vision`, CLIP's
    embedding of a reference film from train; `embedding`, vectors from a file, by image id."""
    prompt: str = field(default=PROMPT, metadata=applies(kind=("clip_text",)))
    """Prompt of `clip_text`; {findings} becomes the names of the findings, as in "effusion and mass"."""
    prompt_none: str = field(default=PROMPT_NONE, metadata=applies(kind=("clip_text",)))
    """Prompt of `clip_text` for a film without a finding."""
    clip: str = field(
        default="openai/clip-vit-large-patch14", metadata=NOT_IDENTITY | applies(kind=("clip_text", "clip_vision"))
    )
    """CLIP of `clip_text` and `clip_vision`: a folder or a hub id, as safetensors."""
    embeddings: Path | None = field(default=None, metadata=NOT_IDENTITY | applies(kind=("embedding",)))
    """File of `embedding`: .npz with one array an id, or with `ids` and `embeddings`; or .parquet with columns `id` and
    `embedding`. It must hold every training image."""
    source_id: str = ""
    """sha256 of CLIP's files or of the embeddings, or "hub:" and CLIP's id; filled in, in the key in their place."""
    embedding_shape: tuple[int, int] = field(default=(32, 768), metadata=applies(kind=("embedding",)))
    """Tokens and width of an embedding in the file (ELIXR-B: 32 x 768); a flat one of that length is folded."""
    token_width: int = field(default=128, metadata=applies(kind=("multilabel",)))
    """Length of a learned token of `multilabel`."""

    def __post_init__(self) -> None:
        in_range = {
            "token_width": (self.token_width >= 1, "1 or more"),
            "embedding_shape": (min(self.embedding_shape) >= 1, "1 or more in both numbers"),
        }
        require_ranges(self, in_range, prefix="--gen.condition.")
        where = self.source
        if where is not None and not self.source_id:
            object.__setattr__(self, "source_id", identify(where, what=self.flag))

    @property
    def source(self) -> str | Path | None:
        """Where the weights or embeddings lie that this kind needs."""
        return {"clip_text": self.clip, "clip_vision": self.clip, "embedding": self.embeddings}.get(self.kind)

    @property
    def flag(self) -> str:
        """The flag that says so."""
        return "--gen.condition.embeddings" if self.kind == "embedding" else "--gen.condition.clip"


class Conditioner:
    """Labels as they are, for the kinds `label` and `multilabel`: the network embeds them itself.

    Training: `of_training(rows)`. Sampling: `plan(labels, seed=)` for a whole request, then `look_up(plan[rows])` for
    as many of its rows as are computed at a time. `spec` is what the network must know, once `fit` or `load` has run.
    """

    def __init__(self, config: ConditionConfig, *, n_classes: int, multilabel: bool) -> None:
        from generators.nets.labels import ConditionSpec

        n_tokens, width = (n_classes, config.token_width) if config.kind == "multilabel" else (0, 0)
        self.config = config
        self.spec: ConditionSpec = ConditionSpec(config.kind, n_classes, multilabel, n_tokens, width)
        self.absent: Tensor | None = None
        """What stands for "nothing given", float32 (T, W), where it is not learned: the tokens of the empty prompt."""
        self.source: Resident | None = None

    def fit(self, train: ImageSet, *, device: Any, folder: Path) -> None:
        """Compute the condition of every training image; `folder` keeps what took long for a second call.

        Raises
        ------
        UserError
            For another split than train, and for whatever is not at hand; one line, before any training.
        """
        from synthworth.training.near import Resident

        require_train(train, what="a conditioner")
        self.device = device
        self.source = Resident(train.labels, device=device)

    def of_training(self, rows: Tensor) -> Tensor:
        """Conditions of training images, on the device.

        Parameters
        ----------
        rows : int64 (n,).

        Returns
        -------
        (n, ...), on the device.
        """
        assert self.source is not None, "fit comes first"
        (conditions,) = self.source(rows)
        return conditions

    def plan(self, labels: Tensor, *, seed: int) -> Tensor:
        """What each row of a request is told, in short form.

        Row i depends on the seed, i and `labels[i]` alone.

        Returns
        -------
        (N, ...), on the CPU.
        """
        return labels.cpu()

    def look_up(self, plan: Tensor) -> Tensor:
        """Conditions of rows of a plan, on the device."""
        return plan.to(self.device)

    def facts(self) -> dict[str, Any]:
        """What is worth a line in the record."""
        source = {"condition_source": self.config.source_id} if self.config.source_id else {}
        return {"condition": self.config.kind, **source}

    def save(self, folder: Path) -> None:
        """Write what sampling needs: here, nothing but the shape of the condition."""
        write_json(folder / FACTS, asdict(self.spec))

    def restore(self, folder: Path, *, device: Any) -> None:
        """Read what `save` wrote; neither CLIP nor the file of embeddings need be at hand any more."""
        from generators.nets.labels import ConditionSpec

        self.device = device
        self.spec = ConditionSpec(**read_json(folder / FACTS))


class Bank(Conditioner):
    """Token conditions: a bank of embeddings (B, T, W), kept as float16, and which of them each training image has.

    A request is answered from train alone: a row with a label vector is told what a training image with exactly that
    vector is told, and where there is none, one of those nearest to it in Hamming distance. Which of them depends on
    (seed, row).
    """

    is_slow: ClassVar[bool] = True
    """Whether embedding takes long, so that it is kept beside the checkpoints."""
    bank: Tensor
    rows: np.ndarray
    labels: np.ndarray

    def fit(self, train: ImageSet, *, device: Any, folder: Path) -> None:
        """Embed the training images, or read them from `folder`, where a call with the same settings left them."""
        require_train(train, what="a conditioner")
        assert self.config.source is not None  # make_conditioner refuses
        require_identity(self.config.source, self.config.source_id, what=self.config.flag)
        kept = folder / f"condition-{digest([self.config, list(train.classes)])[:16]}.safetensors"
        if self.is_slow:
            found = keep_tensors(kept, lambda: self.embed(train, device=device))
        else:
            found = self.embed(train, device=device)
        self._take({**found, "labels": train.labels}, device)
        self._keep_near()

    def embed(self, train: ImageSet, *, device: Any) -> dict[str, Tensor]:
        """Compute the bank.

        Returns
        -------
        bank : float16 (B, T, W).
        rows : int64 (N,) into it.
        absent : float32 (T, W) where it is not learned.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how images are embedded")

    def _take(self, found: dict[str, Tensor], device: Any) -> None:
        from generators.nets.labels import ConditionSpec

        self.device, self.bank, self.absent = device, found["bank"], found.get("absent")
        self.rows, self.labels = found["rows"].numpy(), found["labels"].numpy()
        n_tokens, width = self.bank.shape[1:]
        self.spec = ConditionSpec(self.config.kind, self.spec.n_classes, self.spec.multilabel, n_tokens, width)

    def _keep_near(self) -> None:
        import torch

        from synthworth.training.near import Resident

        self.source = Resident(self.bank, device=self.device)
        self.in_bank = Resident(torch.from_numpy(self.rows), device=self.device)

    def of_training(self, rows: Tensor) -> Tensor:
        """Conditions of training images, float16 (n, T, W), on the device."""
        (found,) = self.in_bank(rows)
        return self.look_up(found)

    def plan(self, labels: Tensor, *, seed: int) -> Tensor:
        """Rows of the bank: int64 (N,)."""
        import torch

        asked = labels.cpu().numpy()
        require_alike(asked, self.labels)
        pools: dict[bytes, np.ndarray] = {}
        chosen = np.empty(len(asked), dtype=np.int64)
        for row, label in enumerate(asked):
            key = label.tobytes()
            if key not in pools:
                pools[key] = rows_showing(self.labels, label, whose="the training set")
            pool = pools[key]
            chosen[row] = pool[seed_from(seed, "condition", row) % len(pool)]
        return torch.from_numpy(self.rows[chosen])

    def look_up(self, plan: Tensor) -> Tensor:
        """Tokens of rows of the bank: float16 (n, T, W) on the device."""
        if self.source is None:
            self._keep_near()
        assert self.source is not None
        (tokens,) = self.source(plan)
        return tokens

    def facts(self) -> dict[str, Any]:
        """Kind, shape of the tokens, and how many embeddings there are."""
        return {**super().facts(), "condition_shape": list(self.bank.shape[1:]), "condition_bank": len(self.bank)}

    def save(self, folder: Path) -> None:
        """Write the bank, which image has which of it, and the labels of the images."""
        import torch

        super().save(folder)
        kept = {"bank": self.bank, "rows": torch.from_numpy(self.rows), "labels": torch.from_numpy(self.labels)}
        write_tensors(folder / BANK, kept if self.absent is None else {**kept, "absent": self.absent})

    def restore(self, folder: Path, *, device: Any) -> None:
        """Read the bank; neither CLIP nor the file of embeddings need be at hand any more."""
        super().restore(folder, device=device)
        self._take(read_tensors(folder / BANK), device)


class TextBank(Bank):
    """CLIP's tokens (77, 768) of the prompt that names the findings; the empty prompt where none is given."""

    def embed(self, train: ImageSet, *, device: Any) -> dict[str, Tensor]:
        """One entry a distinct prompt."""
        import torch

        from generators.clip import embed_texts

        prompts = [self.prompt(label, train.classes) for label in train.labels.numpy()]
        distinct = sorted(set(prompts))
        at = {text: k for k, text in enumerate(distinct)}
        tokens = embed_texts(["", *distinct], self.config.clip, device=device)
        rows = torch.tensor([at[text] for text in prompts], dtype=torch.int64)
        return {"absent": tokens[0], "bank": to_half(tokens[1:], "CLIP's tokens"), "rows": rows}

    def prompt(self, label: np.ndarray, classes: Sequence[str]) -> str:
        """The prompt of a label.

        Parameters
        ----------
        label : a number, or a label vector, uint8 (K,).
        """
        c = self.config
        return prompt_of(label, classes, prompt=c.prompt, prompt_none=c.prompt_none)


class PictureBank(Bank):
    """CLIP's embedding (1, 768) of each training image: a film's own in training, a reference's in sampling."""

    def embed(self, train: ImageSet, *, device: Any) -> dict[str, Tensor]:
        """One entry an image."""
        import torch

        from generators.clip import embed_pictures

        found = embed_pictures(train.images, self.config.clip, device=device)
        return {"bank": to_half(found[:, None], "CLIP's embeddings"), "rows": torch.arange(len(train))}


class FileBank(Bank):
    """Embeddings that were extracted elsewhere, keyed by image id."""

    is_slow: ClassVar[bool] = False

    def embed(self, train: ImageSet, *, device: Any) -> dict[str, Tensor]:
        """One entry an image, from the file."""
        import torch

        from generators.embeddings import read_embeddings

        assert self.config.embeddings is not None  # make_conditioner refuses
        found = read_embeddings(self.config.embeddings, train.ids, shape=self.config.embedding_shape)
        return {
            "bank": to_half(torch.from_numpy(found), str(self.config.embeddings)),
            "rows": torch.arange(len(train)),
        }


def make_conditioner(config: ConditionConfig, *, n_classes: int, multilabel: bool) -> Conditioner:
    """The conditioner of a kind; `fit` or `restore` comes next.

    Raises
    ------
    UserError
        For a template without {findings}, or the kind `embedding` without a file.
    """
    if config.kind == "clip_text":
        require_template(config.prompt)
    if config.kind == "embedding" and config.embeddings is None:
        raise UserError("condition embedding needs a file: set --gen.condition.embeddings to an .npz or .parquet")
    kinds: dict[str, type[Conditioner]] = {
        "label": Conditioner, "multilabel": Conditioner, "clip_text": TextBank, "clip_vision": PictureBank,
        "embedding": FileBank,
    }  # fmt: skip
    return kinds[config.kind](config, n_classes=n_classes, multilabel=multilabel)


def check_condition(config: ConditionConfig, *, fetch: bool) -> None:
    """Refuse CLIP or a file of embeddings that cannot be used, before there are images.

    Parameters
    ----------
    fetch : whether what lies on the hub may be fetched; without, it is not looked at.

    Raises
    ------
    UserError
        As `make_conditioner`, and for whatever is missing or damaged.
    """
    if config.kind in ("label", "multilabel"):
        return
    make_conditioner(config, n_classes=2, multilabel=False)
    assert config.source is not None  # make_conditioner refuses
    require_identity(config.source, config.source_id, what=config.flag)
    if config.kind == "embedding":
        from generators.embeddings import open_embeddings

        open_embeddings(Path(config.source))
    elif fetch or not is_fetched(config.source):
        from generators.clip import check_clip

        check_clip(config.clip, pictures=config.kind == "clip_vision")


def to_half(tokens: Tensor, what: str) -> Tensor:
    """float16, on the CPU.

    Raises
    ------
    UserError
        When a number is not finite, or becomes so.
    """
    half = tokens.detach().cpu().half()
    if not bool(half.isfinite().all()):
        raise UserError(f"{what} hold numbers that are not finite, or beyond 65,504, the largest of float16")
    return half
