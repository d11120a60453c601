"""Feature maps of VGG19 for perceptual losses.

The network is ``keras.applications.VGG19``, cut behind the last layer that is asked for. Its
weights come from Keras (a download) or from a file: Keras's own .h5, or an .npz with arrays
``block1_conv1__kernel`` (HWIO), ``block1_conv1__bias`` and so on. Preprocessing is Keras's
"caffe": BGR in 0..255 minus the ImageNet mean.
"""

import pathlib

import keras
import numpy as np
import tensorflow as tf

from common.errors import InputError

# relu1_1, relu2_1 and relu3_1 of Wang & Wang 2020, Section 3: Keras's layers end in their ReLU.
WANG2020_LAYERS = ("block1_conv1", "block2_conv1", "block3_conv1")

_BGR_MEAN = (103.939, 116.779, 123.68)


def _load_file(model, path):
    path = pathlib.Path(path)
    if not path.is_file():
        raise InputError(f"--vgg19_weights: no file {path}; give an .h5 or .npz file")
    try:
        if path.suffix != ".npz":
            model.load_weights(path, by_name=True) if path.suffix == ".h5" else model.load_weights(
                path
            )
            return
        with np.load(path) as arrays:
            for layer in model.layers:
                if layer.weights:
                    layer.set_weights(
                        [arrays[f"{layer.name}__kernel"], arrays[f"{layer.name}__bias"]]
                    )
    except Exception as error:
        raise InputError(f"--vgg19_weights: {path} holds no VGG19 weights ({error})") from error


def feature_extractor(weights="imagenet", layers=WANG2020_LAYERS, dtype="float32"):
    """Returns a function from images to a list of feature maps.

    Args:
      weights: "imagenet" (downloaded by Keras on first use), a file, or None for random ones.
      layers: names of the layers of ``keras.applications.VGG19`` to read, in order.
      dtype: Keras dtype policy of the convolutions.

    Returns:
      A frozen ``keras.Model`` from float32 RGB [B, H, W, 3] in [0, 1] to feature maps
      [B, H_j, W_j, C_j], one for each name.

    Raises:
      InputError: the weights cannot be had.
    """
    try:
        vgg = keras.applications.VGG19(
            include_top=False, weights="imagenet" if weights == "imagenet" else None
        )
    except Exception as error:
        raise InputError(
            f"VGG19's ImageNet weights could not be downloaded ({error}); "
            "name a file with --vgg19_weights=FILE, or set --beta=0"
        ) from error
    inner = keras.Model(vgg.inputs[0], [vgg.get_layer(name).output for name in layers])
    if weights not in ("imagenet", None):
        _load_file(inner, weights)
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
        return inner(tf.reverse(images, [-1]) * 255.0 - tf.constant(_BGR_MEAN))

    return features
