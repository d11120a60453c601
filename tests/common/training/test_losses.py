"""The losses are the papers' formulas, computed by hand on small tensors."""

import math

import numpy as np
import pytest
import tensorflow as tf

from common.training import losses

THIRD = math.log(3)  # sigmoid(log 3) = 3/4, sigmoid(-log 3) = 1/4


def test_masked_mse_is_the_mean_over_all_pixels_of_the_squared_error_in_the_hole():
    images = tf.zeros([1, 1, 2, 3])
    completed = tf.constant([[[[0.1, 0.2, 0.3], [0.9, 0.9, 0.9]]]])
    masks = tf.constant([[[[1.0], [0.0]]]])
    expected = (0.01 + 0.04 + 0.09) / 6
    assert float(losses.masked_mse(completed, images, masks)) == pytest.approx(expected)


def test_missing_mse_is_the_mean_over_each_hole_of_the_squared_error_between_minus_one_and_one():
    images = tf.zeros([2, 1, 2, 3])
    completed = np.zeros((2, 1, 2, 3), np.float32)
    completed[0] = [[[0.1, 0.2, 0.3], [0.9, 0.9, 0.9]]]  # the second pixel is known
    completed[1] = [[[0.5, 0.5, 0.5], [0.0, 0.0, 0.0]]]
    masks = tf.constant([[[[1.0], [0.0]]], [[[1.0], [1.0]]]])
    first = (0.2**2 + 0.4**2 + 0.6**2) / 3
    second = (3 * 1.0**2 + 3 * 0) / 6
    loss = losses.missing_mse(tf.constant(completed), images, masks)
    assert loss.dtype == tf.float32
    assert float(loss) == pytest.approx((first + second) / 2)


def reconstruction_scene(share, dtype=np.float32):
    """Output, images and holes of that share of each picture."""
    rng = np.random.default_rng(4)
    completed, images = rng.random((2, 3, 8, 10, 3)).astype(dtype)
    masks = np.zeros((3, 80), dtype)
    masks[:, : round(80 * share)] = 1
    masks = rng.permuted(masks, axis=1).reshape(3, 8, 10, 1)
    return tf.constant(completed), tf.constant(images), tf.constant(masks)


@pytest.mark.parametrize("share", [0.1, 0.25, 1.0])
def test_the_two_readings_of_the_squared_error_differ_by_four_over_the_missing_share(share):
    completed, images, masks = reconstruction_scene(share)
    over_all = float(losses.masked_mse(completed, images, masks))
    assert float(losses.missing_mse(completed, images, masks)) == pytest.approx(
        over_all * 4 / share, rel=1e-5
    )
    # Neither looks at what is known.
    spoilt = tf.where(masks > 0, completed, 0.123)
    for loss in (losses.masked_mse, losses.missing_mse):
        assert float(loss(spoilt, images, masks)) == float(loss(completed, images, masks))


def each_hole_scene(dtype=np.float32):
    """Output, images and up to three holes of each picture: overlapping, one alone, none."""
    rng = np.random.default_rng(4)
    completed, images = rng.random((2, 3, 8, 10, 3)).astype(dtype)
    holes = np.zeros((3, 8, 10, 3), dtype)
    holes[0, :4, :4, 0] = holes[0, 2:7, 3:8, 1] = holes[0, 6:, 8:, 2] = 1
    holes[1, 1:5, 2:6, 0] = 1
    return tf.constant(completed), tf.constant(images), tf.constant(holes)


def test_each_hole_counts_for_itself_as_in_the_listing():
    completed, images, holes = each_hole_scene()

    def listing(x, y, masks):
        """local_consistency_loss, of one picture in [-1, 1]."""
        each = [np.mean((x * mask - y * mask) ** 2) for mask in masks]
        return sum(each) / len(each)

    x, y = (2 * a.numpy() - 1 for a in (completed, images))
    masks = holes.numpy().transpose(3, 0, 1, 2)[..., None]
    expected = listing(x[0], y[0], masks[:, 0]), listing(x[1], y[1], masks[:1, 1]), 0
    loss = losses.each_hole_mse(completed, images, holes)
    assert float(loss) == pytest.approx(np.mean(expected), rel=1e-5)
    # On their union: as many times as there are holes, but for what overlaps.
    union = tf.reduce_max(holes[:1], axis=-1, keepdims=True)
    on_union = 4 * float(losses.masked_mse(completed[:1], images[:1], union))
    assert 2 < on_union / expected[0] < 3
    known = 0.2 * np.mean((1 - holes.numpy().max(-1, keepdims=True)) * (x - y) ** 2)
    assert float(losses.each_hole_mse(completed, images, holes, 0.2)) == pytest.approx(
        np.mean(expected) + known, rel=1e-5
    )


