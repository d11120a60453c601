"""Keras layers that the papers' networks need and Keras does not have.

``SymmetricConv2D`` pads ``dilation * (kernel - 1) / 2`` zeros on every side, as Torch does;
TensorFlow's SAME pads a stride-2 convolution asymmetrically, which shifts the picture by
half a pixel a layer. ``BatchNorm`` is Keras's layer on TensorFlow's fused kernel, which
reads bfloat16 and keeps its statistics in float32: 1.3 times as fast in GLCIC's training.
"""

import functools

import keras
import tensorflow as tf

NORM_EPSILON = 1e-5  # added to variances; Torch's


@functools.cache
def gradient_of_dilated():
    """Whether there is one for a dilated convolution: oneDNN and cuDNN have it."""
    image, kernel = [1, 4, 4, 1], [3, 3, 1, 1]
    options = {"strides": [1] * 4, "padding": "SAME", "dilations": [1, 2, 2, 1]}
    with tf.init_scope():
        try:
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=image, filter=tf.ones(kernel), out_backprop=tf.ones(image), **options
            )
        except tf.errors.OpError:
            return False
    return True


class SymmetricConv2D(keras.layers.Conv2D):
    """A convolution over [B, H, W, C] with the same padding on every side.

    The output's height is ceil(H / stride), its width ceil(W / stride), for odd kernels.
    """

    def __init__(self, filters, kernel_size, **kwargs):
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd for symmetric padding, not {kernel_size}")
        super().__init__(filters, kernel_size, padding="same", **kwargs)

    def convolution_op(self, inputs, kernel):
        """Chooses operations for the sake of training.

        Pads with one of its own: TensorFlow's CPU gradients of a convolution with explicit padding
        are not oneDNN's; one of GLCIC's joint steps takes ten times as long with them. A dilated
        convolution is one operation where its gradients are, too: Keras's many small convolutions
        take up to seven times as long.
        """
        if self.strides == (1, 1):  # here SAME is symmetric
            if self.dilation_rate != (1, 1) and gradient_of_dilated():
                return tf.nn.conv2d(inputs, kernel, 1, "SAME", dilations=self.dilation_rate)
            return super().convolution_op(inputs, kernel)
        side = [(self.kernel_size[0] - 1) // 2] * 2
        padded = tf.pad(inputs, [[0, 0], side, side, [0, 0]])
        return tf.nn.conv2d(padded, kernel, strides=self.strides, padding="VALID")

    def get_config(self):
        """The constructor's arguments; the padding is fixed."""
        config = super().get_config()
        del config["padding"]
        return {**config, "kernel_size": self.kernel_size[0]}


class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalization of [B, H, W, C] with Torch's constants (momentum 0.1, epsilon 1e-5).

    Statistics, scale and offset stay float32 whatever the compute type. The moving variance
    takes the unbiased estimate, as Torch does. With ``training=False``, and in a frozen layer
    (``trainable=False``), the moving statistics normalize and nothing is updated.
    """

    def __init__(self, **kwargs):
        # Without autocast: the kernel takes bfloat16 inputs next to float32 statistics.
        super().__init__(momentum=0.9, epsilon=NORM_EPSILON, autocast=False, **kwargs)

    def call(self, inputs, training=None):
        """Normalizes; returns the shape and type of ``inputs``."""
        update = bool(training) and self.trainable
        outputs = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma.value,
            offset=self.beta.value,
            mean=self.moving_mean.value,
            variance=self.moving_variance.value,
            epsilon=self.epsilon,
            exponential_avg_factor=1 - self.momentum if update else 1.0,
            is_training=update,
        )
        if update:  # it moves the averages, too
            self.moving_mean.assign(outputs.batch_mean)
            self.moving_variance.assign(outputs.batch_variance)
        return outputs.y

    def get_config(self):
        """The constructor's arguments; momentum and epsilon are fixed."""
        config = super().get_config()
        return {key: config[key] for key in ("name", "trainable", "dtype")}


class UnitRange(keras.layers.Layer):
    """The last activation, in float32 and shifted to [0, 1]: sigmoid(x) or (tanh(x) + 1) / 2."""

    def __init__(self, activation, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.activation = activation

    def call(self, inputs):
        """[B, H, W, 3] logits -> [B, H, W, 3] in [0, 1]."""
        if self.activation == "sigmoid":
            return tf.sigmoid(inputs)
        return (tf.tanh(inputs) + 1) / 2

    def compute_output_shape(self, input_shape):
        """Unchanged."""
        return input_shape

    def get_config(self):
        """The constructor's arguments."""
        return {"name": self.name, "activation": self.activation}


class DamagedImage(keras.layers.Layer):
    """Images in [0, 1] and masks to four channels: 2x - 1, zero in the hole, and the mask.

    What the image holds in the hole is dropped, even if it is not a number.
    """

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)

    def call(self, inputs):
        """{"images": [B, H, W, 3], "masks": [B, H, W, 1]} -> [B, H, W, 4]."""
        images, masks = inputs["images"], inputs["masks"]
        return tf.concat([tf.where(masks > 0.5, 0.0, 2 * images - 1), masks], axis=-1)

    def compute_output_shape(self, input_shape):
        """The images' shape with four channels."""
        return (*input_shape["images"][:-1], 4)
