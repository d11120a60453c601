"""The networks of GLCIC, as tables that mirror the papers'.

[1] S. Iizuka, E. Simo-Serra, H. Ishikawa. Globally and Locally Consistent Image Completion.
    ACM TOG 36(4), 2017. Tables 1 and 2.
[2] 王可新, 王力. 基于生成对抗网络的图像修复算法. 智能计算机与应用 10, 2020. Section 2.
[3] 禅与计算机程序设计艺术. GAN在图像修复中的创新应用实践. Section 4.2.
[6] T.-C. Wang et al. High-Resolution Image Synthesis and Semantic Manipulation with Conditional
    GANs. CVPR 2018. Section 3.2.
[7] Z. Yi et al. Contextual Residual Aggregation for Ultra High-Resolution Image Inpainting. CVPR
    2020. Section 3.1.

Images are float32 RGB [B, H, W, 3] in [0, 1], masks float32 [B, H, W, 1] with 1 = missing.
A convolution that BatchNorm follows has no bias: BatchNorm would cancel it.
"""

import keras
import tensorflow as tf

from common.pictures import filling
from common.training import layers, spectral
from common.training.attention import ContextualAttention
from glcic.architectures import (  # noqa: F401  the tables, too, are found here
    ARCHITECTURES,
    ATTENDED,
    ATTENTION_BRANCH,
    IIZUKA2017_COMPLETION,
    PRACTICE_COMPLETION,
    WANG2020_COMPLETION,
    Architecture,
    Attention,
    Conv,
)

# All completion networks halve the size twice: sizes must be multiples of this, in pixels.
SIZE_MULTIPLE = 4

BAND = 4  # pixels around a hole at which ``Levelled`` and ``Copied`` look
# The difference at which ``Copied`` takes half of what was found, and how fast more or less.
ALIKE, SLOPE = 0.05, 2.0


class CompletionInput(keras.layers.Layer):
    """Images and masks to the completion network's four channels ([1] Section 3.2).

    RGB minus the training set's mean colour, zero in the hole, and the mask itself: the hole has
    that colour, or the one that training chose instead (``phases.PhasesTrainer.prepare``). What
    the image holds in the hole is dropped, even if it is not a number.
    """

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)

    def build(self, input_shape):
        """Makes the mean colour, a constant that travels with the weights."""
        self.mean_color = self.add_weight(
            name="mean_color",
            shape=(3,),
            initializer=keras.initializers.Constant(0.5),
            trainable=False,
        )

    def call(self, inputs):
        """{"images": [B, H, W, 3], "masks": [B, H, W, 1]} -> [B, H, W, 4]."""
        images, masks = inputs["images"], inputs["masks"]
        color = tf.where(masks > 0.5, 0.0, images - self.mean_color.value)
        return tf.concat([color, masks], axis=-1)

    def compute_output_shape(self, input_shape):
        """The images' shape with four channels."""
        return (*input_shape["images"][:-1], 4)


class Levelled(keras.layers.Layer):
    """A network's output, moved in the hole to the level of what surrounds it; ours.

    What the output lacks at known pixels up to ``BAND`` from the hole is diffused into it
    (``common.pictures.filling``) and added: Poisson blending, in all but name, through which a
    network can be trained. It need not know how bright and of what colour a place is, but what is
    in it. The result is cut to [0, 1], which the gradient does not see: what is too bright can be
    learned to be darker.
    """

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)

    def call(self, inputs):
        """{"images", "outputs": [B, H, W, 3], "masks": [B, H, W, 1]} -> [B, H, W, 3] in [0, 1].

        Known pixels are those of the images.
        """
        outputs, hole = inputs["outputs"], inputs["masks"] > 0.5
        images = tf.where(hole, 0.0, inputs["images"])
        lacking = filling.diffused(images - outputs, tf.where(_beside(hole), 0.0, 1.0))
        result = outputs + lacking
        result += tf.stop_gradient(tf.clip_by_value(result, 0.0, 1.0) - result)
        return tf.where(hole, result, images)

    def compute_output_shape(self, input_shape):
        """That of the images."""
        return input_shape["images"]


def _beside(hole):
    """The known pixels up to ``BAND`` from a hole, bool [B, H, W, 1]."""
    wide = tf.cast(hole, tf.float32)
    for size in ((2 * BAND + 1, 1), (1, 2 * BAND + 1)):
        wide = tf.nn.max_pool2d(wide, size, 1, "SAME")
    return (wide > 0.5) & ~hole


def _scaled(outputs, width):
    return max(1, round(outputs * width))


