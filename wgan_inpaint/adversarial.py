"""Trains generator and critic against each other, then the encoder on the generator's pictures.

Objectives: ``gan`` ([1]: non-saturating, logits of D), ``wgan`` (weight clipping, [2] Algorithm 1)
and ``wgan_gp`` (gradient penalty, [3] Algorithm 1). A step of training is one update of the
critic; the generator follows whenever the critic had as many updates as the paper wants.

[1] Radford 2016, Unsupervised Representation Learning with Deep Convolutional GANs.
[2] Arjovsky 2017, Wasserstein GAN.
[3] Gulrajani 2017, Improved Training of Wasserstein GANs.
[4] Karras 2018, Progressive Growing of GANs, Section 6: a moving average of G's weights.
"""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from common import figures
from common.pictures import images as image_files
from common.pictures import masks
from common.training import layers, losses
from common.training import loop as training
from wgan_inpaint import networks
from wgan_inpaint.search import latent_search
from wgan_inpaint.settings import OBJECTIVES  # noqa: F401

PHASES = ("adversarial", "encoder")
METRICS = (
    "wasserstein",
    "jensen_shannon",
    "critic",
    "generator",
    "penalty",
    "encoder",
    "latent",
    "context",
)
SAMPLES = 64  # pictures of a sample grid

