"""Distances between deep features: the Fréchet distance of two sets of images, and LPIPS of a pair.

    extractor = load_extractor("keras:InceptionV3")    # or a path, see below
    originals, completions = FrechetStatistics(), FrechetStatistics()
    for a, b in batches:                               # float32 RGB [B, H, W, 3] in [0, 1]
        originals.update(extractor.vectors(a))
        completions.update(extractor.vectors(b))
        distances = lpips(extractor, a, b)             # [B]
    frechet_distance(originals, completions)           # a float; 0 for identical sets

Both say as much as their features do, and are comparable with nothing but other numbers from the
same features, image size and number of images. A source of features is one of

* ``keras:NAME``: a network of ``keras.applications``, one of ``NETWORKS``, with ImageNet weights
  that Keras downloads on first use. Its vectors are the global average of its last features
  (InceptionV3: 2048), from images resized to the size it was trained at (InceptionV3: 299x299;
  antialiased bicubic). Its maps, for LPIPS, come from images at their own size.
* VGG19's weights, an ``.npz`` or ``.h5`` file that ``common.training.vgg19`` reads. Its maps are
  relu1_1, relu2_1 and relu3_1, its vectors the 256 averages of the last, all at the images' own
  size. Arrays ``LAYER__lpips`` [C] in an .npz, of whichever layers, are LPIPS's linear weights, and
  their layers are then the maps.
* A SavedModel's folder or a ``.keras`` file: any model from float32 RGB [B, H, W, 3] in [0, 1]
  to features, be they one tensor, a list or a dictionary (taken in the order of its keys). Outputs
  [B, h, w, C] are maps; the last output [B, D] is the vectors, or else the last map's average. If
  its input has a fixed height and width, images are resized to them.

The FID of the literature is the Fréchet distance of one certain Inception network's features [1]:
other weights than Keras's, and bilinear resizing without antialiasing, which alone changes it [2].
What ``keras:InceptionV3`` gives must not be compared with it. Nor is LPIPS here that of published
tables; see ``lpips``.

[1] Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter: GANs trained by a two time-scale update
    rule converge to a local Nash equilibrium. NeurIPS 2017.
[2] Parmar, Zhang, Zhu: On aliased resizing and surprising subtleties in GAN evaluation. CVPR 2022.
[3] Zhang, Isola, Efros, Shechtman, Wang: The unreasonable effectiveness of deep features as a
    perceptual metric. CVPR 2018.
[4] Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample
    variances. Stanford STAN-CS-79-773, 1979.
"""

import functools
import pathlib
import re
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from common.errors import InputError, reason
from common.training import vgg19


class _Network(NamedTuple):
    module: str  # of keras.applications, with its preprocess_input
    size: int  # of the training images
    smallest: int  # image that Keras's documentation allows; TensorFlow may crash on smaller ones
    layers: tuple  # for LPIPS, at several resolutions


# VGG16's layers are those of [3], the other networks' their counterparts.
NETWORKS = {
    "InceptionV3": _Network("inception_v3", 299, 75, ("mixed2", "mixed7", "mixed10")),
    "VGG16": _Network(
        "vgg16",
        224,
        32,
        ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3"),
    ),
    "VGG19": _Network(
        "vgg19",
        224,
        32,
        ("block1_conv2", "block2_conv2", "block3_conv4", "block4_conv4", "block5_conv4"),
    ),
    "ResNet50": _Network(
        "resnet",
        224,
        32,
        ("conv1_relu", *(f"conv{i}_block{n}_out" for i, n in ((2, 3), (3, 4), (4, 6), (5, 3)))),
    ),
}

_KERAS_PREFIX = "keras:"
_LINEAR_SUFFIX = "__lpips"
_SOURCES = "give keras:NAME, a SavedModel's folder, a .keras file or VGG19's weights as .npz or .h5"