class Copied(keras.layers.Layer):
    """A network's output and what its attention took from the picture, each as far as a gate says.

    Ours: [7] adds what is found as residuals of high frequency. Where a hole's surroundings are
    found elsewhere, so is what the hole hid: known pixels up to ``BAND`` from it are compared with
    what was found for them, and the difference, diffused into it, opens the gate or shuts it. How
    far is learned, and so is what the network itself adds.
    """

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)

    def build(self, input_shape):
        """Makes the weight of that difference."""
        self.slope = self.add_weight(name="slope", initializer=keras.initializers.Constant(SLOPE))

    def call(self, inputs):
        """{"outputs", "found", "gate", "images", "masks"} -> [B, H, W, 3].

        ``found`` is as ``ContextualAttention`` returns it; ``gate`` [B, H, W, 1] is added to what
        the sigmoid takes. The others are as ``completion_network`` has them.
        """
        found, known = inputs["found"][..., :3], inputs["found"][..., 3:]
        outputs, masks = inputs["outputs"], inputs["masks"]
        # The features are not to learn to look alike.
        apart = tf.stop_gradient(_unlike(found, inputs["images"], masks > 0.5))
        share = tf.sigmoid(inputs["gate"] + self.slope * tf.math.log(ALIKE / (apart + 0.1 * ALIKE)))
        return outputs + share * (found - known * outputs)

    def compute_output_shape(self, input_shape):
        """That of the output."""
        return input_shape["outputs"]


def _unlike(found, images, hole):
    """How far pictures are from the known pixels beside a hole: [B, H, W, 1], diffused into it."""

    def pooled(x):
        return tf.nn.avg_pool2d(x, SIZE_MULTIPLE, SIZE_MULTIPLE, "VALID")

    band = tf.cast(_beside(hole), tf.float32)
    apart = tf.reduce_mean(tf.abs(found - tf.where(hole, 0.0, images)), axis=-1, keepdims=True)
    count = pooled(band)
    apart = tf.math.divide_no_nan(pooled(band * apart), count)
    apart = filling.diffused(apart, tf.where(count > 0.0, 0.0, 1.0))
    for axis in (1, 2):
        apart = tf.repeat(apart, SIZE_MULTIPLE, axis=axis)
    return apart


def _row(x, row, name, width, dtype):
    """One row of a table: a convolution, BatchNorm, ReLU."""
    options = {"name": name.format("conv"), "dtype": dtype, "use_bias": False}
    outputs = _scaled(row.outputs, width)
    if row.stride < 1:
        layer = keras.layers.Conv2DTranspose(
            outputs, row.kernel, strides=round(1 / row.stride), padding="same", **options
        )
    else:
        layer = layers.SymmetricConv2D(
            outputs, row.kernel, strides=row.stride, dilation_rate=row.dilation, **options
        )
    x = layers.BatchNorm(name=name.format("norm"), dtype=dtype)(layer(x))
    return keras.layers.ReLU(name=name.format("relu"), dtype=dtype)(x)


def completion_network(architecture, width=1.0, dtype="float32", levelled=False):
    """Builds the completion network C ([1] Table 1, [2] Section 2.2, [3]).

    Args:
      architecture: an ``Architecture``.
      width: factor on every layer's channels but the last's; 1 is the paper's network.
      dtype: Keras dtype policy, "float32" or "mixed_bfloat16".
      levelled: whether ``Levelled`` stands at its end.

    Returns:
      A ``keras.Model`` from {"images": [B, H, W, 3], "masks": [B, H, W, 1]} to the completed
      image [B, H, W, 3] in [0, 1], float32; H and W are multiples of ``SIZE_MULTIPLE``. It
      repaints known pixels too: see ``common.completion.blending.paste``.
    """
    images = keras.Input((None, None, 3), name="images")
    masks = keras.Input((None, None, 1), name="masks")
    inputs = {"images": images, "masks": masks}
    x = CompletionInput(name="input")(inputs)
    *hidden, last = architecture.completion
    dilated = [n for n, row in enumerate(hidden, 1) if row.dilation > 1]
    for n, row in enumerate(hidden, 1):
        if architecture.branch and n == dilated[0]:
            beside = x
            for m, other in enumerate(architecture.branch, 1):
                name = f"branch_{{}}{m}"
                if isinstance(other, Attention):
                    attention = name.format("attention")
                    look = ContextualAttention(SIZE_MULTIPLE, name=attention, dtype=dtype)
                    beside, found = look(beside, masks, images)
                else:
                    beside = _row(beside, other, name, width, dtype)
        x = _row(x, row, f"{{}}{n}", width, dtype)
        if architecture.branch and n == dilated[-1]:
            x = keras.layers.Concatenate(name="both", dtype=dtype)([x, beside])
    if architecture.branch:
        # Of zeros: to begin with the difference alone decides.
        options = {"kernel_initializer": "zeros", "name": "gate", "dtype": dtype}
        gate = layers.SymmetricConv2D(1, last.kernel, **options)(x)
    x = layers.SymmetricConv2D(
        last.outputs, last.kernel, use_bias=architecture.bias, name="output", dtype=dtype
    )(x)
    x = layers.UnitRange(architecture.output, name="unit_range")(x)
    if architecture.branch:
        x = Copied(name="copied")({**inputs, "outputs": x, "found": found, "gate": gate})
    if levelled:
        x = Levelled(name="levelled")({**inputs, "outputs": x})
    return keras.Model(inputs, x, name="completion")


