"""Pictures of any size through a network of one size: the crop around the hole, and back.

The crop is a square around the middle of the hole's bounding box, twice as long as the box (the
papers' centre hole is half as long as its picture) but not shorter than the network's side S. It
is moved into the picture where it sticks out (``squares``), or stays where it is for a network that
completes nothing but its middle (``centred_squares``); what still sticks out is missing.

Shrunk to S, a pixel is the average of the known pixels that it stands for, and missing if there are
none. Images are float32 [B, H, W, 3] in [0, 1], masks float32 [B, H, W, 1], 1 = missing. All
functions run eagerly and in a graph.
"""

import functools

import tensorflow as tf

from common.pictures import masks as holes

CONTEXT = 2  # sides of the crop in those of the hole's box

# Eagerly AutoGraph would look for loops and branches in what is mapped, for a tenth of a second.
_as_it_is = tf.autograph.experimental.do_not_convert


def _built_once(function):
    """In graphs it is a call: the signatures of a model, which are many, share what is called."""
    built = tf.function(function, autograph=False)

    @functools.wraps(function)
    def call(*arguments):
        return (function if tf.executing_eagerly() else built)(*arguments)

    return call


@_built_once
def squares(masks, size):
    """The crops.

    Args:
      masks: [B, H, W, 1].
      size: S in pixels.

    Returns:
      int32 [B, 3]: top, left and side; top and left may be negative.
    """
    boxes = holes.bounding_boxes(masks)
    shape = tf.shape(masks)[1:3]
    low, high = boxes[:, :2], boxes[:, 2:]
    longest = tf.reduce_max(high - low, axis=1)
    side = tf.minimum(tf.maximum(CONTEXT * longest, size), tf.reduce_max(shape))[:, None]
    corner = (low + high - side) // 2
    room = shape - side  # negative where the square sticks out on both sides
    inside = tf.clip_by_value(corner, 0, tf.maximum(room, 0))
    return tf.concat([tf.where(room >= 0, inside, room // 2), side], axis=1)


@_built_once
def centred_squares(masks, size, hole_size):
    """The crops whose middle is that of the hole's bounding box, to within half a pixel.

    Args:
      masks: [B, H, W, 1].
      size: S in pixels.
      hole_size: side of the square in the middle of S that the box must fit into, in pixels.

    Returns:
      int32 [B, 3], as ``squares``; the crop may stick out on any side.
    """
    boxes = holes.bounding_boxes(masks)
    low, high = boxes[:, :2], boxes[:, 2:]
    longest = tf.reduce_max(high - low, axis=1, keepdims=True)
    side = tf.maximum(-(-longest * size // hole_size), size)
    return tf.concat([(low + high - side) // 2, side], axis=1)


@_built_once
def cut(images, masks, boxes, size):
    """The crops at the network's size.

    Args:
      images: [B, H, W, 3].
      masks: [B, H, W, 1].
      boxes: of ``squares`` or ``centred_squares``.
      size: S in pixels.

    Returns:
      (images [B, S, S, 3], zero where missing; masks [B, S, S, 1]).
    """
    height, width = tf.shape(masks)[1], tf.shape(masks)[2]

    @_as_it_is
    def one(arguments):
        image, mask, (top, left, side) = arguments
        rows, row_inside = _line(top, side, height)
        columns, column_inside = _line(left, side, width)
        known = tf.cast(row_inside[:, None] & column_inside, tf.float32)[..., None]
        known *= 1 - tf.gather(tf.gather(mask, rows), columns, axis=1)
        visible = tf.where(known > 0, tf.gather(tf.gather(image, rows), columns, axis=1), 0.0)
        both = tf.concat([visible, known], axis=-1)[None]
        small = tf.image.resize(both, [size, size], "area")[0]
        share = small[..., 3:]
        missing = share < 1e-6
        return tf.where(missing, 0.0, small[..., :3] / tf.where(missing, 1.0, share)), tf.cast(
            missing, tf.float32
        )

    shapes = [tf.TensorSpec([size, size, channels], tf.float32) for channels in (3, 1)]
    columns = tf.unstack(boxes, axis=1)
    return tf.map_fn(one, (images, masks, columns), fn_output_signature=tuple(shapes))


@_built_once
def put_back(crops, boxes, height, width):
    """Completed crops where they came from; around them their edge pixels are repeated.

    Args:
      crops: [B, S, S, 3].
      boxes: of ``squares`` or ``centred_squares``.
      height, width: of the pictures.

    Returns:
      float32 [B, H, W, 3].
    """
    size = crops.shape[1]

    @_as_it_is
    def one(arguments):
        crop, (top, left, side) = arguments
        large = tf.cond(
            tf.equal(side, size),
            lambda: crop,
            lambda: tf.clip_by_value(tf.image.resize(crop, [side, side], "bicubic"), 0.0, 1.0),
        )
        rows, columns = (
            tf.clip_by_value(tf.range(length) - start, 0, side - 1)
            for length, start in ((height, top), (width, left))
        )
        return tf.gather(tf.gather(large, rows), columns, axis=1)

    return tf.map_fn(
        one,
        (crops, tf.unstack(boxes, axis=1)),
        fn_output_signature=tf.TensorSpec([None, None, 3], tf.float32),
    )


def put_back_samples(crops, boxes, height, width):
    """``put_back`` of several crops of each picture.

    Args:
      crops: [B, K, S, S, 3].
      boxes: int32 [B, 3], of ``squares``.
      height, width: of the pictures.

    Returns:
      float32 [B, K, height, width, 3].
    """
    samples, size = tf.shape(crops)[1], crops.shape[2]
    flat = tf.reshape(crops, [-1, size, size, 3])
    large = put_back(flat, tf.repeat(boxes, samples, axis=0), height, width)
    return tf.reshape(large, [-1, samples, height, width, 3])


def _line(start, side, length):
    """Pixel numbers of a crop in one direction, clipped, and which of them are in the picture."""
    index = start + tf.range(side)
    return tf.clip_by_value(index, 0, length - 1), (index >= 0) & (index < length)
