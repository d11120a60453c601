"""The conditional GAN G(m, z): its training, its export, and completing with it.

A step draws two samples a and b of each picture. D sees one of them, G's loss both:

    D: objective(D(m, x), D(m, a)); every n-th step also n gamma / 2 |grad_x D(m, x)|^2
    G: mean over both samples of its part of the objective + weight * reconstruction(x, a, b)
       + latent weight * mean over both of |E(a) - z|, which trains E too, if there is one ([7])

Known pixels are pasted in before D and before every term. The room of the method "conditional":
see ``common.methods``.

Of pictures that are damaged themselves, y being known outside the damage m1 ([5], [6] with a
condition), a hole m2 is drawn on top. G completes y without both; every term looks at what m2 alone
hides, where y tells the truth; D's real and drawn pictures both lack m1:

    D: objective(D(m, (1 - m1) y), D(m, (1 - m1) a)), m = y without m1 and m2

On request a second discriminator binds what no picture shows together: that of [5], unconditional,
with another picture y', damaged by m':

    A: objective(A(m', (1 - m') y'), A(m', (1 - m') a)); G: + ambient weight * its part of that

[1] 无监督学习在图像修复中的应用: G(m, z), and a discriminator of six channels.
[2] L. Mescheder et al. Which Training Methods for GANs do actually Converge? ICML 2018. R1.
[3] T. Karras et al. Analyzing and Improving the Image Quality of StyleGAN. CVPR 2020. Section 3.1:
    the penalty only every so-manyth step.
[4] J. H. Lim, J. C. Ye. Geometric GAN. 2017. The hinge loss.
[5] A. Bora et al. AmbientGAN: Generative Models from Lossy Measurements. ICLR 2018.
[6] A. Pajot et al. Unsupervised Adversarial Image Reconstruction. ICLR 2019.
[7] J.-Y. Zhu et al. Toward Multimodal Image-to-Image Translation. NeurIPS 2017. Section 3.3.
"""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf

from common import figures
from common.completion import crops
from common.completion.models import load_model
from common.pictures import cropping, datasets, masks
from common.pictures import images as image_files
from common.training import folding, losses
from common.training.damage import damage_of, parted
from common.training.optimizers import optimizer
from common.training.runs import Row
from common.training.trainer import Trainer
from wgan_inpaint.conditional import losses as terms
from wgan_inpaint.conditional.networks import discriminator, generator, regressor
from wgan_inpaint.networks import normal, uniform

JUDGED = 64  # pictures that gain and ratio are measured on
SAMPLES = 8  # of each of them
SHOWN = 8  # pictures of a sample grid
_SALT = 7  # beside a sample's seed


def latents(seeds, length):
    """Z of samples: the same for a seed wherever it stands.

    Args:
      seeds: int32 [K], not negative.
      length: Z.

    Returns:
      float32 [K, Z], each element N(0, 1).
    """
    return tf.map_fn(
        lambda seed: normal([length], tf.stack([seed, _SALT])),
        seeds,
        fn_output_signature=tf.float32,
    )


