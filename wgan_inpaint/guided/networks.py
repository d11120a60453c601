"""Networks of both steps: encoder, codebook and decoder; guides, their tables, and gradients.

Sizes, layers and constants are ours: [1] draws none. The field h has a point for every ``stride`` x
``stride`` pixels. Nothing is normalized over a batch or a picture: a known point's code and a
picture's result depend on nothing that they should not see.

[1] 基于卷积神经网络的图像修复、绘画方法: CNNLG. Section 4.
[2] A. van den Oord et al. Neural Discrete Representation Learning. NeurIPS 2017. Appendix A.1:
    the codebook by moving averages.
[3] P. Dhariwal et al. Jukebox. 2020. Section 3.1: codes that nobody uses are revived.
[4] G. Huang et al. Densely Connected Convolutional Networks. CVPR 2017.
[5] F. Visin et al. ReNet: A Recurrent Neural Network Based Alternative to Convolutional Networks.
    2015: sweeps in four directions.
"""

import keras
import tensorflow as tf

from wgan_inpaint.guided import likelihood, poisson

DECODER = (64, 32)  # channels of the decoder at the field's size and at half the picture's
GROWTH, BOTTLENECK = 24, 48  # channels of a dense layer ([4]: k and 4 k)
DILATIONS = (1, 2, 4, 1, 2) * 2
CONTEXT = 10  # channels that the decoder is told on request: gradients, the known pixels, the hole
GATES = 24  # units of a sweep
ROUNDS = 2  # of sweeps along all rows and then along all columns
GRADIENT_SCALE = 4.0  # differences are small numbers


def window(stride):
    """(side in pixels of what a point of the field sees, pixels of it before the point's own)."""
    return 3 * stride - 2, stride - 1


def known_points(masks, stride):
    """Points whose window holds no missing pixel: the hole cannot touch their codes.

    Args:
      masks: [B, H, W, 1], 1 = missing; H and W are multiples of ``stride``.
      stride: pixels from point to point.

    Returns:
      bool [B, H / stride, W / stride, 1].
    """
    side, before = window(stride)
    padded = tf.pad(masks, [[0, 0], [before, before], [before, before], [0, 0]])
    return tf.nn.max_pool2d(padded, side, stride, "VALID") < 0.5


class Codebook(keras.layers.Layer):
    """K vectors of length D, each the moving average of what is nearest to it ([2]).

    Attributes:
      codes: [K, D].
      counts, sums: the averages: [K], and [K, D].
    """

    def __init__(self, codes, length, **kwargs):
        super().__init__(**{"name": "codebook", "dtype": "float32", **kwargs})
        options = {"trainable": False}
        self.codes = self.add_weight((codes, length), name="codes", **options)
        self.counts = self.add_weight((codes,), "ones", name="counts", **options)
        self.sums = self.add_weight((codes, length), name="sums", **options)
        self.built = True

    def nearest(self, encoded):
        """Numbers of the nearest codes: [..., D] -> int32 [...]."""
        codes = tf.convert_to_tensor(self.codes)
        products = tf.matmul(encoded, tf.cast(codes, encoded.dtype), transpose_b=True)
        distances = tf.reduce_sum(tf.square(codes), axis=-1) - 2 * products
        return tf.argmin(distances, axis=-1, output_type=tf.int32)

    def vectors(self, labels):
        """int32 [...] -> [..., D]."""
        return tf.gather(tf.convert_to_tensor(self.codes), labels)

    def begin(self, encoded):
        """Takes encoder outputs [N, D], N >= K, as codes."""
        count = self.codes.shape[0]
        self.codes.assign(encoded[:count])
        self.sums.assign(encoded[:count])
        self.counts.assign(tf.ones([count]))

    def follow(self, encoded, labels, decay, least, seed):
        """Moves the codes towards what was nearest, and revives those that hardly anything is.

        Args:
          encoded: [N, D].
          labels: int32 [N].
          decay: of the averages.
          least: average count a step below which a code is revived: an output of the encoder at
            random takes its place ([3]).
          seed: int32 [2].
        """
        used = tf.one_hot(labels, self.codes.shape[0])
        counts = decay * self.counts + (1 - decay) * tf.reduce_sum(used, axis=0)
        sums = decay * self.sums + (1 - decay) * tf.matmul(used, encoded, transpose_a=True)
        chosen = tf.random.stateless_uniform(
            counts.shape, seed, 0, tf.shape(encoded)[0], tf.int32, alg="philox"
        )
        dead = counts < least
        sums = tf.where(dead[:, None], tf.gather(encoded, chosen), sums)
        counts = tf.where(dead, 1.0, counts)
        self.counts.assign(counts)
        self.sums.assign(sums)
        self.codes.assign(sums / counts[:, None])


