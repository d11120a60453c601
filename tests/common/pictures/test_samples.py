"""The samples are real; faces are square and cut as the networks know them."""

import numpy as np
import pytest

from common.errors import InputError
from common.pictures import samples
from common.pictures.images import resize
from common.pictures.samples import portrait

FACES = [name for name, square in samples.SQUARES.items() if square]


def test_the_portrait_is_one_picture_at_every_size():
    large = portrait(370)
    assert large.shape == (370, 370, 3) and large.dtype == np.float32
    assert 0 <= large.min() < 0.1 and 0.9 < large.max() <= 1
    np.testing.assert_array_equal(portrait(128), resize(large, 128, 128))


@pytest.mark.parametrize("name", FACES)
def test_the_eyes_lie_where_celeba_has_them(name):
    image = resize(samples.open_sample(name), 256, 256).mean(axis=-1)
    for x in (0.388, 0.607):
        row, column = round(0.511 * 256), round(x * 256)
        pupil = image[row - 4 : row + 5, column - 4 : column + 5]
        skin = image[row + 16 : row + 25, column - 4 : column + 5]
        assert pupil.mean() < 0.5 * skin.mean()


@pytest.mark.parametrize("name", samples.SQUARES)
def test_every_sample_opens(name):
    image = samples.open_sample(name)
    assert image.dtype == np.float32 and image.shape[2] == 3 and image.std() > 0.03
    if name in FACES:
        assert image.shape[0] == image.shape[1] == samples.SQUARES[name].side


def test_names():
    assert samples.names("sample:coffee") == ["coffee"]
    assert samples.names("sample:chelsea+grace_hopper") == ["chelsea", "grace_hopper"]
    for wrong in ("sample:", "sample:nobody", "sample:coffee+coffee"):
        with pytest.raises(InputError, match="choose from"):
            samples.names(wrong)
    with pytest.raises(InputError, match="no such sample"):
        samples.open_sample("nobody")
