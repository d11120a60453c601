"""Losses: pure functions of tensors that return float32 scalars.

[1] Iizuka 2017, Globally and Locally Consistent Image Completion, eq. (2)-(4).
[2] Wang & Wang 2020, 基于生成对抗网络的图像修复算法, eq. (1)-(4).
[3] Goodfellow 2014, Generative Adversarial Networks, Section 3.
[4] Arjovsky 2017, Wasserstein GAN, eq. (2) and Algorithm 1.
[5] Gulrajani 2017, Improved Training of Wasserstein GANs, eq. (3) and Algorithm 1.
[6] Pathak 2016, Context Encoders: Feature Learning by Inpainting, and the authors' Torch code.
[7] 禅与计算机程序设计艺术, GAN在图像修复中的创新应用实践, Section 4.3.
[8] Mao 2017, Least Squares Generative Adversarial Networks, eq. (9).
[9] Zhang 2019, Self-Attention Generative Adversarial Networks, eq. (4).
"""

import functools

import numpy as np
import tensorflow as tf

DISTANCES = {
    "squared": tf.math.squared_difference,
    "absolute": lambda a, b: tf.abs(a - b),
}
"""What a reconstruction loss makes of two values; the papers' is "squared"."""


def masked_mse(completed, images, masks, known_weight=0.0, distance="squared"):
    """Mean over all elements of ``m * (C(x, m) - x)^2``: one reading of [1] eq. 2 and [2] eq. 2.

    [1] has a norm and [2] a square, neither with a divisor, and both call it MSE. The mean is over
    B, H, W and C alike, known pixels included, as Torch's MSECriterion of the masked pictures: a
    larger hole weighs more.

    Args:
      completed: [B, H, W, 3] in [0, 1], C(x, m).
      images: [B, H, W, 3] in [0, 1], x.
      masks: [B, H, W, 1], 1 = missing.
      known_weight: in place of m = 0 where pixels are known; no paper's but for 0.
      distance: one of ``DISTANCES``, in place of the square.
    """
    return tf.reduce_mean(_weights(masks, known_weight) * DISTANCES[distance](completed, images))


def missing_mse(completed, images, masks, known_weight=0.0, distance="squared"):
    """``||m * (C(x, m) - x)||^2 / (3 |m|)`` in [-1, 1]: the other reading of [1] and [2] eq. 2.

    The mean squared error of what is missing, as large for a small hole as for a large one, and
    then the mean over the pictures, which all weigh the same. It is ``4 / share`` times
    ``masked_mse`` where a share of each picture is missing: 4 for the range, the rest for the known
    pixels, whose zeros count there. A picture without a hole adds nothing.

    Args:
      completed: [B, H, W, 3] in [0, 1], C(x, m).
      images: [B, H, W, 3] in [0, 1], x.
      masks: [B, H, W, 1], 1 = missing.
      known_weight: in place of m = 0 where pixels are known; the divisor stays. No paper's but
        for 0.
      distance: one of ``DISTANCES``, in place of the square.
    """
    error = _weights(masks, known_weight) * DISTANCES[distance](2 * completed, 2 * images)
    elements = images.shape[-1] * tf.reduce_sum(masks, axis=[1, 2, 3])
    return tf.reduce_mean(tf.math.divide_no_nan(tf.reduce_sum(error, axis=[1, 2, 3]), elements))


def each_hole_mse(completed, images, masks, known_weight=0.0, distance="squared"):
    """``mean over i of MSE(x m_i, x' m_i)`` in [-1, 1]: [7]'s local consistency, hole by hole.

    The mean over all elements for each hole of a picture, and then the mean over its holes: what
    several holes cover counts for each of them. On the union of n holes that do not overlap it is
    ``4 / n`` times ``masked_mse``. The listing's mean is over as many images as it has masks; what
    range its pictures have it does not say: the tanh's.

    Args:
      completed: [B, H, W, 3] in [0, 1], x'.
      images: [B, H, W, 3] in [0, 1], x.
      masks: [B, H, W, N], 1 = missing, a hole in each; an empty one is none.
      known_weight: where no hole is, in place of 0. No paper's but for 0.
      distance: one of ``DISTANCES``, in place of the square.
    """
    count = tf.reduce_sum(tf.reduce_max(masks, axis=[1, 2], keepdims=True), axis=3, keepdims=True)
    weights = tf.math.divide_no_nan(tf.reduce_sum(masks, axis=3, keepdims=True), count)
    weights += known_weight * (1 - tf.reduce_max(masks, axis=3, keepdims=True))
    return tf.reduce_mean(weights * DISTANCES[distance](2 * completed, 2 * images))


