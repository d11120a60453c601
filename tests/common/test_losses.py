"""The losses are the papers' formulas, computed by hand on small tensors."""

import math

import numpy as np
import pytest
import tensorflow as tf

from common import losses

THIRD = math.log(3)  # sigmoid(log 3) = 3/4, sigmoid(-log 3) = 1/4


def test_masked_mse_is_the_mean_over_all_pixels_of_the_squared_error_in_the_hole():
    images = tf.zeros([1, 1, 2, 3])
    completed = tf.constant([[[[0.1, 0.2, 0.3], [0.9, 0.9, 0.9]]]])
    masks = tf.constant([[[[1.0], [0.0]]]])
    expected = (0.01 + 0.04 + 0.09) / 6
    assert float(losses.masked_mse(completed, images, masks)) == pytest.approx(expected)


def test_perceptual_l1_adds_the_mean_of_each_layer():
    first = (
        tf.constant([[[[1.0, 2.0]]], [[[3.0, 4.0]]]]),
        tf.constant([[[[0.0, 4.0]]], [[[3.0, 0.0]]]]),
    )
    second = (tf.fill([2, 2, 2, 1], 5.0), tf.fill([2, 2, 2, 1], 5.5))
    # ||.||_1 / (C H W) of each image: 3/2 and 4/2; 4 * 0.5 / 4 twice.
    expected = (3 / 2 + 4 / 2) / 2 + 0.5
    features, targets = zip(first, second, strict=True)
    assert float(losses.perceptual_l1(features, targets)) == pytest.approx(expected)
    assert float(losses.perceptual_l1(features, features)) == 0
    half = [tf.cast(f, tf.bfloat16) for f in features]
    loss = losses.perceptual_l1(half, targets)
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx(expected)


def test_perceptual_l1_refuses_lists_of_different_lengths():
    with pytest.raises(ValueError, match="zip"):
        losses.perceptual_l1([tf.zeros([1, 1, 1, 1])], [])


def test_adversarial_losses_on_hand_picked_logits():
    real, fake = tf.constant([[THIRD], [0.0]]), tf.constant([[-THIRD], [0.0]])
    # D(real) = 3/4, 1/2 and D(fake) = 1/4, 1/2.
    expected = -(math.log(3 / 4) + math.log(1 / 2)) / 2 * 2
    assert float(losses.discriminator_gan(real, fake)) == pytest.approx(expected)
    expected = -(math.log(1 / 4) + math.log(1 / 2)) / 2
    assert float(losses.generator_gan(fake)) == pytest.approx(expected)
    expected = (math.log(3 / 4) + math.log(1 / 2)) / 2
    assert float(losses.generator_gan(fake, minimax=True)) == pytest.approx(expected)


def test_the_stable_forms_equal_the_papers_formulas():
    real, fake = np.random.default_rng(0).normal(0, 4, (2, 64, 1)).astype(np.float32)
    d_real, d_fake = (1 / (1 + np.exp(-logits.astype(np.float64))) for logits in (real, fake))
    for stable, formula in (
        (losses.discriminator_gan(real, fake), -(np.log(d_real) + np.log(1 - d_fake)).mean()),
        (losses.generator_gan(fake), -np.log(d_fake).mean()),
        (losses.generator_gan(fake, minimax=True), np.log(1 - d_fake).mean()),
    ):
        assert float(stable) == pytest.approx(formula, rel=1e-5)


@pytest.mark.parametrize("size", [-100.0, 100.0])
def test_large_logits_give_finite_losses_and_the_exact_gradients(size):
    logits, other = tf.constant([[size]]), tf.zeros([1, 1])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        values = {
            "real": losses.discriminator_gan(logits, other),
            "fake": losses.discriminator_gan(other, logits),
            "generator": losses.generator_gan(logits),
            "minimax": losses.generator_gan(logits, minimax=True),
        }
    d = float(size > 0)  # sigmoid(logit) to float32's precision
    expected = {"real": d - 1, "fake": d, "generator": d - 1, "minimax": -d}
    for name, value in values.items():
        assert math.isfinite(value)
        gradient = tape.gradient(value, logits).numpy().item()
        assert gradient == pytest.approx(expected[name], abs=1e-30)
