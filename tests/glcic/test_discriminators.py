"""Discriminators with self-attention, at several scales, under other losses."""

import dataclasses
import random

import numpy as np
import pytest
import tensorflow as tf

from common.training import losses, spectral
from common.training.layers import BatchNorm
from glcic import networks
from glcic.settings import Glcic
from tests import weightless
from tests.glcic.test_networks import full
from tests.glcic.test_phases import (
    ALONE,
    IMAGES,
    SMALL,
    close,
    descended,
    hand_computed_scene,
    make_trainer,
    patches,
    same,
    step,
    trained,
)

TWO = dataclasses.replace(SMALL, global_outputs=(6, 7), local_outputs=(5, 6), scales=2)
SPECTRAL = dataclasses.replace(TWO, self_attention=True)


def kinds(network, kind):
    return [layer.name for layer in network.layers if isinstance(layer, kind)]


def test_self_attention_stands_on_a_map_of_sixteen_and_norms_are_spectral(monkeypatch):
    monkeypatch.setattr(spectral, "_FIRST_ITERATIONS", 0)
    with weightless.shapes_only():
        network = networks.discriminator(Glcic(self_attention=True).tables)
    assert not kinds(network, BatchNorm)
    assert kinds(network, spectral.SelfAttention) == ["global_attention", "local_attention"]
    for name, channels in (("global", 256), ("local", 128)):
        assert network.get_layer(f"{name}_attention").output.shape == (None, 16, 16, channels)
    plain = full("wang2020")[1]
    for layer in plain.layers:
        if hasattr(layer, "kernel"):
            other = network.get_layer(layer.name)
            assert isinstance(other, spectral._Normalized)
            assert other.kernel.shape == layer.kernel.shape
            assert other.use_bias
    assert network.output.shape == (None, 1)


@pytest.mark.parametrize("architecture", ["wang2020", "practice_128"])
def test_at_two_scales_the_second_sees_half_the_size_with_weights_of_its_own(architecture):
    tables = Glcic(architecture=architecture, discriminator_scales=2).tables
    network = networks.discriminator(tables, 1 / 16)
    assert [x.shape for x in network.output] == [(None, 1), (None, 1)]
    side = tables.image_size
    first, second = (network.get_layer(f"global{x}_conv1") for x in ("", "_2"))
    assert first.output.shape[1] == second.output.shape[1] * 2 == side // 2
    assert second.filters == network.get_layer("global_conv2").filters
    single = networks.discriminator(dataclasses.replace(tables, scales=1), 1 / 16)
    names = {layer.name for layer in single.layers}
    assert names < {layer.name for layer in network.layers}


def test_half_the_size_is_the_mean_of_the_pixels_that_there_are():
    images = np.random.default_rng(0).random((2, 8, 6, 3), np.float32)
    found = networks.Halved()(images).numpy()
    for r in range(4):
        for c in range(3):
            there = images[:, max(0, 2 * r - 1) : 2 * r + 2, max(0, 2 * c - 1) : 2 * c + 2]
            np.testing.assert_allclose(found[:, r, c], there.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(networks.Halved()(np.ones_like(images)), 1, rtol=1e-6)


def judge(trainer, images, holes):
    size = trainer.patch_size
    seen = {"images": images}
    if size:
        seen["patches"] = patches.cut(images, patches.corners(holes, size, [0, 0]), size)
    return tf.nest.flatten(trainer.discriminator(seen, training=True))


@pytest.mark.parametrize("gan", ["nonsaturating", "hinge", "least_squares"])
@pytest.mark.parametrize("architecture", [TWO, ALONE], ids=["two scales", "alone"])
def test_a_joint_step_adds_the_losses_of_all_scales(gan, architecture):
    by_hand, trainer = (make_trainer(0.7, architecture=architecture, gan=gan) for _ in range(2))
    of_discriminator, of_completion = losses.ADVERSARIAL[gan]
    images, holes, other_holes, _, pasted = hand_computed_scene(by_hand, training=True)
    with tf.GradientTape() as tape:
        scores = judge(by_hand, images, other_holes), judge(by_hand, pasted, holes)
        loss = sum(of_discriminator(*pair) for pair in zip(*scores, strict=True))
    network = by_hand.discriminator
    for variable, new in zip(
        network.trainable_variables, descended(network, tape, loss), strict=True
    ):
        variable.assign(new)
    by_hand = _with(make_trainer(0.7, architecture=architecture, gan=gan), network)
    with tf.GradientTape() as tape:
        images, holes, _, completed, pasted = hand_computed_scene(by_hand, training=True)
        total = losses.masked_mse(completed, images, holes)
        total += 0.7 * sum(map(of_completion, judge(by_hand, pasted, holes)))
    values = step(trainer, "joint")
    assert values["discriminator"] == pytest.approx(float(loss), rel=1e-5)
    assert values["loss"] == pytest.approx(float(total), rel=1e-5)
    close(trained(trainer.discriminator), trained(by_hand.discriminator))
    close(trained(trainer.completion), descended(by_hand.completion, tape, total))


def _with(trainer, discriminator):
    """A fresh trainer with a discriminator's weights: its completion network has seen nothing."""
    trainer.discriminator.set_weights(discriminator.get_weights())
    return trainer


def test_singular_vectors_move_once_in_a_step_and_everything_learns():
    trainer = make_trainer(0.7, architecture=SPECTRAL, gan="hinge")
    network = trainer.discriminator
    layer = network.get_layer("global_conv1")
    kernel, vector = layer.kernel.numpy().reshape(-1, 6), layer.vector.numpy()
    v = vector @ kernel.T
    u = v / np.linalg.norm(v) @ kernel
    before = trained(trainer.completion) + trained(network)
    step(trainer, "joint")
    np.testing.assert_allclose(layer.vector, u / np.linalg.norm(u), atol=1e-5)
    after = trained(trainer.completion) + trained(network)
    # What is added alike to real and fake scores is nothing to the hinge loss: not so kernels.
    kernels = [pair for pair in zip(before, after, strict=True) if pair[0].ndim > 1]
    assert len(kernels) > 15 and not any(same(*zip(*kernels, strict=True)))


@pytest.mark.parametrize("architecture", [SPECTRAL, dataclasses.replace(ALONE, scales=2)])
def test_compiled_it_is_the_same(architecture):
    if not architecture.local_outputs:
        architecture = dataclasses.replace(
            architecture, image_size=32, global_outputs=(6, 7, 8), scales=2
        )
    images = np.random.default_rng(1).integers(
        0, 256, (len(IMAGES), architecture.image_size, architecture.image_size, 3)
    )
    random.seed(1)
    network = networks.discriminator(architecture)
    seen = {"images": tf.constant(images / 255, tf.float32)}
    if architecture.local_outputs:
        seen["patches"] = seen["images"][:, :8, :8]

    def judged(x):
        return network(x, training=True)

    weights, eager = network.get_weights(), judged(seen)
    network.set_weights(weights)  # singular vectors have moved
    compiled = tf.function(judged, jit_compile=True, autograph=False)(seen)
    for one, other in zip(eager, compiled, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
