"""The networks play the papers' games, update by update, and a stopped game goes on unchanged."""

import dataclasses
import functools
import json
import math
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from common.pictures import images as image_files
from common.pictures import masks
from common.pictures.masks import MaskSpec
from common.training import loop as training
from common.training.optimizers import optimizer as paper_optimizer
from common.training.runs import Row
from common.training.trainer import describe
from wgan_inpaint import adversarial, networks
from wgan_inpaint.adversarial import Objective
from wgan_inpaint.settings import Adversarial

SIDE = 16  # of the pictures: two layers of each kind
HOLES = MaskSpec(kinds=("rectangle",), hole_min=4, hole_max=8)
RATE = 0.01
IMAGES = tf.constant(np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3)).astype(np.uint8))
OBJECTIVES = [
    Objective("gan", critic_steps=1),
    Objective("wgan", critic_steps=1),
    Objective("wgan_gp", critic_steps=1),
]
by_objective = pytest.mark.parametrize("objective", OBJECTIVES, ids=lambda o: o.name)


def sgd():
    return keras.optimizers.SGD(RATE)


@functools.cache
def built(settings, copy):
    """Tiny networks and their first weights; another ``copy`` has variables of its own."""
    del copy
    random.seed(1)
    made = adversarial.networks(settings)
    return made, {name: network.get_weights() for name, network in made.items()}


def make_trainer(objective=OBJECTIVES[0], averaging=0.0, optimizer=sgd, seed=5, copy=0, **options):
    """A trainer with the same weights every time; its networks were the last such trainer's."""
    norm = "layer" if objective.name == "wgan_gp" else "batch"
    settings = Adversarial(
        **{"image_size": SIDE, "width": 4, "latent": 6, "critic_norm": norm, **options}
    )
    made, weights = built(settings, copy)
    for name, network in made.items():
        network.set_weights(weights[name])
    made["average"].trainable = False
    return adversarial.AdversarialTrainer(
        made,
        {name: optimizer() for name in ("generator", "critic", "encoder")},
        objective,
        HOLES,
        averaging,
        seed=seed,
    )


few_batches = functools.partial(networks.calibrate, batches=40)


def step(trainer, times=1, images=IMAGES):
    """Steps; {metric: mean over them}."""
    trainer.reset_metrics()
    for _ in range(times):
        values = trainer.train_step(images)
    return {name: float(value) for name, value in values.items()}


def same(before, after):
    """Which of the arrays are the same to the bit."""
    return [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]


def close(actual, expected, atol=2e-6):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=atol)


def trained(network):
    return [v.numpy() for v in network.trainable_variables]


def close_steps(before, actual, expected):
    """Whether two steps from the same weights agree, up to a hundredth of the step.

    Rounding may turn the sign of an activation that is almost 0, and with it the slope of its
    LeakyReLU, which is what a gradient penalty is made of: on processors without AVX-512, weights
    differ by a thousandth of their step.
    """
    for old, a, b in zip(before, actual, expected, strict=True):
        assert np.linalg.norm(a - b) <= 0.01 * np.linalg.norm(b - old) + 1e-7


@pytest.mark.parametrize(
    "objective",
    [
        Objective(critic_steps=5),
        Objective(
            critic_steps=5, warmup_critic_steps=100, warmup_generator_steps=25, refresh_every=500
        ),
        Objective(critic_steps=2, warmup_critic_steps=7, warmup_generator_steps=3),
        Objective(critic_steps=2, warmup_critic_steps=7, refresh_every=4),
        Objective(critic_steps=2, warmup_generator_steps=3, refresh_every=4),
    ],
)
def test_the_schedule_is_the_one_of_the_authors_loop(objective):
    expected = []
    for generator_step in range(1001):
        close_to_optimum = generator_step < objective.warmup_generator_steps or (
            objective.refresh_every > 0 and generator_step % objective.refresh_every == 0
        )
        many = objective.warmup_critic_steps if close_to_optimum else 0
        expected.append(many or objective.critic_steps)
    np.testing.assert_array_equal(objective.critic_updates(tf.range(1001)), expected)
    for count in (0, 1, 30, 1001):
        assert objective.total_steps(count) == sum(expected[:count])


