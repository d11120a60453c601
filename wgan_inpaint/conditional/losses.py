"""What keeps z alive, or kills it: terms of the generator's loss over two samples of each picture.

x is the truth, a and b are two samples G(m, z1), G(m, z2); all have the known pixels pasted in, so
that they differ in the hole alone. Pictures are in [-1, 1] here, as in the papers.

[1] T. Gneiting, A. E. Raftery. Strictly Proper Scoring Rules, Prediction, and Estimation. JASA
    102, 2007. Section 4.3: the energy score.
[2] P. Isola et al. Image-to-Image Translation with Conditional Adversarial Networks. CVPR 2017.
[3] G. Ohayon et al. High Perceptual Quality Image Denoising with a Posterior Sampling CGAN. ICCVW
    2021: the error of the mean of samples.
[4] Q. Mao et al. Mode Seeking Generative Adversarial Networks. CVPR 2019, and the authors' code.
[5] M. Bendel et al. A Regularized Conditional GAN for Posterior Sampling in Image Recovery
    Problems. NeurIPS 2023. eq. (9)-(11): L1 of the mean, and a reward of the spread.
[6] J.-Y. Zhu et al. Toward Multimodal Image-to-Image Translation. NeurIPS 2017. eq. (7): the latent
    regressor of BicycleGAN, and the authors' code, where the L1 is a mean.
"""

import math

import tensorflow as tf

FINEST = 2  # pixels
_SMALL = 1e-6  # under the root, whose gradient at zero is not finite


def patch_distance(first, second, masks, side):
    """``sqrt(mean over a patch's missing elements of (u - v)^2 + 1e-6)``, mean over missing pixels.

    The patches of side x side pixels tile the picture.

    Args:
      first, second: [B, S, S, 3] in [-1, 1].
      masks: [B, S, S, 1], 1 = missing; known pixels do not count, whatever they hold.
      side: of a patch in pixels, a divisor of S; S itself is the whole hole.

    Returns:
      float32 [B].
    """
    # Selected before any arithmetic: the gradient of what is not a number must not come in.
    u, v = (tf.where(masks > 0.5, picture, 0.0) for picture in (first, second))
    squares = tf.reduce_sum(tf.math.squared_difference(u, v), axis=-1, keepdims=True)
    share = tf.nn.avg_pool2d(masks, side, side, "VALID")
    mean = tf.math.divide_no_nan(tf.nn.avg_pool2d(squares, side, side, "VALID"), 3 * share)
    distances = share * tf.sqrt(mean + _SMALL)
    total = tf.reduce_sum(share, axis=[1, 2, 3])
    return tf.math.divide_no_nan(tf.reduce_sum(distances, axis=[1, 2, 3]), total)


def sides(size):
    """Of the patches of the energy score at pictures of this size: S, S / 4, S / 8 and 2."""
    return tuple(dict.fromkeys([size, size // 4, size // 8, FINEST]))


def energy_score(truth, first, second, masks):
    """``(|x - a| + |x - b|) / 2 - |a - b| / 2``, mean over distances of several scales ([1]).

    Its expectation is least where a and b are drawn from the truth's own distribution, and only
    there: neither a collapse nor any spread beyond the right one pays.

    Args:
      truth, first, second: x, a, b, [B, S, S, 3] in [-1, 1].
      masks: [B, S, S, 1], 1 = missing.

    Returns:
      float32 scalar, mean over the batch and the scales of ``sides``.
    """
    terms = []
    for side in sides(truth.shape[1]):
        to_truth = [patch_distance(truth, sample, masks, side) for sample in (first, second)]
        terms.append((tf.add_n(to_truth) - patch_distance(first, second, masks, side)) / 2)
    return tf.reduce_mean(tf.stack(terms))


def l1(truth, sample, masks):
    """Mean absolute difference over missing elements, [B] (and 0 without a hole) ([2])."""
    u, v = (tf.where(masks > 0.5, picture, 0.0) for picture in (truth, sample))
    sums = tf.reduce_sum(tf.abs(u - v), axis=[1, 2, 3])
    return tf.math.divide_no_nan(sums, 3 * tf.reduce_sum(masks, axis=[1, 2, 3]))


def none(truth, first, second, masks, latents):
    """0: the GAN alone."""
    del truth, first, second, masks, latents
    return tf.constant(0.0)


def single(truth, first, second, masks, latents):
    """L1 of every sample ([2]); its optimum ignores z."""
    del latents
    return tf.reduce_mean(l1(truth, first, masks) + l1(truth, second, masks)) / 2


def mean(truth, first, second, masks, latents):
    """L1 of the mean of both samples, after [3]; its optimum ignores z too."""
    del latents
    return tf.reduce_mean(l1(truth, (first + second) / 2, masks))


def energy(truth, first, second, masks, latents):
    """``energy_score``."""
    del latents
    return energy_score(truth, first, second, masks)


def mode_seeking(truth, first, second, masks, latents):
    """L1 of the first sample and, a tenth as much, ``1 / (|a - b| / |z1 - z2| + 1e-5)`` ([4]).

    The weight of the reconstruction being 10, the second has weight 1, as in the code.
    """
    apart = tf.reduce_mean(tf.abs(latents[:, 0] - latents[:, 1]), axis=-1)
    ratio = tf.reduce_mean(l1(first, second, masks)) / tf.reduce_mean(apart)
    return tf.reduce_mean(l1(truth, first, masks)) + 0.1 / (ratio + 1e-5)


# For two samples: beta = sqrt(2 / (pi P (P + 1))) and the estimate of the standard deviation
# sqrt(pi / (2 P (P - 1))) sum_i |x_i - mean|, with P = 2 ([5] eq. 10 and 11).
REWARD = math.sqrt(2 / (math.pi * 2 * 3)) * math.sqrt(math.pi / (2 * 2 * 1))


def rcgan(truth, first, second, masks, latents):
    """L1 of the mean less ``0.2887 |a - b|``, the reward of the spread ([5] eq. 9)."""
    del latents
    spread = tf.reduce_mean(l1(first, second, masks))  # |a - mean| + |b - mean|
    return tf.reduce_mean(l1(truth, (first + second) / 2, masks)) - REWARD * spread


def latent_l1(found, latents):
    """``|E(G(m, z)) - z|``, mean over pictures and elements, whose weight in [6] is 0.5.

    Args:
      found: what the regressor E reads of the samples, [N, Z].
      latents: z that they were drawn from, [N, Z].
    """
    return tf.reduce_mean(tf.abs(found - latents))


TERMS = {
    "none": none,
    "l1": single,
    "mean": mean,
    "energy": energy,
    "mode_seeking": mode_seeking,
    "rcgan": rcgan,
}
