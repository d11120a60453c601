"""A conditional random field over the points of a grid, each of which has one of K labels.

    E(h) = -sum_i u_i(h_i) + sum_(j right of i) w_ij R(h_i, h_j) + sum_(j below i) w_ij D(h_i, h_j)

u, the unary terms, and w >= 0 come from the context, the tables R and D are learned; p(h | context)
= exp(-E(h)) / Z. The label of a known point is held.

All points of one colour of a chessboard are independent given the other's. So updating a whole
colour at once is a sweep of one-by-one updates, and the free energy F(q) = E_q[E] - H(q) = KL(q ||
p) - log Z of the mean field never rises ([2], Section 11.5.1); updating all points at once it may.

[1] S. Zheng et al. Conditional Random Fields as Recurrent Neural Networks. ICCV 2015: mean field
    unrolled and trained through.
[2] D. Koller, N. Friedman. Probabilistic Graphical Models. 2009.
[3] S. Geman, D. Geman. Stochastic Relaxation, Gibbs Distributions, and the Bayesian Restoration of
    Images. PAMI 1984.
"""

from typing import NamedTuple

import tensorflow as tf

from wgan_inpaint.networks import uniform


class Pairwise(NamedTuple):
    """The terms of neighbours.

    Attributes:
      right, down: R and D, [K, K]; row h_i, column h_j.
      right_weights: w of each point and the one right of it, [B, H, W - 1, 1].
      down_weights: w of each point and the one below it, [B, H - 1, W, 1].
    """

    right: tf.Tensor
    down: tf.Tensor
    right_weights: tf.Tensor
    down_weights: tf.Tensor


def messages(q, pairwise):
    """The expected pairwise energy of every label at every point.

    Args:
      q: marginals [B, H, W, K].
      pairwise: ``Pairwise``.

    Returns:
      [B, H, W, K].
    """
    right, down, across, along = pairwise
    from_right = across * tf.matmul(q[:, :, 1:], right, transpose_b=True)
    from_left = across * tf.matmul(q[:, :, :-1], right)
    from_below = along * tf.matmul(q[:, 1:], down, transpose_b=True)
    from_above = along * tf.matmul(q[:, :-1], down)
    return (
        tf.pad(from_right, [[0, 0], [0, 0], [0, 1], [0, 0]])
        + tf.pad(from_left, [[0, 0], [0, 0], [1, 0], [0, 0]])
        + tf.pad(from_below, [[0, 0], [0, 1], [0, 0], [0, 0]])
        + tf.pad(from_above, [[0, 0], [1, 0], [0, 0], [0, 0]])
    )


def chessboard(q):
    """True at the points of one colour, [1, H, W, 1]."""
    rows, columns = tf.range(tf.shape(q)[1])[:, None], tf.range(tf.shape(q)[2])
    return ((rows + columns) % 2 == 0)[None, :, :, None]


def update(q, unary, known, pairwise, points):
    """Updates the marginals of ``points`` [1, H, W, 1] that are not known."""
    return tf.where(points & ~known, tf.nn.softmax(unary - messages(q, pairwise)), q)


def begin(unary, known, labels):
    """Marginals without neighbours: those of the unary terms; a known point has its label."""
    held = tf.one_hot(labels, unary.shape[-1], dtype=unary.dtype)
    return tf.where(known, held, tf.nn.softmax(unary))


def mean_field(unary, known, labels, pairwise, iterations):
    """Marginals that fit together.

    Args:
      unary: u [B, H, W, K].
      known: bool [B, H, W, 1].
      labels: int32 [B, H, W]; those of known points are held, the others are not read.
      pairwise: ``Pairwise``.
      iterations: sweeps over both colours, a Python integer.

    Returns:
      [B, H, W, K].
    """
    q = begin(unary, known, labels)
    colour = chessboard(q)
    for _ in range(iterations):
        q = update(q, unary, known, pairwise, colour)
        q = update(q, unary, known, pairwise, ~colour)
    return q


def free_energy(q, unary, known, pairwise):
    """F(q) of each field, [B]; of known points only what they say to their neighbours counts."""
    alone = tf.where(known, tf.zeros_like(q), tf.math.xlogy(q, q) - unary * q)
    return tf.reduce_sum(alone + q * messages(q, pairwise) / 2, axis=[1, 2, 3])


def draw(scores, seed):
    """Labels by p ~ exp(scores), independently at each point.

    Args:
      scores: [B, H, W, K].
      seed: int32 [2]; every field of the batch has the same random numbers, so that it is drawn as
        it is alone.

    Returns:
      int32 [B, H, W].
    """
    drawn = tf.cast(uniform(tf.shape(scores)[1:], seed), scores.dtype)
    noise = -tf.math.log(-tf.math.log(tf.clip_by_value(drawn, 1e-7, 1 - 1e-7)))
    return tf.argmax(scores + noise, axis=-1, output_type=tf.int32)


def gibbs(unary, known, labels, pairwise, sweeps, seed):
    """A field of each picture, by Gibbs sampling in two colours ([3]).

    Args:
      unary, known, pairwise: of ``mean_field``.
      labels: int32 [B, H, W]: where it begins, and the known ones.
      sweeps: over both colours, a Python integer.
      seed: int32 scalar.

    Returns:
      int32 [B, H, W].
    """
    colour = chessboard(unary)

    def half(n, labels):
        scores = unary - messages(tf.one_hot(labels, unary.shape[-1], dtype=unary.dtype), pairwise)
        now = tf.where(tf.equal(n % 2, 0), colour, ~colour)
        new = draw(scores, tf.stack([seed, n]))
        return n + 1, tf.where((now & ~known)[..., 0], new, labels)

    return tf.while_loop(
        lambda n, labels: n < 2 * sweeps,
        half,
        (tf.constant(0), labels),
        maximum_iterations=2 * sweeps,
    )[1]
