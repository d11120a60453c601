"""Limited-memory BFGS for many small problems at once, in a box, with noisy losses.

Each row of z [N, Z] is a problem of its own. One evaluation of loss and gradient is one iteration:

    memory = begin(z)
    new = trial(z, slope, memory)
    memory, accepted = judge(memory, new - z, slope_at_new - slope, loss, loss_at_new)

and z is the new one where it was accepted. There is no line search, which would let the problems of
a batch wait for each other: a trial whose loss is too high is refused, and the next one lies
nearer. In bfloat16 losses are known to three digits, so "too high" leaves a tolerance above the
least loss so far; without it the search would stand still long before the minimum.

[1] D. Liu, J. Nocedal. On the Limited Memory BFGS Method. Mathematical Programming 45, 1989.
[2] R. Byrd, J. Nocedal, R. Schnabel. Representations of Quasi-Newton Matrices. Mathematical
    Programming 63, 1994. Theorem 2.2.
[3] D. Bertsekas. Projected Newton Methods. SIAM J. Control and Optimization 20, 1982: coordinates
    at a bound that the gradient pushes outwards take no part.
"""

from typing import NamedTuple

import tensorflow as tf

PAIRS = 40  # that are remembered
FIRST_STEP = 0.1  # length, as long as no curvature is known
LONGEST_STEP = 1.0
SHRINKING = 0.4  # of the step after a refusal
SHORTEST = 0.01  # factor of the step below which curvature is forgotten
TOLERANCE = 0.01  # part of the least loss so far by which a loss may lie above it
_CURVATURE = 1e-8  # of a pair, s.y >= _CURVATURE y.y


class Memory(NamedTuple):
    """What is kept between iterations.

    Attributes:
      least: of the losses accepted so far, float32 [N]; infinite before the first trial.
      moves: s, the last differences of z, oldest first, float32 [N, M, Z]; 0 where there is none.
      changes: y, those of the gradient.
      factor: of the step to the next trial, float32 [N, 1].
    """

    least: tf.Tensor
    moves: tf.Tensor
    changes: tf.Tensor
    factor: tf.Tensor


def begin(z):
    """The ``Memory`` of a search that begins at z, float32 [N, Z]."""
    pairs = tf.zeros([tf.shape(z)[0], PAIRS, z.shape[1]])
    ones = tf.ones_like(z[:, :1])
    return Memory(float("inf") * ones[:, 0], pairs, pairs, ones)


def trial(z, slope, memory, box=None):
    """Where loss and gradient are wanted next.

    Args:
      z: float32 [N, Z], the last accepted.
      slope: the gradient there, float32 [N, Z].
      memory: ``Memory``.
      box: z stays in [-box, box]; None: no bounds.

    Returns:
      float32 [N, Z].
    """
    step = direction(z, slope, memory.moves, memory.changes, box)
    return _inside(z + memory.factor * step, box)


def judge(memory, move, change, before, after):
    """Accepts the trial or not, and learns from it.

    Args:
      memory: the ``Memory`` that it was made with.
      move: s, the trial less z, float32 [N, Z].
      change: y, its gradient less that at z, float32 [N, Z].
      before, after: the losses at z and at the trial, float32 [N].

    Returns:
      (``Memory``, which trials are accepted, bool [N]).
    """
    before = tf.where(tf.math.is_finite(before), before, float("inf"))
    least = tf.minimum(memory.least, before)
    # From a z without a loss anything is better; else a NaN is refused.
    known = tf.math.is_finite(least)
    accepted = (after <= least + TOLERANCE * tf.abs(least)) | ~known
    taken = accepted[:, None]
    curved = _dot(move, change) > _CURVATURE * _dot(change, change)
    learned = (taken & known[:, None] & curved)[..., None]
    moves, changes = (
        tf.where(learned, tf.concat([old[:, 1:], new[:, None]], axis=1), old)
        for old, new in ((memory.moves, move), (memory.changes, change))
    )
    factor = tf.where(taken, 1.0, SHRINKING * memory.factor)
    lost = (factor < SHORTEST) & tf.reduce_any(moves != 0, axis=[1, 2])[:, None]
    factor = tf.where(lost, 1.0, factor)
    moves, changes = (tf.where(lost[..., None], 0.0, x) for x in (moves, changes))
    least = tf.where(accepted, tf.minimum(after, least), least)
    return Memory(least, moves, changes, factor), accepted


def direction(z, slope, moves, changes, box=None):
    """The step ``-H g`` to the minimum of the model, with H from the pairs ([2] Theorem 2.2).

    Args:
      z, slope: float32 [N, Z].
      moves, changes: s and y, float32 [N, M, Z], oldest first; pairs of 0 do not count.
      box: see ``trial``.

    Returns:
      float32 [N, Z], a descent direction, at most ``LONGEST_STEP`` long.
    """
    free = tf.ones_like(z)
    if box is not None:
        outwards = ((z >= box) & (slope < 0)) | ((z <= -box) & (slope > 0))
        free = tf.where(outwards, 0.0, 1.0)
    g = free * slope
    s, y = free[:, None] * moves, free[:, None] * changes
    sy = _dot(s, y)
    usable = sy > 1e-10
    s, y = tf.where(usable, s, 0.0), tf.where(usable, y, 0.0)
    # Of unused pairs the diagonal is 1, and everything else 0.
    diagonal = tf.where(usable, sy, 1.0)[..., 0]
    last = sy[:, -1] / tf.maximum(_dot(y[:, -1], y[:, -1]), 1e-20)
    steepest = -FIRST_STEP * g / tf.maximum(tf.norm(g, axis=1, keepdims=True), 1e-9)
    scale = tf.where(usable[:, -1], last, FIRST_STEP / (tf.norm(g, axis=1, keepdims=True) + 1e-9))
    products = tf.matmul(s, y, transpose_b=True)
    upper = tf.linalg.set_diag(tf.linalg.band_part(products, 0, -1), diagonal)
    sg, yg = tf.matmul(s, g[..., None]), tf.matmul(y, g[..., None])
    p = tf.linalg.triangular_solve(upper, sg, lower=False)
    inner = diagonal[..., None] * p + scale[..., None] * (
        tf.matmul(y, tf.matmul(y, p, transpose_a=True)) - yg
    )
    w = tf.linalg.triangular_solve(upper, inner, lower=False, adjoint=True)
    step = scale * g + tf.matmul(s, w, transpose_a=True)[..., 0]
    step = -free * (step - scale * tf.matmul(y, p, transpose_a=True)[..., 0])
    # Rounding may spoil it; a NaN does not descend.
    step = tf.where(_dot(step, g) < 0, step, steepest)
    length = tf.norm(step, axis=1, keepdims=True)
    return step * tf.minimum(1.0, LONGEST_STEP / tf.maximum(length, 1e-9))


def _dot(a, b):
    return tf.reduce_sum(a * b, axis=-1, keepdims=True)


def _inside(z, box):
    return z if box is None else tf.clip_by_value(z, -box, box)
