"""Trains generator and critic against each other, then the encoder on the generator's pictures.

Objectives: ``gan`` ([1]: non-saturating, logits of D), ``wgan`` (weight clipping, [2] Algorithm 1)
and ``wgan_gp`` (gradient penalty, [3] Algorithm 1). A step of training is one update of the
critic; the generator follows whenever the critic had as many updates as the paper wants.

[1] Radford 2016, Unsupervised Representation Learning with Deep Convolutional GANs.
[2] Arjovsky 2017, Wasserstein GAN.
[3] Gulrajani 2017, Improved Training of Wasserstein GANs.
[4] Karras 2018, Progressive Growing of GANs: Section 2, small pictures first; Section 6, a moving
    average of G's weights.
"""

import dataclasses
import math

import tensorflow as tf
from absl import logging

from common import figures, runtime
from common.pictures import images as image_files
from common.pictures import masks
from common.training import folding, losses
from common.training.optimizers import optimizer
from common.training.runs import Row
from common.training.trainer import Trainer
from wgan_inpaint import inference, loading, progressive
from wgan_inpaint.networks import calibrate, critic, encoder, generator, random_latents, uniform
from wgan_inpaint.search import completing as completing_files
from wgan_inpaint.search import latent_search
from wgan_inpaint.studies import history

SAMPLES = 64  # pictures of a sample grid
MEASURED = 256  # z on which a generator's statistics are measured


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is minimized, and who is trained how often.

    Attributes:
      name: one of ``settings.OBJECTIVES``.
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


