"""The optimizers of the search.

    optimizer = TABLE[settings.optimizer](settings)
    memory = optimizer.begin(z)
    point, memory = optimizer.step(point, memory, iteration, evaluate, draw)

A ``Point`` is a z with the losses and the gradient at it, and a step leads from one to the next:
what is logged, ranked and written is always known at the z that is shown. ``evaluate`` makes the
point of any z.

[1] R. Yeh et al. Semantic Image Inpainting with Deep Generative Models. CVPR 2017, and its code.
[2] B. Amos. Image Completion with Deep Learning in TensorFlow. 2016, and its code.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from wgan_inpaint import networks
from wgan_inpaint.search import lbfgs

# What is drawn, as a part of the seed.
START, VELOCITY, ACCEPT = range(3)


class Point(NamedTuple):
    """Where every restart of a search stands.

    Attributes:
      z: float32 [N, Z].
      losses: context and prior at z, float32 [2, N].
      slope: the gradient of context + lambda prior at z, float32 [N, Z].
    """

    z: tf.Tensor
    losses: tf.Tensor
    slope: tf.Tensor


def choose(taken, first, second):
    """The ``Point`` of ``first`` where ``taken`` [N], else that of ``second``."""
    rows = taken[:, None]
    return Point(
        tf.where(rows, first.z, second.z),
        tf.where(taken, first.losses, second.losses),
        tf.where(rows, first.slope, second.slope),
    )


class Optimizer:
    """What all have in common; this one remembers nothing and stands still."""

    def __init__(self, settings):
        """Keeps the ``settings.Settings``."""
        self.settings = settings

    def begin(self, z):
        """What is remembered before the first step from z [N, Z]: tensors [N, ...]."""
        del z
        return ()

    def step(self, at, memory, iteration, evaluate, draw):
        """One iteration.

        Args:
          at: the ``Point`` to start from.
          memory: of ``begin`` or the last step.
          iteration: int32, how many were done.
          evaluate: a function from z [N, Z] to its ``Point``.
          draw: a function from (what, distribution, shape) to random numbers [N, *shape] of this
            iteration; what: ``VELOCITY`` or ``ACCEPT``; distribution: ``networks.uniform`` or
            ``networks.normal``.

        Returns:
          (the next ``Point``, memory).
        """
        del iteration, evaluate, draw
        return at, memory

    def total(self, point):
        """The weighted sum of both losses, [N]."""
        return point.losses[0] + self.settings.prior_weight * point.losses[1]

    def clipped(self, z):
        """Keeps z within [-1, 1], if it is to be."""
        return tf.clip_by_value(z, -1.0, 1.0) if self.settings.clip else z

    def rate(self, iteration):
        """The learning rate."""
        settings = self.settings
        if settings.decay == "none":
            return settings.learning_rate
        done = tf.cast(iteration, tf.float32) / max(1, settings.iterations)
        return settings.learning_rate * (1 + tf.cos(math.pi * tf.minimum(done, 1.0))) / 2


class Adam(Optimizer):
    """Kingma and Ba's, as coded in [2]."""

    def begin(self, z):
        """Both moments."""
        return tf.zeros_like(z), tf.zeros_like(z)

    def step(self, at, memory, iteration, evaluate, draw):
        """Moves by -rate m / (sqrt(v) + 1e-8), m and v being without their bias."""
        first, second = memory
        b1, b2 = self.settings.beta_1, self.settings.beta_2
        t = tf.cast(iteration + 1, tf.float32)
        first = b1 * first + (1 - b1) * at.slope
        second = b2 * second + (1 - b2) * tf.square(at.slope)
        move = first / (1 - b1**t) / (tf.sqrt(second / (1 - b2**t)) + 1e-8)
        z = self.clipped(at.z - self.rate(iteration) * move)
        return evaluate(z), (first, second)


class Momentum(Optimizer):
    """Nesterov's, as in the code of [1] and [2]."""

    def begin(self, z):
        """The velocity."""
        return (tf.zeros_like(z),)

    def step(self, at, memory, iteration, evaluate, draw):
        """As there: v' = mu v - lr g; z += -mu v + (1 + mu) v'."""
        (previous,), mu = memory, self.settings.momentum
        velocity = mu * previous - self.rate(iteration) * at.slope
        z = self.clipped(at.z - mu * previous + (1 + mu) * velocity)
        return evaluate(z), (velocity,)


class Hmc(Optimizer):
    """Hamiltonian Monte Carlo, as in the code of [2]."""

    def step(self, at, memory, iteration, evaluate, draw):
        """One proposal: leapfrog steps from a random velocity, accepted or not.

        The half steps of the velocity before and after each step of z take the same temperature.
        """
        settings = self.settings
        start = draw(VELOCITY, networks.normal, [at.z.shape[1]])
        beta = settings.hmc_beta * settings.hmc_anneal ** tf.cast(iteration, tf.float32)
        half = settings.hmc_step / 2 * beta

        def leapfrog(n, point, velocity):
            velocity -= half * point.slope
            point = evaluate(self.clipped(point.z + settings.hmc_step * velocity))
            return n + 1, point, velocity - half * point.slope

        _, after, velocity = tf.while_loop(
            lambda n, *_: n < settings.hmc_leapfrogs, leapfrog, (0, at, start)
        )
        energy = beta * (self.total(at) - self.total(after))
        energy += tf.reduce_sum(start**2 - velocity**2, axis=1) / 2
        accepted = tf.math.log(draw(ACCEPT, networks.uniform, [])) < energy
        return choose(accepted, after, at), memory


class Lbfgs(Optimizer):
    """Limited-memory BFGS; see ``lbfgs``. A trial that is refused is not shown."""

    def begin(self, z):
        """A ``lbfgs.Memory``."""
        return lbfgs.begin(z)

    def step(self, at, memory, iteration, evaluate, draw):
        """One trial, accepted or not."""
        box = 1.0 if self.settings.clip else None
        trial = evaluate(lbfgs.trial(at.z, at.slope, memory, box))
        memory, accepted = lbfgs.judge(
            memory, trial.z - at.z, trial.slope - at.slope, self.total(at), self.total(trial)
        )
        return choose(accepted, trial, at), memory


TABLE = {"adam": Adam, "momentum": Momentum, "hmc": Hmc, "lbfgs": Lbfgs}
