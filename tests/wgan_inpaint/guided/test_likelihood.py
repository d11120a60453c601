"""Every pixel has a density: it sums to one, and it is what a plain loop computes."""

import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from wgan_inpaint.guided import likelihood
from wgan_inpaint.guided.settings import DENSITIES

GENERATOR = np.random.default_rng(0)


def logistic(x):
    return 1 / (1 + math.exp(-x))


def laplace(x):
    return math.exp(x) / 2 if x < 0 else 1 - math.exp(-x) / 2


def one_pixel(parameters, pixel, cdf, mixtures, levels):
    """log p of three colours in [0, 1], as the papers write it."""
    logits = parameters[:mixtures]
    means, scales, coefficients = np.split(
        parameters[mixtures:].reshape(3, 3 * mixtures), 3, axis=1
    )
    scales = np.minimum(-7 + np.log1p(np.exp(scales + 7)), 5)
    x, total = 2 * pixel - 1, 0.0
    for m in range(mixtures):
        a, b, c = np.tanh(coefficients[:, m])
        centres = [
            means[0, m],
            means[1, m] + a * x[0],
            means[2, m] + b * x[0] + c * x[1],
        ]
        share = math.exp(logits[m]) / np.exp(logits).sum()
        for colour in range(3):
            s, half = math.exp(-scales[colour, m]), 1 / (levels - 1)
            above = 1.0 if pixel[colour] == 1 else cdf(s * (x[colour] + half - centres[colour]))
            below = 0.0 if pixel[colour] == 0 else cdf(s * (x[colour] - half - centres[colour]))
            share *= above - below
        total += share
    return math.log(total)


@pytest.mark.parametrize("mixtures", [1, 3])
@pytest.mark.parametrize(("density", "cdf"), [("logistic", logistic), ("laplace", laplace)])
def test_it_is_the_plain_loops(density, cdf, mixtures):
    parameters = GENERATOR.normal(size=(1, 2, 3, likelihood.channels(mixtures)))
    pixels = GENERATOR.integers(0, 8, (1, 2, 3, 3)) / 7
    found = likelihood.log_likelihood(
        tf.constant(parameters), tf.constant(pixels), density, mixtures, levels=8
    )
    wanted = [
        one_pixel(parameters[0, y, x], pixels[0, y, x], cdf, mixtures, 8)
        for y, x in itertools.product(range(2), range(3))
    ]
    np.testing.assert_allclose(found.numpy().ravel(), wanted, rtol=1e-9)


@pytest.mark.parametrize("density", DENSITIES)
def test_it_sums_to_one(density):
    """Over all 256 values of each colour, and over all colours of a few values."""
    parameters = tf.constant(GENERATOR.normal(size=(1, 1, 1, likelihood.channels(2))))
    colours = np.array(list(itertools.product(range(6), repeat=3))) / 5
    tiled = tf.tile(parameters, [1, 1, len(colours), 1])
    logs = likelihood.log_likelihood(tiled, tf.constant(colours[None, None]), density, 2, levels=6)
    assert abs(np.exp(logs).sum() - 1) < 1e-12
    one = GENERATOR.normal(size=likelihood.channels(1))
    values = np.arange(256) / 255
    pixels = np.stack([np.full(256, 51 / 255), np.full(256, 153 / 255), values], axis=-1)
    tiled = tf.constant(np.tile(one, (1, 1, 256, 1)))
    logs = likelihood.log_likelihood(tiled, tf.constant(pixels[None, None]), density)
    # Over blue, what remains is the mass of red and green.
    assert np.exp(logs.numpy()).sum() == pytest.approx(_red_green(one, density), rel=1e-9)


def _red_green(one, density):
    """p(r = 51) p(g = 153 | r), by the loop."""
    cdf = {"logistic": logistic, "laplace": laplace}[density]
    means, scales, coefficients = one[1:].reshape(3, 3).T
    scales = np.exp(-np.minimum(-7 + np.log1p(np.exp(scales + 7)), 5))
    x, half = 2 * np.array([0.2, 0.6]) - 1, 1 / 255
    centres = means[0], means[1] + np.tanh(coefficients[0]) * x[0]
    return math.prod(
        cdf(scales[n] * (x[n] + half - centres[n])) - cdf(scales[n] * (x[n] - half - centres[n]))
        for n in range(2)
    )


@pytest.mark.parametrize("density", DENSITIES)
def test_its_derivatives_are_finite_and_float32_is_enough(density):
    wide = GENERATOR.normal(size=(2, 8, 8, likelihood.channels(2)))
    image = GENERATOR.integers(0, 256, (2, 8, 8, 3)) / 255
    exact = likelihood.log_likelihood(tf.constant(5 * wide), tf.constant(image), density, 2)
    image = tf.constant(image, tf.float32)
    single = likelihood.log_likelihood(tf.constant(5 * wide, tf.float32), image, density, 2)
    np.testing.assert_allclose(single, exact, rtol=1e-4, atol=1e-2)
    for scale in (1, 100, 1000):
        x = tf.constant(scale * wide, tf.float32)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_mean(likelihood.log_likelihood(x, image, density, 2))
            first = inner.gradient(loss, x)
            norm = tf.reduce_sum(tf.square(first))
        for values in (loss, first, outer.gradient(norm, x)):
            assert np.isfinite(values).all(), scale


def test_the_mean_picture_follows_the_colours_before():
    parameters = np.zeros((1, 1, 1, 10))
    parameters[0, 0, 0, 1:] = [0.5, 0, 9, 0.1, 0, 9, -0.2, 0, -9]  # mean, scale, coefficient
    mean = likelihood.mean(tf.constant(parameters)).numpy().ravel()
    # coefficients: green by red 1, blue by red 1, blue by green -1
    np.testing.assert_allclose(2 * mean - 1, [0.5, 0.6, -0.2 + 0.5 - 0.6], atol=1e-6)


def test_bits_per_dimension_of_a_uniform_density_are_eight():
    logs = tf.fill([2, 4, 4], -3 * math.log(256.0))
    assert float(likelihood.bits_per_dimension(logs)) == pytest.approx(8)