def test_at_smaller_sizes_each_hole_is_as_large_as_the_pixels_that_it_touches():
    completed, images, holes = each_hole_scene()
    completed = tf.zeros_like(images)
    images = tf.fill(images.shape, 0.25)
    half = np.stack([holes.numpy()[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]).max(0)
    expected = [
        np.mean([0.25 * np.mean(x[..., n]) for n in range(3) if x[..., n].any()] or [0])
        for masks in (holes.numpy(), half)
        for x in masks
    ]
    found = losses.pyramid(losses.each_hole_mse, completed, images, holes, 2)
    assert float(found) == pytest.approx(np.mean(expected), rel=1e-5)


def test_content_mse_adds_the_mean_square_of_each_layer():
    maps = [tf.fill([2, 3, 3, 4], value) for value in (0.5, -1.0)]
    targets = [tf.fill([2, 3, 3, 4], value) for value in (0.25, 2.0)]
    assert float(losses.content_mse(maps, targets)) == pytest.approx(0.25**2 + 9)
    half = [tf.cast(x, tf.bfloat16) for x in maps]
    assert losses.content_mse(half, targets).dtype == tf.float32


def test_known_pixels_may_have_a_weight_and_the_error_may_be_absolute():
    images = tf.zeros([1, 1, 4, 3])
    completed = tf.constant([[[[0.1] * 3, [0.5] * 3, [-0.5] * 3, [0.0] * 3]]])
    masks = tf.constant([[[[1.0], [0.0], [0.0], [0.0]]]])
    for loss, options, expected in (
        (losses.masked_mse, {"known_weight": 0.2}, (0.01 + 0.2 * 2 * 0.25) / 4),
        (losses.missing_mse, {"known_weight": 0.2}, 4 * (0.01 + 0.2 * 2 * 0.25)),
        (losses.masked_mse, {"distance": "absolute"}, 0.1 / 4),
        (losses.missing_mse, {"distance": "absolute", "known_weight": 0.2}, 2 * (0.1 + 0.2)),
    ):
        assert float(loss(completed, images, masks, **options)) == pytest.approx(expected)


def test_at_smaller_sizes_the_mean_difference_of_what_is_missing_counts():
    images = tf.zeros([1, 2, 4, 3])
    rows = [[0.2, -0.4, 0.1, 0.1], [0.7, 0.7, 0.3, 0.3]]
    completed = tf.repeat(tf.constant(rows)[None, ..., None], 3, axis=-1)
    masks = tf.constant([[[1.0, 1, 0, 0], [0, 0, 0, 0]]])[..., None]
    # Half size: of the left four, -0.1 where missing; of the right, all known, 0.2.
    for options, full, half in (
        ({}, (0.04 + 0.16) / 8, 0.01 / 2),
        ({"known_weight": 0.5}, (0.2 + 0.5 * (2 * 0.01 + 2 * 0.49 + 2 * 0.09)) / 8,
         (0.01 + 0.5 * 0.04) / 2),
        ({"distance": "absolute"}, 0.6 / 8, 0.1 / 2),
    ):  # fmt: skip
        found = losses.pyramid(losses.masked_mse, completed, images, masks, 2, **options)
        assert float(found) == pytest.approx((full + half) / 2)
    missing = losses.pyramid(losses.missing_mse, completed, images, masks, 2)
    assert float(missing) == pytest.approx((4 * 0.1 + 4 * 0.01) / 2)


@pytest.mark.parametrize("loss", [losses.masked_mse, losses.missing_mse])
def test_of_one_size_the_pyramid_is_the_loss_itself(loss):
    scene = reconstruction_scene(0.3)
    assert float(losses.pyramid(loss, *scene, 1)) == float(loss(*scene))
    completed = scene[0]
    with tf.GradientTape() as tape:
        tape.watch(completed)
        value = losses.pyramid(loss, completed, scene[1], tf.zeros_like(scene[2]), 3)
    assert float(value) == 0 and np.isfinite(tape.gradient(value, completed)).all()


@pytest.mark.parametrize("loss", [losses.masked_mse, losses.missing_mse])
def test_a_picture_without_a_hole_costs_nothing_and_has_no_gradient(loss):
    completed, images, masks = reconstruction_scene(0.3)
    whole = tf.concat([masks[:2], tf.zeros_like(masks[2:])], axis=0)
    with tf.GradientTape() as tape:
        tape.watch(completed)
        value = loss(completed, images, whole)
    assert float(value) == pytest.approx(2 / 3 * float(loss(completed[:2], images[:2], masks[:2])))
    gradient = tape.gradient(value, completed).numpy()
    assert np.isfinite(gradient).all() and not gradient[2].any()
    assert float(loss(completed, images, tf.zeros_like(masks))) == 0


@pytest.mark.parametrize("loss", [losses.masked_mse, losses.missing_mse, losses.each_hole_mse])
def test_a_reconstruction_losses_gradient_equals_finite_differences(loss):
    completed, images, masks = reconstruction_scene(0.4, np.float64)
    direction = np.random.default_rng(5).normal(size=completed.shape)
    with tf.GradientTape() as tape:
        tape.watch(completed)
        value = loss(completed, images, masks)
    slope = float(tf.reduce_sum(tape.gradient(value, completed) * direction))
    step = 1e-3
    ends = (float(loss(completed + way * step * direction, images, masks)) for way in (1, -1))
    # Both are parabolas: nothing but rounding lies between them.
    assert slope == pytest.approx((next(ends) - next(ends)) / (2 * step), rel=1e-9)


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


def test_hinge_and_least_squares_on_hand_picked_scores():
    real, fake = tf.constant([[2.0], [0.5]]), tf.constant([[-3.0], [0.25]])
    of_discriminator, of_generator = losses.ADVERSARIAL["hinge"]
    assert float(of_discriminator(real, fake)) == pytest.approx(0.5 / 2 + 1.25 / 2)
    assert float(of_generator(fake)) == pytest.approx(2.75 / 2)
    of_discriminator, of_generator = losses.ADVERSARIAL["least_squares"]
    expected = (1 + 0.25) / 4 + (9 + 0.0625) / 4
    assert float(of_discriminator(real, fake)) == pytest.approx(expected)
    assert float(of_generator(fake)) == pytest.approx((16 + 0.5625) / 4)


def test_wasserstein_losses_on_hand_picked_scores():
    real, fake = tf.constant([[1.0], [4.0]]), tf.constant([[-2.0], [0.5]])
    assert float(losses.wasserstein_critic(real, fake)) == pytest.approx(-0.75 - 2.5)
    assert float(losses.wasserstein_generator(fake)) == pytest.approx(0.75)
    assert float(losses.wasserstein_critic(real, real)) == 0
    with tf.GradientTape() as tape:  # neither saturates: the gradient does not depend on the scores
        tape.watch([real, fake])
        loss = losses.wasserstein_critic(real, 1e6 * fake)
    np.testing.assert_allclose(tape.gradient(loss, real), -0.5 * np.ones((2, 1)))


@pytest.fixture
def scene():
    """Real and generated images, and a place between them for each pair."""
    rng = np.random.default_rng(0)
    real, fake = rng.random((2, 4, 3, 5, 3), np.float32)
    return tf.constant(real), tf.constant(fake), tf.constant(rng.random((4, 1, 1, 1), np.float32))


def test_the_gradient_penalty_of_a_linear_critic_is_that_of_its_slope(scene):
    weights = np.random.default_rng(1).normal(size=(3, 5, 3)).astype(np.float32)
    for scale in (0.0, 0.1, 1.0):

        def critic(images, slope=scale * weights):  # w . x of images x in [-1, 1]
            return tf.reduce_sum(slope * (2 * images - 1), axis=[1, 2, 3])[:, None]

        expected = (scale * np.linalg.norm(weights) - 1) ** 2
        penalty = losses.gradient_penalty(critic, *scene)
        assert float(penalty) == pytest.approx(expected, rel=1e-4)


def test_the_gradient_penalty_is_taken_between_real_and_fake(scene):
    real, fake, epsilon = scene

    def critic(images):  # |x|^2 / 2 of images x in [-1, 1]: its gradient is x
        return tf.reduce_sum((2 * images - 1) ** 2 / 2, axis=[1, 2, 3])[:, None]

    between = 2 * (epsilon * real + (1 - epsilon) * fake) - 1
    norms = np.linalg.norm(between.numpy().reshape(4, -1), axis=1)
    penalty = losses.gradient_penalty(critic, *scene)
    assert float(penalty) == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-5)
    ends = tf.constant([1.0, 1, 0, 0], shape=[4, 1, 1, 1])
    penalty = losses.gradient_penalty(critic, real, fake, ends)
    norms = np.linalg.norm((2 * np.concatenate([real[:2], fake[2:]]) - 1).reshape(4, -1), axis=1)
    assert float(penalty) == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-5)