# What a step draws, as the second seed of its stateless generators.
_CRITIC_Z, _GENERATOR_Z, _EPSILON, _ENCODER_Z, _HOLES = range(5)


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is minimized, and who is trained how often.

    Attributes:
      name: one of ``OBJECTIVES``.
      clip: the critic's weights stay in [-clip, clip] (``wgan``; [2]: 0.01).
      penalty: lambda of the gradient penalty (``wgan_gp``; [3]: 10).
      critic_steps: critic updates for each of the generator's ([2], [3]: 5).
      warmup_critic_steps: the same while the critic is to be trained closer to its optimum ...
      warmup_generator_steps: ... for so many first generator updates, and
      refresh_every: at every so-manyth one; 0 is never. (The authors of [2]: 100, 25, 500.)
    """

    name: str = "wgan_gp"
    clip: float = 0.01
    penalty: float = 10.0
    critic_steps: int = 5
    warmup_critic_steps: int = 0
    warmup_generator_steps: int = 0
    refresh_every: int = 0

    def critic_updates(self, generator_step):
        """How many critic updates lead up to generator update number ``generator_step``, from 0.

        Args:
          generator_step: an integer tensor.
        """
        close = generator_step < self.warmup_generator_steps
        if self.refresh_every:
            close |= generator_step % self.refresh_every == 0
        if not self.warmup_critic_steps:
            close = tf.zeros_like(close)
        return tf.where(close, self.warmup_critic_steps or 1, self.critic_steps)

    def total_steps(self, generator_steps):
        """Critic updates up to and with those of the last of ``generator_steps``."""
        updates = self.critic_updates(tf.range(generator_steps, dtype=tf.int64))
        return int(tf.reduce_sum(updates)) if generator_steps else 0


class Trainer(keras.Model):
    """Generator, critic and encoder with one ``train_step`` for each of ``PHASES``.

    ``fit`` wants batches of uint8 [B, S, S, 3]. Everything random is drawn in the graph from
    (seed, step). ``begin`` chooses the phase. ``average`` is the moving average of the generator's
    weights, which is what the search uses.
    """

    def __init__(
        self,
        architecture,
        objective,
        mask_spec,
        averaging=0.999,
        encoder_context=10.0,
        dtype="float32",
        seed=0,
    ):
        """Builds the networks.

        Args:
          architecture: a ``networks.Architecture``.
          objective: an ``Objective``.
          mask_spec: ``common.pictures.masks.MaskSpec`` of the encoder's holes.
          averaging: decay of the average; 0 is the generator itself.
          encoder_context: weight of the encoder's context loss beside the squared error of z.
          dtype: Keras dtype policy.
          seed: of everything random.
        """
        super().__init__(name="wgan")
        self.architecture, self.objective, self.mask_spec = architecture, objective, mask_spec
        self.generator = networks.generator(architecture, dtype)
        self.average = networks.generator(architecture, dtype)
        self.average.set_weights(self.generator.get_weights())
        self.average.trainable = False
        self.critic = networks.critic(architecture, dtype)
        self.encoder = networks.encoder(architecture, dtype=dtype)
        self.averaging, self.encoder_context, self.seed = averaging, encoder_context, seed
        self.phase = PHASES[0]
        self.step, self.generator_steps, self.critic_since = (
            tf.Variable(0, dtype=tf.int64, trainable=False, name=name)
            for name in ("step", "generator_steps", "critic_since")
        )
        self._means = {name: keras.metrics.Mean(name=name) for name in METRICS}

    def compile(self, generator_optimizer, critic_optimizer, encoder_optimizer, **options):
        """Takes one optimizer for each network and builds their state."""
        super().compile(optimizer=generator_optimizer, **options)
        self.generator_optimizer = generator_optimizer
        self.critic_optimizer = critic_optimizer
        self.encoder_optimizer = encoder_optimizer
        generator_optimizer.build(self.generator.trainable_variables)
        critic_optimizer.build(self.critic.trainable_variables)
        encoder_optimizer.build(self.encoder.trainable_variables)

    def checkpointed(self):
        """{name: trackable} of everything that training changes."""
        names = ("generator", "average", "critic", "encoder", "generator_steps", "critic_since")
        names += ("generator_optimizer", "critic_optimizer", "encoder_optimizer")
        return {name: getattr(self, name) for name in names}

    def begin(self, phase):
        """Chooses the phase, one of ``PHASES``."""
        if phase not in PHASES:
            raise ValueError(f"no phase {phase!r}")
        if phase == "encoder" and self.averaging:  # else its statistics are the generator's
            calibrate(self.average)
        self.phase = phase

    @property
    def metrics(self):
        """The means of the phase's quantities since the last log line."""
        return [self._means[name] for name in self._logged()]

    def _logged(self):
        if self.phase == "encoder":
            return ("encoder", "latent", "context")
        distance = "jensen_shannon" if self.objective.name == "gan" else "wasserstein"
        penalty = ("penalty",) if self.objective.name == "wgan_gp" else ()
        return (distance, "critic", "generator", *penalty)

    def train_step(self, data):
        """One update of the critic, and of the generator if its turn has come; or of the encoder.

        Args:
          data: uint8 [B, S, S, 3].

        Returns:
          {name: mean since the last log line}, and ``generator_steps``.
        """
        images = tf.cast(data, tf.float32) / 255
        if self.phase == "encoder":
            values = self._encoder_step(images)
        else:
            values = self._critic_step(images)
            self.critic_since.assign_add(1)
            due = self.objective.critic_updates(self.generator_steps)
            tf.cond(
                self.critic_since >= tf.cast(due, tf.int64),
                lambda: self._generator_step(tf.shape(images)[0]),
                lambda: None,
            )  # both branches only have side effects
        self.step.assign_add(1)
        for name, value in values.items():
            self._means[name].update_state(value)
        logs = {name: self._means[name].result() for name in values}
        return {**logs, "generator_steps": self.generator_steps}

    def _seed(self, what):
        """Two integers for a stateless generator; different for each step and purpose."""
        step = tf.cast(self.step * (_HOLES + 1) + what, tf.int32)
        return tf.stack([tf.constant(self.seed, tf.int32), step])

    def _latents(self, count, what):
        return networks.random_latents(count, self.architecture.latent, self._seed(what))

    def _critic_step(self, images):
        count = tf.shape(images)[0]
        fakes = self.generator(self._latents(count, _CRITIC_Z), training=True)
        values = {}
        with tf.GradientTape() as tape:
            real, fake = self.critic(images, training=True), self.critic(fakes, training=True)
            if self.objective.name == "gan":
                loss = losses.discriminator_gan(real, fake)
                values["jensen_shannon"] = math.log(2) - loss / 2  # a lower bound
                generator_loss = losses.generator_gan(fake)
            else:
                loss = losses.wasserstein_critic(real, fake)
                values["wasserstein"] = -loss
                generator_loss = losses.wasserstein_generator(fake)
            if self.objective.name == "wgan_gp":
                epsilon = networks.uniform([count, 1, 1, 1], self._seed(_EPSILON))
                values["penalty"] = losses.gradient_penalty(
                    lambda x: self.critic(x, training=True), images, fakes, epsilon
                )
                loss += self.objective.penalty * values["penalty"]
        self._apply(tape, loss, self.critic, self.critic_optimizer)
        if self.objective.name == "wgan":
            for variable in self.critic.trainable_variables:
                clip = self.objective.clip
                variable.assign(tf.clip_by_value(variable.value, -clip, clip))
        return {**values, "critic": loss, "generator": generator_loss}

    def _generator_step(self, count):
        z = self._latents(count, _GENERATOR_Z)
        with tf.GradientTape() as tape:
            scores = self.critic(self.generator(z, training=True), training=True)
            if self.objective.name == "gan":
                loss = losses.generator_gan(scores)
            else:
                loss = losses.wasserstein_generator(scores)
        self._apply(tape, loss, self.generator, self.generator_optimizer)
        # The first updates count more than the random weights before them.
        done = tf.cast(self.generator_steps, tf.float32)
        keep = tf.minimum(self.averaging, (1 + done) / (10 + done))
        for mean, new in zip(self.average.weights, self.generator.weights, strict=True):
            mean.assign(keep * mean.value + (1 - keep) * new.value)
        self.generator_steps.assign_add(1)
        self.critic_since.assign(0)

    def _encoder_step(self, images):
        """Pairs (masked G(z), z), whose z is known, and as many masked real images, without."""
        count, side = tf.shape(images)[0], self.architecture.size
        z = self._latents(count, _ENCODER_Z)
        targets = tf.concat([self.average(z, training=False), images], axis=0)
        holes = masks.draw(self.mask_spec, 2 * images.shape[0], side, side, self._seed(_HOLES))
        with tf.GradientTape() as tape:
            guess = self.encoder({"images": targets, "masks": holes}, training=True)
            latent = tf.reduce_mean(tf.math.squared_difference(guess[:count], z))
            difference = tf.abs(self.average(guess, training=False) - targets)
            context = tf.add_n(
                [
                    _weighted_mean(difference, weights) / 2
                    for weights in (1 - holes, latent_search.importance_weights(holes))
                ]
            )
            loss = latent + self.encoder_context * context
        self._apply(tape, loss, self.encoder, self.encoder_optimizer)
        return {"encoder": loss, "latent": latent, "context": context}

    @staticmethod
    def _apply(tape, loss, network, optimizer):
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    def sampler(self):
        """A function that writes a grid of pictures of fixed z to a path."""
        z = networks.random_latents(SAMPLES, self.architecture.latent, [self.seed, -1])

        def write(path):
            pictures = self.average(z, training=False).numpy()
            side = math.isqrt(SAMPLES)
            rows = [list(pictures[n : n + side]) for n in range(0, SAMPLES, side)]
            image_files.write_image(path, figures.compose_grid(rows))

        return write


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
    for n in range(batches):
        z = networks.random_latents(128, generator.input_shape[-1], [0, n])
        generator(z, training=True)
    generator.trainable = not frozen