class Extractor:
    """Features of images.

    Attributes:
      source: what it was loaded from.
      name: a short one, for tables.
      linear: LPIPS's linear weights, an array [C_j] for each map, or None for ones.
    """

    def __init__(
        self,
        source,
        name,
        network,
        map_size=(None, None),
        vector_size=(None, None),
        linear=None,
        smallest=1,
    ):
        """Traces the network, so that one that is no use fails here.

        Args:
          source: see the attributes.
          name: see the attributes.
          network: function from float32 [B, H, W, 3] in [0, 1] to a list of tensors.
          map_size: (height, width) to resize images to for the maps; None: as they are.
          vector_size: the same for the vectors.
          linear: see the attributes.
          smallest: height and width that images must have where they are not resized.

        Raises:
          InputError: the outputs are neither maps nor vectors, or linear weights do not fit.
        """
        self.source = str(source)
        self.name = name
        self.linear = linear
        self._smallest_for_maps = 1 if map_size[0] else smallest
        self._smallest_for_vectors = 1 if vector_size[0] else smallest
        if map_size == (None, None):
            network = _graph(network)  # traced once for both
        self._maps = _graph(lambda images: _maps(network(_resize(images, *map_size))))
        self._vectors = _graph(lambda images: _vectors(network(_resize(images, *vector_size))))
        channels = [x.shape[-1] for x in _traced(source, self._maps)]
        self._has_maps = bool(channels)
        _traced(source, self._vectors)
        for weights, count in zip(linear or (), channels, strict=False):
            if weights.shape != (count,) or not (weights >= 0).all():
                raise InputError(
                    f"{source}: LPIPS weights must be {count} numbers, none of them negative"
                )

    def vectors(self, images):
        """A feature vector of each image.

        Args:
          images: float32 [B, H, W, 3] in [0, 1].

        Returns:
          A float32 array [B, D].

        Raises:
          InputError: the images are of the wrong kind, or too small for the network.
        """
        return self._call(self._vectors, images, self._smallest_for_vectors).numpy()

    def maps(self, images):
        """Feature maps of the images.

        Args:
          images: float32 [B, H, W, 3] in [0, 1].

        Returns:
          A list of float32 tensors [B, h_j, w_j, C_j].

        Raises:
          InputError: the network has no maps; or as ``vectors``.
        """
        if not self._has_maps:
            raise InputError(
                f"{self.source}: gives no feature maps [B, h, w, C], which LPIPS compares"
            )
        return self._call(self._maps, images, self._smallest_for_maps)

    def _call(self, graph, images, smallest):
        images = tf.convert_to_tensor(images)
        if images.dtype != tf.float32 or images.shape.rank != 4 or images.shape[-1] != 3:
            raise InputError(
                f"{self.source}: images must be float32 [B, H, W, 3], "
                f"not {images.dtype.name} {images.shape}"
            )
        if min(images.shape[1:3]) < smallest:
            raise InputError(
                f"{self.source}: images of {images.shape[2]}x{images.shape[1]} pixels are too "
                f"small, it takes {smallest}x{smallest} or more"
            )
        try:
            return graph(images)
        except (tf.errors.OpError, ValueError) as error:
            raise InputError(
                f"{self.source}: no features of images of {images.shape[2]}x{images.shape[1]} "
                f"pixels ({reason(error)})"
            ) from error


def _graph(function):
    return tf.function(
        function,
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32, "images")],
        autograph=False,
    )


def _traced(source, graph):
    """The specifications of a graph's outputs."""
    try:
        return graph.get_concrete_function().structured_outputs
    except InputError as error:
        raise InputError(f"{source}: {error}") from error
    except Exception as error:  # whatever the model of a stranger raises
        raise InputError(f"{source}: cannot be used on images ({reason(error)})") from error


def _maps(outputs):
    """Those of the outputs that are maps [B, h, w, C], as float32."""
    return [tf.cast(x, tf.float32) for x in _checked(outputs) if x.shape.rank == 4]


def _vectors(outputs):
    """The last output [B, D], or the average of the last map, as float32."""
    outputs = _checked(outputs)
    if vectors := [x for x in outputs if x.shape.rank == 2]:
        return tf.cast(vectors[-1], tf.float32)
    return tf.reduce_mean(tf.cast(outputs[-1], tf.float32), [1, 2])


def _checked(outputs):
    for x in outputs:
        if x.shape.rank not in (2, 4) or not x.dtype.is_floating:
            raise InputError(
                f"features must be float [B, D] or [B, h, w, C], not {x.dtype.name} {x.shape}"
            )
    if not outputs:
        raise InputError("gives no features")
    # Pooling makes empty maps of small images without an error; their average would be NaN.
    large_enough = [
        tf.debugging.Assert(tf.reduce_all(tf.shape(x)[1:] > 0), ["the images are too small"])
        for x in outputs
    ]
    with tf.control_dependencies(large_enough):
        return [tf.identity(x) for x in outputs]


