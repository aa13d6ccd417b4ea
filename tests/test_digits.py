"""The digits are scikit-learn's, enlarged, split and named."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from data.datasets.digits import Digits, DigitsConfig
from data.images import Split
from synthworth.errors import UserError


def test_all_1797_digits_are_there_once_in_every_class_and_split() -> None:
    sets = Digits().build()
    assert sum(map(len, sets.values())) == 1797
    assert len({name for images in sets.values() for name in images.ids}) == 1797
    for images in sets.values():
        assert images.size == 32
        assert images.channels == 1
        assert min(images.counts().values()) > 10


def test_at_8_px_the_values_are_scikit_learns_on_the_scale_of_bytes() -> None:
    train = Digits(DigitsConfig(size=8)).build()[Split.train]
    own = load_digits()
    for row in (0, 700, 1400):
        index = int(train.ids[row].removeprefix("digit-"))
        assert int(train.labels[row]) == own.target[index]
        assert np.array_equal(train.images[row, 0].numpy(), np.rint(own.images[index] * 255 / 16))
    assert int(train.images.min()) == 0
    assert int(train.images.max()) == 255


def test_an_image_keeps_its_name_whatever_the_seed() -> None:
    one = Digits(DigitsConfig(size=8, seed=0)).build()[Split.test]
    other = Digits(DigitsConfig(size=8, seed=1)).build()[Split.test]
    assert set(one.ids) != set(other.ids)
    name = sorted(set(one.ids) & set(other.ids))[0]
    assert np.array_equal(one.images[one.ids.index(name)], other.images[other.ids.index(name)])


@pytest.mark.parametrize("size", [0, 7, 257])
def test_a_size_that_cannot_be_is_refused(size: int) -> None:
    with pytest.raises(UserError, match=f"--data.size {size}"):
        Digits(DigitsConfig(size=size)).build()