def chain(network):
    """The completion network without ``Levelled``.

    Args:
      network: as ``completion_network`` builds it, without a branch of attention.

    Returns:
      A Keras model of the same layers, each behind the one before.
    """
    if not isinstance(network.layers[-1], Levelled):
        return network
    return keras.Model(network.inputs, network.layers[-2].output, name=network.name)


def without_branch(network):
    """The completion network as a chain beside its branch of attention.

    Args:
      network: as ``completion_network`` builds it, with a branch.

    Returns:
      (a Keras model without ``Levelled`` that shares its layers, but for one; the layer that sees
      the branch, too; the new one that stands in its place and does not see it).
    """
    beside = ("branch_", "both", "gate", "copied", "levelled")
    x, seeing, blind = network.input, None, None
    for layer in network.layers:
        if isinstance(layer, keras.layers.InputLayer) or layer.name.startswith(beside):
            continue
        wide = isinstance(layer, layers.SymmetricConv2D) and layer.kernel.shape[2] > x.shape[-1]
        if wide:
            seeing, options = layer, {"use_bias": layer.use_bias, "name": layer.name}
            layer = blind = layers.SymmetricConv2D(layer.filters, layer.kernel_size[0], **options)
        x = layer(x)
    return keras.Model(network.input, x, name=network.name), seeing, blind


class Halved(keras.layers.Layer):
    """Pictures at half their size: means over 3x3 pixels, two apart, of those that there are.

    One pixel outside is looked at on every side, as [6] does, and does not count; TensorFlow's SAME
    would look outside at the end alone and shift the picture.
    """

    def call(self, images):
        """[B, H, W, C] -> [B, H / 2, W / 2, C], H and W even."""

        def pooled(x):
            padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
            return tf.nn.avg_pool2d(padded, 3, 2, "VALID")

        return pooled(images) / pooled(tf.ones_like(images[:1, ..., :1]))

    def compute_output_shape(self, input_shape):
        """Half of height and width."""
        batch, height, width, channels = input_shape
        return batch, height // 2, width // 2, channels


def _attended(side, count):
    """Number of the last of so many convolutions whose map is ``ATTENDED`` wide; 0 if none is."""
    return max((n for n in range(1, count + 1) if side >> n >= ATTENDED), default=0)


def _convolution(x, name, n, channels, architecture, width, dtype, first=False):
    """One 5x5 stride-2 row of a discriminator, its norm and its ReLU."""
    spectral_norm = architecture.self_attention
    kind = spectral.SpectralConv2D if spectral_norm else layers.SymmetricConv2D
    x = kind(
        _scaled(channels, width),
        5,
        strides=2,
        use_bias=spectral_norm,
        name=f"{name}_conv{n}",
        dtype=dtype,
    )(x)
    if not spectral_norm and (not first or architecture.first_norm):
        x = layers.BatchNorm(name=f"{name}_norm{n}", dtype=dtype)(x)
    leak = architecture.leak
    return keras.layers.ReLU(negative_slope=leak, name=f"{name}_relu{n}", dtype=dtype)(x)


def _convolutions(x, name, outputs, architecture, width, dtype):
    """The 5x5 stride-2 convolutions of one discriminator."""
    attended = architecture.self_attention and _attended(x.shape[1], len(outputs))
    for n, channels in enumerate(outputs, 1):
        x = _convolution(x, name, n, channels, architecture, width, dtype, first=n == 1)
        if n == attended:
            x = spectral.SelfAttention(name=f"{name}_attention", dtype=dtype)(x)
    return x


def _dense(architecture, outputs, **options):
    kind = spectral.SpectralDense if architecture.self_attention else keras.layers.Dense
    return kind(outputs, **options)


def _branch(x, name, outputs, architecture, width, dtype):
    """One discriminator up to its feature vector: convolutions, then dense."""
    x = _convolutions(x, name, outputs, architecture, width, dtype)
    x = keras.layers.Flatten(name=f"{name}_flatten", dtype=dtype)(x)
    options = {"activation": "relu", "name": f"{name}_features", "dtype": dtype}
    return _dense(architecture, _scaled(architecture.features, width), **options)(x)