def _resize(images, height, width):
    """Resizes [B, H, W, 3] in [0, 1] with antialiased bicubic weights; None: leaves as it is."""
    if height is None and width is None:
        return images
    shape = tf.shape(images)
    size = [shape[1] if height is None else height, shape[2] if width is None else width]
    images = tf.image.resize(images, size, method="bicubic", antialias=True)
    images = tf.ensure_shape(images, [None, height, width, 3])
    return tf.clip_by_value(images, 0.0, 1.0)


def load_extractor(source):
    """Loads features.

    Args:
      source: ``keras:NAME`` or a path, as the module's docstring says.

    Returns:
      An ``Extractor``.

    Raises:
      InputError: there is no such source, or it cannot be downloaded, read or used.
    """
    source = str(source)
    if source.startswith(_KERAS_PREFIX):
        return _keras_network(source.removeprefix(_KERAS_PREFIX))
    path = pathlib.Path(source).expanduser()
    if path.is_dir():
        return _saved_model(path)
    if not path.is_file():
        raise InputError(f"{source}: no such file or folder; {_SOURCES}")
    suffix = path.suffix.lower()
    if suffix == ".keras":
        return _keras_file(path)
    if suffix in (".npz", ".h5"):
        return _vgg19_file(path)
    raise InputError(f"{source}: no kind of file with features; {_SOURCES}")


def _keras_network(name, weights="imagenet"):
    """The ``Extractor`` of a network of keras.applications; ``weights=None``: random ones."""
    if name not in NETWORKS:
        raise InputError(
            f"keras:{name}: there is no such network; use one of {', '.join(NETWORKS)}"
        )
    network = NETWORKS[name]
    try:
        whole = getattr(keras.applications, name)(include_top=False, weights=weights, pooling="avg")
    except Exception as error:
        raise InputError(
            f"keras:{name}: the ImageNet weights could not be downloaded ({reason(error)}); "
            "try again with a network, or name a file of features"
        ) from error
    layers = [whole.get_layer(layer).output for layer in network.layers]
    model = keras.Model(whole.inputs[0], [*layers, whole.outputs[0]], trainable=False)
    preprocess = getattr(keras.applications, network.module).preprocess_input
    return Extractor(
        f"keras:{name}",
        name,
        lambda images: model(preprocess(images * 255.0), training=False),
        vector_size=(network.size, network.size),
        smallest=network.smallest,
    )


def _vgg19_file(path):
    """The ``Extractor`` of VGG19's weights in a file."""
    linear = _linear_weights(path) if path.suffix.lower() == ".npz" else {}
    layers = sorted(linear) or vgg19.WANG2020_LAYERS
    try:
        network = vgg19.feature_extractor(path, layers)
    except InputError as error:
        raise InputError(str(error).removeprefix("--vgg19_weights: ")) from error
    except ValueError as error:
        raise InputError(f"{path}: {reason(error)}") from error
    weights = [linear[name] for name in layers] if linear else None
    smallest = NETWORKS["VGG19"].smallest
    return Extractor(path, path.stem, network, linear=weights, smallest=smallest)


def _linear_weights(path):
    """{layer: [C]} of the linear weights that an .npz file of VGG19 may hold."""
    try:
        with np.load(path) as arrays:
            return {
                key.removesuffix(_LINEAR_SUFFIX): arrays[key].astype(np.float32)
                for key in arrays
                if key.endswith(_LINEAR_SUFFIX)
            }
    except Exception as error:  # NumPy raises half a dozen types for a broken file
        raise InputError(f"{path} holds no VGG19 weights ({reason(error)})") from error


def _keras_file(path):
    """The ``Extractor`` of a whole Keras model."""
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # Keras raises a dozen types for a broken file
        raise InputError(f"{path}: Keras cannot load it ({reason(error)})") from error
    model.trainable = False
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) != 1:
        raise InputError(
            f"{path}: the model must take one batch of images, not {len(inputs)} inputs"
        )
    size = _image_size(path, inputs[0].shape, inputs[0].dtype)
    return Extractor(
        path, path.stem, lambda images: _in_order(model(images, training=False)), size, size
    )