def _weighted_mean(values, weights):
    """The mean over the batch of each picture's mean, weighted by [B, H, W, 1]."""
    sums = tf.reduce_sum(weights * values, axis=[1, 2, 3])
    # A mask may leave nothing known.
    shares = tf.math.divide_no_nan(sums, values.shape[-1] * tf.reduce_sum(weights, [1, 2, 3]))
    return tf.reduce_mean(shares)


def describe(trainer):
    """Parameter counts of the networks, as text."""
    lines = []
    for network in (trainer.generator, trainer.critic, trainer.encoder):
        trained = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
        lines.append(
            f"{network.name}: {network.count_params():,} parameters, {trained:,} trained\n"
        )
    return "".join(lines)


def segments(trainer, batches, steps, encoder_steps, batch_size):
    """The two phases as segments of a run; a phase of no steps is left out.

    Args:
      trainer: a ``Trainer``.
      batches: from the number of the first image to a dataset.
      steps: of the critic.
      encoder_steps: of the encoder.
      batch_size: images in a step.

    Returns:
      List of ``common.training.loop.Segment``.
    """
    return [
        training.Segment(
            phase,
            count,
            lambda done, seen=seen: batches((seen + done) * batch_size),
            lambda phase=phase: trainer.begin(phase),
        )
        for phase, count, seen in zip(PHASES, (steps, encoder_steps), (0, steps), strict=True)
        if count
    ]
