"""What generators share: noise by row, padding, and options that are out of range."""

from __future__ import annotations

import pytest
import torch

from generators.noise import draw_chunks
from generators.padding import cut_signed, pad_signed
from generators.registry import generators
from synthworth.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


def test_noise_of_a_row_depends_on_neither_request_nor_chunk() -> None:
    whole = torch.cat([noise for _, noise in draw_chunks(11, (3, 5), seed=4, chunk=100)])
    for n, chunk in [(11, 1), (11, 4), (6, 5), (1, 9)]:
        rows = [(rows, noise) for rows, noise in draw_chunks(n, (3, 5), seed=4, chunk=chunk)]
        assert torch.equal(torch.cat([noise for _, noise in rows]), whole[:n])
        assert [i for r, _ in rows for i in range(n)[r]] == list(range(n))
    assert list(draw_chunks(0, (3,), seed=4, chunk=2)) == []


@pytest.mark.parametrize(("size", "padded"), [(28, 32), (32, 32), (33, 48), (50, 64)])
def test_padding_is_inverted_byte_for_byte(size: int, padded: int) -> None:
    images = torch.randint(0, 256, (3, 1, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    larger = pad_signed(images, padded)
    assert larger.shape == (3, 1, padded, padded)
    assert torch.equal(cut_signed(larger, size), images)


TRAINED = sorted(name for name in generators.names() if hasattr(generators.get(name).Config(), "batch"))


@pytest.mark.parametrize("option", ["batch", "sample_batch", "lr"])
@pytest.mark.parametrize("name", TRAINED)
def test_an_option_out_of_range_is_refused_with_its_range(name: str, option: str) -> None:
    with pytest.raises(UserError, match=rf"{option.replace('_', '.')} 0 was asked for, which is out of range: \S"):
        generators.get(name).Config(**{option: 0})