class ConditionalTrainer(Trainer):
    """Generator and discriminator, in one step.

    ``fit`` wants batches of uint8 [B, S, S, 3], or [B, S, S, 4], see ``parted``. Everything random
    is drawn in the graph from (seed, step). ``average`` is the moving average of the generator's
    weights, which is what is used.
    """

    measures = {
        "conditional": (
            "discriminator", "generator", "reconstruction", "penalty", "latent", "ambient",
        )
    }  # fmt: skip
    draws = ("holes", "z", "epsilon")

    def __init__(self, networks, optimizers, mask_spec, settings):
        """Makes a trainer.

        Args:
          networks: of ``networks``.
          optimizers: for those that are trained: all but "average".
          mask_spec: ``common.pictures.mask_spec.MaskSpec`` of the holes.
          settings: ``settings.Conditional``.
        """
        super().__init__(networks, optimizers, settings.seed)
        self.mask_spec, self.settings = mask_spec, settings

    def conditional_step(self, data):
        """One update of every network."""
        own = self.settings
        images, damage = parted(data)
        batch, side, _, _ = images.shape
        drawn = masks.draw(self.mask_spec, batch, side, side, self.random("holes"))
        holes, judged = tf.maximum(drawn, damage), drawn * (1 - damage)
        z = normal([batch, 2, own.latent], self.random("z"))
        with tf.GradientTape(persistent=bool(own.latent_weight)) as tape:
            inputs = {"images": images, "masks": holes, "z": z}
            samples = self.networks["generator"](inputs, training=True)
            pasted = tf.where(holes[:, None] > 0.5, samples, images[:, None])
            whole = 2 * pasted - 1
            truth, first, second = (
                tf.where(damage > 0.5, 0.0, x) for x in (2 * images - 1, whole[:, 0], whole[:, 1])
            )
            damaged = tf.where(holes > 0.5, 0.0, truth)
            with tape.stop_recording():
                values = self._discriminator_step("discriminator", damaged, truth, first)
            both = tf.concat([first, second], axis=0)
            scores = self._judge("discriminator", tf.concat([damaged, damaged], axis=0), both)
            game = self._generator_loss(scores)
            term = terms.TERMS[own.reconstruction](truth, first, second, judged, z)
            loss = game + own.reconstruction_weight * term
            if own.ambient_weight:
                other, others = tf.roll(truth, 1, axis=0), tf.roll(damage, 1, axis=0)
                alike = tf.where(others > 0.5, 0.0, whole[:, 0])
                with tape.stop_recording():
                    told = self._discriminator_step("ambient", others, other, alike)
                values["ambient"] = told["discriminator"]
                scores = self._judge("ambient", others, alike)
                loss += own.ambient_weight * self._generator_loss(scores)
            if own.latent_weight:
                hidden = tf.where(tf.concat([judged, judged], axis=0) > 0.5, both, 0.0)
                found = self.networks["regressor"](hidden, training=True)
                values["latent"] = terms.latent_l1(found, tf.concat(tf.unstack(z, axis=1), axis=0))
                loss += own.latent_weight * values["latent"]
        self.apply(tape, loss, "generator")
        if own.latent_weight:
            self.apply(tape, loss, "regressor")
        self.follow("average", "generator", own.averaging, self.step)
        return {**values, "generator": game, "reconstruction": term}

    def _judge(self, name, condition, candidates):
        pair = tf.concat([condition, candidates], axis=-1)
        return self.networks[name](pair, training=True)

    def _discriminator_step(self, name, condition, real, fake):
        own = self.settings
        fake = tf.stop_gradient(fake)
        with tf.GradientTape() as tape:
            scores = self._judge(name, condition, real), self._judge(name, condition, fake)
            if own.objective == "gan":
                loss = losses.discriminator_gan(*scores)
                loss *= 0.5 if own.discriminator_halves == "mean" else 1
            elif own.objective == "hinge":  # [4]
                loss = losses.discriminator_hinge(*scores)
            else:
                loss = losses.wasserstein_critic(*scores)
            if own.objective == "wgan_gp":
                epsilon = uniform([real.shape[0], 1, 1, 1], self.random("epsilon"))
                penalty = own.penalty * losses.gradient_penalty(
                    lambda x: self._judge(name, condition, 2 * x - 1),
                    (real + 1) / 2,
                    (fake + 1) / 2,
                    epsilon,
                )
            elif own.r1:
                penalty = tf.cond(
                    tf.equal(self.step % own.r1_every, 0),
                    lambda: (
                        own.r1_every * own.r1 / 2 * self.squared_gradient(condition, real, name)
                    ),
                    lambda: tf.constant(0.0),
                )
            else:
                penalty = tf.constant(0.0)
            total = loss + penalty
        self.apply(tape, total, name)
        return {"discriminator": loss, "penalty": penalty}

    def squared_gradient(self, condition, real, name="discriminator"):
        """``E |grad_x D(m, x)|^2`` at real pictures, with respect to the candidate alone ([2]).

        Args:
          condition: m, [B, S, S, 3] in [-1, 1].
          real: x, the same.
          name: of the network.
        """
        with tf.GradientTape() as tape:
            tape.watch(real)
            scores = tf.reduce_sum(self._judge(name, condition, real))
        slope = tf.cast(tape.gradient(scores, real), tf.float32)
        return tf.reduce_mean(tf.reduce_sum(tf.square(slope), axis=[1, 2, 3]))

    def _generator_loss(self, scores):
        if self.settings.objective == "gan":
            return losses.generator_gan(scores)
        return losses.wasserstein_generator(scores)  # the hinge loss has the same ([4])

    def damage(self, job):
        """Of ``--supervision=damaged``."""
        return damage_of(self.settings, job)

    def sampler(self, first, run):
        """A function that draws samples of fixed pictures and measures whether z lives.

        Columns: the hole, seven samples, the original. It returns ``gain`` and ``ratio``, see
        ``liveliness``; of damaged pictures they are measured where a drawn hole alone hides them.

        Args:
          first: from a number to so many first training images, uint8 [N, S, S, 3 or 4].
          run: the ``common.training.runs.RunDirectory``.
        """
        del run
        found = datasets.judged_images(JUDGED, self.settings.validation, self.settings.size, first)
        images, damage = (x.numpy() for x in parted(tf.constant(found)))
        drawn = masks.draw(self.mask_spec, *images.shape[:3], [self.seed, -1]).numpy()
        holes, known = np.maximum(drawn, damage), 1 - damage
        z = normal([JUDGED, SAMPLES, self.settings.latent], [self.seed, -2])

        def write(path):
            pasted = sample(self.networks["average"], images, holes, z)
            shown = figures.show_hole(images[:SHOWN], holes[:SHOWN])
            originals = figures.show_hole(images[:SHOWN], damage[:SHOWN])
            rows = [[shown[n], *pasted[n, : SAMPLES - 1], originals[n]] for n in range(SHOWN)]
            image_files.write_image(path, figures.compose_grid(rows))
            return liveliness(images, pasted, drawn, known)

        return write


