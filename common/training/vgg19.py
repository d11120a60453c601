"""Feature maps of VGG19 for perceptual losses.

The network is ``keras.applications.VGG19``, cut behind the last layer that is asked for. Its
weights come from Keras (a download) or from a file: the .h5 that Keras downloads (with or without
its dense layers), a .weights.h5 of the whole network without them, or an .npz with arrays
``block1_conv1__kernel`` (HWIO), ``block1_conv1__bias`` and so on. Preprocessing is Keras's
"caffe": BGR in 0..255 minus the ImageNet mean.
"""

import pathlib

import h5py
import keras
import numpy as np
import tensorflow as tf

from common.errors import InputError, reason

# relu1_1, relu2_1 and relu3_1 of Wang & Wang 2020, Section 3: Keras's layers end in their ReLU.
WANG2020_LAYERS = ("block1_conv1", "block2_conv1", "block3_conv1")

# Torchvision's weights are for pictures divided by 255 and by some 0.225, their deviation; Keras's
# are not, and so their features are about so many times as large.
TORCHVISION = 255 * 0.225

_BGR_MEAN = (103.939, 116.779, 123.68)


def _layer_weights(path):
    """Reads {layer name: [kernel, bias]} from an .npz file or one of Keras's older .h5 files."""
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


def _load_file(vgg, needed, path):
    """Sets the weights of VGG19's layers of the names ``needed`` from a file."""
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"--vgg19_weights: no file {path}; give an .h5 or .npz file")
    try:
        if path.name.endswith(".weights.h5"):
            vgg.load_weights(path)
            return
        weights = _layer_weights(path)
        if missing := [name for name in needed if name not in weights]:
            raise InputError(f"no layer {missing[0]}")
        for name in needed:
            vgg.get_layer(name).set_weights(weights[name])
    except Exception as error:  # NumPy, h5py and Keras raise a dozen types for a broken file
        raise InputError(
            f"--vgg19_weights: {path} holds no VGG19 weights ({reason(error)})"
        ) from error


def _linear(layer):
    """A twin of a convolution without its ReLU, on the same input."""
    changed = {"activation": "linear", "name": f"{layer.name}_linear"}
    return keras.layers.Conv2D.from_config({**layer.get_config(), **changed})


def feature_extractor(
    weights="imagenet", layers=WANG2020_LAYERS, dtype="float32", linear=False, divisor=1.0
):
    """Returns a function from images to a list of feature maps.

    Args:
      weights: "imagenet" (downloaded by Keras on first use), a file, or None for random ones.
      layers: names of the layers of ``keras.applications.VGG19`` to read, in order.
      dtype: Keras dtype policy of the convolutions.
      linear: read the layers before their ReLU, as torchvision's ``features[:31]`` ends at conv5_2.
      divisor: of the features.

    Returns:
      A function from float32 RGB [B, H, W, 3] in [0, 1] to a list of feature maps
      [B, H_j, W_j, C_j] of the compute type, one for each name; its weights are frozen.

    Raises:
      InputError: the weights cannot be had.
    """
    try:
        vgg = keras.applications.VGG19(
            include_top=False, weights="imagenet" if weights == "imagenet" else None
        )
    except Exception as error:
        raise InputError(
            f"VGG19's ImageNet weights could not be downloaded ({reason(error)}); "
            "name a file with --vgg19_weights=FILE, or set --beta=0"
        ) from error
    read = [vgg.get_layer(name) for name in layers]
    twins = [_linear(layer) for layer in read] if linear else []
    outputs = [twin(layer.input) for twin, layer in zip(twins, read, strict=False)]
    inner = keras.Model(vgg.inputs[0], outputs or [layer.output for layer in read])
    if weights not in ("imagenet", None):
        inside = {layer.name for layer in (*inner.layers, *read)}
        needed = [layer.name for layer in vgg.layers if layer.weights and layer.name in inside]
        _load_file(vgg, needed, weights)
    for twin, layer in zip(twins, read, strict=False):
        twin.set_weights(layer.get_weights())
    if dtype != "float32":
        loaded = inner.get_weights()
        inner = keras.models.clone_model(
            inner,
            clone_function=lambda layer: layer.__class__.from_config(
                {**layer.get_config(), "dtype": dtype}
            ),
        )
        inner.set_weights(loaded)
    inner.trainable = False

    def features(images):
        maps = inner(tf.reverse(images, [-1]) * 255.0 - tf.constant(_BGR_MEAN))
        maps = tf.nest.flatten(maps)  # Keras returns a single output without its list
        return maps if divisor == 1 else [x / tf.cast(divisor, x.dtype) for x in maps]

    return features
