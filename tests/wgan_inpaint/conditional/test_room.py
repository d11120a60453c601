"""G(m, z) answers a hole in several ways, each reproducible, and touches nothing that is known."""

import dataclasses
import functools
import json
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.completion import models
from common.completion.files import Options
from common.errors import InputError
from common.pictures import masks
from common.pictures.images import read_image, write_image
from common.pictures.mask_spec import MaskSpec
from common.serving import export
from common.training import driver, loop
from common.training.runs import RunDirectory, Schedule
from tests import commands
from wgan_inpaint import METHODS
from wgan_inpaint.conditional import networks, room
from wgan_inpaint.conditional.settings import Completing, Conditional
from wgan_inpaint.settings import Samples

SIDE = 32
TINY = Conditional(image_size=SIDE, latent=6, batch_size=4, conditional_steps=4)
HOLES = MaskSpec(kinds=("rectangle",), hole_min=8, hole_max=16)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3)).astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def _narrow_rows():
    """Few channels: what is tested does not depend on their number."""
    with pytest.MonkeyPatch.context() as patch:
        for table in (networks.CHANNELS, networks.DISCRIMINATOR):
            patch.setitem(table, SIDE, (6, 6, 8, 8))
        yield


# What the networks and their optimizers depend on.
BUILT = ("architecture", "image_size", "latent", "conditional_steps")


@functools.cache
def _built(number, ambient, regressor, *shape):
    """A trainer, its networks, and all of its variables with what they begin with."""
    random.seed(1 + number)
    shape = dict(zip(BUILT, shape, strict=True))
    own = Conditional(ambient_weight=float(ambient), latent_weight=float(regressor), **shape)
    trainer = room.build(own, HOLES, "float32")
    parts = (*trainer.networks.values(), *trainer.optimizers.values())
    variables = [trainer.step, *(variable for part in parts for variable in part.variables)]
    return trainer, dict(trainer.networks), [(v, v.numpy()) for v in variables]


def fresh(own, holes, number=0):
    """The trainer of this number and these settings as it was in the beginning.

    It is built once; of two that are wanted at a time each has another number, and other weights.
    """
    shape = (getattr(own, name) for name in BUILT)
    ambient, regressor = own.ambient_weight > 0, own.latent_weight > 0
    trainer, parts, start = _built(number, ambient, regressor, *shape)
    for name, network in parts.items():
        trainer.networks[name] = network
    for variable, value in start:
        variable.assign(value)
    trainer.settings, trainer.mask_spec = own, holes
    trainer.reset_metrics()
    trainer.begin(room.plan(own)[0])
    return trainer


def make_trainer(number=0, **options):
    """A trainer with the same weights every time for a ``number``."""
    return fresh(dataclasses.replace(TINY, **options), HOLES, number)


def step(trainer, times=1, data=IMAGES):
    for _ in range(times):
        values = trainer.train_step(tf.constant(data))
    return {name: float(value) for name, value in values.items()}


def weights(trainer):
    return {name: network.get_weights() for name, network in trainer.networks.items()}


