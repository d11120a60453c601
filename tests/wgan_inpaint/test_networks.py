"""Generator, critic and encoder are the papers' networks to the last parameter."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.training import folding
from common.training.layers import BatchNorm
from tests import weightless
from wgan_inpaint import networks
from wgan_inpaint.networks import Architecture

# Radford 2016, Figure 1, at 64 px: channels from 4x4 to the picture.
FIGURE_1 = (1024, 512, 256, 128)
CHANNELS = {
    (32, 64): (256, 128, 64),
    (64, 64): (512, 256, 128, 64),
    (128, 64): (1024, 512, 256, 128, 64),
    (64, 128): FIGURE_1,
}
# Floating point numbers behind a layer before its normalization: a bias, or scale and offset.
NORM_PARAMETERS = {"batch": 2, "layer": 2, "none": 1}


def counts(network):
    """(all, trained) parameters."""
    return tuple(
        sum(int(np.prod(v.shape)) for v in weights)
        for weights in (network.weights, network.trainable_weights)
    )


def tiny(**options):
    return Architecture(**{"size": 32, "width": 4, "latent": 6, **options})


def pictures(side=32, count=3, seed=0):
    return np.random.default_rng(seed).random((count, side, side, 3), np.float32)


BUILDERS = {
    "generator": networks.generator,
    "critic": networks.critic,
    "encoder": lambda architecture, dtype="float32": networks.encoder(
        architecture, width=4, dtype=dtype
    ),
}


def inputs(name, architecture):
    images = pictures(architecture.size)
    masks = np.zeros((*images.shape[:3], 1), np.float32)
    masks[:, 8:20, 4:16] = 1
    return {
        "generator": networks.random_latents(3, architecture.latent, [1, 2]),
        "critic": images,
        "encoder": {"images": images, "masks": masks},
    }[name]


@pytest.mark.parametrize(
    ("size", "width", "norm"),
    [(*key, "batch") for key in CHANNELS] + [(64, 64, "layer"), (64, 64, "none")],
)
def test_generator_and_critic_have_the_figures_parameters(size, width, norm):
    channels, per_channel = CHANNELS[size, width], NORM_PARAMETERS[norm]
    generated = 100 * 16 * channels[0] + sum(
        25 * a * b for a, b in zip(channels, (*channels[1:], 3), strict=True)
    )
    # Without normalization the projection has a bias for each of its 4x4 pixels.
    generated += per_channel * sum(channels) + 3 + (15 * channels[0] if norm == "none" else 0)
    judged = 25 * 3 * channels[-1] + channels[-1] + 16 * channels[0] + 1
    judged += sum(25 * a * b for a, b in zip(channels[1:], channels, strict=False))
    judged += per_channel * sum(channels[:-1])
    statistics = 2 if norm == "batch" else 0
    architecture = Architecture(size=size, width=width, generator_norm=norm, critic_norm=norm)
    with weightless.shapes_only():
        generator, critic = networks.generator(architecture), networks.critic(architecture)
    assert counts(generator) == (generated + statistics * sum(channels), generated)
    assert counts(critic) == (judged + statistics * sum(channels[:-1]), judged)


@pytest.mark.parametrize("size", networks.SIZES)
def test_the_perceptrons_have_four_layers_of_512_units(size):
    pixels = 3 * size * size
    hidden = 3 * (512 * 512 + 512)
    architecture = Architecture(kind="mlp", size=size)
    generated = 100 * 512 + 512 + hidden + 512 * pixels + pixels
    judged = pixels * 512 + 512 + hidden + 512 + 1
    with weightless.shapes_only():
        generator, critic = networks.generator(architecture), networks.critic(architecture)
    assert counts(generator) == (generated, generated)
    assert counts(critic) == (judged, judged)


def test_feature_maps_are_those_of_figure_1():
    with weightless.shapes_only():
        generator = networks.generator(Architecture(width=128))
        critic = networks.critic(Architecture(width=128))
    maps = [layer.output.shape[1:] for layer in generator.layers if layer.name.startswith("relu")]
    assert maps == [(4 * 2**n, 4 * 2**n, c) for n, c in enumerate(FIGURE_1)]
    mirrored = [layer.output.shape[1:] for layer in critic.layers if layer.name.startswith("relu")]
    assert mirrored == maps[::-1]
    for layer in generator.layers + critic.layers:
        if hasattr(layer, "kernel_size"):
            assert layer.kernel_size == (5, 5)
            assert layer.strides == (2, 2)


def test_the_generators_own_channels_replace_the_mirrored_ones():
    generator = networks.generator(tiny(generator_channels=[7, 6, 5]))
    maps = [layer.output.shape[-1] for layer in generator.layers if layer.name.startswith("relu")]
    assert maps == [7, 6, 5]
    assert [x.name for x in generator.layers] == [x.name for x in networks.generator(tiny()).layers]
    assert generator.output_shape == (None, 32, 32, 3)
    assert generator.get_layer("deconv1").kernel.shape == (5, 5, 6, 7)
    with pytest.raises(ValueError, match="need 3"):
        tiny(generator_channels=(7, 6))


def test_normalization_is_next_to_neither_picture_nor_score():
    for norm, kind in (
        ("batch", BatchNorm),
        ("layer", keras.layers.GroupNormalization),
        ("none", ()),
    ):
        architecture = tiny(generator_norm=norm, critic_norm=norm)
        for name, hidden in (("generator", 3), ("critic", 2)):
            layers = BUILDERS[name](architecture).layers
            normalized = [layer for layer in layers if layer.name.startswith("norm")]
            assert len(normalized) == (hidden if kind else 0)
            assert all(isinstance(layer, kind) for layer in normalized)


def test_initial_weights_are_normal_with_deviation_one_fiftieth():
    random.seed(0)
    architecture = Architecture(width=16)
    for network in (networks.generator(architecture), networks.critic(architecture)):
        for layer in network.layers:
            if hasattr(layer, "kernel"):
                kernel = layer.kernel.numpy()
                assert abs(kernel.mean()) < 5 * 0.02 / np.sqrt(kernel.size)
                assert kernel.std() == pytest.approx(0.02, rel=5 / np.sqrt(kernel.size))


@pytest.mark.parametrize("kind", networks.KINDS)
@pytest.mark.parametrize("size", networks.SIZES)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_every_network_maps_to_its_shape_in_float32(kind, size, dtype):
    architecture = tiny(kind=kind, size=size)
    shapes = {"generator": (3, size, size, 3), "critic": (3, 1), "encoder": (3, 6)}
    for name, build in BUILDERS.items():
        network = build(architecture, dtype=dtype)
        output = network(inputs(name, architecture), training=True)
        assert output.shape == shapes[name]
        assert output.dtype == tf.float32
        assert {v.dtype for v in network.weights} == {"float32"}


@pytest.mark.parametrize("kind", networks.KINDS)
def test_pictures_fill_the_unit_range_and_z_the_symmetric_one(kind):
    for name, layer, low in (("generator", "output", 0), ("encoder", "z", -1)):
        network = BUILDERS[name](tiny(kind=kind))
        last = network.get_layer(layer)
        last.kernel.assign(last.kernel * 1e6)
        output = network(inputs(name, tiny()), training=True).numpy()
        assert (output.min(), output.max()) == (low, 1)


def test_the_critic_sees_the_symmetric_range():
    critic = networks.critic(tiny())
    grey = np.full((1, 32, 32, 3), 0.5, np.float32)
    for variable in critic.trainable_variables:
        if variable.name == "bias":
            np.testing.assert_array_equal(variable, 0)
    np.testing.assert_allclose(critic(grey, training=False), 0, atol=1e-7)
    assert abs(critic(grey + 0.5, training=False).numpy()).item() > 1e-7


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_without_batch_norm_an_image_is_judged_alone(norm):
    critic, images = networks.critic(tiny(critic_norm=norm)), pictures()
    others = np.concatenate([images[:1], 1 - images[1:]])
    scores = critic(images, training=True)[0], critic(others, training=True)[0]
    np.testing.assert_allclose(*scores, rtol=1e-5)
    batch = networks.critic(tiny(critic_norm="batch"))
    scores = batch(images, training=True)[0], batch(others, training=True)[0]
    assert not np.allclose(*scores, rtol=1e-2)


def test_the_encoder_does_not_see_into_the_hole():
    encoder, batch = BUILDERS["encoder"](tiny()), inputs("encoder", tiny())
    hidden = {**batch, "images": np.where(batch["masks"] > 0, np.nan, batch["images"])}
    np.testing.assert_array_equal(encoder(hidden), encoder(batch))
    known = {**batch, "images": np.where(batch["masks"] > 0, batch["images"], 0.2)}
    assert (encoder(known) != encoder(batch)).numpy().all()


def test_latents_are_uniform_and_a_function_of_their_seed():
    z = networks.random_latents(2000, 10, [3, 4]).numpy()
    assert z.dtype == np.float32
    assert -1 <= z.min() < -0.999
    assert 0.999 < z.max() <= 1
    assert z.var() == pytest.approx(1 / 3, rel=0.02)
    assert (networks.random_latents(2000, 10, [3, 5]) != z).numpy().mean() > 0.99


@pytest.mark.parametrize("jit_compile", [False, True])
def test_numbers_are_the_same_in_a_compiled_graph(jit_compile):
    seed = [3, 4]
    draw = tf.function(
        lambda seed: networks.uniform([1000], seed), jit_compile=jit_compile, autograph=False
    )
    drawn = draw(tf.constant(seed)).numpy()
    np.testing.assert_array_equal(drawn, networks.uniform([1000], seed))
    np.testing.assert_array_equal(drawn, tf.random.stateless_uniform([1000], seed, alg="philox"))
    assert 0 <= drawn.min() < 0.01 < 0.99 < drawn.max() < 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": 64},
        {"generator_norm": "layer", "critic_norm": "layer"},
        {"generator_norm": "none", "critic_norm": "none"},
        {"generator_channels": (24, 24, 8)},
        {"kind": "mlp"},
    ],
    ids=["batch", "batch, 64 px", "layer", "none", "wide 4x4", "mlp"],
)
def test_folded_they_are_the_same_functions(options):
    random.seed(0)
    architecture, generator = tiny(**{"width": 8, **options}), np.random.default_rng(0)
    for name, build in BUILDERS.items():
        network = build(architecture)
        for variable in network.weights:
            noise = generator.normal(0, 0.1, variable.shape)
            variable.assign(variable + (np.abs(noise) if "variance" in variable.path else noise))
        x = inputs(name, architecture)
        expected = network(x, training=False).numpy()
        assert expected.std() > 0.01, "a constant proves nothing"
        folded = folding.FoldedNetwork(network)
        tolerance = 1e-5 * max(1, np.abs(expected).max())
        np.testing.assert_allclose(folded.at(tf.float32)(x), expected, atol=tolerance)
        rounded = folded.at(tf.bfloat16)(x)
        assert np.abs(rounded - expected).mean() < 0.06 * np.abs(expected).mean()


@pytest.mark.parametrize("shape", [[None, 3, 2], [None, None, 2], [None]])
def test_each_entry_is_repeated(shape):
    x = tf.reshape(tf.range(12.0), [2, 3, 2] if len(shape) > 1 else [12])
    for times in (1, 4, tf.constant(3)):
        repeated = tf.function(lambda x, n=times: networks.each(x, n), [tf.TensorSpec(shape)])
        np.testing.assert_array_equal(repeated(x), np.repeat(x, times, axis=0))
