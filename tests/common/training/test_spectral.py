"""Kernels are used divided by their norm, and left alone; self-attention is its equations."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.training import spectral


def make(kind, dtype="float32", scale=3.0):
    random.seed(4)
    layer, shape = {
        "conv": (spectral.SpectralConv2D(6, 5, strides=2, dtype=dtype), (2, 8, 8, 3)),
        "valid": (spectral.SpectralValidConv2D(5, 4, dtype=dtype), (2, 4, 4, 3)),
        "dense": (spectral.SpectralDense(7, dtype=dtype), (2, 10)),
    }[kind]
    x = tf.constant(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    layer.build(x.shape)
    layer.kernel.assign(layer.kernel * scale)
    return layer, x


def matrix(layer):
    return layer.kernel.numpy().reshape(-1, layer.kernel.shape[-1])


KINDS = ["conv", "valid", "dense"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_has_the_norm_one_and_stays_as_it_is(kind):
    layer, x = make(kind)
    before = layer.kernel.numpy()
    for _ in range(30):
        layer(x, training=True)
    used = layer.normalized(False).numpy().reshape(matrix(layer).shape)
    assert np.linalg.norm(used, 2) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(used * np.linalg.norm(matrix(layer), 2), matrix(layer), rtol=2e-3)
    np.testing.assert_array_equal(layer.kernel.numpy(), before)


@pytest.mark.parametrize("kind", KINDS)
def test_from_the_first_step_on_the_estimate_is_near(kind):
    layer, _ = make(kind, scale=1.0)
    used = layer.normalized(False).numpy().reshape(matrix(layer).shape)
    assert np.linalg.norm(used, 2) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_blind_to_the_kernels_scale(kind):
    layer, x = make(kind)
    kernel = layer.kernel
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.sin(layer(x, training=True)))
    gradient = tape.gradient(loss, layer.trainable_variables)[0].numpy()
    across = (gradient * kernel.numpy()).sum()
    assert abs(across) < 1e-5 * np.linalg.norm(gradient) * np.linalg.norm(kernel)
    assert np.linalg.norm(gradient) > 1e-3


def test_the_gradient_equals_finite_differences():
    layer, x = make("conv")
    for _ in range(200):  # with the exact vectors it is the derivative of the norm, too
        layer(x, training=True)
    direction = np.random.default_rng(1).normal(size=layer.kernel.shape).astype(np.float32)

    def loss():
        return tf.reduce_sum(tf.sin(layer(x, training=False)))

    with tf.GradientTape() as tape:
        value = loss()
    slope = float(tf.reduce_sum(tape.gradient(value, layer.trainable_variables)[0] * direction))
    kernel, ends = layer.kernel.numpy(), []
    for way in (1, -1):
        layer.kernel.assign(kernel + way * 5e-3 * direction)
        ends.append(float(loss()))
    assert slope == pytest.approx((ends[0] - ends[1]) / 1e-2, rel=0.02)


def test_the_vector_moves_in_a_networks_own_step_alone():
    layer, x = make("dense")
    inputs = keras.Input((10,))
    network = keras.Model(inputs, layer(inputs))
    vector = layer.vector.numpy()
    network(x, training=False)
    with spectral.fixed(network):
        network(x, training=True)
    np.testing.assert_array_equal(layer.vector.numpy(), vector)
    compiled = tf.function(lambda x: network(x, training=True), autograph=False)
    with spectral.fixed(network):
        tf.function(lambda x: network(x, training=True), autograph=False)(x)
    np.testing.assert_array_equal(layer.vector.numpy(), vector)
    compiled(x)
    assert (layer.vector.numpy() != vector).any()


def test_the_vectors_of_self_attention_are_fixed_as_well():
    random.seed(2)
    inputs, layer = keras.Input((4, 4, 16)), spectral.SelfAttention()
    network = keras.Model(inputs, layer(inputs))
    x = tf.constant(np.random.default_rng(3).normal(size=(2, 4, 4, 16)).astype(np.float32))
    before = [part.vector.numpy() for part in layer.parts.values()]
    with spectral.fixed(network):
        network(x, training=True)
    after = [part.vector.numpy() for part in layer.parts.values()]
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))
    network(x, training=True)
    assert any((part.vector.numpy() != one).any()
               for part, one in zip(layer.parts.values(), before, strict=True))  # fmt: skip


def test_under_mixed_precision_kernel_and_norm_are_float32():
    exact, x = make("conv")
    layer, _ = make("conv", "mixed_bfloat16")
    before = layer.kernel.numpy()
    found = layer(x, training=True)
    assert found.dtype == tf.bfloat16 and layer.vector.dtype == "float32"
    np.testing.assert_array_equal(layer.kernel.numpy(), before)
    assert (before != tf.cast(tf.cast(before, tf.bfloat16), tf.float32).numpy()).mean() > 0.9
    expected = exact(x, training=True).numpy()
    np.testing.assert_allclose(tf.cast(found, tf.float32), expected, atol=0.03)


def attention_by_hand(layer, x):
    """[2]'s equations with the kernels as they are used."""
    kernels = {name: part.normalized(False).numpy()[0, 0] for name, part in layer.parts.items()}
    batch, height, width, channels = x.shape
    found = np.zeros_like(x)
    for n in range(batch):
        flat = x[n].reshape(-1, channels)

        def pooled(name, flat=flat):
            values = (flat @ kernels[name]).reshape(height // 2, 2, width // 2, 2, -1)
            return values.max((1, 3)).reshape(height * width // 4, -1)

        scores = flat @ kernels["theta"] @ pooled("phi").T
        weights = np.exp(scores - scores.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        found[n] = (weights @ pooled("g") @ kernels["o"]).reshape(height, width, channels)
    return x + float(layer.gamma.numpy()) * found


def test_self_attention_is_its_equations_and_begins_as_nothing():
    random.seed(2)
    layer = spectral.SelfAttention()
    x = np.random.default_rng(3).normal(size=(2, 6, 4, 16)).astype(np.float32)
    np.testing.assert_array_equal(layer(x), x)
    assert {name: part.filters for name, part in layer.parts.items()} == {
        "theta": 2, "phi": 2, "g": 8, "o": 16,
    }  # fmt: skip
    layer.gamma.assign(0.7)
    np.testing.assert_allclose(layer(x), attention_by_hand(layer, x), atol=1e-4)
    compiled = tf.function(layer, jit_compile=True, autograph=False)(x)
    np.testing.assert_allclose(compiled, attention_by_hand(layer, x), atol=1e-4)


def test_every_part_of_self_attention_learns_once_gamma_has_moved():
    random.seed(2)
    layer = spectral.SelfAttention()
    x = tf.constant(np.random.default_rng(3).normal(size=(2, 4, 4, 16)).astype(np.float32))
    layer(x)
    for gamma in (0.0, 0.5):
        layer.gamma.assign(gamma)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(layer(x, training=True)))
        gradients = tape.gradient(loss, layer.trainable_variables)
        assert len(gradients) == 5 and all(np.isfinite(g).all() for g in gradients)
        by_name = {v.path.split("/")[-2 if len(v.shape) else -1]: float(np.abs(g).max())
                   for v, g in zip(layer.trainable_variables, gradients, strict=True)}  # fmt: skip
        assert by_name.pop("gamma") > 0
        assert by_name.keys() == {"theta", "phi", "g", "o"}
        assert all((size > 0) == (gamma > 0) for size in by_name.values())