def scene(count, height, width, seed=1):
    generator = np.random.default_rng(seed)
    images = generator.random((count, height, width, 3), np.float32)
    holes = np.zeros((count, height, width, 1), np.float32)
    holes[:, height // 4 : height // 2, width // 3 : -3] = 1
    return images, holes


@pytest.mark.parametrize(("size", "counts"), [(64, (1_140_275, 486_705)), (128, None)])
def test_the_networks_are_those_of_the_table(size, counts):
    both = networks.generator(size=size), networks.discriminator(size=size)
    if counts:
        assert tuple(network.count_params() for network in both) == counts
    assert both[0].output_shape == (None, None, size, size, 3)
    assert both[1].input_shape == (None, size, size, 6)
    assert both[0].get_layer("start_map").output.shape[1:3] == (4, 4)
    names = {layer.name for layer in both[0].layers}
    assert {f"decode{n}_film" for n in range(len(networks.CHANNELS[size]))} <= names


def test_the_listing_is_the_documents():
    """Its rows stand where they stood, and D ends in one number at 32 px."""
    network = networks.generator("listing", 32, 100)
    rows = [x for x in network.layers if isinstance(x, keras.layers.Conv2DTranspose)]
    assert [x.filters for x in rows] == [128, 64, 32, 3]
    assert [tuple(x.output.shape[1:3]) for x in rows] == [(n, n) for n in (4, 8, 16, 32)]
    assert not any(x.use_bias for x in rows) and {x.kernel_size for x in rows} == {(4, 4)}
    judge = networks.discriminator("listing", 32)
    rows = [x for x in judge.layers if isinstance(x, keras.layers.Conv2D)]
    assert [x.filters for x in rows] == [32, 64, 128]
    # 4 x 4 x 6 x 32 + ..., gamma and beta of two BatchNorms, 4 x 4 x 128 to one.
    trained = sum(int(np.prod(x.shape)) for x in judge.trainable_variables)
    assert trained == 16 * (6 * 32 + 32 * 64 + 64 * 128) + 2 * (64 + 128) + 16 * 128
    assert networks.generator("listing", 64).output_shape[2:] == (64, 64, 3)


def test_z_reaches_every_place_where_it_enters():
    trainer = make_trainer()
    step(trainer, 3)
    images, holes = map(tf.constant, scene(2, SIDE, SIDE))
    network = trainer.networks["average"]
    entries = [x for x in network.layers if x.name == "start" or x.name.endswith("_style")]
    assert len(entries) == 1 + len(networks.CHANNELS[SIDE])
    z = tf.random.stateless_normal([2, 2, 6], [0, 0])
    network.trainable = True  # a tape watches nothing else
    with tf.GradientTape() as tape:
        pictures = network({"images": images, "masks": holes, "z": z}, training=False)
        apart = tf.reduce_sum(tf.abs(pictures[:, 0] - pictures[:, 1]))
    for entry, slope in zip(
        entries, tape.gradient(apart, [entry.kernel for entry in entries]), strict=True
    ):
        from_z = slope if entry.name == "start" else slope[: networks.STYLE]
        assert np.abs(from_z).max() > 0, entry.name


def test_the_discriminator_sees_the_damaged_picture_then_the_candidate():
    trainer = make_trainer(r1=0.0)
    seen = []
    judge = trainer.networks["discriminator"]
    trainer.networks["discriminator"] = Recorder(judge, seen)
    step(trainer)
    images = IMAGES.astype(np.float32) / 127.5 - 1
    seed = [tf.constant(0), tf.constant(0)]
    holes = masks.draw(HOLES, 4, SIDE, SIDE, tf.stack(seed)).numpy()
    real, fake, both = seen
    hidden = np.where(holes == 1, 0, images)
    for pair in (real, fake, both[:4], both[4:]):
        np.testing.assert_allclose(pair[..., :3], hidden, atol=1e-6)
        known = np.broadcast_to(holes == 0, images.shape)
        np.testing.assert_allclose(pair[..., 3:][known], images[known], atol=1e-6)
    np.testing.assert_allclose(real[..., 3:], images, atol=1e-6)
    np.testing.assert_array_equal(fake, both[:4])
    assert np.abs(both[4:] - both[:4]).max() > 1e-4, "two samples"


class Recorder:
    """A network that keeps what it is given."""

    def __init__(self, network, seen):
        self._network, self._seen = network, seen

    def __call__(self, inputs, training):
        self._seen.append(inputs.numpy())
        return self._network(inputs, training=training)

    def __getattr__(self, name):
        return getattr(self._network, name)


def test_the_regressor_reads_z_from_the_hole_and_trains_the_generator_and_itself(tmp_path):
    plain, trainer = make_trainer(r1=0.0), make_trainer(r1=0.0, latent_weight=50.0)
    assert set(trainer.checkpointed()) - set(plain.checkpointed()) == {
        "regressor", "regressor_optimizer",
    }  # fmt: skip
    regressor = trainer.networks["regressor"]
    assert regressor.output_shape == (None, TINY.latent)
    before = weights(trainer)
    for name, values in weights(plain).items():  # the regressor's come last
        for a, b in zip(values, before[name], strict=True):
            np.testing.assert_array_equal(a, b)
    seen = []
    trainer.networks["regressor"] = Recorder(regressor, seen)
    values = step(trainer)
    trainer.networks["regressor"] = regressor
    holes = masks.draw(HOLES, 4, SIDE, SIDE, tf.constant([0, 0])).numpy()
    (hidden,) = seen
    known = np.broadcast_to(np.concatenate([holes, holes]) == 0, hidden.shape)
    assert hidden.shape == (8, SIDE, SIDE, 3) and not hidden[known].any()
    assert (hidden[~known] != 0).mean() > 0.9
    after = weights(trainer)
    step(plain)
    changed = {
        name: [np.abs(a - b).max() for a, b in zip(after[name], values, strict=True)]
        for name, values in {**weights(plain), "regressor": before["regressor"]}.items()
    }
    # D's step comes before; G's has one slope more than without, and so has each of its weights.
    assert not any(changed["discriminator"])
    assert all(changed["generator"]) and all(changed["regressor"])
    regressor.set_weights(before["regressor"])
    z = room.normal([4, 2, TINY.latent], tf.constant([0, 1])).numpy()
    with tf.GradientTape() as tape:
        error = tf.reduce_mean(tf.abs(regressor(hidden) - np.concatenate([z[:, 0], z[:, 1]])))
    assert values["latent"] == pytest.approx(float(error), rel=1e-5)
    # Adam without momentum begins with a step of the learning rate against the slope's sign.
    slopes = tape.gradient(error, regressor.trainable_variables)
    for slope, old, new in zip(slopes, before["regressor"], after["regressor"], strict=True):
        clear = np.abs(slope) > 1e-5
        np.testing.assert_allclose((new - old)[clear], -4e-4 * np.sign(slope)[clear], rtol=0.02)
    # Its state is kept.
    checkpoint = tf.train.Checkpoint(step=trainer.step, **trainer.checkpointed())
    path, kept = checkpoint.save(str(tmp_path / "ckpt")), weights(trainer)
    other = make_trainer(number=1, r1=0.0, latent_weight=50.0)
    tf.train.Checkpoint(step=other.step, **other.checkpointed()).restore(path).assert_consumed()
    for a, b in zip(weights(other)["regressor"], kept["regressor"], strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_penalty_is_on_the_candidates_channels_only():
    trainer = make_trainer()
    damaged, real = (
        tf.constant(np.random.default_rng(n).uniform(-1, 1, (3, SIDE, SIDE, 3)), tf.float32)
        for n in range(2)
    )
    found = float(trainer.squared_gradient(damaged, real))
    pair = tf.concat([damaged, real], axis=-1)
    with tf.GradientTape() as tape:
        tape.watch(pair)
        scores = trainer.networks["discriminator"](pair)
    slope = tape.gradient(scores, pair).numpy()
    assert found == pytest.approx(np.mean(np.sum(slope[..., 3:] ** 2, axis=(1, 2, 3))), rel=1e-4)
    # Against finite differences, along the slope itself.
    direction = slope[..., 3:] / np.sqrt(np.sum(slope[..., 3:] ** 2, (1, 2, 3), keepdims=True))
    ahead, behind = (
        trainer.networks["discriminator"](tf.concat([damaged, real + e * direction], axis=-1))
        for e in (1e-2, -1e-2)
    )
    numeric = np.mean(((ahead - behind).numpy() / 2e-2) ** 2)
    assert numeric == pytest.approx(found, rel=0.02)


def test_the_penalty_comes_every_so_manyth_step():
    trainer = make_trainer(r1_every=2)

    found = []
    for _ in range(3):
        trainer.reset_metrics()
        found.append(step(trainer)["penalty"] > 0)

    assert found == [True, False, True]


@pytest.mark.parametrize(
    ("objective", "architecture", "xla"),
    [("gan", "style", True), ("hinge", "listing", False), ("wgan_gp", "listing", False)],
)
def test_a_compiled_step_equals_the_eager_one(objective, architecture, xla, monkeypatch):
    options = {"objective": objective, "architecture": architecture}
    if architecture == "style":  # three of its rows have all that any row has
        for table in (networks.CHANNELS, networks.DISCRIMINATOR):
            monkeypatch.setitem(table, 16, (6, 6, 8))
        options["image_size"] = 16
    eager, compiled = make_trainer(**options), make_trainer(number=1, **options)
    for name, values in weights(eager).items():
        compiled.networks[name].set_weights(values)
    images = IMAGES[:, : eager.settings.size, : eager.settings.size]
    before = weights(eager)
    values = step(eager, data=images)
    logs = tf.function(compiled.train_step, jit_compile=xla, autograph=False)(tf.constant(images))
    assert {n: float(v) for n, v in logs.items()} == pytest.approx(values, rel=1e-3, abs=1e-5)
    for name in ("generator", "discriminator"):
        trios = zip(before[name], weights(eager)[name], weights(compiled)[name], strict=True)
        for old, one, other in trios:
            # Adam's first step has the learning rate's length wherever the slope is not 0.
            assert np.mean(np.abs(one - other)) <= 0.02 * np.mean(np.abs(one - old)) + 1e-7


def test_a_right_samplers_gain_is_2_5_dB_and_an_ignored_z_has_none():
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(64, SIDE, SIDE, 3))
    holes = np.ones((64, SIDE, SIDE, 1))
    right = room.liveliness(truth, generator.normal(size=(64, 8, SIDE, SIDE, 3)), holes)
    assert right == pytest.approx({"gain": 10 * np.log10(2 / (1 + 1 / 8)), "ratio": 1}, abs=0.02)
    dead = room.liveliness(truth, np.zeros((64, 8, SIDE, SIDE, 3)), holes)
    assert dead == {"gain": 0, "ratio": 0}


def batches(batch_size, first):
    """Images that are a function of their number."""

    def picture(n):
        pixels = tf.random.stateless_uniform([SIDE, SIDE, 3], [n, 0], 0, 256, tf.int32)
        return tf.cast(pixels, tf.uint8)

    numbers = tf.data.Dataset.range(first, 10**6)
    return numbers.map(picture).batch(batch_size, drop_remainder=True)


class Killed(Exception):
    """Stands for a process that ends without a word."""


def killing(trainer, sampler, kill_at, killed):
    """The sampler, which ends its process at each of the steps ``kill_at`` once; see ``killed``."""

    def sample(path):
        judged = sampler(path)
        now = int(trainer.step)
        if now in kill_at and now not in killed:
            killed.append(now)
            raise Killed
        return judged

    return sample


def train(folder, kill_at=()):
    """A run: (its directory, {name: weights} at its end)."""
    killed = []
    while True:
        trainer = make_trainer(len(killed))  # other initial weights in every process
        trainer.run_eagerly = True  # tracing takes longer than so few steps
        run = RunDirectory(folder)
        run.settle_flags("--method=conditional\n--image_size=32\n--latent=6\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(room, "JUDGED", 8)
            sampler = trainer.sampler(lambda count: np.repeat(IMAGES, 2, 0)[:count], run)
        sample = killing(trainer, sampler, kill_at, killed)
        schedule = Schedule(log_every=1, save_every=2, sample_every=3)
        try:
            assert loop.fit(trainer, room.plan(TINY), batches, run, schedule, sample)
        except Killed:
            continue
        assert killed == list(kill_at)
        return run, weights(trainer)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train(tmp_path_factory.mktemp("whole"))


def test_a_killed_run_ends_as_an_uninterrupted_one_and_logs_whether_z_lives(trained, tmp_path):
    runs = [trained, train(tmp_path, kill_at=(3,))]
    for one, other in zip(*(ended.values() for _, ended in runs), strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    logs = [[json.loads(x) for x in run.metrics.read_text().splitlines()] for run, _ in runs]
    for line in logs[0] + logs[1]:
        del line["seconds"]
    assert logs[0] == logs[1] and len(logs[0]) == 4
    judged = [line["step"] for line in logs[0] if {"gain", "ratio"} <= line.keys()]
    assert judged == [3, 4]


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    """The run's SavedModel."""
    path = tmp_path_factory.mktemp("model") / "saved"
    driver.export(METHODS["conditional"], trained[0], path, Completing(seed=3), storage="float16")
    return path


loaded = functools.cache(lambda path: tf.saved_model.load(str(path)))


def call(saved, name, **inputs):
    signature = loaded(saved).signatures[name]
    return signature(**{key: tf.constant(x) for key, x in inputs.items()})["completed"].numpy()


def test_a_seed_is_an_answer_alone_and_in_a_batch_and_known_pixels_stay(saved):
    images, holes = scene(2, 50, 70)
    hidden = np.where(holes == 1, np.float32(np.nan), images)
    seeds = np.array([3, 11, 3], np.int32)
    found = call(saved, "complete_samples", images=hidden, masks=holes, seeds=seeds)
    assert found.shape == (2, 3, 50, 70, 3)
    missing = np.broadcast_to(holes == 1, images.shape)
    for sample in found.swapaxes(0, 1):
        np.testing.assert_array_equal(sample[~missing], images[~missing])
    np.testing.assert_array_equal(found[:, 0], found[:, 2])
    assert np.abs(found[:, 0] - found[:, 1]).max() > 1e-3
    one = call(saved, "complete_samples", images=images[1:], masks=holes[1:], seeds=seeds[1:2])
    np.testing.assert_allclose(one[0, 0], found[1, 1], atol=1e-5)
    single = call(saved, "complete", images=images, masks=holes)  # by the stored seed
    np.testing.assert_allclose(single, found[:, 0], atol=1e-5)
    fast = call(saved, "complete_samples_bfloat16", images=images, masks=holes, seeds=seeds)
    np.testing.assert_allclose(fast, found, atol=0.05)


def test_the_listing_trains_and_its_export_is_the_network(tmp_path):
    trainer = make_trainer(
        architecture="listing", reconstruction="none", r1=0.0, averaging=0.0,
        discriminator_halves="mean",
    )  # fmt: skip
    step(trainer, 2)
    network, images, holes = trainer.networks["average"], *scene(2, SIDE, SIDE)
    holes = masks.draw(MaskSpec(), 2, SIDE, SIDE, [0, 0]).numpy()
    for a, b in zip(*(trainer.networks[n].weights for n in ("average", "generator")), strict=True):
        np.testing.assert_array_equal(a, b)
    settings = dataclasses.replace(TINY, architecture="listing")
    restored = driver.Restored(None, settings, {"average": network}, "")
    module, _ = room.exported(restored, Completing(seed=2), tf.float32, False)
    z = tf.tile(room.latents(tf.constant([2]), TINY.latent)[None], [2, 1, 1])
    expected = room.sample(network, images, holes, z)[:, 0]
    found = np.where(holes == 1, module.complete(images, tf.constant(holes)), images)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_what_is_exported_is_the_averaged_generator(trained, saved):
    """In the float16 that it is stored in."""
    images, holes = scene(2, SIDE, SIDE)
    holes = masks.draw(MaskSpec(), 2, SIDE, SIDE, [0, 0]).numpy()
    network = make_trainer().networks["average"]
    network.set_weights([x.astype(np.float16) for x in trained[1]["average"]])
    z = tf.tile(room.latents(tf.constant([5, 6]), TINY.latent)[None], [2, 1, 1])
    expected = room.sample(network, images, holes, z)
    found = call(
        saved, "complete_samples", images=images, masks=holes, seeds=np.array([5, 6], np.int32)
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_command_writes_the_samples(saved, tmp_path):
    generator = np.random.default_rng(2)
    image = generator.random((60, 90, 3), np.float32)
    write_image(tmp_path / "a.png", image)
    arguments = (f"--model={saved}", "--input=a.png", "--mask_kind=center", "--hole_size=20")
    result = commands.run("wgan_inpaint.complete", *arguments, "--samples=3", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    names = {path.name for path in (tmp_path / "completed").iterdir()}
    assert names == {"a.png", "a_sample1.png", "a_sample2.png", "a_sample3.png", "a_samples.png"}
    first, second = (read_image(tmp_path / "completed" / f"a_sample{n}.png") for n in (1, 2))
    assert (first != second).any()
    np.testing.assert_array_equal(first, read_image(tmp_path / "completed" / "a.png"))
    result = commands.run("wgan_inpaint.complete", *arguments, "--samples=0", cwd=tmp_path)
    assert result.returncode == 1 and "--samples=0" in result.stderr
    assert "Traceback" not in result.stderr
    result = commands.run("wgan_inpaint.complete", *arguments, "--iterations=3", cwd=tmp_path)
    assert "--iterations: a flag of --method=latent_search, not of conditional" in result.stderr


def test_a_model_that_draws_no_samples_is_refused(tmp_path):
    module = tf.Module()
    module.complete = lambda images, holes: images
    export.save(module, tmp_path / "model", {"method": "conditional", "image_size": 32})
    assert models.load_model(tmp_path / "model").complete_samples is None
    with pytest.raises(InputError, match="no signature complete_samples"):
        room.completer(Completing(), Samples(), tmp_path / "model", Options())
