"""Speed as ratios against a peer in one run: `python -m benchmarks.speed`. Never a test: timings are a machine's."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from benchmarks.cli import OK, guarded
from benchmarks.speed_data import cache_row, epoch_row, memory_row
from benchmarks.speed_neighbours import neighbours_memory_row, neighbours_row
from benchmarks.speed_row import Row, best
from synthworth.errors import UserError
from synthworth.progress import track

if TYPE_CHECKING:
    from torch import Tensor

SEED = 0


@dataclass(frozen=True)
class SpeedOptions:
    """Time what this suite computes against a peer doing the same, each best of some repetitions, in one run."""

    only: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Rows to measure; all of them unless some are named."""
    repeat: int = 3
    """Repetitions; the fastest counts."""
    json: bool = False
    """Print JSON."""


def inception(repeat: int, *, precision: str) -> Row:
    """Inception features (random weights, which cost the same) against torch-fidelity's module as it comes."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from benchmarks.metrics.frechet import frechet_distance
    from benchmarks.metrics.inception import Inception
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
    """Weights in the shape of Inception's, drawn so that activations neither vanish nor explode: the time that
    the real ones take, without the file."""
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


def prdc_row(repeat: int) -> Row:
    """Precision, recall, density and coverage of 10,000 against 10,000 features against the package `prdc`."""
    from benchmarks.metrics.manifold import prdc

    try:
        from prdc import compute_prdc
    except ImportError as error:
        raise UserError("the row prdc needs its peer: pip install prdc") from error
    rng = np.random.default_rng(SEED)
    real, fake = (rng.normal(size=(10_000, 512)).astype(np.float32) for _ in range(2))
    seconds = best(lambda: prdc(real=real, fake=fake), 1)
    began = time.perf_counter()
    compute_prdc(real_features=real, fake_features=fake, nearest_k=5)
    return Row("PRDC, 10,000 x 10,000 x 512", "chunked", "prdc", seconds, time.perf_counter() - began)


def bootstrap_row(repeat: int) -> Row:
    """2,000 patient-clustered replicates of 14-class macro AUROC against scikit-learn in a loop."""
    from sklearn.metrics import roc_auc_score

    from benchmarks.statistics.bootstrap import bootstrap_auroc

    rng = np.random.default_rng(SEED)
    n, n_patients, n_classes, n_loop = 25_596, 2_800, 14, 10
    groups = rng.integers(n_patients, size=n)
    truth = (rng.random((n, n_classes)) < 0.08).astype(np.uint8)
    scores = rng.random((1, n, n_classes)) + 0.3 * truth
    seconds = best(lambda: bootstrap_auroc(scores, truth, groups.tolist(), seed=SEED, n_replicates=2000), 1)
    rows = [np.flatnonzero(groups == g) for g in range(n_patients)]
    began = time.perf_counter()
    for _ in range(n_loop):
        drawn = np.concatenate([rows[g] for g in rng.integers(n_patients, size=n_patients)])
        roc_auc_score(truth[drawn], scores[0, drawn], average="macro")
    peer = (time.perf_counter() - began) * 2000 / n_loop
    note = f"the loop is {n_loop} replicates, scaled"
    return Row("AUROC bootstrap, 25,596 films, 14 findings", "from ranks", "scikit-learn", seconds, peer, note)


ROWS: dict[str, Callable[[int], Row]] = {
    "inception-fp32": lambda repeat: inception(repeat, precision="fp32"),
    "inception-bf16": lambda repeat: inception(repeat, precision="bf16"),
    "prdc": prdc_row,
    "neighbours": neighbours_row,
    "neighbours-memory": neighbours_memory_row,
    "bootstrap": bootstrap_row,
    "cache": cache_row,
    "epoch": epoch_row,
    "memory": memory_row,
}


def main(args: Sequence[str]) -> int:
    """Measure and print the table."""
    options = tyro.cli(SpeedOptions, args=list(args), prog="python -m benchmarks.speed")
    unknown = set(options.only) - set(ROWS)
    if unknown:
        raise UserError(f"no row {sorted(unknown)}; there are {', '.join(ROWS)}")
    from benchmarks.report import console, table

    rows = [ROWS[name](options.repeat) for name in track(options.only or tuple(ROWS), "speed")]
    if options.json:
        print(json.dumps([{**asdict(row), "ratio": row.ratio} for row in rows], indent=1))
        return OK
    out = console()
    made = table("speed, fastest of some repetitions", ("what", "ours", "peer", "by ours", "by peer", "ratio"), left=3)
    for row in rows:
        values = (f"{value:.3g} {row.unit}" for value in (row.value, row.peer_value))
        made.add_row(row.what, row.ours, row.peer, *values, f"{row.ratio:.2f}")
    out.print(made)
    for row in rows:
        if row.note:
            out.print(f"{row.what}: {row.note}", markup=False)
    return OK


if __name__ == "__main__":
    sys.exit(guarded(main))
