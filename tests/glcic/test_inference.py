"""The folded graph is the completion network, only faster."""

import numpy as np
import pytest
import tensorflow as tf

from common.pictures import filling, masks
from glcic import inference, networks, phases

# Names of tables, and whether what they make is levelled.
KINDS = {
    "wang2020": ("wang2020", False),
    "iizuka2017": ("iizuka2017", False),
    "levelled": ("wang2020", True),
}


@pytest.fixture(scope="module", params=KINDS)
def pair(request, lively_network):
    name, levelled = KINDS[request.param]
    network = lively_network(name, levelled=levelled)
    return network, inference.FoldedCompletion(network)


def pictures(batch, height, width, seed=0):
    return np.random.default_rng(seed).random((batch, height, width, 3), np.float32)


@pytest.mark.parametrize(
    "spec",
    [
        masks.MaskSpec(),
        masks.MaskSpec(kinds=("rectangle",), hole_min=1, hole_max=9, holes=2),
        masks.MaskSpec(kinds=("rectangle",), hole_min=30, hole_max=40),
        masks.MaskSpec(kinds=("left", "bottom")),
        masks.MaskSpec(kinds=("pixels",), missing=0.01),
    ],
    ids=["centre", "small holes", "holes that just fit the window", "halves", "scattered"],
)
def test_equals_the_keras_network_in_the_hole(pair, spec):
    network, folded = pair
    images, holes = pictures(3, 96, 80), masks.draw(spec, 3, 96, 80, [1, 2]).numpy()
    expected = network({"images": images, "masks": holes}, training=False).numpy()
    result = folded.complete(images, holes).numpy()
    np.testing.assert_allclose(result * holes, expected * holes, atol=1e-4)


@pytest.mark.parametrize("levelled", [False, True])
def test_window_saves_nothing_of_the_answer_at_the_border(lively_network, levelled):
    network = lively_network(levelled=levelled)
    folded = inference.FoldedCompletion(network)
    images = pictures(4, 64, 64)
    holes = np.zeros((4, 64, 64, 1), np.float32)
    holes[0, :5, :5] = holes[1, :7, -3:] = holes[2, -9:, :20] = holes[3, -1:, -1:] = 1
    expected = network({"images": images, "masks": holes}, training=False).numpy()
    result = folded.complete(images, holes).numpy()
    np.testing.assert_allclose(result * holes, expected * holes, atol=1e-4)


def test_compiled_by_xla_equals_eager(pair, monkeypatch):
    monkeypatch.setattr(filling, "LEVELS", 3)  # of its pyramid, all of which compile alike
    _, folded = pair
    images, holes = pictures(2, 64, 64), masks.draw(masks.MaskSpec(), 2, 64, 64, [0, 0]).numpy()
    compiled = tf.function(folded.complete, jit_compile=True, autograph=False)(images, holes)
    np.testing.assert_allclose(compiled * holes, folded.complete(images, holes) * holes, atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (11, 64), (65, 47)])
def test_any_size(pair, size):
    _, folded = pair
    images, holes = pictures(1, *size), np.ones((1, *size, 1), np.float32)
    result = folded.complete(images, holes).numpy()
    assert result.shape == images.shape
    assert np.isfinite(result).all() and result.min() >= 0 and result.max() <= 1


def test_bfloat16_and_half_storage_stay_close(pair):
    network, folded = pair
    images, holes = pictures(2, 64, 64), masks.draw(masks.MaskSpec(), 2, 64, 64, [0, 0]).numpy()
    exact = folded.complete(images, holes).numpy()

    def error(completed):
        return (np.abs(completed - exact) * holes).sum() / holes.sum() / 3

    assert error(folded.complete_bfloat16(images, holes)) < 0.01
    # That is not what it would be for any picture.
    for other in (np.zeros_like(images), 1 - images, pictures(2, 64, 64, seed=1)):
        assert error(folded.complete(other, holes)) > 0.05
    half = inference.FoldedCompletion(network, tf.float16)
    assert error(half.complete(images, holes)) < 0.001


def test_what_is_exported_is_trained_on(pair, request):
    """What ``--init_from`` takes of an exported model is that network."""
    network, folded = pair
    name, levelled = KINDS[request.node.callspec.params["pair"]]
    other = networks.completion_network(networks.ARCHITECTURES[name], 1 / 8, levelled=levelled)
    holes = masks.draw(masks.MaskSpec(), 8, 64, 64, [3, 1]).numpy()
    inputs = {"images": pictures(8, 64, 64), "masks": holes}
    _, take = phases.KEPT["completion"]
    assert not take(other, [x.numpy() for x in folded.network.arrays], inputs)
    np.testing.assert_allclose(other(inputs), network(inputs, training=False), atol=1e-4)
