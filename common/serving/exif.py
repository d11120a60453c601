"""Turns the pictures of JPEG files upright inside a graph: ``tf.io.decode_image`` leaves them."""

import tensorflow as tf

_SEARCHED = 1 << 17  # bytes: the segment, of at most 64 KiB, is one of the first
_TAG = 0x0112


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def orientation(data):
    """The EXIF orientation that a file asks for.

    Args:
      data: scalar string, a file of any kind, broken ones too.

    Returns:
      int32 scalar, 1 to 8; 1, upright, for what is no JPEG file or does not say.
    """
    head = tf.strings.substr(data, 0, _SEARCHED)
    found = tf.cast(tf.io.decode_raw(head, tf.uint8), tf.int32)
    found = tf.pad(found, [[0, 16]])

    def at(place):
        return tf.gather(found, tf.clip_by_value(place, 0, tf.size(found) - 1))

    # The marker FF E1, two bytes of length, "Exif", 00 00; behind it a TIFF header.
    places = tf.range(tf.size(found) - 15)
    wanted = [*enumerate(b"\xff\xe1"), *enumerate(b"Exif\0\0", 4)]
    begins = tf.reduce_all([tf.equal(at(places + n), byte) for n, byte in wanted], axis=0)
    begins &= tf.equal(tf.strings.substr(data, 0, 2), b"\xff\xd8")
    header = tf.argmax(tf.cast(begins, tf.int32), output_type=tf.int32) + 10
    little = tf.equal(at(header), ord("I"))

    def number(place, count):
        digits = [at(place + n) for n in range(count)]
        powers = [256**n for n in range(count)]
        return tf.where(
            little,
            tf.add_n([d * power for d, power in zip(digits, powers, strict=True)]),
            tf.add_n([d * power for d, power in zip(digits, powers[::-1], strict=True)]),
        )

    directory = header + number(header + 4, 4)
    entries = directory + 2 + 12 * tf.range(tf.minimum(number(directory, 2), _SEARCHED // 12))
    said = tf.where(tf.equal(number(entries, 2), _TAG), number(entries + 8, 2), 0)
    value = tf.reduce_max(tf.concat([said, [0]], axis=0))
    return tf.where(tf.reduce_any(begins) & (value >= 1) & (value <= 8), value, 1)


def upright(pixels, oriented):
    """A picture as it is to be looked at.

    Args:
      pixels: [H, W, C].
      oriented: of ``orientation``.

    Returns:
      [H, W, C], or [W, H, C] from 5 on.
    """
    channels = pixels.shape[2]
    pixels = tf.transpose(pixels, tf.where(oriented >= 5, [1, 0, 2], [0, 1, 2]))
    pixels.set_shape([None, None, channels])  # a permutation that is chosen late loses it
    for axis, mirrored in ((0, (3, 4, 7, 8)), (1, (2, 3, 6, 7))):
        indices = tf.range(tf.shape(pixels)[axis])
        turns = tf.reduce_any(tf.equal(oriented, mirrored))
        pixels = tf.gather(pixels, tf.where(turns, indices[::-1], indices), axis=axis)
    return pixels
