"""The built-in classifier: any timm ResNet or DenseNet, with a stem that fits the size of the images."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from classifiers.bfloat16 import faster_in_bf16
from classifiers.config import Config
from classifiers.stems import first_convolution, fit_stem, resolve_stem
from data.images import ImageSet, Split
from data.mixing import TrainingMix
from synthworth.artifacts import read_json, read_tensors, write_json, write_tensors
from synthworth.cost import Operations, PlannedPhase
from synthworth.devices import Bf16Unit
from synthworth.errors import UserError
from synthworth.keys import plain, seed_from
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from classifiers.eye import Eye
    from classifiers.training import Training
    from synthworth.training.loop import PhaseReport

LARGE = 1024
"""Side of images that every stem fits, in pixels."""
WEIGHTS, DESCRIPTION = "weights.safetensors", "classifier.json"


def create_network(config: Config, *, channels: int, size: int, n_classes: int, stem: str) -> nn.Module:
    """The untrained network, drawn from torch's global generator (seed it first); `stem` is not `auto`.

    Raises
    ------
    UserError
        When pre-trained weights cannot be had, or the images are too small for the stem.
    """
    import timm
    from safetensors import SafetensorError

    fetched = config.pretrained and config.weights is None
    try:
        model: nn.Module = timm.create_model(
            config.arch, num_classes=n_classes, in_chans=channels, drop_rate=config.dropout, pretrained=fetched
        )
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        if not fetched:
            raise
        reason = str(error).strip().partition("\n")[0]
        message = (
            f"weights of {config.arch} cannot be had from timm's hub ({reason}); give them as a file: --clf.weights"
        )
        raise UserError(message) from error
    first = first_convolution(model)
    published = model.get_submodule(first)
    fit_stem(model, stem, size)
    if config.weights is not None:
        is_fresh = model.get_submodule(first) is not published
        fill(model, config.weights, arch=config.arch, first=f"{first}.weight", stem_is_fresh=is_fresh)
    return model


def fill(model: nn.Module, file: Path, *, arch: str, first: str, stem_is_fresh: bool) -> None:
    """Put the weights of a file into a network, all but the head, which is for other classes.

    Parameters
    ----------
    first : name of the first convolution's weight, which is fitted to the channels of the images.
    stem_is_fresh : that convolution has replaced the published one: it stays as it is, unless the file holds one of
        its shape.

    Raises
    ------
    UserError
        When the file cannot be read, or anything else of the network is not in it.
    """
    from synthworth.training.weight_files import read_weights
    from synthworth.training.weights import load_weights

    described: Any = model.pretrained_cfg
    load_weights(
        model, read_weights(file, what="--clf.weights"), where=f"--clf.weights {file}", network=arch,
        fresh=[f"{described['classifier']}."], replaced=[first] if stem_is_fresh else [], first=[first],
    )  # fmt: skip


def origin(model: nn.Module, config: Config) -> str:
    """Where the training began: `random`, timm's name of the hub's weights, or the sha256 of a file."""
    if config.weights is not None:
        return config.weights_sha256
    if not config.pretrained:
        return "random"
    hub: Any = model.pretrained_cfg
    return f"{hub['architecture']}.{hub['tag']}"


@cache
def flops_of(config: Config, *, channels: int, size: int, n_classes: int) -> tuple[float, float, int]:
    """Operations of an image in training and in use, and parameters; kept, for dozens of trainings ask for them.

    Parameters
    ----------
    config : without weights.
    """
    import torch

    from synthworth.training.flops import count_flops, shapes_only
    from synthworth.training.networks import count_parameters

    with shapes_only():
        stem = resolve_stem(config.stem, size)
        model = create_network(config, channels=channels, size=size, n_classes=n_classes, stem=stem)
        images = torch.zeros(2, channels, size, size)
        train = count_flops(lambda: model(images).sum().backward()) / 2
        with torch.no_grad():
            return train, count_flops(lambda: model(images)) / 2, count_parameters(model)


class TimmClassifier:
    """A timm ResNet or DenseNet trained with AdamW on a mixture, its best checkpoint chosen on val.

    Softmax over classes, or a sigmoid for each finding; one or three channels; any square size from 28 px up.
    """

    Config: ClassVar[type] = Config
    version: ClassVar[int] = 2

    def __init__(self, config: Config | None = None) -> None:
        self.config = Config() if config is None else config
        self._model: nn.Module | None = None
        self._eye: Eye | None = None
        self._facts: dict[str, Any] = {}

    @classmethod
    def version_of(cls, config: Config) -> int:
        """`version`, and one more with weights of a file: before, names that did not match were left random."""
        return cls.version + bool(config.weights_sha256)

    @classmethod
    def faster_in_bf16(cls, config: Config, *, unit: Bf16Unit, channels: int | None, size: int | None) -> bool:
        """Whether `--precision auto` is bf16 for this network, by what it is (`classifiers.bfloat16`).

        Parameters
        ----------
        unit : what multiplies bf16.
        channels, size : of the images, None where they are not known yet.
        """
        if channels is None or size is None:
            return faster_in_bf16(None, unit=unit)
        bare, shape = cls(Config(arch=config.arch, stem=config.stem)), {"channels": channels, "size": size}

        def gflop() -> float:
            return bare.operations(**shape, n_classes=2, multilabel=False, n_steps=1).use / 1e9

        return faster_in_bf16(gflop, unit=unit)

    @classmethod
    def tiny_config(cls) -> Config:
        """The smallest options that still do everything: for `benchmarks.check`."""
        return Config(stem="imagenet", batch_size=8, n_evaluations=2, augment="none")

    def check_files(self, *, fetch: bool, channels: int | None, size: int | None) -> None:
        """Refuse a file of weights that does not fill the network, before any image is prepared.

        Parameters
        ----------
        fetch : whether timm's hub may be asked.
        channels, size : of the images to come, None where they are not known yet.

        Raises
        ------
        UserError
            For what is missing, damaged or another network's.
        """
        from synthworth.devices import isolated_randomness

        self._require_weights()
        if self.config.weights is None and not (self.config.pretrained and fetch):
            return
        side, stem = size or LARGE, self.config.stem
        if stem == "auto":
            stem = resolve_stem(stem, size) if size else "half"  # unlike imagenet, half takes a file without its stem
        with isolated_randomness(0):
            create_network(self.config, channels=channels or 1, size=side, n_classes=2, stem=stem)

    def _require_weights(self) -> None:
        """Refuse weights that nobody says the place of."""
        if self.config.weights_sha256 and self.config.weights is None:
            raise UserError(f"weights of sha256 {self.config.weights_sha256} are asked for; give --clf.weights")

    def operations(self, *, channels: int, size: int, n_classes: int, multilabel: bool, n_steps: int) -> Operations:
        """What `n_steps` steps and the prediction of an image compute, by the shapes of images and network alone.

        Parameters
        ----------
        channels, size, n_classes, multilabel : of the images.
        """
        config = replace(self.config, pretrained=False, weights=None, weights_sha256="")
        train, use, n = flops_of(config, channels=channels, size=size, n_classes=n_classes)
        kind = "densenet" if config.arch.startswith("densenet") else "resnet"
        return Operations((PlannedPhase(kind, n_steps, config.batch_size, train),), use, n)

    def fit(self, mix: TrainingMix, val: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Train for exactly `work.budget.steps` steps; see `classifiers.base.Classifier.fit`.

        Raises
        ------
        UserError
            When `val` is of another split, or of other classes, channels or size than the mixture.
        """
        from synthworth.training.loop import run_phase

        training = self.start(mix, val, seed=seed, work=work)
        return self.end(training, run_phase(training.phase))

    def start(self, mix: TrainingMix, val: ImageSet, *, seed: int, work: Work) -> Training:
        """What `fit` trains, before its first step: `phase` takes the steps, and `end` follows them.

        Several may be started and take their steps in turn (`synthworth.training.loop.run_together`).

        Raises
        ------
        UserError
            As `fit`.
        """
        from classifiers.eye import Eye
        from classifiers.training import Training
        from synthworth.devices import isolated_randomness

        check_val(mix, val)
        config = self.config
        self._require_weights()
        channels, size = int(mix.images.shape[1]), int(mix.images.shape[-1])
        stem = resolve_stem(config.stem, size)
        with isolated_randomness(seed_from(seed, "weights")):
            model = create_network(config, channels=channels, size=size, n_classes=len(mix.classes), stem=stem)
        mean, std = normalisation(model, channels, learned=config.pretrained or config.weights is not None)
        self._model, self._eye = model, Eye(mean, std, work.device, work.precision)
        self._facts = {
            "stem": stem,
            "channels": channels,
            "size": size,
            "classes": list(mix.classes),
            "multilabel": mix.multilabel,
            "eye": {"mean": list(mean), "std": list(std), "precision": work.precision},
        }

        def flops() -> int:
            shape = {"channels": channels, "size": size, "n_classes": len(mix.classes)}
            told = self.operations(**shape, multilabel=mix.multilabel, n_steps=1)
            return round(told.phases[0].flops * config.batch_size)

        return Training(model, self._eye, mix, val, config=config, seed=seed, work=work, flops=flops)

    def end(self, training: Training, phase: PhaseReport) -> FitReport:
        """Keep the best weights of a training whose steps are done, and report it."""
        from synthworth.training.networks import count_parameters
        from synthworth.training.reports import report_of

        best, model = training.finish(phase), training.course.model
        facts = {
            "stem": self._facts["stem"],
            "weights": origin(model, self.config),
            "n_parameters": count_parameters(model),
            "best_step": best.step,
            "val_auroc": [[int(row["step"]), row["auroc"]] for row in best.scores],
        }
        return report_of(phase, batch=self.config.batch_size, facts=facts)

    def predict(self, images: Tensor) -> np.ndarray:
        """Probabilities of the classes.

        Parameters
        ----------
        images : uint8 (N, C, H, W).

        Returns
        -------
        float32 (N, K).
        """
        from classifiers.logits import to_probabilities
        from synthworth.images import check_batch

        if self._model is None or self._eye is None:
            raise UserError("this classifier has learned nothing yet: call fit, or load a saved one")
        check_batch(images)
        wanted = (self._facts["channels"], self._facts["size"], self._facts["size"])
        if tuple(images.shape[1:]) != wanted:
            given = tuple(images.shape[1:])
            raise UserError(f"this classifier learned from images {wanted} (C, H, W) and was given {given}")
        return to_probabilities(self._eye.look(self._model, images), multilabel=self._facts["multilabel"])

    def save(self, folder: Path) -> None:
        """Write `weights.safetensors` and `classifier.json` (options, resolved stem, classes, precision)."""
        if self._model is None:
            raise UserError("this classifier has learned nothing yet: there is nothing to save")
        write_tensors(folder / WEIGHTS, self._model.state_dict())
        config = asdict(self.config) | {"weights": None}
        write_json(folder / DESCRIPTION, {"version": self.version, "config": plain(config), **self._facts})

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote; the network predicts the same, at the precision it was trained with."""
        from classifiers.eye import Eye
        from synthworth.training.networks import rebuild

        facts = read_json(folder / DESCRIPTION)
        made = cls(Config(**facts.pop("config")))
        untrained = Config(arch=made.config.arch, dropout=made.config.dropout)

        def build() -> nn.Module:
            n_classes = len(facts["classes"])
            look = {"channels": facts["channels"], "size": facts["size"], "stem": facts["stem"]}
            return create_network(untrained, n_classes=n_classes, **look)

        eye = facts["eye"]
        made._model = rebuild(build, read_tensors(folder / WEIGHTS), device=device)
        made._eye = Eye(tuple(eye["mean"]), tuple(eye["std"]), device, eye["precision"])
        made._facts = {key: value for key, value in facts.items() if key != "version"}
        return made


def check_val(mix: TrainingMix, val: ImageSet) -> None:
    """Refuse to choose a checkpoint on anything but the val split, or on images unlike the mixture's."""
    if not isinstance(val, ImageSet) or val.split is not Split.val:
        found = val.split.value if isinstance(val, ImageSet) else type(val).__name__
        raise UserError(f"a classifier chooses its checkpoint on the val split only, and was given {found!r}")
    if not len(val):
        raise UserError("the val split is empty; a checkpoint cannot be chosen on it")
    ours, theirs = (mix.classes, tuple(mix.images.shape[1:])), (val.classes, tuple(val.images.shape[1:]))
    if ours != theirs:
        raise UserError(f"training images have classes and shape {ours}, val has {theirs}; they must agree")


def normalisation(model: nn.Module, channels: int, *, learned: bool) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the intensity by channel.

    What the weights were learned with (averaged over RGB for grey images, whose first convolution timm sums over RGB),
    else 0.5 and 0.5 (MedMNIST's), the same for every arm whatever it trains on.
    """
    if not learned:
        return (0.5,) * channels, (0.5,) * channels
    from timm.data import resolve_data_config

    found = resolve_data_config({"in_chans": channels}, model=model)
    mean, std = (tuple(map(float, found[name])) for name in ("mean", "std"))
    if len(mean) == channels:
        return mean, std
    return (sum(mean) / len(mean),) * channels, (sum(std) / len(std),) * channels
