"""What several classical methods need: the picture at several sizes, windows, libraries."""

import importlib

import cv2
import numpy as np

from common.errors import InputError
from common.pictures.images import resize

# Pictures are not shrunk below this many pixels a side.
MIN_SIDE = 16


def library(name):
    """Imports a module of the extra `classical`, or says how to install it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"{name.partition('.')[0]} is not installed; pip install -e '.[classical]'"
        ) from error


def pyramid(image, hole, depth):
    """The picture shrunk by halves until its hole is thin, from small to large.

    Args:
      image: float32 [H, W, 3]; not read inside the hole.
      hole: bool [H, W].
      depth: how far the nearest known pixel may be away in the smallest picture, if it has not
        reached `MIN_SIDE`, in pixels.

    Returns:
      A list of (image, hole), the last one as given. A smaller picture's pixel is the mean of the
      known ones of four, and missing if more than two of them are.
    """
    levels = [(image, hole)]
    known = (~hole).astype(np.float32)
    while depth_of(hole).max() > depth and min(hole.shape) >= 2 * MIN_SIDE:
        image, known = _halve(image, known)
        hole = known < 0.5
        if hole.all() or not hole.any():
            break
        levels.append((image, hole))
    return levels[::-1]


def _halve(image, known):
    """Means of 2x2 pixels weighted by how well they are known, and the means of these weights.

    Args:
      image: float32 [H, W, 3].
      known: float32 [H, W] in [0, 1].

    Returns:
      float32 [ceil(H / 2), ceil(W / 2), 3] and [ceil(H / 2), ceil(W / 2)].
    """
    beyond = [(0, length % 2) for length in known.shape]
    known = np.pad(known, beyond)
    image = np.pad(image, [*beyond, (0, 0)]) * known[..., None]
    corners = [(slice(y, None, 2), slice(x, None, 2)) for y in (0, 1) for x in (0, 1)]
    weight = sum(known[corner] for corner in corners)
    total = sum(image[corner] for corner in corners)
    return total / np.where(weight, weight, 1)[..., None], weight / 4


def depth_of(hole):
    """The number of king's moves to the nearest known pixel: bool [H, W] -> float32 [H, W]."""
    return cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_C, 3)


def enlarge(estimate, image, hole):
    """The next level's first estimate: a smaller one, enlarged, in the hole."""
    return np.where(hole[..., None], resize(estimate, *hole.shape), image)


def windows_of(array, size):
    """All size x size windows of [H, W], a view: [H - size + 1, W - size + 1, size, size]."""
    return np.lib.stride_tricks.sliding_window_view(array, (size, size))
