"""Folders of diffusers and CLIP as people have them: read whole, or refused in one line before anything is prepared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmarks.request.options import parse
from benchmarks.run import main
from generators.first_stage import PublishedAutoencoder
from generators.nets.labels import ConditionSpec
from generators.pixel_ddpm import PixelDDPM, PixelDDPMConfig
from generators.pretrained import check_unet, load_unet
from synthworth.commands import WRONG, guarded
from synthworth.devices import isolated_randomness
from synthworth.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

LABEL = ConditionSpec("label", 3, False)
NAME = "diffusion_pytorch_model"
BLOCKS = {
    "block_out_channels": (8, 16), "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"), "norm_num_groups": 4, "layers_per_block": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of 32 px in grey, as DDPMPipeline saves it."""
    folder = tmp_path_factory.mktemp("made") / "pipeline"
    with isolated_randomness(0):
        net = UNet2DModel(sample_size=32, in_channels=1, out_channels=1, attention_head_dim=8, **BLOCKS)
    DDPMPipeline(net, DDPMScheduler(1000)).save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture
def pipeline(made: Path, tmp_path: Path) -> Path:
    """A copy of it to damage."""
    return Path(shutil.copytree(made, tmp_path / "pipeline"))


def weights_of(pipeline: Path) -> Path:
    return pipeline / "unet" / f"{NAME}.safetensors"


