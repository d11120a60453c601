"""A DCGAN grows from small pictures, fades in exactly, and goes on exactly where it was stopped."""

import dataclasses
import functools
import random
import shutil

import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from common.pictures.mask_spec import MaskSpec
from common.training import driver, loop
from common.training.runs import Row, RunDirectory, Schedule
from tests import commands
from tests.wgan_inpaint.test_adversarial import same, trained
from wgan_inpaint import adversarial, loading, progressive
from wgan_inpaint.search.settings import Settings
from wgan_inpaint.settings import Adversarial, Stage

TINY = Adversarial(
    image_size=32, width=4, latent=6, batch_size=4, generator_steps=14, critic_steps=2,
    objective="gan", optimizer="adam", learning_rate=0.01, averaging=0.5,
    progressive=("8:2:6", "16:5:4:3"), fade_steps=4,
)  # fmt: skip
SHORT = {"progressive": ("16:1:6",), "fade_steps": 3, "generator_steps": 5}
HOLES = MaskSpec(("center",))
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype(np.uint8)


@functools.cache
def _built(settings):
    """A trainer, and all of its variables with what they begin with."""
    random.seed(1)
    trainer = adversarial.build(settings, HOLES, "float32")
    for network in trainer.networks.values():
        for variable in network.trainable_variables:
            if len(variable.shape) > 1 and abs(variable.numpy()).max() < 0.2:
                variable.assign(variable * 8)
    parts = (*trainer.networks.values(), *trainer.optimizers.values())
    variables = [variable for part in parts for variable in part.variables]
    variables += [trainer.step, *trainer.counters.values()]
    return trainer, [(variable, variable.numpy()) for variable in variables]


def make_trainer(**options):
    """A trainer with the same weights every time, that depend on what is seen; it is built once."""
    trainer, start = _built(dataclasses.replace(TINY, **options))
    for variable, value in start:
        variable.assign(value)
    trainer.reset_metrics()
    return trainer


def up(x):
    return np.repeat(np.repeat(x, 2, 1), 2, 2)


def down(x):
    return x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, 3).mean((2, 4))


def test_the_plan_counts_updates_of_the_critic():
    assert adversarial.plan(TINY) == [
        Row("adversarial", 4, 6, 8, "adversarial_8"),
        Row("adversarial", 6, 4, 16, "adversarial_16_fading"),
        Row("adversarial", 4, 4, 16, "adversarial_16"),
        Row("adversarial", 8, 4, 32, "adversarial_32_fading"),
        Row("adversarial", 6, 4),
    ]
    assert TINY.stages == [Stage(8, 2, 6), Stage(16, 5, 4, 3), Stage(32, 7, 4, 4)]
    plain = dataclasses.replace(TINY, progressive=(), fade_steps=0)
    assert adversarial.plan(plain) == [Row("adversarial", 28, 4)]
    assert set(adversarial.networks(plain)) == {"generator", "average", "critic", "encoder"}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"progressive": ("16:5",)}, "'16:5' is no SIZE:STEPS:BATCH"),
        ({"progressive": ("12:1:1",)}, "12: choose a size of 16, 8"),
        ({"progressive": ("32:1:1",)}, "32: choose a size of 16, 8"),
        ({"progressive": ("4:1:1",)}, "4: choose"),
        ({"progressive": ("16:1:1", "8:1:1")}, "8: behind 16"),
        ({"progressive": ("16:0:1",)}, "16: need an update"),
        ({"progressive": ("16:2:1:1",)}, "16: fades in 1 of 2 updates behind 0 px"),
        ({"progressive": ("8:2:1", "16:2:1:3")}, "16: fades in 3 of 2"),
        ({"progressive": ("8:2:1",)}, "32: fades in 4 of 12 updates behind 8 px"),
        ({"progressive": ()}, "32: fades in 4"),
        ({"generator_steps": 6}, "fades in 4 of 0|more updates than --generator_steps"),
        ({"generator_steps": 11}, "none is left at full size"),
        ({"generator_steps": 7, "fade_steps": 0}, "none is left at full size"),
        ({"architecture": "mlp"}, "not with --architecture=mlp"),
    ],
)
def test_what_cannot_be_trained_is_refused(told, words):
    with pytest.raises(InputError, match=words):
        dataclasses.replace(TINY, **told)


@pytest.mark.parametrize("size", [16, 32])
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_a_size_that_fades_in_is_first_the_one_before_and_then_itself(size, norm):
    trainer = make_trainer(critic_norm=norm)
    key = "" if size == 32 else f"_{size}"
    generators = [trainer.networks[f"generator{x}"] for x in (f"_{size}_fading", key)]
    critics = [trainer.networks[f"critic{x}"] for x in (f"_{size}_fading", key)]
    z = np.random.default_rng(1).uniform(-1, 1, (3, 6)).astype(np.float32)
    x = np.random.default_rng(2).random((3, size, size, 3), np.float32)
    (fade,) = [layer for layer in generators[0].layers if isinstance(layer, progressive.Fade)]
    assert fade in critics[0].layers
    for training in (False, True):
        before = trainer.networks[f"generator_{size // 2}"](z, training=training)
        judged = trainer.networks[f"critic_{size // 2}"](down(x), training=training)
        fade.alpha.assign(0.0)
        np.testing.assert_allclose(generators[0](z, training=training), up(before), atol=1e-6)
        np.testing.assert_allclose(critics[0](x, training=training), judged, atol=1e-5)
        fade.alpha.assign(1.0)
        itself = generators[1](z, training=training), critics[1](x, training=training)
        np.testing.assert_allclose(generators[0](z, training=training), itself[0], atol=1e-6)
        np.testing.assert_allclose(critics[0](x, training=training), itself[1], atol=1e-5)
        fade.alpha.assign(0.5)
        assert np.abs(generators[0](z, training=training) - itself[0]).max() > 1e-3


