"""The terms are what the papers say, and their optimum is the spread that they are known for."""

import math

import numpy as np
import pytest
import tensorflow as tf

from wgan_inpaint.conditional import losses, settings

SIDE = 32


def pictures(count=3, seed=0):
    generator = np.random.default_rng(seed)
    return generator.uniform(-1, 1, (count, SIDE, SIDE, 3)).astype(np.float32)


def holes():
    """A centre square, one that is off every grid, a few pixels."""
    masks = np.zeros((3, SIDE, SIDE, 1), np.float32)
    masks[0, 8:24, 8:24] = 1
    masks[1, 3:14, 5:30] = 1
    masks[2, ::7, ::5] = 1
    return masks


def plain_distance(u, v, mask, side):
    """``patch_distance`` of one picture, patch by patch."""
    total, count = 0.0, 0
    for top in range(0, SIDE, side):
        for left in range(0, SIDE, side):
            missing = mask[top : top + side, left : left + side, 0] == 1
            if missing.any():
                a, b = (x[top : top + side, left : left + side][missing] for x in (u, v))
                distance = math.sqrt(np.mean((a.astype(float) - b) ** 2) + 1e-6)
                total += missing.sum() * distance
                count += missing.sum()
    return total / count


def test_the_energy_score_is_that_of_a_plain_loop():
    x, a, b = (pictures(seed=n) for n in range(3))
    masks = holes()
    assert losses.sides(SIDE) == (32, 8, 4, 2) and losses.sides(64) == (64, 16, 8, 2)
    expected = []
    for n in range(3):
        for side in (32, 8, 4, 2):
            pairs = ((x, a), (x, b), (a, b))
            xa, xb, ab = (plain_distance(u[n], v[n], masks[n], side) for u, v in pairs)
            expected.append((xa + xb - ab) / 2)
    found = losses.energy_score(*map(tf.constant, (x, a, b, masks)))
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)


def spread_of(term, scales=(0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)):
    """The t at which a term is least, for x ~ N(0, 1) and samples ~ N(0, t)."""
    generator = tf.random.Generator.from_seed(1)
    x, e, f = tf.unstack(generator.normal([3, 48, SIDE, SIDE, 3]))
    masks, z = tf.ones([48, SIDE, SIDE, 1]), generator.normal([48, 2, 4])
    values = [float(losses.TERMS[term](x, t * e, t * f, masks, z)) for t in scales]
    return scales[int(np.argmin(values))]


def test_the_energy_score_and_the_reward_ask_for_the_right_spread_and_the_others_for_none():
    assert spread_of("energy") == 1.0
    assert spread_of("rcgan") == 1.0
    assert spread_of("l1") == spread_of("mean") == 0.0
    assert 0 < spread_of("mode_seeking") < 1


def test_golden_values():
    masks = np.zeros((2, SIDE, SIDE, 1), np.float32)
    masks[:, 8:24, 8:24] = 1
    x = np.zeros((2, SIDE, SIDE, 3), np.float32)
    a, b = x + 0.5, x - 0.1
    z = np.stack([np.zeros((2, 5)), np.full((2, 5), 2.0)], axis=1).astype(np.float32)
    expected = {
        "none": 0,
        "l1": 0.3,
        "mean": 0.2,
        "energy": (0.5 + 0.1 - 0.6) / 2,
        "mode_seeking": 0.5 + 0.1 / (0.6 / 2 + 1e-5),
        "rcgan": 0.2 - 0.6 / math.sqrt(12),
    }
    assert tuple(expected) == tuple(losses.TERMS) == settings.TERMS
    for name, value in expected.items():
        found = float(losses.TERMS[name](*map(tf.constant, (x, a, b, masks, z))))
        assert found == pytest.approx(value, abs=1e-5), name


def test_the_latent_regressors_error_is_the_mean_and_its_slope_the_sign():
    found = tf.constant([[0.5, -1.0], [2.0, 0.0]])
    z = tf.constant([[0.0, 1.0], [1.5, 0.25]])
    with tf.GradientTape() as tape:
        tape.watch(found)
        value = losses.latent_l1(found, z)
    assert float(value) == pytest.approx((0.5 + 2 + 0.5 + 0.25) / 4)
    np.testing.assert_allclose(tape.gradient(value, found), [[0.25, -0.25], [0.25, -0.25]])


@pytest.mark.parametrize("name", [name for name in losses.TERMS if name != "none"])
def test_what_is_known_does_not_count_even_if_it_is_no_number(name):
    x, a, b = (pictures(seed=n) for n in range(3))
    masks, z = holes(), np.random.default_rng(3).normal(size=(3, 2, 4)).astype(np.float32)
    results = []
    for junk in (0.0, np.nan):
        known = [tf.constant(np.where(masks == 1, p, np.float32(junk))) for p in (x, a, b)]
        with tf.GradientTape() as tape:
            tape.watch(known)
            value = losses.TERMS[name](*known, tf.constant(masks), tf.constant(z))
        slopes = [slope for slope in tape.gradient(value, known) if slope is not None]
        assert np.isfinite(value) and len(slopes) >= 2
        results.append([value, *slopes])
    for first, second in zip(*results, strict=True):
        np.testing.assert_array_equal(first, second)
