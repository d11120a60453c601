"""The exported search: the contract of every SavedModel, for pictures of any size."""

import dataclasses
import functools
import json
import shutil

import cv2
import numpy as np
import pytest
import tensorflow as tf

from common.completion import windows
from common.completion.models import load_model
from common.errors import InputError
from common.evaluation import comparison
from common.pictures import cropping
from common.training import folding
from common.training import loop as training
from tests.wgan_inpaint import models
from wgan_inpaint import inference, loading, networks
from wgan_inpaint.search import latent_search
from wgan_inpaint.search.settings import Settings

SIDE = 16  # of the crops: two layers of each kind
SETTINGS = Settings(iterations=4, init="encoder", restarts=2, candidates=16)


def tiny_networks(encoder=True):
    """Networks whose BatchNorm statistics are not those of fresh ones."""
    architecture = networks.Architecture(size=SIDE, width=4, latent=10)
    generator = np.random.default_rng(0)

    def folded(network):
        for variable in network.weights:
            scale = 0.5 if "variance" in variable.path else 0.1
            noise = np.abs(generator.normal(0, scale, variable.shape))
            variable.assign(
                variable.numpy() + noise * (1 if scale == 0.5 else np.sign(noise - 0.07))
            )
        return folding.FoldedNetwork(network)

    return latent_search.Networks(
        folded(networks.generator(architecture)),
        folded(networks.critic(architecture)),
        folded(networks.encoder(architecture)) if encoder else None,
        "wgan_gp",
        architecture,
    )


def scene(batch, height, width):
    generator = np.random.default_rng(1)
    images = generator.integers(0, 256, (batch, height, width, 3), np.uint8)
    holes = np.zeros((batch, height, width, 1), np.float32)
    holes[:, height // 4 : height // 2, width // 3 : -2] = 1
    return images.astype(np.float32) / 255, holes


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "model"
    models.save(latent_search.measure(tiny_networks()), SETTINGS, path)
    return path


model_of = functools.cache(lambda path: load_model(str(path), "float32"))


def loaded(path):
    """The SavedModel itself, which is read once."""
    return model_of(path).loaded


@pytest.mark.usefixtures("eagerly")
def test_exported_is_the_search_on_the_crop(saved):
    """complete() = put_back(search(cut(...))) in the hole, and the image itself elsewhere."""
    images, holes = scene(2, 50, 70)
    call = loaded(saved).signatures["complete"]
    completed = call(images=images, masks=holes)["completed"].numpy()
    search = latent_search.LatentSearch(loading.load_networks(saved), SETTINGS)
    squares = cropping.squares(tf.constant(holes), SIDE)
    crops = cropping.cut(
        tf.constant(np.where(holes > 0, 0, images)), tf.constant(holes), squares, SIDE
    )
    state, _ = search.advance(*crops, search.start(*crops), SETTINGS.iterations)
    pictures = search.finish(*crops, state).pictures
    expected = cropping.put_back(pictures, squares, 50, 70).numpy()
    known = np.broadcast_to(holes == 0, images.shape)
    assert (completed[known] == images[known]).all()
    np.testing.assert_allclose(completed[~known], expected[~known], atol=1e-4)


def test_hidden_pixels_do_not_matter(saved):
    images, holes = scene(1, 40, 40)
    call = loaded(saved).signatures["complete"]
    first = call(images=images, masks=holes)["completed"].numpy()
    for hidden in (1.0, np.nan):
        other = np.where(holes > 0, np.float32(hidden), images)
        assert (call(images=other, masks=holes)["completed"].numpy() == first).all()


def test_encoded_files_in_and_out(saved):
    images, holes = scene(2, 40, 36)
    files = [cv2.imencode(".png", (x[..., ::-1] * 255).round())[1].tobytes() for x in images]
    masks = [cv2.imencode(".png", hole * 255)[1].tobytes() for hole in holes]
    model = loaded(saved).signatures
    encoded = model["complete_encoded"](images=files, masks=masks)["completed_bytes"].numpy()
    expected = model["complete"](images=images, masks=holes)["completed"].numpy()
    for data, picture in zip(encoded, expected, strict=True):
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1] / 255
        assert np.abs(decoded - picture).max() < 0.51 / 255 + 1e-3


def test_bfloat16_is_close(saved):
    images, holes = scene(2, SIDE, SIDE)
    model = loaded(saved).signatures
    wide, narrow = (
        model[name](images=images, masks=holes)["completed"].numpy()
        for name in ("complete", "complete_bfloat16")
    )
    assert 0 < np.abs(wide - narrow).max() < 0.05


def test_the_search_compiles_with_xla_inside_the_export(eagerly):
    images, holes = scene(2, SIDE, SIDE)
    # A smooth loss and optimizer: Adam turns the sign of a rounding error into a whole step.
    # Ranked, as with seeds, it is one search and compiled once.
    smooth = dataclasses.replace(
        SETTINGS, init="ranked", optimizer="momentum", context="l2", learning_rate=4e-3
    )
    nets = tiny_networks()
    plain, seeds = inference.Completion(nets, smooth), tf.constant([5])
    expected = plain.complete(images, holes), plain.complete_samples(images, holes, seeds)
    tf.config.run_functions_eagerly(False)
    compiled = inference.Completion(nets, smooth, jit_compile=True)
    np.testing.assert_allclose(compiled.complete(images, holes), expected[0], atol=1e-3)
    drawn = tf.function(compiled.complete_samples, autograph=False)(images, holes, seeds)
    np.testing.assert_allclose(drawn, expected[1], atol=1e-3)