def test_alpha_grows_with_the_generators_updates_and_real_pictures_fade_in_too(monkeypatch):
    trainer, rows = make_trainer(), adversarial.plan(TINY)
    small, *_ = rows
    seen, critic_step = [], trainer._critic_step

    def judged(images):
        seen.append(images.numpy())
        return critic_step(images)

    monkeypatch.setattr(trainer, "_critic_step", judged)
    trainer.begin(small)
    for _ in range(small.steps):
        trainer.train_step(IMAGES)
    trainer.begin(rows[1])
    fade = next(x for x in trainer.generator.layers if isinstance(x, progressive.Fade))
    alphas = []
    for _ in range(rows[1].steps):
        trainer.train_step(IMAGES)
        alphas.append(float(fade.alpha.numpy()))
        half = down(IMAGES / np.float32(255))
        expected = alphas[-1] * half + (1 - alphas[-1]) * up(down(half))
        np.testing.assert_allclose(seen[-1], expected, atol=1e-5)
    assert alphas == pytest.approx([0, 0, 1 / 3, 1 / 3, 2 / 3, 2 / 3])


def moved(network, before):
    """Names of the layers whose kernels differ from ``before``."""
    kept = zip(network.trainable_variables, same(before, trained(network)), strict=True)
    return {v.path.split("/")[-2] for v, stayed in kept if not stayed and len(v.shape) > 1}


def test_what_is_learned_at_a_small_size_is_kept():
    trainer, rows = make_trainer(), adversarial.plan(TINY)
    generator, critic = (trainer.networks[name] for name in ("generator", "critic"))
    for row in rows[:3]:
        before = trained(generator), trained(critic)
        trainer.begin(row)
        own = trained(trainer.generator)
        for _ in range(row.steps):
            trainer.train_step(IMAGES)
        kernels = {v.path.split("/")[-2] for v in trainer.generator.trainable_variables
                   if len(v.shape) > 1}  # fmt: skip
        assert moved(trainer.generator, own) == kernels
        below = row.size > 8
        assert moved(generator, before[0]) == {"project", *["deconv1"] * below}
        assert moved(critic, before[1]) == {"score", *["conv3"] * below}


def test_at_full_size_the_average_begins_as_the_generator():
    trainer, rows = make_trainer(**SHORT), adversarial.plan(dataclasses.replace(TINY, **SHORT))
    for row in rows[:-1]:
        trainer.begin(row)
        for _ in range(row.steps):
            trainer.train_step(IMAGES)
    assert int(trainer.counters["generator_steps"]) == 4
    assert not all(same(trained(trainer.networks["generator"]), _weights(trainer.average)))
    trainer.begin(rows[-1])
    generator = trainer.networks["generator"]
    assert all(same(generator.get_weights(), trainer.average.get_weights()))
    for _ in range(2):
        trainer.train_step(IMAGES)
    average = trainer.average.get_weights()
    assert not all(same(generator.get_weights(), average))
    trainer.begin(rows[-1])  # as a resumed run does
    assert all(same(average, trainer.average.get_weights()))


def _weights(network):
    return [v.numpy() for v in network.weights if "moving" not in v.path]


def fitted(folder):
    """A run to its end, from the last checkpoint on if there is one: {network: its weights}."""
    rows = adversarial.plan(dataclasses.replace(TINY, **SHORT))

    def batches(size, first):
        numbers = tf.data.Dataset.range(first, 2**40)
        pictures = tf.constant(np.random.default_rng(3).integers(0, 256, (9, 32, 32, 3), np.uint8))
        return numbers.map(lambda n: pictures[n % 9]).batch(size, drop_remainder=True)

    trainer, run = make_trainer(**SHORT), RunDirectory(folder)
    trainer.run_eagerly = True  # tracing takes longer than so few steps
    run.settle_flags("--image_size=32\n")
    schedule = Schedule(log_every=1, save_every=5, sample_every=0, keep_checkpoints=10)
    assert loop.fit(trainer, rows, batches, run, schedule, trainer.write_pictures)
    return {name: network.get_weights() for name, network in trainer.networks.items()}


def test_a_run_that_was_stopped_while_a_size_faded_in_is_the_same(tmp_path):
    """Of the 2, 6 and 2 steps of its rows, it is stopped in the middle of the second one's."""
    once = fitted(tmp_path / "once")
    shutil.copytree(tmp_path / "once", tmp_path / "stopped")
    commands.lose_steps(tmp_path / "stopped", 5)
    stopped = fitted(tmp_path / "stopped")
    assert (tmp_path / "stopped/checkpoints/ckpt-8.index").is_file()  # done again
    for name, weights in once.items():
        assert all(same(weights, stopped[name])), name


def test_the_command_trains_what_can_be_exported(tmp_path):
    from common.pictures.images import write_image

    for n in range(2):
        write_image(tmp_path / "faces" / f"{n}.png", IMAGES[n] / np.float32(255))
    told = (
        "--image_size=32", "--width=4", "--latent=6", "--batch_size=2", "--critic_steps=1",
        "--generator_steps=3", "--progressive=16:1:2", "--fade_steps=1",
        "--encoder_steps=1", "--dataset=faces", "--run_dir=run", "--resize_min=32",
        "--averaging=0.9", "--log_every=1", "--noexport",
    )  # fmt: skip
    result = commands.run("wgan_inpaint.train", *told, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    restored = driver.restore(loading.METHOD, RunDirectory(tmp_path / "run"))
    module, described = adversarial.exported(restored, Settings(), tf.float16, False)
    assert all(getattr(module, name) for name in ("generator", "critic", "encoder"))
    assert described["image_size"] == 32
