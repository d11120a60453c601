"""A chain of Keras layers as a fast graph for inference, which never changes a weight.

Training keeps plain layers; here the same function of the same weights is rewritten:

* BatchNorm's moving statistics are folded into the layer before it, so that the pictures of a batch
  do not influence each other.
* The padding of a ``SymmetricConv2D`` of stride 2 is given to the operation itself.
* A transposed convolution of stride 2 becomes a convolution to four times the channels and
  ``depth_to_space`` if its kernel is 4x4, or 5x5 and makes a picture, whose three channels would
  leave most of a vector unit idle.
* A 5x5 convolution of a picture with stride 2 becomes ``space_to_depth`` and a 3x3 convolution.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from common.training import layers

_FEW_CHANNELS = 4  # a picture's, at most


def subpixel_kernel(kernel):
    """[K, K, out, in] of a transposed convolution to [N, N, in, 4 * out] of a convolution.

    K is 4 or 5 and N = 2 + K % 2; stride 2, padding SAME. In one direction, the output pixel r of a
    pair sees the n-th of N input pixels through the tap r - 2 (n - 1) + K % 2. With K = 5 the pair
    2g, 2g + 1 sees g - 1, g and g + 1. With K = 4 the pair 2g - 1, 2g sees g - 1 and g: there is
    one such pair more than input pixels, and the outermost output pixel on each side is cut off;
    no product with a zero tap is computed, unlike in the 3x3 form of the same rewriting.
    """
    size, _, outputs, inputs = kernel.shape
    side = 2 + size % 2
    taps = [(r, n, r - 2 * (n - 1) + size % 2) for r in range(2) for n in range(side)]
    taps = [(r, n, tap) for r, n, tap in taps if 0 <= tap < size]
    result = np.zeros((side, side, inputs, 2, 2, outputs), kernel.dtype)
    for row, y, tap_y in taps:
        for column, x, tap_x in taps:
            result[y, x, :, row, column] = kernel[tap_y, tap_x].T
    return result.reshape(side, side, inputs, 4 * outputs)


def paired_kernel(kernel):
    """[5, 5, in, out] of a stride-2 convolution to [3, 3, 4 * in, out] behind ``space_to_depth``.

    With padding SAME and an even size, output pixel g sees the input pixels 2g - 1 to 2g + 3: the
    second of pair g - 1 and both of g and g + 1. The first one's tap is zero.
    """
    inputs, outputs = kernel.shape[2:]
    pairs = np.pad(kernel, [[1, 0], [1, 0], [0, 0], [0, 0]])
    pairs = pairs.reshape(3, 2, 3, 2, inputs, outputs).transpose(0, 2, 1, 3, 4, 5)
    return pairs.reshape(3, 3, 4 * inputs, outputs)


def folded(layer, norm=None):
    """A layer with the BatchNorm that follows it folded in.

    Args:
      layer: Dense, Conv2D or Conv2DTranspose; a Dense layer's units may stand for the pixels of an
        image, channels last.
      norm: a ``BatchNorm``, or None.

    Returns:
      (kernel, bias), numpy float32.
    """
    kernel = layer.kernel.numpy()
    transposed = isinstance(layer, keras.layers.Conv2DTranspose)
    outputs = kernel.shape[-2 if transposed else -1]
    bias = layer.bias.numpy() if layer.use_bias else np.zeros(outputs, np.float32)
    if norm is None:
        return kernel, bias
    scale = norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
    offset = norm.beta.numpy() - norm.moving_mean.numpy() * scale
    scale, offset = (np.tile(v, outputs // len(v)) for v in (scale, offset))
    return kernel * (scale[:, None] if transposed else scale), bias * scale + offset


def _dense(x, kernel, bias):
    return tf.nn.bias_add(tf.matmul(x, kernel), bias)


def _convolution(x, kernel, bias, strides=1, padding="SAME", dilations=1):
    return tf.nn.bias_add(tf.nn.conv2d(x, kernel, strides, padding, dilations=dilations), bias)


def _paired(x, kernel, bias):
    return _convolution(tf.nn.space_to_depth(x, 2), kernel, bias)


def _transposed(x, kernel, bias):
    size = [tf.shape(x)[0], 2 * x.shape[1], 2 * x.shape[2], kernel.shape[2]]
    return tf.nn.bias_add(tf.nn.conv2d_transpose(x, kernel, size, 2, "SAME"), bias)


def _doubled(x):
    return tf.nn.depth_to_space(x, 2)


def _doubled_and_cut(x):
    return tf.nn.depth_to_space(x, 2)[:, 1:-1, 1:-1]


_MOVED = (_doubled, _doubled_and_cut)


def _arranged(layer, kernel, bias):
    """The product of a layer as an operation: (function, kernel, bias).

    A fourth element, one of ``_MOVED``, is what becomes of the result.
    """
    if isinstance(layer, keras.layers.Dense):
        return _dense, kernel, bias
    size, strides, padding = layer.kernel_size[0], layer.strides, layer.padding.upper()
    doubles = size in (4, 5) and strides == (2, 2) and padding == "SAME"
    if isinstance(layer, keras.layers.Conv2DTranspose) and doubles:
        if size == 5 and layer.filters > _FEW_CHANNELS:
            return _transposed, kernel, bias
        wide, biases = subpixel_kernel(kernel), np.tile(bias, 4)
        if size == 5:
            return _convolution, wide, biases, _doubled
        padded = functools.partial(_convolution, padding=[[0, 0], [1, 1], [1, 1], [0, 0]])
        return padded, wide, biases, _doubled_and_cut
    if not isinstance(layer, keras.layers.Conv2D):
        raise TypeError(f"{layer.name}: no folded form of such a {type(layer).__name__}")
    if isinstance(layer, layers.SymmetricConv2D) and strides != (1, 1):
        side = [(size - 1) // 2] * 2
        padding = [[0, 0], side, side, [0, 0]]
    elif doubles and size == 5 and kernel.shape[2] <= _FEW_CHANNELS:
        return _paired, paired_kernel(kernel), bias
    options = {"strides": strides, "padding": padding, "dilations": layer.dilation_rate}
    return functools.partial(_convolution, **options), kernel, bias


def _bias_length(layer):
    """Length of a layer's bias, which it need not have."""
    return layer.kernel.shape[-2 if isinstance(layer, keras.layers.Conv2DTranspose) else -1]


