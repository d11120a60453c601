"""Completion by gradient descent on z: argmin over z of L_context(z) + lambda L_prior(z).

    search = LatentSearch(networks, Settings(), tf.bfloat16)
    state = search.start(images, masks)                         # z of every restart
    state, history = search.advance(images, masks, state, 500)  # one compiled graph
    result = search.finish(images, masks, state)                # the best restart of each image

Images are float32 RGB [B, S, S, 3] in [0, 1] at the generator's size S, masks float32 [B, S, S, 1],
1 = missing. All images and all their R restarts are one batch of N = B R latent vectors: restart r
of image b is row b R + r. Nothing that happens to one image depends on the others: its random
numbers follow from its known pixels, and normalization has fixed statistics. (The candidates of a
ranked start are the same for all; each image ranks them by its own loss.) In float32 the products
of a batch of another size may be rounded otherwise, and hundreds of iterations make grey levels of
that: for the same result to the bit, ``completing`` keeps to one size.

``advance`` may be called again and again; what it returns after 3 x 500 iterations is what it
returns after 1,500. It loops on the device: nothing crosses to the host within.

[1] R. Yeh et al. Semantic Image Inpainting with Deep Generative Models. CVPR 2017. Section 3.
[2] B. Amos. Image Completion with Deep Learning in TensorFlow. 2016, and its code.
[3] 基于WGAN的图像修复: the document that this package follows, after [1] and [2].
"""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from common.errors import InputError
from wgan_inpaint import networks
from wgan_inpaint.search import draws, optimizers

MEASURED = 1024  # pictures that a critic's scores are measured on
_RANKED_AT_A_TIME = 256  # candidates; bounds memory


class State(NamedTuple):
    """Where a search stands.

    Attributes:
      point: z of every restart, with the losses and the gradient there: an ``optimizers.Point``.
      memory: the optimizer's, a structure of float32 tensors [N, ...].
      iteration: int32, how many were done.
    """

    point: optimizers.Point
    memory: tuple
    iteration: tf.Tensor

    @property
    def z(self):
        """Latent vectors, float32 [N, Z]."""
        return self.point.z

    @property
    def losses(self):
        """Context and prior loss at ``z``, float32 [2, N]."""
        return self.point.losses


class Result(NamedTuple):
    """The best restart of each image.

    Attributes:
      pictures: G(z), float32 [B, S, S, 3] in [0, 1].
      z: float32 [B, Z].
      context, prior: its losses [B]; their total is context + lambda prior.
      restart: its number, int32 [B].
    """

    pictures: tf.Tensor
    z: tf.Tensor
    context: tf.Tensor
    prior: tf.Tensor
    restart: tf.Tensor


def importance_weights(masks, window=7):
    """W of [1] eq. 3: for a known pixel the missing share of its neighbourhood, for others 0.

    Args:
      masks: float32 [B, H, W, 1], 1 = missing.
      window: side of the neighbourhood in pixels; beyond the border nothing is counted.

    Returns:
      float32 [B, H, W, 1].
    """
    return (1 - masks) * tf.nn.avg_pool2d(masks, window, 1, "SAME")


def context_loss(pictures, images, weights, kind="weighted_l1"):
    """L_context ([1] eq. 4; [2]; [3]): ``||W (G(z) - y)||_1``, on pictures in [-1, 1].

    Args:
      pictures: G(z), [N, H, W, 3] in [0, 1].
      images: y, [N, H, W, 3] in [0, 1]; what it holds where the weights are 0 does not count.
      weights: [N, H, W, 1]: ``importance_weights``, or 1 where known.
      kind: one of ``settings.CONTEXTS``; "l2" is the sum of squares.

    Returns:
      float32 [N].
    """
    difference = 2 * (pictures - images)  # the difference of pictures in [-1, 1]
    each = tf.square(difference) if kind == "l2" else tf.abs(difference)
    return tf.reduce_sum(weights * each, axis=[1, 2, 3])


def prior_loss(scores, objective, mean=0.0, std=1.0):
    """L_prior ([1] eq. 5; [3]): ``log(1 - D(G(z)))``, or ``-f(G(z))`` of a Wasserstein critic.

    A critic is trained up to a constant and, with clipped weights, up to a factor: its ``f`` is
    measured in standard deviations from the mean over G's own pictures.

    Args:
      scores: [N, 1], logits of D or f.
      objective: what the critic was trained for, one of ``settings.PRIORS``.
      mean, std: of ``Networks``; of a GAN's D they do not count.

    Returns:
      float32 [N].
    """
    if objective == "gan":
        return -tf.nn.softplus(scores[:, 0])
    return (mean - scores[:, 0]) / std


