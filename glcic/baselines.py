"""The context encoder and the autoencoder that [2] compares with: one encoder-decoder each.

The encoder sees a 128 px picture whose middle is missing; the decoder predicts that hole and a band
of ``overlap`` known pixels around it, whose squared error weighs ten times as much, so that the
prediction continues its surroundings. ``context_encoder`` adds a discriminator of the middle 64x64
pixels; ``autoencoder`` is the same network with the same hole, trained on the reconstruction alone.

[1]'s text has a 64 px hole and predicts a patch that is larger and overlaps with the context by
7 px; the authors' code predicts 64x64 pixels, the outer 4 of which are known, in training and in
testing: its hole is 56 px wide. ``Geometry`` holds both. Where hole and band measure 64 px, the
decoder is [1]'s to the last parameter. Where they measure more, as with the 64 px hole that the
methods of this project are compared on, its first layer makes a 5x5 map instead of 4x4, and the
80x80 pixels that come out are cut to the hole and its band.

Elsewhere the authors' code decides where [1] is silent: BatchNorm and LeakyReLU behind every layer
of the encoder, the bottleneck included, but no BatchNorm in the first; BatchNorm and ReLU in the
decoder; weights from N(0, 0.02), scales from N(1, 0.02); the colour in the hole; no biases, which
it sets to zero in every step; errors of pictures in [-1, 1].

Other holes, in the exported model: it completes the square in the middle of a 128 px crop, nothing
else. The crop is centred on the bounding box of the hole and as large as needed for the box to fit
into the training hole (it is shrunk to 128 px then, and the prediction enlarged), never smaller
than 128 px. What the crop shows beyond the border counts as missing. As in training, the whole
middle is hidden from the network, also where the hole is smaller, and so is everything else that is
missing. At 128 px with the centre hole, the crop is the picture.

Images are float32 RGB [B, H, W, 3] in [0, 1], masks float32 [B, H, W, 1] with 1 = missing.

[1] D. Pathak et al. Context Encoders: Feature Learning by Inpainting. CVPR 2016; Figure 9
    for the layers. The authors' code: github.com/pathak22/context-encoder, train.lua.
[2] 王可新, 王力. 基于生成对抗网络的图像修复算法. 智能计算机与应用 10, 2020. Table 1, Figure 4.
"""

import dataclasses

import keras
import tensorflow as tf

from common.pictures import cropping, masks
from common.pictures import images as image_files
from common.training import folding, layers, losses
from common.training.optimizers import optimizer
from common.training.runs import Row
from common.training.trainer import Trainer
from glcic import phases
from glcic.geometry import CONTENT, DECODER, SIZE
from glcic.settings import ContextEncoder

METRICS = ("loss", "reconstruction", "gan", "discriminator")

KERNEL = 4  # of every layer
# [1] Figure 9(a); every convolution has stride 2, the transposed ones too.
ENCODER = (64, 64, 128, 256, 512)
BOTTLENECK = 4000
DISCRIMINATOR = (64, 128, 256, 512)
LEAK = 0.2  # of LeakyReLU
STDDEV = 0.02  # of the initial weights
# The authors' code fills the hole with it.
FILL = (117 / 255, 104 / 255, 123 / 255)


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights of the loss: lambda_rec L_rec + lambda_adv L_adv ([1], joint loss).

    Attributes:
      rec: of the reconstruction.
      adv: of the adversarial term; the autoencoder has none.
      overlap: of a squared error in the band, 1 being that of one in the hole.
      minimax: the adversarial term is the paper's log(1 - D) instead of the code's -log D.
    """

    rec: float = 0.999
    adv: float = 0.001
    overlap: float = 10.0
    minimax: bool = False


def middle(images, side):
    """[B, H, W, C] to its middle [B, side, side, C]; H, W and side are all even."""
    top, left = (images.shape[1] - side) // 2, (images.shape[2] - side) // 2
    return images[:, top : top + side, left : left + side]


class FilledImage(keras.layers.Layer):
    """Images in [0, 1] and masks to images in [-1, 1] whose hole has the colour ``FILL``.

    What the image holds in the hole is dropped, even if it is not a number.
    """

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)

    def call(self, inputs):
        """{"images": [B, H, W, 3], "masks": [B, H, W, 1]} -> [B, H, W, 3]."""
        return 2 * tf.where(inputs["masks"] > 0.5, FILL, inputs["images"]) - 1

    def compute_output_shape(self, input_shape):
        """The images' shape."""
        return input_shape["images"]