def _saved_model(path):
    """The ``Extractor`` of a SavedModel, by its signature ``serving_default``."""
    try:
        model = tf.saved_model.load(str(path))
    except Exception as error:  # TensorFlow raises several types, some of them private
        raise InputError(f"{path}: no SavedModel that can be loaded ({reason(error)})") from error
    signature = model.signatures.get("serving_default")
    if signature is None:
        raise InputError(f"{path}: the SavedModel has no signature serving_default")
    _, inputs = signature.structured_input_signature
    if len(inputs) != 1:
        raise InputError(
            f"{path}: the model must take one batch of images, not {', '.join(inputs) or 'nothing'}"
        )
    [(key, spec)] = inputs.items()
    size = _image_size(path, spec.shape, spec.dtype.name)

    def network(images):  # keeps the model, which its signature alone does not
        return _in_order(model.signatures["serving_default"](**{key: images}))

    return Extractor(path, path.resolve().name, network, size, size)


def _image_size(path, shape, dtype):
    """(height, width) that an input takes, None where any will do; InputError if no images."""
    shape = [None] * 4 if isinstance(shape, tf.TensorShape) and shape.rank is None else list(shape)
    if dtype != "float32" or len(shape) != 4 or shape[3] not in (3, None):
        raise InputError(
            f"{path}: the model takes {dtype} {shape}, not images float32 [B, H, W, 3]"
        )
    return shape[1], shape[2]


def _in_order(outputs):
    """A list of outputs: a dictionary's in the order of its keys, output_10 after output_9."""
    if isinstance(outputs, dict):
        return [outputs[key] for key in sorted(outputs, key=_natural)]
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def _natural(text):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


class FrechetStatistics:
    """Mean and covariance of feature vectors that come in batches, in float64.

    It takes D x D numbers of memory however many vectors there are, and the result does not depend
    on how they are split into batches, but for rounding.

    Attributes:
      count: number of vectors so far.
      mean: [D]; None before the first.
    """

    def __init__(self):
        self.count = 0
        self.mean = None
        self._scatter = None  # the sum of (x - mean) (x - mean)^T, [D, D]

    def update(self, vectors):
        """Adds vectors, by the pairwise update of [4].

        Args:
          vectors: float [B, D]; B may be 0.

        Raises:
          InputError: the dimension changes, or a number is not finite.
        """
        vectors = np.asarray(vectors, np.float64)
        if self.mean is None and vectors.ndim == 2:
            self.mean = np.zeros(vectors.shape[1])
            self._scatter = np.zeros((vectors.shape[1],) * 2)
        if vectors.ndim != 2 or vectors.shape[1:] != self.mean.shape:
            wanted = "D" if self.mean is None else self.mean.size
            raise InputError(f"feature vectors must be [B, {wanted}], not {list(vectors.shape)}")
        if not np.isfinite(vectors).all():
            raise InputError("feature vectors hold numbers that are not finite")
        if not len(vectors):
            return
        batch_mean = vectors.mean(0)
        deviations = vectors - batch_mean
        shift = batch_mean - self.mean
        total = self.count + len(vectors)
        self._scatter += deviations.T @ deviations
        self._scatter += np.outer(shift, shift) * (self.count * len(vectors) / total)
        self.mean = self.mean + shift * (len(vectors) / total)
        self.count = total

    @property
    def covariance(self):
        """The unbiased covariance [D, D], dividing by count - 1 as [1] does."""
        if self.count < 2:
            raise InputError(f"a covariance takes 2 or more images, not {self.count}")
        return self._scatter / (self.count - 1)


