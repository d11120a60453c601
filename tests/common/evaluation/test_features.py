"""The Fréchet distance against closed forms, LPIPS by hand, and every source of features."""

import itertools
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import logging

from common.errors import InputError
from common.evaluation import features
from common.evaluation.features import (
    FrechetStatistics,
    frechet_distance,
    load_extractor,
    lpips,
    lpips_apart,
    map_distance,
)
from common.pictures.images import read_image


def statistics(*batches):
    result = FrechetStatistics()
    for batch in batches:
        result.update(batch)
    return result


def gaussian(mean, covariance, seed, count=500):
    """Statistics of vectors whose sample mean and covariance are exactly those asked for."""
    mean = np.asarray(mean, np.float64)
    x = np.random.default_rng(seed).normal(size=(count, mean.size))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T
    return statistics(mean + x @ np.linalg.cholesky(covariance).T)


def random_covariance(dimensions, seed):
    x = np.random.default_rng(seed).normal(size=(dimensions, dimensions))
    return x @ x.T / dimensions + 0.1 * np.eye(dimensions)


def rotation(dimensions, seed):
    x = np.random.default_rng(seed).normal(size=(dimensions, dimensions))
    return np.linalg.qr(x)[0]


def vectors(seed, shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_equal_sets_are_at_distance_zero():
    a = gaussian(np.arange(6), random_covariance(6, 0), 1)
    b = gaussian(np.arange(6), random_covariance(6, 0), 2)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)
    assert frechet_distance(a, b) == pytest.approx(0, abs=1e-12)


def test_a_shift_costs_its_squared_length():
    covariance = random_covariance(3, 0)
    a, b = gaussian([0, 0, 0], covariance, 1), gaussian([1, -2, 2], covariance, 2)
    assert frechet_distance(a, b) == pytest.approx(9)


def test_a_scale_costs_the_squared_difference_of_the_deviations():
    covariance = random_covariance(4, 0)
    a, b = gaussian(np.zeros(4), covariance, 1), gaussian(np.zeros(4), 9 * covariance, 2)
    assert frechet_distance(a, b) == pytest.approx((3 - 1) ** 2 * np.trace(covariance))


def test_commuting_covariances_differ_by_their_square_roots():
    deviations_a, deviations_b = np.array([1, 2, 0.5, 3]), np.array([2, 2, 1.5, 0.1])
    axes = rotation(4, 0)
    a = gaussian([1, 0, 0, 0], axes * deviations_a**2 @ axes.T, 1)
    b = gaussian([0, 1, 0, 0], axes * deviations_b**2 @ axes.T, 2)
    expected = 2 + np.square(deviations_a - deviations_b).sum()
    assert frechet_distance(a, b) == pytest.approx(expected)
    assert frechet_distance(b, a) == pytest.approx(expected)


def distance_in_the_plane(mean_a, covariance_a, mean_b, covariance_b):
    """For 2 x 2 matrices, tr(M^(1/2))^2 = tr(M) + 2 det(M)^(1/2)."""
    product = covariance_a @ covariance_b
    root = np.sqrt(np.trace(product) + 2 * np.sqrt(np.linalg.det(product)))
    shift = np.subtract(mean_a, mean_b)
    return shift @ shift + np.trace(covariance_a) + np.trace(covariance_b) - 2 * root


def test_covariances_that_do_not_commute_in_the_plane():
    a, b = np.array([[2, 0.9], [0.9, 0.5]]), np.array([[1, -0.4], [-0.4, 3]])
    assert not np.allclose(a @ b, b @ a)
    expected = distance_in_the_plane([0, 1], a, [2, 1], b)
    ours = frechet_distance(gaussian([0, 1], a, 1), gaussian([2, 1], b, 2))
    assert ours == pytest.approx(expected)


def test_large_samples_approach_the_closed_form():
    rng = np.random.default_rng(0)
    a, b = np.array([[2, 0.9], [0.9, 0.5]]), np.array([[1, -0.4], [-0.4, 3]])
    sets = [FrechetStatistics(), FrechetStatistics()]
    for _ in range(20):
        for of, mean, covariance in zip(sets, ([0, 1], [2, 1]), (a, b), strict=True):
            of.update(rng.multivariate_normal(mean, covariance, 10_000).astype(np.float32))
    expected = distance_in_the_plane([0, 1], a, [2, 1], b)
    assert frechet_distance(*sets) == pytest.approx(expected, rel=0.01)


