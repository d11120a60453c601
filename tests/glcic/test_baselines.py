"""Context encoder and autoencoder: the paper's networks, one geometry, one step, one export."""

import functools
import json
import random
import shutil

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from common.completion import models, windows
from common.errors import InputError
from common.pictures import cropping
from common.pictures.images import read_image
from common.serving import export
from common.training import driver, losses
from common.training.runs import RunDirectory
from glcic import METHODS, baselines
from glcic.geometry import Geometry, geometry
from tests import commands, weightless

WIDTH = 1 / 32
RATE = 0.1
IMAGES = tf.constant(np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3)).astype(np.uint8))
CENTRE = np.zeros((1, 128, 128, 1), np.float32)
CENTRE[:, 32:96, 32:96] = 1
FAIR, AUTHORS, PAPER = (Geometry(*g) for g in ((64, 4), (56, 4), (64, 7)))


def make_network(geometry, lively=False):
    random.seed(1)
    network = baselines.completion_network(geometry, WIDTH)
    generator = np.random.default_rng(0)
    for layer in network.layers if lively else ():
        if layer.name.endswith("_norm"):
            shape = layer.gamma.shape
            gamma, variance = generator.uniform(0.5, 1.5, (2, *shape))
            layer.set_weights([gamma, *generator.normal(0, 0.1, (2, *shape)), variance])
        elif hasattr(layer, "kernel"):  # so large that the output depends on the input
            inputs = np.prod(layer.kernel.shape[:-1]) if "de" not in layer.name else 32
            layer.kernel.assign(layer.kernel / baselines.STDDEV * np.sqrt(2 / inputs))
    return network


def make_trainer(method="context_encoder", weights=None, geometry=FAIR):
    """A trainer with plain gradient descent, the same weights every time."""
    network = make_network(geometry)
    networks = {"completion": network}
    if method == "context_encoder":
        networks["discriminator"] = baselines.discriminator(WIDTH)
    optimizers = {name: keras.optimizers.SGD(RATE) for name in networks}
    return baselines.BaselineTrainer(networks, optimizers, geometry, weights or baselines.Weights())


def trained_of(trainer, name):
    return trained(trainer.networks[name])


def predict(network, images, holes=CENTRE, **options):
    holes = np.broadcast_to(holes, (*images.shape[:3], 1))
    inputs = {"images": tf.cast(images, tf.float32), "masks": tf.constant(holes)}
    return network(inputs, **options)


def trained(network):
    return [v.numpy() for v in network.trainable_variables]


def same(before, after):
    return [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """From a geometry to (Keras network, folded network, folder of the exported model)."""

    @functools.cache
    def export_once(geometry):
        network = make_network(geometry, lively=True)
        folded = baselines.FoldedBaseline(network, geometry)
        path = tmp_path_factory.mktemp("baseline") / "model"
        settings = {"method": "context_encoder", "image_size": 128, "hole_size": geometry.hole}
        export.save(folded, path, settings)
        return network, folded, path

    return export_once


@pytest.fixture(scope="module")
def folded(exported):
    return exported(FAIR)[1]


@pytest.fixture(scope="module")
def loaded(exported):
    """From a geometry to a ``windows.Completer`` of the exported model in float32."""

    @functools.cache
    def load_once(geometry):
        return windows.Completer(models.load_model(exported(geometry)[2], "float32"))

    return load_once


@pytest.fixture(scope="module")
def completer(loaded):
    return loaded(FAIR)


def shapes(network):
    """{layer: kernel shape} of the layers with a kernel, in order."""
    return {x.name: tuple(x.kernel.shape) for x in network.layers if hasattr(x, "kernel")}


def test_the_layers_are_the_papers_to_the_last_parameter():
    with weightless.shapes_only():
        network, judge = baselines.completion_network(AUTHORS), baselines.discriminator()
        wider = baselines.completion_network(FAIR)
        assert shapes(network) == {
            "conv1": (4, 4, 3, 64),
            "conv2": (4, 4, 64, 64),
            "conv3": (4, 4, 64, 128),
            "conv4": (4, 4, 128, 256),
            "conv5": (4, 4, 256, 512),
            "bottleneck": (4 * 4 * 512, 4000),
            "deconv1": (4000, 4 * 4 * 512),
            "deconv2": (4, 4, 256, 512),
            "deconv3": (4, 4, 128, 256),
            "deconv4": (4, 4, 64, 128),
            "deconv5": (4, 4, 3, 64),
        }
    encoder = 16 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 4000)
    decoder = 16 * (4000 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 3)
    norms = 64 + 128 + 256 + 512 + 4000 + 512 + 256 + 128 + 64
    assert network.count_params() == encoder + decoder + 4 * norms == 71_136_384
    content = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert judge.count_params() == content + 4 * (128 + 256 + 512) == 2_767_360
    assert wider.count_params() - network.count_params() == 9 * 4000 * 512