def test_the_generator_is_updated_when_its_turn_has_come_and_only_then():
    objective = Objective(
        "wgan", critic_steps=2, warmup_critic_steps=4, warmup_generator_steps=1, refresh_every=3
    )
    trainer, updated = make_trainer(objective), []
    for number in range(1, objective.total_steps(4) + 1):
        generator, critic = trained(trainer.generator), trained(trainer.critic)
        step(trainer)
        assert not all(same(critic, trained(trainer.critic)))
        changed = not any(same(generator, trained(trainer.generator)))
        assert changed or all(same(generator, trained(trainer.generator)))
        updated += [number] * changed
    assert updated == [4, 6, 8, 12]
    assert int(trainer.counters["generator_steps"]) == 4
    assert int(trainer.step) == 12


def hand_computed_step(trainer):
    """New trained weights of critic and generator by a textbook step of each, and the logs."""
    objective, critic, generator = trainer.objective, trainer.critic, trainer.generator
    real = tf.cast(IMAGES, tf.float32) / 255

    def latents(what):
        return networks.random_latents(4, 6, trainer.random(trainer.draws[what]))

    def descend(network, tape, loss):
        gradients = tape.gradient(loss, network.trainable_variables)
        return [v - RATE * g for v, g in zip(trained(network), gradients, strict=True)]

    fake, logs = tf.constant(generator(latents(0), training=True).numpy()), {}
    with tf.GradientTape() as tape:
        f_real, f_fake = critic(real, training=True), critic(fake, training=True)
        if objective.name == "gan":
            loss = tf.reduce_mean(tf.nn.softplus(-f_real) + tf.nn.softplus(f_fake))
            logs["jensen_shannon"] = math.log(2) - loss / 2
        else:
            loss = tf.reduce_mean(f_fake - f_real)
            logs["wasserstein"] = -loss
        if objective.name == "wgan_gp":
            epsilon = networks.uniform([4, 1, 1, 1], trainer.random("epsilon"))
            with tf.GradientTape() as inner:
                between = 2 * (epsilon * real + (1 - epsilon) * fake) - 1
                inner.watch(between)
                score = critic((between + 1) / 2, training=True)
            norms = tf.norm(tf.reshape(inner.gradient(score, between), [4, -1]), axis=1)
            logs["penalty"] = tf.reduce_mean((norms - 1) ** 2)
            loss += 10 * logs["penalty"]
    logs["critic"] = loss
    new_critic = descend(critic, tape, loss)
    if objective.name == "wgan":
        new_critic = [np.clip(v, -0.01, 0.01) for v in new_critic]
    for variable, value in zip(critic.trainable_variables, new_critic, strict=True):
        variable.assign(value)
    with tf.GradientTape() as tape:
        score = critic(generator(latents(1), training=True), training=True)
        wins = tf.nn.softplus(-score) if objective.name == "gan" else -score
        loss = tf.reduce_mean(wins)
    return new_critic, descend(generator, tape, loss), {k: float(v) for k, v in logs.items()}


@by_objective
def test_a_step_is_one_of_each_network_by_its_own_gradient(objective):
    critic, generator, logs = hand_computed_step(make_trainer(objective))
    trainer = make_trainer(objective)
    values = step(trainer)
    close(trained(trainer.critic), critic)
    close(trained(trainer.generator), generator)
    assert {name: values[name] for name in logs} == pytest.approx(logs, rel=1e-4)
    assert set(values) == {*logs, "generator", "generator_steps"}


def test_critic_and_encoder_leak_a_fifth():
    trainer = make_trainer()  # Radford 2016, Section 4
    for network in (trainer.critic, trainer.encoder):
        leaks = [layer for layer in network.layers if isinstance(layer, keras.layers.LeakyReLU)]
        assert [layer.negative_slope for layer in leaks] == [pytest.approx(0.2)] * 2


@pytest.mark.parametrize("clip", [0.01, 0.003])
def test_every_weight_of_a_wgan_critic_is_clipped(clip):
    trainer = make_trainer(Objective("wgan", clip=clip))
    assert any(np.abs(v).max() > clip for v in trained(trainer.critic))
    step(trainer)
    largest = [np.abs(v).max() for v in trained(trainer.critic)]
    assert max(largest) == np.float32(clip)
    assert any(np.abs(v).max() > clip for v in trained(trainer.generator))


