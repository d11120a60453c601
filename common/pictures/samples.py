"""Real photographs to try things on, without a download.

    astronaut = open_sample("astronaut")        # float32 [199, 199, 3]
    faces = names("sample:grace_hopper+astronaut")

Matplotlib brings a portrait of Grace Hopper, an official photograph of the U.S. Navy and as such in
the public domain. Scikit-image (the extra `classical`) brings a portrait of the astronaut Eileen
Collins, by NASA and in the public domain; a cat (Chelsea), a cup of coffee, a rocket of SpaceX's, a
motorcycle by D. Scharstein, a photographer with his camera, bricks, a retina and, small and grey,
its microaneurysms, all CC0.
"""

import dataclasses

import numpy as np

from common.errors import InputError
from common.pictures.images import from_uint8, read_image, resize

NAME = "grace_hopper"
PREFIX = "sample:"


@dataclasses.dataclass(frozen=True)
class Square:
    """The part of a photograph that is shown, in pixels."""

    left: int
    top: int
    side: int


# CelebA's aligned faces have the pupils at 0.388 and 0.607 of the width and 0.511 of the height;
# here they lie at (221, 190) and (304, 188), and at (202, 100) and (247, 103).
SQUARES = {
    NAME: Square(79, 0, 370),
    "astronaut": Square(125, 0, 199),
    "chelsea": None,
    "coffee": None,
    "rocket": None,
    "motorcycle": None,
    "camera": None,
    "brick": None,
    "retina": None,
    "microaneurysms": None,
}
_PAIRS = {"motorcycle": "stereo_motorcycle"}  # functions that return more than a picture


def portrait(size):
    """The face of Grace Hopper, cut like one of CelebA's aligned faces.

    Args:
      size: side of the square, in pixels.

    Returns:
      float32 [size, size, 3], RGB in [0, 1].

    Raises:
      InputError: matplotlib came without its sample data, or the size is not positive.
    """
    return resize(open_sample(NAME), size, size)


def open_sample(name):
    """A sample in the resolution of its file; of a portrait, the face.

    Args:
      name: one of ``SQUARES``.

    Returns:
      float32 [H, W, 3], RGB in [0, 1].

    Raises:
      InputError: there is no such sample, or the library that brings it is not installed.
    """
    if name not in SQUARES:
        raise InputError(f"{PREFIX}{name}: no such sample; choose from {', '.join(SQUARES)}")
    if name == NAME:
        import matplotlib.cbook  # for the sample alone

        image = read_image(matplotlib.cbook.get_sample_data(f"{NAME}.jpg", asfileobj=False))
    else:
        image = _of_scikit_image(name)
    if square := SQUARES[name]:
        image = image[square.top :, square.left :][: square.side, : square.side]
    return image


def _of_scikit_image(name):
    try:
        from skimage import data
    except ImportError as error:
        raise InputError(
            f"{PREFIX}{name}: scikit-image is not installed; pip install -e '.[classical]'"
        ) from error
    image = getattr(data, _PAIRS.get(name, name))()
    image = np.asarray(image[0] if name in _PAIRS else image)
    return from_uint8(np.repeat(image[..., None], 3, -1) if image.ndim == 2 else image)


def names(source):
    """The samples that "sample:NAME" or "sample:NAME+NAME" stands for.

    Raises:
      InputError: there is no such sample, or one is given twice.
    """
    found = source.removeprefix(PREFIX).split("+")
    for name in found:
        if name not in SQUARES or found.count(name) > 1:
            raise InputError(f"{source}: choose from {', '.join(SQUARES)}, each once")
    return found