def test_slopes_initial_weights_and_the_holes_colour_are_the_authors():
    """As their train.lua has them."""
    random.seed(1)
    network, judge = baselines.completion_network(AUTHORS, WIDTH), baselines.discriminator(WIDTH)
    slopes = [
        [layer.negative_slope for layer in x.layers if isinstance(layer, keras.layers.LeakyReLU)]
        for x in (network, judge)
    ]
    assert slopes == [[pytest.approx(0.2)] * 6, [pytest.approx(0.2)] * 4]
    kernels, scales = (
        np.concatenate([v.numpy().ravel() for v in weights])
        for weights in (
            [x.kernel for x in network.layers + judge.layers if hasattr(x, "kernel")],
            [x.gamma for x in network.layers + judge.layers if hasattr(x, "gamma")],
        )
    )
    for values, mean in ((kernels, 0), (scales, 1)):
        assert values.mean() == pytest.approx(mean, abs=5 * 0.02 / np.sqrt(values.size))
        assert values.std() == pytest.approx(0.02, rel=5 / np.sqrt(values.size))
    image = {"images": tf.zeros([1, 1, 2, 3]), "masks": tf.constant([[[[1.0], [0.0]]]])}
    hidden, black = baselines.FilledImage()(image).numpy()[0, 0]
    np.testing.assert_allclose(hidden, np.array([117, 104, 123]) / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(black, -1)


@pytest.mark.parametrize(
    ("geometry", "window", "start"), [(AUTHORS, 64, 4), (FAIR, 72, 5), (PAPER, 78, 5)]
)
def test_the_prediction_covers_the_hole_and_the_band(geometry, window, start):
    assert (geometry.window, geometry.start) == (window, start)
    predicted = predict(make_network(geometry, lively=True), IMAGES[:1] / 255)
    assert predicted.shape == (1, window, window, 3)
    assert 0 <= predicted.numpy().min() < predicted.numpy().max() <= 1


@pytest.mark.parametrize("hole, overlap", [(63, 4), (32, 4), (128, 4), (0, 32)])
def test_impossible_geometries_are_refused(hole, overlap):
    with pytest.raises(InputError, match="hole_size"):
        Geometry(hole, overlap)


def test_dense_layers_are_the_papers_4x4_convolutions():
    network = make_network(AUTHORS)
    layer = network.get_layer("bottleneck")
    x = np.random.default_rng(0).normal(size=(2, 4, 4, layer.kernel.shape[0] // 16))
    x = x.astype(np.float32)
    kernel = tf.reshape(layer.kernel, (4, 4, x.shape[-1], -1))
    convolved = tf.nn.conv2d(x, kernel, 1, "VALID")[:, 0, 0]
    np.testing.assert_allclose(layer(x.reshape(2, -1)), convolved, atol=1e-5)
    layer = network.get_layer("deconv1")
    units, channels = layer.kernel.shape[0], layer.kernel.shape[1] // 16
    z = np.random.default_rng(1).normal(size=(2, units)).astype(np.float32)
    kernel = tf.transpose(tf.reshape(layer.kernel, (units, 4, 4, channels)), (1, 2, 3, 0))
    shape = [2, 4, 4, channels]
    convolved = tf.nn.conv2d_transpose(z[:, None, None], kernel, shape, 1, "VALID")
    np.testing.assert_allclose(tf.reshape(layer(z), shape), convolved, atol=1e-5)


def test_overlap_mse_weighs_the_border_band():
    predicted = tf.constant([[[0.0] * 3, [0.1] * 3, [0.0] * 3]] * 3)[None]  # middle column
    truth = tf.zeros([1, 3, 3, 3])
    # Of nine pixels three are off by 0.1: two in the band, one inside.
    expected = (10 + 10 + 1) * 0.01 / 9
    assert float(losses.overlap_mse(predicted, truth, 1, 10.0)) == pytest.approx(expected)
    assert float(losses.overlap_mse(predicted, truth, 0, 10.0)) == pytest.approx(3 * 0.01 / 9)
    assert float(losses.overlap_mse(predicted, truth, 1, 1.0)) == pytest.approx(3 * 0.01 / 9)


@pytest.mark.parametrize("method", ["context_encoder", "autoencoder"])
def test_one_step_changes_what_it_should_by_the_papers_gradient(method):
    weights = baselines.Weights(rec=0.9, adv=0.3)
    trainer, other = make_trainer(method, weights), make_trainer(method, weights)
    before = trained_of(other, "completion")
    values = {name: float(value) for name, value in trainer.train_step(IMAGES).items()}
    images = tf.cast(IMAGES, tf.float32) / 255
    with tf.GradientTape() as tape:
        predicted = predict(other.networks["completion"], images, training=True)
        truth = images[:, 28:100, 28:100]
        reconstruction = losses.overlap_mse(2 * predicted - 1, 2 * truth - 1, 4, 10.0)
        loss = 0.9 * reconstruction
        if method == "context_encoder":
            # The generator is judged by the discriminator that has just learned.
            judge = trainer.networks["discriminator"]
            loss += 0.3 * losses.generator_gan(judge(predicted[:, 4:-4, 4:-4], training=True))
    gradients = tape.gradient(loss, other.networks["completion"].trainable_variables)
    for old, gradient, new in zip(
        before, gradients, trained_of(trainer, "completion"), strict=True
    ):
        np.testing.assert_allclose(new, old - RATE * gradient, rtol=1e-3, atol=2e-6)
    assert values["reconstruction"] == pytest.approx(float(reconstruction), rel=1e-4)
    assert values["loss"] == pytest.approx(float(loss), rel=1e-4)
    if method == "context_encoder":
        assert set(values) == {"loss", "reconstruction", "gan", "discriminator"}
        assert not any(
            same(trained_of(other, "discriminator"), trained_of(trainer, "discriminator"))
        )
    else:
        assert set(values) == {"loss", "reconstruction"}
        assert set(trainer.checkpointed()) == {"completion", "completion_optimizer"}


def test_the_discriminator_learns_from_the_middle_64_pixels():
    trainer, other = make_trainer(), make_trainer()
    trainer.train_step(IMAGES)
    real = tf.cast(IMAGES, tf.float32)[:, 32:96, 32:96] / 255
    fake = predict(other.networks["completion"], IMAGES / 255, training=True)[:, 4:-4, 4:-4]
    with tf.GradientTape() as tape:
        judged = [other.networks["discriminator"](x, training=True) for x in (real, fake)]
        loss = losses.discriminator_gan(*judged)
    variables = other.networks["discriminator"].trainable_variables
    for variable, gradient, new in zip(
        variables, tape.gradient(loss, variables), trained_of(trainer, "discriminator"), strict=True
    ):
        expected = variable.numpy() - RATE * gradient
        np.testing.assert_allclose(new, expected, rtol=1e-3, atol=2e-6)


def test_the_hidden_middle_does_not_reach_the_network():
    network, other = make_network(FAIR, lively=True), np.array(IMAGES[:1] / 255)
    first = predict(network, other).numpy()
    other[:, 32:96, 32:96] = np.nan
    np.testing.assert_array_equal(predict(network, other), first)
    other[:, 30] = 0
    assert (predict(network, other).numpy() != first).any()


@pytest.mark.parametrize("method", ["context_encoder", "autoencoder"])
def test_a_step_compiled_by_xla_equals_eager(method):
    eager, compiled = make_trainer(method), make_trainer(method)
    before = trained_of(eager, "completion")
    expected = eager.train_step(IMAGES)
    values = tf.function(compiled.train_step, jit_compile=True, autograph=False)(IMAGES)
    for name, value in expected.items():
        assert float(values[name]) == pytest.approx(float(value), rel=1e-3)
    new = trained_of(compiled, "completion"), trained_of(eager, "completion")
    for old, a, b in zip(before, *new, strict=True):
        # Up to a hundredth of the step: rounding may turn the sign of what a ReLU sees.
        assert np.linalg.norm(a - b) <= 0.01 * np.linalg.norm(b - old) + 1e-6


@pytest.mark.parametrize("geometry", [FAIR, AUTHORS])
def test_folded_compiled_and_exported_equal_the_keras_network(geometry, exported, loaded):
    network, module, path = exported(geometry)
    images = (IMAGES / 255).numpy().astype(np.float32)
    low = (128 - geometry.hole) // 2
    holes = np.zeros((3, 128, 128, 1), np.float32)
    holes[:, low:-low, low:-low] = 1
    inside = geometry.overlap
    expected = predict(network, images, holes).numpy()
    assert 0.05 < expected.std() < 0.45
    compiled = tf.function(module.predict, jit_compile=True, autograph=False)
    for predicted in (module.predict(images, holes), compiled(images, holes)):
        np.testing.assert_allclose(predicted, expected, atol=1e-4)
    in_bfloat16 = windows.Completer(models.load_model(path, "bfloat16"))
    for model, tolerance in ((loaded(geometry), 1e-4), (in_bfloat16, 0.05)):
        completed = model.batch(images, holes)
        hole = completed[:, low:-low, low:-low]
        np.testing.assert_allclose(
            hole, expected[:, inside:-inside, inside:-inside], atol=tolerance
        )
        np.testing.assert_array_equal(completed[holes[..., 0] == 0], images[holes[..., 0] == 0])
    half = baselines.FoldedBaseline(network, geometry, tf.float16)
    np.testing.assert_allclose(half.predict(images, holes), expected, atol=0.02)


def scene(height, width, top, left, tall, wide, seed=0):
    image = np.random.default_rng(seed).random((1, height, width, 3), np.float32)
    mask = np.zeros((1, height, width, 1), np.float32)
    mask[:, top : top + tall, left : left + wide] = 1
    return image, mask


def test_a_hole_elsewhere_is_completed_in_a_crop_around_it(folded):
    image, mask = scene(200, 240, 50, 101, 64, 64)
    moved = folded.complete(image, mask).numpy()[:, 50:114, 101:165]
    centred = image[:, 18:146, 69:197]
    expected = folded.complete(centred, CENTRE).numpy()[:, 32:96, 32:96]
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_a_smaller_hole_is_part_of_the_whole_middle(folded):
    image, _ = scene(128, 128, 0, 0, 0, 0)
    small = np.zeros_like(CENTRE)
    small[:, 60:68, 60:68] = 1
    whole = folded.complete(image, CENTRE).numpy()[:, 60:68, 60:68]
    part = folded.complete(image, small).numpy()[:, 60:68, 60:68]
    np.testing.assert_allclose(part, whole, atol=1e-5)
    image[:, 40:50, 40:90] = 0  # known, but hidden from the network in training
    again = folded.complete(image, small).numpy()[:, 60:68, 60:68]
    np.testing.assert_array_equal(again, part)


def test_a_larger_hole_is_completed_at_half_the_size(folded):
    image, mask = scene(128, 128, 32, 32, 64, 64)
    large, large_mask = (np.repeat(np.repeat(x, 2, 1), 2, 2) for x in (image, mask))
    expected = tf.image.resize(folded.complete(image, mask), (256, 256), "bicubic")
    result = folded.complete(large, large_mask).numpy()[:, 64:192, 64:192]
    np.testing.assert_allclose(result, np.clip(expected[:, 64:192, 64:192], 0, 1), atol=1e-4)


@pytest.mark.parametrize(
    "layout",
    [
        (40, 33, 10, 5, 10, 20),
        (128, 128, 0, 0, 64, 64),
        (128, 128, 0, 100, 128, 28),
        (300, 90, 20, 20, 200, 9),
        (1, 2, 0, 0, 1, 1),
        (130, 131, 0, 0, 130, 130),
    ],
    ids=["small picture", "corner", "side", "long", "one pixel", "all but a column"],
)
def test_any_hole_is_filled_and_what_it_hides_is_irrelevant(completer, layout):
    image, mask = scene(*layout)
    completed = completer(image[0], mask[0])
    assert np.isfinite(completed).all() and completed.min() >= 0 and completed.max() <= 1
    known = mask[0, ..., 0] == 0
    np.testing.assert_array_equal(completed[known], image[0][known])
    other = np.where(mask[0] == 1, np.float32(np.nan), image[0])
    np.testing.assert_array_equal(completer(other, mask[0]), completed)


def test_centred_squares_put_the_box_into_the_middle():
    _, small = scene(128, 128, 32, 32, 64, 64)
    _, corner = scene(128, 128, 0, 118, 10, 10)
    _, large = scene(128, 128, 0, 28, 100, 20)
    masks = np.concatenate([small, corner, large])
    squares = cropping.centred_squares(masks, 128, 64).numpy().tolist()
    assert squares == [[0, 0, 128], [-59, 59, 128], [-50, -62, 200]]
    ((_, _, side),) = cropping.centred_squares(small, 128, 56).numpy().tolist()
    assert side == 147  # 64 / 147 of 128 px is 55.7


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Smooth random pictures, none constant, none of the training size."""
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for n in range(9):
        noise = generator.integers(0, 256, (6, 7, 3), np.uint8)
        picture = cv2.resize(noise, (150, 140 + n), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{n}.png"), picture)
    return folder


def arguments(method, photos, run, steps):
    return (
        f"--flagfile=flags/papers/wang2020_{method}.flags",
        f"--dataset={photos}",
        f"--run_dir={run}",
        f"--width={1 / 64}",
        f"--baseline_steps={steps}",
        "--batch_size=2",
        "--precision=float32",
        "--deterministic",
        "--log_every=1",
        "--save_every=1",
        "--keep_checkpoints=99",
    )


def checkpoint(run, step):
    reader = tf.train.load_checkpoint(str(run / "checkpoints" / f"ckpt-{step}"))
    names = [n for n in reader.get_variable_to_shape_map() if n.endswith("VARIABLE_VALUE")]
    return {name: reader.get_tensor(name) for name in names if "save_counter" not in name}


def test_a_run_resumes_to_the_same_weights_and_its_model_completes(photos, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = commands.run("glcic.train", *arguments("context_encoder", photos, whole, 2), eager=True)
    assert done.returncode == 0, done.stderr
    shutil.copytree(whole, killed)
    commands.lose_steps(killed, 1)
    told = (*arguments("context_encoder", photos, killed, 2), "--noexport")
    done = commands.run("glcic.train", *told, eager=True)
    assert done.returncode == 0, done.stderr
    assert "going on from step 1" in done.stderr
    first, second = checkpoint(whole, 2), checkpoint(killed, 2)
    assert first.keys() == second.keys() and len(first) > 50
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)

    assert "--method=context_encoder" in (whole / "flags.txt").read_text()
    line = json.loads((whole / "metrics.jsonl").read_text().splitlines()[-1])
    assert line["step"] == 2 and {"reconstruction", "gan", "discriminator"} <= line.keys()
    loss = 0.999 * line["reconstruction"] + 0.001 * line["gan"]
    assert line["loss"] == pytest.approx(loss, rel=1e-5)
    assert (whole / "samples" / "0000002_context_encoder.png").is_file()
    picture, output = photos / "3.png", tmp_path / "completed"
    done = commands.run(
        "glcic.complete", f"--input={picture}", f"--model={whole}", f"--output={output}"
    )
    assert done.returncode == 0, done.stderr
    original, completed = read_image(picture), read_image(output / "3.png")
    changed = (completed != original).any(-1)
    assert 0 < changed.mean() < 0.3 and changed[71, 75]


def test_train_and_export_an_autoencoder(photos, tmp_path):
    run, model = tmp_path / "run", tmp_path / "model"
    done = commands.run("glcic.train", *arguments("autoencoder", photos, run, 1), "--noexport")
    assert done.returncode == 0, done.stderr
    done = commands.run(
        "glcic.export", f"--run_dir={run}", f"--output={model}", "--storage=float16"
    )
    assert done.returncode == 0, done.stderr
    settings = json.loads((model / "assets.extra" / "inpainting.json").read_text())
    assert settings == {
        "method": "autoencoder",
        "image_size": 128,
        "hole_size": 64,
        "overlap": 4,
    }
    image, mask = scene(150, 140, 30, 40, 50, 60)
    half = windows.Completer(models.load_model(model, "float32"))(image[0], mask[0])
    restored = driver.restore(METHODS["autoencoder"], RunDirectory(run))
    whole = baselines.FoldedBaseline(restored.networks["completion"], FAIR).complete(image, mask)
    np.testing.assert_allclose(half, np.where(mask == 1, whole, image)[0], atol=2e-3)
    assert (half != image[0]).any()


def test_other_holes_than_the_centre_are_refused_in_training():
    with pytest.raises(InputError, match="--mask_kind=rectangle: the baselines"):
        geometry(["rectangle"], 0, 4)
    assert geometry(["center"], 0, 4) == FAIR
