"""Speed of the Inception features against torch-fidelity."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.speed.row import SEED, Row, best

if TYPE_CHECKING:
    from torch import Tensor


def inception(repeat: int, *, precision: str) -> Row:
    """Inception features (random weights, which cost the same) against torch-fidelity's module as it comes."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from benchmarks.metrics.extractors.inception import Inception
    from benchmarks.metrics.frechet import frechet_distance
    from synthworth.devices import generator, isolated_randomness

    with tempfile.TemporaryDirectory() as folder, isolated_randomness(SEED):
        file = Path(folder, "random.pth")
        torch.save(random_inception_state(), file)
        plain = FeatureExtractorInceptionV3("plain", ["2048"], feature_extractor_weights_path=str(file))
        ours = Inception(weights=file, expected_sha=None, precision=precision)  # type: ignore[arg-type]
        exact = Inception(weights=file, expected_sha=None)
        images = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8, generator=generator(SEED))
        shifted = images // 2
        seconds = best(lambda: ours.extract(images), repeat)
        note = ""
        if precision == "bf16":
            distances = [
                frechet_distance(real=e.extract(images).features, fake=e.extract(shifted).features)
                for e in (exact, ours)
            ]
            note = (
                f"FID {distances[0]:.6g} in fp32, {distances[1]:.6g} in bf16 ({distances[1] / distances[0] - 1:+.2%})"
            )

        def peer() -> None:
            with torch.no_grad():
                for start in range(0, len(images), 32):
                    plain(images[start : start + 32])

        return Row(
            f"Inception features, 64 images, {precision}", f"channels_last, {precision}", "torch-fidelity",
            seconds, best(peer, repeat), note,
        )  # fmt: skip


def random_inception_state() -> dict[str, Tensor]:
    """Weights in the shape of Inception's, drawn so that activations neither vanish nor explode.

    They take the time that the real ones take, without the file.
    """
    import torch
    from torchvision.models import inception_v3

    source = torch.Generator().manual_seed(SEED)
    with torch.device("meta"):
        net = inception_v3(weights=None, num_classes=1008, aux_logits=False, init_weights=False)
    state = {}
    for name, tensor in net.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(0)
        elif name.endswith(("running_var", "bn.weight")):
            state[name] = 0.75 + torch.rand(tensor.shape, generator=source) / 2
        elif tensor.ndim > 1:
            state[name] = torch.randn(tensor.shape, generator=source) * (2 / tensor[0].numel()) ** 0.5
        else:
            state[name] = torch.randn(tensor.shape, generator=source) * 0.1
    return state
