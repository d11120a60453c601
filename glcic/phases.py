"""The three training phases of GLCIC ([1] Algorithm 1, [2] Section 4.2).

1. ``completion``: the completion network alone, masked MSE (and in [2] the perceptual loss).
2. ``discriminator``: the discriminators alone, on the pictures of a completion network at rest.
3. ``joint``: both in turn; the completion network's loss gains alpha times the GAN loss.

Discriminators see completed pictures with the known pixels put back, and real pictures with
holes (and so patches) of their own.

[1] Iizuka 2017, Globally and Locally Consistent Image Completion.
[2] Wang & Wang 2020, 基于生成对抗网络的图像修复算法.
"""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from common import figures
from common.completion import blending
from common.pictures import images as image_files
from common.pictures import masks
from common.training import loop as training
from common.training import losses

PHASES = ("completion", "discriminator", "joint")
SAMPLES = 8  # images of a sample grid
METRICS = ("loss", "mse", "perceptual", "gan", "discriminator")


@dataclasses.dataclass(frozen=True)
class Weights:
    """Weights of the completion network's loss: L_M + alpha GAN + beta L_p ([2] eq. 4).

    Attributes:
      alpha: of the adversarial term, in phase 3.
      beta: of the perceptual term, in phases 1 and 3.
      minimax: the adversarial term is the paper's log(1 - D) instead of -log D.
    """

    alpha: float
    beta: float = 0.0
    minimax: bool = False


