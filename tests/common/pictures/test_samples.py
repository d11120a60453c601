"""The portrait is real, square and of any size."""

import numpy as np

from common.pictures.images import resize
from common.pictures.samples import portrait


def test_the_portrait_is_one_picture_at_every_size():
    large = portrait(370)
    assert large.shape == (370, 370, 3) and large.dtype == np.float32
    assert 0 <= large.min() < 0.1 and 0.9 < large.max() <= 1
    np.testing.assert_array_equal(portrait(128), resize(large, 128, 128))


def test_the_eyes_lie_where_celeba_has_them():
    image = portrait(256).mean(axis=-1)
    for x in (0.388, 0.607):
        row, column = round(0.511 * 256), round(x * 256)
        pupil = image[row - 4 : row + 5, column - 4 : column + 5]
        skin = image[row + 16 : row + 25, column - 4 : column + 5]
        assert pupil.mean() < 0.5 * skin.mean()
