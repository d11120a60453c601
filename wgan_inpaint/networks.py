"""Generator, critic and encoder of latent search.

[1] A. Radford, L. Metz, S. Chintala. Unsupervised Representation Learning with Deep
    Convolutional Generative Adversarial Networks. ICLR 2016. Section 3 and Figure 1.
[2] M. Arjovsky, S. Chintala, L. Bottou. Wasserstein GAN. ICML 2017. Section 4.3 and Appendix.
[3] I. Gulrajani et al. Improved Training of Wasserstein GANs. NIPS 2017. Section 4.

A latent vector z is float32 [B, Z], each element in [-1, 1]; images are float32 RGB [B, S, S, 3]
in [0, 1], S being 32, 64 or 128. A layer that BatchNorm follows has no bias: BatchNorm would
cancel it.
"""

import dataclasses
import math

import keras
import tensorflow as tf

from common import stateless
from common.training import layers
from wgan_inpaint.settings import (  # noqa: F401  the choices, too, are found here
    KINDS,
    NORMS,
    SIZES,
    START,
    Architecture,
)

KERNEL = 5  # [1] Figure 1
LEAK = 0.2  # of the critic's LeakyReLU ([1] Section 4)
STDDEV = 0.02  # of the initial weights ([1] Section 4)
MLP_UNITS = (512, 512, 512, 512)  # [2] Section 4.3: "4 hidden layers and 512 units at each layer"


def initial(**options):
    """Initializers of a layer: N(0, 0.02), a new one for every layer."""
    return {"kernel_initializer": keras.initializers.RandomNormal(0, STDDEV), **options}


def _norm(x, kind, name, dtype):
    if kind == "batch":
        return layers.BatchNorm(name=name, dtype=dtype)(x)
    if kind == "layer":
        # As the authors' code of [3] has it, over H, W and C of each image: its normalization does
        # not depend on the others in the batch, which the gradient penalty takes for granted.
        epsilon = layers.NORM_EPSILON
        return keras.layers.GroupNormalization(1, epsilon=epsilon, name=name, dtype=dtype)(x)
    return x


def generator(architecture, dtype="float32"):
    """Builds the generator G.

    A DCGAN ([1] Figure 1): z projected to 4x4, then transposed convolutions of stride 2; or a
    multilayer perceptron ([2] Section 4.3).

    Args:
      architecture: an ``Architecture``.
      dtype: Keras dtype policy, "float32" or "mixed_bfloat16".

    Returns:
      A ``keras.Model`` from z [B, Z] to images [B, S, S, 3] in [0, 1], float32.
    """
    z = keras.Input((architecture.latent,), name="z")
    shape = (architecture.size, architecture.size, 3)
    if architecture.kind == "mlp":
        x = _perceptron(z, 3 * architecture.size**2, dtype, activation="relu")
        x = keras.layers.Reshape(shape, name="reshape", dtype=dtype)(x)
    else:
        channels = architecture.generator_channels or architecture.channels[::-1]
        x = _upsampling(z, channels, architecture.generator_norm, dtype)
    x = layers.UnitRange("tanh", name="unit_range")(x)
    return keras.Model(z, x, name="generator")


def _upsampling(z, channels, norm, dtype):
    """Projection to 4x4 and the transposed convolutions that double the size."""
    bias = norm == "none"
    first, *hidden = channels
    options = initial(dtype=dtype, use_bias=bias)
    x = keras.layers.Dense(START * START * first, name="project", **options)(z)
    x = keras.layers.Reshape((START, START, first), name="reshape", dtype=dtype)(x)
    x = _norm(x, norm, "norm0", dtype)
    x = keras.layers.ReLU(name="relu0", dtype=dtype)(x)
    for n, outputs in enumerate(hidden, 1):
        options = initial(dtype=dtype, use_bias=bias, padding="same", strides=2)
        x = keras.layers.Conv2DTranspose(outputs, KERNEL, name=f"deconv{n}", **options)(x)
        x = _norm(x, norm, f"norm{n}", dtype)
        x = keras.layers.ReLU(name=f"relu{n}", dtype=dtype)(x)
    options = initial(dtype=dtype, padding="same", strides=2)
    return keras.layers.Conv2DTranspose(3, KERNEL, name="output", **options)(x)


def critic(architecture, dtype="float32"):
    """Builds the critic f, which is also the discriminator D up to its sigmoid.

    A DCGAN discriminator ([1] Section 3): convolutions of stride 2, LeakyReLU, no normalization in
    the first; or a multilayer perceptron.

    Args:
      architecture: an ``Architecture``.
      dtype: Keras dtype policy, "float32" or "mixed_bfloat16".

    Returns:
      A ``keras.Model`` from images [B, S, S, 3] in [0, 1] to f(x), or logits of D(x), [B, 1],
      float32.
    """
    images = keras.Input((architecture.size, architecture.size, 3), name="images")
    x = keras.layers.Rescaling(2, -1, name="symmetric_range", dtype="float32")(images)
    if architecture.kind == "mlp":
        x = keras.layers.Flatten(name="flatten", dtype=dtype)(x)
        x = _perceptron(x, 1, dtype, activation="relu")
        x = keras.layers.Activation("linear", name="float", dtype="float32")(x)
    else:
        x = _downsampling(x, architecture.channels, architecture.critic_norm, dtype)
        x = keras.layers.Dense(1, name="score", **initial(dtype="float32"))(x)
    return keras.Model(images, x, name="critic")