def change_json(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    found = json.loads(file.read_text())
    file.write_text(json.dumps(change(found) or found))


def rename(pipeline: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    save_file(change(load_file(weights_of(pipeline))), weights_of(pipeline))


def open_unet(pipeline: Path, size: int = 32) -> Any:
    """Load it, after the check that comes before any image: the two must agree."""
    said = []
    for step in (
        lambda: check_unet(str(pipeline), channels=1, size=size, kind="label", width=None),
        lambda: load_unet(str(pipeline), channels=1, size=size, spec=LABEL).unet,
    ):
        try:
            found: Any = step()
        except UserError as error:
            said.append(str(error))
    assert len(set(said)) < 2 and len(said) in (0, 2)
    if said:
        raise UserError(said[0])
    return found


# -- what works -----------------------------------------------------------------------------------------------------


def as_fp16(pipeline: Path) -> None:
    half = {name: value.half() for name, value in load_file(weights_of(pipeline)).items()}
    save_file(half, pipeline / "unet" / f"{NAME}.fp16.safetensors")
    weights_of(pipeline).unlink()


def as_shards(pipeline: Path) -> None:
    state = load_file(weights_of(pipeline))
    where = {name: f"{NAME}-0000{k % 2 + 1}-of-00002.safetensors" for k, name in enumerate(state)}
    for shard in set(where.values()):
        save_file({name: t for name, t in state.items() if where[name] == shard}, pipeline / "unet" / shard)
    (pipeline / "unet" / f"{NAME}.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    weights_of(pipeline).unlink()


def old_attention(state: dict[str, Tensor]) -> dict[str, Tensor]:
    new = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    for now, before in new.items():
        state = {name.replace(f".{now}.", f".{before}."): value for name, value in state.items()}
    assert any(".query." in name for name in state)
    return state


WORKS: dict[str, Callable[[Path], None]] = {
    "as it is": lambda pipeline: None,
    "only an fp16 variant": as_fp16,
    "in shards": as_shards,
    "another file name": lambda pipeline: weights_of(pipeline).rename(pipeline / "unet" / "model.safetensors") and None,
    "under a prefix": lambda p: rename(p, lambda state: {f"module.{k}": v for k, v in state.items()}),
    "diffusers' names of old": lambda p: rename(p, old_attention),
    "a pair of equal sides": lambda p: change_json(p / "unet/config.json", lambda c: c.update(sample_size=[32, 32])),
    "no side": lambda p: change_json(p / "unet/config.json", lambda c: c.update(sample_size=None)),
    "no defaults": lambda p: change_json(p / "unet/config.json", lambda c: c.pop("dropout") and None),
    "no scheduler": lambda p: shutil.rmtree(p / "scheduler"),
}


@pytest.mark.parametrize("form", WORKS)
def test_a_network_is_read_whole_in_every_form_that_people_have(form: str, pipeline: Path) -> None:
    wanted = load_file(weights_of(pipeline))
    WORKS[form](pipeline)
    found = open_unet(pipeline).state_dict()
    assert found.keys() == wanted.keys()
    loose = 1e-3 if "fp16" in form else 0
    assert [name for name in wanted if not torch.allclose(found[name], wanted[name], atol=loose)] == []
    assert {value.dtype for value in found.values()} == {torch.float32}


# -- what is refused ------------------------------------------------------------------------------------------------


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda pipeline: (pipeline / name).write_bytes(content)


def cut(pipeline: Path) -> None:
    weights_of(pipeline).write_bytes(weights_of(pipeline).read_bytes()[:-100])


def without_a_shard(pipeline: Path) -> None:
    as_shards(pipeline)
    next(iter((pipeline / "unet").glob("*00002-of*"))).unlink()


def scheduler(pipeline: Path, name: str) -> None:
    import diffusers

    (pipeline / "scheduler" / "scheduler_config.json").unlink()
    getattr(diffusers, name)().save_pretrained(pipeline / "scheduler")


UNET, CONFIG = f"unet/{NAME}.safetensors", "unet/config.json"
REFUSED: dict[str, tuple[Callable[[Path], object], str]] = {
    "half the tensors": (
        lambda p: rename(p, lambda state: dict(list(state.items())[::2])),
        r"does not fill the UNet2DModel of its config\.json: \d+ of \d+ tensors are missing, \S+ for one",
    ),
    "tensors of another width": (
        lambda p: change_json(p / CONFIG, lambda c: c.update(block_out_channels=[8, 24])),
        r"\d+ of \d+ tensors have another shape, \S+ for one is \(",
    ),
    "a shallower configuration": (
        lambda p: rename(p, lambda s: {**s, "mid_block.resnets.7.conv1.weight": torch.zeros(2, 2, 3, 3)}),
        r"have no place there, mid_block\.resnets\.7",
    ),
    "not a number": (
        lambda p: rename(p, lambda s: {**s, "conv_in.bias": torch.full_like(s["conv_in.bias"], torch.nan)}),
        r"numbers that are not finite, conv_in\.bias",
    ),
    "cut short": (cut, "cannot be read as safetensors: it is cut short or damaged"),
    "a web page": (write(UNET, b"<!DOCTYPE html><html>Sign in</html>"), "it is a web page"),
    "an empty file": (write(UNET, b""), "it is empty"),
    "a pointer": (write(UNET, b"version https://git-lfs.github.com/spec/v1\n"), "pointer of Git LFS"),
    "a folder for a file": (lambda p: (weights_of(p).unlink(), weights_of(p).mkdir()), "is a folder, and one file"),
    "pickled weights alone": (
        lambda p: weights_of(p).rename(p / "unet" / f"{NAME}.bin"), r"holds no safetensors.*safe_serialization=True"
    ),
    "two files": (
        lambda p: (as_fp16(p), shutil.copy(p / "unet" / f"{NAME}.fp16.safetensors", p / "unet/ema.safetensors")),
        r"holds .*fp16\.safetensors, ema\.safetensors; keep the one that is meant",
    ),
    "a shard that is lost": (without_a_shard, "lacks 1 of the 2 shards that its index names"),
    "no JSON": (write(CONFIG, b"{'in_channels': 1"), r"config\.json is not JSON"),
    "no text": (write(CONFIG, b"\xff\xfe\0\1"), r"config\.json is not JSON"),
    "a web page for a configuration": (write(CONFIG, b"<html></html>"), r"config\.json is not JSON"),
    "a list for a configuration": (write(CONFIG, b"[1, 2]"), "holds a list, not settings by name"),
    "no kind": (lambda p: change_json(p / CONFIG, lambda c: c.pop("_class_name") and c), "does not say what it holds"),
    "another kind": (
        lambda p: change_json(p / CONFIG, lambda c: c.update(_class_name="Transformer2DModel")),
        "holds a Transformer2DModel; what is needed is UNet2DModel or UNet2DConditionModel",
    ),
    "no channels": (lambda p: change_json(p / CONFIG, lambda c: c.pop("in_channels") and c), "lacks in_channels"),
    "no widths, no groups": (
        lambda p: change_json(p / CONFIG, lambda c: {k: v for k, v in c.items() if k not in BLOCKS}),
        "lacks block_out_channels, down_block_types, up_block_types, layers_per_block, norm_num_groups",
    ),
    "widths that are none": (
        lambda p: change_json(p / CONFIG, lambda c: c.update(block_out_channels=16)), "says block_out_channels 16"
    ),
    "a block that is none": (
        lambda p: change_json(p / CONFIG, lambda c: c.update(down_block_types=["DownBlock2D", "Blocky"])),
        r"no UNet2DModel can be built as .*config\.json says",
    ),
    "oblong": (
        lambda p: change_json(p / CONFIG, lambda c: c.update(sample_size=[32, 64])), "works at 32 x 64 px"
    ),
    "another size": (
        lambda p: change_json(p / CONFIG, lambda c: c.update(sample_size=[64, 64])),
        "works at 64 px and the images have 32",
    ),
    "flow matching": (
        lambda p: scheduler(p, "FlowMatchEulerDiscreteScheduler"), "of a FlowMatchEulerDiscreteScheduler without betas"
    ),
    "EDM": (lambda p: scheduler(p, "EDMEulerScheduler"), "of a EDMEulerScheduler without betas"),
    "a schedule that is none": (
        lambda p: change_json(p / "scheduler/scheduler_config.json", lambda c: c.update(beta_schedule="wavy")),
        "describes no schedule of noise",
    ),
    "a scheduler that is no JSON": (
        write("scheduler/scheduler_config.json", b"{"), r"scheduler_config\.json is not JSON"
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_a_network_that_cannot_be_used_is_refused_in_one_line_before_there_are_images(
    fault: str, pipeline: Path
) -> None:
    change, says = REFUSED[fault]
    change(pipeline)
    with pytest.raises(UserError, match=says) as refused:
        open_unet(pipeline)
    assert "\n" not in str(refused.value)
    assert "made again" not in str(refused.value), "the suite did not make it"
    assert "--gen.pretrained" in str(refused.value)


def test_a_file_in_the_place_of_its_folder_is_said(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pipeline)
    for name in (f"unet/{NAME}.safetensors", str(weights_of(pipeline))):
        with pytest.raises(UserError, match="is a file; give the folder that holds it"):
            check_unet(name, channels=None, size=None, kind="label", width=None)


def test_an_autoencoder_with_half_its_tensors_is_refused(tmp_path: Path) -> None:
    with isolated_randomness(0):
        net = AutoencoderKL(block_out_channels=(8,), latent_channels=2, norm_num_groups=4)
    net.save_pretrained(tmp_path / "vae", safe_serialization=True)
    file = tmp_path / "vae" / f"{NAME}.safetensors"
    state = load_file(file)
    before = torch.random.get_rng_state()
    opened = PublishedAutoencoder.open(str(tmp_path), channels=1, size=32, device="cpu")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(value, state[name]) for name, value in opened.net.state_dict().items())
    save_file({name: value for name, value in state.items() if not name.startswith("decoder.mid")}, file)
    says = r"--gen\.autoencoder: .* does not fill the AutoencoderKL .*: \d+ of \d+ tensors are missing, decoder\.mid"
    for refuse in (
        lambda: PublishedAutoencoder.check(str(tmp_path), channels=None),
        lambda: PublishedAutoencoder.open(str(tmp_path), channels=1, size=32, device="cpu"),
    ):
        with pytest.raises(UserError, match=says):
            refuse()


# -- a folder of one's own in the place of a published system's hub id ------------------------------------------------


def test_a_folder_takes_the_place_of_a_systems_hub_id(pipeline: Path, tmp_path: Path) -> None:
    published = parse(["--config", "ddpm_cifar10_finetuned"], prog="t").gen
    assert published.pretrained_id == "hub:google/ddpm-cifar10-32"
    ours = parse(["--config", "ddpm_cifar10_finetuned", "--gen.pretrained", str(pipeline)], prog="t").gen
    plain = parse(["--generator", "pixel_ddpm", "--gen.pretrained", str(pipeline)], prog="t").gen
    assert ours.pretrained_id == plain.pretrained_id
    assert len(ours.pretrained_id) == 64
    assert PixelDDPM.version_of(ours) == PixelDDPM.version + 1 == PixelDDPM.version_of(PixelDDPMConfig()) + 1
    clip = ["--config", "cxr_diffusion_text", "--gen.condition.clip", str(pipeline)]
    assert parse(clip, prog="t").gen.condition.source_id == ours.pretrained_id
    other = tmp_path / "other.pth"
    torch.save({"a": torch.zeros(1)}, other)
    (tmp_path / "run.yaml").write_text(f"clf: {{weights: {weights_of(pipeline)}}}\n")
    flags = ["--config", str(tmp_path / "run.yaml"), "--clf.weights", str(other)]
    assert (
        parse(flags, prog="t").clf.weights_sha256 == parse(["--clf.weights", str(other)], prog="t").clf.weights_sha256
    )


def test_an_id_that_was_asked_for_still_binds(pipeline: Path, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("generator: pixel_ddpm\ngen: {pretrained: a/b, pretrained_id: 'hub:a/b'}\n")
    gen = parse(["--config", str(tmp_path / "run.yaml"), "--gen.pretrained", str(pipeline)], prog="t").gen
    assert gen.pretrained_id == "hub:a/b"


# -- before any data is prepared --------------------------------------------------------------------------------------

SMOKE = ["--preset", "smoke", "--dataset", "phantom", "--seeds", "1", "--extractors"]


def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, home: Path, *args: str
) -> tuple[int, str, list[Path]]:
    """Exit code, what was said on stderr, and what was written."""
    monkeypatch.setenv("SYNTHWORTH_HOME", str(home / "home"))
    monkeypatch.setenv("SYNTHWORTH_OFFLINE", "1")
    code = guarded(main, [*SMOKE, "--results", str(home / "results"), *args])
    return code, capsys.readouterr().err, [p for p in home.rglob("*") if p.is_file()]


@pytest.mark.parametrize("dry", [False, True])
def test_every_file_is_checked_before_any_data_is_prepared(
    dry: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pipeline: Path, tmp_path: Path
) -> None:
    rename(pipeline, lambda state: dict(list(state.items())[::2]))
    broken, page, folder = str(pipeline), tmp_path / "page.pth", tmp_path / "folder"
    page.write_text("<html>")
    folder.mkdir()
    system = tmp_path / "system.yaml"
    system.write_text("generator: pixel_ddpm\ngen: {pretrained: google/ddpm-cifar10-32}\n")
    unet = ("--generator", "pixel_ddpm", "--gen.pretrained")
    requests: list[tuple[tuple[str, ...], str]] = [
        ((*unet, broken), "tensors are missing"),
        (("--config", str(system), *unet[2:], broken), "tensors are missing"),
        ((*unet, str(folder)), "is no folder of diffusers"),
        (("--gen.autoencoder", broken), "there is no config.json in it, nor in vae/"),
        (("--gen.condition.kind", "clip_text", "--gen.condition.clip", str(folder)), "holds no CLIP as safetensors"),
        (("--gen.condition.kind", "embedding", "--gen.condition.embeddings", str(folder)), "is a folder, and one"),
        (("--gen.condition.kind", "embedding", "--gen.condition.embeddings", str(page)), "neither .npz nor .parquet"),
        (("--clf.weights", str(page)), "--clf.weights"),
        (("--clf.weights", str(weights_of(pipeline))), "holds no tensor of resnet18"),
        (("--generator", "vae", "--gen.encoder", "vgg16", "--gen.encoder-weights", str(page)), "web page"),
        (("--generator", "vae", "--gen.perceptual", "1", "--gen.perceptual-weights", str(page)), "web page"),
        ((*unet[:2], "--gen.pretrained-id", "hub:a/b"), "say with --gen.pretrained where it is"),
    ]  # fmt: skip
    for args, says in requests:
        code, said, written = run(capsys, monkeypatch, tmp_path / "home", *args, *(["--dry-run"] if dry else []))
        errors = [line for line in said.splitlines() if line.startswith("error: ")]
        assert (code, len(errors), written) == (WRONG, 1, []), (args, said)
        assert says in errors[0]
        assert "Traceback" not in said


def test_a_network_of_another_size_is_refused_before_films_are_decoded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pipeline: Path, tmp_path: Path
) -> None:
    args = ("--generator", "pixel_ddpm", "--gen.pretrained", str(pipeline), "--data.size", "64")
    code, said, written = run(capsys, monkeypatch, tmp_path / "home", *args)
    assert (code, written) == (WRONG, [])
    assert "works at 32 px and the images have 64" in said


def test_a_dry_run_asks_no_hub_and_what_is_stored_needs_no_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    hub = ("--generator", "pixel_ddpm", "--gen.pretrained", "nobody-at-all/nothing")
    assert run(capsys, monkeypatch, tmp_path / "home", *hub, "--dry-run")[0] == 0
    code, said, written = run(capsys, monkeypatch, tmp_path / "home", *hub)
    assert (code, written) == (WRONG, [])
    assert "fetching is forbidden" in said


def test_a_ratio_that_comes_to_no_image_is_refused_before_anything_is_trained(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = ("--generator", "duplicate", "--controls", "none", "--data.n-train", "60", "--data.n-val", "40",
             "--data.n-test", "40", "--max-train", "0")  # fmt: skip
    for more in (("--ratio", "0.0001"), ("--ratio", "0.5", "0.008"), ("--ratio", "0.0001", "--mode", "replace")):
        code, said, written = run(capsys, monkeypatch, tmp_path / "home", *small, *more)
        assert code == WRONG
        assert "of 60 training images comes to 0 synthetic images; 1 image is a ratio of 0.0167" in said
        assert {path.relative_to(tmp_path / "home/home/artifacts").parts[0] for path in written
                if "artifacts" in path.parts} == {"data"}  # fmt: skip


@pytest.mark.parametrize("content", [b"<html>Sign in</html>", b"", b"PK\3\4 cut short"])
@pytest.mark.parametrize("which", ["inception", "torchxrayvision", "lpips"])
def test_damaged_weights_of_what_images_are_measured_with_are_refused_first(
    which: str, content: bytes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from benchmarks.metrics.extractors import inception, xrv
    from generators.perceptual import FILE_NAMES

    names = {"inception": inception.FILE_NAMES[0], "torchxrayvision": xrv.FILE_NAME, "lpips": FILE_NAMES[0]}
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / names[which]).write_bytes(content)
    monkeypatch.setenv("SYNTHWORTH_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    more = () if which == "lpips" else (which,)
    code, said, written = run(capsys, monkeypatch, tmp_path / "home", "--generator", "noise", "--extractors", *more)
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert (code, len(errors), written) == (WRONG, 1, [])
    assert names[which] in errors[0]
    assert "Put " in errors[0] or "Fetch it again" in errors[0] or "Convert it" in errors[0]
