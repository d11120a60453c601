"""Completion without a network: each method is a function of images and masks.

``METHODS`` maps names to functions (images float32 [B, H, W, 3], masks float32 [B, H, W, 1]) ->
completed float32 [B, H, W, 3].
"""

import numpy as np

from common import blending


def _telea(images, masks):
    return np.stack([blending.telea(*pair) for pair in zip(images, masks, strict=True)])


def _mean_color(images, masks):
    known = np.maximum((1 - masks).sum((1, 2), keepdims=True), 1)
    mean = (images * (1 - masks)).sum((1, 2), keepdims=True) / known
    return np.where(masks == 1, mean, images).astype(np.float32)


METHODS = {"telea": _telea, "mean_color": _mean_color}
