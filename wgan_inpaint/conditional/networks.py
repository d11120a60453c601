"""Generator G(m, z), discriminator D(m, x) and, on request, latent regressor E(x).

Two architectures. "listing" is that of the document [4], with what its code lacks and we add: the
encoder that brings m in, which mirrors the generator, and rows of stride 2 (the listing's generator
ends at 16x16 pixels, its discriminator is made for 32x32). "style" is ours:

z enters the generator as style at every scale and at 4x4: skips alone would paint the hole's edge
and all high resolutions without it. Nothing is normalized over a batch, so that an answer does not
depend on the other pictures of its batch.

[1] S. Zhao et al. Large Scale Image Completion via Co-Modulated Generative Adversarial Networks.
    ICLR 2021. Section 3.3: the style is [mapping(z), Dense of the encoder].
[2] T. Karras et al. Progressive Growing of GANs. ICLR 2018. Section 4.2: pixel normalization.
[3] E. Perez et al. FiLM: Visual Reasoning with a General Conditioning Layer. AAAI 2018.
[4] 无监督学习在图像修复中的应用. Section 5.
[5] J.-Y. Zhu et al. Toward Multimodal Image-to-Image Translation. NeurIPS 2017.
"""

import keras
import tensorflow as tf

from common.training import layers
from wgan_inpaint.networks import each

LEAK = 0.2  # of LeakyReLU
STYLE = 96  # channels of either half of the style
START = 4  # side of the encoder's last map and of the generator's first
SEED_CHANNELS = 32  # of z's own map there
STDDEV = 0.02  # of the initial weights that are not He's, DCGAN's
CODE = 100  # of the encoder of "listing", as long as its z
# Of the encoder's maps from the full size down, each half as wide and high, and of the decoder's,
# which are as large; 128 px has one row more on top. Then the discriminator's.
CHANNELS = {32: (24, 48, 96, 128), 64: (16, 24, 48, 96, 128), 128: (12, 16, 24, 48, 96, 128)}
DISCRIMINATOR = {32: (32, 64, 96, 128), 64: (16, 32, 64, 96, 128), 128: (12, 16, 32, 64, 96, 128)}

# Of [4]: the generator's rows from 4x4 up, but the last, which makes the picture; the
# discriminator's, each half as wide and high. The listing has the three of 16 and of 32 px.
LISTING = {32: (128, 64, 32), 64: (256, 128, 64, 32), 128: (512, 256, 128, 64, 32)}
LISTING_DISCRIMINATOR = {32: (32, 64, 128), 64: (32, 64, 128, 256), 128: (32, 64, 128, 256, 512)}


class PixelNorm(keras.layers.Layer):
    """``x / sqrt(mean_c x^2 + 1e-6)``: every pixel's channels to one length ([2])."""

    def call(self, inputs):
        """[B, H, W, C] -> the same shape and type; the length is computed in float32."""
        squares = tf.reduce_mean(tf.square(tf.cast(inputs, tf.float32)), axis=-1, keepdims=True)
        return inputs * tf.cast(tf.math.rsqrt(squares + 1e-6), inputs.dtype)


class Modulate(keras.layers.Layer):
    """``x (1 + g) + b``, g and b being one pair for each channel of each picture ([3])."""

    def call(self, inputs):
        """([B, H, W, C], [B, 2 C]) -> [B, H, W, C]."""
        x, style = inputs
        scale, shift = tf.split(style[:, None, None], 2, axis=-1)
        return x * (1 + scale) + shift

    def compute_output_shape(self, input_shape):
        """The first one's."""
        return input_shape[0]


class ForSamples(keras.layers.Layer):
    """A map of each picture, repeated for each of its samples."""

    def call(self, inputs):
        """([B, ...], z [B, K, Z]) -> [B K, ...]."""
        x, z = inputs
        return each(x, tf.shape(z)[1])

    def compute_output_shape(self, input_shape):
        """The first one's, of an unknown number."""
        return (None, *input_shape[0][1:])


class EachSample(keras.layers.Layer):
    """[B, K, Z] -> [B K, Z]."""

    def call(self, inputs):
        """Takes z, returns its rows one after another."""
        return tf.reshape(inputs, [-1, inputs.shape[-1]])

    def compute_output_shape(self, input_shape):
        """Of an unknown number."""
        return (None, input_shape[-1])