@pytest.mark.parametrize("averaging", [0.0, 0.3, 0.999])
def test_the_average_is_that_of_the_generators_weights(averaging):
    trainer = make_trainer(averaging=averaging)
    expected = trainer.average.get_weights()
    for done in range(4):
        step(trainer)
        keep = min(averaging, (1 + done) / (10 + done))
        new = trainer.generator.get_weights()
        expected = [keep * a + (1 - keep) * b for a, b in zip(expected, new, strict=True)]
    close(trainer.average.get_weights(), expected)
    equal = same(trainer.average.get_weights(), trainer.generator.get_weights())
    assert all(equal) if averaging == 0 else not any(equal)


def test_without_averaging_the_encoder_and_the_search_get_the_last_generator():
    """With its moving statistics, also once the encoder is trained."""
    trainer = make_trainer(averaging=0.0)
    step(trainer, 5)
    trainer.begin(Row("encoder", 1, 4))
    step(trainer)
    assert all(same(trainer.generator.get_weights(), trainer.average.get_weights()))


def test_a_step_is_a_function_of_seed_and_step():
    weights = []
    for seed, first in ((5, 0), (5, 0), (6, 0), (5, 1)):
        trainer = make_trainer(seed=seed)
        trainer.step.assign(first)
        step(trainer)
        weights.append(trained(trainer.generator))
    assert all(same(weights[0], weights[1]))
    assert not any(same(weights[0], weights[2]))
    assert not any(same(weights[0], weights[3]))


def test_every_draw_of_a_run_is_another():
    trainer, seen = make_trainer(), set()
    for number in range(5):
        trainer.step.assign(number)
        seen |= {tuple(trainer.random(what).numpy()) for what in trainer.draws}
    assert len(seen) == 25


@by_objective
def test_a_step_compiled_with_xla_equals_the_eager_one(objective):
    eager, compiled = make_trainer(objective), make_trainer(objective, copy=1)
    before = {name: trained(getattr(eager, name)) for name in ("generator", "critic")}
    values = step(eager)
    train_step = tf.function(compiled.train_step, jit_compile=True, autograph=False)
    logs = {name: float(value) for name, value in train_step(IMAGES).items()}
    assert logs == pytest.approx(values, rel=1e-3)
    for name, old in before.items():
        close_steps(old, trained(getattr(compiled, name)), trained(getattr(eager, name)))
    for name in ("generator", "average", "critic"):  # the moving statistics, too
        for a, b in zip(
            getattr(compiled, name).get_weights(), getattr(eager, name).get_weights(), strict=True
        ):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=0.01)
    assert int(compiled.counters["generator_steps"]) == 1


def lively(generator):
    """Makes its pictures depend on z: fresh weights make them all but grey."""
    for layer in generator.layers:
        if hasattr(layer, "kernel"):
            layer.kernel.assign(layer.kernel * 20)


def test_an_encoder_step_learns_z_and_the_known_pixels():
    trainer = make_trainer()
    lively(trainer.average)
    trainer.phase = "encoder"
    z = networks.random_latents(4, 6, trainer.random("encoder z"))
    made = trainer.average(z, training=False)
    assert made.numpy().std() > 0.1
    targets = tf.concat([made, tf.cast(IMAGES, tf.float32) / 255], 0)
    holes = masks.draw(HOLES, 8, SIDE, SIDE, trainer.random("holes"))
    # Of a known pixel's 7x7 neighbours in the picture, the share that is missing.
    missing, every = (
        tf.nn.conv2d(x, tf.ones([7, 7, 1, 1]), 1, "SAME") for x in (holes, tf.ones_like(holes))
    )
    around = (1 - holes) * missing / every
    before = trained(trainer.encoder)
    statistics = [v.numpy() for v in trainer.encoder.non_trainable_variables]
    with tf.GradientTape() as tape:
        guess = trainer.encoder({"images": targets, "masks": holes}, training=True)
        latent = tf.reduce_mean((guess[:4] - z) ** 2)
        error = tf.reduce_sum(tf.abs(trainer.average(guess, training=False) - targets), -1) / 3
        means = [
            tf.reduce_sum(w[..., 0] * error, [1, 2]) / tf.reduce_sum(w, [1, 2, 3])
            for w in (1 - holes, around)
        ]
        context = tf.reduce_mean(sum(means) / 2)
        loss = latent + 10 * context
    gradients = tape.gradient(loss, trainer.encoder.trainable_variables)
    for variable, value in zip(trainer.encoder.non_trainable_variables, statistics, strict=True):
        variable.assign(value)
    average, values = trainer.average.get_weights(), step(trainer)
    expected = {"encoder": float(loss), "latent": float(latent), "context": float(context)}
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-3)
    new = [v - RATE * g for v, g in zip(before, gradients, strict=True)]
    close_steps(before, trained(trainer.encoder), new)
    assert all(same(average, trainer.average.get_weights()))