def discriminator(architecture, width=1.0, dtype="float32"):
    """Builds the global and the local discriminator with their common last layer ([1] Table 2).

    Of an architecture without a local one, the global one alone ([3]).

    Args:
      architecture: an ``Architecture``.
      width: factor on every layer's channels; 1 is the paper's network.
      dtype: Keras dtype policy, "float32" or "mixed_bfloat16".

    Returns:
      A ``keras.Model`` from {"images": [B, S, S, 3], "patches": [B, P, P, 3]} in [0, 1], with
      S and P the architecture's image and patch size, to logits [B, 1], float32: the two
      1024-vectors, concatenated to 2048, to one number whose sigmoid is P(real). Without a local
      discriminator from {"images"} alone. At several scales to a list of such logits, the full
      size's first ([6]).
    """
    side, patch = architecture.image_size, architecture.patch_size
    inputs = {"images": keras.Input((side, side, 3), name="images")}
    if architecture.local_outputs:
        inputs["patches"] = keras.Input((patch, patch, 3), name="patches")
    seen, logits = inputs, []
    for scale in range(architecture.scales):
        suffix = f"_{2**scale}" if scale else ""
        if scale:
            seen = {name: Halved(name=f"{name}{suffix}")(x) for name, x in seen.items()}
        logits.append(_logits(seen, suffix, architecture.at_scale(scale), width, dtype))
    return keras.Model(inputs, logits if len(logits) > 1 else logits[0], name="discriminator")


def _logits(seen, suffix, architecture, width, dtype):
    """What the discriminators of one scale say."""
    if "patches" not in seen:
        return _alone(seen["images"], suffix, architecture, width, dtype)
    vectors = [
        _branch(x, f"{name}{suffix}", outputs, architecture, width, dtype)
        for x, name, outputs in (
            (seen["images"], "global", architecture.global_outputs),
            (seen["patches"], "local", architecture.local_outputs),
        )
    ]
    x = keras.layers.Concatenate(name=f"concatenate{suffix}", dtype=dtype)(vectors)
    return _dense(architecture, 1, name=f"logits{suffix}", dtype="float32")(x)


def _alone(images, suffix, architecture, width, dtype):
    name = f"global{suffix}"
    x = _convolutions(images, name, architecture.global_outputs, architecture, width, dtype)
    kind = spectral.SpectralValidConv2D if architecture.self_attention else keras.layers.Conv2D
    options = {"use_bias": architecture.bias, "name": f"logits{suffix}", "dtype": "float32"}
    return keras.layers.Flatten(name=f"numbers{suffix}", dtype="float32")(kind(1, 4, **options)(x))


def smaller_discriminator(network, architecture, scale, width=1.0, dtype="float32"):
    """A discriminator for pictures of 1 / 2^scale of the size, which shares another one's layers.

    The first rows are left out, so that maps are of the same size from the next one on; that one
    has a convolution of its own, from RGB, in both (Karras 2018 has such a layer for each size).

    Args:
      network: of ``discriminator``, for full size.
      architecture: its ``Architecture``, of one scale.
      scale: how often the size is halved, less often than there are convolutions.
      width, dtype: as ``discriminator`` takes them.

    Returns:
      A ``keras.Model`` like ``network``, for smaller inputs.
    """
    small = architecture.at_scale(scale)
    sides = {"images": small.image_size, "patches": small.patch_size}
    inputs = {
        name: keras.Input((sides[name], sides[name], 3), name=name)
        for name in ("images", "patches")
        if name == "images" or architecture.local_outputs
    }
    vectors = []
    there = {layer.name for layer in network.layers}
    for name, x, side, outputs in (
        ("global", inputs["images"], architecture.image_size, architecture.global_outputs),
        ("local", inputs.get("patches"), architecture.patch_size, architecture.local_outputs),
    ):
        if x is None:
            continue
        begins, own = scale + 1, f"{name}_{2**scale}"
        x = _convolution(x, own, begins, outputs[scale], architecture, width, dtype, first=True)
        for n in range(begins, len(outputs) + 1):
            shared = [f"{name}_{part}{n}" for part in ("conv", "norm", "relu")] * (n > begins)
            if n == _attended(side, len(outputs)):
                shared.append(f"{name}_attention")
            for layer in (one for one in shared if one in there):
                x = network.get_layer(layer)(x)
        last = [f"{name}_flatten", f"{name}_features"] if architecture.local_outputs else []
        for layer in last:
            x = network.get_layer(layer)(x)
        vectors.append(x)
    if architecture.local_outputs:
        x = network.get_layer("logits")(network.get_layer("concatenate")(vectors))
    else:
        x = network.get_layer("numbers")(network.get_layer("logits")(vectors[0]))
    return keras.Model(inputs, x, name=f"{network.name}_{small.image_size}")