def _downsampling(x, channels, norm, dtype):
    """The convolutions that halve the size, flattened."""
    for n, outputs in enumerate(channels, 1):
        kind = norm if n > 1 else "none"
        options = initial(dtype=dtype, use_bias=kind == "none", padding="same", strides=2)
        x = keras.layers.Conv2D(outputs, KERNEL, name=f"conv{n}", **options)(x)
        x = _norm(x, kind, f"norm{n}", dtype)
        x = keras.layers.LeakyReLU(LEAK, name=f"relu{n}", dtype=dtype)(x)
    return keras.layers.Flatten(name="flatten", dtype=dtype)(x)


def _perceptron(x, outputs, dtype, activation):
    """Hidden layers of ``MLP_UNITS``, and a linear one; Keras's (Glorot's) initial weights."""
    for n, units in enumerate(MLP_UNITS, 1):
        x = keras.layers.Dense(units, activation=activation, name=f"dense{n}", dtype=dtype)(x)
    return keras.layers.Dense(outputs, name="output", dtype=dtype)(x)


def encoder(architecture, width=32, dtype="float32"):
    """Builds the encoder E, which guesses the z of a damaged image: the search's learned start.

    Args:
      architecture: an ``Architecture``: that of the generator to be inverted.
      width: channels of the first convolution.
      dtype: Keras dtype policy, "float32" or "mixed_bfloat16".

    Returns:
      A ``keras.Model`` from {"images": [B, S, S, 3], "masks": [B, S, S, 1]} to z [B, Z] in
      [-1, 1], float32. What an image holds in the hole is dropped.
    """
    shape = (architecture.size, architecture.size)
    images = keras.Input((*shape, 3), name="images")
    masks = keras.Input((*shape, 1), name="masks")
    x = layers.DamagedImage(name="input")({"images": images, "masks": masks})
    channels = dataclasses.replace(architecture, width=width).channels
    x = _downsampling(x, channels, "batch", dtype)
    x = keras.layers.Dense(1024, activation="relu", name="features", dtype=dtype)(x)
    x = keras.layers.Dense(architecture.latent, name="z", dtype="float32")(x)
    x = keras.layers.Activation("tanh", name="tanh", dtype="float32")(x)
    return keras.Model({"images": images, "masks": masks}, x, name="encoder")


def uniform(shape, seed):
    """Numbers from U[0, 1), float32: the same for a seed with XLA and without.

    Of the 32 random bits of a number TensorFlow's own kernel takes the last 23, XLA's the first, so
    that ``tf.random.stateless_uniform`` agrees with itself for integers only. Here it is the last.
    """
    bits = stateless.integers(shape, seed)
    return tf.cast(tf.bitwise.bitwise_and(bits, 2**23 - 1), tf.float32) / 2**23


def normal(shape, seed):
    """Numbers from N(0, 1), float32, by Box and Muller's method from ``uniform``."""
    radius, angle = tf.unstack(uniform([2, *shape], seed))
    return tf.sqrt(-2 * tf.math.log(1 - radius)) * tf.cos(2 * math.pi * angle)


def random_latents(count, latent, seed):
    """Draws z ~ U[-1, 1]^Z ([1] Section 4), float32 [count, Z].

    Args:
      count: number of vectors.
      latent: Z.
      seed: two integers; the same ones draw the same z, with XLA and without.
    """
    return 2 * uniform([count, latent], seed) - 1


def each(x, times):
    """Every entry so many times, one behind the other: [N, ...] to [N times, ...].

    That is ``tf.repeat``, by a third of its operations.

    Args:
      x: a tensor of known rank.
      times: an integer or a scalar tensor.
    """
    tiled = tf.tile(tf.expand_dims(x, 1), [1, times, *[1] * (x.shape.rank - 1)])
    entry = x.shape[1:]
    if entry.is_fully_defined():
        return tf.reshape(tiled, [-1, *entry])
    return tf.reshape(tiled, tf.concat([[-1], tf.shape(x)[1:]], axis=0))


def calibrate(generator, batches=100):
    """Sets BatchNorm's moving statistics to those of a generator's own pictures.

    Those of an average of weights are not the average of theirs. The result depends on the other
    weights alone.

    Args:
      generator: a Keras model from z.
      batches: of 128 z each; BatchNorm remembers about the last ten.
    """
    norms = [layer for layer in generator.layers if isinstance(layer, layers.BatchNorm)]
    if not norms:
        return
    for norm in norms:
        norm.moving_mean.assign(tf.zeros_like(norm.moving_mean))
        norm.moving_variance.assign(tf.ones_like(norm.moving_variance))
    frozen, generator.trainable = not generator.trainable, True

    @tf.function(autograph=False)
    def see(seed):
        generator(random_latents(128, generator.input_shape[-1], seed), training=True)

    for n in range(batches):
        see(tf.constant([0, n]))
    generator.trainable = not frozen
