"""What the benchmark times does the same work."""

import contextlib
import functools

import numpy as np
import pytest
import tensorflow as tf

from common.evaluation import benchmarking
from common.training import folding
from tests import weightless
from wgan_inpaint import networks, timing
from wgan_inpaint.conditional import timing as conditional
from wgan_inpaint.conditional.settings import Conditional
from wgan_inpaint.guided import networks as guided_networks
from wgan_inpaint.guided import timing as guided
from wgan_inpaint.guided.settings import Guided
from wgan_inpaint.search import latent_search
from wgan_inpaint.search.settings import PAPER
from wgan_inpaint.settings import Adversarial

SIDE = 16  # of the pictures: two layers of each kind
SMALL = networks.Architecture(size=SIDE, width=4, latent=8, generator_channels=(16, 8))


@pytest.fixture(autouse=True)
def _once(monkeypatch):
    """Nothing is called to warm up."""
    once = functools.partial(benchmarking.timed, warm_up=0)
    monkeypatch.setattr(benchmarking, "timed", once)


@contextlib.contextmanager
def eagerly():
    """Without tracing, which takes longer; for graphs that another test traces."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(timing, "TRAINED", Adversarial(image_size=SIDE, width=4))
    monkeypatch.setattr(
        timing, "ARCHITECTURES", {"classic": SMALL, "packaged": timing.TRAINED.networks}
    )
    monkeypatch.setattr(timing, "TRAINING_BATCH", 4)


def test_the_classic_loop_finds_what_the_compiled_search_finds(monkeypatch):
    built = []

    def build(make):
        def remembered(*arguments):
            built.append(make(*arguments))
            for variable in built[-1].trainable_variables:
                noise = np.random.default_rng(len(built)).normal(0, 0.1, variable.shape)
                variable.assign_add(noise)
            return built[-1]

        return remembered

    monkeypatch.setattr(networks, "generator", build(networks.generator))
    monkeypatch.setattr(networks, "critic", build(networks.critic))
    loop = timing.classic_loop(SMALL)
    images, holes = timing.scene(SMALL, 2)
    folded = [folding.FoldedNetwork(network) for network in built]
    search = latent_search.LatentSearch(latent_search.Networks(*folded, None, "wgan", SMALL), PAPER)
    start = search.start(images, holes)
    state, _ = search.advance(images, holes, start, 10)
    z = loop(images, holes, start.z.numpy(), 10)
    np.testing.assert_allclose(z, state.z, atol=1e-4)
    assert np.abs(z - start.z).max() > 0.05


def test_every_part_is_timed(small):
    for precision, optimizer in zip(("float32", "bfloat16"), timing.OPTIMIZERS, strict=True):
        assert timing.search_seconds(precision, "off", "classic", 2, 1, optimizer) > 0
    both, critic_alone = timing.STEPS.values()
    assert timing.step_seconds("float32", "off", both, 1) > 0
    with eagerly():
        assert timing.classic_seconds("float32", "off", 2, 1) > 0
        assert timing.step_seconds("float32", "off", critic_alone, 1) > 0


def test_answers_and_steps_of_the_conditional_gan_are_timed(monkeypatch):
    small = Conditional(architecture="listing", image_size=32, latent=4)
    monkeypatch.setattr(conditional, "TIMED", small)
    monkeypatch.setattr(conditional, "TRAINING_BATCH", 2)
    with eagerly():
        assert conditional.samples_seconds("bfloat16", "off", 2, 1) > 0
        assert conditional.step_seconds("float32", "off", 1) > 0


def test_completions_and_steps_of_cnnlg_are_timed(monkeypatch):
    monkeypatch.setattr(guided_networks, "DILATIONS", (1,))
    monkeypatch.setattr(guided, "TIMED", Guided(image_size=32, codes=8))
    monkeypatch.setattr(guided, "TRAINING_BATCH", 2)
    with eagerly():
        assert guided.completion_seconds("float32", "off", 2, 1) > 0
        assert guided.step_seconds("bfloat16", "off", "generation", 1) > 0


def test_the_classic_networks_are_those_of_the_figure():
    with weightless.shapes_only():
        generator = networks.generator(timing.ARCHITECTURES["classic"])
        critic = networks.critic(timing.ARCHITECTURES["classic"])
    shapes = [layer.kernel.shape for layer in generator.layers if hasattr(layer, "kernel")]
    assert shapes == [
        (100, 4 * 4 * 512),
        (5, 5, 512, 512),
        (5, 5, 256, 512),
        (5, 5, 128, 256),
        (5, 5, 3, 128),
    ]
    flops = 0
    for network, transposed in ((generator, True), (critic, False)):
        for layer in network.layers:
            if hasattr(layer, "kernel") and layer.kernel.ndim == 4:
                side = layer.input.shape[1] if transposed else layer.output.shape[1]
                flops += 2 * side**2 * np.prod(layer.kernel.shape)
            elif hasattr(layer, "kernel"):
                flops += 2 * np.prod(layer.kernel.shape)
    # Forward, and the gradient with respect to what goes in.
    assert 2 * 64 * flops == pytest.approx(178e9, rel=0.01)
