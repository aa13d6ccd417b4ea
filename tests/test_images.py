"""At the boundary of images no byte is lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from synthworth.images import check_batch, from_signed, resize, to_rgb, to_signed, to_unit


@pytest.fixture
def every_byte() -> torch.Tensor:
    return torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)


def test_every_byte_comes_back_from_signed_floats(every_byte: torch.Tensor) -> None:
    assert torch.equal(from_signed(to_signed(every_byte)), every_byte)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_float_types_come_back_as_bytes(every_byte: torch.Tensor, dtype: torch.dtype) -> None:
    back = from_signed(to_signed(every_byte).to(dtype))
    assert back.dtype == torch.uint8
    assert (back.int() - every_byte.int()).abs().max() <= (1 if dtype == torch.bfloat16 else 0)


def test_signed_floats_run_from_minus_one_to_one(every_byte: torch.Tensor) -> None:
    signed, unit = to_signed(every_byte), to_unit(every_byte)
    assert (float(signed.min()), float(signed.max())) == (-1.0, 1.0)
    assert (float(unit.min()), float(unit.max())) == (0.0, 1.0)


def test_what_a_network_overshoots_is_clamped() -> None:
    wild = torch.tensor([-7.0, -1.0, 0.0, 1.0, 7.0]).reshape(1, 1, 1, 5)
    assert from_signed(wild).flatten().tolist() == [0, 0, 128, 255, 255]


def test_converting_leaves_the_input_alone(every_byte: torch.Tensor) -> None:
    before, signed = every_byte.clone(), to_signed(every_byte)
    kept = signed.clone()
    from_signed(signed)
    assert torch.equal(every_byte, before)
    assert torch.equal(signed, kept)


def test_grey_is_repeated_to_three_channels_and_colour_passes(every_byte: torch.Tensor) -> None:
    rgb = to_rgb(every_byte)
    assert rgb.shape == (1, 3, 16, 16)
    assert rgb.dtype == torch.uint8
    assert all(torch.equal(rgb[:, c], every_byte[:, 0]) for c in range(3))
    assert torch.equal(to_rgb(rgb), rgb)


@pytest.mark.parametrize(
    "wrong",
    [torch.zeros(2, 1, 4, 4), torch.zeros(2, 4, 4, dtype=torch.uint8), torch.zeros(2, 2, 4, 4, dtype=torch.uint8)],
)
def test_a_batch_that_is_not_uint8_nchw_is_refused(wrong: torch.Tensor) -> None:
    with pytest.raises((TypeError, ValueError), match="pictures must be"):
        check_batch(wrong, what="pictures")
    with pytest.raises(TypeError, match="not ndarray"):
        check_batch(np.zeros((2, 1, 4, 4), np.uint8))  # type: ignore[arg-type]


def test_resizing_keeps_bytes_and_a_flat_image_flat() -> None:
    flat = torch.full((2, 3, 10, 6), 77, dtype=torch.uint8)
    assert torch.equal(resize(flat, 4), torch.full((2, 3, 4, 4), 77, dtype=torch.uint8))
    square = flat[:, :, :6]
    assert resize(square, 6) is square
