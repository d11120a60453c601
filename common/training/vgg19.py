"""Feature maps of VGG19 for perceptual losses.

The network is that of ``keras.applications.VGG19``, built up to the last layer that is asked for.
Its weights come from Keras (a download) or from a file: the .h5 that Keras downloads (with or
without its dense layers), a .weights.h5 of the whole network without them, or an .npz with arrays
``block1_conv1__kernel`` (HWIO), ``block1_conv1__bias`` and so on. Preprocessing is Keras's
"caffe": BGR in 0..255 minus the ImageNet mean.
"""

import pathlib

import h5py
import keras
import numpy as np
import tensorflow as tf

from common.errors import InputError, reason

# Channels of the convolutions (Simonyan & Zisserman 2015, Table 1, E) by Keras's names. Between two
# blocks the maps are halved by their maxima.
CHANNELS = {
    f"block{block}_conv{number}": channels
    for block, (count, channels) in enumerate(((2, 64), (2, 128), (4, 256), (4, 512), (4, 512)), 1)
    for number in range(1, count + 1)
}

# relu1_1, relu2_1 and relu3_1 of Wang & Wang 2020, Section 3: Keras's layers end in their ReLU.
WANG2020_LAYERS = ("block1_conv1", "block2_conv1", "block3_conv1")

# Torchvision's weights are for pictures divided by 255 and by some 0.225, their deviation; Keras's
# are not, and so their features are about so many times as large.
TORCHVISION = 255 * 0.225

_BGR_MEAN = (103.939, 116.779, 123.68)


def _network(layers, dtype, linear):
    """A model from pictures to the maps of these layers, behind or before their ReLU."""
    if unknown := [name for name in layers if name not in CHANNELS]:
        raise ValueError(f"VGG19 has no convolution {unknown[0]}")
    x = images = keras.Input([None, None, 3])
    maps = {}
    for name, channels in CHANNELS.items():
        if name.endswith("conv1") and maps:
            x = keras.layers.MaxPooling2D(2, dtype=dtype)(x)
        before = keras.layers.Conv2D(channels, 3, padding="same", dtype=dtype, name=name)(x)
        x = keras.layers.ReLU(dtype=dtype)(before)
        maps[name] = before if linear else x
        if maps.keys() >= set(layers):
            break
    return keras.Model(images, [maps[name] for name in layers])


def _keras_weights(weights, file=None):
    """{layer name: [kernel, bias]} of ``keras.applications.VGG19`` with these weights."""
    vgg = keras.applications.VGG19(include_top=False, weights=weights)
    if file:
        vgg.load_weights(file)
    return {name: vgg.get_layer(name).get_weights() for name in CHANNELS}


def _file_weights(path):
    """Reads {layer name: [kernel, bias]} from a file of any kind."""
    if path.name.endswith(".weights.h5"):
        return _keras_weights(None, path)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            names = [key.removesuffix("__kernel") for key in arrays if key.endswith("__kernel")]
            return {name: [arrays[f"{name}__kernel"], arrays[f"{name}__bias"]] for name in names}
    with h5py.File(path) as file:
        layers = file.get("model_weights", file)  # a whole model, or its weights alone
        return {
            name: [layer[weight][()] for weight in layer.attrs["weight_names"]]
            for name, layer in layers.items()
            if "weight_names" in layer.attrs
        }


def _set_weights(network, weights):
    """Gives a network's convolutions their weights: {layer name: [kernel, bias]}."""
    for layer in network.layers:
        if layer.weights:
            if layer.name not in weights:
                raise InputError(f"no layer {layer.name}")
            layer.set_weights(weights[layer.name])


def _load_file(network, path):
    """Sets the weights of a network's convolutions from a file."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"--vgg19_weights: no file {path}; give an .h5 or .npz file")
    try:
        _set_weights(network, _file_weights(path))
    except Exception as error:  # NumPy, h5py and Keras raise a dozen types for a broken file
        raise InputError(
            f"--vgg19_weights: {path} holds no VGG19 weights ({reason(error)})"
        ) from error


def _download():
    """Keras's ImageNet weights: {layer name: [kernel, bias]}."""
    try:
        return _keras_weights("imagenet")
    except Exception as error:
        raise InputError(
            f"VGG19's ImageNet weights could not be downloaded ({reason(error)}); "
            "name a file with --vgg19_weights=FILE, or set --beta=0"
        ) from error


def feature_extractor(
    weights="imagenet", layers=WANG2020_LAYERS, dtype="float32", linear=False, divisor=1.0
):
    """Returns a function from images to a list of feature maps.

    Args:
      weights: "imagenet" (downloaded by Keras on first use), a file, or None for random ones.
      layers: names of convolutions of ``keras.applications.VGG19`` to read, in order.
      dtype: Keras dtype policy of the convolutions.
      linear: read the layers before their ReLU, as torchvision's ``features[:31]`` ends at conv5_2.
      divisor: of the features.

    Returns:
      A function from float32 RGB [B, H, W, 3] in [0, 1] to a list of feature maps
      [B, H_j, W_j, C_j] of the compute type, one for each name; its weights are frozen.

    Raises:
      InputError: the weights cannot be had.
      ValueError: VGG19 has no such layer.
    """
    network = _network(layers, dtype, linear)
    if weights == "imagenet":
        _set_weights(network, _download())
    elif weights is not None:
        _load_file(network, weights)
    network.trainable = False

    def features(images):
        maps = network(tf.reverse(images, [-1]) * 255.0 - tf.constant(_BGR_MEAN))
        maps = tf.nest.flatten(maps)  # Keras returns a single output without its list
        return maps if divisor == 1 else [x / tf.cast(divisor, x.dtype) for x in maps]

    return features
