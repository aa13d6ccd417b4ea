from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import torch

from classifiers.base import Classifier
from classifiers.config import Config
from classifiers.factory import TimmClassifier, create_network
from classifiers.registry import ARCHITECTURES, classifiers
from classifiers.selection import Best, evaluation_steps, macro_auroc
from classifiers.stems import REDUCTION, resolve_stem
from classifiers.training import learning_rate
from data.images import ImageSet, Split
from data.mixing import TrainingMix, mix
from synthworth.artifacts import read_json
from synthworth.errors import Diverged, Unavailable, UserError
from synthworth.training import loop
from synthworth.work import Budget, Work

QUICK = Config(arch="resnet10t", stem="imagenet", batch_size=8, n_evaluations=2)
"""The cheapest network at these sizes."""


def films(split, n, *, size=32, channels=1, multilabel=False, seed=0):
    """Films whose brightness tells class 1; where findings co-occur, the second is horizontal stripes."""
    rng = np.random.default_rng([seed, *split.encode()])
    images = rng.integers(40, 120, (n, channels, size, size))
    if multilabel:
        labels = (np.arange(n)[:, None] >> np.arange(2)) & 1
        images += 60 * labels[:, 0, None, None, None]
        images[:, :, ::4] += 70 * labels[:, 1, None, None, None]
        truth = torch.from_numpy(labels.astype(np.uint8))
    else:
        labels = np.arange(n) % 2
        images += 100 * labels[:, None, None, None]
        truth = torch.from_numpy(labels.astype(np.int64))
    ids = tuple(f"{split}-{i}" for i in range(n))
    names = ("bright", "striped") if multilabel else ("dark", "bright")
    return ImageSet(torch.from_numpy(images.astype(np.uint8)), truth, ids, ids, Split(split), names)


def mixture(n=24, **options) -> TrainingMix:
    train = films("train", n, **options)
    return mix(train, None, keep_real=n, seed=0)


def fitted(folder, config=QUICK, *, steps=4, seed=0, n=24, work=None, **options):
    folder.mkdir(parents=True, exist_ok=True)
    made = TimmClassifier(config)
    work = work or Work(folder, budget=Budget(steps))
    report = made.fit(mixture(n, **options), films("val", 16, **options), seed=seed, work=work)
    return made, report


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return fitted(tmp_path_factory.mktemp("trained"), steps=16, n=32)


TEST = films("test", 20)


def test_the_classifier_keeps_the_contract():
    assert isinstance(TimmClassifier(), Classifier)


def test_importing_the_plugin_imports_nothing_heavy():
    code = "import sys, classifiers.factory; print({'torch', 'timm', 'sklearn', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("arch", sorted(ARCHITECTURES))
def test_every_listed_architecture_sees_images_from_28_px_up(arch):
    config = classifiers.get(arch).Config(**classifiers.implied(arch))
    for stem, sizes in {"small": (28, 32), "half": (28, 32, 64), "imagenet": (32, 64)}.items():
        with torch.device("meta"):
            model = create_network(config, channels=1, size=sizes[0], n_classes=5, stem=stem).train()
            for size in sizes:
                features = model.forward_features(torch.zeros(2, 1, size, size))
                assert min(features.shape[-2:]) >= size // REDUCTION[stem] >= 1
                assert model.forward_head(features).shape == (2, 5)


@pytest.mark.parametrize("arch", ["resnet18", "densenet121"])
@pytest.mark.parametrize(("channels", "multilabel", "size"), [(1, False, 28), (3, True, 32), (1, True, 64)])
def test_probabilities_are_float32_one_row_an_image(tmp_path, arch, channels, multilabel, size):
    options = {"channels": channels, "multilabel": multilabel, "size": size}
    config = dataclasses.replace(QUICK, arch=arch, stem="half", batch_size=2, n_evaluations=1)
    made, _ = fitted(tmp_path, config, steps=1, n=6, **options)
    scores = made.predict(films("test", 5, **options).images)
    assert scores.shape == (5, 2)
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores <= 1)).all()
    if not multilabel:
        np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)


def test_deep_stems_are_fitted_too():
    with torch.device("meta"):
        for arch in ("resnet18d", "densenetblur121d"):
            model = create_network(Config(arch=arch), channels=1, size=28, n_classes=2, stem="small")
            assert model.forward_features(torch.zeros(2, 1, 28, 28)).shape[-1] in (3, 4)


def test_the_stem_follows_the_size_unless_it_is_named():
    found = {size: resolve_stem("auto", size) for size in (28, 32, 63, 64, 127, 128, 224)}
    assert found == {
        28: "small",
        32: "small",
        63: "small",
        64: "half",
        127: "half",
        128: "imagenet",
        224: "imagenet",
    }
    assert resolve_stem("imagenet", 28) == "imagenet"


def test_a_densenet_refuses_a_stem_that_leaves_it_nothing_to_see():
    with torch.device("meta"), pytest.raises(UserError, match="too few for a DenseNet"):
        create_network(Config(arch="densenet121"), channels=1, size=28, n_classes=2, stem="imagenet")


