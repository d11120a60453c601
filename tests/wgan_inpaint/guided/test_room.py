"""CNNLG learns in four steps, resumes in each, and no hidden pixel enters what it completes."""

import dataclasses
import functools
import json
import random

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from common.completion.files import Options
from common.errors import InputError
from common.evaluation import sources
from common.pictures import masks
from common.pictures.images import read_image, write_image
from common.pictures.mask_spec import MaskSpec
from common.serving import export
from common.training import driver, loop
from common.training.runs import RunDirectory, Schedule
from tests import commands
from wgan_inpaint import METHODS
from wgan_inpaint.guided import completion, judging, networks, prediction, robustness, room
from wgan_inpaint.guided import likelihood as densities
from wgan_inpaint.guided.settings import GUIDANCE, Completing, Guided
from wgan_inpaint.settings import Samples

SIDE, STEPS = 32, 6
TINY = Guided(
    image_size=SIDE,
    codes=10,
    code_length=6,
    batch_size=4,
    guides_batch_size=4,
    generation_steps=STEPS,
    guides_steps=STEPS,
    gradients_steps=STEPS,
    refinement_steps=STEPS,
    field_iterations=2,
    decay="none",
    robustness=0.01,
    robustness_every=2,
    learning_rate=5e-4,
)
HOLES = MaskSpec(kinds=("center", "rectangle"), hole_min=8, hole_max=16)
NOISE = np.random.default_rng(0).integers(0, 256, (4, 4, 4, 3)).astype(np.uint8)
IMAGES = np.stack([cv2.resize(image, (SIDE, SIDE)) for image in NOISE])  # soft spots


