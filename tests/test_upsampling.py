"""Upsampling by two: the same pixels and gradients as interpolation, and it stays channels last."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.upsampling import Upsample2D
from torch.nn import functional as F

from generators.nets import upsampling
from generators.nets.denoiser import make_denoiser
from generators.nets.labels import ConditionSpec

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_doubling_is_nearest_interpolation_and_so_is_its_gradient(layout: torch.memory_format) -> None:
    x = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    weight = torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(1))
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    doubled, nearest = upsampling.double(ours), F.interpolate(theirs, scale_factor=2.0, mode="nearest")
    assert torch.equal(doubled, nearest) and doubled.is_contiguous(memory_format=torch.channels_last)
    (doubled * weight).sum().backward()
    (nearest * weight).sum().backward()
    assert ours.grad is not None and theirs.grad is not None
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)


def test_a_denoiser_predicts_the_same_whichever_way_it_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        spec = ConditionSpec(kind="label", n_classes=2, multilabel=False)
        net = make_denoiser(channels=1, size=8, spec=spec, widths=(8, 16), n_blocks=1)
        for value in net.parameters():
            torch.nn.init.normal_(value, std=0.1)
    assert not [m for m in net.modules() if type(m) is Upsample2D]
    x, steps, labels = torch.randn(2, 1, 8, 8), torch.tensor([3, 900]), torch.tensor([0, 1])
    plain = net(x, steps, labels)
    monkeypatch.setattr(upsampling, "on_gpu", lambda x: True)
    assert torch.allclose(net(x, steps, labels), plain, atol=1e-5)
