"""A JPEG file is seen in the graph as OpenCV, which reads the commands' pictures, sees it."""

import io

import cv2
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from common.serving import exif


def jpeg(told, big=False):
    """A file of 24x16 pixels, its corners of different brightness, with an orientation."""
    corners = np.array([[0, 80], [160, 240]], np.float32)
    picture = cv2.resize(corners, (24, 16), interpolation=cv2.INTER_LINEAR)[..., None]
    known = PIL.Image.Exif()
    known[0x010F] = "a maker of cameras"  # lies before it
    known[0x0112] = told
    known.endian = ">" if big else "<"
    file = io.BytesIO()
    PIL.Image.fromarray(np.repeat(picture, 3, axis=-1).astype(np.uint8)).save(
        file, "JPEG", quality=100, exif=known
    )
    return file.getvalue()


@tf.function(input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
def seen(data):
    return exif.upright(tf.io.decode_jpeg(data, 3), exif.orientation(data))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("told", range(1, 9))
def test_every_orientation_is_that_of_opencv(told, big):
    data = jpeg(told, big)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert expected.shape == ((24, 16, 3) if told >= 5 else (16, 24, 3))
    np.testing.assert_allclose(seen(data).numpy().astype(int), expected, atol=8)  # decoders round


def test_what_says_nothing_or_nonsense_is_upright():
    data = jpeg(6)
    assert exif.orientation(data) == 6
    place = data.index(b"Exif") + 6
    broken = data[: place + 4] + b"\xff\xff\xff\xff" + data[place + 8 :]
    for other in (b"", b"\xff\xd8", jpeg(9), broken, data[: place + 9], b"no" + data[2:]):
        assert exif.orientation(other) == 1
