"""Losses: pure functions of tensors that return float32 scalars.

[1] Iizuka 2017, Globally and Locally Consistent Image Completion, eq. (2)-(4).
[2] Wang & Wang 2020, 基于生成对抗网络的图像修复算法, eq. (1)-(4).
[3] Goodfellow 2014, Generative Adversarial Networks, Section 3.
"""

import tensorflow as tf


def masked_mse(completed, images, masks):
    """Mean over all elements of ``m * (C(x, m) - x)^2`` ([1] eq. 2, [2] eq. 2).

    The mean is over B, H, W and C alike, known pixels included, as Torch's MSECriterion of the
    masked pictures: a larger hole weighs more.

    Args:
      completed: [B, H, W, 3], C(x, m).
      images: [B, H, W, 3], x.
      masks: [B, H, W, 1], 1 = missing.
    """
    return tf.reduce_mean(masks * tf.math.squared_difference(completed, images))


def perceptual_l1(features, targets):
    """``sum_j ||phi_j(x) - phi_j(y)||_1 / (C_j H_j W_j)``, mean over the batch ([2] eq. 3).

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
    discriminator wins. ``minimax=True`` gives ``E log(1 - D(C(x, m)))`` of [1] eq. 3.

    Args:
      fake_logits: [B, 1], logits of completed images.
      minimax: take the papers' formula to the letter.
    """
    if minimax:
        return -_cross_entropy(fake_logits, 0.0)
    return _cross_entropy(fake_logits, 1.0)
