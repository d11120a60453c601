"""The prediction step: from the damaged picture to the codes and gradients of its hole, and back.

    hide -> known points -> their codes -> guides -> mean field -> decoder -> gradients -> solution

No hidden pixel enters: each is replaced before anything is computed of it.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from wgan_inpaint.guided import field, likelihood, networks, poisson

FIELD_ITERATIONS = 5  # of the mean field in use
SWEEPS = 5  # of Gibbs sampling, from a draw of the mean field's marginals


class Networks(NamedTuple):
    """What completes, as functions of what ``wgan_inpaint.guided.networks`` says.

    Attributes:
      encoder, guides, gradients, decoder: of tensors.
      codebook, tables: with the attributes of the layers of these names.
      stride, mixtures: of the training's settings.
    """

    encoder: Callable
    codebook: object
    guides: Callable
    tables: object
    gradients: Callable
    decoder: Callable
    stride: int
    mixtures: int


class Guides(NamedTuple):
    """What is known and guessed of a field.

    Attributes:
      unary: [B, h, w, K].
      known: bool [B, h, w, 1].
      labels: int32 [B, h, w], of known points.
      pairwise: ``field.Pairwise``.
    """

    unary: tf.Tensor
    known: tf.Tensor
    labels: tf.Tensor
    pairwise: field.Pairwise


def hide(images, masks):
    """The picture, zero where missing."""
    return tf.where(masks > 0.5, tf.zeros_like(images), images)


def guess(parts, images, masks):
    """The latent guides of damaged pictures.

    Args:
      parts: ``Networks``.
      images: [B, H, W, 3] in [0, 1]; H and W are multiples of the stride.
      masks: [B, H, W, 1], 1 = missing.

    Returns:
      ``Guides``.
    """
    images = hide(images, masks)
    known = networks.known_points(masks, parts.stride)
    labels = parts.codebook.nearest(parts.encoder(images))
    labels = tf.where(known[..., 0], labels, tf.zeros_like(labels))
    vectors = parts.codebook.vectors(labels)
    told = parts.guides(
        {
            "images": images,
            "masks": masks,
            "field": tf.where(known, vectors, tf.zeros_like(vectors)),
            "known": tf.cast(known, images.dtype),
        }
    )
    across, along = told["weights"][..., :1], told["weights"][..., 1:]
    pairwise = field.Pairwise(
        tf.convert_to_tensor(parts.tables.right),
        tf.convert_to_tensor(parts.tables.down),
        tf.nn.softplus((across[:, :, 1:] + across[:, :, :-1]) / 2),
        tf.nn.softplus((along[:, 1:] + along[:, :-1]) / 2),
    )
    return Guides(told["unary"], known, labels, pairwise)


def marginals(guides, iterations=None):
    """The mean field of ``Guides``, [B, h, w, K]; ``FIELD_ITERATIONS`` unless it is told."""
    iterations = FIELD_ITERATIONS if iterations is None else iterations
    return field.mean_field(guides.unary, guides.known, guides.labels, guides.pairwise, iterations)


def expected(parts, q):
    """The expected vector of every point, [B, h, w, D]."""
    return tf.matmul(q, tf.convert_to_tensor(parts.codebook.codes))


def draw(guides, q, seed):
    """A field of every picture by Gibbs sampling, int32 [B, h, w].

    Args:
      guides: ``Guides``.
      q: ``marginals``, which it starts from.
      seed: int32 scalar.
    """
    first = field.draw(tf.math.log(q + 1e-12), tf.stack([seed, -1]))
    first = tf.where(guides.known[..., 0], guides.labels, first)
    return field.gibbs(guides.unary, guides.known, first, guides.pairwise, SWEEPS, seed)


def guide_gradients(parts, images, masks):
    """Differences to the right and down: known ones as they are, predicted ones elsewhere.

    Args:
      parts: ``Networks``.
      images, masks: of ``guess``, H and W even.

    Returns:
      Two of [B, H, W, 3].
    """
    images = hide(images, masks)
    predicted = parts.gradients({"images": images, "masks": masks})
    return tuple(
        tf.where(edge > 0.5, guessed, seen)
        for edge, guessed, seen in zip(
            poisson.edges(masks),
            tf.split(predicted, 2, axis=-1),
            poisson.differences(images),
            strict=True,
        )
    )


def amplify(gradients, masks, detail):
    """``guide_gradients`` with the gain ``detail``, a scalar or [B, 1, 1, 1], on predicted ones."""
    pairs = zip(poisson.edges(masks), gradients, strict=True)
    return tuple(tf.where(edge > 0.5, detail * g, g) for edge, g in pairs)


def context(images, masks, gradients):
    """What the decoder is told of a damaged picture besides its field, [B, H, W, 10].

    Args:
      images, masks: of ``guess``.
      gradients: of ``guide_gradients``.
    """
    shown = hide(2 * images - 1, masks)
    scaled = [networks.GRADIENT_SCALE * g for g in gradients]
    return tf.concat([*scaled, shown, masks], axis=-1)


def nothing(images):
    """A context that tells nothing of pictures like these."""
    return tf.zeros([*tf.unstack(tf.shape(images)[:3]), networks.CONTEXT])


def decode(parts, vectors, told):
    """The mean picture of a field, [B, H, W, 3] in [0, 1].

    Args:
      parts: ``Networks``.
      vectors: [B, h, w, D].
      told: of ``context``.
    """
    return likelihood.mean(parts.decoder({"field": vectors, "context": told}), parts.mixtures)


def integrate(images, masks, gradients, decoded, smoothness):
    """The solution of ``poisson.solve``, between 0 and 1; known pixels as they were."""
    hidden = hide(images, masks)
    completed, _ = poisson.solve(hidden, masks, gradients, decoded, smoothness)
    return tf.where(masks > 0.5, tf.clip_by_value(completed, 0.0, 1.0), images)


def finish(parts, images, masks, vectors, gradients, smoothness, detail):
    """The picture of a field and gradients.

    Args:
      parts: ``Networks``.
      images, masks: of ``guess``.
      vectors: of the field, [B, h, w, D].
      gradients: of ``guide_gradients``.
      smoothness: mu of ``poisson.solve``.
      detail: of ``amplify``.

    Returns:
      [B, H, W, 3] in [0, 1]; known pixels as they were.
    """
    gradients = amplify(gradients, masks, detail)
    decoded = decode(parts, vectors, context(images, masks, gradients))
    return integrate(images, masks, gradients, decoded, smoothness)


def complete(parts, images, masks, smoothness, detail):
    """By both guides: the expected field; takes and returns what ``finish`` does."""
    gradients = guide_gradients(parts, images, masks)
    vectors = expected(parts, marginals(guess(parts, images, masks)))
    return finish(parts, images, masks, vectors, gradients, smoothness, detail)


def complete_samples(parts, images, masks, seeds, smoothness, detail):
    """The same with a field drawn for each of ``seeds`` int32 [K]: [B, K, H, W, 3]."""
    gradients = guide_gradients(parts, images, masks)
    guides = guess(parts, images, masks)
    q = marginals(guides)

    def one(seed):
        vectors = parts.codebook.vectors(draw(guides, q, seed))
        return finish(parts, images, masks, vectors, gradients, smoothness, detail)

    drawn = tf.map_fn(one, seeds, fn_output_signature=tf.float32)
    return tf.transpose(drawn, [1, 0, 2, 3, 4])