def _weights(masks, known):
    return masks + known * (1 - masks) if known else masks


def pyramid(reading, completed, images, masks, scales, **options):
    """Mean of a reconstruction loss over a pyramid: at the full size, a half, a quarter, ...

    A pixel of a smaller size has the mean difference of the missing ones of the four that it stands
    for, and is missing if one of them is: a mean over all four would make small holes count for
    less there. "GAN在图像修复中的创新应用实践" names losses at several scales, no more.

    Args:
      reading: ``masked_mse``, ``missing_mse`` or ``each_hole_mse``.
      completed, images: [B, H, W, 3] in [0, 1]; H and W halve ``scales - 1`` times.
      masks: [B, H, W, 1], 1 = missing, or what the reading takes.
      scales: how many sizes; 1 is the loss itself.
      **options: of the reading.
    """
    difference, total = completed - images, 0.0
    for scale in range(scales):
        if scale:
            difference, masks = _halved(difference, masks)
        total += reading(difference, tf.zeros_like(difference), masks, **options)
    return total / scales


def _halved(difference, masks):
    any_hole = tf.reduce_max(masks, axis=3, keepdims=True)
    share = tf.nn.avg_pool2d(any_hole, 2, 2, "VALID")
    missing = tf.math.divide_no_nan(tf.nn.avg_pool2d(any_hole * difference, 2, 2, "VALID"), share)
    known = tf.nn.avg_pool2d(difference, 2, 2, "VALID")
    return tf.where(share > 0, missing, known), tf.nn.max_pool2d(masks, 2, 2, "VALID")


def perceptual_l1(features, targets):
    """``sum_j ||phi_j(x) - phi_j(y)||_1 / (C_j H_j W_j)``, mean over the batch ([2] eq. 3).

    Whether y is the network's output or that pasted into x, [2] does not say: the caller does.

    Args:
      features: list of feature maps [B, H_j, W_j, C_j] of the completed images.
      targets: the same of the real images.
    """
    return tf.add_n(
        [
            tf.reduce_mean(tf.abs(tf.cast(a, tf.float32) - tf.cast(b, tf.float32)))
            for a, b in zip(features, targets, strict=True)
        ]
    )


def content_mse(features, targets):
    """Mean squared difference of feature maps: [7]'s content loss, in one layer.

    Args:
      features: list of feature maps [B, H_j, W_j, C_j] of the completed images; of several the
        means are added.
      targets: the same of the real images.
    """
    return tf.add_n(
        [
            tf.reduce_mean(tf.math.squared_difference(*(tf.cast(x, tf.float32) for x in pair)))
            for pair in zip(features, targets, strict=True)
        ]
    )


def overlap_mse(predicted, images, overlap, weight):
    """Mean over all elements of ``w * (F - x)^2``, w being larger in the border band ([6]).

    The weights are not normalized, as in the authors' code: a band adds to the loss. So are the
    mean and the range the code's; the paper's norm has no divisor.

    Args:
      predicted: [B, H, W, 3] in [-1, 1], the prediction F of the hole and of the known band around
        it.
      images: [B, H, W, 3] in [-1, 1], x there.
      overlap: width of the band in pixels; 0 is the plain mean.
      weight: w in the band ([6]: 10); it is 1 inside.
    """
    height, width = images.shape[1:3]
    weights = np.full((height, width, 1), weight, np.float32)
    weights[overlap : height - overlap, overlap : width - overlap] = 1
    return tf.reduce_mean(weights * tf.math.squared_difference(predicted, images))


def _cross_entropy(logits, label):
    """Mean of ``-log sigmoid(l)`` for label 1, ``-log(1 - sigmoid(l))`` for 0, stable."""
    labels = tf.fill(tf.shape(logits), tf.cast(label, logits.dtype))
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))


