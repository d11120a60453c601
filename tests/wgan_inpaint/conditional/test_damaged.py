"""Training on damaged pictures: what is damaged has no part in anything that is learned."""

import dataclasses
import json

import cv2
import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from common.pictures import datasets, masks
from common.pictures import images as image_files
from common.pictures.mask_spec import MaskSpec
from common.pictures.preparation import Preparation
from common.training import loop
from common.training.runs import RunDirectory, Schedule
from tests import commands
from tests.wgan_inpaint.conditional.test_room import Killed, Recorder, fresh, killing, step, weights
from wgan_inpaint.conditional import networks, room
from wgan_inpaint.conditional.settings import Conditional

SIDE = 32
TINY = Conditional(
    architecture="listing", image_size=SIDE, latent=6, batch_size=4, conditional_steps=3,
    supervision="damaged", damage="masks", r1_every=2,
)  # fmt: skip
HOLES = MaskSpec(("center", "over_edge"), hole_min=8, hole_max=16)


def make_trainer(**options):
    """A trainer with the same weights every time."""
    return fresh(dataclasses.replace(TINY, **options), HOLES)


def scene(junk=0.0, count=4):
    """Float32 batches as a stream has them, junk being where they are damaged."""
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (count, SIDE, SIDE, 3)).astype(np.float32)
    damage = masks.draw(HOLES, count, SIDE, SIDE, [5, 5]).numpy()
    return np.concatenate([np.where(damage == 1, np.float32(junk), pictures), 255 * damage], -1)


def drawn_on_top(count=4):
    """The holes of the first step."""
    return masks.draw(HOLES, count, SIDE, SIDE, tf.constant([0, 0])).numpy()


def assert_equal(one, other):
    for name in one:
        for a, b in zip(one[name], other[name], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "options",
    [
        {"architecture": "style", "image_size": 16, "ambient_weight": 0.5, "latent_weight": 0.5},
        {"objective": "wgan_gp", "reconstruction": "l1"},
    ],
)
def test_no_weight_depends_on_what_is_damaged(options, monkeypatch):
    for table in (networks.CHANNELS, networks.DISCRIMINATOR):
        monkeypatch.setitem(table, 16, (6, 6, 8))
    found = []
    for junk in (0.0, np.nan, 1e30):
        trainer = make_trainer(**options)
        before, size = weights(trainer), trainer.settings.size
        for _ in range(2):
            values = trainer.train_step(tf.constant(scene(junk)[:, :size, :size]))
        assert np.isfinite([float(value) for value in values.values()]).all()
        found.append(weights(trainer))
    assert_equal(found[0], found[1])
    assert_equal(found[0], found[2])
    for name in trainer.optimizers:
        assert all(np.isfinite(x).all() for x in found[0][name])
        kernels = [(a, b) for a, b in zip(found[0][name], before[name], strict=True) if a.ndim > 1]
        assert all((a != b).any() for a, b in kernels), name


def test_terms_look_where_a_drawn_hole_alone_hides(monkeypatch):
    seen = []
    trainer = make_trainer(r1=0.0)
    real = room.terms.TERMS["energy"]

    def recorded(truth, first, second, holes, z):
        seen.append([x.numpy() for x in (truth, first, second, holes)])
        return real(truth, first, second, holes, z)

    monkeypatch.setitem(room.terms.TERMS, "energy", recorded)
    pairs = []
    trainer.networks["discriminator"] = Recorder(trainer.networks["discriminator"], pairs)
    data = scene()
    step(trainer, data=data)
    damage, drawn = data[..., 3:] / 255, drawn_on_top()
    ((truth, first, second, judged),) = seen
    np.testing.assert_array_equal(judged, drawn * (1 - damage))
    assert 0 < judged.sum() < drawn.sum()
    y = np.where(damage == 1, 0, data[..., :3] / 127.5 - 1)
    np.testing.assert_allclose(truth, y, atol=1e-6)
    apart = np.abs(first - second).max(-1, keepdims=True) > 0
    assert (apart <= (judged == 1)).all() and apart.sum() > 0.9 * judged.sum()
    # D: the picture without either hole; both candidates without the damage, elsewhere different
    # on what is judged alone.
    known, fake, both = pairs
    for pair in (known, fake, both[:4], both[4:]):
        hidden = np.maximum(drawn, damage)
        np.testing.assert_allclose(pair[..., :3], np.where(hidden == 1, 0, y), atol=1e-6)
        assert not pair[..., 3:][np.broadcast_to(damage == 1, y.shape)].any()
        kept = np.broadcast_to(judged == 0, y.shape)
        np.testing.assert_allclose(pair[..., 3:][kept], y[kept], atol=1e-6)
    np.testing.assert_allclose(known[..., 3:], y, atol=1e-6)


