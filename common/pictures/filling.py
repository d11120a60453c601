"""Holes filled smoothly from what surrounds them, as an operation of a graph.

The Laplace equation with the known pixels as its boundary, to the accuracy that a network's input
needs: a pyramid of means over known pixels is read from its top, and at each level a few steps of
Jacobi's iteration smooth what was enlarged. The cost is linear in pixels; every size compiles.
"""

import functools

import tensorflow as tf

LEVELS = 10  # a square of the top stands for 512x512 px
SWEEPS = 8  # of Jacobi's iteration at each level


def diffused(images, masks):
    """Images whose holes hold a smooth continuation of the known pixels.

    Args:
      images: float32 [B, H, W, C]; what they hold in the holes is dropped, even if it is not a
        number.
      masks: float32 [B, H, W, 1], above 0.5 where a pixel is missing.

    Returns:
      float32 [B, H, W, C], known pixels unchanged. A picture without a known pixel becomes zero.
    """
    halved, smoothed, lowered = _steps(images.shape[-1])
    hole = masks > 0.5
    known = tf.where(hole, 0.0, tf.ones_like(masks))
    colors = tf.where(hole, 0.0, images)
    levels = [(colors, known)]
    for _ in range(_halvings(images.shape[1:3])):
        colors, known = halved(colors, known)
        levels.append((colors, known))
    # Nothing is known in some of the top's squares only if a hole is thicker than they are.
    mean = tf.math.divide_no_nan(
        tf.reduce_sum(colors * known, axis=[1, 2], keepdims=True),
        tf.reduce_sum(known, axis=[1, 2], keepdims=True),
    )
    filled = smoothed(tf.where(known > 0.0, colors, mean), known)
    for colors, known in levels[-2::-1]:
        filled = lowered(filled, colors, known)
    return tf.ensure_shape(filled, images.shape)


def _halvings(sides):
    """How often a picture is halved: ``LEVELS`` - 1 times, fewer if it is known to be small."""
    if None in sides:
        return LEVELS - 1
    return min(LEVELS - 1, (max(sides) - 1).bit_length())


def _halved(colors, known):
    """Means over the known ones of 2x2 pixels, and where there are any."""
    below, right = tf.shape(colors)[1] % 2, tf.shape(colors)[2] % 2
    padding = [[0, 0], [0, below], [0, right], [0, 0]]
    summed = tf.nn.avg_pool2d(tf.pad(colors * known, padding), 2, 2, "VALID")
    count = tf.nn.avg_pool2d(tf.pad(known, padding), 2, 2, "VALID")
    return tf.math.divide_no_nan(summed, count), tf.where(count > 0.0, 1.0, 0.0)


@functools.cache
def _steps(channels):
    """The steps from level to level, each a function of a graph: built once, called at every level.

    Args:
      channels: of the images.

    Returns:
      (``_halved``; what smooths the filled top; what smooths a level that is filled from the one
      above it).
    """

    def smoothed(filled, known):
        """``SWEEPS`` of the mean of the four neighbours, in the hole; the edge repeats outside."""
        shape = tf.shape(filled)
        # Columns and channels in one axis: slices of three floats take most of the time otherwise.
        rows = [shape[0], shape[1], shape[2] * channels]
        hole = tf.reshape(tf.broadcast_to(known, shape), rows) <= 0.0

        def mean(x):
            down = tf.concat([x[:, :1], x, x[:, -1:]], 1)
            right = tf.concat([x[:, :, :channels], x, x[:, :, -channels:]], 2)
            total = down[:, :-2] + down[:, 2:] + right[:, :, : -2 * channels]
            return tf.ensure_shape((total + right[:, :, 2 * channels :]) / 4, x.shape)

        def repeated(sweep, x):
            # A loop of the graph, which compiles in a tenth of the time of one that is written out.
            return tf.while_loop(
                lambda _: True, lambda x: (sweep(x),), (x,), maximum_iterations=SWEEPS
            )[0]

        # The mean is a symmetric matrix, so that the gradient costs as much as the sweeps, of which
        # a tape would keep every one.
        @tf.custom_gradient
        def sweeps(x):
            def gradient(upstream):
                return repeated(
                    lambda g: tf.where(hole, 0.0, g) + mean(tf.where(hole, g, 0.0)), upstream
                )

            return repeated(lambda x: tf.where(hole, mean(x), x), x), gradient

        return tf.reshape(sweeps(tf.reshape(filled, rows)), shape)

    def lowered(above, colors, known):
        shape = tf.shape(colors)
        enlarged = tf.repeat(tf.repeat(above, 2, axis=1), 2, axis=2)[:, : shape[1], : shape[2]]
        return smoothed(tf.where(known > 0.0, colors, enlarged), known)

    colors, known = (tf.TensorSpec([None, None, None, n], tf.float32) for n in (channels, 1))
    return tuple(
        tf.function(step, input_signature=[*above, colors, known], autograph=False)
        for step, above in ((_halved, ()), (smoothed, ()), (lowered, (colors,)))
    )