def sample(network, images, holes, z, at_a_time=16):
    """Samples with the known pixels pasted in.

    Args:
      network: of ``wgan_inpaint.conditional.networks.generator``.
      images: float32 [B, S, S, 3].
      holes: [B, S, S, 1].
      z: [B, K, Z].
      at_a_time: pictures; bounds memory.

    Returns:
      numpy float32 [B, K, S, S, 3].
    """
    parts = []
    for n in range(0, len(images), at_a_time):
        part = slice(n, n + at_a_time)
        inputs = {"images": images[part], "masks": holes[part], "z": z[part]}
        inputs = {name: tf.convert_to_tensor(value) for name, value in inputs.items()}
        parts.append(network(inputs, training=False).numpy())
    return np.where(holes[:, None] > 0.5, np.concatenate(parts), images[:, None])


def liveliness(images, samples, holes, known=1.0):
    """Whether z does something, and enough.

    Args:
      images: float32 [B, S, S, 3].
      samples: float32 [B, K, S, S, 3], the known pixels pasted in.
      holes: [B, S, S, 1].
      known: [B, S, S, 1], 0 where a picture itself is damaged, which does not count; 1: nowhere.

    Returns:
      {"gain": PSNR of the samples' mean less that of one, in dB, from pooled mean squared errors: 0
      if z is ignored, 10 log10(2 / (1 + 1 / K)) of a right sampler, more of a too wild one;
      "ratio": mean absolute difference of two samples in the hole, by that of two pictures there}.
    """
    judged = holes * known
    one = np.mean((samples - images[:, None]) ** 2 * judged[:, None])
    of_mean = np.mean((samples.mean(1) - images) ** 2 * judged)
    gain = 10 * math.log10(max(one, 1e-12) / max(of_mean, 1e-12))
    both = judged * np.roll(known, 1, axis=0) if np.ndim(known) else judged
    between = np.abs(np.roll(samples, 1, axis=1) - samples) * judged[:, None]
    others = np.abs(np.roll(images, 1, axis=0) - images) * both
    ratio = between.sum() / samples.shape[1] / max(others.sum(), 1e-12)
    ratio *= both.sum() / max(judged.sum(), 1e-12)  # to means
    return {"gain": float(gain), "ratio": float(ratio)}


class LateCosine(keras.optimizers.schedules.LearningRateSchedule):
    """The rate, and in the last third of a run a cosine down to a tenth of it."""

    def __init__(self, rate, steps):
        self.rate, self.steps = rate, steps

    def __call__(self, step):
        """The learning rate of a step."""
        done = tf.cast(step, tf.float32) / self.steps
        fall = tf.clip_by_value(3 * done - 2, 0.0, 1.0)
        return self.rate * (0.1 + 0.9 * (1 + tf.cos(math.pi * fall)) / 2)

    def get_config(self):
        """The constructor's arguments."""
        return {"rate": self.rate, "steps": self.steps}