def test_the_ambient_discriminator_sees_another_picture_and_both_under_its_damage():
    trainer, plain = make_trainer(r1=0.0, ambient_weight=1.0), make_trainer(r1=0.0)
    seen = []
    trainer.networks["ambient"] = Recorder(trainer.networks["ambient"], seen)
    data = scene()
    values = step(trainer, data=data)
    damage, drawn = data[..., 3:] / 255, drawn_on_top()
    y = np.where(damage == 1, 0, data[..., :3] / 127.5 - 1)
    other, others = np.roll(y, 1, axis=0), np.roll(damage, 1, axis=0)
    real, fake, again = seen
    for pair in (real, fake, again):
        np.testing.assert_array_equal(pair[..., :1], others)
        assert not pair[..., 1:][np.broadcast_to(others == 1, y.shape)].any()
    np.testing.assert_allclose(real[..., 1:], other, atol=1e-6)
    np.testing.assert_array_equal(fake, again)
    kept = np.broadcast_to((np.maximum(drawn, damage) == 0) & (others == 0), y.shape)
    np.testing.assert_allclose(fake[..., 1:][kept], y[kept], atol=1e-6)
    # What G draws where its own picture is damaged is seen here, and only here.
    there = np.broadcast_to((damage == 1) & (others == 0), y.shape)
    assert (fake[..., 1:][there] != 0).mean() > 0.9
    assert values.keys() - step(plain, data=data).keys() == {"ambient"}
    apart = zip(weights(trainer)["generator"], weights(plain)["generator"], strict=True)
    assert all((a != b).any() for a, b in apart if a.ndim > 1)
    assert_equal(*({"D": weights(t)["discriminator"]} for t in (trainer, plain)))


def test_holes_that_hide_nothing_known_teach_nothing_and_harm_nothing():
    trainer = make_trainer(r1=0.0)
    data = scene()
    data[:] = 0
    data[..., 3] = 255
    values = step(trainer, data=data)
    assert values["reconstruction"] == 0 and np.isfinite(list(values.values())).all()
    assert all(np.isfinite(x).all() for x in weights(trainer)["generator"])


def test_whole_pictures_are_trained_on_as_those_without_any_damage():
    data = scene()
    data[..., 3] = 0
    found = []
    for batch in (data, data[..., :3].astype(np.uint8)):
        trainer = make_trainer()
        step(trainer, data=batch)
        found.append(weights(trainer))
    assert_equal(*found)


def test_a_right_sampler_of_damaged_pictures_is_found_right():
    generator = np.random.default_rng(0)
    truth, samples = generator.normal(size=(64, SIDE, SIDE, 3)), 8
    drawn = generator.random((64, SIDE, SIDE, 1)) < 0.5
    known = (generator.random((64, SIDE, SIDE, 1)) < 0.7).astype(float)
    answers = generator.normal(size=(64, samples, SIDE, SIDE, 3))
    pasted = np.where((drawn | (known == 0))[:, None], answers, truth[:, None])
    hidden = np.where(known == 1, truth, 0)
    found = room.liveliness(hidden, pasted, drawn.astype(float), known)
    right = {"gain": 10 * np.log10(2 / (1 + 1 / samples)), "ratio": 1}
    assert found == pytest.approx(right, abs=0.02)