@pytest.fixture(scope="module", autouse=True)
def _small_networks():
    """One dense layer instead of ten, narrow sweeps and few: no test depends on their number."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "DILATIONS", (2,))
        patch.setattr(networks, "GATES", 4)
        patch.setattr(networks, "ROUNDS", 1)
        patch.setattr(prediction, "FIELD_ITERATIONS", 1)
        patch.setattr(prediction, "SWEEPS", 2)
        yield


def first_images(count):
    return np.resize(IMAGES, (count, SIDE, SIDE, 3))


def begin(trainer, phase):
    trainer.begin(next(row for row in room.plan(TINY) if row.phase == phase))


@functools.cache
def _built(number):
    """A trainer, and all of its variables with what they begin with."""
    random.seed(1 + number)
    trainer = room.build(TINY, HOLES, "float32")
    trainer.prepare(first_images)
    return trainer, [(variable, variable.numpy()) for variable in variables(trainer)]


def variables(trainer):
    networks, optimizers = trainer.networks.values(), trainer.optimizers.values()
    weights = [v for network in networks for v in network.weights]
    return [trainer.step, *weights, *(v for one in optimizers for v in one.variables)]


def make_trainer(phase="generation", number=0, **options):
    """The trainer of this number as it was in the beginning; each has other weights."""
    trainer, start = _built(number)
    for variable, value in start:
        variable.assign(value)
    trainer.settings = dataclasses.replace(TINY, **options)
    begin(trainer, phase)
    return trainer


@functools.cache
def shared_trainer():
    """One whose weights no test may change; what training begins with at zero is random too."""
    trainer = make_trainer("refinement", number=2)
    generator = np.random.default_rng(4)
    tables = trainer.networks["tables"]
    tables.set_weights([generator.normal(0, 0.5, x.shape) for x in tables.get_weights()])
    return trainer


def scene(count, height, width, seed=1):
    generator = np.random.default_rng(seed)
    images = generator.random((count, height, width, 3), np.float32)
    holes = np.zeros((count, height, width, 1), np.float32)
    holes[:, height // 4 : height // 2, width // 3 : -3] = 1
    return images, holes


@pytest.mark.parametrize(("stride", "known"), [(4, 156), (8, 28)])
def test_the_codes_of_known_points_are_those_of_the_whole_picture(stride, known):
    """Of 256 points of the middle hole, 156 see no missing pixel; of 64, 28."""
    middle = np.zeros((1, 64, 64, 1), np.float32)
    middle[:, 16:48, 16:48] = 1
    assert int(tf.reduce_sum(tf.cast(networks.known_points(middle, stride), tf.int32))) == known
    network = networks.encoder(stride, 6)
    book = networks.Codebook(40, 6)
    images = np.random.default_rng(3).random((8, 64, 64, 3), np.float32)
    book.begin(tf.reshape(network(images), [-1, 6])[:40])
    holes = masks.draw(HOLES, 8, 64, 64, [0, 1]).numpy()
    points = networks.known_points(holes, stride).numpy()[..., 0]
    whole = book.nearest(network(images)).numpy()
    for hidden in (0.0, 7.0):
        codes = book.nearest(network(np.where(holes == 1, np.float32(hidden), images))).numpy()
        np.testing.assert_array_equal(codes[points], whole[points])
        assert (codes[~points] != whole[~points]).any()


def test_codes_are_moving_averages_and_unused_ones_are_revived():
    book = networks.Codebook(4, 2)
    start = np.array([[0, 0], [5, 5], [-5, 5], [90, 90]], np.float32)
    book.begin(start)
    encoded = np.array([[1, 0], [0, 1], [4, 6], [-5, 4], [6, 6]], np.float32)
    labels = book.nearest(encoded)
    assert labels.numpy().tolist() == [0, 0, 1, 2, 1]
    np.testing.assert_array_equal(book.vectors(labels)[2], [5, 5])
    book.follow(encoded, labels, decay=0.9, least=0.95, seed=[0, 0])
    counts = 0.9 * np.ones(3) + 0.1 * np.array([2, 2, 1])
    sums = 0.9 * start[:3] + 0.1 * np.array([[1, 1], [10, 12], [-5, 4]])
    np.testing.assert_allclose(book.codes[:3], sums / counts[:, None], rtol=1e-6)
    np.testing.assert_allclose(book.counts, [*counts, 1], rtol=1e-6)
    assert book.codes[3].numpy().tolist() in encoded.tolist(), "what nobody used begins anew"


@pytest.mark.parametrize("activation", ["silu", "gelu"])
def test_the_penalty_and_its_slope_are_those_of_finite_differences(activation):
    """In float64, of a decoder with its likelihood."""
    generator = np.random.default_rng(0)
    random.seed(0)
    options = {"padding": "same", "dtype": "float64"}
    decoder = keras.Sequential(
        [
            keras.Input((4, 4, 3), dtype="float64"),
            keras.layers.Conv2D(6, 3, activation=activation, **options),
            keras.layers.UpSampling2D(2, dtype="float64"),
            keras.layers.Conv2D(10, 3, **options),
        ]
    )
    field = tf.constant(generator.normal(size=(2, 4, 4, 3)))
    pixels = tf.constant(generator.integers(0, 256, (2, 8, 8, 3)) / 255)
    variables = decoder.trainable_variables

    def loss():
        return -tf.reduce_mean(densities.log_likelihood(decoder(field), pixels)) / 3

    start = [v.numpy() for v in variables]

    def at(offset, value):
        for v, s, d in zip(variables, start, direction, strict=True):
            v.assign(s + offset * d)
        return float(value())

    penalty, slope = robustness.penalty_gradients(loss, variables)
    squares = 0.0
    for place, values in enumerate(start):
        if values.ndim == 1:  # every bias alone: what J is the sum of
            for n in range(len(values)):
                direction = [np.zeros_like(x) for x in start]
                direction[place][n] = 1
                squares += ((at(1e-5, loss) - at(-1e-5, loss)) / 2e-5) ** 2
    direction = [np.zeros_like(x) for x in start]
    at(0, loss)
    biases = [v for v in variables if v.shape.rank == 1]
    assert squares == pytest.approx(float(robustness.loss_and_penalty(loss, biases)[1]), rel=1e-6)
    for _ in range(3):
        direction = [generator.normal(size=x.shape) for x in start]
        numeric = (
            at(1e-5, lambda: robustness.loss_and_penalty(loss, variables)[1])
            - at(-1e-5, lambda: robustness.loss_and_penalty(loss, variables)[1])
        ) / 2e-5
        exact = sum(float(tf.reduce_sum(g * d)) for g, d in zip(slope, direction, strict=True))
        assert numeric == pytest.approx(exact, rel=1e-6)
    assert float(penalty) > squares > 0


def test_the_penalty_comes_every_so_manyth_step_times_as_much_and_moves_the_decoder_alone(
    monkeypatch,
):
    found = {}
    for weight in (0.0, 0.5):
        trainer = make_trainer(robustness=weight)
        seen = found[weight] = []
        monkeypatch.setattr(trainer, "update", lambda gradients, names, to=seen: to.append(
            {name: [g.numpy() for g in gradients[name]] for name in names}))  # fmt: skip
        for _ in range(2):
            trainer.train_step(tf.constant(IMAGES))
    images = tf.constant(IMAGES[:2] / np.float32(255))
    trainer = make_trainer()
    encoded = trainer.networks["encoder"](images)
    vectors = trainer.networks["codebook"].vectors(trainer.networks["codebook"].nearest(encoded))
    _, slope = robustness.penalty_gradients(
        lambda: trainer.decoder_loss(vectors, images),
        trainer.networks["decoder"].trainable_variables,
    )
    plain, due = found[0.0], found[0.5]
    for a, b, s in zip(plain[0]["decoder"], due[0]["decoder"], slope, strict=True):
        np.testing.assert_allclose(b - a, 0.5 * 2 * s.numpy(), rtol=1e-3, atol=1e-5)
    assert max(np.abs(s).max() for s in slope) > 1e-3
    for a, b in zip(plain[0]["encoder"], due[0]["encoder"], strict=True):
        np.testing.assert_array_equal(a, b)
    for name in ("encoder", "decoder"):
        for a, b in zip(plain[1][name], due[1][name], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run: (its directory, {step: the networks' weights} from its samples)."""
    trainer = make_trainer()
    run = RunDirectory(tmp_path_factory.mktemp("run"))
    settle(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "JUDGED", 4)
        sampler = trainer.sampler(first_images, run)
    past = {0: weights(trainer)}

    def sample(path):
        past[int(trainer.step)] = weights(trainer)
        # The last graph, the largest, is made of what those of the steps and of the model are.
        tf.config.run_functions_eagerly(trainer.phase == "refinement")
        try:
            return sampler(path)
        finally:
            tf.config.run_functions_eagerly(False)

    schedule = Schedule(log_every=1, save_every=100, sample_every=0)

    def batches(batch_size, first):
        return tf.data.Dataset.from_tensors(IMAGES).repeat()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "SAMPLES", 1)
        assert loop.fit(trainer, room.plan(TINY), batches, run, schedule, sample)
    return run, past


