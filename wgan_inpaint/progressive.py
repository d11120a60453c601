"""A DCGAN that is trained on small pictures first: its networks at every size, and while one fades.

[1] T. Karras, T. Aila, S. Laine, J. Lehtinen. Progressive Growing of GANs for Improved Quality,
    Stability, and Variation. ICLR 2018. Section 2 and Figure 2.

At size s the generator is the full one up to its map of s / 2, with a last transposed convolution
of its own; the critic has a first convolution of its own, and from its second map on the full
one's layers. While s fades in, the outer ones of s / 2 are at work beside them: before the tanh,
and behind the norm of the critic's second map, so that at alpha = 0 both are the networks of s / 2
and at 1 those of s. In [1] sizes are joined by 1x1 convolutions, which the final network keeps;
here that is the plain DCGAN.
"""

import keras
import tensorflow as tf

from common.training import layers
from wgan_inpaint.networks import KERNEL, LEAK, initial

FADING = "_fading"


class Fade(keras.layers.Layer):
    """``alpha a + (1 - alpha) b``, in their type; alpha is a number that training sets."""

    def build(self, input_shape):
        """Makes alpha."""
        self.alpha = self.add_weight(name="alpha", shape=(), initializer="ones", trainable=False)

    def call(self, inputs):
        """Two tensors of one shape to another one."""
        new, old = inputs
        alpha = tf.cast(self.alpha.value, new.dtype)
        return alpha * new + (1 - alpha) * old

    def compute_output_shape(self, input_shape):
        """That of either."""
        return input_shape[0]


def networks(generator, critic, architecture, stages, dtype="float32"):
    """The networks of all stages but the full size's.

    Args:
      generator, critic: of ``wgan_inpaint.networks``, for full size.
      architecture: their ``Architecture``.
      stages: list of ``wgan_inpaint.settings.Stage``, the full size's among them.
      dtype: Keras dtype policy.

    Returns:
      {name: ``keras.Model``}: "generator_16", "critic_16" and, of those that fade in,
      "generator_16_fading", "critic_16_fading". They share the layers of the full ones, and of each
      other.
    """
    full, built = architecture.size, {}
    sizes = {stage.size for stage in stages} | {full}
    last = {size: _last(generator, size, full, dtype) for size in sizes}
    first = {size: _first(critic, architecture, size, dtype) for size in sizes}
    for stage in stages:
        if stage.size != full:
            made = (
                _generator(generator, last, stage.size, None),
                (_critic(critic, architecture, first, stage.size, None, dtype)),
            )
            built |= _named(f"_{stage.size}", *made)
        if stage.fade:
            fade = Fade(name=f"fade_{stage.size}", dtype=dtype)
            made = (
                _generator(generator, last, stage.size, fade),
                (_critic(critic, architecture, first, stage.size, fade, dtype)),
            )
            built |= _named(f"_{stage.size}{FADING}", *made)
    return built


def _named(key, generator, critic):
    return {f"generator{key}": generator, f"critic{key}": critic}


def _last(generator, size, full, dtype):
    """The generator's last layer at this size."""
    if size == full:
        return generator.get_layer("output")
    options = initial(dtype=dtype, padding="same", strides=2)
    return keras.layers.Conv2DTranspose(3, KERNEL, name=f"output_{size}", **options)


def _first(critic, architecture, size, dtype):
    """The critic's first layer at this size."""
    if size == architecture.size:
        return critic.get_layer("conv1")
    options = initial(dtype=dtype, padding="same", strides=2)
    channels = architecture.channels[_scale(architecture, size)]
    return keras.layers.Conv2D(channels, KERNEL, name=f"conv1_{size}", **options)


def _scale(architecture, size):
    return (architecture.size // size).bit_length() - 1


def _generator(network, last, size, fade):
    maps = {layer.output.shape[1]: layer for layer in network.layers if "relu" in layer.name}
    x = last[size](maps[size // 2].output)
    if fade:
        old = last[size // 2](maps[size // 4].output)
        x = fade([x, keras.layers.UpSampling2D(2, name=f"up_{size}")(old)])
    x = layers.UnitRange("tanh", name=f"unit_range_{size}")(x)
    return keras.Model(network.input, x, name=f"generator_{size}{FADING if fade else ''}")


def _critic(network, architecture, first, size, fade, dtype):
    images = keras.Input((size, size, 3), name="images")
    x = network.get_layer("symmetric_range")(images)
    begins = _scale(architecture, size) + 2
    there = {layer.name for layer in network.layers}
    old = None
    if fade:
        smaller = keras.layers.AveragePooling2D(2, name=f"down_{size}", dtype=dtype)(x)
        old = first[size // 2](smaller)
    x = keras.layers.LeakyReLU(LEAK, name=f"relu1_{size}", dtype=dtype)(first[size](x))
    for n in range(begins, len(architecture.channels) + 1):
        x = network.get_layer(f"conv{n}")(x)
        if f"norm{n}" in there:
            x = network.get_layer(f"norm{n}")(x)
        if n == begins and fade:
            x = fade([x, old])
        x = network.get_layer(f"relu{n}")(x)
    x = network.get_layer("score")(network.get_layer("flatten")(x))
    return keras.Model(images, x, name=f"critic_{size}{FADING if fade else ''}")
