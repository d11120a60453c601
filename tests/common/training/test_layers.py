"""The layers do what Torch's do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.training import layers
from common.training.layers import (
    BatchNorm,
    DamagedImage,
    SymmetricConv2D,
    UnitRange,
)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(3, 1, 1), (5, 1, 1), (3, 1, 4), (3, 2, 1), (5, 2, 1)]
)
def test_padding_is_the_same_on_every_side(kernel, stride, dilation):
    images = normal(2, 12, 15, 3)
    layer = SymmetricConv2D(4, kernel, strides=stride, dilation_rate=dilation)
    outputs = layer(images)
    side = [dilation * (kernel - 1) // 2] * 2
    padded = np.pad(images, [[0, 0], side, side, [0, 0]])
    expected = tf.nn.conv2d(padded, layer.kernel, stride, "VALID", dilations=dilation)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    assert outputs.shape == (2, -(-12 // stride), -(-15 // stride), 4)
    assert layer.compute_output_shape((2, 12, 15, 3)) == outputs.shape


def test_a_dilated_convolution_is_the_same_with_and_without_an_operation_of_its_own(monkeypatch):
    images, layer = normal(2, 12, 15, 3), SymmetricConv2D(4, 3, dilation_rate=4)

    def both():
        with tf.GradientTape() as tape:
            outputs = layer(images)
            loss = tf.reduce_sum(outputs**2)
        return outputs, tape.gradient(loss, layer.kernel.value)

    layer.build(images.shape)
    found = []
    for whole in (True, False):
        monkeypatch.setattr(layers, "gradient_of_dilated", lambda whole=whole: whole)
        graph = tf.function(both, autograph=False).get_concrete_function().graph
        assert ("SpaceToBatchND" in {op.type for op in graph.get_operations()}) != whole
        found.append(tf.function(both, autograph=False)())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_a_build_without_gradients_of_dilated_convolutions_is_recognized(monkeypatch):
    def refuse(**options):
        raise tf.errors.InvalidArgumentError(None, None, "do not yet support dilation rates")

    find = layers.gradient_of_dilated.__wrapped__
    monkeypatch.setattr(tf.raw_ops, "Conv2DBackpropInput", refuse)
    assert not find()
    monkeypatch.undo()
    # Either answer is true of this process.
    images, kernel = normal(1, 4, 4, 1), tf.ones([3, 3, 1, 1])
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        loss = tf.reduce_sum(tf.nn.conv2d(images, kernel, 1, "SAME", dilations=2))
    if find():
        assert tape.gradient(loss, kernel).shape == kernel.shape
    else:
        with pytest.raises(tf.errors.OpError):
            tape.gradient(loss, kernel)


@pytest.mark.parametrize("kernel", [3, 5])
def test_stride_2_does_not_shift_the_picture(kernel):
    layer = SymmetricConv2D(1, kernel, strides=2, use_bias=False)
    images = normal(1, 8, 8, 1)
    layer.build(images.shape)
    identity = np.zeros((kernel, kernel, 1, 1), np.float32)
    identity[kernel // 2, kernel // 2] = 1
    layer.kernel.assign(identity)
    np.testing.assert_array_equal(layer(images), images[:, ::2, ::2])


def test_even_kernels_are_refused():
    with pytest.raises(ValueError, match="odd.*4"):
        SymmetricConv2D(1, 4)


def test_a_convolution_survives_its_configuration():
    layer = SymmetricConv2D(4, 3, strides=2, use_bias=False, name="a")
    images = normal(1, 6, 6, 3)
    outputs = layer(images)
    copy = SymmetricConv2D.from_config(layer.get_config())
    copy.build(images.shape)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(copy(images), outputs)


@pytest.fixture
def norms():
    """Ours and Keras's, with the same weights."""
    ours, keras_norm = BatchNorm(), keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
    weights = [normal(5, seed=1), normal(5, seed=2), normal(5, seed=3), normal(5, seed=4) ** 2]
    for layer in (ours, keras_norm):
        layer.build((None, 4, 6, 5))
        layer.set_weights(weights)
    return ours, keras_norm


@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_gradients_equal_keras(norms, training):
    x, direction = tf.constant(normal(3, 4, 6, 5) * 2 + 1), normal(3, 4, 6, 5, seed=9)
    results = []
    for layer in norms:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(y * direction)
        variables = [v.value for v in layer.trainable_variables]
        results.append([y, *tape.gradient(loss, [x, *variables])])
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_moving_statistics_follow_torch(norms, compiled):
    layer, _ = norms
    x = normal(3, 4, 6, 5) * 2 + 1
    mean, variance = (v.numpy() for v in layer.non_trainable_variables)
    step = tf.function(lambda x: layer(x, training=True), jit_compile=compiled, autograph=False)
    step(x)
    np.testing.assert_allclose(
        layer.moving_mean, 0.9 * mean + 0.1 * x.mean((0, 1, 2)), rtol=1e-5, atol=1e-6
    )
    unbiased = x.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(layer.moving_variance, 0.9 * variance + 0.1 * unbiased, rtol=1e-5)