class AdversarialTrainer(Trainer):
    """Generator, critic and encoder with one step for each phase.

    ``fit`` wants batches of uint8 [B, S, S, 3]. Everything random is drawn in the graph from
    (seed, step). ``average`` is the moving average of the generator's weights, which is what the
    search uses.
    """

    measures = {
        "adversarial": ("wasserstein", "jensen_shannon", "critic", "generator", "penalty"),
        "encoder": ("encoder", "latent", "context"),
    }
    draws = ("critic z", "generator z", "epsilon", "encoder z", "holes")

    def __init__(
        self,
        networks,
        optimizers,
        objective,
        mask_spec,
        averaging=0.999,
        encoder_context=10.0,
        seed=0,
        fades=None,
        begins_at=0,
    ):
        """Makes a trainer.

        Args:
          networks: of ``networks``.
          optimizers: for "generator", "critic" and "encoder".
          objective: an ``Objective``.
          mask_spec: ``common.pictures.masks.MaskSpec`` of the encoder's holes.
          averaging: decay of the average; 0 is the generator itself.
          encoder_context: weight of the encoder's context loss beside the squared error of z.
          seed: of everything random.
          fades: {key: (updates of the generator before, and while it fades in)} of the keys of
            ``wgan_inpaint.progressive.networks`` that end in ``FADING``.
          begins_at: updates of the generator before the full size's, fading included.
        """
        super().__init__(networks, optimizers, seed, ("generator_steps", "critic_since"))
        self.fades, self.key = fades or {}, ""
        self._begins_at = begins_at
        self.objective, self.mask_spec = objective, mask_spec
        self.averaging, self.encoder_context = averaging, encoder_context
        self.latent = self.generator.input_shape[-1]

    average, encoder = (
        property(lambda self, name=name: self.networks[name]) for name in ("average", "encoder")
    )
    generator, critic = (
        property(lambda self, name=name: self.networks[f"{name}{self.key}"])
        for name in ("generator", "critic")
    )

    def begin(self, row):
        """Chooses phase and size.

        Before the full size's first update the average begins as the generator, and before the
        encoder's its statistics are set.
        """
        super().begin(row)
        self.key = row.name.removeprefix(row.phase)
        at_full_size = row.phase == "adversarial" and not self.key and self._begins_at
        # Once alone: in a critic's step the generator's statistics move, too.
        if at_full_size and int(self.step) == self.objective.total_steps(self._begins_at):
            self.average.set_weights(self.generator.get_weights())
        if row.phase == "encoder" and self.averaging:  # else they are the generator's
            calibrate(self.average)

    def train_step(self, data):
        """One step of the phase; uint8 [B, S, S, 3] to means, and ``generator_steps``."""
        updates = self.counters["generator_steps"]
        return {**super().train_step(data), "generator_steps": updates.read_value()}

    def adversarial_step(self, data):
        """One update of the critic, and of the generator if its turn has come."""
        images = self._at_size(tf.cast(data, tf.float32) / 255)
        values = self._critic_step(images)
        since = self.counters["critic_since"]
        since.assign_add(1)
        due = self.objective.critic_updates(self.counters["generator_steps"])
        tf.cond(
            since >= tf.cast(due, tf.int64),
            lambda: self._generator_step(tf.shape(images)[0]),
            lambda: None,
        )  # both branches only have side effects
        return values

    def _at_size(self, images):
        """Pictures of the size of the phase; while it fades in they do, too ([4])."""
        shrink = images.shape[1] // self.critic.input_shape[1]
        if shrink > 1:
            images = tf.nn.avg_pool2d(images, shrink, shrink, "VALID")
        if self.key not in self.fades:
            return images
        before, count = self.fades[self.key]
        done = tf.cast(self.counters["generator_steps"] - before, tf.float32) / count
        alpha = tf.clip_by_value(done, 0, 1)
        for layer in self.generator.layers:
            if isinstance(layer, progressive.Fade):
                layer.alpha.assign(alpha)  # the critic's, too: it is the same layer
        coarse = tf.nn.avg_pool2d(images, 2, 2, "VALID")
        coarse = tf.repeat(tf.repeat(coarse, 2, axis=1), 2, axis=2)
        return alpha * images + (1 - alpha) * coarse

    def _latents(self, count, purpose):
        return random_latents(count, self.latent, self.random(purpose))

    def _critic_step(self, images):
        count = tf.shape(images)[0]
        fakes = self.generator(self._latents(count, "critic z"), training=True)
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
                epsilon = uniform([count, 1, 1, 1], self.random("epsilon"))
                values["penalty"] = losses.gradient_penalty(
                    lambda x: self.critic(x, training=True), images, fakes, epsilon
                )
                loss += self.objective.penalty * values["penalty"]
        self.apply(tape, loss, f"critic{self.key}")
        if self.objective.name == "wgan":
            for variable in self.critic.trainable_variables:
                clip = self.objective.clip
                variable.assign(tf.clip_by_value(variable.value, -clip, clip))
        return {**values, "critic": loss, "generator": generator_loss}

    def _generator_step(self, count):
        z = self._latents(count, "generator z")
        with tf.GradientTape() as tape:
            scores = self.critic(self.generator(z, training=True), training=True)
            if self.objective.name == "gan":
                loss = losses.generator_gan(scores)
            else:
                loss = losses.wasserstein_generator(scores)
        self.apply(tape, loss, f"generator{self.key}")
        done = self.counters["generator_steps"]
        if not self.key:
            self.follow("average", "generator", self.averaging, done - self._begins_at)
        done.assign_add(1)
        self.counters["critic_since"].assign(0)

    def encoder_step(self, data):
        """Pairs (masked G(z), z), whose z is known, and as many masked real images, without."""
        images = tf.cast(data, tf.float32) / 255
        count, side = tf.shape(images)[0], images.shape[1]
        z = self._latents(count, "encoder z")
        targets = tf.concat([self.average(z, training=False), images], axis=0)
        holes = masks.draw(self.mask_spec, 2 * images.shape[0], side, side, self.random("holes"))
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
        self.apply(tape, loss, "encoder")
        return {"encoder": loss, "latent": latent, "context": context}

    def example(self, name, images):
        """What a network takes: images [N, S, S, 3] in [0, 1], the same with holes, or z."""
        if name == "critic":
            return tf.constant(images)
        if name == "encoder":
            holes = masks.draw(self.mask_spec, *images.shape[:3], [self.seed, -1])
            return {"images": tf.constant(images), "masks": holes}
        return random_latents(MEASURED, self.latent, [self.seed, -2])

    def sampler(self, first, run):
        """A function that writes a grid of pictures of fixed z, and draws the run's history.

        Args:
          first: not used.
          run: the ``common.training.runs.RunDirectory``.
        """
        del first
        return history.drawing(self.write_pictures, run)

    def write_pictures(self, path):
        """Writes a grid of pictures of fixed z."""
        z = random_latents(SAMPLES, self.latent, [self.seed, -1])
        shown = self.generator if self.key else self.average
        pictures = shown(z, training=False).numpy()
        side = math.isqrt(SAMPLES)
        rows = [list(pictures[n : n + side]) for n in range(0, SAMPLES, side)]
        image_files.write_image(path, figures.compose_grid(rows))


def _weighted_mean(values, weights):
    """The mean over the batch of each picture's mean, weighted by [B, H, W, 1]."""
    sums = tf.reduce_sum(weights * values, axis=[1, 2, 3])
    # A mask may leave nothing known.
    shares = tf.math.divide_no_nan(sums, values.shape[-1] * tf.reduce_sum(weights, [1, 2, 3]))
    return tf.reduce_mean(shares)


# The room of the method "latent_search": see ``common.methods``. ``settings`` are
# ``settings.Adversarial``, ``completing`` ``search.settings.Settings``.

KEPT = {name: (name, folding.unfold) for name in ("generator", "critic", "encoder")}
KEPT["average"] = KEPT["generator"]