def _norm_behind(chain, n):
    """The BatchNorm that normalizes what the product of layer ``n`` returns, or None."""
    linear = chain[n].activation is keras.activations.linear
    for layer in chain[n + 1 :] if linear else ():
        if isinstance(layer, layers.BatchNorm):
            return layer
        if not isinstance(layer, keras.layers.Reshape):
            return None
    return None


def _other(layer):
    """What a layer without a kernel does to its weights and a tensor of any type."""
    if isinstance(layer, keras.layers.Rescaling):  # its own call returns float32
        return lambda x: x * layer.scale + layer.offset
    if not layer.weights:
        return layer.call
    trained = len(layer.trainable_variables)

    def call(x, *weights):
        y, _ = layer.stateless_call(weights[:trained], weights[trained:], x)
        return y if isinstance(x, dict) else tf.cast(y, x.dtype)

    return call


def unfold(network, arrays, example):
    """Gives a network that is to be trained the weights that a ``FoldedNetwork`` of its kind keeps.

    What BatchNorm knew of its inputs is lost in these. It is measured on an example, and scale and
    offset are chosen so that the network in inference is the folded one; in training, as far as a
    batch is like the example.

    Args:
      network: a Keras model without branches.
      arrays: ``FoldedNetwork.arrays`` of one with the same layers, of any width.
      example: what the network takes, for the statistics; some thirty pictures are enough.

    Returns:
      Names of the layers whose weights have other shapes: they are left as they are.

    Raises:
      ValueError: the arrays are those of a network with other layers.
    """
    chain = [x for x in network.layers if not isinstance(x, keras.layers.InputLayer)]
    norms = {n: _norm_behind(chain, n) for n, x in enumerate(chain) if hasattr(x, "kernel")}
    own = [
        2 if n in norms else 0 if isinstance(x, layers.BatchNorm) else len(x.weights)
        for n, x in enumerate(chain)
    ]
    if sum(own) != len(arrays):
        raise ValueError(f"{network.name} has {sum(own)} arrays, not {len(arrays)}")
    arrays, left, biases = iter(np.float32(array) for array in arrays), [], {}
    x = example
    for n, (layer, count) in enumerate(zip(chain, own, strict=True)):
        given = [next(arrays) for _ in range(count)]
        if n in norms:
            given = _disarranged(layer, *given)
            if not given:
                left.append(layer.name)
            elif norms[n]:
                biases[norms[n]] = _take(layer, *given)
            else:
                _take(layer, *given)
        elif layer in biases:
            _measure(layer, x, biases[layer])
        elif count:
            variables = layer.trainable_variables + layer.non_trainable_variables
            if [v.shape for v in variables] == [array.shape for array in given]:
                for variable, array in zip(variables, given, strict=True):
                    variable.assign(array)
            else:
                left.append(layer.name)
        x = layer(x)
    return left


