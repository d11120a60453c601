"""A start is as good as the iterations that it saves."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from common.pictures import images as image_files
from common.pictures import masks
from common.training import folding
from wgan_inpaint import networks
from wgan_inpaint.search import latent_search
from wgan_inpaint.search.settings import Settings
from wgan_inpaint.studies import compare_starts

SIDE = 16  # of the pictures: two layers of each kind
ARCHITECTURE = networks.Architecture(size=SIDE, width=4, latent=6)


@pytest.fixture(scope="module")
def parts():
    generator = np.random.default_rng(0)
    folded = []
    for build in (networks.generator, networks.critic, networks.encoder):
        network = build(ARCHITECTURE)
        for variable in network.trainable_variables:
            variable.assign_add(generator.normal(0, 0.2, variable.shape))
        folded.append(folding.FoldedNetwork(network))
    return latent_search.Networks(*folded, "wgan", ARCHITECTURE)


def batches(parts):
    z = networks.random_latents(4, ARCHITECTURE.latent, [1, 1])
    images = parts.generator.at(tf.float32)(z).numpy()
    holes = masks.draw(masks.MaskSpec(), 4, SIDE, SIDE, [0, 0]).numpy()
    return [(images[:3], holes[:3]), (images[3:], holes[3:])]


@pytest.mark.usefixtures("eagerly")
def test_losses_are_those_after_each_iteration_of_the_best_restart(parts):
    settings = Settings(init="random", iterations=7, restarts=2, learning_rate=0.05)
    search = latent_search.LatentSearch(parts, settings)
    images, holes = batches(parts)[0]
    seen = []
    compare_starts.CHUNK, chunk = 3, compare_starts.CHUNK
    try:
        descent = compare_starts.descend(search, images, holes, seen.append)
    finally:
        compare_starts.CHUNK = chunk
    assert seen == [3, 6, 7]
    assert descent.losses.shape == (8, 3)
    for count in (0, 4, 7):
        state = search.start(images, holes)
        if count:
            state, _ = search.advance(images, holes, state, count)
        context, prior, _ = search.losses(images, holes)(state.z)
        total = (context + settings.prior_weight * prior).numpy().reshape(3, 2)
        np.testing.assert_allclose(descent.losses[count], total.min(axis=1), rtol=1e-3)
    assert descent.seconds > 0 and descent.start_seconds > 0


@pytest.mark.usefixtures("eagerly")
def test_every_start_is_tried_on_every_image_and_ranked_begins_better_than_random(parts):
    settings = Settings(iterations=3, candidates=50)
    descents = compare_starts.descend_from_all(parts, settings, batches(parts), lbfgs_iterations=2)
    own = ["random", "ranked", "encoder"]
    assert list(descents) == [*own, *(f"{name}, lbfgs" for name in own)]
    assert {descents[name].losses.shape for name in own} == {(4, 4)}
    assert descents["ranked"].losses[0].mean() < descents["random"].losses[0].mean()
    assert descents["encoder, lbfgs"].losses.shape == (3, 4)
    np.testing.assert_array_equal(
        descents["encoder, lbfgs"].losses[0], descents["encoder"].losses[0]
    )
    without = latent_search.Networks(parts.generator, parts.critic, None, "wgan", ARCHITECTURE)
    assert list(compare_starts.descend_from_all(without, settings, batches(parts)[:1])) == own[:2]


def descents():
    """Means over two images: 8, 6, 4, 2; 5, 3, 2, 1; 9, 9, 9."""
    return {
        "random": compare_starts.Descent(np.float32([[9, 7], [7, 5], [4, 4], [1, 3]]), 0.0, 1.0),
        "ranked": compare_starts.Descent(np.float32([[6, 4], [3, 3], [2, 2], [1, 1]]), 10.0, 1.5),
        "encoder": compare_starts.Descent(np.full((3, 2), 9, np.float32), 0.0, 1.0),
    }


def test_the_target_is_the_random_starts_final_mean_and_counts_are_the_first_to_reach_it():
    target, rows = compare_starts.compare_starts(descents())
    assert target == 2
    assert rows == [
        compare_starts.Row("random", 3, 8.0, 3, 2.0, 3.0),
        compare_starts.Row("ranked", 2, 5.0, 3, 1.0, 10 + 2 * 1.5),
        compare_starts.Row("encoder", None, 9.0, 2, 9.0, None),
    ]


def test_the_tables_and_the_figure(tmp_path):
    text = compare_starts.save(tmp_path, descents())
    assert "| ranked | 2 | 0.667 | 5.00 | 3 | 1.00 | 13.0 |" in text
    assert "| encoder | more than 2 |" in text
    assert "mean loss of 2 images is 2.00, which 3 iterations" in text
    with open(tmp_path / "losses.csv", encoding="utf-8") as lines:
        first, second, *_, last = csv.reader(lines)
    assert first == ["iteration", "random", "ranked", "encoder"]
    assert second == ["0", "8.0000", "5.0000", "9.0000"]
    assert last == ["3", "2.0000", "1.0000", ""]
    with open(tmp_path / "starts.csv", encoding="utf-8") as lines:
        assert [row["iterations"] for row in csv.DictReader(lines)] == ["3", "2", "more than 2"]
    assert image_files.read_image(tmp_path / "starts.png").std() > 0.05