# The generator alone, its average: the discriminator begins anew.
KEPT = dict.fromkeys(("generator", "average"), ("network", folding.restore))


def networks(settings, policy="float32"):
    """{name: network} of the run's checkpoint; "average" is frozen and begins as the generator.

    What is not always used comes last, and only where it is: other runs have neither that nor
    other weights.
    """
    kind, size = settings.architecture, settings.size
    built = {
        name: generator(kind, size, settings.latent, policy) for name in ("generator", "average")
    }
    built["average"].set_weights(built["generator"].get_weights())
    built["average"].trainable = False
    built["discriminator"] = discriminator(kind, size, policy)
    if settings.ambient_weight:
        built["ambient"] = discriminator(kind, size, policy, condition=1)
    if settings.latent_weight:
        built["regressor"] = regressor(size, settings.latent, policy)
    return built


def build(settings, holes, policy):
    """A ``ConditionalTrainer``."""
    rate = settings.learning_rate
    if settings.decay == "cosine":
        rate = LateCosine(rate, settings.conditional_steps)
    built = networks(settings, policy)
    optimizers = {
        name: optimizer(settings.optimizer, rate, settings.beta_1, settings.beta_2)
        for name in built
        if name != "average"
    }
    return ConditionalTrainer(built, optimizers, holes, settings)


def plan(settings):
    """One phase."""
    return [Row("conditional", settings.conditional_steps, settings.batch_size)]


class Completion(tf.Module):
    """G(m, z) as a function of images and masks of any size, on the crops around the holes."""

    def __init__(self, stored, size, latent, seed):
        """Keeps the network.

        Args:
          stored: a ``common.training.folding.Stored`` generator.
          size: S in pixels.
          latent: Z.
          seed: of the sample that ``complete`` returns.
        """
        super().__init__(name="conditional")
        self.network, self.size, self.latent, self.seed = stored, size, latent, seed

    def complete(self, images, holes):
        """One sample, [B, H, W, 3]."""
        return self._samples(images, holes, tf.constant([self.seed]), tf.float32)[:, 0]

    def complete_bfloat16(self, images, holes):
        """The same with the network in bfloat16."""
        return self._samples(images, holes, tf.constant([self.seed]), tf.bfloat16)[:, 0]

    def complete_samples(self, images, holes, seeds):
        """A sample for each seed, [B, K, H, W, 3]."""
        return self._samples(images, holes, seeds, tf.float32)

    def complete_samples_bfloat16(self, images, holes, seeds):
        """The same with the network in bfloat16."""
        return self._samples(images, holes, seeds, tf.bfloat16)

    def _samples(self, images, holes, seeds, dtype):
        squares = cropping.squares(holes, self.size)
        crops, crop_holes = cropping.cut(images, holes, squares, self.size)
        z = tf.tile(latents(seeds, self.latent)[None], [tf.shape(images)[0], 1, 1])
        pictures = self.network.at(dtype)({"images": crops, "masks": crop_holes, "z": z})
        return cropping.put_back_samples(pictures, squares, *tf.unstack(tf.shape(images)[1:3]))


def exported(restored, completing, storage, jit_compile):
    """The averaged generator, and what is told of it."""
    del jit_compile
    own = restored.settings

    def built(policy):
        return generator(own.architecture, own.size, own.latent, policy)

    stored = folding.Stored(built, restored.networks["average"].get_weights(), storage)
    return Completion(stored, own.size, own.latent, completing.seed), {
        "architecture": own.architecture,
        "image_size": own.size,
        "latent": own.latent,
        "whole": True,
        "completing": dataclasses.asdict(completing),
    }


def completer(completing, writing, source, options):
    """The work of ``common.completion.files`` with a model.

    Args:
      completing: ``settings.Completing``.
      writing: ``wgan_inpaint.settings.Samples``.
      source: of ``common.completion.models.load_model``.
      options: ``common.completion.files.Options``.

    Raises:
      InputError: no such model, or one that draws no samples.
    """
    model = load_model(source, options.precision)
    return crops.Samples.of(model, options, writing.samples, completing.seed)
