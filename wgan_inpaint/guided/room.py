"""CNNLG: its training in four steps, its export, and completing with it.

    generation  encoder, codebook, decoder: -log p(x | h) + commitment + lambda J       ([1] 4.1)
    guides      codes of the hole, cross entropy after the mean field                   ([1] 4.2)
    gradients   differences in the hole, and the picture that they add up to
    refinement  a copy of the decoder on what both predict, -log p in the hole

The room of the method "cnnlg": see ``common.methods``.

[1] 基于卷积神经网络的图像修复、绘画方法: CNNLG.
[2] A. van den Oord et al. Neural Discrete Representation Learning. NeurIPS 2017.
[3] S. Zheng et al. Conditional Random Fields as Recurrent Neural Networks. ICCV 2015.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from common.pictures import datasets, masks
from common.training.optimizers import optimizer
from common.training.runs import Row
from common.training.trainer import Trainer
from wgan_inpaint.guided import judging, likelihood, losses, prediction, robustness
from wgan_inpaint.guided import networks as built
from wgan_inpaint.guided.completion import Completion, completer  # noqa: F401  of the room
from wgan_inpaint.networks import uniform

FIRST = 16  # pictures whose points are the first codes


class GuidedTrainer(Trainer):
    """Both steps of CNNLG; ``fit`` wants batches of uint8 [B, S, S, 3].

    Everything random is drawn in the graph from (seed, step). ``completer`` is the decoder of the
    refinement, which begins as the other.
    """

    measures = {
        "generation": ("bits", "commitment", "penalty"),
        "guides": ("cross_entropy", "unary_cross_entropy", "accuracy"),
        "gradients": ("gradient", "integral"),
        "refinement": ("bits",),
    }
    draws = ("holes", "revived", "told", "hidden")

    def __init__(self, networks, optimizers, mask_spec, settings):
        """Makes a trainer.

        Args:
          networks: of ``networks``.
          optimizers: for those that are trained.
          mask_spec: ``common.pictures.mask_spec.MaskSpec`` of the holes.
          settings: ``settings.Guided``.
        """
        super().__init__(networks, optimizers, settings.seed)
        self.mask_spec, self.settings = mask_spec, settings

    @property
    def parts(self):
        """``prediction.Networks`` of the networks in training."""
        keys = ("encoder", "codebook", "guides", "tables", "gradients", "completer")
        own = self.settings
        return prediction.Networks(*(self.networks[k] for k in keys), own.stride, own.mixtures)

    def begin(self, row):
        """The refinement begins with the decoder as it was trained."""
        super().begin(row)
        if row.phase == "refinement" and not int(self.optimizers["completer"].iterations):
            self.networks["completer"].set_weights(self.networks["decoder"].get_weights())

    def prepare(self, first, pictures=None):
        """The first codes: what the encoder makes of the first pictures."""
        del pictures  # there are as many codes, however few there are
        own = self.settings
        points = (own.size // own.stride) ** 2
        images = tf.constant(first(max(FIRST, -(-own.codes // points)))) / 255
        encoded = self.networks["encoder"](tf.cast(images, tf.float32))
        flat = tf.reshape(encoded, [-1, own.code_length]).numpy()
        order = np.random.default_rng(own.seed).permutation(len(flat))
        self.networks["codebook"].begin(flat[order])

    def update(self, gradients, names):
        """Updates several networks by their gradients, clipped together.

        Args:
          gradients: {name: list}.
          names: of the networks.
        """
        flat = [g for name in names for g in gradients[name]]
        if self.settings.clip_norm:
            flat, _ = tf.clip_by_global_norm(flat, self.settings.clip_norm)
        for name in names:
            variables = self.networks[name].trainable_variables
            own, flat = flat[: len(variables)], flat[len(variables) :]
            self.optimizers[name].apply(own, variables)

    def _trained(self, *names):
        return {name: self.networks[name].trainable_variables for name in names}

    def holes(self, images):
        """Holes for a batch."""
        batch, side = images.shape[0], images.shape[1]
        return masks.draw(self.mask_spec, batch, side, side, self.random("holes"))

    def log_likelihood(self, parameters, images):
        """Of ``likelihood``, with the density of the settings."""
        own = self.settings
        return likelihood.log_likelihood(parameters, images, own.density, own.mixtures)

    def decoder_loss(self, vectors, images):
        """Mean -log p(x | h) of a dimension, in nats."""
        inputs = {"field": vectors, "context": prediction.nothing(images)}
        parameters = self.networks["decoder"](inputs, training=True)
        return -tf.reduce_mean(self.log_likelihood(parameters, images)) / 3

    def generation_step(self, data):
        """One update of encoder, decoder and codebook."""
        own, images = self.settings, tf.cast(data, tf.float32) / 255
        codebook, variables = self.networks["codebook"], self._trained("encoder", "decoder")
        with tf.GradientTape() as tape:
            encoded = self.networks["encoder"](images, training=True)
            labels = codebook.nearest(encoded)
            vectors = codebook.vectors(labels)
            straight = encoded + tf.stop_gradient(vectors - encoded)  # [2] Section 3.2
            nats = self.decoder_loss(straight, images)
            commitment = tf.reduce_mean(tf.square(encoded - vectors))
            loss = nats + own.commitment * commitment
        gradients = tape.gradient(loss, variables)
        penalty = tf.constant(0.0)
        if own.robustness:
            some = max(1, round(own.robustness_share * images.shape[0]))

            def penalized():
                return robustness.penalty_gradients(
                    lambda: self.decoder_loss(vectors[:some], images[:some]),
                    variables["decoder"],
                )

            penalty, of_penalty = tf.cond(
                tf.equal(self.step % own.robustness_every, 0),
                penalized,
                lambda: (tf.constant(0.0), [tf.zeros_like(v) for v in variables["decoder"]]),
            )
            weight = own.robustness * own.robustness_every
            gradients["decoder"] = [
                g + weight * p for g, p in zip(gradients["decoder"], of_penalty, strict=True)
            ]
        self.update(gradients, ["encoder", "decoder"])
        flat = tf.reshape(tf.stop_gradient(encoded), [-1, own.code_length])
        codebook.follow(
            flat, tf.reshape(labels, [-1]), own.code_decay, own.revive, self.random("revived")
        )
        return {"bits": nats / math.log(2), "commitment": commitment, "penalty": penalty}

    def guides_step(self, data):
        """One update of the latent guides and their tables."""
        own, images = self.settings, tf.cast(data, tf.float32) / 255
        holes = self.holes(images)
        truth = self.networks["codebook"].nearest(self.networks["encoder"](images))
        variables = self._trained("guides", "tables")
        with tf.GradientTape() as tape:
            values = self.guide_losses(images, holes, truth, own.field_iterations)
            loss = values["cross_entropy"] + own.unary_weight * values["unary_cross_entropy"]
        self.update(tape.gradient(loss, variables), ["guides", "tables"])
        return values

    def guide_losses(self, images, holes, truth, iterations):
        """Cross entropies and accuracy at unknown points: {measure: scalar}."""
        guides = prediction.guess(self.parts, images, holes)
        q = prediction.marginals(guides, iterations)
        unknown = tf.cast(~guides.known[..., 0], tf.float32)
        chosen = tf.gather(q, truth, batch_dims=3)
        right = tf.equal(tf.argmax(q, axis=-1, output_type=tf.int32), truth)
        alone = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, guides.unary)
        return {
            "cross_entropy": losses.over_points(-tf.math.log(tf.maximum(chosen, 1e-12)), unknown),
            "unary_cross_entropy": losses.over_points(alone, unknown),
            "accuracy": losses.over_points(tf.cast(right, tf.float32), unknown),
        }

    def gradients_step(self, data):
        """One update of the gradient network."""
        own, images = self.settings, tf.cast(data, tf.float32) / 255
        holes = self.holes(images)
        variables = self._trained("gradients")
        with tf.GradientTape() as tape:
            guessed = prediction.guide_gradients(self.parts, images, holes)
            loss = losses.gradient_error(guessed, images, holes)
            integral = tf.constant(0.0)
            if own.integral_weight:
                integral = losses.integral_error(guessed, images, holes)
            total = loss + own.integral_weight * integral
        self.update(tape.gradient(total, variables), ["gradients"])
        return {"gradient": loss, "integral": integral}

    def refinement_step(self, data):
        """One update of the decoder that completes."""
        own, images = self.settings, tf.cast(data, tf.float32) / 255
        holes, parts = self.holes(images), self.parts
        batch = images.shape[0]
        shown = uniform([batch, 1, 1, 1], self.random("hidden")) >= own.hidden_gradients
        gradients = prediction.amplify(
            prediction.guide_gradients(parts, images, holes), holes, tf.cast(shown, tf.float32)
        )
        q = prediction.marginals(prediction.guess(parts, images, holes))
        true = self.networks["codebook"].vectors(
            self.networks["codebook"].nearest(self.networks["encoder"](images))
        )
        told = uniform([batch, 1, 1, 1], self.random("told")) < own.told_codes
        inputs = {
            "field": tf.where(told, true, prediction.expected(parts, q)),
            "context": prediction.context(images, holes, gradients),
        }
        variables = self._trained("completer")
        with tf.GradientTape() as tape:
            parameters = self.networks["completer"](inputs, training=True)
            each = self.log_likelihood(parameters, images)
            nats = -tf.math.divide_no_nan(
                tf.reduce_sum(each * holes[..., 0]), 3 * tf.reduce_sum(holes)
            )
        self.update(tape.gradient(nats, variables), ["completer"])
        return {"bits": nats / math.log(2)}

    def sampler(self, first, run):
        """A function that draws what the present step has learnt, and measures it.

        Args:
          first: from a number to so many first training images, uint8 [N, S, S, 3].
          run: the ``common.training.runs.RunDirectory``.
        """
        del run
        own = self.settings
        found = datasets.judged_images(judging.JUDGED, own.validation, own.size, first)
        holes = masks.draw(self.mask_spec, *found.shape[:3], [own.seed, -1]).numpy()
        judge = judging.Judge(self, found.astype(np.float32) / 255, holes)
        return lambda path: judge(self.phase, path)


def _builders(settings, policy):
    own = settings
    options = {"mixtures": own.mixtures, "activation": own.activation, "dtype": policy}
    shape = own.stride, own.code_length
    return {
        "encoder": lambda: built.encoder(*shape, own.activation, policy),
        "codebook": lambda: built.Codebook(own.codes, own.code_length),
        "decoder": lambda: built.decoder(*shape, **options),
        "guides": lambda: built.guides(*shape, own.codes, policy),
        "tables": lambda: built.Tables(own.codes),
        "gradients": lambda: built.gradients(policy),
        "completer": lambda: built.decoder(*shape, **options, name="completer"),
    }


def networks(settings, policy="float32"):
    """{name: network} of the run's checkpoint."""
    return {name: build() for name, build in _builders(settings, policy).items()}