def test_the_square_root_of_the_product_gives_the_same():
    linalg = pytest.importorskip("scipy.linalg")
    a, b = random_covariance(20, 1), random_covariance(20, 2)
    expected = np.trace(a + b - 2 * linalg.sqrtm(a @ b).real)
    ours = frechet_distance(gaussian(np.zeros(20), a, 3), gaussian(np.zeros(20), b, 4))
    assert ours == pytest.approx(expected)


def test_a_rotation_of_all_features_changes_nothing():
    a, b, turn = vectors(1, (50, 8)), 2 * vectors(2, (60, 8)) + 1, rotation(8, 3)
    before = frechet_distance(statistics(a), statistics(b))
    assert frechet_distance(statistics(a @ turn), statistics(b @ turn)) == pytest.approx(before)


def test_covariances_of_rank_one_in_many_dimensions():
    # Two vectors +-u have the covariance 2 u u^T.
    u, v = np.eye(64)[0], np.full(64, 0.25)  # of lengths 1 and 2, 0.25 / 2 the cosine
    ours = frechet_distance(statistics([u, -u]), statistics([v, -v]))
    assert ours == pytest.approx(2 * 1 + 2 * 4 - 2 * 2 * 2 * 0.125)


def test_fewer_images_than_dimensions_keep_the_distance_of_equal_sets_at_zero():
    a = vectors(0, (20, 200))
    assert frechet_distance(statistics(a), statistics(a[::-1])) == pytest.approx(0, abs=1e-9)


def test_fewer_images_than_dimensions_are_told_once(monkeypatch):
    lines = []
    monkeypatch.setattr(logging, "warning", lambda line, *args: lines.append(line % args))
    features._warn_of_few.cache_clear()
    few, many = statistics(vectors(0, (7, 9))), statistics(vectors(1, (10, 9)))
    frechet_distance(many, many)
    assert not lines
    for _ in range(3):
        frechet_distance(few, many)
    assert len(lines) == 1
    assert "7 images in 9 dimensions" in lines[0]


@pytest.mark.parametrize("sizes", [(1,) * 40, (0, 39, 1), (13, 0, 27), (40,)])
def test_batches_add_up_to_the_whole(sizes):
    # Far from 0, sums of squares would lose every digit of the variance.
    x = 1e8 + np.random.default_rng(0).normal(size=(40, 5))
    streamed = statistics(*np.split(x, np.cumsum(sizes)[:-1]))
    assert streamed.count == 40
    np.testing.assert_allclose(streamed.mean, x.mean(0), rtol=1e-15)
    np.testing.assert_allclose(streamed.covariance, np.cov(x, rowvar=False), atol=1e-6)


def test_vectors_that_cannot_be_used_are_refused():
    good = statistics(vectors(0, (4, 3)))
    for bad in (vectors(0, (4, 2)), vectors(0, (3,)), np.array([[1, np.nan, 2]])):
        with pytest.raises(InputError):
            good.update(bad)
    with pytest.raises(InputError, match="not 1"):
        frechet_distance(good, statistics(vectors(0, (1, 3))))
    with pytest.raises(InputError, match="3 and of 2 dimensions"):
        frechet_distance(good, statistics(vectors(0, (4, 2))))


def test_map_distance_by_hand():
    a = [tf.constant([[[[3.0, 4.0], [1.0, 0.0]]]]), tf.constant([[[[2.0, 0.0]]]])]
    b = [tf.constant([[[[4.0, 3.0], [0.0, 7.0]]]]), tf.constant([[[[-1.0, 0.0]]]])]
    # Unit lengths (.6, .8), (.8, .6): .08. (1, 0), (0, 1): 2. Opposites: 4.
    np.testing.assert_allclose(map_distance(a, b), [(0.08 + 2) / 2 + 4], rtol=1e-6)
    weighted = map_distance(a, b, [np.float32([1, 3]), np.float32([0.5, 9])])
    np.testing.assert_allclose(weighted, [(0.04 + 0.12 + 1 + 3) / 2 + 2], rtol=1e-6)


def test_features_that_are_zero_have_a_distance():
    zero, one = [tf.zeros([1, 2, 2, 3])], [tf.ones([1, 2, 2, 3])]
    np.testing.assert_array_equal(map_distance(zero, zero), [0])
    np.testing.assert_allclose(map_distance(zero, one), [1], rtol=1e-6)


