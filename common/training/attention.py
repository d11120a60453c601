"""Attention: a missing place is painted with what known places look like.

[1] J. Yu et al. Generative Image Inpainting with Contextual Attention. CVPR 2018, Section 4.1, and
    the authors' code (``inpaint_ops.py``).
[2] Z. Yi et al. Contextual Residual Aggregation for Ultra High-Resolution Image Inpainting. CVPR
    2020, Section 3.1: what is found by attention is taken from the picture, too.

Four things differ from the code of [1]. What is not known has no weight at all, so that the weights
of a place add up to one. A patch that holds a missing pixel is no key; without any key the
features are returned as they are. Overlapping patches are divided by how many there are, at the
border too, where [1] divides by four and darkens. Scores are propagated to neighbours in the plane
and not from the end of a row to the begin of the next.

A fifth is ours: scores are propagated ``PROPAGATIONS`` times and not once. The features of a hole's
middle tell little, those of its border much; each time what they say goes one place further in.
"""

import keras
import tensorflow as tf

SCALE = 10.0  # of the scores ([1]'s softmax_scale)
RATE = 2  # patches are compared at half size
PROPAGATIONS = 4  # [1] has one, which leaves the middle of a hole to itself
SCORES = 2**23  # that are in memory at a time, of a picture
_LEAST_NORM = 1e-4
_FORBIDDEN = -1e9