class Tables(keras.layers.Layer):
    """R and D of ``wgan_inpaint.guided.field``: which codes suit each other; from zero.

    Attributes:
      right, down: [K, K].
    """

    def __init__(self, codes, **kwargs):
        super().__init__(**{"name": "tables", "dtype": "float32", **kwargs})
        self.right = self.add_weight((codes, codes), "zeros", name="right")
        self.down = self.add_weight((codes, codes), "zeros", name="down")
        self.built = True


def _conv(x, channels, side, name, dtype, strides=1, **options):
    options = {"padding": "same", "kernel_initializer": "he_normal", **options}
    return keras.layers.Conv2D(channels, side, strides, name=name, dtype=dtype, **options)(x)


def _activate(x, kind, name, dtype):
    if kind == "leaky_relu":
        return keras.layers.LeakyReLU(0.2, name=name, dtype=dtype)(x)
    return keras.layers.Activation(kind, name=name, dtype=dtype)(x)


class SpaceToDepth(keras.layers.Layer):
    """Blocks of 2 x 2 pixels as one with four times the channels."""

    def call(self, inputs):
        """[B, H, W, C] -> [B, H / 2, W / 2, 4 C]."""
        return tf.nn.space_to_depth(inputs, 2)


class DepthToSpace(keras.layers.Layer):
    """The inverse of ``SpaceToDepth``."""

    def call(self, inputs):
        """[B, H, W, 4 C] -> [B, 2 H, 2 W, C]."""
        return tf.nn.depth_to_space(inputs, 2)


def encoder(stride=4, length=32, activation="silu", dtype="float32"):
    """Builds q: a picture to the vectors whose nearest codes are its field.

    Two convolutions of 4x4 (three for a stride of 8) and two of 1x1, no more: the smaller the
    window, the more points' codes the hole leaves alone.

    Args:
      stride: 4 or 8, pixels from point to point.
      length: D of a vector.
      activation: one of ``settings.ACTIVATIONS``.
      dtype: Keras dtype policy.

    Returns:
      A ``keras.Model`` from [B, H, W, 3] in [0, 1] to float32 [B, H / stride, W / stride, D].
    """
    images = keras.Input((None, None, 3), name="images")
    x = keras.layers.Rescaling(2, -1, name="signed", dtype=dtype)(images)
    for n, channels in enumerate({4: (32, 64), 8: (32, 64, 64)}[stride]):
        x = _conv(x, channels, 4, f"down{n}", dtype, strides=2)
        x = _activate(x, activation, f"down{n}_act", dtype)
    x = _activate(_conv(x, 64, 1, "wide", dtype), activation, "wide_act", dtype)
    return keras.Model(images, _conv(x, length, 1, "vectors", "float32"), name="encoder")


def _residual(x, channels, name, activation, dtype):
    y = _activate(x, activation, f"{name}_act0", dtype)
    y = _activate(_conv(y, channels, 3, f"{name}0", dtype), activation, f"{name}_act1", dtype)
    small = keras.initializers.RandomNormal(0, 1e-3)
    y = _conv(y, channels, 3, f"{name}1", dtype, kernel_initializer=small)
    return keras.layers.Add(name=f"{name}_add", dtype=dtype)([x, y])