def test_the_same_seed_predicts_the_same_bit_for_bit(tmp_path):
    scores = [fitted(tmp_path / str(i), seed=s)[0].predict(TEST.images) for i, s in enumerate((0, 0, 1))]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert not np.array_equal(scores[0], scores[2])


def test_initial_weights_depend_on_the_seed_and_not_on_the_mixture(tmp_path, monkeypatch):
    import classifiers.training

    first = []

    def keep(model, *rest, **named):
        first.append(next(model.parameters()).detach().clone())
        raise KeyboardInterrupt

    monkeypatch.setattr(classifiers.training, "Training", keep)
    for n, seed in ((24, 0), (40, 0), (24, 1)):
        with pytest.raises(KeyboardInterrupt):
            fitted(tmp_path, n=n, seed=seed)
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_a_killed_training_goes_on_to_the_same_end(tmp_path):
    whole, report = fitted(tmp_path / "whole", steps=6)

    def kill(step, **scalars):
        if step == 5:
            raise KeyboardInterrupt

    (tmp_path / "killed").mkdir()
    work = Work(tmp_path / "killed", budget=Budget(6), checkpoint_seconds=0, log=kill)
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path / "killed", work=work)
    resumed, again = fitted(tmp_path / "killed", steps=6)
    np.testing.assert_array_equal(whole.predict(TEST.images), resumed.predict(TEST.images))
    assert again.facts == report.facts


def test_a_finished_training_is_not_repeated(tmp_path):
    made, report = fitted(tmp_path, steps=4)
    assert (report.facts["stem"], report.facts["weights"]) == ("imagenet", "random")
    steps = []
    work = Work(tmp_path, budget=Budget(4), log=lambda step, **scalars: steps.append(step))
    second, again = fitted(tmp_path, work=work)
    assert steps == []
    assert again == report
    np.testing.assert_array_equal(made.predict(TEST.images), second.predict(TEST.images))


def test_a_budget_of_seconds_cuts_short_and_still_has_a_best_checkpoint(tmp_path):
    work = Work(tmp_path, budget=Budget(5000, seconds=1e-6))
    made, report = fitted(tmp_path, work=work)
    assert report.stopped == "seconds"
    assert report.steps < 5000
    assert report.facts["best_step"] == report.steps
    assert made.predict(TEST.images).shape == (20, 2)


def test_it_learns_what_is_easy(trained):
    scores = trained[0].predict(TEST.images)
    assert macro_auroc(scores, TEST.labels.numpy()) > 0.95


def test_it_learns_findings_that_co_occur(tmp_path):
    made, _ = fitted(tmp_path, dataclasses.replace(QUICK, augment="none"), steps=32, n=32, multilabel=True)
    test = films("test", 20, multilabel=True)
    assert macro_auroc(made.predict(test.images), test.labels.numpy()) > 0.95


def test_images_seen_and_learning_rates_are_equal_for_every_mixture(tmp_path):
    reports = [fitted(tmp_path / str(n), n=n, steps=3)[1] for n in (6, 40)]
    assert [r.images_seen for r in reports] == [24, 24]
    curves = [[(row["step"], row["learning_rate"]) for row in r.history] for r in reports]
    assert curves[0] == curves[1]
    peak, schedule = QUICK.learning_rate, QUICK.schedule
    assert curves[0] == [(t + 1, learning_rate(t, 3, peak=peak, schedule=schedule)) for t in range(3)]


@pytest.mark.parametrize("schedule", ["one_cycle", "cosine"])
def test_the_learning_rate_rises_to_its_peak_and_falls(schedule):
    rates = [learning_rate(t, 100, peak=0.01, schedule=schedule) for t in range(100)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(0.01)
    assert rates == sorted(rates[: top + 1]) + sorted(rates[top + 1 :], reverse=True)
    assert 0 <= rates[-1] <= 1e-5
    assert learning_rate(0, 1, peak=0.01, schedule=schedule) == pytest.approx(0.01)


def test_val_is_looked_at_evenly_and_after_the_last_step():
    assert evaluation_steps(100, 4) == (25, 50, 75, 100)
    assert evaluation_steps(2, 5) == (1, 2)
    assert evaluation_steps(7, 1) == (7,)


def test_the_checkpoint_kept_is_the_best_on_val(trained):
    made, report = trained
    scored = dict(report.facts["val_auroc"])
    assert list(scored) == [8, 16]
    assert scored[report.facts["best_step"]] == max(scored.values())
    val = films("val", 16)
    assert macro_auroc(made.predict(val.images), val.labels.numpy()) == pytest.approx(max(scored.values()))


def test_ties_on_val_go_to_the_lower_loss_and_then_to_the_earlier_step():
    best, layer = Best(), torch.nn.Linear(1, 1, bias=False)
    offers = [(0.6, 0.1), (0.9, 0.5), (0.9, 0.5), (0.8, 0.1), (0.9, 0.4)]
    kept = []
    for step, (auroc, loss) in enumerate(offers, start=1):
        torch.nn.init.constant_(layer.weight, step)
        best.offer(layer, step=step, auroc=auroc, loss=loss)
        kept.append(best.step)
        assert best.weights["weight"].item() == best.step
    assert kept == [1, 2, 2, 2, 5]


def test_macro_auroc_averages_over_the_classes_that_have_one():
    scores = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.7, 0.3, 0.0], [0.4, 0.6, 0.0]])
    assert macro_auroc(scores, np.array([0, 1, 1, 0])) == pytest.approx(0.75)
    with pytest.raises(Unavailable):
        macro_auroc(scores, np.zeros(4, np.int64))


