"""What the generators' networks compute for an image, trained on or drawn, by the shapes of their options alone."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import fields
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from generators.saving import Shape
from synthworth.keys import drawing_options
from synthworth.training.flops import count_flops, shapes_only
from synthworth.training.networks import count_parameters

BATCH = 2
"""Images of a step that is counted: as few as batch norm takes."""


_counted: dict[tuple[Any, ...], list[float]] = {}


def counted_once(model: Any, count: Callable[[], list[float]]) -> list[float]:
    """`count()`, once for all models of a class whose shape and options are the same, but for those of drawing.

    To lay out networks and to follow what they compute takes a second or so, and the cells of a sweep may be thousands.

    Parameters
    ----------
    model : whose `config` and `shape` say what its networks are.
    """
    kind = type(model.config)
    key: tuple[Any, ...] = tuple(getattr(model.config, name) for name in _of_networks(kind))
    if not all(isinstance(value, Hashable) for value in key):
        key = (repr(key),)
    key = type(model), kind, model.shape, *key
    if key not in _counted:
        _counted[key] = count()
    return _counted[key]


@cache
def _of_networks(config: type) -> tuple[str, ...]:
    """Options of a Config that are not those of drawing alone."""
    left_out = drawing_options(config)
    return tuple(field.name for field in fields(config) if field.name not in left_out)


def _labels(shape: Shape) -> Tensor:
    """int64 (BATCH,) or uint8 (BATCH, K)."""
    if shape.multilabel:
        return torch.zeros(BATCH, shape.n_classes, dtype=torch.uint8)
    return torch.zeros(BATCH, dtype=torch.int64)


def of_denoiser(
    build: Callable[[], nn.Module], noise_shape: Callable[[], tuple[int, ...]], shape: Shape
) -> list[float]:
    """Operations of a training step and of one prediction, an image; and the parameters.

    Parameters
    ----------
    build : the untrained denoiser, told labels.
    noise_shape : of what it denoises, known once it is built.
    """
    with shapes_only():
        net = build()
        x, steps, y = torch.zeros(BATCH, *noise_shape()), torch.zeros(BATCH, dtype=torch.int64), _labels(shape)
        hidden = torch.zeros(BATCH, dtype=torch.bool)
        train = count_flops(lambda: net(x, steps, y, hidden).float().sum().backward())
        with torch.no_grad():
            use = count_flops(lambda: net(x, steps, y))
    return [train / BATCH, use / BATCH, count_parameters(net)]


def of_autoencoder(model: Any) -> list[float]:
    """Operations of a training step and of decoding, an image, of a `VAEFamily` with a shape; and its parameters."""
    from generators.nets.lpips import LPIPS

    c, shape = model.config, model.shape
    with shapes_only():
        net, y = model._build(), _labels(shape)
        images = torch.zeros(BATCH, shape.channels, model.padded, model.padded)
        judge: Any = LPIPS().requires_grad_(False) if c.perceptual else None

        def step() -> None:
            made, terms = net(images, y)
            loss = made.float().sum() + sum(term.sum() for term in terms.values())
            (loss if judge is None else loss + judge(made, images).sum()).backward()

        train = count_flops(step)
        latents = torch.zeros(BATCH, *model.latent_shape)
        with torch.no_grad():
            use = count_flops(lambda: net.decode(latents, y if c.conditional else None))
    return [train / BATCH, use / BATCH, count_parameters(net)]


def of_gan(model: Any) -> list[float]:
    """Operations of a step and of drawing an image, of an `Adversarial` with a shape; parameters of what is kept."""
    shape = model.shape
    with shapes_only():
        (painter, critic), y = model._build(), _labels(shape)
        noise = torch.zeros(BATCH, model.config.noise)
        real = torch.zeros(BATCH, shape.channels, model.padded, model.padded)
        train = count_flops(lambda: model._rehearse(painter, critic, real, noise, y))
        with torch.no_grad():
            use = count_flops(lambda: painter(noise, y))
    return [train / BATCH, use / BATCH, count_parameters(painter)]
