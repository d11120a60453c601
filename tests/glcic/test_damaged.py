"""Pre-training on damaged pictures: what is damaged has no part in anything that is learned."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from common.pictures import masks
from common.pictures.mask_spec import MaskSpec
from common.training import losses
from common.training.runs import Row
from glcic.settings import Glcic
from tests import commands
from tests.glcic.test_phases import features, make_trainer, same, trained
from tests.wgan_inpaint.conditional.test_damaged import write

SIDE = 16
HOLES = MaskSpec(("center", "over_edge"), hole_min=6, hole_max=8)


def scene(junk=0.0, count=4, damaged=True):
    """Float32 batches as a stream has them, junk (or one junk after another) where damaged."""
    pictures = np.random.default_rng(0).integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.float32)
    damage = masks.draw(HOLES, count, SIDE, SIDE, [5, 5]).numpy() * damaged
    junk = np.resize(np.float32(junk), (count, 1, 1, 1))
    return np.concatenate([np.where(damage == 1, junk, pictures), 255 * damage], -1)


def step(trainer, data, size=SIDE, traced=False):
    trainer.begin(Row("completion", 1, len(data), size))
    train_step = trainer.train_step
    if traced:
        train_step = tf.function(train_step, autograph=False)
    values = train_step(tf.constant(data))
    return {name: float(value) for name, value in values.items()}


@pytest.mark.parametrize("size", [SIDE, SIDE // 2])
@pytest.mark.parametrize(
    "readings",
    [
        {"reconstruction": "missing"},
        {"known": 0.2, "distance": "absolute", "perceptual_on": "output"},
        {"reconstruction": "each_hole", "scales": 2},
    ],
    ids=["missing", "all", "each_hole"],
)
def test_no_weight_depends_on_what_is_damaged(readings, size):
    found = []
    for junk in (0.0, (np.nan, 1e30)):
        trainer = make_trainer(beta=0.5, features=features, holes=HOLES, **readings)
        before = trained(trainer.completion)
        values = [step(trainer, scene(junk), size) for _ in range(2)]
        assert np.isfinite([list(each.values()) for each in values]).all()
        found.append(trainer.completion.get_weights())
    assert all(same(*found))
    assert not any(same(before, trained(trainer.completion)))


def test_the_loss_is_that_of_drawn_holes_where_they_hide_what_is_known():
    by_hand, trainer = (
        make_trainer(beta=0.5, features=features, holes=HOLES, reconstruction="missing", known=0.2)
        for _ in range(2)
    )
    data = scene()
    damage = tf.constant(data[..., 3:] / 255)
    drawn = masks.draw(HOLES, 8, SIDE, SIDE, by_hand.random("holes"))[:4]
    assert 0 < float(tf.reduce_sum(drawn * damage)) < float(tf.reduce_sum(drawn))
    images = tf.constant(data[..., :3] / 255)
    inputs = {"images": images, "masks": tf.maximum(drawn, damage)}
    completed = by_hand.completion(inputs, training=True)
    # Behind the damage, whatever is there, both pictures are the network's.
    truth = tf.where(damage > 0, completed, images)
    judged = drawn * (1 - damage)
    error = losses.missing_mse(completed, truth, judged, 0.2)
    pasted = tf.where(judged > 0, completed, truth)
    perceptual = losses.perceptual_l1(features(pasted), features(truth))
    values = step(trainer, data)
    assert values["mse"] == pytest.approx(float(error), rel=1e-5)
    assert values["perceptual"] == pytest.approx(float(perceptual), rel=1e-5)


def test_holes_that_hide_nothing_known_teach_nothing_and_harm_nothing():
    trainer = make_trainer(beta=0.5, features=features, holes=HOLES, reconstruction="missing")
    data = np.zeros((4, SIDE, SIDE, 4), np.float32)
    data[..., 3] = 255
    before = trained(trainer.completion)
    values = step(trainer, data)
    assert set(values.values()) == {0} and all(same(before, trained(trainer.completion)))


def test_whole_pictures_are_trained_on_as_those_without_any_damage():
    found = []
    for data in (scene(damaged=False), scene(damaged=False)[..., :3].astype(np.uint8)):
        trainer = make_trainer(beta=0.5, features=features, holes=HOLES)
        step(trainer, data, traced=data.shape[-1] == 4)
        found.append(trainer.completion.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_the_mean_colour_is_that_of_what_is_known():
    trainer = make_trainer(holes=HOLES)
    data = scene(junk=77).astype(np.uint8)
    trainer.prepare(lambda count: data)
    known = data[data[..., 3] == 0][:, :3]
    color = trainer.completion.get_layer("input").mean_color
    np.testing.assert_allclose(color, known.mean(0) / 255, rtol=1e-5)


def test_samples_and_examples_hide_the_damage_and_the_drawn_holes(tmp_path, monkeypatch):
    trainer, data = make_trainer(holes=HOLES), scene().astype(np.uint8)
    trainer.begin(Row("completion", 1, 4, SIDE))
    seen, complete = [], trainer.complete

    def recorded(inputs):
        seen.append(inputs["masks"])
        return complete(inputs)

    monkeypatch.setattr(trainer, "complete", recorded)
    trainer.sampler(lambda count: data, None)(tmp_path / "samples.png")
    hidden = masks.draw(HOLES, 4, SIDE, SIDE, [trainer.seed, -1])
    hidden = np.maximum(hidden, data[..., 3:] > 0)
    np.testing.assert_array_equal(seen[0], hidden)
    example = trainer.example("completion", data / np.float32(255))
    np.testing.assert_array_equal(example["masks"], hidden)
    assert example["images"].shape == (4, SIDE, SIDE, 3)


def test_discriminators_are_not_trained_on_damaged_pictures():
    with pytest.raises(InputError, match="--discriminator_steps=0 and --joint_steps=0"):
        Glcic(supervision="damaged", damage="masks", discriminator_steps=0)
    alone = {"discriminator_steps": 0, "joint_steps": 0}
    with pytest.raises(InputError, match="--supervision=damaged needs --damage=FOLDER"):
        Glcic(supervision="damaged", **alone)
    assert Glcic(supervision="damaged", damage="masks", **alone).size == 128


def test_a_run_on_damaged_and_whole_pictures_is_where_another_begins(tmp_path):
    write(tmp_path, 7, 6)
    for n in range(3):
        picture = np.random.default_rng(50 + n).integers(0, 256, (160, 150, 3), np.uint8)
        (tmp_path / "whole").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "whole" / f"{n}.png"), picture)
    shared = (
        "--width=0.03", "--batch_size=2", "--completion_steps=1", "--discriminator_steps=0",
        "--joint_steps=0", "--mask_kind=over_edge", "--hole_min=32", "--hole_max=32",
        "--reconstruction=missing", "--precision=float32", "--sample_every=0",
    )  # fmt: skip
    damaged = (*shared, "--supervision=damaged", "--dataset=pictures=2,whole", "--run_dir=first")
    result = commands.run("glcic.train", *damaged, "--damage=m", cwd=tmp_path)
    assert result.returncode == 1 and "--dataset has 2 parts" in result.stderr
    assert "Traceback" not in result.stderr and not (tmp_path / "first").exists()
    told = (*damaged, "--damage=m,whole", "--noexport")
    result = commands.run("glcic.train", *told, cwd=tmp_path, eager=True)
    assert result.returncode == 0, result.stderr
    assert "visible.png: each pixel is seen in" in result.stdout
    result = commands.run(
        "glcic.train", *shared, "--dataset=whole", "--run_dir=second", "--init_from=first",
        "--noexport", cwd=tmp_path, eager=True,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "completion begins as that of" in result.stderr