def contextual_attention(
    features, missing, values=None, propagate=PROPAGATIONS, scale=SCALE, chunk=None
):
    """Every place as the mean of what known places look like, the more alike the more weight.

    Places are compared by 3x3 patches at half size, keys at length 1, and stand for patches of 4x4
    at full size. Memory grows with the number of places times ``chunk`` rows of them.

    Args:
      features: float32 [B, H, W, C] of any H and W.
      missing: float32 [B, H, W, 1], 1 = missing.
      values: float32 [B, H, W, V], what places stand for; None: the features.
      propagate: how often to add the scores of neighbours to those of their common neighbours:
        where one place looks, those beside it look beside that. Outside the map scores are 0. The
        sum of nine is the mean from the second time on.
      scale: of the scores.
      chunk: rows of queries at a time; None: as many as ``SCORES`` allow.

    Returns:
      float32 [B, H, W, V]; the values as they are where a picture has no key.
    """
    features = tf.cast(features, tf.float32)
    values = features if values is None else tf.cast(values, tf.float32)
    places, keys, bias, any_key = _prepared(features, missing)
    batch, rows, columns = _sizes(places)[:3]
    patches = _blocks(values, rows, columns)
    channels = patches.shape[-1]
    patches = tf.reshape(patches, tf.stack([batch, rows * columns, channels]))
    if chunk is None:
        fit = SCORES // (columns * rows * columns) - 2 * propagate
        chunk = min(max(fit, 1), rows) if isinstance(fit, int) else tf.clip_by_value(fit, 1, rows)

    def attend(part, inside, keys, patches, bias):
        weights = _weights(part, inside, keys, bias, propagate, scale)
        return tf.einsum("brwk,bkc->brwc", weights, patches)

    if isinstance(rows, int) and isinstance(chunk, int) and chunk >= rows:
        looked = attend(*_rimmed(places, propagate, propagate), keys, patches, bias)
    else:
        chunks = -(-rows // chunk)
        rimmed = _rimmed(places, propagate, chunks * chunk - rows + propagate)
        # A loop would keep the scores of all chunks for the gradient: they are computed again.
        again = tf.recompute_grad(attend)

        def one(n):
            part = _part(rimmed, n * chunk, chunk + 2 * propagate)
            return again(*part, keys, patches, bias)

        looked = tf.map_fn(one, tf.range(chunks), fn_output_signature=tf.float32)
        looked = tf.transpose(looked, [1, 0, 2, 3, 4])
        looked = tf.reshape(looked, [batch, chunks * chunk, columns, channels])[:, :rows]
    return tf.where(any_key, _overlapped(looked, tf.shape(values)), values)


def where_it_looks(features, missing, propagate=PROPAGATIONS):
    """The known place that each place looks at most, at half size.

    Args:
      features, missing, propagate: as ``contextual_attention`` takes them.

    Returns:
      int32 [B, h, w, 2], h and w being H / 2 and W / 2, rounded up: row and column.
    """
    places, keys, bias, _ = _prepared(tf.cast(features, tf.float32), missing)
    rows, columns = (tf.shape(places)[n] for n in (1, 2))
    rimmed = _rimmed(places, propagate, propagate)

    def one(n):
        part = _part(rimmed, n, 1 + 2 * propagate)
        weights = _weights(*part, keys, bias, propagate, SCALE)
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
    """(queries [B, h, w, 9C], keys of them, bias [B, hw], whether any key)."""
    places = _windows(features[:, ::RATE, ::RATE], 3)
    norms = tf.reduce_sum(tf.square(places), axis=-1, keepdims=True)
    keys = places * tf.math.rsqrt(tf.maximum(norms, _LEAST_NORM**2))
    # Of what a key is compared by and what it stands for nothing may be missing.
    hidden = tf.nn.max_pool2d(tf.cast(missing, tf.float32), RATE, RATE, "SAME")
    hidden = tf.nn.max_pool2d(hidden, 3, 1, "SAME") > 0.5
    hidden = tf.reshape(hidden, [tf.shape(features)[0], -1])
    bias = tf.where(hidden, _FORBIDDEN, 0.0)
    any_key = ~tf.reduce_all(hidden, axis=1)
    return places, keys, bias, tf.reshape(any_key, [-1, 1, 1, 1])


def _windows(x, size):
    """What each place and those around it hold, zero outside: [B, H, W, C] -> [B, H, W, size^2 C].

    ``tf.image.extract_patches`` does so, but its gradient takes longer.
    """
    side = size // 2
    return _moved(tf.pad(x, [[0, 0], [side, side], [side, side], [0, 0]]), size)


def _moved(x, size):
    """[B, H + size - 1, W + size - 1, C], moved 0 to size - 1 both ways: [B, H, W, size^2 C]."""
    less = [0, size - 1, size - 1, 0]
    shape = tf.stack([n - by for n, by in zip(_sizes(x), less, strict=True)])
    moves = [(i, j) for i in range(size) for j in range(size)]
    return tf.concat([tf.slice(x, [0, i, j, 0], shape) for i, j in moves], axis=-1)


def _blocks(x, rows, columns):
    """Patches of 4x4, two apart, the first one pixel outside: [B, rows, columns, 16 C]."""
    height, width = _sizes(x)[1:3]
    below, right = 2 * rows + 1 - height, 2 * columns + 1 - width
    x = tf.pad(x, [[0, 0], [1, below], [1, right], [0, 0]])
    return _moved(tf.nn.space_to_depth(x, RATE), 2)


def _sizes(x):
    """The sizes of a tensor, those that are known as integers, the others as scalar tensors."""
    found = tf.shape(x)
    return [found[n] if size is None else size for n, size in enumerate(x.shape)]


def _rimmed(places, above, below):
    """Queries with rows of zeros around them, and a column that is 1 where there are queries."""
    rim = [[0, 0], [above, below], [0, 0], [0, 0]]
    return tf.pad(places, rim), tf.pad(tf.ones_like(places[:1, :, :1, :1]), rim)


def _part(rimmed, begin, rows):
    """Some rows of ``_rimmed``."""
    # A slice of Python's has no size that XLA would know.
    return [tf.slice(x, [0, begin, 0, 0], [*_sizes(x)[:1], rows, *_sizes(x)[2:]]) for x in rimmed]


def _weights(part, inside, keys, bias, propagate, scale):
    """Softmax over the keys, [B, r, w, h w], of queries with a rim [B, r + 2 propagate, w, D]."""
    batch, rows, columns, length = _sizes(keys)
    part = tf.ensure_shape(part, [None, None, None, length])
    flat = tf.reshape(keys, [batch, rows * columns, length])
    scores = tf.einsum("brwc,bkc->brwk", part, flat)
    if propagate:
        around = tf.stack([batch, _sizes(part)[1], columns, rows, columns])
        scores = tf.reshape(scores, around)
        inside = inside[..., None]
        for n in range(propagate):
            # Of the nine neighbours of both, first those above and below, then those at the sides.
            scores = _beside(_above_and_below(scores))
            inside = inside[:, 1:-1]
            if n + 1 < propagate:
                scores *= inside / (9.0 if n else 1.0)
            elif n:
                scores /= 9.0
        left = _sizes(part)[1] - 2 * propagate
        scores = tf.reshape(scores, tf.stack([batch, left, columns, rows * columns]))
    return tf.nn.softmax(scale * scores + bias[:, None, None], axis=-1)


def _above_and_below(scores):
    """Sums [B, r + 2, w, h, w] over three rows of queries and of keys alike: [B, r, w, h, w]."""
    size = tf.shape(scores) - [0, 2, 0, 0, 0]
    padded = tf.pad(scores, [[0, 0], [0, 0], [0, 0], [1, 1], [0, 0]])
    return tf.add_n([tf.slice(padded, [0, n, 0, n, 0], size) for n in range(3)])


def _beside(scores):
    """Sums [B, r, w, h, w] over three columns of queries and of keys alike."""
    padded = tf.pad(scores, [[0, 0], [0, 0], [1, 1], [0, 0], [1, 1]])
    return tf.add_n([tf.slice(padded, [0, 0, n, 0, n], tf.shape(scores)) for n in range(3)])


def _overlapped(patches, shape):
    """The picture [B, H, W, C] of ``_blocks``, the mean where several overlap."""
    total = _added(patches, shape)
    count = _added(tf.ones_like(patches[:1, ..., : 4 * RATE**2]), [1, shape[1], shape[2], 1])
    return total / count


def _added(patches, shape):
    moves = [(i, j) for i in (0, 1) for j in (0, 1)]
    total = tf.add_n([
        tf.pad(block, [[0, 0], [i, 1 - i], [j, 1 - j], [0, 0]])
        for block, (i, j) in zip(tf.split(patches, 4, axis=-1), moves, strict=True)
    ])  # fmt: skip
    size = tf.stack([tf.shape(patches)[0], shape[1], shape[2], patches.shape[-1] // 16])
    return tf.slice(tf.nn.depth_to_space(total, RATE), [0, 1, 1, 0], size)


@keras.saving.register_keras_serializable(package="completion")
class ContextualAttention(keras.layers.Layer):
    """``contextual_attention`` as a layer without weights, in float32 whatever the policy.

    With the features' places it looks up those of the picture itself ([2]).
    """

    def __init__(self, step, **kwargs):
        """Makes a layer.

        Args:
          step: pixels of the masks for each of the features, per axis.
          **kwargs: of ``keras.layers.Layer``.
        """
        super().__init__(autocast=False, **kwargs)  # pictures stay as they are
        self.step = step

    def call(self, features, masks, images):
        """What is seen, as features and as a picture.

        Args:
          features: [B, H, W, C].
          masks: [B, step H, step W, 1], 1 = missing.
          images: [B, step H, step W, 3]; what they hold in the hole is dropped.

        Returns:
          ([B, H, W, C] of the features' type, float32 [B, step H, step W, 4]): the last channel is
          1, or, where a picture has no known place to look at, 0 in the hole, as are its colours.
        """
        known = tf.where(masks > 0.5, 0.0, tf.concat([images, tf.ones_like(masks)], axis=-1))
        pixels = tf.nn.space_to_depth(tf.cast(known, tf.float32), self.step)
        values = tf.concat([tf.cast(features, tf.float32), pixels], axis=-1)
        seen = contextual_attention(features, self._missing(masks), values)
        seen, pixels = tf.split(seen, [features.shape[-1], pixels.shape[-1]], axis=-1)
        return tf.cast(seen, features.dtype), tf.nn.depth_to_space(pixels, self.step)

    def where_it_looks(self, features, masks):
        """``where_it_looks`` of what ``call`` takes; a place is ``pixels`` wide and high."""
        return where_it_looks(features, self._missing(masks))

    @property
    def pixels(self):
        """Pixels of the masks, per axis, of a place."""
        return self.step * RATE

    def _missing(self, masks):
        return tf.nn.max_pool2d(masks, self.step, self.step, "VALID")

    def compute_output_spec(self, features, masks, images):
        """The features' shape, and that of the masks with four channels."""
        del images
        seen = keras.KerasTensor(features.shape, features.dtype)
        return seen, keras.KerasTensor((*masks.shape[:-1], 4), "float32")