def frechet_distance(a, b):
    """The squared Fréchet distance of the Gaussians with two sets' means and covariances.

    Equation 6 of [1]: |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)). The last trace is that of
    (C_a^(1/2) C_b C_a^(1/2))^(1/2), a symmetric matrix, hence the sum of the singular values of
    F_a^T F_b for any C = F F^T. Singular values are accurate to the rounding of the largest, where
    square roots of eigenvalues near 0 are not, so covariances without full rank do no harm.

    Few images bias it upwards, by an amount that depends on the features: compare numbers from
    equally many images only. With fewer than dimensions a warning is logged, once.

    Args:
      a: ``FrechetStatistics``, or whatever has its ``count``, ``mean`` and ``covariance``.
      b: the same.

    Returns:
      A float, at least 0; the same for (b, a).

    Raises:
      InputError: the dimensions differ, or a set has fewer than 2 vectors.
    """
    covariance_a, covariance_b = a.covariance, b.covariance
    if a.mean.shape != b.mean.shape:
        raise InputError(
            f"features of {a.mean.size} and of {b.mean.size} dimensions cannot be compared"
        )
    if min(a.count, b.count) <= a.mean.size:
        _warn_of_few(min(a.count, b.count), a.mean.size)
    shared = np.linalg.svd(_factor(covariance_a).T @ _factor(covariance_b), compute_uv=False).sum()
    shift = a.mean - b.mean
    return max(0.0, float(shift @ shift + covariance_a.trace() + covariance_b.trace() - 2 * shared))


def _factor(covariance):
    """F with F F^T = covariance: [D, rank]."""
    values, vectors = np.linalg.eigh(covariance)  # rising
    rounding = len(values) * np.finfo(np.float64).eps * values[-1]
    kept = values > max(rounding, 0.0)
    return vectors[:, kept] * np.sqrt(values[kept])


@functools.cache  # once for each case, not for each of many methods
def _warn_of_few(count, dimensions):
    logging.warning(
        "Fréchet distance from %d images in %d dimensions: it is biased upwards, and comparable "
        "with those of as many images only; take more than %d",
        count,
        dimensions,
        dimensions,
    )


def lpips(extractor, a, b):
    """Learned perceptual image patch similarity, equation 1 of [3], of pairs of images.

    Unless the extractor brings linear weights, they are 1. That is the unweighted baseline of [3],
    a sum of cosine distances, and not the metric calibrated on human judgements: never compare it
    with published LPIPS numbers. Not even with the weights learned in [3], which were learned for
    other features than Keras's. Weights multiply the squared differences, as in the authors' code
    (the formula has them inside the square).

    Args:
      extractor: an ``Extractor`` with maps.
      a: float32 [B, H, W, 3] in [0, 1].
      b: the same shape.

    Returns:
      A float32 array [B], at least 0; 0 for identical images.

    Raises:
      InputError: the shapes differ, or the extractor cannot be used on them.
    """
    if a.shape != b.shape:
        raise InputError(
            f"images of shapes {list(a.shape)} and {list(b.shape)} cannot be compared by LPIPS"
        )
    return map_distance(extractor.maps(a), extractor.maps(b), extractor.linear).numpy()


def map_distance(maps_a, maps_b, linear=None):
    """The sum over the layers of the weighted squared distance of unit-length features.

    Args:
      maps_a: list of float32 [B, h_j, w_j, C_j].
      maps_b: the same shapes.
      linear: list of weights [C_j], or None for ones.

    Returns:
      A float32 tensor [B]. With weights 1 it is at most 4 a layer, and 2 for features that are not
      negative: twice the mean of (1 - cosine).
    """
    total = 0.0
    for j, (a, b) in enumerate(zip(maps_a, maps_b, strict=True)):
        squares = tf.square(_unit(a) - _unit(b))
        if linear is not None:
            squares *= linear[j]
        total += tf.reduce_mean(tf.reduce_sum(squares, -1), [1, 2])
    return total


def lpips_apart(extractor, images):
    """The mean of ``lpips`` over all pairs of images.

    Args:
      extractor: an ``Extractor`` with maps.
      images: float32 [K, H, W, 3] in [0, 1], K at least 2.

    Returns:
      A float.

    Raises:
      InputError: the extractor cannot be used on them.
    """
    count, total = len(images), 0.0
    for j, features in enumerate(extractor.maps(images)):
        # The mean squared difference of two is twice the unbiased variance.
        squares = 2 * count / (count - 1) * tf.math.reduce_variance(_unit(features), 0)
        if extractor.linear is not None:
            squares *= extractor.linear[j]
        total += tf.reduce_mean(tf.reduce_sum(squares, -1))
    return float(total)


def _unit(features):
    """Features of length 1 along the channels; zeros stay zeros."""
    # 1e-10 as in the authors' code.
    return features / (tf.norm(features, axis=-1, keepdims=True) + 1e-10)
