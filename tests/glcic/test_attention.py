"""A branch of contextual attention: built, trained, exported, begun from."""

import dataclasses
import random

import numpy as np
import pytest
import tensorflow as tf

from common.pictures.images import read_image, write_image
from common.pictures.masks import MaskSpec
from common.serving import export
from common.training import driver, starting
from common.training.attention import ContextualAttention
from common.training.runs import Row, RunDirectory
from glcic import METHODS, networks, phases
from glcic.networks import Attention, Conv
from glcic.settings import Glcic
from tests import commands, weightless
from tests.glcic.test_networks import counts, full
from tests.glcic.test_phases import FIXED, SMALL, close, make_trainer, same, step, trained

BRANCHED = dataclasses.replace(SMALL, branch=(Conv(3, 1, 1, 8), Attention(), Conv(3, 1, 1, 8)))
# Two halvings, as the exported graph wants them.
TABLES = dataclasses.replace(
    BRANCHED,
    completion=(
        Conv(5, 1, 1, 4),
        Conv(3, 1, 2, 6),
        Conv(3, 1, 2, 8),
        Conv(3, 2, 1, 8),
        Conv(3, 1, 1, 8),
        Conv(4, 1, 1 / 2, 6),
        Conv(4, 1, 1 / 2, 4),
        Conv(3, 1, 1, 3),
    ),
    image_size=40,  # beside a hole of 8 px there are places to look at
)
PICTURES = tf.constant(np.random.default_rng(0).integers(0, 256, (4, 40, 40, 3)).astype(np.uint8))
WIDE = {"size": 40, "images": PICTURES}


def lively(tables=TABLES, seed=1):
    """A network whose output depends on what it sees."""
    random.seed(seed)
    return enliven(networks.completion_network(tables))


def enliven(network):
    layer = network.get_layer("output")
    layer.kernel.assign(layer.kernel * 30)
    return network


def scene(height=24, width=20):
    images = np.random.default_rng(0).random((2, height, width, 3), np.float32)
    holes = np.zeros((2, height, width, 1), np.float32)
    holes[:, 8:13, 7:12] = 1
    return images, holes


def test_the_branch_is_beside_the_dilated_convolutions():
    plain = full("wang2020")[0]
    with weightless.shapes_only():
        network = networks.completion_network(Glcic(attention=True).tables)
    kernel = 9 * 256 * 256
    three = np.array([kernel + 4 * 256, kernel + 2 * 256]) * 3
    gate = 9 * 32 + 1 + 1
    assert tuple(np.array(counts(network)) - counts(plain)) == tuple(three + kernel + gate)
    attention = network.get_layer("branch_attention2")
    assert isinstance(attention, ContextualAttention) and not attention.weights
    both = network.get_layer("both")
    assert [x._keras_history.operation.name for x in both._inbound_nodes[0].input_tensors] == [
        "relu9", "branch_relu4",
    ]  # fmt: skip
    assert Glcic().tables == networks.ARCHITECTURES["wang2020"]


def test_every_phase_trains_with_it_and_hidden_pixels_do_not_matter():
    trainer = make_trainer(architecture=TABLES)
    for phase in ("completion", "joint"):
        before = trained(trainer.completion)
        step(trainer, phase, **WIDE)
        assert not any(same(before, trained(trainer.completion)))
    network, (images, holes) = lively(), scene()
    results = [
        network({"images": np.where(holes > 0, np.float32(x), images), "masks": holes})
        for x in (0, np.nan)
    ]
    np.testing.assert_array_equal(*results)


def test_a_step_compiled_with_xla_equals_the_eager_one():
    eager, compiled = (make_trainer(architecture=TABLES, holes=FIXED) for _ in range(2))
    values = step(eager, "completion", **WIDE)
    others = step(compiled, "completion", compiled=True, **WIDE)
    assert values == pytest.approx(others, rel=1e-3)
    close(trained(compiled.completion), trained(eager.completion), atol=1e-3)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two pictures of 130x120 px."""
    folder = tmp_path_factory.mktemp("attention") / "photos"
    for n in range(2):
        noise = np.random.default_rng(n).random((17, 15, 3), np.float32)
        write_image(folder / f"{n}.png", np.repeat(np.repeat(noise, 8, 0), 8, 1)[:130])
    return folder


@pytest.fixture(scope="module")
def run(photos):
    """What it has trained; the completion network's output depends on what it sees."""
    told = (
        "--attention", "--width=0.03", "--batch_size=2", "--completion_steps=1",
        "--discriminator_steps=0", "--joint_steps=0", "--noexport", "--fill=grey",
        "--dataset=photos", "--resize_min=128", "--resize_max=128",
    )  # fmt: skip
    result = commands.run("glcic.train", *told, "--run_dir=run", cwd=photos.parent, eager=True)
    # The pictures are less than 128 px wide: they are enlarged.
    assert result.returncode == 0, result.stderr
    restored = driver.restore(METHODS["glcic"], RunDirectory(photos.parent / "run"))
    enliven(restored.networks["completion"])
    return restored


