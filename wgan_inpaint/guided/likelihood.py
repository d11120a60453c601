"""A density for every pixel: discretized distributions over its three colours, in closed form.

Red has a distribution of its own, green's mean depends on red and blue's on both ([1], Section
2.1). The mass of a value's bin is a difference of two distribution functions; the first and the
last value have all that lies beyond them. Everything here is float32 (or float64) whatever the
network computes in, and has finite first and second derivatives.

[1] T. Salimans et al. PixelCNN++. ICLR 2017: mixtures of logistics.
"""

import math

import tensorflow as tf

# Of the log of a scale, numbers in [-1, 1]: [1] has the lower one alone; without the upper one
# exp(-scale) becomes 0, and its logarithm follows.
MIN_LOG_SCALE, MAX_LOG_SCALE = -7.0, 5.0


def channels(mixtures):
    """Of the parameters of a pixel: a weight, three means, scales and coefficients a mixture."""
    return 10 * mixtures


def _unpack(parameters, mixtures):
    logits, rest = parameters[..., :mixtures], parameters[..., mixtures:]
    shape = tf.concat([tf.shape(parameters)[:3], [3, 3 * mixtures]], axis=0)
    means, log_scales, coefficients = tf.split(tf.reshape(rest, shape), 3, axis=-1)
    # A maximum has no gradient below it: this bound is smooth.
    log_scales = MIN_LOG_SCALE + tf.nn.softplus(log_scales - MIN_LOG_SCALE)
    return logits, means, tf.minimum(log_scales, MAX_LOG_SCALE), tf.tanh(coefficients)


def _log_logistic(above, below, width):
    """Logs of the mass below ``above``, above ``below`` and between; ``width`` is their distance.

    ``sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a))``: exact, without the switch
    at small masses and the guard of log(0) that [1] has.
    """
    upper, lower = -tf.nn.softplus(-above), -tf.nn.softplus(below)
    return upper, lower, upper + lower + tf.math.log(-tf.math.expm1(-width))


def _log_laplace(above, below, width):
    """The same of a Laplace distribution."""

    def log_cdf(x):
        negative, positive = tf.minimum(x, 0.0), tf.maximum(x, 0.0)
        half = tf.constant(0.5, x.dtype)
        return tf.where(
            x < 0, negative + tf.math.log(half), tf.math.log1p(-half * tf.exp(-positive))
        )

    # On one side of the mean the density is one exponential; across it, two are added.
    tail = tf.maximum(below, -above)
    aside = -tf.maximum(tail, 0.0) + tf.math.log(-tf.math.expm1(-width)) - math.log(2)
    near, far = (
        tf.minimum(tf.maximum(above, 0.0), width),
        tf.maximum(tf.minimum(below, 0.0), -width),
    )
    across = -(tf.math.expm1(-near) + tf.math.expm1(far)) / 2
    crossed = (above > 0) & (below < 0)
    across = tf.math.log(tf.where(crossed, across, tf.ones_like(across)))
    return log_cdf(above), log_cdf(-below), tf.where(crossed, across, aside)


def log_likelihood(parameters, pixels, density="logistic", mixtures=1, levels=256):
    """Log p of each pixel, its three colours together, in nats.

    Args:
      parameters: [B, H, W, ``channels(mixtures)``], float32 or float64.
      pixels: [B, H, W, 3] in [0, 1], multiples of 1 / (levels - 1).
      density: one of ``settings.DENSITIES``.
      mixtures: M, components.
      levels: values of a colour.

    Returns:
      [B, H, W].
    """
    logits, means, log_scales, coefficients = _unpack(parameters, mixtures)
    x = 2 * pixels[..., None] - 1
    half = 1.0 / (levels - 1)
    red, green = x[..., 0, :], x[..., 1, :]
    shifts = tf.stack(
        [
            tf.zeros_like(means[..., 0, :]),
            coefficients[..., 0, :] * red,
            coefficients[..., 1, :] * red + coefficients[..., 2, :] * green,
        ],
        axis=-2,
    )
    centred, inverse = x - means - shifts, tf.exp(-log_scales)
    bins = {"logistic": _log_logistic, "laplace": _log_laplace}[density]
    upper, lower, inside = bins(
        inverse * (centred + half), inverse * (centred - half), 2 * half * inverse
    )
    colours = tf.where(x < -1 + half, upper, tf.where(x > 1 - half, lower, inside))
    joint = tf.reduce_sum(colours, axis=-2) + tf.nn.log_softmax(logits)
    return tf.reduce_logsumexp(joint, axis=-1)


def bits_per_dimension(log_likelihoods):
    """Mean over pixels of three colours each: a scalar."""
    return -tf.reduce_mean(log_likelihoods) / (3 * math.log(2))


def mean(parameters, mixtures=1):
    """The expected picture: each component's chain of means, averaged.

    Args:
      parameters, mixtures: of ``log_likelihood``.

    Returns:
      [B, H, W, 3] in [0, 1].
    """
    logits, means, _, coefficients = _unpack(parameters, mixtures)
    red = tf.clip_by_value(means[..., 0, :], -1, 1)
    green = tf.clip_by_value(means[..., 1, :] + coefficients[..., 0, :] * red, -1, 1)
    blue = means[..., 2, :] + coefficients[..., 1, :] * red + coefficients[..., 2, :] * green
    colours = tf.stack([red, green, tf.clip_by_value(blue, -1, 1)], axis=-2)
    return (tf.reduce_sum(tf.nn.softmax(logits)[..., None, :] * colours, axis=-1) + 1) / 2