def _disarranged(layer, kernel, bias):
    """The kernel and bias that ``_arranged`` made these of; () if they do not fit the layer."""
    shape, length = tuple(layer.kernel.shape), _bias_length(layer)
    numbers = np.arange(1, 1 + np.prod(shape)).reshape(shape)
    _, places, biases, *_ = _arranged(layer, numbers, np.zeros(length))
    if (places.shape, biases.shape) != (kernel.shape, bias.shape):
        return ()
    result = np.zeros(numbers.size + 1, np.float32)
    result[places] = kernel  # the taps that are always zero end in the first element
    return result[1:].reshape(shape), bias[:length]


def _take(layer, kernel, bias):
    """Assigns both; returns the bias, or 0 if the layer has one to take it."""
    layer.kernel.assign(kernel)
    if layer.use_bias:
        layer.bias.assign(bias)
        return np.zeros_like(bias)
    return bias


def _measure(norm, x, bias):
    """Makes a BatchNorm add ``bias`` to x, whose statistics it takes."""
    x = tf.cast(x, tf.float32)
    mean, variance = tf.nn.moments(x, range(x.shape.rank - 1))
    norm.moving_mean.assign(mean)
    norm.moving_variance.assign(variance)
    norm.gamma.assign(tf.sqrt(variance + norm.epsilon))
    norm.beta.assign(mean + bias[: mean.shape[0]])


class FoldedNetwork(tf.Module):
    """A Keras network with its statistics folded in; cannot be trained.

    Its kernels are stored as ``storage`` and take part in the products as the type computed in.

    Attributes:
      arrays: the variables, layer by layer.
      names: of the operations, each that of its layer; a layer's activation is one of its own.
    """

    def __init__(self, network, storage=tf.float32):
        """Folds a Keras model without branches.

        Args:
          network: a chain of layers, channels last; the first may take several inputs as a dict.
          storage: type of the stored kernels: tf.float32, or tf.float16 for half the size.

        Raises:
          TypeError: a layer has a kernel and is neither Dense nor Conv2D nor a Conv2DTranspose of
            4x4 or 5x5 with stride 2 and padding SAME; or a BatchNorm stands behind another layer.
        """
        super().__init__(name=network.name)
        operations, norms = [], []  # (name, function of a tensor and of arrays, arrays, product)
        chain = [x for x in network.layers if not isinstance(x, keras.layers.InputLayer)]
        for n, layer in enumerate(chain):
            if hasattr(layer, "kernel"):
                norms.append(_norm_behind(chain, n))
                function, kernel, bias, *moved = _arranged(layer, *folded(layer, norms[-1]))
                arrays = tf.cast(kernel, storage), bias
                operations.append((layer.name, function, arrays, True))
                if layer.activation is not keras.activations.linear:
                    operations.append((layer.name, layer.activation, (), False))
                operations.extend((layer.name, function, (), False) for function in moved)
            elif not isinstance(layer, layers.BatchNorm):
                arrays = layer.trainable_variables + layer.non_trainable_variables
                operation = (layer.name, _other(layer), [array.numpy() for array in arrays], False)
                # TensorFlow fuses it with the convolution if nothing stands between them.
                last = operations[-1][1] if operations else None
                early = isinstance(layer, keras.layers.ReLU) and last in _MOVED
                operations.insert(len(operations) - early, operation)
            elif layer not in norms:
                raise TypeError(f"{layer.name}: no layer with a kernel before this BatchNorm")
        self.arrays, self.names, self._operations = [], [], []
        for name, function, arrays, product in operations:
            own = slice(len(self.arrays), len(self.arrays) + len(arrays))
            self.arrays.extend(tf.Variable(array, trainable=False) for array in arrays)
            self.names.append(name)
            self._operations.append((function, own, product))
        self._last = max((n for n, (*_, product) in enumerate(operations) if product), default=-1)

    def at(self, dtype, begin=0, end=None):
        """The network as a function, its kernels cast once.

        Args:
          dtype: of the products: tf.float32, tf.bfloat16 or, to check the others, tf.float64.
          begin: number of the first operation in ``names``.
          end: that of the first one left out; None for none.

        Returns:
          A function of what the Keras model, or that operation, takes. What comes behind the last
          product, as the last activation, is float32 (float64 if that is ``dtype``). Made outside
          a loop, it casts no kernel within.
        """
        result = tf.float64 if dtype == tf.float64 else tf.float32
        operations = []
        for n, (function, own, product) in enumerate(self._operations[begin:end], begin):
            arrays = self.arrays[own]
            arrays = [tf.cast(array, dtype) for array in arrays] if product else arrays
            operations.append((function, arrays, product, n == self._last))

        def run(x):
            for function, arrays, product, last in operations:
                x = function(tf.cast(x, dtype) if product else x, *arrays)
                x = tf.cast(x, result) if last else x
            return x

        return run


