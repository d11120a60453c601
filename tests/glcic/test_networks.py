"""The networks are the papers' tables, row by row and to the last parameter."""

import functools
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from common.pictures import filling
from common.training.layers import BatchNorm
from glcic import networks
from glcic.settings import Glcic
from tests import weightless

# Iizuka 2017, Table 1: kernel, dilation, stride, outputs.
TABLE_1 = """
    5 1 1 64    3 1 2 128   3 1 1 128   3 1 2 256   3 1 1 256   3 1 1 256
    3 2 1 256   3 4 1 256   3 8 1 256   3 16 1 256  3 1 1 256   3 1 1 256
    4 1 .5 128  3 1 1 128   4 1 .5 64   3 1 1 32    3 1 1 3
"""
NUMBERS = np.array(TABLE_1.split(), float).reshape(-1, 4).tolist()
# GAN在图像修复中的创新应用实践, Section 4.2: 5x5 to 64 channels, 4x4 transposed from 64
# to 64, 5x5 to 3, none with a bias; the rest is ours, after Iizuka.
PRACTICE = [
    *NUMBERS[:11], [3, 1, 1, 64], [4, 1, 0.5, 64], [3, 1, 1, 64], [4, 1, 0.5, 64], [5, 1, 1, 3],
]  # fmt: skip
ALONE = {"practice": 256, "practice_128": 128}
COMPLETION = {
    **dict.fromkeys(ALONE, PRACTICE),
    "iizuka2017": NUMBERS,
    "iizuka2017_celeba": NUMBERS,
    # Wang & Wang 2020, Section 2.2: three dilated convolutions.
    "wang2020": [row for row in NUMBERS if row[1] != 16],
}
# Iizuka 2017, Table 2; Section 5.3 for faces of 160 px; Wang & Wang 2020, Section 2.3: five
# and four convolutions. (side in pixels, channels) of the global and the local discriminator.
DISCRIMINATOR = {
    "iizuka2017": (
        (256, (64, 128, 256, 512, 512, 512)),
        (128, (64, 128, 256, 512, 512)),
    ),
    "iizuka2017_celeba": ((160, (64, 128, 256, 512, 512)), (96, (64, 128, 256, 512, 512))),
    "wang2020": ((128, (64, 128, 256, 512, 512)), (64, (64, 128, 256, 512))),
}
EVERY = sorted(networks.ARCHITECTURES)
PAIRS = sorted(DISCRIMINATOR)


@functools.cache
def full(name):
    """Both networks of the paper's width: shapes without weights."""
    architecture = networks.ARCHITECTURES[name]
    with weightless.shapes_only():
        return networks.completion_network(architecture), networks.discriminator(architecture)


def narrow(name="wang2020", **options):
    random.seed(1)
    return networks.completion_network(networks.ARCHITECTURES[name], 1 / 16, **options)


