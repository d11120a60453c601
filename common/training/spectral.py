"""Spectral normalization, and the self-attention of discriminators that goes with it.

[1] T. Miyato et al. Spectral Normalization for Generative Adversarial Networks. ICLR 2018.
[2] H. Zhang et al. Self-Attention Generative Adversarial Networks. ICML 2019, Section 3, and the
    authors' code.

Kernels are divided by an estimate of their largest singular value as they are used; what is stored
and trained is the kernel itself, in float32 whatever the compute type (Keras's wrapper overwrites
it in every call). The estimate's vector moves in the discriminator's own step alone, see ``fixed``.
"""

import contextlib

import keras
import tensorflow as tf

from common.training import layers

_FIRST_ITERATIONS = 15  # a random vector is no estimate yet


def _unit(x):
    return x / tf.maximum(tf.norm(x), 1e-12)


def _iterated(matrix, vector):
    """One power iteration: (v [1, N], u [1, out]) of a matrix [N, out] and the last u."""
    v = _unit(tf.matmul(vector, matrix, transpose_b=True))
    return v, _unit(tf.matmul(v, matrix))


class _Normalized:
    """What makes a Keras layer with a ``kernel`` [..., outputs] use it divided by its norm."""

    def __init__(self, *args, **kwargs):
        # Without autocast: the norm is taken of the float32 kernel.
        super().__init__(*args, autocast=False, **kwargs)
        self.moves = True

    def build(self, input_shape):
        """Makes the kernel and the vector, near its singular one."""
        super().build(input_shape)
        self.vector = self.add_weight(
            name="singular_vector",
            shape=(1, self.kernel.shape[-1]),
            initializer=keras.initializers.RandomNormal(),
            trainable=False,
        )
        u = _unit(tf.convert_to_tensor(self.vector))
        for _ in range(_FIRST_ITERATIONS):
            _, u = _iterated(self._matrix(), u)
        self.vector.assign(u)

    def _matrix(self):
        return tf.reshape(tf.convert_to_tensor(self.kernel), [-1, self.kernel.shape[-1]])

    def normalized(self, training):
        """The kernel in the compute type, of norm 1 as far as the estimate is right."""
        matrix = self._matrix()
        v, u = _iterated(tf.stop_gradient(matrix), tf.convert_to_tensor(self.vector))
        if training and self.moves:
            self.vector.assign(u)
        norm = tf.reduce_sum(tf.matmul(v, matrix) * u)
        return tf.cast(tf.convert_to_tensor(self.kernel) / norm, self.compute_dtype)

    def call(self, inputs, training=None):
        """As the layer without normalization, in the compute type."""
        x = self._product(tf.cast(inputs, self.compute_dtype), self.normalized(training))
        if self.use_bias:
            x += tf.cast(tf.convert_to_tensor(self.bias), x.dtype)
        return self.activation(x)


class SpectralConv2D(_Normalized, layers.SymmetricConv2D):
    """A convolution whose kernel has the norm 1."""

    def _product(self, inputs, kernel):
        return self.convolution_op(inputs, kernel)


class SpectralValidConv2D(_Normalized, keras.layers.Conv2D):
    """The same without padding, for kernels of any size."""

    def _product(self, inputs, kernel):
        return tf.nn.conv2d(inputs, kernel, self.strides, "VALID")


class SpectralDense(_Normalized, keras.layers.Dense):
    """A dense layer whose kernel has the norm 1."""

    def _product(self, inputs, kernel):
        return tf.matmul(inputs, kernel)


@contextlib.contextmanager
def fixed(network):
    """Within, the vectors of a network stay: another one is trained against it.

    Args:
      network: a ``keras.Model``, with or without spectral layers.
    """
    normalized = []
    for layer in network.layers:
        parts = layer.parts.values() if isinstance(layer, SelfAttention) else [layer]
        normalized.extend(part for part in parts if isinstance(part, _Normalized))
    for layer in normalized:
        layer.moves = False
    try:
        yield
    finally:
        for layer in normalized:
            layer.moves = True


class SelfAttention(keras.layers.Layer):
    """``x + gamma attention(x)`` over all places of a map ([2] eq. 1 to 3), gamma from 0 on.

    Its four 1x1 convolutions are spectrally normalized; keys and values are pooled 2x2, as in the
    authors' code.
    """

    def build(self, input_shape):
        """Makes the convolutions for [B, H, W, C], H and W even."""
        channels = input_shape[-1]
        narrow, half = max(1, channels // 8), max(1, channels // 2)
        self.parts = {
            name: SpectralConv2D(outputs, 1, use_bias=False, name=name, dtype=self.dtype_policy)
            for name, outputs in (
                ("theta", narrow), ("phi", narrow), ("g", half), ("o", channels),
            )
        }  # fmt: skip
        for name, part in self.parts.items():
            part.build((*input_shape[:-1], half if name == "o" else channels))
        self.gamma = self.add_weight(name="gamma", shape=(), initializer="zeros")

    def call(self, inputs, training=None):
        """[B, H, W, C] -> the same."""
        shape = tf.shape(inputs)
        places = inputs.shape[1] * inputs.shape[2]

        def seen(name, x, count):
            return tf.reshape(x, [shape[0], count, self.parts[name].filters])

        def pooled(name):
            x = tf.nn.max_pool2d(self.parts[name](inputs, training=training), 2, 2, "VALID")
            return seen(name, x, places // 4)

        queries = seen("theta", self.parts["theta"](inputs, training=training), places)
        scores = tf.matmul(queries, pooled("phi"), transpose_b=True)
        weights = tf.nn.softmax(tf.cast(scores, tf.float32), axis=-1)
        found = tf.matmul(tf.cast(weights, inputs.dtype), pooled("g"))
        found = tf.reshape(found, [shape[0], *inputs.shape[1:3], self.parts["g"].filters])
        found = self.parts["o"](found, training=training)
        return inputs + tf.cast(tf.convert_to_tensor(self.gamma), inputs.dtype) * found

    def compute_output_shape(self, input_shape):
        """Unchanged."""
        return input_shape
