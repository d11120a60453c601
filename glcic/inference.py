"""The completion network as a fast graph for inference.

Training keeps plain layers; here the same function of the same weights is rewritten:

* BatchNorm's moving statistics are folded into the convolution before it.
* The padding of a stride-2 convolution is given to the operation itself.
* A 4x4 transposed convolution of stride 2 becomes a 2x2 convolution to four times the channels
  and ``depth_to_space``. Between the input pixels g - 1 and g lie the output pixels 2g - 1, which
  sees them through the kernel's taps 2 and 0, and 2g, through taps 3 and 1. There is one such
  pair more than input pixels: the outermost output pixel on each side is cut off. No product
  with a zero tap is computed, unlike in the 3x3 form of the same rewriting.
* Behind the dilated convolutions only what the holes need is computed: where every hole of a
  batch fits a window of half the picture, a margin wide enough for the layers left to see is
  all that is added.
"""

import numpy as np
import tensorflow as tf

from common.pictures import masks
from common.training import layers
from glcic import networks

# Quarter-size pixels around the hole that the layers behind the dilated ones can see: one for
# each of the two 3x3 convolutions at that size, and 7 full-size pixels (2 + 2 + 1 + 1 + 1) for
# the decoder.
_MARGIN = 4

# (Which of the pair of output pixels, which of the pair of input pixels, tap), in one direction.
_TAPS = ((0, 0, 2), (0, 1, 0), (1, 0, 3), (1, 1, 1))


def subpixel_kernel(kernel):
    """[4, 4, out, in] of a transposed convolution to [2, 2, in, 4 * out] of a convolution."""
    outputs, inputs = kernel.shape[2:]
    result = np.zeros((2, 2, inputs, 2, 2, outputs), kernel.dtype)
    for row, y, tap_y in _TAPS:
        for column, x, tap_x in _TAPS:
            result[y, x, :, row, column] = kernel[tap_y, tap_x].T
    return result.reshape(2, 2, inputs, 4 * outputs)


class FoldedCompletion(tf.Module):
    """The completion network with its statistics folded in; cannot be trained.

    Its variables are stored as ``storage`` and take part in the products as the type computed in.
    """

    def __init__(self, network, architecture, storage=tf.float32):
        """Folds a Keras ``completion`` network.

        Args:
          network: as ``networks.completion_network`` builds it.
          architecture: the ``networks.Architecture`` that it was built from.
          storage: type of the variables: tf.float32, or tf.float16 for half the size.
        """
        super().__init__(name="folded_completion")
        self._rows, self._output = architecture.completion, architecture.output
        self._split = 1 + max(n for n, row in enumerate(self._rows) if row.dilation > 1)
        self.mean_color = tf.Variable(network.get_layer("input").mean_color.numpy())
        self.kernels, self.biases = [], []
        for n, row in enumerate(self._rows[:-1], 1):
            kernel, bias = layers.folded(
                network.get_layer(f"conv{n}"), network.get_layer(f"norm{n}")
            )
            if row.stride < 1:
                kernel, bias = subpixel_kernel(kernel), np.tile(bias, 4)
            self._append(kernel, bias, storage)
        self._append(*layers.folded(network.get_layer("output")), storage)

    def _append(self, kernel, bias, storage):
        self.kernels.append(tf.Variable(tf.cast(kernel, storage), trainable=False))
        self.biases.append(tf.Variable(tf.cast(bias, tf.float32), trainable=False))

    def complete(self, images, holes):
        """The network's output [B, H, W, 3] in [0, 1] for any H and W, in float32."""
        return self._run(images, holes, tf.float32)

    def complete_bfloat16(self, images, holes):
        """The same with convolutions in bfloat16."""
        return self._run(images, holes, tf.bfloat16)

    def _run(self, images, holes, dtype):
        shape = tf.shape(images)
        # Sizes that do not halve twice are continued by their mirror image, and cut again.
        below, right = (-shape[1]) % networks.SIZE_MULTIPLE, (-shape[2]) % networks.SIZE_MULTIPLE
        color = tf.where(holes > 0.5, 0.0, images - self.mean_color)
        x = tf.cast(tf.concat([color, holes], axis=-1), dtype)
        x = _mirror(_mirror(x, below, 1), right, 2)
        x = self._layers(x, 0, self._split)
        fits, rows, columns = _window(_quarter_boxes(holes), tf.shape(x)[1:3])
        x = tf.cond(
            fits,
            lambda: _put(
                self._layers(_cut(x, rows, columns), self._split, None), rows, columns, tf.shape(x)
            ),
            lambda: self._layers(x, self._split, None),
        )
        x = tf.cast(x[:, : shape[1], : shape[2]], tf.float32)
        return tf.sigmoid(x) if self._output == "sigmoid" else (tf.tanh(x) + 1) / 2

    def _layers(self, x, first, last):
        """The table's rows from ``first`` up to, without, ``last``."""
        table = list(zip(self._rows, self.kernels, self.biases, strict=True))
        for row, kernel, bias in table[first:last]:
            x = self._layer(x, row, tf.cast(kernel, x.dtype)) + tf.cast(bias, x.dtype)
            if row is not self._rows[-1]:
                x = tf.nn.relu(x)
            if row.stride < 1:
                x = tf.nn.depth_to_space(x, 2)[:, 1:-1, 1:-1]
        return x

    @staticmethod
    def _layer(x, row, kernel):
        if row.stride == 1:
            return tf.nn.conv2d(x, kernel, 1, "SAME", dilations=row.dilation)
        side = [1, 1] if row.stride < 1 else [(row.kernel - 1) // 2] * 2
        return tf.nn.conv2d(x, kernel, max(1, row.stride), [[0, 0], side, side, [0, 0]])


def _mirror(x, count, axis):
    """Appends the last ``count`` (a scalar tensor, below 4) entries along ``axis``, mirrored.

    Edge pixels repeat first, so that pictures of any size, even one pixel, can be continued.
    """
    size = tf.shape(x)[axis]
    index = tf.maximum(0, tf.minimum(tf.range(size + count), 2 * size - 1 - tf.range(size + count)))
    return tf.gather(x, index, axis=axis)


def _quarter_boxes(holes):
    """Bounding boxes [B, 4] of the masks' holes in quarter-size pixels, with the margin."""
    boxes = masks.bounding_boxes(holes)
    step = networks.SIZE_MULTIPLE
    return tf.concat([boxes[:, :2] // step - _MARGIN, -(-boxes[:, 2:] // step) + _MARGIN], axis=1)


def _window(boxes, size):
    """The half-picture windows around boxes [B, 4] in feature maps of ``size`` [2].

    Returns:
      Whether every box fits, and the windows' row and column numbers [B, rows], [B, columns].
    """
    window = tf.minimum(size, size // 2 + 2 * _MARGIN)
    begin, end = tf.maximum(boxes[:, :2], 0), tf.minimum(boxes[:, 2:], size)
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
