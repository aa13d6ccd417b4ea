"""What of a classifier is otherwise on a GPU, as far as a CPU can tell: recorded steps, arithmetic, batches of val."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from test_classifiers import QUICK, films, mixture
from torch.profiler import ProfilerActivity, profile

from classifiers.eye import Eye, evaluation_batch
from classifiers.factory import TimmClassifier
from classifiers.logits import row_losses
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")


ON_THE_HOST = {f"aten::{name}" for name in ("item", "masked_select", "nonzero", "equal")}
"""What makes a GPU's result known to the processor, which a step that is being recorded may not ask for."""
WEIGHTED = {"class_weights": True, "label_smoothing": 0.1}


@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("options", [{}, {"augment": "strong"}, WEIGHTED, {**WEIGHTED, "blend": "mixup"}], ids=str)
def test_a_step_that_is_recorded_reads_nothing_on_the_host(tmp_path, options, multilabel):
    made, seen = TimmClassifier(dataclasses.replace(QUICK, **options)), set()
    mixed, val = mixture(multilabel=multilabel), films("val", 16, multilabel=multilabel)
    training = made.start(mixed, val, seed=0, work=Work(tmp_path, budget=Budget(2)))

    def record(run):
        with profile(activities=[ProfilerActivity.CPU]) as operations:
            run()
        seen.update((event.name, event.cpu_parent and event.cpu_parent.name) for event in operations.events())
        return run

    training.captured(record).prepare(*training.inputs(0))
    assert "aten::convolution_backward" in {name for name, _ in seen}
    # on a CPU the fused optimiser reads its step's number; that of a GPU (capturable) leaves it there
    assert not {where for name, where in seen if name in ON_THE_HOST} - {"aten::_fused_adamw_"}


def test_weights_and_smoothing_together_are_the_loss_of_torch_to_the_bit():
    draw = torch.Generator().manual_seed(0)
    labels, weights = torch.randint(0, 5, (32,), generator=draw), torch.rand(5, generator=draw)
    ours = torch.randn(32, 5, generator=draw).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    loss = row_losses(ours, labels, smoothing=0.1, weights=weights)
    expected = torch.nn.functional.cross_entropy(theirs, labels, weight=weights, label_smoothing=0.1)
    assert torch.equal(loss, expected)
    assert torch.equal(*torch.autograd.grad(loss, ours), *torch.autograd.grad(expected, theirs))


class Elsewhere:
    """Stands for images that go to a device: zeros on the CPU, whatever was asked for."""

    shape = (2, 1, 4, 4)

    def split(self, n):
        return [self]

    def to(self, device):
        return torch.zeros(self.shape)


@pytest.mark.parametrize(("device", "exact"), [("cuda", True), ("cpu", False)])
def test_a_gpu_predicts_in_the_arithmetic_that_it_learned_in(monkeypatch, device, exact):
    """torch multiplies float32 exactly there, and convolves inexactly, unless it is told."""
    seen = []
    monkeypatch.setattr(Eye, "normalise", lambda self, images: images)
    monkeypatch.setattr(Eye, "logits", lambda self, model, images: seen.append(tf32()) or images.sum((2, 3)))
    Eye((0.5,), (0.5,), device, "fp32").look(torch.nn.Identity(), Elsewhere())
    Eye((0.5,), (0.5,), device, "bf16").look(torch.nn.Identity(), Elsewhere())
    told = [("highest", False), ("high", True)]
    assert seen == (told if exact else [tf32()] * 2)


def tf32():
    """How torch multiplies matrices of float32, and whether it convolves in TensorFloat-32."""
    return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize("side", [32, 64, 224, 8192])
def test_val_is_looked_at_on_a_gpu_in_batches_of_as_many_pixels_and_on_a_cpu_of_as_many_images(side):
    batch = evaluation_batch("cuda:1", side)
    assert batch == 1024 or batch == 1 or 0.9 < batch * side**2 / (1024 * 64**2) <= 1
    assert evaluation_batch("cuda", 64) == 1024
    assert evaluation_batch("cpu", side) == 128