def _initial(dtype):
    """Options of a layer with a kernel: N(0, 0.02), a new initializer for each, and no bias."""
    initializer = keras.initializers.RandomNormal(0, STDDEV)
    return {"kernel_initializer": initializer, "use_bias": False, "dtype": dtype}


def _norm(name, dtype):
    initializer = keras.initializers.RandomNormal(1, STDDEV)
    return layers.BatchNorm(gamma_initializer=initializer, name=name, dtype=dtype)


def _scaled(outputs, width):
    return [max(1, round(channels * width)) for channels in outputs]


def _downsampling(x, outputs, dtype):
    """4x4 stride-2 convolutions and LeakyReLU, BatchNorm between them but in the first layer."""
    for n, channels in enumerate(outputs, 1):
        # 4x4 at stride 2: here SAME pads one pixel on every side.
        options = {"strides": 2, "padding": "same", **_initial(dtype)}
        x = keras.layers.Conv2D(channels, KERNEL, name=f"conv{n}", **options)(x)
        if n > 1:
            x = _norm(f"conv{n}_norm", dtype)(x)
        x = keras.layers.LeakyReLU(LEAK, name=f"conv{n}_relu", dtype=dtype)(x)
    return keras.layers.Flatten(name="flatten", dtype=dtype)(x)


def completion_network(geometry, width=1.0, dtype="float32"):
    """Builds the encoder-decoder F ([1] Figure 9(a)).

    The 4x4 convolution from a 4x4 map to the bottleneck and the transposed one from it are dense
    layers, which they equal.

    Args:
      geometry: a ``Geometry``.
      width: factor on every layer's channels but the last's; 1 is the paper's network.
      dtype: Keras dtype policy, "float32" or "mixed_bfloat16".

    Returns:
      A ``keras.Model`` from {"images": [B, 128, 128, 3], "masks": [B, 128, 128, 1]} to the hole and
      its band [B, W, W, 3] in [0, 1], float32, with W the geometry's window.
    """
    images = keras.Input((SIZE, SIZE, 3), name="images")
    holes = keras.Input((SIZE, SIZE, 1), name="masks")
    inputs = {"images": images, "masks": holes}
    x = FilledImage(name="input")(inputs)
    x = _downsampling(x, _scaled(ENCODER, width), dtype)
    (units,) = _scaled([BOTTLENECK], width)
    x = keras.layers.Dense(units, name="bottleneck", **_initial(dtype))(x)
    x = keras.layers.Reshape((1, 1, units), name="bottleneck_map", dtype=dtype)(x)
    x = _norm("bottleneck_norm", dtype)(x)
    x = keras.layers.LeakyReLU(LEAK, name="bottleneck_relu", dtype=dtype)(x)
    x = keras.layers.Flatten(name="bottleneck_flatten", dtype=dtype)(x)
    first, *hidden = _scaled(DECODER[:-1], width)
    start = geometry.start
    x = keras.layers.Dense(start * start * first, name="deconv1", **_initial(dtype))(x)
    x = keras.layers.Reshape((start, start, first), name="reshape", dtype=dtype)(x)
    for n, channels in enumerate([*hidden, DECODER[-1]], 2):
        x = _norm(f"deconv{n - 1}_norm", dtype)(x)
        x = keras.layers.ReLU(name=f"deconv{n - 1}_relu", dtype=dtype)(x)
        options = {"strides": 2, "padding": "same", **_initial(dtype)}
        x = keras.layers.Conv2DTranspose(channels, KERNEL, name=f"deconv{n}", **options)(x)
    # Of an even size, cut to the middle.
    border = (x.shape[1] - geometry.window) // 2
    x = keras.layers.Cropping2D(border, name="window", dtype=dtype)(x)
    x = layers.UnitRange("tanh", name="unit_range")(x)
    return keras.Model(inputs, x, name="completion")


