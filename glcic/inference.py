"""The completion network as a fast graph for inference.

``common.training.folding`` rewrites its layers. Here, behind the dilated convolutions, only what
the holes need is computed: where every hole of a batch fits a window of half the picture, a margin
wide enough for the layers left to see is all that is added. A network with a branch of attention,
which looks everywhere, runs as it is.
"""

import tensorflow as tf

from common.pictures import masks
from common.training import attention, folding
from glcic import networks

# Quarter-size pixels around the hole that the layers behind the dilated ones can see: one for
# each of the two 3x3 convolutions at that size, and 7 full-size pixels (2 + 2 + 1 + 1 + 1) for
# the decoder.
_MARGIN = 4


class _Completion(tf.Module):
    """What ``common.serving.export`` asks for, by ``_run`` in either type."""

    def complete(self, images, holes):
        """The network's output [B, H, W, 3] in [0, 1] for any H and W, in float32."""
        return self._run(images, holes, tf.float32)

    def complete_bfloat16(self, images, holes):
        """The same with convolutions in bfloat16."""
        return self._run(images, holes, tf.bfloat16)


class FoldedCompletion(_Completion):
    """The completion network with its statistics folded in; cannot be trained."""

    def __init__(self, network, storage=tf.float32):
        """Folds a Keras ``completion`` network.

        Args:
          network: as ``networks.completion_network`` builds it.
          storage: type of the kernels: tf.float32, or tf.float16 for half the size.
        """
        super().__init__(name="folded_completion")
        self.network = folding.FoldedNetwork(networks.chain(network), storage)
        last = network.layers[-1]
        self._levelled = last.call if isinstance(last, networks.Levelled) else None
        self._margin = _MARGIN
        if self._levelled:
            self._margin += -(-networks.BAND // networks.SIZE_MULTIPLE)
        dilated = [x.name for x in network.layers if getattr(x, "dilation_rate", (1, 1)) > (1, 1)]
        self._split = self.network.names.index(dilated[-1]) + 2  # with its ReLU

    def _run(self, images, holes, dtype):
        shape = tf.shape(images)
        x = self.network.at(dtype, 0, 1)({"images": images, "masks": holes})
        x = _continued(tf.cast(x, dtype))
        x = self.network.at(dtype, 1, self._split)(x)
        rest = self.network.at(dtype, self._split)
        fits, rows, columns = _window(_quarter_boxes(holes), self._margin, tf.shape(x)[1:3])
        x = tf.cond(
            fits,
            lambda: _put(rest(_cut(x, rows, columns)), rows, columns, tf.shape(x)),
            lambda: rest(x),
        )
        x = x[:, : shape[1], : shape[2]]
        if self._levelled:
            x = self._levelled({"images": images, "masks": holes, "outputs": x})
        return x


class StoredCompletion(_Completion):
    """A completion network with branches; cannot be trained."""

    def __init__(self, build, weights, storage=tf.float32):
        """Keeps the weights.

        Args:
          build, weights, storage: as ``common.training.folding.Stored`` takes them.
        """
        super().__init__(name="stored_completion")
        self.network = folding.Stored(build, weights, storage)
        # Not the network's own: a SavedModel would hold its weights as well.
        self._attention = attention.ContextualAttention(networks.SIZE_MULTIPLE)

    def _run(self, images, holes, dtype):
        shape = tf.shape(images)
        inputs = {"images": _continued(images), "masks": _continued(holes)}
        return self.network.at(dtype)(inputs)[:, : shape[1], : shape[2]]

    def where_it_looks(self, images, holes):
        """The place that each place of the picture looks at most, int32 [B, h, w, 2].

        See ``common.training.attention.where_it_looks``; of the network as it is in float32.
        """
        inputs = {"images": _continued(images), "masks": _continued(holes)}
        features = self.network.at(tf.float32, attention.attended)(inputs)
        return self._attention.where_it_looks(features, inputs["masks"])


def _continued(x):
    """[B, H, W, C] continued by its mirror image to sizes that halve twice."""
    below, right = ((-tf.shape(x)[n]) % networks.SIZE_MULTIPLE for n in (1, 2))
    return _mirror(_mirror(x, below, 1), right, 2)


def _mirror(x, count, axis):
    """Appends the last ``count`` (a scalar tensor, below 4) entries along ``axis``, mirrored.

    Edge pixels repeat first, so that pictures of any size, even one pixel, can be continued.
    """
    size = tf.shape(x)[axis]
    index = tf.maximum(0, tf.minimum(tf.range(size + count), 2 * size - 1 - tf.range(size + count)))
    return tf.gather(x, index, axis=axis)


def _quarter_boxes(holes):
    """Bounding boxes [B, 4] of the masks' holes in quarter-size pixels."""
    boxes = masks.bounding_boxes(holes)
    step = networks.SIZE_MULTIPLE
    return tf.concat([boxes[:, :2] // step, -(-boxes[:, 2:] // step)], axis=1)


def _window(boxes, margin, size):
    """The half-picture windows around boxes [B, 4] in feature maps of ``size`` [2].

    Returns:
      Whether every box fits, and the windows' row and column numbers [B, rows], [B, columns].
    """
    window = tf.minimum(size, size // 2 + 2 * margin)
    begin = tf.maximum(boxes[:, :2] - margin, 0)
    end = tf.minimum(boxes[:, 2:] + margin, size)
    fits = tf.reduce_all(end - begin <= window) & tf.reduce_any(window < size)
    begin = tf.minimum(begin, size - window)
    return fits, *(begin[:, n, None] + tf.range(window[n]) for n in (0, 1))


def _cut(x, rows, columns):
    """[B, H, W, C] to [B, rows, columns, C]."""
    x = tf.gather(x, rows, axis=1, batch_dims=1)
    columns = tf.repeat(columns[:, None], tf.shape(x)[1], axis=1)
    return tf.gather(x, columns, axis=2, batch_dims=2)


def _put(window, rows, columns, shape):
    """Puts full-size windows back into pictures four times ``shape``; elsewhere edges repeat."""
    step = networks.SIZE_MULTIPLE
    inside = [
        tf.clip_by_value(
            tf.range(step * shape[1 + n])[None] - step * index[:, :1],
            0,
            tf.shape(window)[1 + n] - 1,
        )
        for n, index in enumerate((rows, columns))
    ]
    return _cut(window, *inside)