def networks(settings, policy="float32"):
    """{name: network} of the run's checkpoint; "average" is frozen and begins as the generator."""
    chosen = settings.networks
    built = {
        "generator": generator(chosen, policy),
        "average": generator(chosen, policy),
        "critic": critic(chosen, policy),
        "encoder": encoder(chosen, dtype=policy),
    }
    built["average"].set_weights(built["generator"].get_weights())
    built["average"].trainable = False
    if settings.progressive:
        pair = built["generator"], built["critic"]
        built |= progressive.networks(*pair, chosen, settings.stages, policy)
    return built


def objective(settings):
    """The ``Objective``."""
    return Objective(
        name=settings.objective,
        clip=settings.clip,
        penalty=settings.penalty,
        critic_steps=settings.critic_steps,
        warmup_critic_steps=settings.warmup_critic_steps,
        warmup_generator_steps=settings.warmup_generator_steps,
        refresh_every=settings.refresh_every,
    )


def build(settings, holes, policy):
    """An ``AdversarialTrainer``."""
    batch_norm = settings.architecture == "dcgan" and settings.critic_norm == "batch"
    if settings.objective == "wgan_gp" and batch_norm:
        logging.warning(
            "--objective=wgan_gp penalizes each image's own gradient, which --critic_norm=batch "
            "mixes with the others'; the paper takes --critic_norm=layer"
        )
    decay, betas = settings.decay == "cosine", (settings.beta_1, settings.beta_2)
    critic_steps = objective(settings).total_steps(settings.generator_steps)
    adversarial = {
        "generator": (settings.learning_rate, settings.generator_steps),
        "critic": (settings.discriminator_learning_rate or settings.learning_rate, critic_steps),
    }
    built = networks(settings, policy)
    optimizers = {}
    for name in built:
        if (kind := name.partition("_")[0]) in adversarial:
            rate, steps = adversarial[kind]
            optimizers[name] = optimizer(settings.optimizer, rate, *betas, decay * steps)
    optimizers["encoder"] = optimizer(
        "adam", settings.encoder_learning_rate, decay_steps=settings.encoder_steps
    )
    fades, done, full = {}, 0, settings.generator_steps
    for stage in settings.stages if settings.progressive else []:
        fades[f"_{stage.size}{progressive.FADING}"] = done, stage.fade
        done, full = done + stage.steps, stage.steps - stage.fade
    return AdversarialTrainer(
        built,
        optimizers,
        objective(settings),
        holes,
        settings.averaging,
        settings.encoder_context,
        settings.seed,
        {key: fade for key, fade in fades.items() if fade[1]},
        settings.generator_steps - full,
    )


def plan(settings):
    """The two phases as rows of a run, counted in updates of the critic and of the encoder.

    The first one has a row for each smaller size, and one while it fades in.
    """
    rows, done = [], 0
    total = objective(settings).total_steps

    def add(updates, batch_size, size, name):
        nonlocal done
        steps = total(done + updates) - total(done)
        rows.append(Row("adversarial", steps, batch_size, size, name))
        done += updates

    stages = settings.stages if settings.progressive else []
    for stage in stages:
        name = f"adversarial_{stage.size}"
        add(stage.fade, stage.batch_size, stage.size, f"{name}{progressive.FADING}")
        if stage is not stages[-1]:
            add(stage.steps - stage.fade, stage.batch_size, stage.size, name)
    add(settings.generator_steps - done, settings.batch_size, 0, "")
    rows.append(Row("encoder", settings.encoder_steps, settings.batch_size))
    return [row for row in rows if row.steps]


def exported(restored, completing, storage, jit_compile):
    """The whole search as one graph, and what is told of it."""
    networks_ = loading.fold(restored, storage)
    described = {**loading.describe(networks_), "completing": dataclasses.asdict(completing)}
    return inference.Completion(networks_, completing, jit_compile), described


def completer(completing, writing, source, options):
    """The work of ``common.completion.files`` with a model.

    Args:
      completing: ``search.settings.Settings``, for a single completion.
      writing: ``search.settings.Writing``.
      source: of ``loading.load_networks``.
      options: ``common.completion.files.Options``.

    Raises:
      InputError: no such model, or settings that it cannot follow.
    """
    networks_ = loading.load_networks(source)
    bfloat16 = runtime.choose_precision(options.precision) == "mixed_bfloat16"
    search = latent_search.LatentSearch(
        networks_,
        completing.for_samples(writing.samples),
        tf.bfloat16 if bfloat16 else tf.float32,
        runtime.choose_xla(options.xla),
        writing.block,
    )
    extras = writing.extras(completing.iterations)
    return completing_files.Files(search, options.blend, extras, options.batch_size)