def test_the_encoder_learns_to_invert_an_average_with_statistics_of_its_own(monkeypatch):
    """Neither those of a fresh network nor the average of the generator's."""
    monkeypatch.setattr(adversarial, "calibrate", few_batches)
    trainer = make_trainer(averaging=0.5)
    lively(trainer.average)
    z = networks.random_latents(512, 6, [1, 2])

    def error():
        """Of the pictures by the moving statistics, against those by the batch's own."""
        weights = trainer.average.get_weights()
        trainer.average.trainable = True
        expected = trainer.average(z, training=True)
        trainer.average.trainable = False
        trainer.average.set_weights(weights)
        return float(tf.reduce_mean(tf.abs(trainer.average(z, training=False) - expected)))

    assert error() > 0.05
    trainer.begin(Row("encoder", 1, 4))
    assert error() < 0.01
    assert not trainer.average.trainable_variables


@pytest.fixture(scope="module")
def judge():
    """A trainer whose critic alone learns, and its traced step."""
    trainer = make_trainer(
        Objective("wgan_gp", penalty=10, critic_steps=10**6),
        optimizer=lambda: keras.optimizers.Adam(1e-3, beta_1=0, beta_2=0.9),
        width=8,
        critic_norm="none",
    )
    return trainer, tf.function(trainer.train_step, autograph=False), trainer.critic.get_weights()


@pytest.mark.parametrize("fake", [0.49, 0.47])
def test_the_estimate_grows_to_the_distance_of_two_constant_pictures(judge, fake):
    # W of two point masses is their distance. A slope s scores s W - lambda (s - 1)^2, which is
    # greatest at s = 1 + W / (2 lambda).
    real = 130 / 255
    distance = 2 * (real - fake) * math.sqrt(SIDE * SIDE * 3)
    bound = distance * (1 + distance / (2 * 10))
    trainer, train_step, fresh = judge
    trainer.critic.set_weights(fresh)
    for variable in trainer.optimizers["critic"].variables:
        if "learning_rate" not in variable.path:
            variable.assign(tf.zeros_like(variable))
    trainer.reset_metrics()
    last = trainer.generator.get_layer("output")
    last.kernel.assign(tf.zeros_like(last.kernel))
    last.bias.assign(tf.fill(last.bias.shape, math.atanh(2 * fake - 1)))
    images = tf.fill([4, SIDE, SIDE, 3], tf.constant(130, tf.uint8))
    first = float(train_step(images)["wasserstein"])
    for number in range(200):
        if number == 100:
            trainer.reset_metrics()  # the mean of the last hundred
        estimate = float(train_step(images)["wasserstein"])
    assert abs(first) < 0.1 * distance
    assert 0.9 * distance < estimate < 1.1 * bound


def batches(batch_size, first):
    """Images that are a function of their number."""
    numbers = tf.data.Dataset.range(first, 10**6)
    pictures = numbers.map(
        lambda n: tf.cast(
            tf.random.stateless_uniform([SIDE, SIDE, 3], [n, 0], 0, 256, tf.int32), tf.uint8
        )
    )
    return pictures.batch(batch_size, drop_remainder=True)


class Killed(Exception):
    """Stands for a process that ends without a word."""