@pytest.mark.parametrize("split", ["train", "test", "reserve"])
def test_val_must_be_the_val_split(tmp_path, split):
    with pytest.raises(UserError, match="val split only"):
        TimmClassifier(QUICK).fit(mixture(), films(split, 8), seed=0, work=Work(tmp_path, budget=Budget(1)))


def test_val_must_look_like_the_mixture(tmp_path):
    with pytest.raises(UserError, match="must agree"):
        TimmClassifier(QUICK).fit(mixture(), films("val", 8, size=28), seed=0, work=Work(tmp_path, budget=Budget(1)))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_saved_predicts_the_same(tmp_path, precision):
    work = Work(tmp_path, budget=Budget(2), precision=precision)
    made, _ = fitted(tmp_path, work=work)
    (tmp_path / "saved").mkdir()
    made.save(tmp_path / "saved")
    again = TimmClassifier.load(tmp_path / "saved", device="cpu")
    assert again.config == made.config
    assert read_json(tmp_path / "saved" / "classifier.json")["stem"] == "imagenet"
    np.testing.assert_array_equal(made.predict(TEST.images), again.predict(TEST.images))
    assert {file.suffix for file in (tmp_path / "saved").iterdir()} == {".json", ".safetensors"}


def test_predictions_do_not_depend_on_the_batch(trained):
    made = trained[0]
    alone = np.concatenate([made.predict(image[None]) for image in TEST.images])
    np.testing.assert_allclose(made.predict(TEST.images), alone, atol=1e-5)


def test_predicting_leaves_the_images_and_random_state_untouched(tmp_path):
    images = TEST.images.clone()
    before, legacy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    made, _ = fitted(tmp_path, steps=2)
    made.predict(images)
    assert torch.equal(images, TEST.images)
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], legacy)  # noqa: NPY002


def test_predicting_before_learning_or_on_other_images_is_refused(trained):
    with pytest.raises(UserError, match="learned nothing yet"):
        TimmClassifier().predict(TEST.images)
    with pytest.raises(UserError, match=r"\(3, 32, 32\)"):
        trained[0].predict(TEST.images.expand(-1, 3, -1, -1))
    with pytest.raises(TypeError):
        trained[0].predict(TEST.images.float())


def test_a_loss_that_is_not_finite_stops_with_its_step(tmp_path):
    with pytest.raises(Diverged, match="loss is"):
        fitted(tmp_path, dataclasses.replace(QUICK, learning_rate=1e30), steps=6)


@pytest.mark.parametrize("seconds", [None, 1e-9], ids=["at the last step", "cut short"])
def test_a_network_that_broke_before_its_loss_was_read_has_diverged(tmp_path, monkeypatch, seconds):
    """As on a GPU, whose loss is read now and then: val is looked at first."""
    monkeypatch.setattr(loop, "CHECK_EVERY", {"cpu": 25})
    broken = dataclasses.replace(QUICK, learning_rate=1e30, n_evaluations=1)
    with pytest.raises(Diverged, match=r"logits of val are not finite after step \d of"):
        fitted(tmp_path, broken, work=Work(tmp_path, budget=Budget(6, seconds)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"arch": "resnet81"}, "Did you mean 'resnet18'"),
        ({"arch": "vit_tiny_patch16_224"}, "no ResNet or DenseNet"),
        ({"augment": "flip"}, "no augmentation named 'flip'"),
        ({"batch_size": 1}, "--clf.batch-size 1 was asked for, which is out of range: 2 or more"),
        ({"learning_rate": 0.0}, "--clf.learning-rate"),
        ({"learning_rate": float("nan")}, "--clf.learning-rate"),
        ({"dropout": 1.0}, "--clf.dropout"),
        ({"n_evaluations": 0}, "--clf.n-evaluations"),
    ],
)
def test_options_that_mean_nothing_are_refused_before_anything_runs(options, message):
    with pytest.raises(UserError, match=message):
        Config(**options)


def test_weights_that_cannot_be_fetched_are_refused_in_one_line(monkeypatch):
    import timm

    def offline(*args, **options):
        raise FileNotFoundError("An error happened while trying to locate the file on the hub")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError, match="give them as a file"):
        create_network(Config(pretrained=True), channels=1, size=64, n_classes=2, stem="half")