def photograph(seed=0, size=64):
    """Coloured shapes and shades of several scales."""
    rng = np.random.default_rng(seed)
    scales = [
        tf.image.resize(rng.random((1, n, n, 3)), [size, size], "bicubic").numpy()
        for n in (3, 8, 20)
    ]
    return np.clip(0.5 * scales[0] + 0.3 * scales[1] + 0.2 * scales[2], 0, 1).astype(np.float32)


def noisy(image, deviation):
    noise = np.random.default_rng(9).normal(0, deviation, image.shape)
    return np.clip(image + noise, 0, 1).astype(np.float32)


def blurred(image, factor):
    """Without its finest details, at the same size."""
    small = tf.image.resize(image, np.array(image.shape[1:3]) // factor, "area")
    return tf.clip_by_value(tf.image.resize(small, image.shape[1:3], "bicubic"), 0, 1).numpy()


def assert_measures_damage(extractor, image):
    assert lpips(extractor, image, image) == pytest.approx(0, abs=1e-6)
    for damage, amounts in ((noisy, (0.02, 0.06, 0.2)), (blurred, (2, 4, 8))):
        distances = [lpips(extractor, image, damage(image, amount))[0] for amount in amounts]
        assert 1e-4 < distances[0] < distances[1] < distances[2]
    a, b = np.concatenate([image, image]), np.concatenate([noisy(image, 0.1), blurred(image, 3)])
    distances = lpips(extractor, a, b)
    assert distances.shape == (2,) and distances.dtype == np.float32
    np.testing.assert_allclose(lpips(extractor, b, a), distances, rtol=1e-4)
    np.testing.assert_allclose(lpips(extractor, a[1:], b[1:]), distances[1:], rtol=1e-4)


@pytest.fixture(scope="module")
def model():
    """A small network of two maps."""
    random.seed(0)
    images = keras.Input([None, None, 3])
    first = keras.layers.Conv2D(8, 3, padding="same", activation="relu")(images)
    x = keras.layers.MaxPooling2D(2)(first)
    second = keras.layers.Conv2D(12, 3, padding="same", activation="relu")(x)
    return keras.Model(images, [first, second])


def save(model, path):
    """As a .keras file, or as a SavedModel."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".keras":
        model.save(path)
    else:
        model.export(path, verbose=False)
    return path


@pytest.mark.parametrize("file", ["small.keras", "small"])
def test_a_model_file_gives_its_maps_and_the_average_of_the_last(tmp_path, model, file):
    images = np.concatenate([photograph(1), photograph(2)])
    extractor = load_extractor(save(model, tmp_path / file))
    assert extractor.name == "small"
    expected = model(images)
    assert len(extractor.maps(images)) == 2
    for ours, theirs in zip(extractor.maps(images), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    averages = tf.reduce_mean(expected[1], [1, 2])
    np.testing.assert_allclose(extractor.vectors(images), averages, atol=1e-5)
    assert extractor.vectors(images).dtype == np.float32
    assert_measures_damage(extractor, images[:1])


def test_images_too_small_or_of_the_wrong_kind_are_refused(tmp_path, model):
    # Without its upper 2 rows an image of 2 rows is empty, and that is no error of TensorFlow's.
    cropped = keras.layers.Cropping2D(((2, 0), (0, 0)))(model.inputs[0])
    cropped = keras.Model(model.inputs[0], cropped)
    extractor = load_extractor(save(cropped, tmp_path / "cropped.keras"))
    for call in (extractor.maps, extractor.vectors):
        assert np.isfinite(call(np.zeros((1, 3, 5, 3), np.float32))).all()
        with pytest.raises(InputError, match="cropped.keras.*5x2 pixels.*too small"):
            call(np.zeros((1, 2, 5, 3), np.float32))
        for bad in (np.zeros((1, 8, 8, 3)), np.zeros((8, 8, 3), "f"), np.zeros((1, 8, 8, 4), "f")):
            with pytest.raises(InputError, match="must be float32"):
                call(bad)
    with pytest.raises(InputError, match="cannot be compared"):
        lpips(extractor, np.zeros((1, 8, 8, 3), "f"), np.zeros((2, 8, 8, 3), "f"))


def test_a_vector_output_is_taken_before_the_maps(tmp_path, model):
    vector = keras.layers.GlobalMaxPooling2D()(model.outputs[1])
    both = keras.Model(model.inputs[0], {"b": model.outputs[0], "a": vector})
    image = photograph()
    for file in ("both.keras", "both"):
        extractor = load_extractor(save(both, tmp_path / file))
        np.testing.assert_allclose(extractor.vectors(image), both(image)["a"], atol=1e-5)
        assert len(extractor.maps(image)) == 1
    only = keras.Model(model.inputs[0], vector)
    extractor = load_extractor(save(only, tmp_path / "only.keras"))
    np.testing.assert_allclose(extractor.vectors(image), only(image), atol=1e-5)
    with pytest.raises(InputError, match="only.keras: gives no feature maps"):
        lpips(extractor, image, image)


def test_the_eleventh_output_comes_after_the_tenth(tmp_path):
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)])
    def serve(images):
        mean = tf.reduce_mean(images, [1, 2])
        return {f"output_{i}": i * mean for i in range(11)}

    tf.saved_model.save(module, str(tmp_path / "many"), signatures=serve)
    extractor = load_extractor(tmp_path / "many")
    np.testing.assert_allclose(extractor.vectors(np.ones((1, 4, 4, 3), "f")), [[10, 10, 10]])


def test_a_model_of_one_size_is_given_resized_images_without_aliasing(tmp_path):
    images = keras.Input([16, 16, 3])
    fixed = keras.Model(images, keras.layers.ZeroPadding2D(0)(images))
    extractor = load_extractor(save(fixed, tmp_path / "fixed.keras"))
    checkers = np.indices((64, 96)).sum(0) % 2
    [shown] = extractor.maps(np.repeat(checkers[None, ..., None], 3, -1).astype(np.float32))
    assert shown.shape == (1, 16, 16, 3)
    np.testing.assert_allclose(shown, 0.5, atol=0.02)
    [shown] = extractor.maps(np.repeat(checkers[None, :6, :6, None], 3, -1).astype(np.float32))
    assert 0 <= tf.reduce_min(shown) < 0.1 and 0.9 < tf.reduce_max(shown) <= 1


def test_inception_gives_2048_features_of_images_in_its_own_range_and_size(monkeypatch):
    built, build = [], keras.applications.InceptionV3

    def remember(**options):
        built.append(build(**options))
        return built[0]

    monkeypatch.setattr(keras.applications, "InceptionV3", remember)
    extractor = features._keras_network("InceptionV3", weights=None)
    assert extractor.name == "InceptionV3"
    image = photograph(size=299)
    ours = extractor.vectors(image)
    assert ours.shape == (1, 2048) and ours.dtype == np.float32
    np.testing.assert_allclose(ours, built[0](2 * image - 1), atol=1e-4 * ours.max())
    assert extractor.vectors(np.repeat(image[:, :32, :32], 2, 0)).shape == (2, 2048)
    maps = extractor.maps(image[:, :100, :120])
    assert [x.shape[-1] for x in maps] == [288, 768, 2048]
    with pytest.raises(InputError, match="keras:InceptionV3.*80x74 pixels.*75x75"):
        extractor.maps(image[:, :74, :80])


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("VGG16", [64, 128, 256, 512, 512]),
        ("VGG19", [64, 128, 256, 512, 512]),
        ("ResNet50", [64, 256, 512, 1024, 2048]),
    ],
)
@pytest.mark.usefixtures("blank_kernels")
def test_the_other_networks_give_maps_of_five_resolutions(name, channels):
    maps = features._keras_network(name, weights=None).maps(photograph())
    assert [x.shape[-1] for x in maps] == channels
    assert all(a.shape[1] == 2 * b.shape[1] for a, b in itertools.pairwise(maps))


@pytest.fixture(scope="module")
def vgg19_weights(tmp_path_factory):
    """Random weights up to relu2_1, with linear weights of two layers."""
    rng = np.random.default_rng(0)
    arrays = {"block1_conv2__lpips": np.full(64, 0.5), "block2_conv1__lpips": np.full(128, 0.5)}
    for name, n, m in (("1_conv1", 3, 64), ("1_conv2", 64, 64), ("2_conv1", 64, 128)):
        arrays[f"block{name}__kernel"] = rng.normal(0, (2 / 9 / n) ** 0.5, (3, 3, n, m))
        arrays[f"block{name}__bias"] = rng.normal(0, 0.1, m)
    path = tmp_path_factory.mktemp("vgg19") / "vgg.npz"
    np.savez(path, **arrays)
    return path


def test_linear_weights_beside_vgg19s_choose_the_layers_and_weigh_them(vgg19_weights):
    extractor = load_extractor(vgg19_weights)
    a, b = photograph(1, 32), photograph(2, 32)
    assert [x.shape for x in extractor.maps(a)] == [(1, 32, 32, 64), (1, 16, 16, 128)]
    unweighted = map_distance(extractor.maps(a), extractor.maps(b))
    np.testing.assert_allclose(lpips(extractor, a, b), 0.5 * unweighted, rtol=1e-5)
    three = np.concatenate([a, b, noisy(a, 0.1)])
    pairs = [lpips(extractor, three[[i]], three[[j]])[0] for i, j in ((0, 1), (0, 2), (1, 2))]
    assert lpips_apart(extractor, three) == pytest.approx(np.mean(pairs), rel=1e-4)


@pytest.mark.parametrize("wrong", [np.ones(65), -np.ones(64), np.ones((64, 1))])
def test_linear_weights_that_do_not_fit_are_refused(tmp_path, vgg19_weights, wrong):
    with np.load(vgg19_weights) as arrays:
        np.savez(tmp_path / "wrong.npz", **{**arrays, "block1_conv2__lpips": wrong})
    with pytest.raises(InputError, match="wrong.npz: LPIPS weights must be 64 numbers"):
        load_extractor(tmp_path / "wrong.npz")


def test_the_real_weights_measure_damage_to_a_real_photograph(shared_data):
    path = shared_data.parent / "weights" / "vgg19_conv1_1-conv3_4.npz"
    if not path.is_file():
        pytest.skip(f"no {path.name} beside the development data")
    extractor = load_extractor(path)
    assert extractor.linear is None
    image = read_image(shared_data / "photos" / "kodim23.png")[None, 100:196, 200:296]
    assert [x.shape[-1] for x in extractor.maps(image)] == [64, 128, 256]
    assert extractor.vectors(image).shape == (1, 256)
    assert_measures_damage(extractor, image)


def one_line(source):
    with pytest.raises(InputError) as error:
        load_extractor(source)
    assert "\n" not in str(error.value)
    assert str(source) in str(error.value)
    return str(error.value)


def test_bad_sources_are_named_in_one_line(tmp_path, vgg19_weights):
    for name in ("text.txt", "text.npz", "text.h5", "text.keras"):
        (tmp_path / name).write_text("no features")
        one_line(tmp_path / name)
    (tmp_path / "folder").mkdir()
    one_line(tmp_path / "folder")
    with np.load(vgg19_weights) as arrays:
        np.savez(tmp_path / "other.npz", **{**arrays, "block9_conv2__lpips": np.ones(3)})
    assert "block9_conv2" in one_line(tmp_path / "other.npz")
    assert "keras:NAME" in one_line(tmp_path / "missing.npz")
    assert "InceptionV3, VGG16" in one_line("keras:Nonsense")


def test_models_that_map_no_images_to_features_are_named_in_one_line(tmp_path):
    a, b, flat = keras.Input([8, 8, 3]), keras.Input([8, 8, 3]), keras.Input([8])
    two_inputs = keras.Model([a, b], keras.layers.Add()([a, b]))
    rows = keras.Model(a, keras.layers.Reshape([8, 24])(a))
    grey = keras.Input([8, 8, 1])
    for file in ("model.keras", "model"):
        assert "one batch of images" in one_line(save(two_inputs, tmp_path / "two" / file))
        for other in (keras.Model(flat, flat * 2), keras.Model(grey, grey * 2)):
            assert "not images" in one_line(save(other, tmp_path / f"{other.name}{file}"))
        assert "[B, D] or" in one_line(save(rows, tmp_path / "rows" / file))
    tf.saved_model.save(tf.Module(), str(tmp_path / "empty"))
    assert "serving_default" in one_line(tmp_path / "empty")


def test_without_a_network_keras_is_named(monkeypatch):
    def no_network(**_):
        raise OSError("no route to host\nand more")

    monkeypatch.setattr(keras.applications, "InceptionV3", no_network)
    assert "no route to host" in one_line("keras:InceptionV3")