def decoder(stride=4, length=32, mixtures=1, activation="silu", dtype="float32", name="decoder"):
    """Builds p(x | h): code vectors to the parameters of every pixel's density.

    What it is told besides enters without a bias: zeros tell nothing.

    Args:
      stride, length, activation, dtype: of ``encoder``.
      mixtures: of ``likelihood.log_likelihood``.
      name: of the model.

    Returns:
      A ``keras.Model`` from {"field": [B, h, w, D], "context": [B, H, W, ``CONTEXT``]} to float32
      [B, H, W, ``likelihood.channels(mixtures)``].
    """
    field = keras.Input((None, None, length), name="field")
    context = keras.Input((None, None, CONTEXT), name="context")
    wide, narrow = DECODER
    x = _residual(_conv(field, wide, 3, "enter", dtype), wide, "coarse", activation, dtype)
    told = SpaceToDepth(name="told_blocks", dtype=dtype)(context)
    told = _conv(told, narrow, 3, "told", dtype, use_bias=False)
    doublings = stride.bit_length() - 2
    for n in range(doublings):
        x = keras.layers.UpSampling2D(name=f"up{n}", dtype=dtype)(x)
        x = _conv(x, narrow, 3, f"up{n}_conv", dtype)
        if n == doublings - 1:
            x = keras.layers.Add(name="join", dtype=dtype)([x, told])
        x = _residual(x, narrow, f"fine{n}", activation, dtype)
    x = _activate(x, activation, "last_act", dtype)
    x = _conv(x, 4 * likelihood.channels(mixtures), 3, "parameters", "float32")
    pixels = DepthToSpace(name="pixels", dtype="float32")(x)
    return keras.Model({"field": field, "context": context}, pixels, name=name)


def guides(stride=4, length=32, codes=128, dtype="float32"):
    """Builds the dense network ([4]) that sees the damaged picture and its known codes.

    Args:
      stride, length, dtype: of ``encoder``.
      codes: K.

    Returns:
      A ``keras.Model`` from {"images": [B, H, W, 3] in [0, 1], zero where missing, "masks": [B, H,
      W, 1], 1 = missing, "field": [B, h, w, D], zero where unknown, "known": [B, h, w, 1]} to
      {"unary": float32 [B, h, w, K], "weights": float32 [B, h, w, 2], what a point adds to the
      weights of the edges that start and end there}.
    """
    inputs = {
        "images": keras.Input((None, None, 3), name="images"),
        "masks": keras.Input((None, None, 1), name="masks"),
        "field": keras.Input((None, None, length), name="field"),
        "known": keras.Input((None, None, 1), name="known"),
    }
    x = Visible(name="visible", dtype=dtype)([inputs["images"], inputs["masks"]])
    for n, channels in enumerate({4: (48, 96), 8: (32, 48, 96)}[stride]):
        x = _activate(_conv(x, channels, 4, f"stem{n}", dtype, strides=2), "silu", f"a{n}", dtype)
    codes_known = keras.layers.Concatenate(name="codes", dtype=dtype)(
        [inputs["field"], inputs["known"]]
    )
    features = [x, _conv(codes_known, 32, 1, "codes_conv", dtype)]
    for n, dilation in enumerate(DILATIONS):
        y = keras.layers.Concatenate(name=f"dense{n}_join", dtype=dtype)(features)
        y = keras.layers.LayerNormalization(name=f"dense{n}_norm", dtype=dtype)(y)
        y = _activate(y, "silu", f"dense{n}_act0", dtype)
        y = _conv(y, BOTTLENECK, 1, f"dense{n}_wide", dtype)
        y = _activate(y, "silu", f"dense{n}_act1", dtype)
        y = _conv(y, GROWTH, 3, f"dense{n}_conv", dtype, dilation_rate=dilation)
        features.append(y)
    x = keras.layers.Concatenate(name="features", dtype=dtype)(features)
    x = keras.layers.LayerNormalization(name="features_norm", dtype=dtype)(x)
    x = _activate(_conv(x, 128, 1, "head", dtype), "silu", "head_act", dtype)
    small = {"kernel_initializer": keras.initializers.RandomNormal(0, 0.01)}
    outputs = {
        "unary": _conv(x, codes, 1, "unary", "float32", **small),
        "weights": _conv(x, 2, 1, "weights", "float32", **small),
    }
    return keras.Model(inputs, outputs, name="guides")