def train(run_dir, objective, kill_at=()):
    """Trains 6 + 2 steps; killed at the given ones, before they are saved, and started again.

    Returns:
      (the trainer, {network: its weights}); the next call's networks are the same.
    """
    killed = []
    settings = Adversarial(
        image_size=SIDE, width=4, latent=6, critic_norm="none", batch_size=4, critic_steps=2,
        generator_steps=3, encoder_steps=2,
    )  # fmt: skip
    made, weights = built(settings, 0)
    while True:
        for name, network in made.items():  # other initial weights in every process
            network.set_weights([(1 + len(killed)) * x for x in weights[name]])
        names = {"generator": "adam", "critic": "rmsprop", "encoder": "adam"}
        trainer = adversarial.AdversarialTrainer(
            made,
            {network: paper_optimizer(name, 1e-3) for network, name in names.items()},
            objective,
            HOLES,
            0.9,
            seed=3,
        )
        trainer.run_eagerly = True  # tracing takes longer than so few steps

        def sample(path, trainer=trainer):
            trainer.write_pictures(path)
            now = int(trainer.step)
            if now in kill_at and now not in killed:
                killed.append(now)
                raise Killed

        run = training.RunDirectory(run_dir)
        run.settle_flags("")
        plan = adversarial.plan(settings)
        schedule = training.Schedule(log_every=1, save_every=2, sample_every=3)
        try:
            assert training.fit(trainer, plan, batches, run, schedule, sample)
        except Killed:
            continue
        assert killed == list(kill_at)
        return trainer, {name: network.get_weights() for name, network in made.items()}


def test_a_killed_run_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.setattr(adversarial, "calibrate", few_batches)
    objective = Objective("wgan_gp", critic_steps=2)
    _, expected = train(tmp_path / "whole", objective)
    broken, weights = train(tmp_path / "broken", objective, kill_at=(3, 8))
    assert int(broken.step) == 8
    assert int(broken.counters["generator_steps"]) == 3
    for part in ("generator", "average", "critic", "encoder"):
        assert all(same(expected[part], weights[part]))
    logs = []
    for folder in ("whole", "broken"):
        text = (tmp_path / folder / "metrics.jsonl").read_text()
        logs.append([json.loads(line) for line in text.splitlines()])
        for line in logs[-1]:
            del line["seconds"]
    assert logs[0] == logs[1]
    assert [line["step"] for line in logs[0]] == list(range(1, 9))
    assert [line["segment"] for line in logs[0]] == ["adversarial"] * 6 + ["encoder"] * 2
    samples = [sorted((tmp_path / n / "samples").iterdir()) for n in ("whole", "broken")]
    assert [path.name for path in samples[0]] == [path.name for path in samples[1]]
    for one, other in zip(*samples, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_a_loss_that_is_not_finite_stops_the_run_in_one_line(tmp_path):
    trainer = make_trainer()
    trainer.run_eagerly = True
    score = trainer.critic.get_layer("score")
    score.bias.assign([math.nan])
    run = training.RunDirectory(tmp_path)
    run.settle_flags("")
    with pytest.raises(InputError, match=r"step 1: .* is not finite") as error:
        training.fit(
            trainer,
            [Row("adversarial", 3, 4)],
            batches,
            run,
            training.Schedule(),
            trainer.sampler(None, run),
        )
    assert "\n" not in str(error.value)
    assert not run.has_checkpoint()


def test_the_plan_is_the_two_phases():
    settings = Adversarial(batch_size=8, generator_steps=2, critic_steps=5, encoder_steps=3)
    both = [Row("adversarial", 10, 8), Row("encoder", 3, 8)]
    assert adversarial.plan(settings) == both
    assert adversarial.plan(dataclasses.replace(settings, encoder_steps=0)) == both[:1]
    with pytest.raises(ValueError, match="warmup"):
        make_trainer().begin(Row("warmup", 1, 8))


def test_samples_are_the_averaged_generators_pictures_of_fixed_latents(tmp_path):
    trainer = make_trainer(averaging=0.5)
    trainer.write_pictures(tmp_path / "a.png")
    trainer.write_pictures(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    grid = image_files.to_uint8(image_files.read_image(tmp_path / "a.png"))
    assert grid.shape == (8 * (SIDE + 2) + 2, 8 * (SIDE + 2) + 2, 3)
    z = networks.random_latents(64, 6, [5, -1])
    pictures = image_files.to_uint8(trainer.average(z, training=False).numpy())
    for n, (row, column) in ((0, (0, 0)), (9, (1, 1)), (63, (7, 7))):
        top, left = 2 + (SIDE + 2) * row, 2 + (SIDE + 2) * column
        np.testing.assert_array_equal(grid[top : top + SIDE, left : left + SIDE], pictures[n])
    assert len({picture.tobytes() for picture in pictures}) == 64


def test_the_description_counts_parameters():
    trainer = make_trainer()
    text = describe(trainer.networks)
    for network in (trainer.generator, trainer.critic, trainer.encoder):
        assert f"{network.name}: {network.count_params():,} parameters" in text