def test_the_gradient_penaltys_own_gradient_equals_finite_differences(scene):
    real, fake, epsilon = scene
    rng = np.random.default_rng(2)
    hidden = tf.constant(rng.normal(0, 0.3, (45, 6)).astype(np.float32))
    direction = tf.constant(rng.normal(0, 0.3, (45, 6)).astype(np.float32))

    def penalty(kernel):
        def critic(images):
            flat = tf.reshape(images, [4, 45])
            return tf.reduce_sum(tf.tanh(flat @ kernel), axis=1, keepdims=True)

        return losses.gradient_penalty(critic, real, fake, epsilon)

    with tf.GradientTape() as tape:
        tape.watch(hidden)
        value = penalty(hidden)
    slope = float(tf.reduce_sum(tape.gradient(value, hidden) * direction))
    step = 1e-2
    difference = float(penalty(hidden + step * direction) - penalty(hidden - step * direction))
    assert slope == pytest.approx(difference / (2 * step), rel=1e-2)


def test_a_critic_without_slope_has_a_penalty_of_one_and_a_finite_gradient(scene):
    kernel = tf.zeros([45, 1])
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        value = losses.gradient_penalty(lambda x: tf.reshape(x, [4, 45]) @ kernel, *scene)
    assert float(value) == pytest.approx(1, abs=1e-5)
    assert np.isfinite(tape.gradient(value, kernel)).all()