class OfSamples(keras.layers.Layer):
    """The pictures of all samples back to [B, K, S, S, 3], in float32 and in [0, 1] by tanh."""

    def __init__(self, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, inputs):
        """(logits [B K, S, S, 3], z [B, K, Z]) -> [B, K, S, S, 3]."""
        x, z = inputs
        pictures = (tf.tanh(x) + 1) / 2
        return tf.reshape(pictures, tf.concat([tf.shape(z)[:2], tf.shape(x)[1:]], axis=0))

    def compute_output_shape(self, input_shape):
        """[B, K, S, S, 3]."""
        return (*input_shape[1][:2], *input_shape[0][1:])


def _conv(x, channels, side, name, dtype, strides=1):
    options = {"padding": "same", "kernel_initializer": "he_normal", "dtype": dtype}
    return keras.layers.Conv2D(channels, side, strides, name=name, **options)(x)


def _dense(x, units, name, dtype, spread=None):
    initial = keras.initializers.RandomNormal(0, spread) if spread else "he_normal"
    return keras.layers.Dense(units, kernel_initializer=initial, name=name, dtype=dtype)(x)


def _leaky(x, name, dtype):
    return keras.layers.LeakyReLU(LEAK, name=name, dtype=dtype)(x)


def generator(architecture="style", size=64, latent=64, dtype="float32"):
    """Builds G(m, z): the encoder runs once for each picture, the rest once for each sample.

    Args:
      architecture: "style" or "listing".
      size: S in pixels, one of ``CHANNELS``.
      latent: Z, length of z.
      dtype: Keras dtype policy, "float32" or "mixed_bfloat16".

    Returns:
      A ``keras.Model`` from {"images": [B, S, S, 3] in [0, 1], "masks": [B, S, S, 1], 1 = missing,
      "z": [B, K, Z], each element N(0, 1)} to pictures [B, K, S, S, 3] in [0, 1], float32; what it
      paints where pixels are known is to be replaced by them.
    """
    inputs = {
        "images": keras.Input((size, size, 3), name="images"),
        "masks": keras.Input((size, size, 1), name="masks"),
        "z": keras.Input((None, latent), name="z"),
    }
    damaged = layers.DamagedImage(name="damaged")({n: inputs[n] for n in ("images", "masks")})
    z = EachSample(name="each_z", dtype=dtype)(inputs["z"])
    build = {"style": _style, "listing": _listing}[architecture]
    pictures = OfSamples(name="pictures")([build(damaged, z, inputs["z"], dtype), inputs["z"]])
    return keras.Model(inputs, pictures, name="generator")


def _listing(x, z, samples, dtype):
    """The generator of [4] behind its mirror image, from the damaged picture and every z."""
    rows, normal = LISTING[x.shape[1]], keras.initializers.RandomNormal
    options = {"padding": "same", "use_bias": False, "dtype": dtype}
    for n, channels in enumerate((*rows[:0:-1], rows[0])):
        x = keras.layers.Conv2D(
            channels, 4, 2, name=f"encode{n}", kernel_initializer=normal(0, STDDEV), **options
        )(x)
        if n:
            x = layers.BatchNorm(name=f"encode{n}_norm", dtype=dtype)(x)
        x = _leaky(x, f"encode{n}_relu", dtype)
    x = keras.layers.Flatten(name="flatten", dtype=dtype)(x)
    x = ForSamples(name="each_code", dtype=dtype)([_dense(x, CODE, "code", dtype, STDDEV), samples])
    x = keras.layers.Concatenate(name="join", dtype=dtype)([z, x])
    x = keras.layers.Reshape((1, 1, x.shape[-1]), name="pixel", dtype=dtype)(x)
    for n, channels in enumerate((*rows, 3)):
        steps = {"strides": 2, "padding": "same"} if n else {"strides": 1, "padding": "valid"}
        x = keras.layers.Conv2DTranspose(
            channels, 4, name=f"decode{n}", kernel_initializer=normal(0, STDDEV),
            **{**options, **steps},
        )(x)  # fmt: skip
        if n < len(rows):
            x = layers.BatchNorm(name=f"decode{n}_norm", dtype=dtype)(x)
            x = keras.layers.ReLU(name=f"decode{n}_relu", dtype=dtype)(x)
    return x