def discriminator_gan(real_logits, fake_logits):
    """``-E log D(x) - E log(1 - D(C(x, m)))``, which D minimizes ([1] eq. 3, [2] eq. 1).

    Args:
      real_logits: [B, 1], logits of real images.
      fake_logits: [B, 1], logits of completed images.
    """
    return _cross_entropy(real_logits, 1.0) + _cross_entropy(fake_logits, 0.0)


def generator_gan(fake_logits, minimax=False):
    """The completion network's adversarial term.

    ``-E log D(C(x, m))`` by default: [3]'s form, whose gradient does not vanish while the
    discriminator wins, and that of the code of [6]. ``minimax=True`` gives
    ``E log(1 - D(C(x, m)))`` of [1] eq. 3 and [2] eq. 1.

    Args:
      fake_logits: [B, 1], logits of completed images.
      minimax: take the papers' formula to the letter.
    """
    if minimax:
        return -_cross_entropy(fake_logits, 0.0)
    return _cross_entropy(fake_logits, 1.0)


def discriminator_hinge(real_scores, fake_scores):
    """``E max(0, 1 - D(x)) + E max(0, 1 + D(x'))`` ([9]); the generator's is ``-E D(x')``.

    Args:
      real_scores: scores of real images.
      fake_scores: of completed or generated ones.
    """
    return tf.reduce_mean(tf.nn.relu(1 - real_scores)) + tf.reduce_mean(tf.nn.relu(1 + fake_scores))


def discriminator_least_squares(real_scores, fake_scores):
    """``E (D(x) - 1)^2 / 2 + E D(x')^2 / 2`` ([8] with a = 0, b = c = 1).

    Args:
      real_scores: scores of real images.
      fake_scores: of completed ones.
    """
    real = tf.reduce_mean(tf.math.squared_difference(real_scores, 1.0))
    return (real + tf.reduce_mean(tf.square(fake_scores))) / 2


def generator_least_squares(fake_scores):
    """``E (D(x') - 1)^2 / 2`` ([8])."""
    return tf.reduce_mean(tf.math.squared_difference(fake_scores, 1.0)) / 2


def wasserstein_critic(real_scores, fake_scores):
    """``E f(G(z)) - E f(x)``, which the critic minimizes ([4] Algorithm 1, lines 5-6).

    Its negative estimates the Wasserstein distance, up to the critic's Lipschitz constant.

    Args:
      real_scores: [B, 1], f of real images.
      fake_scores: [B, 1], f of generated images.
    """
    return tf.reduce_mean(fake_scores) - tf.reduce_mean(real_scores)


def wasserstein_generator(fake_scores):
    """``-E f(G(z))``, which the generator minimizes ([4] Algorithm 1, line 10).

    Args:
      fake_scores: [B, 1], f of generated images.
    """
    return -tf.reduce_mean(fake_scores)


def gradient_penalty(critic, real, fake, epsilon):
    """``E (||grad f(x')|| - 1)^2`` at ``x' = epsilon x + (1 - epsilon) G(z)`` ([5] eq. 3).

    Lambda is the caller's. The norm is over the pixels of an image; images are in [-1, 1] there, so
    a gradient with respect to images in [0, 1] is halved.

    Args:
      critic: a function from images [B, H, W, 3] in [0, 1] to scores [B, 1].
      real: [B, H, W, 3].
      fake: [B, H, W, 3].
      epsilon: [B, 1, 1, 1], uniform in [0, 1], one for each image.
    """
    between = epsilon * real + (1 - epsilon) * fake
    with tf.GradientTape() as tape:
        tape.watch(between)
        scores = critic(between)
    gradients = tf.cast(tape.gradient(scores, between), tf.float32) / 2
    # Without the constant, the root's gradient at zero is not a number.
    norms = tf.sqrt(tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3]) + 1e-12)
    return tf.reduce_mean(tf.square(norms - 1))


ADVERSARIAL = {
    "nonsaturating": (discriminator_gan, generator_gan),
    "minimax": (discriminator_gan, functools.partial(generator_gan, minimax=True)),
    "hinge": (discriminator_hinge, wasserstein_generator),
    "least_squares": (discriminator_least_squares, generator_least_squares),
}
"""By name a discriminator's loss, of real and fake scores, and its generator's, of fake ones."""