def weights(trainer):
    return {name: network.get_weights() for name, network in trainer.networks.items()}


def test_each_step_trains_its_own_networks_and_learns(trained):
    run, past = trained
    own = {
        "generation": {"encoder", "decoder", "codebook"},
        "guides": {"guides", "tables"},
        "gradients": {"gradients"},
        "refinement": {"completer"},
    }
    loss = {"generation": "bits", "guides": "cross_entropy", "gradients": "gradient",
            "refinement": "bits"}  # fmt: skip
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    states = list(past.values())
    for phase, before, after in zip(own, states[:-1], states[1:], strict=True):
        changed = {
            name
            for name in before
            if any((a != b).any() for a, b in zip(before[name], after[name], strict=True))
        }
        assert changed == own[phase]
        values = [line[loss[phase]] for line in lines if line["segment"] == phase]
        assert len(values) == STEPS and np.mean(values[-2:]) < np.mean(values[:2]), phase
    told = ("validation_bits", "validation_cross_entropy", "psnr_gradient", "psnr_both")
    assert all(name in lines[(n + 1) * STEPS - 1] for n, name in enumerate(told))
    assert lines[STEPS - 1]["codes"] >= 1 and lines[STEPS - 1]["perplexity"] >= 1
    assert [path.name.split("_")[1] for path in sorted(run.samples.iterdir())] == [
        f"{phase}.png" for phase in own
    ]


