"""What generators share: noise by row, padding, and the parts of autoencoders."""

from __future__ import annotations

import pytest
import torch

from generators.nets.autoencoder import Autoencoder, elbo_terms
from generators.noise import draw_chunks
from generators.padding import cut_signed, pad_signed

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


def test_the_kl_term_is_that_of_two_gaussians() -> None:
    mean, logvar = torch.tensor([[[[0.5]]]]), torch.tensor([[[[-1.0]]]])
    images = torch.zeros(1, 1, 2, 2)
    exact = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * logvar).exp()), torch.distributions.Normal(0.0, 1.0)
    )
    error, kl = elbo_terms(images, (images + 0.5, mean, logvar))
    assert error.item() == pytest.approx(0.25)
    assert kl.item() == pytest.approx(exact.item() / 4)


@pytest.mark.parametrize(("patch", "widths", "factor"), [(1, (8,), 1), (2, (8, 16), 4), (1, (8, 8, 16), 4)])
def test_the_autoencoder_halves_once_a_width(patch: int, widths: tuple[int, ...], factor: int) -> None:
    net = Autoencoder(channels=3, latent=2, widths=widths, n_blocks=1, patch=patch)
    mean, logvar = net.encode(torch.zeros(2, 3, 16, 16))
    assert net.factor == factor
    assert mean.shape == logvar.shape == (2, 2, 16 // factor, 16 // factor)
    assert net.decode(mean).shape == (2, 3, 16, 16)