class Visible(keras.layers.Layer):
    """The damaged picture in [-1, 1], zero where missing, and the mask."""

    def call(self, inputs):
        """([B, H, W, 3] in [0, 1], [B, H, W, 1]) -> [B, H, W, 4]."""
        images, masks = (tf.cast(x, self.compute_dtype) for x in inputs)
        hole = masks > 0.5
        return tf.concat([tf.where(hole, tf.zeros_like(images), 2 * images - 1), masks], axis=-1)

    def compute_output_shape(self, input_shape):
        """Four channels."""
        return (*input_shape[0][:3], 4)


class KnownDifferences(keras.layers.Layer):
    """Differences between known pixels, enlarged, zero elsewhere, and where they are known."""

    def call(self, inputs):
        """([B, H, W, 3] in [0, 1], [B, H, W, 1]) -> [B, H, W, 8]."""
        images, masks = (tf.cast(x, self.compute_dtype) for x in inputs)
        images = tf.where(masks > 0.5, tf.zeros_like(images), images)
        unknown = poisson.edges(masks)
        found = poisson.differences(images)
        kept = [
            tf.where(edge > 0.5, tf.zeros_like(d), GRADIENT_SCALE * d)
            for edge, d in zip(unknown, found, strict=True)
        ]
        return tf.concat([*kept, *(1 - edge for edge in unknown)], axis=-1)

    def compute_output_shape(self, input_shape):
        """Three and three differences, and a map of each direction."""
        return (*input_shape[0][:3], 8)


class Sweep(keras.layers.Layer):
    """A pair of recurrent sweeps along all rows, or all columns ([5])."""

    def __init__(self, units, columns=False, **kwargs):
        super().__init__(**kwargs)
        self.units, self.columns = units, columns
        self.both = keras.layers.Bidirectional(
            keras.layers.GRU(units, return_sequences=True, dtype=self.dtype_policy),
            name="both",
            dtype=self.dtype_policy,
        )

    def build(self, input_shape):
        """Makes the gates."""
        self.both.build((None, None, input_shape[-1]))
        super().build(input_shape)

    def call(self, inputs):
        """[B, H, W, C] -> [B, H, W, 2 units]."""
        x = tf.transpose(inputs, [0, 2, 1, 3]) if self.columns else inputs
        shape = tf.shape(x)
        lines = tf.reshape(x, [shape[0] * shape[1], shape[2], inputs.shape[-1]])
        swept = self.both(lines)
        x = tf.reshape(swept, tf.concat([shape[:3], [2 * self.units]], axis=0))
        return tf.transpose(x, [0, 2, 1, 3]) if self.columns else x

    def compute_output_shape(self, input_shape):
        """Of both directions together."""
        return (*input_shape[:3], 2 * self.units)


def gradients(dtype="float32"):
    """Builds the shallow recurrent network that predicts the gradients inside the hole.

    Args:
      dtype: Keras dtype policy.

    Returns:
      A ``keras.Model`` from {"images": [B, H, W, 3] in [0, 1], "masks": [B, H, W, 1]}, H and W
      even, to float32 [B, H, W, 6]: differences to the right, then down, of numbers in [0, 1].
    """
    inputs = {
        "images": keras.Input((None, None, 3), name="images"),
        "masks": keras.Input((None, None, 1), name="masks"),
    }
    pair = [inputs["images"], inputs["masks"]]
    x = keras.layers.Concatenate(name="seen", dtype=dtype)(
        [
            KnownDifferences(name="differences", dtype=dtype)(pair),
            Visible(name="visible", dtype=dtype)(pair),
        ]
    )
    x = SpaceToDepth(name="blocks", dtype=dtype)(x)
    x = _activate(_conv(x, 48, 3, "enter", dtype), "silu", "enter_act", dtype)
    features = [x]
    for n in range(ROUNDS):
        x = Sweep(GATES, name=f"rows{n}", dtype=dtype)(x)
        x = Sweep(GATES, columns=True, name=f"columns{n}", dtype=dtype)(x)
        features.append(x)
    x = keras.layers.Concatenate(name="features", dtype=dtype)(features)
    x = _activate(_conv(x, 96, 3, "head", dtype), "silu", "head_act", dtype)
    x = _conv(x, 24, 3, "gradients", "float32")
    x = DepthToSpace(name="pixels", dtype="float32")(x)
    x = keras.layers.Rescaling(1 / GRADIENT_SCALE, name="scale", dtype="float32")(x)
    return keras.Model(inputs, x, name="gradients")