def _style(x, z, samples, dtype):
    """The encoder, and the decoder whose every scale is modulated by z and the encoder."""
    size, maps = x.shape[1], []
    for n, channels in enumerate(CHANNELS[size]):
        if n == 0:
            x = _conv(x, channels, 3, "encode0", dtype)
        else:
            x = _conv(x, channels, 4, f"encode{n}", dtype, strides=2)
            x = PixelNorm(name=f"encode{n}_norm", dtype=dtype)(x)
        x = _leaky(x, f"encode{n}_relu", dtype)
        maps.append(x)

    def repeated(x, name):
        return ForSamples(name=name, dtype=dtype)([x, samples])

    w = _leaky(_dense(z, STYLE, "mapping0", dtype), "mapping0_relu", dtype)
    w = _leaky(_dense(w, STYLE, "mapping1", dtype), "mapping1_relu", dtype)
    context = keras.layers.Flatten(name="flatten", dtype=dtype)(maps[-1])
    context = repeated(_dense(context, STYLE, "context", dtype), "each_context")
    style = keras.layers.Concatenate(name="style", dtype=dtype)([w, context])
    x = _dense(w, START * START * SEED_CHANNELS, "start", dtype)
    x = keras.layers.Reshape((START, START, SEED_CHANNELS), name="start_map", dtype=dtype)(x)
    for n, channels in reversed(list(enumerate(CHANNELS[size]))):
        if n < len(maps) - 1:
            x = keras.layers.UpSampling2D(name=f"decode{n}_up", dtype=dtype)(x)
        skip = repeated(maps[n], f"decode{n}_skip")
        x = keras.layers.Concatenate(name=f"decode{n}_join", dtype=dtype)([x, skip])
        x = PixelNorm(name=f"decode{n}_norm", dtype=dtype)(
            _conv(x, channels, 3, f"decode{n}", dtype)
        )
        film = _dense(style, 2 * channels, f"decode{n}_style", dtype, spread=0.1)
        x = Modulate(name=f"decode{n}_film", dtype=dtype)([x, film])
        x = _leaky(x, f"decode{n}_relu", dtype)
    return _conv(x, 3, 3, "output", dtype)


def discriminator(architecture="style", size=64, dtype="float32", condition=3):
    """Builds D(m, x): six channels, the damaged picture and the candidate.

    Args:
      architecture: "style" or "listing".
      size: S in pixels.
      dtype: Keras dtype policy.
      condition: channels before the candidate's.

    Returns:
      A ``keras.Model`` from [B, S, S, condition + 3] in [-1, 1] to logits [B, 1], float32.
    """
    pair = keras.Input((size, size, condition + 3), name="pair")
    build = {"style": _plain_rows, "listing": _listing_rows}[architecture]
    return keras.Model(pair, build(pair, dtype), name="discriminator")


def regressor(size=64, latent=64, dtype="float32"):
    """Builds BicycleGAN's E(x) ([5]) in D's rows; here it reads z from the hole alone.

    Args:
      size: S in pixels.
      latent: Z, length of z.
      dtype: Keras dtype policy.

    Returns:
      A ``keras.Model`` from [B, S, S, 3] in [-1, 1], 0 outside the hole, to [B, Z], float32.
    """
    hole = keras.Input((size, size, 3), name="hole")
    return keras.Model(hole, _plain_rows(hole, dtype, latent, "z"), name="regressor")


def _listing_rows(x, dtype):
    """Of [4], without its sigmoid: logits; no bias, BatchNorm from the second row."""
    for n, channels in enumerate(LISTING_DISCRIMINATOR[x.shape[1]]):
        x = keras.layers.Conv2D(
            channels, 4, 2, "same", use_bias=False, name=f"conv{n}", dtype=dtype,
            kernel_initializer=keras.initializers.RandomNormal(0, STDDEV),
        )(x)  # fmt: skip
        if n:
            x = layers.BatchNorm(name=f"norm{n}", dtype=dtype)(x)
        x = _leaky(x, f"relu{n}", dtype)
    x = keras.layers.Flatten(name="flatten", dtype=dtype)(x)
    initial = keras.initializers.RandomNormal(0, STDDEV)
    logit = keras.layers.Dense(
        1, use_bias=False, kernel_initializer=initial, name="logit", dtype="float32"
    )
    return logit(x)


def _plain_rows(x, dtype, units=1, name="logit"):
    """Without normalization: the penalty on its gradient is its only brake."""
    size = x.shape[1]
    for n, channels in enumerate(DISCRIMINATOR[size]):
        side, strides = (4, 2) if n else (3, 1)
        x = _leaky(_conv(x, channels, side, f"conv{n}", dtype, strides), f"relu{n}", dtype)
    last = DISCRIMINATOR[size][-1]
    x = _leaky(_conv(x, last, 3, "last", dtype), "last_relu", dtype)
    x = keras.layers.Flatten(name="flatten", dtype=dtype)(x)
    return _dense(x, units, name, "float32", spread=STDDEV)