def build(settings, holes, policy):
    """A ``GuidedTrainer``."""
    own = settings
    lengths = {
        "encoder": own.generation_steps,
        "decoder": own.generation_steps,
        "guides": own.guides_steps,
        "tables": own.guides_steps,
        "gradients": own.gradients_steps,
        "completer": own.refinement_steps,
    }
    rates = {"completer": own.refinement_learning_rate}
    optimizers = {
        name: optimizer(
            own.optimizer,
            rates.get(name, own.learning_rate),
            own.beta_1,
            own.beta_2,
            steps if own.decay == "cosine" else 0,
        )
        for name, steps in lengths.items()
    }
    return GuidedTrainer(networks(own, policy), optimizers, holes, own)


def plan(settings):
    """The four steps."""
    own = settings
    return [
        Row("generation", own.generation_steps, own.batch_size),
        Row("guides", own.guides_steps, own.guides_batch_size),
        Row("gradients", own.gradients_steps, own.batch_size),
        Row("refinement", own.refinement_steps, own.batch_size),
    ]


def exported(restored, completing, storage, jit_compile):
    """The networks that complete, and what is told of them."""
    del jit_compile
    own = restored.settings
    module = Completion(
        restored.networks,
        lambda name, policy: _builders(own, policy)[name](),
        own,
        completing,
        storage,
    )
    return module, {
        "image_size": own.size,
        "stride": own.stride,
        "codes": own.codes,
        "whole": True,
        "completing": dataclasses.asdict(completing),
    }