@pytest.mark.parametrize("phase", ["generation", "guides", "gradients", "refinement"])
def test_a_step_goes_on_from_a_checkpoint_to_the_bit(phase, tmp_path):
    """Networks, codes, optimizers and random numbers: another process, with other weights."""
    whole, other = make_trainer(phase), make_trainer(phase, number=1)
    data = [tf.constant(np.roll(IMAGES, n, 1)[:, :16, :16]) for n in range(2)]
    whole.train_step(data[0])
    checkpoint = tf.train.Checkpoint(step=whole.step, **whole.checkpointed())
    path = checkpoint.save(str(tmp_path / "ckpt"))
    whole.train_step(data[1])
    restored = tf.train.Checkpoint(step=other.step, **other.checkpointed()).restore(path)
    restored.assert_consumed()
    begin(other, phase)
    other.train_step(data[1])
    for one, two in zip(weights(whole).values(), weights(other).values(), strict=True):
        for a, b in zip(one, two, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A SavedModel of ``shared_trainer``."""
    path = tmp_path_factory.mktemp("model") / "saved"
    module, described = exported()
    export.save(module, path, {"method": "cnnlg", **described})
    return path


@functools.cache
def exported():
    """The module of ``shared_trainer`` that is saved, and what is told of it."""
    restored = driver.Restored(None, TINY, shared_trainer().networks, "")
    return room.exported(restored, Completing(), tf.float32, False)


loaded = functools.cache(lambda path: tf.saved_model.load(str(path)))


def call(saved, name, **inputs):
    signature = loaded(saved).signatures[name]
    return signature(**{key: tf.constant(x) for key, x in inputs.items()})["completed"].numpy()


def test_no_hidden_pixel_enters_and_known_ones_stay(saved):
    images, holes = scene(2, 50, 70)
    seeds = np.array([3, 11, 3], np.int32)
    truth = None
    for hidden in (images, np.float32(np.nan), np.float32(7.0)):
        given = np.where(holes == 1, hidden, images)
        found = call(saved, "complete", images=given, masks=holes)
        drawn = call(saved, "complete_samples", images=given, masks=holes, seeds=seeds)
        truth = truth or (found, drawn)
        np.testing.assert_array_equal(found, truth[0])
        np.testing.assert_array_equal(drawn, truth[1])
    assert drawn.shape == (2, 3, 50, 70, 3) and np.isfinite(drawn).all()
    missing = np.broadcast_to(holes == 1, images.shape)
    for completed in (found, *drawn.swapaxes(0, 1)):
        np.testing.assert_array_equal(completed[~missing], images[~missing])
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 2])
    assert np.abs(drawn[:, 0] - drawn[:, 1]).max() > 1e-3


def test_a_session_as_a_server_has_it_finds_all_variables(saved):
    images, holes = scene(1, SIDE, SIDE)
    expected = call(saved, "complete", images=images, masks=holes)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        model = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(saved))
        signature = model.signature_def["complete"]
        fed = {signature.inputs["images"].name: images, signature.inputs["masks"].name: holes}
        found = session.run(signature.outputs["completed"].name, fed)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_alone_and_in_a_batch_eager_compiled_and_exported_are_the_same(saved):
    images, holes = scene(3, SIDE, SIDE)
    holes[1] = 0  # nothing missing
    holes[2, :12, :12] = 1
    module, _ = exported()
    eager = module.complete(tf.constant(images), tf.constant(holes)).numpy()
    eager = np.where(holes == 1, eager, images)
    np.testing.assert_array_equal(eager[1], images[1])
    together = call(saved, "complete", images=images, masks=holes)
    np.testing.assert_allclose(together, eager, atol=2e-5)
    parts = shared_trainer().parts  # the crops, here the pictures themselves, are not for XLA
    compiled = tf.function(
        lambda images, holes: prediction.complete(parts, images, holes, *GUIDANCE["both"]),
        jit_compile=True,
        autograph=False,
    )
    found = compiled(tf.constant(images), tf.constant(holes)).numpy()
    np.testing.assert_allclose(found, eager, atol=2e-5)
    for n in (0, 2):
        part = slice(n, n + 1)
        alone = call(saved, "complete", images=images[part], masks=holes[part])
        np.testing.assert_allclose(alone[0], together[n], atol=2e-5)


def test_everything_missing_is_completed_by_the_decoder():
    """What a served graph refuses, its module does not."""
    images, holes = np.zeros((1, 40, SIDE, 3), np.float32), np.ones((1, 40, SIDE, 1), np.float32)
    module, _ = exported()
    found = module.complete(tf.constant(images), tf.constant(holes)).numpy()
    assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1


def test_smoothness_and_detail_can_be_set_and_do_what_they_say(saved):
    images, holes = scene(2, SIDE, SIDE)
    model = loaded(saved)
    results = {}
    for name, (smoothness, detail) in GUIDANCE.items():
        model.smoothness.assign(smoothness)
        model.detail.assign(detail)
        results[name] = call(saved, "complete", images=images, masks=holes)
    model.smoothness.assign(Completing().smoothness)
    model.detail.assign(Completing().detail)
    default = call(saved, "complete", images=images, masks=holes)
    np.testing.assert_array_equal(default, results["both"])
    assert len({x.tobytes() for x in results.values()}) == 4
    # Without gradients and without the decoder it is the membrane: harmonic inside.
    smooth = results["neither"][0, 10:14, 14:26]
    around = sum(results["neither"][0, 10 + y : 14 + y, 14 + x : 26 + x]
                 for y, x in ((0, 1), (0, -1), (1, 0), (-1, 0)))  # fmt: skip
    np.testing.assert_allclose(smooth, around / 4, atol=1e-4)


def test_a_comparison_sets_what_stands_behind_a_model(saved):
    images, holes = scene(2, SIDE, SIDE)
    plain = sources.open_method("m", str(saved))
    other = sources.open_method("m", f"{saved}?smoothness=1000&detail=0")
    assert plain.settings["model"] == other.settings["model"] and plain.settings != other.settings
    smooth = other.load()(images, holes)
    assert np.abs(call(saved, "complete", images=images, masks=holes) - smooth).max() > 1e-3
    with pytest.raises(InputError, match="'smoothness=much' is not of the form NAME=NUMBER"):
        sources.open_method("m", f"{saved}?smoothness=much")


def test_the_command_writes_the_expected_completion_and_samples(saved, tmp_path):
    image = np.random.default_rng(2).random((60, 90, 3), np.float32)
    write_image(tmp_path / "a.png", image)
    write_image(tmp_path / "small.png", image[:20])
    arguments = (f"--model={saved}", "--input=*.png", "--mask_kind=center", "--hole_size=20")
    result = commands.run("wgan_inpaint.complete", *arguments, "--samples=3", cwd=tmp_path)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "small.png" in result.stderr and "a.png:" not in result.stderr
    names = {path.name for path in (tmp_path / "completed").iterdir()}
    assert names == {"a.png", "a_sample1.png", "a_sample2.png", "a_sample3.png", "a_samples.png"}
    first = read_image(tmp_path / "completed" / "a.png")
    np.testing.assert_array_equal(first, read_image(tmp_path / "completed" / "a_sample1.png"))
    result = commands.run(
        "wgan_inpaint.complete", *arguments, "--smoothness=1000", "--detail=0",
        "--output=smooth", cwd=tmp_path,
    )  # fmt: skip
    assert (read_image(tmp_path / "smooth" / "a.png") != first).any()
    for words, message in (
        (("--smoothness=-1",), "--smoothness"),
        (("--samples=0",), "--samples=0"),
        (("--iterations=3",), "--iterations: a flag of --method=latent_search"),
    ):
        result = commands.run("wgan_inpaint.complete", *arguments, *words, cwd=tmp_path)
        assert result.returncode == 1 and message in result.stderr
        assert "Traceback" not in result.stderr


def test_a_model_that_has_nothing_to_set_is_refused(tmp_path):
    module = tf.Module()
    module.complete = lambda images, holes: images
    export.save(module, tmp_path / "model", {"method": "cnnlg", "image_size": 32})
    with pytest.raises(InputError, match="no smoothness that can be set"):
        completion.completer(Completing(), Samples(), tmp_path / "model", Options())


def test_a_run_with_another_codebook_is_refused(tmp_path):
    run, trainer = RunDirectory(tmp_path), shared_trainer()
    checkpoint = tf.train.Checkpoint(step=trainer.step, **trainer.checkpointed())
    tf.train.CheckpointManager(checkpoint, str(run.checkpoints), max_to_keep=1).save(1)
    settle(run, codes=12)
    with pytest.raises(InputError, match="no checkpoint of cnnlg that fits"):
        driver.restore(METHODS["cnnlg"], run)
    run.flags.unlink()
    settle(run)
    assert driver.restore(METHODS["cnnlg"], run).settings == TINY


def settle(run, **options):
    """Writes the flags of a run of ``TINY``."""
    own = {**dataclasses.asdict(TINY), "method": "cnnlg", **options}
    own["mask_kind"] = ",".join(own["mask_kind"])
    run.settle_flags("".join(f"--{name}={value}\n" for name, value in own.items()))