def discriminator(width=1.0, dtype="float32"):
    """Builds the discriminator ([1] Figure 9).

    Args:
      width: factor on every layer's channels; 1 is the paper's network.
      dtype: Keras dtype policy, "float32" or "mixed_bfloat16".

    Returns:
      A ``keras.Model`` from [B, 64, 64, 3] in [0, 1] to logits [B, 1], float32, whose sigmoid is
      P(real).
    """
    images = keras.Input((CONTENT, CONTENT, 3), name="images")
    x = keras.layers.Rescaling(2, -1, name="symmetric_range", dtype="float32")(images)
    x = _downsampling(x, _scaled(DISCRIMINATOR, width), dtype)
    logits = keras.layers.Dense(1, name="logits", **_initial("float32"))(x)
    return keras.Model(images, logits, name="discriminator")


class BaselineTrainer(Trainer):
    """Encoder-decoder and, for the context encoder, its discriminator; one kind of step.

    ``fit`` wants batches of uint8 [B, 128, 128, 3].
    """

    measures = {"training": METRICS}

    def __init__(self, networks, optimizers, geometry, weights, seed=0):
        """Makes a trainer.

        Args:
          networks: {"completion": as ``completion_network`` builds it} and, of the context
            encoder, {"discriminator": as ``discriminator`` builds it}.
          optimizers: one for each of them.
          geometry: the ``Geometry`` of the encoder-decoder.
          weights: a ``Weights``.
          seed: of sample pictures.
        """
        super().__init__(networks, optimizers, seed)
        self.geometry, self.weights_of_loss = geometry, weights

    def training_step(self, data):
        """The only step; uint8 [B, 128, 128, 3] to what it measures."""
        images = tf.cast(data, tf.float32) / 255
        holes = masks.draw(self.geometry.holes, images.shape[0], SIZE, SIZE, [0, 0])
        truth = middle(images, self.geometry.window)
        weights, values = self.weights_of_loss, {}
        with tf.GradientTape() as tape:
            inputs = {"images": images, "masks": holes}
            predicted = self.networks["completion"](inputs, training=True)
            values["reconstruction"] = losses.overlap_mse(
                2 * predicted - 1, 2 * truth - 1, self.geometry.overlap, weights.overlap
            )
            loss = weights.rec * values["reconstruction"]
            if "discriminator" in self.networks:
                content = middle(predicted, CONTENT)
                with tape.stop_recording():
                    values["discriminator"] = self._update_discriminator(
                        middle(images, CONTENT), content
                    )
                judged = self.networks["discriminator"](content, training=True)
                values["gan"] = losses.generator_gan(judged, weights.minimax)
                loss += weights.adv * values["gan"]
        self.apply(tape, loss, "completion")
        return {"loss": loss, **values}

    def _update_discriminator(self, real, fake):
        judge = self.networks["discriminator"]
        with tf.GradientTape() as tape:
            loss = losses.discriminator_gan(judge(real, training=True), judge(fake, training=True))
        self.apply(tape, loss, "discriminator")
        return loss

    def sampler(self, first, run):
        """A function that writes a grid of holes, predictions, completions and originals.

        Args:
          first: from a number to so many first training images, uint8 [N, 128, 128, 3].
          run: the ``common.training.runs.RunDirectory``.
        """
        del run
        images = first(phases.SAMPLES)
        return lambda path: phases.save_samples(
            path, image_files.from_uint8(images), self.geometry.holes, self.complete, self.seed
        )

    def example(self, name, images):
        """What the encoder-decoder takes, of images [N, 128, 128, 3] in [0, 1]."""
        del name
        holes = masks.draw(self.geometry.holes, *images.shape[:3], [0, 0])
        return {"images": tf.constant(images), "masks": holes}

    def complete(self, inputs):
        """{"images", "masks"} to the prediction in a black picture, all of [B, 128, 128, C]."""
        side = (SIZE - self.geometry.window) // 2
        predicted = self.networks["completion"](inputs, training=False)
        return tf.pad(predicted, [[0, 0], [side, side], [side, side], [0, 0]])