def test_compare_runs_it_like_any_other_model(saved):
    images, holes = scene(3, 40, 40)
    method = comparison.open_method("search", str(saved)).load()
    model = model_of(saved)
    assert model.settings["method"] == "latent_search" and model.settings["whole"]
    completed = method(images, holes)
    expected = model.complete(images, holes)
    np.testing.assert_array_equal(completed, expected)


@pytest.mark.usefixtures("eagerly")
def test_a_seed_is_a_search_of_its_own(saved):
    images, holes = scene(2, 40, 48)
    call = loaded(saved).signatures["complete_samples"]
    seeds = np.array([0, 5, 0], np.int32)
    hidden = np.where(holes == 1, np.float32(np.nan), images)
    found = call(images=tf.constant(hidden), masks=tf.constant(holes), seeds=tf.constant(seeds))
    found = found["completed"].numpy()
    assert found.shape == (2, 3, 40, 48, 3)
    np.testing.assert_array_equal(found[:, 0], found[:, 2])
    missing = np.broadcast_to(holes == 1, images.shape)
    np.testing.assert_array_equal(found[:, 1][~missing], images[~missing])
    assert np.abs(found[:, 0] - found[:, 1])[missing].mean() > 1e-3
    # Seed 5 is what a ranked search with that seed finds: the model's begins with the encoder.
    ranked = dataclasses.replace(SETTINGS, init="ranked", seed=5)
    plain = inference.Completion(loading.load_networks(saved), ranked).complete(
        tf.where(holes == 1, 0.0, images), tf.constant(holes)
    )
    np.testing.assert_allclose(found[:, 1][missing], plain.numpy()[missing], atol=1e-5)


def test_a_large_picture_is_given_whole(saved):
    """No window of the Completer cuts what the model itself is to crop."""
    images, holes = scene(1, 600, 700)
    completer = windows.Completer(model_of(saved))
    completed = completer(images[0], holes[0])
    expected = completer.model.complete(images, holes)[0]
    np.testing.assert_array_equal(completed, expected)


def test_networks_survive_the_export(saved):
    again = loading.load_networks(saved)
    stored = loaded(saved)
    assert again.architecture == networks.Architecture(size=SIDE, width=4, latent=10)
    assert again.objective == "wgan_gp"
    for name in ("generator", "critic", "encoder"):
        pairs = zip(getattr(again, name).arrays, getattr(stored, name).arrays, strict=True)
        assert all((a.numpy() == b.numpy()).all() for a, b in pairs)
    settings = json.loads((saved / "assets.extra" / "inpainting.json").read_text())
    assert settings["completing"] == dataclasses.asdict(SETTINGS)
    assert (again.score_mean, again.score_std) == (settings["score_mean"], settings["score_std"])
    assert again.score_std not in (0, 1)


def test_a_model_that_does_not_know_its_critics_scale_is_measured(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "model")
    path = tmp_path / "model" / "assets.extra" / "inpainting.json"
    settings = json.loads(path.read_text())
    stored = [settings.pop(name) for name in ("score_mean", "score_std")]
    path.write_text(json.dumps(settings))
    again = loading.load_networks(tmp_path / "model")
    np.testing.assert_allclose([again.score_mean, again.score_std], stored, rtol=1e-4)


def test_the_averaged_generator_gets_the_statistics_of_its_pictures():
    """Moving statistics of ``calibrate`` are those of a large batch, whatever they were before."""
    generator = networks.generator(networks.Architecture(size=SIDE, width=4, latent=10))
    norm = generator.get_layer("norm1")
    found = []
    for wrong in (7.0, -3.0):
        norm.moving_mean.assign(wrong * tf.ones_like(norm.moving_mean))
        networks.calibrate(generator)
        found.append([w.copy() for w in generator.get_weights()])
    for first, second in zip(*found, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)
    z = networks.random_latents(2048, 10, [3, 3])
    batch = generator(z, training=True).numpy()
    np.testing.assert_allclose(
        networks_output(generator, found[1], z).mean((0, 1, 2)), batch.mean((0, 1, 2)), atol=0.01
    )


def networks_output(generator, weights, z):
    generator.set_weights(weights)
    return generator(z, training=False).numpy()


def test_the_models_of_other_methods_and_no_models_are_refused(tmp_path):
    with pytest.raises(InputError, match="glcic"):
        loading.load_networks("shipped:glcic")
    with pytest.raises(InputError, match="neither"):
        loading.load_networks(tmp_path)
    (tmp_path / "flags.txt").write_text("--architecture=dcgan\n")
    with pytest.raises(InputError, match="checkpoint"):
        loading.load_networks(tmp_path)
    assert training.RunDirectory(tmp_path).read_flags() == {"architecture": "dcgan"}


def test_no_encoder_no_encoder_start():
    with pytest.raises(InputError, match="--init=encoder"):
        latent_search.LatentSearch(tiny_networks(encoder=False), SETTINGS)
