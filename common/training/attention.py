"""Attention: a missing place is painted with what known places look like.

[1] J. Yu et al. Generative Image Inpainting with Contextual Attention. CVPR 2018, Section 4.1, and
    the authors' code (``inpaint_ops.py``).

Four things differ from the code of [1]. What is not known has no weight at all, so that the weights
of a place add up to one. A patch that holds a missing pixel is no key; without any key the
features are returned as they are. Overlapping patches are divided by how many there are, at the
border too, where [1] divides by four and darkens. Scores are propagated to neighbours in the plane
and not from the end of a row to the begin of the next.
"""

import keras
import tensorflow as tf

SCALE = 10.0  # of the scores ([1]'s softmax_scale)
RATE = 2  # patches are compared at half size
SCORES = 2**20  # that are in memory at a time, of a picture
_LEAST_NORM = 1e-4
_FORBIDDEN = -1e9


def contextual_attention(features, missing, propagate=True, scale=SCALE, chunk=None):
    """Every place as the mean of what known places look like, the more alike the more weight.

    Places are compared by 3x3 patches at half size, keys at length 1, and stand for patches of 4x4
    at full size. Memory grows with the number of places times ``chunk`` rows of them.

    Args:
      features: float32 [B, H, W, C] of any H and W.
      missing: float32 [B, H, W, 1], 1 = missing.
      propagate: add the scores of neighbours to those of their common neighbours: where one
        place looks, those beside it look beside that.
      scale: of the scores.
      chunk: rows of queries at a time; None: as many as ``SCORES`` allow.

    Returns:
      float32 [B, H, W, C].
    """
    features = tf.cast(features, tf.float32)
    places, keys, values, bias, any_key = _prepared(features, missing)
    batch, rows, columns = _sizes(places)[:3]
    if chunk is None:
        fit = SCORES // ((columns + 2) * rows * columns) - 2
        chunk = min(max(fit, 1), rows) if isinstance(fit, int) else tf.clip_by_value(fit, 1, rows)

    def attend(part, keys, values, bias):
        weights = _weights(part, keys, bias, propagate, scale)
        return tf.einsum("brwk,bkc->brwc", weights, values)

    if isinstance(rows, int) and isinstance(chunk, int) and chunk >= rows:
        rim = tf.pad(places, [[0, 0], [1, 1], [1, 1], [0, 0]])
        patches = attend(rim, keys, values, bias)
    else:
        chunks = -(-rows // chunk)
        rim = tf.pad(places, [[0, 0], [1, chunks * chunk - rows + 1], [1, 1], [0, 0]])
        size = tf.stack([batch, chunk + 2, columns + 2, places.shape[3]])
        # A loop would keep the scores of all chunks for the gradient: they are computed again.
        again = tf.recompute_grad(attend)

        def one(n):
            # A slice of Python's has no size that XLA would know.
            part = tf.slice(rim, tf.stack([0, n * chunk, 0, 0]), size)
            return again(part, keys, values, bias)

        looked = tf.map_fn(one, tf.range(chunks), fn_output_signature=tf.float32)
        looked = tf.transpose(looked, [1, 0, 2, 3, 4])
        shape = [batch, chunks * chunk, columns, values.shape[-1]]
        patches = tf.reshape(looked, shape)[:, :rows]
    return tf.where(any_key, _overlapped(patches, tf.shape(features)), features)


def where_it_looks(features, missing, propagate=True):
    """The known place that each place looks at most, at half size.

    Args:
      features, missing, propagate: as ``contextual_attention`` takes them.

    Returns:
      int32 [B, h, w, 2], h and w being H / 2 and W / 2, rounded up: row and column.
    """
    places, keys, _, bias, _ = _prepared(tf.cast(features, tf.float32), missing)
    rows, columns = (tf.shape(places)[n] for n in (1, 2))
    padded = tf.pad(places, [[0, 0], [1, 1], [1, 1], [0, 0]])

    def one(n):
        part = tf.slice(padded, tf.stack([0, n, 0, 0]), tf.stack([-1, 3, -1, -1]))
        weights = _weights(part, keys, bias, propagate, SCALE)
        return tf.argmax(weights[:, 0], axis=-1, output_type=tf.int32)

    best = tf.map_fn(one, tf.range(rows), fn_output_signature=tf.int32)  # (h, B, w)
    best = tf.transpose(best, [1, 0, 2])
    return tf.stack([best // columns, best % columns], axis=-1)


def attention_of(network):
    """The ``ContextualAttention`` of a Keras model, or None."""
    return next((x for x in network.layers if isinstance(x, ContextualAttention)), None)


def attended(network):
    """The part of a Keras model that makes the features that its attention compares."""
    return keras.Model(network.input, attention_of(network).input[0])


def _prepared(features, missing):
    """(queries [B, h, w, 9C], keys of them, values [B, hw, 16C], bias [B, hw], whether any key)."""
    channels = features.shape[-1]
    places = _patches(features[:, ::RATE, ::RATE], 3, 1)
    norms = tf.reduce_sum(tf.square(places), axis=-1, keepdims=True)
    keys = places * tf.math.rsqrt(tf.maximum(norms, _LEAST_NORM**2))
    values = _patches(features, 2 * RATE, RATE)
    shape = tf.shape(features)
    values = tf.reshape(values, [shape[0], -1, (2 * RATE) ** 2 * channels])
    # Of what a key is compared by and what it stands for nothing may be missing.
    hidden = tf.nn.max_pool2d(tf.cast(missing, tf.float32), RATE, RATE, "SAME")
    hidden = tf.nn.max_pool2d(hidden, 3, 1, "SAME") > 0.5
    hidden = tf.reshape(hidden, [shape[0], -1])
    bias = tf.where(hidden, _FORBIDDEN, 0.0)
    any_key = ~tf.reduce_all(hidden, axis=1)
    return places, keys, values, bias, tf.reshape(any_key, [-1, 1, 1, 1])


def _patches(x, size, step):
    ones = [1, 1, 1, 1]
    return tf.image.extract_patches(x, [1, size, size, 1], [1, step, step, 1], ones, "SAME")


def _sizes(x):
    """The sizes of a tensor, those that are known as integers, the others as scalar tensors."""
    found = tf.shape(x)
    return [found[n] if size is None else size for n, size in enumerate(x.shape)]


def _weights(part, keys, bias, propagate, scale):
    """Softmax over the keys, [B, r, w, h w], of queries with a rim [B, r + 2, w + 2, D]."""
    batch, rows, columns, length = _sizes(keys)
    part = tf.ensure_shape(part, [None, None, None, length])
    flat = tf.reshape(keys, [batch, rows * columns, length])
    if not propagate:
        scores = tf.einsum("brwc,bkc->brwk", part[:, 1:-1, 1:-1], flat)
    else:
        scores = tf.einsum("brwc,bkc->brwk", part, flat)
        around = [batch, _sizes(part)[1], columns + 2, rows, columns]
        scores = tf.reshape(scores, tf.stack(around))
        # Of the nine neighbours of both, first those above and below, then those at the sides.
        scores = _along(_along(scores, 1), 2)
        scores = tf.reshape(scores, tf.stack([batch, around[1] - 2, columns, rows * columns]))
    return tf.nn.softmax(scale * scores + bias[:, None, None], axis=-1)


def _along(scores, axis):
    """Sums [B, r, w, h, w] over three neighbours of queries, on ``axis``, and of keys alike."""
    size = tf.shape(scores) - 2 * tf.one_hot(axis, 5, dtype=tf.int32)
    pads = [[int(n == axis + 2)] * 2 for n in range(5)]
    padded = tf.pad(scores, pads)
    shifts = ([i * (n in (axis, axis + 2)) for n in range(5)] for i in range(3))
    return tf.add_n([tf.slice(padded, begin, size) for begin in shifts])


def _overlapped(patches, shape):
    """The picture [B, H, W, C] of 4x4 patches [B, h, w, 16 C] two apart, the mean where several."""
    total = _added(patches, shape)
    count = _added(tf.ones_like(patches[:1, ..., : 4 * RATE**2]), [1, shape[1], shape[2], 1])
    return total / count


def _added(patches, shape):
    batch, rows, columns = (tf.shape(patches)[n] for n in range(3))
    channels = patches.shape[-1] // 16
    patches = tf.reshape(patches, tf.stack([batch, rows, columns, 4, 4, channels]))
    quarters = tf.stack([batch, rows, columns, 4 * channels])
    total = 0.0
    for i in (0, 2):
        for j in (0, 2):
            quarter = tf.reshape(patches[:, :, :, i : i + 2, j : j + 2], quarters)
            quarter = tf.nn.depth_to_space(quarter, 2)
            total += tf.pad(quarter, [[0, 0], [i, 2 - i], [j, 2 - j], [0, 0]])
    # The first patch begins one pixel outside.
    size = tf.stack([batch, shape[1], shape[2], channels])
    return tf.slice(total, [0, 1, 1, 0], size)


@keras.saving.register_keras_serializable(package="completion")
class ContextualAttention(keras.layers.Layer):
    """``contextual_attention`` as a layer without weights, in float32 whatever the policy."""

    def __init__(self, step, **kwargs):
        """Makes a layer.

        Args:
          step: pixels of the masks for each of the features, per axis.
          **kwargs: of ``keras.layers.Layer``.
        """
        super().__init__(**kwargs)
        self.step = step

    def call(self, features, masks):
        """Features [B, H, W, C], masks [B, step H, step W, 1] -> [B, H, W, C] of their type."""
        return tf.cast(contextual_attention(features, self._missing(masks)), features.dtype)

    def where_it_looks(self, features, masks):
        """``where_it_looks`` of what ``call`` takes; a place is ``pixels`` wide and high."""
        return where_it_looks(features, self._missing(masks))

    @property
    def pixels(self):
        """Pixels of the masks, per axis, of a place."""
        return self.step * RATE

    def _missing(self, masks):
        return tf.nn.max_pool2d(masks, self.step, self.step, "VALID")

    def compute_output_shape(self, features_shape, masks_shape):
        """The features' shape."""
        del masks_shape
        return features_shape
