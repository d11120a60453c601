"""Holes are continued smoothly, by known pixels alone."""

import numpy as np
import pytest
import tensorflow as tf

from common.pictures.filling import diffused


def ramp(height, width):
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([rows / height, columns / width, (rows + columns) / (height + width)], -1)[None]


def hole(height, width, *boxes):
    mask = np.zeros((1, height, width, 1), np.float32)
    for top, left, bottom, right in boxes:
        mask[0, top:bottom, left:right] = 1
    return mask


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("height", "width"), [(48, 64), (37, 53)])
def test_a_hole_continues_what_surrounds_it(height, width, compiled):
    images = ramp(height, width)
    masks = hole(height, width, (4, 8, 12, 20), (20, 30, 33, 41))
    hidden = np.where(masks > 0, np.nan, images)
    call = tf.function(diffused, jit_compile=True, autograph=False) if compiled else diffused
    filled = call(hidden, masks).numpy()
    known = np.broadcast_to(masks == 0, images.shape)
    np.testing.assert_array_equal(filled[known], images[known])
    # A linear ramp solves the Laplace equation.
    np.testing.assert_allclose(filled, images, atol=0.02)


def test_neither_the_batch_nor_the_number_of_channels_matters():
    images = np.concatenate([ramp(20, 28), 1 - ramp(20, 28)])
    masks = np.concatenate([hole(20, 28, (2, 2, 9, 9)), hole(20, 28, (0, 10, 20, 18))])
    filled = diffused(images, masks).numpy()
    for n in range(2):
        for channel in range(3):
            one = diffused(images[n : n + 1, ..., channel : channel + 1], masks[n : n + 1])
            np.testing.assert_allclose(filled[n, ..., channel], one[0, ..., 0], atol=1e-6)


def test_a_picture_without_a_known_pixel_becomes_zero():
    assert not diffused(ramp(9, 5), hole(9, 5, (0, 0, 9, 5))).numpy().any()


def test_a_hole_may_be_thicker_than_the_squares_at_the_top():
    images, masks = np.full((1, 4, 3000, 1), 0.3, np.float32), np.ones((1, 4, 3000, 1), np.float32)
    masks[:, :, 0] = 0
    np.testing.assert_allclose(diffused(images, masks), images, atol=1e-6)


def test_one_known_pixel_fills_the_whole_picture():
    masks = np.ones((1, 70, 90, 1), np.float32)
    masks[0, 3, 80] = 0
    np.testing.assert_allclose(diffused(np.full((1, 70, 90, 3), 0.3, np.float32), masks), 0.3)


@pytest.fixture(scope="module")
def free():
    """A graph that is made for no size."""
    specs = [tf.TensorSpec([None, None, None, channels]) for channels in (3, 1)]
    return tf.function(diffused, input_signature=specs, autograph=False)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (33, 17), (64, 64)])
def test_a_size_that_is_not_known_beforehand_changes_nothing(free, height, width):
    images, masks = ramp(height, width), hole(height, width, (0, 0, height // 2, width // 2))
    np.testing.assert_array_equal(free(images, masks), diffused(images, masks))


def test_the_gradient_is_the_transpose():
    """What is filled in is linear in what is known: <F x, y> = <x, F^T y> for every x and y."""
    generator = np.random.default_rng(0)
    images, weights = generator.normal(size=(2, 1, 37, 53, 3)).astype(np.float32)
    masks = hole(37, 53, (4, 8, 12, 20), (20, 30, 37, 41))
    images = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(images)
        product = tf.reduce_sum(diffused(images, masks) * weights)
    transposed = tape.gradient(product, images)
    assert not (transposed.numpy() * masks).any()
    np.testing.assert_allclose(tf.reduce_sum(images * transposed), product, rtol=1e-5)
