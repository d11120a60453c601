"""A picture's random numbers are its own, whatever computes them and whatever it hides."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from common.pictures import cropping
from wgan_inpaint import networks
from wgan_inpaint.search import draws


def scene(batch=4, side=12):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (batch, side, side, 3)) / 255
    holes = np.zeros((batch, side, side, 1), np.float32)
    holes[:, 3:9, 2:7] = 1
    return images.astype(np.float32), 1 - holes


def seeds(images, known, seed=0):
    return draws.seeds(tf.constant(images), tf.constant(known), seed).numpy()


def test_seeds_depend_on_every_known_value_on_the_mask_and_on_the_run():
    images, known = scene(1)
    found = {int(seeds(images, known, seed)[0]) for seed in (0, 1, 2**31 - 2)}
    places = np.argwhere(known[0, ..., 0])[::7]
    for place, channel in itertools.product(places, range(3)):
        other = images.copy()
        other[(0, *place, channel)] += np.where(other[(0, *place, channel)] < 0.5, 1, -1) / 255
        found.add(int(seeds(other, known)[0]))
    fewer = known.copy()
    fewer[0, 0, 0] = 0
    black = images * known
    black[0, 0, 0] = 0
    found |= {int(seeds(black, mask)[0]) for mask in (known, fewer)}
    assert len(found) == 3 + 3 * len(places) + 2
    assert all(0 <= seed < 2**31 for seed in found)


def test_seeds_do_not_depend_on_hidden_pixels_rounding_place_or_company():
    images, known = scene()
    expected = seeds(images, known)
    assert len(set(expected)) == 4
    for hidden in (0.3, np.nan, np.inf):
        np.testing.assert_array_equal(
            seeds(np.where(known > 0, images, np.float32(hidden)), known), expected
        )
    noise = np.random.default_rng(1).uniform(-1e-3, 1e-3, images.shape).astype(np.float32)
    np.testing.assert_array_equal(seeds(images + noise, known), expected)
    np.testing.assert_array_equal(seeds(images[::-1], known[::-1]), expected[::-1])
    np.testing.assert_array_equal(seeds(images[2:3], known[2:3]), expected[2:3])


@pytest.mark.parametrize("size", [16, 24, 32, 40, 70])
def test_seeds_of_crops_are_the_same_compiled_with_xla(size):
    """Of crops in every ratio of sizes, whose values lie between the bytes."""
    generator = np.random.default_rng(size)
    images = (generator.integers(0, 256, (6, 80, 80, 3)) / 255).astype(np.float32)
    holes = np.zeros((6, 80, 80, 1), np.float32)
    holes[:, 20 : 20 + size // 2, 20 : 20 + size // 2] = 1

    squares = cropping.squares(tf.constant(holes), 32)
    crops, crop_holes = cropping.cut(tf.constant(images), tf.constant(holes), squares, 32)

    def run(crops, known):
        low = tf.nn.avg_pool2d(crops, 4, 4, "VALID")
        return draws.seeds(crops, known, 3), draws.seeds(low, tf.ones_like(low[..., :1]), 3)

    for plain, compiled in zip(
        run(crops, 1 - crop_holes),
        tf.function(run, jit_compile=True, autograph=False)(crops, 1 - crop_holes),
        strict=True,
    ):
        np.testing.assert_array_equal(plain, compiled)


def test_every_picture_draws_its_own_numbers_from_the_distribution():
    images, known = scene()
    own = draws.seeds(tf.constant(images), tf.constant(known), 0)
    numbers = draws.draw(networks.uniform, [50, 40], own, 7).numpy()
    assert numbers.shape == (4, 50, 40)
    values = numbers.reshape(4, -1)
    np.testing.assert_allclose(values.mean(axis=1), 0.5, atol=0.03)
    assert np.abs(np.corrcoef(values) - np.eye(4)).max() < 0.1
    np.testing.assert_array_equal(
        draws.draw(networks.uniform, [50, 40], own[1:2], 7)[0], numbers[1]
    )
    assert (draws.draw(networks.uniform, [50, 40], own, 8).numpy() != numbers).mean() > 0.99
    compiled = tf.function(
        lambda seeds_: draws.draw(networks.normal, [5, 4], seeds_, 7),
        jit_compile=True,
        autograph=False,
    )
    np.testing.assert_allclose(
        compiled(own), draws.draw(networks.normal, [5, 4], own, 7), atol=1e-5
    )