def write(folder, junk, count=10):
    """PNG files, their masks, and the junk that damaged pixels hold."""
    for n in range(count):
        generator = np.random.default_rng(n)
        small = generator.integers(0, 256, (5, 5, 3), np.uint8)
        picture = cv2.resize(small, (40, 40), interpolation=cv2.INTER_CUBIC)
        mask = np.zeros((40, 40, 1), np.uint8)
        top, left = generator.integers(0, 24, 2)
        mask[top : top + 16, left : left + 16] = 255
        noise = np.random.default_rng([n, junk]).integers(0, 256, picture.shape, np.uint8)
        for name, array in (("pictures", np.where(mask > 0, junk and noise, picture)), ("m", mask)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name / f"{n}.png"), array.astype(np.uint8))
    return folder


def train(folder, pictures, kill_at=()):
    """As the command does, from files."""
    killed, prepare = [], Preparation(SIDE, 32, 36, flip=True)
    while True:
        own = dataclasses.replace(TINY, damage=str(pictures / "m"))
        trainer, run = fresh(own, HOLES, len(killed)), RunDirectory(folder)
        job = type("Job", (), {"dataset": str(pictures / "pictures"), "holes": HOLES})
        damage = trainer.damage(job)

        def batches(size, first, job=job, damage=damage):
            return datasets.training_batches(job.dataset, prepare, size, 0, first, damage=damage)

        def first(count, batches=batches):
            return next(batches(count, 0).take(1).as_numpy_iterator())

        sampler = trainer.sampler(first, run)
        trainer.run_eagerly = True  # tracing takes longer than so few steps
        run.settle_flags("--image_size=32\n")
        sample = killing(trainer, sampler, kill_at, killed)
        schedule = Schedule(log_every=1, save_every=1, sample_every=2)
        try:
            assert loop.fit(trainer, room.plan(own), batches, run, schedule, sample)
        except Killed:
            continue
        logs = [json.loads(line) for line in run.metrics.read_text().splitlines()]
        for line in logs:
            del line["seconds"]
        assert killed == list(kill_at)
        return (
            weights(trainer),
            logs,
            image_files.read_image(run.samples / "0000003_conditional.png"),
        )


def test_a_run_from_files_depends_on_no_damaged_pixel_and_not_on_being_killed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(room, "JUDGED", room.SHOWN)
    clean, junk = write(tmp_path / "clean", 0), write(tmp_path / "junk", 7)
    one = cv2.imread(str(clean / "pictures/3.png")), cv2.imread(str(junk / "pictures/3.png"))
    assert (one[0] != one[1]).any()
    ended, logs, grid = train(tmp_path / "run", clean)
    assert len(logs) == 3 and {"gain", "ratio"} <= logs[1].keys()
    again, log, picture = train(tmp_path / "poisoned", junk, kill_at=(2,))
    assert_equal(ended, again)
    assert log == logs
    np.testing.assert_array_equal(picture, grid)


def test_contradictions_are_refused():
    with pytest.raises(InputError, match="--supervision=damaged needs --damage=FOLDER"):
        Conditional(supervision="damaged")
    with pytest.raises(InputError, match="--damage is read with --supervision=damaged"):
        Conditional(damage="drawn")


def test_the_command_trains_and_exports(tmp_path):
    write(tmp_path, 7)
    arguments = (
        "--method=conditional", "--supervision=damaged", "--architecture=listing",
        "--image_size=32", "--latent=6", "--batch_size=4", "--conditional_steps=2",
        "--mask_kind=over_edge", "--hole_min=8", "--hole_max=8",
        "--precision=float32", "--dataset=pictures", "--run_dir=run",
    )  # fmt: skip
    result = commands.run("wgan_inpaint.train", *arguments, cwd=tmp_path)
    assert result.returncode == 1 and "needs --damage=FOLDER" in result.stderr
    assert "Traceback" not in result.stderr and not (tmp_path / "run").exists()
    result = commands.run("wgan_inpaint.train", *arguments, "--damage=m", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "visible.png: each pixel is seen in" in result.stdout
    assert (tmp_path / "run/visible.png").is_file()
    assert (tmp_path / "run/saved_model/saved_model.pb").is_file()
