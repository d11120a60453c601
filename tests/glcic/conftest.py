"""Networks that several test modules of GLCIC share."""

import functools

import keras
import numpy as np
import pytest

from glcic import networks
from tests.glcic import test_phases


@pytest.fixture(autouse=True)
def networks_come_back():
    """What ``test_phases.make_trainer`` lent to a test, another one may have."""
    yield
    test_phases.take_back()


@pytest.fixture(scope="session")
def lively_network():
    """Completion networks that are alive, of which nobody changes a weight: see ``_alive``."""
    return _lively_network


def _lively_network(name="wang2020", width=1 / 8, levelled=False):
    return _alive(name, width, levelled)


@functools.cache
def _alive(name, width, levelled):
    """A completion network like a trained one: its output depends on its input.

    The statistics, scales and offsets of its BatchNorms are not those of a fresh one, nor is the
    mean colour, and its kernels are so large that a picture does not fade on its way.
    """
    network = networks.completion_network(networks.ARCHITECTURES[name], width, levelled=levelled)
    generator = np.random.default_rng(0)
    for layer in network.layers:
        if hasattr(layer, "kernel"):
            *_, inputs, outputs = layer.kernel.shape
            taps = layer.kernel_size[0] ** 2
            if isinstance(layer, keras.layers.Conv2DTranspose):
                taps, inputs = taps / 4, outputs  # of its taps a pixel sees every other one
            # The colours deviate by about a quarter; the output is to fill its range.
            gain = {"conv1": 4, "output": 3}.get(layer.name, 1)
            deviation = gain * np.sqrt(2 / (taps * inputs))
            layer.kernel.assign(generator.normal(0, deviation, layer.kernel.shape))
        if layer.name.startswith("norm"):
            count = layer.gamma.shape[0]
            layer.set_weights(
                [
                    generator.uniform(0.5, 1.5, count),
                    generator.normal(0, 0.1, count),
                    generator.normal(0, 0.1, count),
                    generator.uniform(0.5, 1.5, count),
                ]
            )
    network.get_layer("input").mean_color.assign([0.5, 0.3, 0.1])
    return network