@pytest.fixture(scope="module")
def exported(run, photos):
    """What is exported of it, and the folder of its SavedModel."""
    path = photos.parent / "run" / "saved_model"
    module, described = phases.exported(run, None, tf.float32, jit_compile=False)
    export.save(module, path, {"method": "glcic", **described})
    return module, path


def test_what_is_exported_is_the_network_at_any_size(run, exported):
    network, (module, path) = run.networks["completion"], exported
    images, holes = scene()
    expected = network({"images": images, "masks": holes}).numpy()
    assert expected[holes[..., 0] > 0].std() > 0.05
    np.testing.assert_allclose(module.complete(images, holes), expected, atol=1e-5)
    loaded = tf.saved_model.load(str(path))
    found = loaded.signatures["complete"](images=images, masks=holes)["completed"]
    np.testing.assert_allclose(found, np.where(holes > 0, expected, images), atol=1e-5)
    for size in ((24, 20), (23, 31), (3, 2)):
        images, holes = scene(*size)
        holes[:, :1, :1] = 1
        found = loaded.signatures["complete"](images=images, masks=holes)["completed"]
        assert found.shape == images.shape and np.isfinite(found).all()
        np.testing.assert_array_equal(np.where(holes > 0, images, found), images)
        half = loaded.signatures["complete_bfloat16"](images=images, masks=holes)["completed"]
        assert np.abs(half - found).mean() < 0.02
        looks = loaded.signatures["attention"](images=images, masks=holes)["looks"].numpy()
        assert looks.shape == (len(images), -(-size[0] // 8), -(-size[1] // 8), 2)
    # Training goes on from it.
    where, take = phases.KEPT["completion"]
    other = networks.completion_network(Glcic(attention=True).tables, 0.03)
    assert not take(other, [x.numpy() for x in getattr(loaded, where).arrays], None)
    for one, same_one in zip(other.get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, same_one)


def test_the_command_trains_exports_and_completes_with_it(photos, exported):
    folder = photos.parent
    arguments = (
        "--model=run", "--input=photos/0.png", "--mask_kind=rectangle", "--blend=none", "--figure",
    )  # fmt: skip
    result = commands.run("glcic.complete", *arguments, cwd=folder)
    assert result.returncode == 0, result.stderr
    before, after = (read_image(folder / x / "0.png") for x in ("photos", "completed"))
    hole = (before != after).any(-1)
    assert 0.1 < hole.mean() < 0.4
    # Its last column shows where missing places look.
    figure = read_image(folder / "completed/0_figure.png")
    assert figure.shape[1] > 3.7 * figure.shape[0]  # of five columns


def test_the_plain_network_is_kept_folded():
    network, other = (lively(SMALL, seed) for seed in (1, 2))
    folded = phases.folding.FoldedNetwork(network)
    images, holes = scene(16, 16)
    inputs = {"images": images, "masks": holes}
    _, take = phases.KEPT["completion"]
    assert not take(other, [x.numpy() for x in folded.arrays], inputs)
    np.testing.assert_allclose(other(inputs), network(inputs), atol=1e-3)


def test_what_is_found_is_taken_where_it_fits_the_surroundings():
    pictures = np.repeat(np.random.default_rng(0).random((1, 40, 40, 3), np.float32), 3, 0)
    masks = np.zeros((3, 40, 40, 1), np.float32)
    masks[:, 12:28, 12:28] = 1
    other = np.random.default_rng(1).random(pictures.shape, np.float32)
    known = np.ones((3, 1, 1, 1), np.float32)
    known[2] = 0  # there was no place to look at
    found = np.stack([pictures[0], other[1], np.zeros_like(other[2])])
    found = tf.constant(np.concatenate([found, known * np.ones_like(masks)], -1))
    outputs = tf.constant(np.full_like(pictures, 0.5))
    gate = tf.zeros_like(masks)
    inputs = {"outputs": outputs, "found": found, "gate": gate, "masks": tf.constant(masks)}
    junk = tf.constant(np.where(masks > 0, np.float32(np.nan), pictures))
    layer = networks.Copied()
    with tf.GradientTape() as tape:
        tape.watch([found, gate])
        mixed = layer({**inputs, "images": junk})
        loss = tf.reduce_sum(mixed * masks)
    hole = np.broadcast_to(masks > 0, mixed.shape)
    # The sigmoid of 2 log(0.05 / (apart + 0.005)): apart is 0, or a third as noise from noise is.
    share = [100 / 101, (0.33 / 0.05) ** -2]
    for n, expected in enumerate(share):
        part = (mixed[n] - outputs[n])[hole[n]] / (found[n, ..., :3] - outputs[n])[hole[n]]
        np.testing.assert_allclose(part, expected, atol=0.02)
    np.testing.assert_array_equal(mixed[2][hole[2]], 0.5)
    by_found, by_gate = tape.gradient(loss, [found, gate])
    assert not np.any(by_found[..., :3][~hole]), "known pixels are to be unlike as they are"
    assert np.isfinite(by_gate).all() and np.any(by_gate[1] * masks[1])
    (slope,) = layer.trainable_variables
    assert slope.value.numpy() == 2


@pytest.mark.parametrize("levelled", [False, True])
def test_attention_is_added_to_a_trained_network(levelled):
    """It begins as that network, but for what is found."""
    random.seed(3)
    plain = networks.completion_network(dataclasses.replace(TABLES, branch=()), levelled=levelled)
    images, holes = scene(40, 40)
    inputs = {"images": images, "masks": holes}
    plain(inputs, training=True)  # statistics that are not those of the beginning
    folded = phases.folding.FoldedNetwork(networks.chain(plain))
    _, take = phases.KEPT["completion"]
    for way in ("exported", "run"):
        network = networks.completion_network(TABLES, levelled=levelled)
        if way == "exported":
            new = take(network, [x.numpy() for x in folded.arrays], inputs)
        else:
            result = starting.from_networks({"completion": plain}, {"completion": network})
            _, new = result["completion"]
        assert {path.split("/")[0] for path in new} == {
            "branch_conv1", "branch_norm1", "branch_conv3", "branch_norm3", "gate", "copied",
        }  # fmt: skip
        again = networks.completion_network(TABLES, levelled=levelled)
        network.get_layer("copied").slope.assign(3.0)
        result = starting.from_networks({"completion": network}, {"completion": again})
        assert result == {"completion": (len(network.variables), [])}
        assert again.get_layer("copied").slope.value.numpy() == 3
        network.get_layer("gate").bias.assign([-30.0])
        np.testing.assert_allclose(network(inputs), plain(inputs), atol=1e-3)


def test_samples_show_where_missing_places_look(tmp_path):
    trainer = make_trainer(architecture=TABLES, holes=MaskSpec(("center",), hole_size=8))
    trainer.begin(Row("completion", 1, len(PICTURES), 40))
    trainer.sampler(lambda count: PICTURES.numpy(), None)(tmp_path / "samples.png")
    grid = read_image(tmp_path / "samples.png")
    assert grid.shape[:2] == (4 * 42 + 2, 5 * 42 + 2)  # four pictures, five columns
    images, holes = scene(24, 20)
    shown = trainer.show_attention({"images": images, "masks": holes})
    assert shown.shape == images.shape
    known = np.broadcast_to(holes == 0, images.shape)
    np.testing.assert_allclose(shown[known], (0.5 + images / 2)[known], atol=1e-6)
    # The 6x5 map has places of 8x8 pixels, and none in the hole looks at itself: no white.
    assert (shown.min(-1)[holes[..., 0] > 0] < 1).all()


def test_progressive_steps_have_smaller_maps():
    trainer = make_trainer(architecture=TABLES)
    assert np.isfinite(step(trainer, "completion", size=20, images=PICTURES)["loss"])
