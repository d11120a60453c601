"""Generator, critic and encoder as fast graphs for the search, which never changes a weight.

Training keeps plain layers; here the same functions of the same weights are rewritten: BatchNorm's
moving statistics are folded into the layer before it, so that the pictures of a batch do not
influence each other; the last transposed convolution, whose three channels would leave most of a
vector unit idle, becomes a 3x3 convolution to twelve channels and ``depth_to_space``; and the first
convolution of a picture becomes ``space_to_depth`` and a 3x3 convolution of twelve channels.
"""

import keras
import numpy as np
import tensorflow as tf

from common.training import layers

# (Which of the pair of output pixels, which of three input pixels, tap) of a 5x5 stride-2
# transposed convolution with SAME padding, in one direction: output pixel 2g sees the input pixels
# g - 1 and g through the taps 3 and 1, and 2g + 1 sees g - 1, g and g + 1 through 4, 2 and 0.
_TAPS = ((0, 0, 3), (0, 1, 1), (1, 0, 4), (1, 1, 2), (1, 2, 0))
# The same for a convolution: output pixel g sees the input pixels 2g - 1 to 2g + 3, which are the
# second of pair g - 1, both of pairs g and g + 1; (which of the pair, which of three pairs, tap).
_PAIRED_TAPS = ((1, 0, 0), (0, 1, 1), (1, 1, 2), (0, 2, 3), (1, 2, 4))
# Up to so many channels the rewriting pays.
_FEW_CHANNELS = 4


def subpixel_kernel(kernel):
    """[5, 5, out, in] of a transposed convolution to [3, 3, in, 4 * out] of a convolution."""
    outputs, inputs = kernel.shape[2:]
    result = np.zeros((3, 3, inputs, 2, 2, outputs), kernel.dtype)
    for row, y, tap_y in _TAPS:
        for column, x, tap_x in _TAPS:
            result[y, x, :, row, column] = kernel[tap_y, tap_x].T
    return result.reshape(3, 3, inputs, 4 * outputs)


def paired_kernel(kernel):
    """[5, 5, in, out] of a stride-2 convolution to [3, 3, 4 * in, out] behind space_to_depth."""
    inputs, outputs = kernel.shape[2:]
    result = np.zeros((3, 3, 2, 2, inputs, outputs), kernel.dtype)
    for row, y, tap_y in _PAIRED_TAPS:
        for column, x, tap_x in _PAIRED_TAPS:
            result[y, x, row, column] = kernel[tap_y, tap_x]
    return result.reshape(3, 3, 4 * inputs, outputs)


def _dense(x, kernel, bias):
    return tf.matmul(x, kernel) + bias


def _convolution(x, kernel, bias):
    return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 2, "SAME"), bias)


def _paired_convolution(x, kernel, bias):
    return tf.nn.bias_add(tf.nn.conv2d(tf.nn.space_to_depth(x, 2), kernel, 1, "SAME"), bias)


def _deconvolution(x, kernel, bias):
    size = [tf.shape(x)[0], 2 * x.shape[1], 2 * x.shape[2], kernel.shape[2]]
    return tf.nn.bias_add(tf.nn.conv2d_transpose(x, kernel, size, 2, "SAME"), bias)


def _subpixel_deconvolution(x, kernel, bias):
    return tf.nn.depth_to_space(tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, "SAME"), bias), 2)


def _product(layer, norm):
    """A layer of products, with the BatchNorm behind it, as (function, arrays)."""
    kernel, bias = layers.folded(layer, norm)
    if isinstance(layer, keras.layers.Dense):
        return _dense, (kernel, bias)
    if not isinstance(layer, keras.layers.Conv2DTranspose):
        if kernel.shape[2] <= _FEW_CHANNELS:
            return _paired_convolution, (paired_kernel(kernel), bias)
        return _convolution, (kernel, bias)
    if layer.filters <= _FEW_CHANNELS:
        return _subpixel_deconvolution, (subpixel_kernel(kernel), np.tile(bias, 4))
    return _deconvolution, (kernel, bias)


def _elementwise(layer):
    """What a layer without products does to a tensor of any type."""
    match layer:
        case keras.layers.ReLU():
            return tf.nn.relu
        case keras.layers.LeakyReLU():
            return lambda x: tf.nn.leaky_relu(x, layer.negative_slope)
        case keras.layers.Activation():
            return layer.activation
        case keras.layers.Reshape():
            return lambda x: tf.reshape(x, [-1, *layer.target_shape])
        case keras.layers.Flatten():
            return lambda x: tf.reshape(x, [-1, int(np.prod(x.shape[1:]))])
        case layers.UnitRange() | layers.SymmetricRange() | layers.DamagedImage():
            return layer.call
    raise TypeError(f"{layer.name}: no folded form of a {type(layer).__name__}")


class FoldedNetwork(tf.Module):
    """A network as ``networks`` builds it, with its statistics folded in; cannot be trained.

    Its kernels are stored as ``storage`` and take part in the products as the type computed in.
    """

    def __init__(self, network, storage=tf.float32):
        """Folds a Keras model without branches.

        Args:
          network: generator, critic or encoder.
          storage: type of the stored kernels: tf.float32, or tf.float16 for half the size.
        """
        super().__init__(name=network.name)
        self.arrays, self._operations = [], []
        chain = [x for x in network.layers if not isinstance(x, keras.layers.InputLayer)]
        for n, layer in enumerate(chain):
            if hasattr(layer, "kernel"):
                self._append(*_product(layer, _norm_behind(chain, n)), storage)
                if layer.activation is not keras.activations.linear:
                    self._append(layer.activation, (), storage)
            elif isinstance(layer, layers.ImageLayerNorm):
                scale = (layer.gamma.numpy(), layer.beta.numpy())
                self._append(layers.normalize_image, scale, storage)
            elif not isinstance(layer, layers.BatchNorm):
                self._append(_elementwise(layer), (), storage)

    def _append(self, function, arrays, storage):
        """Keeps a function of a tensor and of arrays; those with one axis stay float32."""
        first = len(self.arrays)
        for array in arrays:
            kind = storage if array.ndim > 1 else tf.float32
            self.arrays.append(tf.Variable(tf.cast(array, kind), trainable=False))
        self._operations.append((function, slice(first, len(self.arrays))))

    def at(self, dtype):
        """The network as a function, its kernels cast once.

        Args:
          dtype: of the products: tf.float32, tf.bfloat16 or, to check the others, tf.float64.

        Returns:
          A function of what the Keras model takes to float32 (float64 if that is ``dtype``). Made
          outside a loop, it casts no kernel within.
        """
        arrays = [tf.cast(array, dtype) for array in self.arrays]
        result = tf.float64 if dtype == tf.float64 else tf.float32

        def run(x):
            for function, own in self._operations:
                x = function(tf.cast(x, dtype) if arrays[own] else x, *arrays[own])
            return tf.cast(x, result)

        return run


def _norm_behind(chain, n):
    """The BatchNorm that normalizes what layer ``n`` returns, or None."""
    for layer in chain[n + 1 :]:
        if isinstance(layer, layers.BatchNorm):
            return layer
        if not isinstance(layer, keras.layers.Reshape):
            return None
    return None