class Stored(tf.Module):
    """A Keras network with branches, which has nothing to fold: any storage, either type in use.

    Attributes:
      arrays: its weights, those that were trained first.
    """

    def __init__(self, build, weights, storage=tf.float32):
        """Keeps the weights.

        Args:
          build: from a Keras dtype policy to the network.
          weights: numpy arrays, of ``get_weights``.
          storage: type of the stored weights: tf.float32, or tf.float16 for half the size.
        """
        super().__init__(name="stored")
        policies = {tf.float32: "float32", tf.bfloat16: "mixed_bfloat16"}
        networks = {dtype: build(policy) for dtype, policy in policies.items()}
        plain = networks[tf.float32]
        plain.set_weights(weights)
        ordered = plain.trainable_variables + plain.non_trainable_variables
        self.arrays = [tf.Variable(tf.cast(x.value, storage), trainable=False) for x in ordered]
        # Not as attributes: a SavedModel would hold the weights of both as well.
        self._network = networks.get

    def at(self, dtype, part=lambda network: network):
        """The network as a function of what the Keras model takes.

        Args:
          dtype: of the products: tf.float32 or tf.bfloat16.
          part: from the network to a Keras model of some of its layers, if it is not all of them.
        """
        network = self._network(dtype)
        variables = network.trainable_variables + network.non_trainable_variables
        places = {variable.path: n for n, variable in enumerate(variables)}
        model = part(network)

        def run(inputs):
            kinds = model.trainable_variables, model.non_trainable_variables
            trained, others = (
                [tf.cast(self.arrays[places[v.path]], tf.float32) for v in kind] for kind in kinds
            )
            return model.stateless_call(trained, others, inputs, training=False)[0]

        return run


def restore(network, arrays, example):
    """Gives a network that is to be trained the weights that a ``Stored`` of its kind keeps.

    Args:
      network: a Keras model.
      arrays: ``Stored.arrays``.
      example: not needed, see ``unfold``.

    Returns:
      Names of the weights that have other shapes: they are left as they are.

    Raises:
      ValueError: the arrays are those of a network with other layers.
    """
    del example
    frozen, network.trainable = not network.trainable, True
    variables = network.trainable_variables + network.non_trainable_variables
    network.trainable = not frozen
    left = []
    for variable, array in zip(variables, arrays, strict=True):
        if variable.shape == array.shape:
            variable.assign(tf.cast(array, variable.dtype))
        else:
            left.append(variable.path)
    return left