def local_patches(images, centred_on, size):
    """Cuts the square around the middle of each hole, moved inside where it would stick out.

    Args:
      images: [B, H, W, C].
      centred_on: masks [B, H, W, 1]; the middle is that of the hole's bounding box.
      size: side of the patch in pixels, at most H and W.

    Returns:
      [B, size, size, C].
    """
    boxes = masks.bounding_boxes(centred_on)
    height, width = images.shape[1], images.shape[2]
    tops = tf.clip_by_value((boxes[:, 0] + boxes[:, 2] - size) // 2, 0, height - size)
    lefts = tf.clip_by_value((boxes[:, 1] + boxes[:, 3] - size) // 2, 0, width - size)
    rows = tf.gather(images, tops[:, None] + tf.range(size), axis=1, batch_dims=1)
    columns = tf.tile((lefts[:, None] + tf.range(size))[:, None], [1, size, 1])
    return tf.gather(rows, columns, axis=2, batch_dims=2)


class Trainer(keras.Model):
    """Completion network and discriminators with one ``train_step`` for each phase.

    ``fit`` wants batches of uint8 [B, S, S, 3]. Holes are drawn in the graph from
    (seed, step). ``begin`` chooses the phase.
    """

    def __init__(
        self,
        completion,
        discriminator,
        mask_spec,
        patch_size,
        weights,
        features=None,
        seed=0,
    ):
        """Makes a trainer.

        Args:
          completion: as ``networks.completion_network`` builds it.
          discriminator: as ``networks.discriminator`` builds it.
          mask_spec: ``common.pictures.masks.MaskSpec`` of the holes, for full-size images.
          patch_size: side of the local discriminator's input in pixels.
          weights: a ``Weights``.
          features: images [B, S, S, 3] to a list of feature maps; needed if beta > 0.
          seed: of the holes.
        """
        super().__init__(name="glcic")
        if weights.beta and features is None:
            raise ValueError("the perceptual loss needs a feature extractor")
        self.completion, self.discriminator = completion, discriminator
        self.mask_spec, self.patch_size = mask_spec, patch_size
        self.weights_of_loss, self.features, self.seed = weights, features, seed
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        self.phase, self.shrink = PHASES[0], 1
        self._means = {name: keras.metrics.Mean(name=name) for name in METRICS}

    def compile(self, completion_optimizer, discriminator_optimizer, **options):
        """Takes one optimizer for each network and builds their state."""
        super().compile(optimizer=completion_optimizer, **options)
        self.completion_optimizer = completion_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        completion_optimizer.build(self.completion.trainable_variables)
        discriminator_optimizer.build(self.discriminator.trainable_variables)

    def checkpointed(self):
        """{name: trackable} of everything that training changes."""
        return {
            "completion": self.completion,
            "discriminator": self.discriminator,
            "completion_optimizer": self.completion_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }

    def begin(self, phase, shrink=1):
        """Chooses the phase, and the factor by which training images are made smaller.

        Args:
          phase: one of ``PHASES``.
          shrink: images and holes are that many times smaller: the progressive training that
            "GAN在图像修复中的创新应用实践" names (Section 3.4). Only for phase "completion",
            as the discriminators have a fixed size.
        """
        if phase not in PHASES or (shrink != 1 and phase != "completion"):
            raise ValueError(f"no phase {phase!r} at 1/{shrink} of the size")
        self.phase, self.shrink = phase, shrink

    def call(self, inputs, training=False):
        """{"images", "masks"} to the completed images, all of [B, H, W, C]."""
        return self.completion(inputs, training=training)

    @property
    def metrics(self):
        """The running means that ``fit`` resets."""
        return list(self._means.values())

    def train_step(self, images):
        """One step of the chosen phase; uint8 [B, S, S, 3] to {metric: mean since reset}."""
        images = self._shrunk(tf.cast(images, tf.float32) / 255.0)
        holes, other_holes = self._draw_holes(images)
        step = {
            "completion": self._completion_step,
            "discriminator": self._discriminator_step,
            "joint": self._joint_step,
        }[self.phase]
        values = step(images, holes, other_holes)
        self.step.assign_add(1)
        return self._running_means(values)

    def _shrunk(self, images):
        if self.shrink == 1:
            return images
        return tf.nn.avg_pool2d(images, self.shrink, self.shrink, "VALID")

    def _spec(self):
        return self.mask_spec.scaled(1 / self.shrink) if self.shrink > 1 else self.mask_spec

    def _draw_holes(self, images):
        """Masks for the pictures to complete, and others for the real ones."""
        batch, height, width, _ = images.shape
        seed = tf.stack([tf.constant(self.seed, tf.int32), tf.cast(self.step, tf.int32)])
        both = masks.draw(self._spec(), 2 * batch, height, width, seed)
        return both[:batch], both[batch:]

    def _running_means(self, values):
        for name, value in values.items():
            self._means[name].update_state(value)
        return {name: self._means[name].result() for name in values}

    def _reconstruction(self, completed, images, holes):
        """L_M + beta L_p, and the parts by name."""
        parts = {"mse": losses.masked_mse(completed, images, holes)}
        total = parts["mse"]
        if self.weights_of_loss.beta:
            pasted = holes * completed + (1 - holes) * images
            parts["perceptual"] = losses.perceptual_l1(self.features(pasted), self.features(images))
            total += self.weights_of_loss.beta * parts["perceptual"]
        return total, parts

    def _judge(self, images, holes):
        patches = local_patches(images, holes, self.patch_size)
        return self.discriminator({"images": images, "patches": patches}, training=True)

    def _completion_step(self, images, holes, _):
        with tf.GradientTape() as tape:
            completed = self.completion({"images": images, "masks": holes}, training=True)
            loss, parts = self._reconstruction(completed, images, holes)
        self._apply(tape, loss, self.completion, self.completion_optimizer)
        return {"loss": loss, **parts}

    def _discriminator_step(self, images, holes, other_holes):
        completed = self.completion({"images": images, "masks": holes}, training=False)
        pasted = holes * completed + (1 - holes) * images
        return {"discriminator": self._train_discriminator(images, other_holes, pasted, holes)}

    def _train_discriminator(self, real, real_holes, fake, fake_holes):
        with tf.GradientTape() as tape:
            loss = losses.discriminator_gan(
                self._judge(real, real_holes), self._judge(tf.stop_gradient(fake), fake_holes)
            )
        self._apply(tape, loss, self.discriminator, self.discriminator_optimizer)
        return loss

    def _joint_step(self, images, holes, other_holes):
        with tf.GradientTape() as tape:
            completed = self.completion({"images": images, "masks": holes}, training=True)
            pasted = holes * completed + (1 - holes) * images
            with tape.stop_recording():
                discriminator_loss = self._train_discriminator(images, other_holes, pasted, holes)
            loss, parts = self._reconstruction(completed, images, holes)
            parts["gan"] = losses.generator_gan(
                self._judge(pasted, holes), self.weights_of_loss.minimax
            )
            loss += self.weights_of_loss.alpha * parts["gan"]
        self._apply(tape, loss, self.completion, self.completion_optimizer)
        return {"loss": loss, **parts, "discriminator": discriminator_loss}

    @staticmethod
    def _apply(tape, loss, network, optimizer):
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    def set_mean_color(self, color):
        """Sets the input layer's mean colour, RGB [3] in [0, 1], to the training set's."""
        self.completion.get_layer("input").mean_color.assign(color)

    def sampler(self, images):
        """A function that writes a grid of fixed images and holes to a path.

        Columns: the holes, the network's output, the completed picture, the original; all at the
        size of the phase.

        Args:
          images: uint8 [N, S, S, 3].
        """

        def write(path):
            originals = self._shrunk(tf.constant(image_files.from_uint8(images))).numpy()
            holes = masks.draw(self._spec(), *originals.shape[:3], [self.seed, -1]).numpy()
            outputs = self({"images": originals, "masks": holes}).numpy()
            completed = blending.paste(originals, outputs, holes)
            shown = figures.show_hole(originals, holes)
            rows = list(map(list, zip(shown, outputs, completed, originals, strict=True)))
            image_files.write_image(path, figures.compose_grid(rows))

        return write


def segments(trainer, batches, steps, batch_size, progressive_steps, progressive_batch_size):
    """The three phases as segments of a run.

    Args:
      trainer: a ``Trainer``.
      batches: from (batch size, number of the first image) to a dataset.
      steps: of the three phases.
      batch_size: images in a step.
      progressive_steps: of phase 1, so many first steps see images of half the size.
      progressive_batch_size: images in such a step.

    Returns:
      List of ``common.training.loop.Segment``; phases of no steps are left out.
    """
    progressive_steps = min(progressive_steps, steps[0])
    plan = [
        ("completion", 2, progressive_steps, progressive_batch_size),
        ("completion", 1, steps[0] - progressive_steps, batch_size),
        ("discriminator", 1, steps[1], batch_size),
        ("joint", 1, steps[2], batch_size),
    ]
    result, seen = [], 0
    for phase, shrink, count, size in plan:
        if count:
            result.append(
                training.Segment(
                    phase if shrink == 1 else f"{phase}_half_size",
                    count,
                    lambda done, size=size, seen=seen: batches(size, seen + done * size),
                    lambda phase=phase, shrink=shrink: trainer.begin(phase, shrink),
                )
            )
            seen += count * size
    return result


def describe(trainer):
    """Parameter counts of the networks, as text."""
    lines = []
    for network in filter(None, (trainer.completion, trainer.discriminator)):
        trained = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
        lines.append(
            f"{network.name}: {network.count_params():,} parameters, {trained:,} trained\n"
        )
    return "".join(lines)
