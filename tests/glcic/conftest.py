"""Networks that several test modules of GLCIC share."""

import numpy as np
import pytest

from glcic import networks


@pytest.fixture(scope="session")
def lively_network():
    """Makes completion networks whose BatchNorm statistics are not those of a fresh one."""
    return _lively_network


def _lively_network(name="wang2020", width=1 / 8):
    """A completion network whose BatchNorm statistics are not those of a fresh one."""
    network = networks.completion_network(networks.ARCHITECTURES[name], width)
    generator = np.random.default_rng(0)
    for layer in network.layers:
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
    network.get_layer("input").mean_color.assign([0.5, 0.4, 0.3])
    return network