def test_nothing_moves_in_inference_or_when_frozen(norms):
    layer, _ = norms
    x, before = normal(3, 4, 6, 5), layer.get_weights()
    inferred = layer(x, training=False)
    layer.trainable = False
    np.testing.assert_array_equal(layer(x, training=True), inferred)
    layer.trainable = True
    np.testing.assert_array_equal(layer(x), inferred)
    for now, then in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_statistics_stay_float32_when_inputs_are_bfloat16():
    layer = BatchNorm(dtype="mixed_bfloat16")
    x = tf.cast(normal(8, 16, 16, 3) + 10, tf.bfloat16)  # bfloat16 itself sums to 1 part in 256
    y = layer(x, training=True)
    assert y.dtype == tf.bfloat16
    assert {v.dtype for v in layer.variables} == {"float32"}
    exact = tf.cast(x, tf.float64).numpy()
    np.testing.assert_allclose(layer.moving_mean, 0.1 * exact.mean((0, 1, 2)), rtol=1e-5)
    unbiased = exact.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * unbiased, rtol=1e-4)


def test_a_norm_survives_its_configuration():
    layer = BatchNorm(name="a", dtype="mixed_bfloat16", trainable=False)
    copy = BatchNorm.from_config(layer.get_config())
    assert (copy.name, copy.trainable, copy.momentum, copy.epsilon) == ("a", False, 0.9, 1e-5)
    x = tf.cast(normal(1, 2, 2, 3), tf.bfloat16)
    np.testing.assert_array_equal(copy(x), layer(x))
    assert copy(x).dtype == tf.bfloat16


@pytest.fixture
def layer_norm():
    layer = keras.layers.GroupNormalization(1, epsilon=1e-5)
    layer.build((None, 4, 6, 5))
    layer.set_weights([normal(5, seed=1), normal(5, seed=2)])
    return layer


@pytest.mark.parametrize("compiled", [False, True])
def test_layer_norm_takes_the_moments_of_each_image(layer_norm, compiled):
    x = normal(3, 4, 6, 5) * [[[[1]]], [[[7]]], [[[0.1]]]] + 2
    x = x.astype(np.float32)
    mean, variance = x.mean((1, 2, 3), keepdims=True), x.var((1, 2, 3), keepdims=True)
    gamma, beta = layer_norm.get_weights()
    expected = (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta
    run = tf.function(layer_norm, jit_compile=True, autograph=False) if compiled else layer_norm
    np.testing.assert_allclose(run(x), expected, rtol=1e-4, atol=1e-4)


def test_layer_norm_does_not_mix_the_images_of_a_batch(layer_norm):
    x = tf.constant(normal(3, 4, 6, 5))
    with tf.GradientTape() as tape:
        tape.watch(x)
        first = tf.reduce_sum(layer_norm(x)[0] ** 2)
    gradient = tape.gradient(first, x).numpy()
    assert np.abs(gradient[0]).max() > 1e-3
    np.testing.assert_array_equal(gradient[1:], 0)


def test_layer_norm_computes_in_float32():
    layer = keras.layers.GroupNormalization(1, epsilon=1e-5, dtype="mixed_bfloat16")
    x = tf.cast(normal(2, 16, 16, 3) + 50, tf.bfloat16)
    layer.build(x.shape)
    gamma, beta = normal(3, seed=1), normal(3, seed=2)
    layer.set_weights([gamma, beta])
    y = layer(x)
    assert y.dtype == tf.bfloat16
    assert {v.dtype for v in layer.variables} == {"float32"}
    exact = tf.cast(x, tf.float64).numpy()
    expected = (exact - exact.mean((1, 2, 3), keepdims=True)) / exact.std((1, 2, 3), keepdims=True)
    expected = expected * gamma + beta
    np.testing.assert_allclose(tf.cast(y, tf.float64), expected, rtol=2**-8, atol=1e-3)


@pytest.mark.parametrize(
    ("activation", "formula"),
    [("sigmoid", lambda x: 1 / (1 + np.exp(-x))), ("tanh", lambda x: (np.tanh(x) + 1) / 2)],
)
def test_the_unit_range_is_reached_in_float32(activation, formula):
    x = tf.cast(normal(2, 3, 4, 3), tf.bfloat16)
    y = UnitRange(activation)(x)
    assert y.dtype == tf.float32
    np.testing.assert_allclose(y, formula(tf.cast(x, tf.float32).numpy()), rtol=1e-5)


def test_a_damaged_image_holds_nothing_in_the_hole():
    images, masks = normal(2, 4, 5, 3), np.zeros((2, 4, 5, 1), np.float32)
    masks[:, 1:3, 2:] = 1
    hidden = np.where(masks > 0, np.nan, images)
    expected = np.concatenate([np.where(masks > 0, 0, 2 * images - 1), masks], -1)
    np.testing.assert_array_equal(DamagedImage()({"images": hidden, "masks": masks}), expected)
