"""Random numbers of a search: every picture has its own.

A picture's numbers follow from the run's seed and from what is known of the picture: not from its
place in the batch, from its company or from what its hole hides.
"""

import tensorflow as tf

from common import stateless

_PRIME = 2**31 - 1
_SEED = 1_640_531_527  # its share in the sum
# Added to a value before it is rounded down to a byte. Whole bytes, of which files consist, and the
# fractions that means of a few of them have, are then all far from where the next byte begins.
_OFFSET = 0.618034


def seeds(images, known, seed):
    """A number for each picture, the same however it is computed.

    The value of every known pixel, as a byte, is multiplied by a number of its place: a sum of
    integers, which has no rounding.

    Args:
      images: float32 [B, H, W, 3] in [0, 1].
      known: [B, H, W, 1], 0 where a pixel is not to count.
      seed: the run's, an integer or int32 tensor.

    Returns:
      int32 [B], not negative.
    """
    values = tf.floor(255 * tf.clip_by_value(images, 0.0, 1.0) + _OFFSET)
    # A known black pixel is another thing than a hidden one.
    values = tf.where(known > 0, tf.cast(values, tf.int64) + 1, 0)
    factors = stateless.integers(images.shape[1:], [0, 0])
    # At most 2^8 x 2^31 x the number of values, and 2^31 x 2^31: far from 2^63.
    total = tf.reduce_sum(values * tf.cast(factors, tf.int64), axis=[1, 2, 3])
    total += tf.cast(seed, tf.int64) * _SEED
    return tf.cast(tf.math.floormod(total, _PRIME), tf.int32)


def draw(distribution, shape, seeds_, what):
    """Random numbers for each picture.

    Args:
      distribution: ``networks.uniform`` or ``networks.normal``.
      shape: for one picture.
      seeds_: of ``seeds``, int32 [B].
      what: int32, another one for other numbers.

    Returns:
      float32 [B, *shape].
    """
    return tf.map_fn(
        lambda seed: distribution(shape, tf.stack([seed, what])),
        seeds_,
        fn_output_signature=tf.TensorSpec(shape, tf.float32),
    )
