"""Where the local discriminator looks: one square of each picture, around a hole.

Where all that is missing fits into the square, it is centred on that, as in [1] Section 3.3 and
[2] Section 2.3, which have a single hole. What to do with several is ours: the square that is
centred on all of them together may show none. Here a missing pixel is drawn, every one with the
same probability, and the square is centred on the hole that the pixel belongs to, or, if that hole
does not fit either, on the pixel itself. So each hole is judged in some of the steps, the more
often the larger it is. Always the square is moved inside where it would stick out.

A hole is what is connected in the mask, pixels that touch at a corner included.

[1] Iizuka 2017, Globally and Locally Consistent Image Completion.
[2] Wang & Wang 2020, 基于生成对抗网络的图像修复算法.
"""

import tensorflow as tf

from common import stateless
from common.pictures import masks

_SALT = 1000  # holes are drawn from the same seed, with salts that are less


def corners(holes, size, seed):
    """Chooses the square of each picture.

    The same numbers come out with XLA and without.

    Args:
      holes: masks [B, H, W, 1], 1 = missing; one without a hole gets the middle of the picture.
      size: side of the square in pixels, at most H and W.
      seed: two integers, as Python numbers or an int32 tensor [2]; without effect on pictures whose
        missing pixels all fit into the square.

    Returns:
      int32 [B, 2]: row and column of the square's upper left pixel.
    """
    missing = holes[..., 0] > 0.5
    boxes = masks.bounding_boxes(holes)
    scattered = ~_fit(boxes, size) & tf.reduce_any(missing, axis=[1, 2])
    rows, columns = _draw_pixels(missing, seed)
    around = masks.bounding_boxes(_holes_of(missing, rows, columns, scattered, size))
    pixels = tf.stack([rows, columns, rows + 1, columns + 1], axis=1)
    around = tf.where(_fit(around, size)[:, None], around, pixels)
    boxes = tf.where(scattered[:, None], around, boxes)
    limits = [missing.shape[1] - size, missing.shape[2] - size]
    return tf.clip_by_value((boxes[:, :2] + boxes[:, 2:] - size) // 2, 0, limits)


def cut(images, corners, size):
    """Cuts a square out of each picture.

    Args:
      images: [B, H, W, C].
      corners: int32 [B, 2], as ``corners`` gives them.
      size: side of the square in pixels.

    Returns:
      [B, size, size, C].
    """
    tops, lefts = corners[:, :1], corners[:, 1:]
    rows = tf.gather(images, tops + tf.range(size), axis=1, batch_dims=1)
    columns = tf.tile((lefts + tf.range(size))[:, None], [1, size, 1])
    return tf.gather(rows, columns, axis=2, batch_dims=2)


def _fit(boxes, size):
    """Which boxes [B, 4] fit into the square, bool [B]."""
    return tf.reduce_all(boxes[:, 2:] - boxes[:, :2] <= size, axis=1)


def _draw_pixels(missing, seed):
    """Row [B] and column [B] of one missing pixel of each picture, int32; 0 without any.

    Two tensors: in TensorFlow 2.21's graphs ``stack([a, b], 1)[:, 0, None, None]`` loses axes.
    """
    missing = tf.cast(missing, tf.int32)
    numbers = stateless.numbers(tf.shape(missing)[:1], seed, _SALT)
    in_rows = tf.reduce_sum(missing, axis=2)  # (B, H)
    # Of the missing pixels, counted from 0 in reading order, the one to find.
    numbers %= tf.maximum(tf.reduce_sum(in_rows, axis=1), 1)
    rows = _first_above(tf.cumsum(in_rows, axis=1), numbers)
    numbers -= tf.gather(tf.cumsum(in_rows, axis=1, exclusive=True), rows, axis=1, batch_dims=1)
    columns = _first_above(
        tf.cumsum(tf.gather(missing, rows, axis=1, batch_dims=1), axis=1), numbers
    )
    return rows, columns


def _first_above(sums, numbers):
    """The first place in each row of [B, N] that exceeds the number of [B], int32 [B]."""
    return tf.argmax(tf.cast(sums > numbers[:, None], tf.int32), axis=1, output_type=tf.int32)


def _holes_of(missing, rows, columns, wanted, size):
    """The hole that each pixel belongs to, float32 [B, H, W, 1]; of one that is too large, a part.

    Args:
      missing: bool [B, H, W].
      rows, columns: int32 [B], the pixels.
      wanted: bool [B]; where it is false the pixel alone is returned.
      size: side of the square.
    """
    height, width = missing.shape[1:]
    hole = (tf.range(height)[:, None] == rows[:, None, None]) & (
        tf.range(width) == columns[:, None, None]
    )

    def grow(hole, growing):
        larger = missing & _widened(hole)
        larger = tf.where(growing[:, None, None], larger, hole)
        growing &= tf.reduce_any(larger != hole, axis=[1, 2])
        # What is connected touches as many rows as it is high. Beyond the square it need not grow.
        for axis in (1, 2):
            lines = tf.reduce_any(larger, axis=axis)
            growing &= tf.reduce_sum(tf.cast(lines, tf.int32), axis=1) <= size
        return larger, growing

    hole, _ = tf.while_loop(lambda _, growing: tf.reduce_any(growing), grow, (hole, wanted))
    return tf.cast(hole, tf.float32)[..., None]


def _widened(hole):
    """A hole [B, H, W] and the pixels around it."""
    padded = tf.pad(hole, [[0, 0], [1, 1], [0, 0]])
    hole |= padded[:, :-2] | padded[:, 2:]
    padded = tf.pad(hole, [[0, 0], [0, 0], [1, 1]])
    return hole | padded[..., :-2] | padded[..., 2:]
