"""The folded networks are the Keras ones in inference, only faster."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from wgan_inpaint import inference, networks

CASES = {
    "batch": {"size": 32},
    "batch, 64 px": {"size": 64, "width": 4},
    "layer": {"size": 32, "generator_norm": "layer", "critic_norm": "layer"},
    "none": {"size": 32, "generator_norm": "none", "critic_norm": "none"},
    "wide 4x4": {"size": 32, "generator_channels": (24, 24, 8)},
    "mlp": {"kind": "mlp", "size": 32},
}


def lively(network, seed=0):
    """Gives every weight a value that it does not start with, variances above zero."""
    generator = np.random.default_rng(seed)
    for variable in network.weights:
        noise = generator.normal(0, 0.1, variable.shape)
        variable.assign(variable + (np.abs(noise) if "variance" in variable.path else noise))
    return network


@pytest.fixture(scope="module", params=CASES.values(), ids=CASES)
def trio(request):
    architecture = networks.Architecture(**{"width": 8, "latent": 10, **request.param})
    keras.utils.set_random_seed(0)  # the tolerances are those of these weights
    return architecture, [
        lively(network)
        for network in (
            networks.generator(architecture),
            networks.critic(architecture),
            networks.encoder(architecture, width=4),
        )
    ]


def inputs(architecture, batch=3):
    generator = np.random.default_rng(1)
    side = architecture.size
    images = generator.random((batch, side, side, 3), np.float32)
    masks = (generator.random((batch, side, side, 1)) < 0.4).astype(np.float32)
    z = networks.random_latents(batch, architecture.latent, [1, 2])
    return z, tf.constant(images), {"images": tf.constant(images), "masks": tf.constant(masks)}


def test_all_three_networks_equal_the_keras_ones(trio):
    architecture, keras_networks = trio
    for network, x in zip(keras_networks, inputs(architecture), strict=True):
        expected = network(x, training=False).numpy()
        assert expected.std() > 0.01, "a constant proves nothing"
        folded = inference.FoldedNetwork(network)
        result = folded.at(tf.float32)(x)
        assert result.dtype == tf.float32
        tolerance = 1e-5 * max(1, np.abs(expected).max())
        np.testing.assert_allclose(result, expected, atol=tolerance)
        rounded = folded.at(tf.bfloat16)(x)
        assert rounded.dtype == tf.float32
        assert np.abs(rounded - expected).mean() < 0.06 * np.abs(expected).mean()
        half = inference.FoldedNetwork(network, storage=tf.float16).at(tf.float32)(x)
        assert np.abs(half - expected).mean() < 0.01 * expected.std()


def test_compiled_by_xla_equal_too():
    architecture = networks.Architecture(width=4, size=32, latent=10)
    network = lively(networks.generator(architecture))
    z, _, _ = inputs(architecture)
    compiled = tf.function(inference.FoldedNetwork(network).at(tf.float32), jit_compile=True)(z)
    np.testing.assert_allclose(compiled, network(z, training=False), atol=1e-5)


def test_in_float64_the_folded_networks_are_exact_to_float32_and_not_cut_to_it(trio):
    architecture, keras_networks = trio
    for network, x in zip(keras_networks, inputs(architecture), strict=True):
        wide = tf.nest.map_structure(lambda t: tf.cast(t, tf.float64), x)
        result = inference.FoldedNetwork(network).at(tf.float64)(wide)
        assert result.dtype == tf.float64
        expected = network(x, training=False).numpy()
        scale = max(1, np.abs(expected).max())
        np.testing.assert_allclose(result, expected, atol=1e-5 * scale)
        assert (result.numpy() != result.numpy().astype(np.float32)).any()


def test_subpixel_kernel_is_the_transposed_convolution():
    kernel = np.random.default_rng(0).normal(size=(5, 5, 3, 4)).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(2, 6, 7, 4)).astype(np.float32)
    expected = tf.nn.conv2d_transpose(x, kernel, [2, 12, 14, 3], 2, "SAME")
    rewritten = tf.nn.conv2d(x, inference.subpixel_kernel(kernel), 1, "SAME")
    np.testing.assert_allclose(tf.nn.depth_to_space(rewritten, 2), expected, atol=1e-5)


def test_paired_kernel_is_the_convolution():
    kernel = np.random.default_rng(0).normal(size=(5, 5, 3, 4)).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(2, 12, 14, 3)).astype(np.float32)
    expected = tf.nn.conv2d(x, kernel, 2, "SAME")
    paired = tf.nn.space_to_depth(x, 2)
    rewritten = tf.nn.conv2d(paired, inference.paired_kernel(kernel), 1, "SAME")
    np.testing.assert_allclose(rewritten, expected, atol=1e-5)


def test_an_unknown_layer_is_refused_by_name():
    network = keras.Sequential([keras.Input((4,)), keras.layers.Softmax(name="odd")])
    with pytest.raises(TypeError, match="odd: no folded form of a Softmax"):
        inference.FoldedNetwork(network)


def test_a_generator_of_its_own_widths_keeps_names_and_size():
    plain = networks.generator(networks.Architecture(width=8, latent=10))
    other = networks.generator(
        networks.Architecture(width=8, latent=10, generator_channels=(64, 64, 16, 8))
    )
    assert [layer.name for layer in other.layers] == [layer.name for layer in plain.layers]
    assert other.output_shape == plain.output_shape
    assert other.get_layer("deconv1").kernel.shape == (5, 5, 64, 64)
    with pytest.raises(ValueError, match="4 feature maps"):
        networks.Architecture(generator_channels=(64, 64))
