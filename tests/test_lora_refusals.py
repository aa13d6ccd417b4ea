"""`lora`: what cannot be a base, or cannot be asked of one, is said in one line before anything is prepared."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lora_files import SIDE, write_stable_diffusion, write_three
from safetensors.torch import load_file, save_file

from benchmarks.check.checks import make_images
from benchmarks.request.options import parse
from benchmarks.run import main
from generators.lora import LoRA
from generators.lora_options import LoRAConfig
from synthworth.commands import WRONG, guarded
from synthworth.errors import UserError
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("peft", reason="the extra `lora` is not installed")
    return write_stable_diffusion(tmp_path_factory.mktemp("made") / "base")


@pytest.fixture(scope="module")
def made_three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("peft", reason="the extra `lora` is not installed")
    return write_three(tmp_path_factory.mktemp("three") / "base", t5=False)


@pytest.fixture
def base(made: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(made, tmp_path / "base"))


def config(base: Path, /, **options: Any) -> LoRAConfig:
    return dataclasses.replace(LoRA.tiny_config(), **{"base": str(base), "saw_test": "no", "base_id": "", **options})


def check(base: Path, /, **options: Any) -> None:
    LoRA(config(base, **options)).check_files(fetch=False, channels=1, size=SIDE)


def change(base: Path, file: str, **values: Any) -> None:
    where = base / file
    known = json.loads(where.read_text())
    kept = {name: value for name, value in {**known, **values}.items() if value is not ...}
    where.write_text(json.dumps(kept))


def index(**values: Any) -> Callable[[Path], None]:
    return lambda base: change(base, "model_index.json", **values)


def scheduler(**values: Any) -> Callable[[Path], None]:
    return lambda base: change(base, "scheduler/scheduler_config.json", **values)


def unet(**values: Any) -> Callable[[Path], None]:
    return lambda base: change(base, "unet/config.json", **values)


def lose(name: str) -> Callable[[Path], None]:
    return lambda base: shutil.rmtree(base / name) if (base / name).is_dir() else (base / name).unlink()


def halve(base: Path) -> None:
    save_file(dict(list(load_file(base / UNET).items())[::2]), base / UNET)


def pickle(name: str) -> Callable[[Path], None]:
    def rename(base: Path) -> None:
        for file in (base / name).glob("*.safetensors"):
            file.rename(file.with_suffix(".bin"))

    return rename


def without_tokenizer(base: Path) -> None:
    for file in (base / "tokenizer").iterdir():
        if file.name in ("vocab.json", "tokenizer.json"):
            file.unlink()


DAMAGED: dict[str, tuple[Callable[[Path], None], str]] = {
    "no pipeline": (lose("model_index.json"), r"holds no pipeline of diffusers: there is no model_index\.json"),
    "another pipeline": (index(_class_name="DDPMPipeline"), "holds a DDPMPipeline; what can be fine-tuned is a Stable"),
    "a pipeline of images": (index(_class_name="StableDiffusionImg2ImgPipeline"), "holds a StableDiffusionImg2Img"),
    "code of its own": (index(_class_name=["pipeline", "Mine"]), "what can be fine-tuned is a StableDiffusion"),
    "no class": (index(_class_name=...), "does not say what it holds"),
    "no text encoder": (lose("text_encoder"), r"has no text encoder \(text_encoder with tokenizer\), and without one"),
    "none named": (index(text_encoder=[None, None]), "has no text encoder"),
    "another text encoder": (index(text_encoder=["mine", "Reader"]), "names a Reader; what is needed is CLIPTextModel"),
    "no tokenizer": (without_tokenizer, "holds no tokenizer: none of tokenizer.json"),
    "a pickled network": (pickle("unet"), r"unet holds no safetensors; other formats are not read"),
    "a pickled autoencoder": (pickle("vae"), r"vae holds no safetensors; other formats are not read"),
    "a pickled text encoder": (pickle("text_encoder"), r"text_encoder holds no safetensors; other formats"),
    "half a network": (halve, r"does not fill the UNet2DConditionModel .*: \d+ of \d+ tensors are missing"),
    "no network": (lose("unet"), "unet.*there is no such folder"),
    "another network": (unet(_class_name="UNet2DModel"), "what is needed is UNet2DConditionModel"),
    "inpainting": (unet(in_channels=9), "takes 9 channels, and the latents have 4: it is told more than a prompt"),
    "oblong": (unet(sample_size=[8, 16]), r"says sample_size \[8, 16\], which is no one side"),
    "no scheduler": (lose("scheduler"), r"has no scheduler/scheduler_config\.json"),
    "EDM": (
        scheduler(_class_name="EDMEulerScheduler", beta_schedule=..., trained_betas=...),
        "of a EDMEulerScheduler without betas",
    ),
    "a sample is predicted": (scheduler(prediction_type="sample"), "says that the network predicts sample"),
    "an unknown scheduler": (scheduler(_class_name="Mine"), "names 'Mine', which is no scheduler of diffusers"),
    "a shift of nothing": (
        scheduler(_class_name="FlowMatchEulerDiscreteScheduler", shift=-1),
        r"says shift -1 and 1000 steps; both are above 0",
    ),
    "a shift that moves": (
        scheduler(_class_name="FlowMatchEulerDiscreteScheduler", use_dynamic_shifting=True),
        "only a fixed shift is known",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", DAMAGED)
def test_what_cannot_be_a_base_is_refused_in_one_line(fault: str, base: Path) -> None:
    damage, says = DAMAGED[fault]
    damage(base)
    with pytest.raises(UserError, match=says) as refused:
        check(base)
    assert "--gen.base" in str(refused.value)
    assert "\n" not in str(refused.value)


ASKED: dict[str, tuple[dict[str, Any], str]] = {
    "no base": ({"base": ""}, "lora needs --gen.base FOLDER or a hub id: a text-to-image pipeline of diffusers"),
    "an id without its place": (
        {"base": "", "base_id": "hub:a/b"}, "the base hub:a/b is asked for; say with --gen.base where"
    ),
    "nowhere": ({"base": "/nowhere/at all"}, "there is no such file or folder, nor can it be a hub id"),
    "a revision of a folder": ({"base_revision": "main"}, r"base-revision main is of a hub id, and \S+ is a folder"),
    "rank 0": ({"rank": 0}, r"rank 0 was asked for, which is out of range: 1 or more"),
    "alpha 0": ({"alpha": 0.0}, "alpha 0.0 was asked for, which is out of range: above 0"),
    "no steps": ({"sampling_steps": 0}, "sampling.steps 0 was asked for, which is out of range: 1 to 1000"),
    "less than no guidance": ({"guidance": 0.5}, "guidance 0.5 was asked for, which is out of range: 1 or more"),
    "a module that is not there": (
        {"targets": ("to_q", "to_z")}, r"unet has no module 'to_z' \(--gen\.targets\); linear ones are .*to_k"
    ),
    "a module that is not linear": ({"targets": ("norm1",)}, r"'norm1' \(--gen\.targets\) is a \w+; a linear layer"),
    "no module": ({"targets": ()}, r"--gen\.targets names no module"),
    "a size between": ({"draw_size": 17}, r"--gen\.draw-size 17 was asked for; \S+ draws multiples of 8"),
    "too small a size": ({"draw_size": 6}, r"--gen\.draw-size 6 was asked for; \S+ draws multiples of 8"),
    "guidance without dropout": ({"drop": 0.0}, "guidance 2.0 needs a prediction without prompt: set drop above 0"),
    "no place for findings": ({"prompt": "a film"}, "does not say where the {findings} go"),
    "other braces": ({"prompt": "{view} with {findings}"}, "has braces other than {findings}"),
}  # fmt: skip


@pytest.mark.parametrize("fault", ASKED)
def test_what_cannot_be_asked_of_a_base_is_refused_in_one_line(fault: str, made: Path) -> None:
    options, says = ASKED[fault]
    with pytest.raises(UserError, match=says) as refused:
        check(made, **options)
    assert "\n" not in str(refused.value)


def test_the_largest_side_of_a_transformer_is_kept_to(made_three: Path) -> None:
    check(made_three, draw_size=32)
    with pytest.raises(UserError, match=r"--gen\.draw-size 36 was asked for; \S+ draws 32 at most"):
        check(made_three, draw_size=36)
    with pytest.raises(UserError, match=r"--gen\.draw-size 18 was asked for; \S+ draws multiples of 4"):
        check(made_three, draw_size=18)


def test_stable_diffusion_3_does_without_its_third_encoder_and_not_without_its_second(
    made_three: Path, tmp_path: Path
) -> None:
    check(made_three)
    base = Path(shutil.copytree(made_three, tmp_path / "three"))
    index(text_encoder_2=[None, None])(base)
    with pytest.raises(UserError, match=r"has no text encoder \(text_encoder_2 with tokenizer_2\)"):
        check(base)


def test_a_base_that_changed_since_it_was_asked_for_is_refused(base: Path, tmp_path: Path) -> None:
    asked = config(base)
    scheduler(beta_end=0.02)(base)
    train = make_images(multilabel=False, channels=1, size=SIDE)
    for refuse in (
        lambda: LoRA(asked).check_files(fetch=False, channels=1, size=SIDE),
        lambda: LoRA(asked).fit(train, seed=1, work=Work(tmp_path / "work", budget=Budget(2))),
    ):
        with pytest.raises(UserError, match="was asked for: it has changed, or the id beside it is another's"):
            refuse()
    assert not (tmp_path / "work").exists()


def test_a_prompt_that_is_too_long_is_refused_before_any_training(base: Path, tmp_path: Path) -> None:
    model = LoRA(config(base, prompt="word " * 40 + "{findings}"))
    train = make_images(multilabel=False, channels=1, size=SIDE)
    with pytest.raises(UserError, match=r"is \d+ tokens long; text_encoder reads 64\. Shorten --gen\.prompt"):
        model.fit(train, seed=1, work=Work(tmp_path / "work", budget=Budget(2)))
    assert not list((tmp_path).rglob("*.ckpt"))


@pytest.mark.parametrize("name", ["peft", "transformers"])
def test_a_missing_package_is_named_with_what_installs_it(
    name: str, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"lora needs peft and transformers: pip install 'synthworth\[lora\]'"):
        check(made)


def test_what_may_have_been_seen_is_said(base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train = make_images(multilabel=False, channels=1, size=SIDE)
    for answer, says in (("unknown", "is not known"), ("yes", "a gain may be memory"), ("no", "")):
        caplog.clear()
        work = Work(tmp_path / answer, budget=Budget(1))
        report = LoRA(config(base, saw_test=answer)).fit(train, seed=1, work=work)
        assert [says in record.message for record in caplog.records if "saw-test" in record.message] == [True] * bool(
            says
        )
        assert report.facts["base_saw_test"] == answer


def test_the_key_is_the_content_of_the_base_wherever_it_lies(
    base: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def words(where: Path) -> list[str]:
        return ["--generator", "lora", "--gen.base", str(where)]

    assert parse(words(base), prog="t").gen.base_id == parse(words(made), prog="t").gen.base_id
    monkeypatch.setenv("SYNTHWORTH_OFFLINE", "1")
    of_hub = parse(["--generator", "lora", "--gen.base", "a/b", "--gen.base-revision", "v1"], prog="t").gen
    assert of_hub.base_id == "hub:a/b@v1"
    LoRA(of_hub).check_files(fetch=False, channels=1, size=SIDE)
    with pytest.raises(UserError, match="a/b is not on this machine and cannot be fetched"):
        LoRA(of_hub).check_files(fetch=True, channels=1, size=SIDE)


def test_a_run_is_refused_before_any_data_is_prepared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, base: Path
) -> None:
    monkeypatch.setenv("SYNTHWORTH_HOME", str(tmp_path / "home"))
    words = ["--preset", "smoke", "--dataset", "phantom", "--seeds", "1", "--extractors", "--generator", "lora"]
    lose("text_encoder")(base)
    for more, says in (([], "lora needs --gen.base FOLDER"), (["--gen.base", str(base)], "has no text encoder")):
        assert guarded(main, [*words, "--results", str(tmp_path / "results"), *more]) == WRONG
        assert says in capsys.readouterr().err
    assert not [p for p in (tmp_path / "home").rglob("*") if p.is_file()]
