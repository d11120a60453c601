"""The folded chain is the Keras network in inference, only faster."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as k

from common.training import folding
from common.training.layers import BatchNorm, DamagedImage, SymmetricConv2D, UnitRange


class Centred(k.Layer):
    """An input layer with a weight of its own."""

    def build(self, input_shape):
        self.mean = self.add_weight(name="mean", shape=(3,), trainable=False)

    def call(self, inputs):
        return tf.concat([inputs["images"] - self.mean.value, inputs["masks"]], -1)

    def compute_output_shape(self, input_shape):
        return (*input_shape["images"][:-1], 4)


def damaged(*size):
    channels = {"images": 3, "masks": 1}
    return {name: keras.Input((*size, count), name=name) for name, count in channels.items()}


def doubling(channels, kernel, **options):
    return k.Conv2DTranspose(channels, kernel, strides=2, padding="same", **options)


def halving(channels, kernel, **options):
    return k.Conv2D(channels, kernel, strides=2, padding="same", **options)


CHAINS = {
    "completion": lambda: [
        damaged(None, None),
        Centred(),
        SymmetricConv2D(5, 5, use_bias=False),
        BatchNorm(),
        k.ReLU(),
        SymmetricConv2D(6, 3, strides=2, use_bias=False),
        BatchNorm(),
        k.ReLU(),
        SymmetricConv2D(7, 3, dilation_rate=2, name="dilated"),
        k.ReLU(name="behind"),
        doubling(5, 4, use_bias=False),
        BatchNorm(),
        k.ReLU(),
        SymmetricConv2D(3, 3),
        UnitRange("sigmoid"),
    ],
    "generator": lambda: [
        keras.Input((6,)),
        k.Dense(4 * 5 * 6, use_bias=False),
        k.Reshape((4, 5, 6)),
        BatchNorm(),
        k.ReLU(),
        doubling(7, 5, use_bias=False),
        BatchNorm(),
        k.ReLU(),
        doubling(6, 4),
        k.GroupNormalization(1),
        k.LeakyReLU(0.2),
        doubling(3, 5),
        k.Cropping2D(((4, 4), (2, 6))),
        UnitRange("tanh"),
    ],
    "critic": lambda: [
        keras.Input((16, 12, 3)),
        k.Rescaling(2, -1),
        halving(5, 5),
        k.LeakyReLU(0.2),
        halving(6, 5, use_bias=False),
        BatchNorm(),
        k.LeakyReLU(0.2),
        halving(6, 4, activation="relu"),
        k.Flatten(),
        k.Dense(1),
    ],
    "encoder": lambda: [
        damaged(16, 12),
        DamagedImage(),
        halving(5, 5),
        k.LeakyReLU(0.2),
        k.Flatten(),
        k.Dense(9, activation="relu"),
        k.Dense(4),
        k.Activation("tanh"),
    ],
}


def build(inputs, *chain):
    """A model whose weights are all such that its output depends on its input."""
    random.seed(0)
    x = inputs
    for layer in chain:
        x = layer(x)
    network = keras.Model(inputs, x, name="network")
    generator = np.random.default_rng(0)
    for layer in chain:
        for variable in layer.weights:
            noise = generator.normal(0, 0.2, variable.shape)
            if variable.path.endswith("kernel"):
                taps = np.prod(variable.shape) / layer.output.shape[-1]
                noise *= 5 * np.sqrt((4 if isinstance(layer, k.Conv2DTranspose) else 2) / taps)
            variable.assign(variable + (np.abs(noise) if "variance" in variable.path else noise))
    return network


@pytest.fixture(scope="module", params=CHAINS)
def pair(request):
    """A network and its input."""
    network, generator = build(*CHAINS[request.param]()), np.random.default_rng(1)
    if request.param == "generator":
        return network, tf.constant(generator.uniform(-1, 1, (3, 6)), tf.float32)
    images = tf.constant(generator.random((3, 16, 12, 3), np.float32))
    masks = tf.constant((generator.random((3, 16, 12, 1)) < 0.4).astype(np.float32))
    return network, images if request.param == "critic" else {"images": images, "masks": masks}


def test_equals_the_keras_network(pair):
    network, x = pair
    expected = network(x, training=False).numpy()
    assert expected.std() > 0.05, "a constant proves nothing"
    folded = folding.FoldedNetwork(network)
    run = folded.at(tf.float32)
    tolerance = 1e-5 * max(1, np.abs(expected).max())
    for function in (run, tf.function(run, jit_compile=True, autograph=False)):
        result = function(x)
        assert result.dtype == tf.float32
        np.testing.assert_allclose(result, expected, atol=tolerance)
    rounded = folded.at(tf.bfloat16)(x)
    assert rounded.dtype == tf.float32
    assert np.abs(rounded - expected).mean() < 0.05 * expected.std()
    if not hasattr(network.layers[-1], "kernel"):  # an activation
        cut = tf.cast(tf.cast(rounded, tf.bfloat16), tf.float32)
        assert tf.reduce_any(rounded != cut), "rounded behind the last activation"


def test_half_storage_stays_close(pair):
    network, x = pair
    expected = network(x, training=False).numpy()
    half = folding.FoldedNetwork(network, storage=tf.float16)
    for array in half.arrays:  # the normalizations' scales and offsets are not worth it
        assert array.dtype == (tf.float16 if len(array.shape) > 1 else tf.float32)
    assert np.abs(half.at(tf.float32)(x) - expected).mean() < 0.01 * expected.std()


def test_in_float64_it_is_exact_to_float32_and_not_cut_to_it(pair):
    network, x = pair
    if any(isinstance(layer, Centred) for layer in network.layers):
        pytest.skip("a weight of an input layer is float32")
    wide = tf.nest.map_structure(lambda t: tf.cast(t, tf.float64), x)
    result = folding.FoldedNetwork(network).at(tf.float64)(wide)
    assert result.dtype == tf.float64
    expected = network(x, training=False).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-5 * max(1, np.abs(expected).max()))
    assert (result.numpy() != result.numpy().astype(np.float32)).any()


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_a_part_after_the_other_is_the_whole(dtype):
    network = build(*CHAINS["completion"]())
    folded = folding.FoldedNetwork(network)
    images = np.random.default_rng(1).random((2, 8, 12, 3), np.float32)
    x = {"images": images, "masks": np.zeros((2, 8, 12, 1), np.float32)}
    middle = folded.names.index("behind") + 1
    between = folded.at(dtype, 0, middle)(x)
    assert between.dtype == dtype and between.shape == (2, 4, 6, 7)
    assert float(tf.reduce_min(between)) == 0
    result = folded.at(dtype, middle)(between)
    np.testing.assert_array_equal(result, folded.at(dtype)(x))


def test_pictures_of_a_batch_do_not_influence_each_other(pair):
    network, x = pair
    run = folding.FoldedNetwork(network).at(tf.float32)
    alone = run(tf.nest.map_structure(lambda t: t[:1], x))
    np.testing.assert_allclose(run(x)[:1], alone, atol=1e-5 * max(1, np.abs(alone).max()))


def test_a_network_unfolded_is_the_folded_one_and_so_it_is_in_training(request, pair):
    network, x = pair
    expected = network(x, training=False).numpy()
    other = build(*CHAINS[request.node.callspec.params["pair"]]())
    for variable in other.variables:
        variable.assign(variable * 0.3 + 0.1)
    assert folding.unfold(other, folding.FoldedNetwork(network).arrays, x) == []
    tolerance = 1e-4 * max(1, np.abs(expected).max())
    np.testing.assert_allclose(other(x, training=False), expected, atol=tolerance)
    np.testing.assert_allclose(other(x, training=True), expected, atol=tolerance)


def test_unfolding_says_what_does_not_fit():
    chain = CHAINS["completion"]()
    arrays = folding.FoldedNetwork(build(*chain)).arrays
    wider = CHAINS["completion"]()
    wider[5] = SymmetricConv2D(8, 3, strides=2, use_bias=False, name="wide")
    network, x = build(*wider), {"images": np.zeros((1, 8, 8, 3)), "masks": np.zeros((1, 8, 8, 1))}
    assert folding.unfold(network, arrays, x) == ["wide", "dilated"]
    np.testing.assert_array_equal(network.layers[3].kernel.shape, (5, 5, 4, 5))
    with pytest.raises(ValueError, match="arrays, not"):
        folding.unfold(build(*CHAINS["completion"]()[:-3], *wider[-1:]), arrays, x)


def test_what_is_stored_is_restored_frozen_or_not():
    def network(policy="float32"):
        x = keras.Input((3,), name="x")
        y = k.BatchNormalization(name="norm")(k.Dense(4, name="dense", dtype=policy)(x))
        return keras.Model(x, k.Add()([y, k.Dense(4, name="other", dtype=policy)(x)]))

    weights = [np.random.default_rng(n).random(w.shape) for n, w in enumerate(network().weights)]
    stored = folding.Stored(network, weights)
    for frozen in (False, True):
        other = network()
        other.trainable = not frozen
        assert folding.restore(other, [a.numpy() for a in stored.arrays], None) == []
        for new, old in zip(other.get_weights(), weights, strict=True):
            np.testing.assert_allclose(new, old, rtol=1e-6)
        assert other.trainable != frozen


@pytest.mark.parametrize("size", [4, 5])
def test_subpixel_kernel_is_the_transposed_convolution(size):
    kernel = np.random.default_rng(0).normal(size=(size, size, 3, 4)).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(2, 6, 7, 4)).astype(np.float32)
    expected = tf.nn.conv2d_transpose(x, kernel, [2, 12, 14, 3], 2, "SAME")
    cut = 1 if size == 4 else 0
    padded = np.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
    rewritten = tf.nn.conv2d(padded, folding.subpixel_kernel(kernel), 1, "VALID")
    rewritten = tf.nn.depth_to_space(rewritten, 2)[:, cut : 12 + cut, cut : 14 + cut]
    np.testing.assert_allclose(rewritten, expected, atol=1e-5)


def test_paired_kernel_is_the_convolution():
    kernel = np.random.default_rng(0).normal(size=(5, 5, 3, 4)).astype(np.float32)
    x = np.random.default_rng(1).normal(size=(2, 12, 14, 3)).astype(np.float32)
    expected = tf.nn.conv2d(x, kernel, 2, "SAME")
    paired = tf.nn.space_to_depth(x, 2)
    rewritten = tf.nn.conv2d(paired, folding.paired_kernel(kernel), 1, "SAME")
    np.testing.assert_allclose(rewritten, expected, atol=1e-5)


@pytest.mark.parametrize(
    "layer",
    [
        k.DepthwiseConv2D(3, name="odd"),
        doubling(3, 3, name="odd"),
        k.Conv2DTranspose(3, 4, padding="same", name="odd"),
    ],
)
def test_a_kernel_of_another_kind_is_refused_by_name(layer):
    network = keras.Sequential([keras.Input((8, 8, 3)), layer])
    with pytest.raises(TypeError, match=f"odd: no folded form of such a {type(layer).__name__}"):
        folding.FoldedNetwork(network)


@pytest.mark.parametrize("before", [k.Dense(3, activation="relu"), k.ReLU()])
def test_statistics_behind_an_activation_are_refused(before):
    network = keras.Sequential([keras.Input((8, 8, 3)), k.Dense(3), before, BatchNorm(name="odd")])
    with pytest.raises(TypeError, match="odd: no layer with a kernel before this BatchNorm"):
        folding.FoldedNetwork(network)