# The room of the methods "context_encoder" and "autoencoder": see ``common.methods``. ``settings``
# are ``settings.ContextEncoder`` or ``settings.Autoencoder``.

KEPT = {"completion": ("network", folding.unfold)}


def networks(settings, policy="float32"):
    """{name: network} of the run's checkpoint."""
    built = {"completion": completion_network(settings.geometry, settings.width, policy)}
    if isinstance(settings, ContextEncoder):
        built["discriminator"] = discriminator(settings.width, policy)
    return built


def build(settings, holes, policy):
    """A ``BaselineTrainer``."""
    del holes  # the geometry's
    built, rates = networks(settings, policy), {"completion": settings.learning_rate}
    adversarial = {}
    if "discriminator" in built:
        rates["discriminator"] = settings.discriminator_learning_rate or settings.learning_rate
        adversarial = {"adv": settings.lambda_adv, "minimax": settings.gan == "minimax"}
    decay_steps = (settings.decay == "cosine") * settings.baseline_steps
    optimizers = {
        name: optimizer(settings.optimizer, rate, settings.beta_1, decay_steps=decay_steps)
        for name, rate in rates.items()
    }
    weights = Weights(rec=settings.lambda_rec, overlap=settings.overlap_weight, **adversarial)
    return BaselineTrainer(built, optimizers, settings.geometry, weights, settings.seed)


def plan(settings):
    """The run's only row."""
    name = "context_encoder" if isinstance(settings, ContextEncoder) else "autoencoder"
    return [Row("training", settings.baseline_steps, settings.batch_size, name=name)]


def exported(restored, completing, storage, jit_compile):
    """The encoder-decoder as a fast graph, and what is told of it."""
    del completing, jit_compile
    geometry = restored.settings.geometry
    folded = FoldedBaseline(restored.networks["completion"], geometry, storage)
    return folded, {"image_size": SIZE, "hole_size": geometry.hole, "overlap": geometry.overlap}


class FoldedBaseline(tf.Module):
    """The encoder-decoder as a fast graph for pictures of any size; cannot be trained.

    ``common.training.folding`` rewrites its layers.
    """

    def __init__(self, network, geometry, storage=tf.float32):
        """Folds a Keras ``completion`` network.

        Args:
          network: as ``completion_network`` builds it.
          geometry: its ``Geometry``.
          storage: type of the kernels: tf.float32, or tf.float16 for half the size.
        """
        super().__init__(name="folded_baseline")
        self._geometry = geometry
        self.network = folding.FoldedNetwork(network, storage)

    def complete(self, images, holes):
        """The prediction in its place [B, H, W, 3] in [0, 1], for any H and W, in float32.

        Around the predicted square, its mirror image.
        """
        return self._run(images, holes, tf.float32)

    def complete_bfloat16(self, images, holes):
        """The same with products in bfloat16."""
        return self._run(images, holes, tf.bfloat16)

    def _run(self, images, holes, dtype):
        boxes = cropping.centred_squares(holes, SIZE, self._geometry.hole)
        crops, hidden = cropping.cut(images, holes, boxes, SIZE)
        hidden = tf.maximum(hidden, masks.draw(self._geometry.holes, 1, SIZE, SIZE, [0, 0]))
        side = [(SIZE - self._geometry.window) // 2] * 2
        predicted = self.predict(crops, hidden, dtype)
        predicted = tf.pad(predicted, [[0, 0], side, side, [0, 0]], "SYMMETRIC")
        return cropping.put_back(predicted, boxes, *tf.unstack(tf.shape(images)[1:3]))

    def predict(self, images, holes, dtype=tf.float32):
        """The Keras network's function: [B, 128, 128, C] to [B, W, W, 3], float32."""
        return self.network.at(dtype)({"images": images, "masks": holes})