def inputs(height=16, width=24, batch=2, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.random((batch, height, width, 3), dtype=np.float32)
    masks = np.zeros((batch, height, width, 1), np.float32)
    masks[:, 4:11, 5:13] = 1
    return {"images": images, "masks": masks}


def counts(network):
    """(all, trained) parameters."""
    sizes = [int(np.prod(v.shape)) for v in network.weights]
    trained = [int(np.prod(v.shape)) for v in network.trainable_weights]
    return sum(sizes), sum(trained)


def test_no_architecture_is_left_out():
    assert set(EVERY) == set(COMPLETION) == set(DISCRIMINATOR) | set(ALONE)


@pytest.mark.parametrize("name", EVERY)
def test_the_completion_network_has_the_tables_parameters(name):
    total, trained, channels = 3, 0, 4  # the mean colour; RGB and mask
    rows = COMPLETION[name]
    for n, (kernel, _, _, outputs) in enumerate(rows):
        kernels = int(kernel**2 * channels * outputs)
        last = n == len(rows) - 1
        bias = 0 if name in ALONE else outputs
        total += kernels + int(bias if last else 4 * outputs)  # a bias, or BatchNorm
        trained += kernels + int(bias if last else 2 * outputs)
        channels = outputs
    assert counts(full(name)[0]) == (total, trained)


@pytest.mark.parametrize("name", PAIRS)
def test_the_discriminator_has_the_tables_parameters(name):
    total = trained = 2048 + 1
    for side, outputs in DISCRIMINATOR[name]:
        channels = 3
        for output in outputs:
            kernels = 5 * 5 * channels * output
            total, trained = total + kernels + 4 * output, trained + kernels + 2 * output
            channels, side = output, -(-side // 2)
        dense = side * side * channels * 1024 + 1024
        total, trained = total + dense, trained + dense
    assert counts(full(name)[1]) == (total, trained)


@pytest.mark.parametrize("name", EVERY)
def test_the_completion_network_is_the_table_row_by_row(name):
    network = full(name)[0]
    convolutions = [layer for layer in network.layers if hasattr(layer, "kernel_size")]
    for layer, (kernel, dilation, stride, outputs) in zip(
        convolutions, COMPLETION[name], strict=True
    ):
        assert isinstance(layer, keras.layers.Conv2DTranspose) == (stride < 1)
        step = int(1 / stride if stride < 1 else stride)
        assert layer.kernel_size == (kernel, kernel)
        assert layer.dilation_rate == (dilation, dilation)
        assert layer.strides == (step, step)
        assert layer.filters == outputs
    kinds = [type(layer) for layer in network.layers]
    assert kinds.count(BatchNorm) == kinds.count(keras.layers.ReLU) == len(convolutions) - 1


@pytest.mark.parametrize("name", PAIRS)
def test_the_discriminators_are_the_table_row_by_row(name):
    network = full(name)[1]
    for branch, (side, outputs) in zip(("global", "local"), DISCRIMINATOR[name], strict=True):
        for n, output in enumerate(outputs, 1):
            layer = network.get_layer(f"{branch}_conv{n}")
            assert layer.kernel_size == (5, 5)
            assert layer.strides == (2, 2)
            side = -(-side // 2)
            assert layer.output.shape == (None, side, side, output)
        assert network.get_layer(f"{branch}_features").units == 1024
    sizes = {key: tensor.shape[1:] for key, tensor in network.input.items()}
    (whole, _), (patch, _) = DISCRIMINATOR[name]
    assert sizes == {"images": (whole, whole, 3), "patches": (patch, patch, 3)}
    assert network.get_layer("concatenate").output.shape == (None, 2048)
    assert network.output.shape == (None, 1)
    kinds = [type(layer) for layer in network.layers]
    convolutions = sum(len(outputs) for _, outputs in DISCRIMINATOR[name])
    assert kinds.count(BatchNorm) == kinds.count(keras.layers.ReLU) == convolutions


@pytest.mark.parametrize(("name", "side"), ALONE.items())
def test_a_discriminator_that_stands_alone_ends_in_one_number(name, side):
    network = full(name)[1]
    assert {key: x.shape[1:] for key, x in network.input.items()} == {"images": (side, side, 3)}
    assert network.output.shape == (None, 1)
    outputs = (64, 128, 256, 512, 512, 512)[: 6 if side == 256 else 5]
    convolutions = [layer for layer in network.layers if hasattr(layer, "kernel_size")]
    assert [layer.filters for layer in convolutions] == [*outputs, 1]
    assert [layer.kernel_size[0] for layer in convolutions] == [5] * len(outputs) + [4]
    assert not any(layer.use_bias for layer in convolutions)
    norms = [layer for layer in network.layers if isinstance(layer, BatchNorm)]
    assert len(norms) == len(outputs) - 1  # none behind the first
    leaks = [layer for layer in network.layers if isinstance(layer, keras.layers.ReLU)]
    assert [layer.negative_slope for layer in leaks] == [pytest.approx(0.2)] * len(outputs)


def test_width_scales_every_layer_but_the_last():
    wide, thin = full("wang2020")[0], narrow()
    for layer in wide.layers:
        if hasattr(layer, "filters") and layer.name != "output":
            assert thin.get_layer(layer.name).filters == layer.filters / 16
    assert thin.get_layer("output").filters == 3
    discriminator = networks.discriminator(networks.ARCHITECTURES["wang2020"], 1 / 16)
    assert discriminator.get_layer("concatenate").output.shape == (None, 2048 / 16)


def test_the_output_has_the_inputs_size_whatever_the_size():
    network = narrow("iizuka2017")
    for height, width in ((4, 4), (12, 28)):
        batch = inputs(height, width)
        assert network(batch).shape == batch["images"].shape


@pytest.mark.parametrize("name", ["iizuka2017", "wang2020"])
def test_the_output_fills_the_unit_range_in_float32(name):
    network = narrow(name, dtype="mixed_bfloat16")
    layer = network.get_layer("output")
    layer.kernel.assign(layer.kernel * 1e4)
    output = network(inputs(), training=True)
    assert output.dtype == tf.float32
    assert (float(tf.reduce_min(output)), float(tf.reduce_max(output))) == (0, 1)
    layer.kernel.assign(layer.kernel * 0)
    np.testing.assert_array_equal(network(inputs()), 0.5)


def test_the_four_channels_are_the_centred_colour_outside_the_hole_and_the_mask():
    layer = networks.CompletionInput()
    batch = inputs()
    layer.build({key: value.shape for key, value in batch.items()})
    layer.mean_color.assign([0.1, 0.2, 0.3])
    known = 1 - batch["masks"]
    expected = np.concatenate(
        [(batch["images"] - np.float32([0.1, 0.2, 0.3])) * known, batch["masks"]], -1
    )
    np.testing.assert_array_equal(layer(batch), expected)


@pytest.mark.parametrize("training", [False, True])
def test_what_the_hole_hides_does_not_matter(training):
    network, batch = narrow(), inputs()
    hidden = {**batch, "images": np.where(batch["masks"] > 0, np.nan, batch["images"])}
    weights = network.get_weights()
    expected = network(batch, training=training).numpy()
    network.set_weights(weights)
    np.testing.assert_array_equal(network(hidden, training=training), expected)
    assert np.isfinite(expected).all()


def test_the_hole_is_filled_from_what_surrounds_it():
    network, batch = narrow(), inputs()
    layer = network.get_layer("output")
    layer.kernel.assign(layer.kernel * 1e3)  # untrained, the activations fade
    other = {**batch, "images": np.where(batch["masks"] > 0, batch["images"], 0.2)}
    change = np.abs(network(batch) - network(other)).max(-1)
    assert change[batch["masks"][..., 0] > 0].min() > 0


class TestLevelled:
    """The end of a network that need not know how bright its surroundings are."""

    def run(self, outputs, batch):
        return networks.Levelled()({**batch, "outputs": outputs}).numpy()

    def test_known_pixels_are_the_pictures_and_what_is_hidden_is_not_read(self):
        batch, outputs = inputs(), inputs(seed=1)["images"]
        hidden = np.where(batch["masks"] > 0, np.nan, batch["images"])
        result = self.run(outputs, {**batch, "images": hidden})
        known = np.broadcast_to(batch["masks"] == 0, result.shape)
        np.testing.assert_array_equal(result[known], batch["images"][known])
        assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1

    def test_another_level_changes_nothing(self):
        batch = inputs()
        batch["images"] = batch["images"] / 4 + 0.4
        outputs = inputs(seed=1)["images"] / 8 + 0.4
        result = self.run(outputs, batch)
        np.testing.assert_allclose(self.run(outputs + [0.1, -0.3, 0.2], batch), result, atol=1e-5)
        # A network that says nothing leaves what diffuses from around the hole.
        flat = self.run(np.full_like(outputs, 0.7), batch)
        beside = networks._beside(batch["masks"] > 0).numpy()
        expected = filling.diffused(batch["images"], 1 - np.float32(beside)).numpy()
        np.testing.assert_allclose(flat, np.where(batch["masks"] > 0, expected, batch["images"]),
                                   atol=1e-5)  # fmt: skip

    def test_only_outputs_beside_the_hole_count(self):
        batch = {"images": inputs(40, 40)["images"], "masks": np.zeros((2, 40, 40, 1), np.float32)}
        batch["masks"][:, 15:22, 17:25] = 1
        outputs = inputs(40, 40, seed=1)["images"]
        result = self.run(outputs, batch)
        near = np.zeros((1, 40, 40, 1), bool)
        band = networks.BAND
        near[:, 15 - band : 22 + band, 17 - band : 25 + band] = True
        np.testing.assert_array_equal(self.run(np.where(near, outputs, 9), batch), result)
        outputs[:, 14, 20] += 0.5
        assert (self.run(outputs, batch) != result).any()

    @pytest.mark.parametrize("compiled", [False, True])
    def test_the_gradient_is_that_of_the_levelling_and_not_of_the_cut(self, compiled, monkeypatch):
        monkeypatch.setattr(filling, "LEVELS", 3)  # of its pyramid, all of which compile alike
        batch, outputs = inputs(batch=1), inputs(seed=1, batch=1)["images"] + 0.9
        weight = inputs(seed=2, batch=1)["images"] * batch["masks"]

        def value(outputs):
            return tf.reduce_sum(weight * networks.Levelled()({**batch, "outputs": outputs}))

        def gradient(outputs):
            with tf.GradientTape() as tape:
                tape.watch(outputs)
                result = value(outputs)
            return tape.gradient(result, outputs)

        if compiled:
            gradient = tf.function(gradient, jit_compile=True, autograph=False)
        found = gradient(tf.constant(outputs)).numpy()
        # Inside the range, where nothing is cut, finite differences agree.
        direction = inputs(seed=3, batch=1)["images"] - 0.5
        inside = batch["images"] / 8 + 0.45, inputs(seed=1, batch=1)["images"] / 8 + 0.45
        batch["images"] = inside[0]
        ahead, behind = (float(value(inside[1] + s * 0.05 * direction)) for s in (1, -1))
        assert (ahead - behind) / 0.1 == pytest.approx(float((found * direction).sum()), rel=1e-3)
        # A flat change is taken away again.
        np.testing.assert_allclose(found.sum((1, 2)), 0, atol=1e-3)


def test_a_network_that_is_levelled_gives_back_what_it_knows():
    network, batch = narrow(levelled=True), inputs()
    with pytest.raises(InputError, match="--levelled returns the known pixels"):
        Glcic(levelled=True, known_weight=0.1)
    outputs = network(batch).numpy()
    known = np.broadcast_to(batch["masks"] == 0, outputs.shape)
    np.testing.assert_array_equal(outputs[known], batch["images"][known])
