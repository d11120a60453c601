"""VGG19's features, from every kind of file that its weights come in."""

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from common.training import vgg19

SHAPES = {
    "block1_conv1": (3, 64),
    "block1_conv2": (64, 64),
    "block2_conv1": (64, 128),
    "block2_conv2": (128, 128),
    "block3_conv1": (128, 256),
}


@pytest.fixture(scope="module")
def weights():
    """{layer: (kernel, bias)} of the layers up to relu3_1, random."""
    rng = np.random.default_rng(0)
    return {
        name: (
            rng.normal(0, (2 / 9 / inputs) ** 0.5, (3, 3, inputs, outputs)).astype(np.float32),
            rng.normal(0, 0.1, outputs).astype(np.float32),
        )
        for name, (inputs, outputs) in SHAPES.items()
    }


@pytest.fixture(scope="module")
def npz(weights, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg19") / "weights.npz"
    arrays = {}
    for name, (kernel, bias) in weights.items():
        arrays |= {f"{name}__kernel": kernel, f"{name}__bias": bias}
    np.savez(path, **arrays)
    return path


@pytest.fixture(scope="module")
def images():
    return tf.constant(np.random.default_rng(1).random((2, 16, 20, 3), dtype=np.float32))


@pytest.fixture(scope="module")
def expected(weights, images):
    """relu1_1, relu2_1 and relu3_1 by plain convolutions."""
    x = images[..., ::-1] * 255 - [103.939, 116.779, 123.68]

    def conv(x, name):
        kernel, bias = weights[name]
        return tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME") + bias)

    def pool(x):
        return tf.nn.max_pool2d(x, 2, 2, "VALID")

    first = conv(x, "block1_conv1")
    second = conv(pool(conv(first, "block1_conv2")), "block2_conv1")
    third = conv(pool(conv(second, "block2_conv2")), "block3_conv1")
    return [first, second, third]


def assert_features(features, expected, tolerance=1e-5):
    assert len(features) == len(expected)
    for ours, theirs in zip(features, expected, strict=True):
        scale = float(tf.reduce_max(tf.abs(theirs)))
        np.testing.assert_allclose(tf.cast(ours, tf.float32), theirs, atol=tolerance * scale)


def test_the_layers_are_relu1_1_relu2_1_and_relu3_1(npz, images, expected):
    assert_features(vgg19.feature_extractor(npz)(images), expected)


def test_bfloat16_features_are_close(npz, images, expected):
    features = vgg19.feature_extractor(npz, dtype="mixed_bfloat16")(images)
    assert {f.dtype for f in features} == {tf.bfloat16}
    assert_features(features, expected, tolerance=0.03)


def test_before_their_relu_layers_are_negative_too_and_the_others_stay(npz, images, expected):
    layers = ["block2_conv1", "block3_conv1"]
    features = vgg19.feature_extractor(npz, layers=layers, linear=True)(images)
    assert all((x.numpy() < 0).mean() > 0.2 for x in features)
    assert_features([tf.nn.relu(x) for x in features], expected[1:])
    options = {"layers": layers, "linear": True, "divisor": 50}
    halved = vgg19.feature_extractor(npz, dtype="mixed_bfloat16", **options)(images)
    assert_features(halved, [x / 50 for x in features], tolerance=0.03)


def test_conv5_2_is_read_of_a_whole_file(tmp_path):
    vgg = keras.applications.VGG19(include_top=False, weights=None)
    arrays = {}
    for layer in vgg.layers:
        if layer.weights:
            arrays |= {f"{layer.name}__{w.name}": w.numpy() for w in layer.weights}
    np.savez(tmp_path / "whole.npz", **arrays)
    image = tf.constant(np.random.default_rng(2).random((1, 32, 32, 3), dtype=np.float32))
    options = {"layers": ("block5_conv2",), "linear": True}
    (features,) = vgg19.feature_extractor(tmp_path / "whole.npz", **options)(image)
    inner = keras.Model(vgg.inputs[0], vgg.get_layer("block5_conv2").output)
    expected = inner(image[..., ::-1] * 255 - [103.939, 116.779, 123.68])
    assert features.shape == (1, 2, 2, 512) and (features.numpy() < 0).any()
    assert_features([tf.nn.relu(features)], [expected])


def test_the_gradient_reaches_the_images(npz, images):
    features = vgg19.feature_extractor(npz, layers=["block3_conv1"])
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.reduce_mean(features(images)[0])
    gradient = tape.gradient(loss, images).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient != 0).any(-1).mean() > 0.9


@pytest.mark.parametrize("whole_model", [False, True])
def test_the_file_that_keras_downloads_is_read(tmp_path, weights, images, expected, whole_model):
    path = tmp_path / "vgg19_weights_tf_dim_ordering_tf_kernels.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if whole_model else file
        names = ["input_1", "block1_pool", *weights, "fc1"]
        group.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            layer = group.create_group(name)
            arrays = {}
            if name in weights:
                arrays = {f"{name}_W_1:0": weights[name][0], f"{name}_b_1:0": weights[name][1]}
            layer.attrs["weight_names"] = [key.encode() for key in arrays]
            for key, array in arrays.items():
                layer[key] = array
    assert_features(vgg19.feature_extractor(path)(images), expected)


@pytest.mark.usefixtures("blank_kernels")
def test_a_weights_file_of_keras_3_is_read(tmp_path, weights, images, expected):
    vgg = keras.applications.VGG19(include_top=False, weights=None)
    for name, arrays in weights.items():
        vgg.get_layer(name).set_weights(arrays)
    vgg.save_weights(tmp_path / "vgg19.weights.h5")
    assert_features(vgg19.feature_extractor(tmp_path / "vgg19.weights.h5")(images), expected)


def test_a_bad_file_is_named_in_one_line(tmp_path, npz):
    (tmp_path / "empty.npz").touch()
    (tmp_path / "text.npz").write_text("no weights")
    (tmp_path / "cut.npz").write_bytes(npz.read_bytes()[:100_000])
    (tmp_path / "text.h5").write_text("no weights")
    (tmp_path / "text.weights.h5").write_text("no weights")
    np.savez(tmp_path / "shape.npz", **{**np.load(npz), "block2_conv1__bias": np.zeros(3)})
    with np.load(npz) as arrays:
        np.savez(tmp_path / "few.npz", **{k: arrays[k] for k in arrays if "block3" not in k})
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.create_group("dense").attrs["weight_names"] = []
    with h5py.File(tmp_path / "array.h5", "w") as file:
        file["dense"] = np.zeros(3)
    for path in [*sorted(tmp_path.iterdir()), tmp_path / "missing.h5"]:
        with pytest.raises(InputError) as error:
            vgg19.feature_extractor(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="no layer block3_conv1"):
        vgg19.feature_extractor(tmp_path / "few.npz")


def test_without_a_network_the_flags_that_help_are_named(monkeypatch):
    def no_network(**_):
        raise OSError("no route to host")

    monkeypatch.setattr(keras.applications, "VGG19", no_network)
    with pytest.raises(InputError, match="no route.*--vgg19_weights.*--beta=0"):
        vgg19.feature_extractor("imagenet")
