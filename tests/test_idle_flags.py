"""A flag that would change nothing is refused, with what stands in its way; a file may say all there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.request.families import parse_each
from synthworth.errors import UserError

RUN = ("--preset", "smoke", "--device", "cpu")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            "--generator flow --gen.dit.width 256",
            "--gen.dit.width changes nothing here: --gen.backbone is unet; set --gen.backbone dit, or leave "
            "--gen.dit.width out",
        ),
        ("--generator edm --gen.dit.head-width=32", "--gen.dit.head-width changes nothing here"),
        ("--generator pixel_ddpm --gen.backbone dit --gen.widths 8 16", "--gen.widths changes nothing here"),
        ("--generator flow --gen.backbone dit --gen.blocks 2", "--gen.blocks changes nothing here"),
        ("--generator edm --gen.backbone dit --gen.attention 0", "or leave --gen.attention out"),
        ("--generator consistency --gen.backbone dit --gen.patch 2", "--gen.patch changes nothing here"),
        ("--generator latent_ddpm --gen.backbone dit --gen.unet-blocks 2", "--gen.unet-blocks changes nothing here"),
        (
            "--generator latent_flow --gen.mlp-width 256",
            "--gen.first-stage.latent is spatial; set --gen.first-stage.latent vector",
        ),
        (
            "--generator latent_flow --gen.first-stage.latent vector --gen.unet-attention 0",
            "--gen.first-stage.latent is vector; set --gen.first-stage.latent spatial",
        ),
        ("--generator vae --gen.latent vector --gen.latent-channels 4", "set --gen.latent spatial"),
        ("--generator vae --gen.hidden 64", "--gen.decoder is upsample; set --gen.decoder linear"),
        ("--generator flow --gen.times uniform --gen.times-mean 0", "set --gen.times logit_normal"),
        ("--generator edm --gen.churn-noise 1.1", "--gen.churn is 0.0; set --gen.churn above 0, or leave"),
        ("--generator edm --gen.churn-min 1", "set --gen.churn above 0"),
        ("--generator edm --gen.churn-max 1", "set --gen.churn above 0"),
        ("--generator dcgan --gen.ada-target 0.3", "--gen.augment is none; set --gen.augment ada, or leave"),
        ("--generator r3gan --gen.augment color --gen.ada-images 10", "--gen.augment is color; set --gen.augment ada"),
        ("--generator flow --gen.condition.prompt x", "set --gen.condition.kind clip_text, or leave"),
        ("--generator flow --gen.condition.token-width 4", "set --gen.condition.kind multilabel"),
        ("--generator flow --gen.condition.clip some/hub", "set --gen.condition.kind clip_text or clip_vision"),
        ("--generator pixel_ddpm --gen.pretrained a/hub --gen.prediction v_prediction", "leave --gen.pretrained out"),
        ("--generator pixel_ddpm --gen.pretrained a/hub --gen.blocks 2", "--gen.pretrained is a/hub; leave"),
        ("--generator pixel_ddpm --gen.backbone dit --gen.patch 2", "set --gen.backbone unet"),
        ("--generator flow --gen.ema 0 --gen.ema-every 5", "--gen.ema is 0.0; set --gen.ema above 0, or leave"),
        ("--generator dcgan --gen.ema None --gen.ema-every 5", "--gen.ema is not given; set --gen.ema above 0"),
        ("--generator vae --gen.ema-every 5", "set --gen.ema above 0"),
        ("--generator vae --gen.no-conditional --gen.label-width 8", "set --gen.conditional True"),
        ("--generator gmvae --gen.context-hidden 5", "--gen.context is 0; set --gen.context above 0"),
        ("--generator gmvae --gen.context 2 --gen.closing-rounds 5", "--gen.context is 2; set --gen.context 0"),
        ("--generator flow --gen.copy-looks 5", "set --gen.stop-at-copy-rate above 0"),
        ("--generator r3gan --gen.copy-images 50", "set --gen.stop-at-copy-rate above 0"),
        ("--generator flow --gen.batch 1 --gen.coupling", "--gen.batch is 1; set --gen.batch above 1"),
        ("--generator flow --gen.sampling-steps 1 --gen.shift 2", "set --gen.sampling-steps above 1"),
        ("--generator edm --gen.sampling-steps 1 --gen.rho 5", "set --gen.sampling-steps above 1"),
        (
            "--generator latent_ddpm --gen.first-stage.latent vector --gen.standardise dimension",
            "set --gen.first-stage.latent spatial",
        ),
        ("--generator latent_flow --gen.first-stage.draw-from posterior", "the denoiser draws the latents in latent_f"),
        ("--generator latent_ddpm --gen.first-stage.kernel-width 1", "leave --gen.first-stage.kernel-width out"),
        ("--generator latent_flow --gen.first-stage.label-width 8", "set --gen.first-stage.conditional True"),
        ("--generator dcgan_per_class --gen.auxiliary 2", "each network sees one class in dcgan_per_class; leave"),
        ("--generator lsgan_per_class --gen.conditioning input", "--gen.conditioning changes nothing here"),
        ("--clf.blend-alpha 0.4", "--clf.blend is none; set --clf.blend mixup or cutmix, or"),
        ("--classifier resnet18 densenet121 --clf.blend-alpha 0.4", "--clf.blend is none"),
    ],
)  # fmt: skip
def test_a_flag_without_a_part_is_refused(flags: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_each([*RUN, *flags.split()], prog="t")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "flags",
    [
        "--generator flow --gen.backbone dit --gen.dit.width 256 --gen.dit.depth 2",
        "--generator flow --gen.widths 8 16 --gen.blocks 2 --gen.attention 0 --gen.patch 2",
        "--generator latent_ddpm --gen.first-stage.latent vector --gen.mlp-width 256 --gen.mlp-blocks 2",
        "--generator latent_ddpm --gen.first-stage.blocks 3 --gen.unet-widths 8",
        "--generator vae --gen.decoder linear --gen.latent vector --gen.latent-size 16 --gen.hidden 64",
        "--clf.blend mixup --clf.blend-alpha 0.4",
        "--generator edm --gen.churn 5 --gen.churn-min 0.1 --gen.churn-max 20 --gen.churn-noise 1.01",
        "--generator r3gan --gen.augment color ada --gen.ada-target 0.3 --gen.ada-images 1000",
        "--generator flow --gen.condition.kind multilabel --gen.condition.token-width 4",
        "--generator pixel_ddpm --gen.blocks 2 --gen.prediction v_prediction --gen.patch 2",
        "--generator dcgan --gen.auxiliary 2 --gen.conditioning input --gen.ema-every 5",
        "--generator dcgan_per_class --gen.ema-every 5 --gen.width 32",
        "--generator flow --gen.stop-at-copy-rate 0.1 --gen.copy-looks 5 --gen.copy-images 50 --gen.coupling",
        "--generator latent_flow --gen.first-stage.conditional --gen.first-stage.label-width 8 --gen.shift 2",
        "--generator gmvae --gen.context 2 --gen.context-hidden 5",
    ],
)
def test_a_flag_with_a_part_is_taken(flags: str) -> None:
    assert parse_each([*RUN, *flags.split()], prog="t")


def test_a_file_may_hold_options_without_a_part(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text("generator: flow\ngen: {dit: {width: 256}, times_mean: 0.0}\nclf: {blend_alpha: 0.4}\n")
    (request,) = parse_each([*RUN, "--config", str(file)], prog="t")
    assert request.gen.dit.width == 256 and request.gen.backbone == "unet"
    with pytest.raises(UserError, match=r"--gen\.dit\.depth changes nothing here"):
        parse_each([*RUN, "--config", str(file), "--gen.dit.depth", "2"], prog="t")


def test_what_a_published_network_stands_for_is_refused_beside_it(tmp_path: Path) -> None:
    flags = ["--generator", "latent_ddpm", "--gen.autoencoder", "some/hub", "--gen.first-stage-share", "0.3"]
    with pytest.raises(UserError, match=r"--gen\.autoencoder is some/hub; leave --gen\.autoencoder out, or leave"):
        parse_each([*RUN, *flags], prog="t")


def test_what_a_teacher_has_learned_by_is_refused_beside_it(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    for flag in ("lr", "noise-mean", "noise-spread", "teacher-share"):
        asked = ["--generator", "consistency", "--gen.teacher", str(tmp_path), f"--gen.{flag}", "0.5"]
        with pytest.raises(UserError, match=f"--gen.{flag} changes nothing here: --gen.teacher is"):
            parse_each([*RUN, *asked], prog="t")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("latent_flow --gen.unet-widths 0", "--gen.unet-widths (0,) was asked for, which is out of range"),
        ("latent_flow --gen.unet-blocks 0", "--gen.unet-blocks 0"),
        ("latent_ddpm --gen.unet-attention 7", "--gen.unet-attention (7,)"),
        ("latent_flow --gen.first-stage.latent vector --gen.mlp-width 0", "--gen.mlp-width 0"),
        ("latent_ddpm --gen.first-stage.latent vector --gen.mlp-blocks 0", "--gen.mlp-blocks 0"),
        ("latent_ddpm --gen.first-stage-share 0", "--gen.first-stage-share 0.0"),
        ("latent_ddpm --gen.first-stage-share 1.5", "--gen.first-stage-share 1.5"),
        ("flow --gen.attention 7", "--gen.attention (7,)"),
        ("pixel_ddpm --gen.attention -9", "--gen.attention (-9,)"),
        ("flow --gen.batch 10 --gen.accumulate 3", "--gen.accumulate 3"),
        ("lora --gen.base x --gen.batch 6 --gen.accumulate 4", "--gen.accumulate 4"),
        ("dcgan --gen.batch 9 --gen.accumulate 2", "--gen.accumulate 2"),
        ("dcgan --gen.batch 8 --gen.accumulate 8", "equal parts of 2 or more"),
        ("lsgan_per_class --gen.batch 2 --gen.accumulate 2", "equal parts of 2 or more"),
        ("flow --gen.condition.kind multilabel --gen.condition.token-width 0", "--gen.condition.token-width 0"),
        ("flow --gen.condition.kind embedding --gen.condition.embedding-shape 0 8", "--gen.condition.embedding-shape"),
        ("latent_flow --gen.backbone dit --gen.first-stage.latent vector", "a vector latent is denoised by an MLP"),
        ("latent_ddpm --gen.condition.kind multilabel --gen.first-stage.latent vector", "has no place for"),
        ("lsgan --gen.code-real 0 --gen.augment ada", "--gen.code-real and --gen.code-drawn are both 0"),
        ("edm --gen.churn 5 --gen.churn-max nan", "--gen.churn-max nan"),
    ],
)  # fmt: skip
def test_a_network_that_cannot_be_is_refused_before_anything_is_made(flags: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_each([*RUN, "--generator", *flags.split()], prog="t")
    assert said in str(caught.value) and "\n" not in str(caught.value)