def measure(networks_):
    """The ``Networks`` with mean and std of f over ``MEASURED`` pictures of fixed z."""
    if networks_.objective == "gan":
        return networks_
    generate, score = (n.at(tf.float32) for n in (networks_.generator, networks_.critic))
    z = networks.random_latents(MEASURED, networks_.latent, [0, 0])
    run = tf.function(lambda part: score(generate(part))[:, 0], autograph=False)
    scores = np.concatenate([run(part).numpy() for part in tf.split(z, MEASURED // 128)])
    # An untrained critic may call all pictures the same.
    return dataclasses.replace(
        networks_, score_mean=float(scores.mean()), score_std=float(scores.std()) or 1.0
    )


def _averages(images, block):
    """[B, H, W, C] to [B, H / block, W / block, C]."""
    return tf.nn.avg_pool2d(images, block, block, "VALID")


class LatentSearch:
    """The search for the z of damaged images; see the module's docstring."""

    def __init__(self, networks_, settings, dtype=tf.float32, jit_compile=False, lowres=0):
        """Prepares the graphs.

        Args:
          networks_: a ``Networks``.
          settings: a ``settings.Settings``.
          dtype: of the networks' products: tf.float32 or tf.bfloat16. Losses, z and the optimizer
            are float32.
          jit_compile: compile with XLA.
          lowres: if not 0, what is known of an image is its average over blocks of so many pixels
            ([2]: 8), and no pixel of its own: super-resolution. Masks are then ignored.

        Raises:
          InputError: settings that these networks cannot follow.
        """
        settings = settings.settled(networks_.encoder is not None and not lowres)
        if settings.init == "encoder" and networks_.encoder is None:
            raise InputError("--init=encoder: the model has no encoder; train it with one")
        if lowres and networks_.size % lowres:
            raise InputError(
                f"--lowres={lowres}: must divide the generator's {networks_.size} pixels"
            )
        if lowres and settings.init == "encoder":
            raise InputError("--init=encoder: no encoder of low resolutions; take --init=ranked")
        self.networks, self.settings, self.dtype = networks_, settings, dtype
        self.lowres = lowres
        self.size, self.latent = networks_.size, networks_.latent
        self._jit_compile = jit_compile
        picture = [None, self.size, self.size]
        self._images = tf.TensorSpec([*picture, 3], tf.float32, name="images")
        self._masks = tf.TensorSpec([*picture, 1], tf.float32, name="masks")
        vectors = tf.TensorSpec([None, self.latent], tf.float32, name="z")
        self._optimizer = optimizers.TABLE[settings.optimizer](settings)
        traced = tf.function(self._optimizer.begin, input_signature=[vectors], autograph=False)
        memory = tf.nest.map_structure(
            lambda x: tf.TensorSpec(x.shape, x.dtype),
            traced.get_concrete_function().structured_outputs,
        )
        losses = tf.TensorSpec([2, None], tf.float32, name="losses")
        slope = tf.TensorSpec([None, self.latent], tf.float32, name="slope")
        iteration = tf.TensorSpec([], tf.int32, name="iteration")
        self._state = State(optimizers.Point(vectors, losses, slope), memory, iteration)
        self.start = self._compiled(self._start)
        self.finish = self._compiled(self._finish, self._state)
        self.pictures = tf.function(
            lambda z: self.networks.generator.at(self.dtype)(z),
            input_signature=[vectors],
            jit_compile=jit_compile,
            autograph=False,
        )
        seed = tf.TensorSpec([], tf.int32, name="seed")
        self._whole = self._compiled(self._run, seed)
        self._advances = {}

    def _compiled(self, function, *more):
        return tf.function(
            function,
            input_signature=[self._images, self._masks, *more],
            jit_compile=self._jit_compile,
            autograph=False,  # the loops are TensorFlow's already; converting takes seconds
        )

    def advance(self, images, masks, state, iterations):
        """Searches on.

        Args:
          images: float32 [B, S, S, 3] in [0, 1].
          masks: float32 [B, S, S, 1], 1 = missing.
          state: of ``start`` or an earlier call.
          iterations: a Python int; each number of them is a graph of its own.

        Returns:
          (the new ``State``, losses before each iteration, float32 [iterations, 2, N]: context and
          prior).
        """
        if iterations not in self._advances:
            self._advances[iterations] = self._compiled(
                functools.partial(self._advance, iterations=iterations), self._state
            )
        return self._advances[iterations](images, masks, state)

    def run(self, images, masks, seed=None):
        """``start``, all iterations and ``finish`` in one graph.

        Args:
          images: float32 [B, S, S, 3] in [0, 1].
          masks: float32 [B, S, S, 1], 1 = missing.
          seed: in place of the settings' own.

        Returns:
          A ``Result``.
        """
        return self._whole(images, masks, self.settings.seed if seed is None else seed)

    def _run(self, images, masks, seed):
        state = self._start(images, masks, seed)
        state, _ = self._advance(images, masks, state, self.settings.iterations, seed)
        return self._finish(images, masks, state)

    def samples(self, images, masks, seeds):
        """A whole search for each seed, for graphs that hold it.

        With ``init`` "encoder" they would begin alike: take "ranked".

        Args:
          images: float32 [B, S, S, 3] in [0, 1].
          masks: float32 [B, S, S, 1], 1 = missing.
          seeds: int32 [K], each in place of the settings' own.

        Returns:
          G(z) of the best restarts, float32 [B, K, S, S, 3].
        """
        found = tf.map_fn(
            lambda seed: self.run(images, masks, seed).pictures,
            seeds,
            fn_output_signature=tf.TensorSpec([None, self.size, self.size, 3], tf.float32),
        )
        return tf.transpose(found, [1, 0, 2, 3, 4])

    def observe(self, images, masks):
        """What the context loss compares, and its weights.

        Args:
          images: float32 [B, S, S, 3] in [0, 1].
          masks: float32 [B, S, S, 1].

        Returns:
          (y [B, H, W, 3], weights [B, H, W, 1]).
        """
        if self.lowres:
            low = _averages(images, self.lowres)
            return low, tf.ones_like(low[..., :1])
        known = 1 - masks
        # Not even a NaN in the hole is to reach the loss.
        visible = tf.where(masks > 0.5, 0.0, images)
        if self.settings.context != "weighted_l1":
            return visible, known
        weights = importance_weights(masks, self.settings.window)
        # A thin hole may vanish when a large picture is shrunk: then all of it counts.
        without = tf.reduce_sum(weights, axis=[1, 2, 3], keepdims=True) == 0
        return visible, tf.where(without, known, weights)

    def _context(self, pictures, images, weights):
        if self.lowres:
            pictures = _averages(pictures, self.lowres)
        return context_loss(pictures, images, weights, self.settings.context)

    def losses(self, images, masks):
        """The losses of latent vectors, for these images repeated for every restart.

        Returns:
          A function from z [N, Z] to (context [N], prior [N], pictures [N, S, S, 3]).
        """
        repeats = self.settings.restarts
        target, weights = (networks.each(x, repeats) for x in self.observe(images, masks))
        generate, score = (
            network.at(self.dtype) for network in (self.networks.generator, self.networks.critic)
        )

        def evaluate(z):
            pictures = generate(z)
            own = self.networks
            prior = prior_loss(score(pictures), own.objective, own.score_mean, own.score_std)
            return self._context(pictures, target, weights), prior, pictures

        return evaluate

    def _draw(self, images, masks, iteration, what, distribution, shape, seed=None):
        """Random numbers of each image's own, a row for each restart: [N, *shape]."""
        target, weights = self.observe(images, masks)
        known = weights if self.lowres else 1 - masks
        seeds = draws.seeds(target, known, self.settings.seed if seed is None else seed)
        own = [self.settings.restarts, *shape]
        drawn = draws.draw(distribution, own, seeds, 3 * iteration + what)
        return tf.reshape(drawn, [-1, *shape])

    def _evaluate(self, images, masks):
        """A function from z [N, Z] to its ``optimizers.Point``."""
        losses = self.losses(images, masks)

        def evaluate(z):
            with tf.GradientTape() as tape:
                tape.watch(z)
                context, prior, _ = losses(z)
                # The images' losses do not share a variable: the sum's gradient is each one's own.
                total = tf.reduce_sum(context + self.settings.prior_weight * prior)
            return optimizers.Point(z, tf.stack([context, prior]), tape.gradient(total, z))

        return evaluate

    def _start(self, images, masks, seed=None):
        settings = self.settings
        if settings.init == "random":
            size = [self.latent]
            z = self._draw(images, masks, 0, optimizers.START, networks.uniform, size, seed)
            z = 2 * z - 1
        else:
            z = self._ranked(images, masks, seed)
            if settings.init == "encoder":
                encode = self.networks.encoder.at(self.dtype)
                visible = tf.where(masks > 0.5, 0.0, images)
                guess = encode({"images": visible, "masks": masks})[:, None]
                z = tf.concat([guess, z[:, 1:]], axis=1)
            z = tf.reshape(z, [-1, self.latent])
        return State(self._evaluate(images, masks)(z), self._optimizer.begin(z), tf.constant(0))

    def _ranked(self, images, masks, seed):
        """The best of random z by context loss: [B, R, Z]."""
        settings = self.settings
        if settings.init == "encoder" and settings.restarts == 1:
            return tf.zeros([tf.shape(images)[0], 1, self.latent])  # the encoder's only
        generate = self.networks.generator.at(self.dtype)
        candidates = networks.random_latents(
            settings.candidates,
            self.latent,
            [settings.seed if seed is None else seed, optimizers.START],
        )
        target, weights = self.observe(images, masks)
        parts = []
        for first in range(0, settings.candidates, _RANKED_AT_A_TIME):
            pictures = generate(candidates[first : first + _RANKED_AT_A_TIME])
            parts.append(
                tf.map_fn(
                    lambda pair, p=pictures: self._context(p, pair[0][None], pair[1][None]),
                    (target, weights),
                    fn_output_signature=tf.TensorSpec([pictures.shape[0]], tf.float32),
                )
            )
        best = tf.math.top_k(-tf.concat(parts, axis=1), settings.restarts).indices
        return tf.gather(candidates, best)

    def _advance(self, images, masks, state, iterations, seed=None):
        evaluate = self._evaluate(images, masks)
        history = tf.TensorArray(tf.float32, iterations, element_shape=[2, None])

        def step(n, state, history):
            history = history.write(n, state.losses)
            draw = functools.partial(self._draw, images, masks, state.iteration, seed=seed)
            point, memory = self._optimizer.step(
                state.point, state.memory, state.iteration, evaluate, draw
            )
            return n + 1, State(point, memory, state.iteration + 1), history

        _, state, history = tf.while_loop(
            lambda n, *_: n < iterations, step, (0, state, history), maximum_iterations=iterations
        )
        return state, history.stack()

    def best(self, losses, count, samples):
        """The best restart of each sample, the samples from the best to the worst.

        Args:
          losses: context and prior of every row, float32 [2, N].
          count: B.
          samples: M; N is B M R, and restart r of sample m of image b is row (b M + m) R + r.

        Returns:
          (rows int32 [B, M], their total losses [B, M]); a total that is not finite is infinite,
          the worst.
        """
        total = losses[0] + self.settings.prior_weight * losses[1]
        total = tf.where(tf.math.is_finite(total), total, float("inf"))
        restarts = self.settings.restarts // samples
        total = tf.reshape(total, [count, samples, restarts])
        firsts = tf.range(count * samples) * restarts
        rows = tf.reshape(firsts, [count, samples]) + tf.argmin(total, 2, output_type=tf.int32)
        least = tf.reduce_min(total, axis=2)
        order = tf.argsort(least, axis=1, stable=True)
        return tuple(tf.gather(x, order, batch_dims=1) for x in (rows, least))

    def _finish(self, images, masks, state):
        del masks
        count = tf.shape(images)[0]
        rows = self.best(state.losses, count, 1)[0][:, 0]
        context, prior = tf.unstack(tf.gather(state.losses, rows, axis=1))
        z = tf.gather(state.z, rows)
        pictures = self.networks.generator.at(self.dtype)(z)
        return Result(pictures, z, context, prior, rows % self.settings.restarts)


@dataclasses.dataclass(frozen=True)
class Networks:
    """What the search needs.

    Attributes:
      generator, critic, encoder: ``folding.FoldedNetwork``; the encoder may be None.
      objective: what the critic was trained for, one of ``settings.PRIORS``.
      architecture: ``networks.Architecture`` of all three.
      score_mean, score_std: of the critic's f over G's own pictures, see ``measure``.
    """

    generator: tf.Module
    critic: tf.Module
    encoder: tf.Module | None
    objective: str
    architecture: networks.Architecture
    score_mean: float = 0.0
    score_std: float = 1.0

    @property
    def size(self):
        """S, side of the pictures in pixels."""
        return self.architecture.size

    @property
    def latent(self):
        """Z, length of z."""
        return self.architecture.latent
