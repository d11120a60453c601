"""Completes by gradients: the screened Poisson equation, solved in the graph.

Minimizes over the hole's pixels, the known ones being fixed and the picture's border free,

    sum over edges with an end in the hole (x_b - x_a - g_ab)^2 + mu sum over the hole (x - d)^2

mu is the squared frequency at which the gradients g hand over to the other guess d: what is finer
than 2 pi / sqrt(mu) pixels comes from g, what is coarser from d. mu = 0 is Poisson blending ([1]).
The normal equations A x = b, A = D'D + mu, are solved by conjugate gradients on whole arrays that
are zero outside the hole; A is symmetric, so that the gradient of a solution is one more solution.

[1] P. Perez, M. Gangnet, A. Blake. Poisson Image Editing. SIGGRAPH 2003.
[2] P. Bhat et al. Fourier Analysis of the 2D Screened Poisson Equation for Gradient Domain
    Problems. ECCV 2008.
"""

import tensorflow as tf

TOLERANCE = 1e-6  # of the residual, by the first one
ITERATIONS = 1000  # at most; 64 px need up to 195, 128 px about twice as many


def differences(x):
    """To the right and down, [B, H, W, C] each; zero in the last column, the last row."""
    right, down = x[:, :, 1:] - x[:, :, :-1], x[:, 1:] - x[:, :-1]
    right = tf.pad(right, [[0, 0], [0, 0], [0, 1], [0, 0]])
    return right, tf.pad(down, [[0, 0], [0, 1], [0, 0], [0, 0]])


def transposed(right, down):
    """The transpose of ``differences``: the divergence, negative.

    No edge starts in the last column of ``right`` and the last row of ``down``, whatever they hold.
    """
    right, down = right[:, :, :-1], down[:, :-1]
    across = tf.pad(right, [[0, 0], [0, 0], [1, 0], [0, 0]])
    across -= tf.pad(right, [[0, 0], [0, 0], [0, 1], [0, 0]])
    along = tf.pad(down, [[0, 0], [1, 0], [0, 0], [0, 0]])
    return across + along - tf.pad(down, [[0, 0], [0, 1], [0, 0], [0, 0]])


def edges(masks):
    """Edges to the right and down with a missing end: two of [B, H, W, 1], 1 = such an edge.

    Args:
      masks: [B, H, W, 1], 1 = missing.
    """
    holes = tf.cast(masks > 0.5, masks.dtype)
    right = tf.maximum(holes[:, :, 1:], holes[:, :, :-1])
    down = tf.maximum(holes[:, 1:], holes[:, :-1])
    right = tf.pad(right, [[0, 0], [0, 0], [0, 1], [0, 0]])
    return right, tf.pad(down, [[0, 0], [0, 1], [0, 0], [0, 0]])


def _conjugate_gradients(b, holes, mu, tolerance, iterations):
    """(D'D + mu)^-1 b on the holes, zero outside, and the iterations done."""

    def inner(u, v):
        return tf.reduce_sum(u * v, axis=[1, 2], keepdims=True)

    r = holes * b
    rr = inner(r, r)
    limit = tf.maximum(tolerance**2 * rr, 1e-20)

    def step(n, x, r, p, rr):
        # What has converged rests: no picture's result depends on the others of its batch.
        live = rr > limit
        product = holes * (transposed(*differences(p)) + mu * p)
        curvature = tf.where(live, inner(p, product), tf.ones_like(rr))
        alpha = tf.where(live, rr, tf.zeros_like(rr)) / curvature
        x, r = x + alpha * p, r - alpha * product
        new = inner(r, r)
        p = r + tf.where(live, new, tf.zeros_like(rr)) / tf.where(live, rr, tf.ones_like(rr)) * p
        return n + 1, x, r, p, tf.where(live, new, rr)

    n, x, *_ = tf.while_loop(
        lambda n, x, r, p, rr: tf.reduce_any(rr > limit),
        step,
        (tf.constant(0), tf.zeros_like(b), r, r, rr),
        maximum_iterations=iterations,
    )
    return x, n


def solve(images, masks, gradients, decoded, mu, tolerance=TOLERANCE, iterations=ITERATIONS):
    """The completed pictures, and the iterations done.

    Args:
      images: [B, H, W, C]; hidden pixels are not read.
      masks: [B, H, W, 1], 1 = missing.
      gradients: pair of [B, H, W, C], g to the right and down; only ``edges`` are read.
      decoded: d, [B, H, W, C]; known pixels are not read.
      mu: scalar, >= 0; no gradient flows into it. With 0 a hole without any known pixel has no
        single solution: it keeps the mean of d.
      tolerance: of the residual, by the first one.
      iterations: at most.

    Returns:
      ([B, H, W, C], int32 scalar).
    """
    missing = masks > 0.5
    holes = tf.cast(missing, images.dtype)
    # Solved is the difference from this, from which mu's term vanishes.
    start = tf.where(missing, decoded, images)
    wanted = (
        tf.where(edge > 0.5, g - d, tf.zeros_like(d))
        for edge, g, d in zip(edges(masks), gradients, differences(start), strict=True)
    )
    mu = tf.stop_gradient(tf.convert_to_tensor(mu, images.dtype))

    @tf.custom_gradient
    def inverse(b):
        x, n = _conjugate_gradients(b, holes, mu, tolerance, iterations)
        return (x, n), lambda dx, _: _conjugate_gradients(dx, holes, mu, tolerance, iterations)[0]

    x, n = inverse(holes * transposed(*wanted))
    return start + x, n
