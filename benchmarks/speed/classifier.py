"""Speed of training the classifier against a plain loop over the same network of timm, on one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmarks.speed.loops import count
from benchmarks.speed.pictures import SIDE, as_mixture, bench, phantom_films
from benchmarks.speed.row import SEED, Row, in_turn

if TYPE_CHECKING:
    import torch

    from classifiers.config import Config

BATCH, N_STEPS, N_VAL = 64, 6, 64


def classifier_row(
    repeat: int, *, arch: str = "resnet10t", device: str = "cpu", precision: str = "fp32", side: int = SIDE,
    n_steps: int = N_STEPS,
) -> Row:  # fmt: skip
    """Seconds a step of the classifier of preset `quick` through its own `fit`, and of a plain loop.

    Both look at val once at the end, a step's share of which is in both times. On a CPU torch has one thread.
    """
    from classifiers.config import Config

    config = Config(
        arch=arch, stem="imagenet", batch_size=BATCH, learning_rate=3e-3, augment="exposure", n_evaluations=1
    )
    with threads(1):
        loop = TimmLoop(config, device=device, precision=precision, side=side)
        ours, peer = in_turn(
            (
                lambda: fit_seconds(config, device=device, precision=precision, side=side, n_steps=n_steps),
                lambda: loop.seconds(n_steps),
            ),
            repeat,
        )
    rates = [BATCH * n_steps / seconds for seconds in (ours, peer)]
    return Row(
        f"{arch}, {side} px, batch {BATCH}, {precision}, one thread", "fit", "timm and torchvision, a plain loop",
        ours / n_steps, peer / n_steps,
        f"{rates[0]:.1f} against {rates[1]:.1f} images/s; {loop.n_parameters:,} parameters in both; stem imagenet, "
        "augmentation exposure",
        unit="s a step",
        facts={
            "images_per_second": rates[0], "peer_images_per_second": rates[1], "n_parameters": loop.n_parameters,
            "batch": BATCH, "side": side, "precision": precision, "device": device,
        },
    )  # fmt: skip


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Let torch have so many threads of the CPU inside the block."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fit_seconds(config: Config, *, device: str, precision: str, side: int, n_steps: int) -> float:
    """Seconds in the training loop of a whole `fit`, as its report has them."""
    from classifiers.factory import TimmClassifier

    train, val = phantom_films(side=side), phantom_films(N_VAL, split="val", side=side)
    with bench(steps=n_steps, device=device, precision=precision) as work:
        return TimmClassifier(config).fit(as_mixture(train), val, seed=SEED, work=work).seconds


class TimmLoop:
    """What people write: a timm model, a DataLoader whose dataset augments an image at a time, AdamW, OneCycleLR."""

    def __init__(self, config: Config, *, device: str, precision: str, side: int) -> None:
        import timm
        import torch
        from torch.utils.data import DataLoader
        from torchvision.transforms import v2

        from data.augment import AUGMENTATIONS

        self.device, self.precision = device, precision
        torch.manual_seed(SEED)
        self.net: Any = timm.create_model(config.arch, num_classes=6, in_chans=1).to(device)
        self.n_parameters = count(self.net)
        self.optimiser = torch.optim.AdamW(
            self.net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.rate = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, config.learning_rate, total_steps=100_000)
        jitter: Any = AUGMENTATIONS[config.augment]
        look = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.5])]
        augment = v2.Compose([look[0], v2.ColorJitter(jitter.brightness, jitter.contrast), look[1]])
        films = Films(phantom_films(side=side), augment)
        self.loader = DataLoader(
            films, config.batch_size, shuffle=True, drop_last=True, generator=torch.Generator().manual_seed(SEED)
        )
        self.val = DataLoader(Films(phantom_films(N_VAL, split="val", side=side), v2.Compose(look)), config.batch_size)

    def seconds(self, n_steps: int) -> float:
        """Of so many further steps, and of one look at val."""
        began = time.perf_counter()
        n = 0
        while n < n_steps:
            for images, labels in self.loader:
                self.step(images, labels)
                n += 1
                if n == n_steps:
                    break
        self.evaluate()
        return time.perf_counter() - began

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> float:
        """One optimiser step; returns the loss."""
        from torch.nn import functional as F

        from synthworth.devices import autocast

        self.net.train()
        with autocast(self.device, self.precision):
            logits = self.net(images.to(self.device))
        loss = F.cross_entropy(logits.float(), labels.to(self.device))
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.rate.step()
        return loss.item()

    def evaluate(self) -> float:
        """Macro AUROC on val."""
        import torch
        from sklearn.metrics import roc_auc_score

        self.net.eval()
        with torch.inference_mode():
            found = [(self.net(images.to(self.device)).softmax(1).cpu(), labels) for images, labels in self.val]
        scores, truth = (torch.cat(part).numpy() for part in zip(*found, strict=True))
        return float(roc_auc_score(truth, scores, multi_class="ovr"))


class Films:
    """A map-style dataset of images in memory."""

    def __init__(self, films: Any, transform: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.films, self.transform = films, transform

    def __len__(self) -> int:
        return len(self.films)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.films.images[i]), int(self.films.labels[i])
