"""What the steps of CNNLG ask of codes and gradients inside the hole."""

import tensorflow as tf

from wgan_inpaint.guided import poisson, prediction

CHARBONNIER = 1e-4  # under the root of a gradient's error
# Of the picture that gradients add up to, in training: a mu that nobody sees, which keeps a hole
# without known pixels solvable, and a tolerance that the loss does not see either.
SCREEN, TOLERANCE = 1e-3, 1e-3


def over_points(values, unknown):
    """Mean of ``values`` [B, h, w] over points where ``unknown`` is 1; 0 if there are none."""
    return tf.math.divide_no_nan(tf.reduce_sum(unknown * values), tf.reduce_sum(unknown))


def gradient_squares(gradients, images, holes):
    """Mean squared error over edges with a missing end, a scalar.

    Args:
      gradients: pair of [B, S, S, 3].
      images: the truth, [B, S, S, 3] in [0, 1].
      holes: [B, S, S, 1].
    """
    return _over_edges(tf.square, gradients, images, holes)


def gradient_error(gradients, images, holes):
    """Mean ``sqrt(d^2 + 1e-4)`` over edges; takes what ``gradient_squares`` takes."""
    return _over_edges(lambda d: tf.sqrt(tf.square(d) + CHARBONNIER), gradients, images, holes)


def _over_edges(error, gradients, images, holes):
    total = count = 0.0
    pairs = zip(poisson.edges(holes), gradients, poisson.differences(images), strict=True)
    for edge, guessed, true in pairs:
        total += tf.reduce_sum(edge * error(guessed - true))
        count += 3 * tf.reduce_sum(edge)
    return tf.math.divide_no_nan(total, count)


@tf.function(jit_compile=True, autograph=False)
def _integrated(images, holes, right, down):
    """Compiled by XLA wherever it is called: it is six times as fast."""
    middle = tf.zeros_like(images) + 0.5
    return poisson.solve(images, holes, (right, down), middle, SCREEN, TOLERANCE)[0]


def integral_error(gradients, images, holes):
    """Mean absolute error, in the hole, of the picture that the gradients add up to, a scalar.

    A small error of a gradient may be a large one of the picture, and this is its size there.

    Args:
      gradients, images, holes: of ``gradient_squares``.
    """
    picture = _integrated(prediction.hide(images, holes), holes, *gradients)
    total = tf.reduce_sum(holes * tf.abs(picture - images))
    return tf.math.divide_no_nan(total, 3 * tf.reduce_sum(holes))
