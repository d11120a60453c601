"""How close a completed image comes to the original: PSNR, SSIM and L1.

All take two float images `[H, W, C]` in [0, 1] and return a python float. `psnr` and `l1` also
take a mask `[H, W, 1]` and then measure the hole alone, which tells methods apart that share the
known pixels; without one, a large known part flatters every method alike.

    psnr(original, completed)          # dB, higher is better; inf for identical images
    l1(original, completed, mask)      # mean absolute error in the hole, lower is better
    ssim(original, completed)          # at most 1, which identical images reach

SSIM is [1] with its constants: an 11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, the
mean over all windows inside the image and over the channels. scikit-image gives the same with
`gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.

[1] Wang, Bovik, Sheikh, Simoncelli: Image quality assessment: from error visibility to structural
    similarity. IEEE Transactions on Image Processing 13(4), 2004.
"""

import math

import cv2
import numpy as np

from common.errors import InputError
from common.pictures import checks

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_K1 = 0.01
SSIM_K2 = 0.03


def psnr(a, b, mask=None):
    """Peak signal-to-noise ratio, 10 log10(1 / mean squared error).

    Args:
        a: float `[H, W, C]` in [0, 1].
        b: float `[H, W, C]` in [0, 1].
        mask: None for the whole image, or `[H, W, 1]` for the pixels where it is 1.

    Returns:
        Decibels; `math.inf` for identical images. One such image makes a mean over images
        infinite too.

    Raises:
        InputError: the shapes differ, the images are not float, or the mask has no hole.
    """
    error = float(np.mean(np.square(_difference(a, b, mask)), dtype=np.float64))
    return -10 * math.log10(error) if error else math.inf


def l1(a, b, mask=None):
    """Mean absolute difference.

    Args:
        a: float `[H, W, C]` in [0, 1].
        b: float `[H, W, C]` in [0, 1].
        mask: None for the whole image, or `[H, W, 1]` for the pixels where it is 1.

    Returns:
        A float in [0, 1].

    Raises:
        InputError: the shapes differ, the images are not float, or the mask has no hole.
    """
    return float(np.mean(np.abs(_difference(a, b, mask)), dtype=np.float64))


def psnr_gradient(a, b, mask):
    """PSNR of differences between neighbours: how right the edges and textures of a hole are.

    Args:
        a: float `[H, W, C]` in [0, 1].
        b: float `[H, W, C]` in [0, 1].
        mask: `[H, W, 1]`; of the pairs side by side and one above the other, those with a pixel
            where it is 1 count.

    Returns:
        Decibels; `math.inf` where all differences are equal.

    Raises:
        InputError: as `psnr`.
    """
    a, b = _pair(a, b)
    hole, found = checks.holes(mask, a.shape), []
    for axis in (0, 1):
        error = np.diff(a, axis=axis) - np.diff(b, axis=axis)
        low, high = (np.delete(hole, end, axis=axis) for end in (-1, 0))
        found.append(error[low | high])
    squares = np.square(np.concatenate(found))
    if not squares.size:
        raise InputError("the mask has no hole (no 1), so there is nothing to measure inside it")
    error = float(np.mean(squares, dtype=np.float64))
    return -10 * math.log10(error) if error else math.inf


def ssim(a, b):
    """Structural similarity, the mean over windows and channels.

    Args:
        a: float `[H, W, C]` in [0, 1].
        b: float `[H, W, C]` in [0, 1].

    Returns:
        A float in [-1, 1]; 1 for identical images.

    Raises:
        InputError: the shapes differ, the images are not float, or they are smaller than 11 px.
    """
    a, b = _pair(a, b)
    if min(a.shape[:2]) < SSIM_WINDOW:
        raise InputError(
            f"SSIM needs images of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, "
            f"got {a.shape[0]}x{a.shape[1]}"
        )
    channels = range(a.shape[2])
    return float(np.mean([_ssim_channel(a[..., c], b[..., c]) for c in channels]))


def _ssim_channel(x, y):
    """SSIM of two planes `[H, W]`, equation 13 of [1]."""
    # Ours: scikit-image, an extra, takes twice as long; tf.image.ssim, in float32, is off by 6e-6.
    # float64: a variance is a small difference of two large means.
    x, y = x.astype(np.float64), y.astype(np.float64)
    mean_x, mean_y = _window_means(x), _window_means(y)
    variance_x = _window_means(x * x) - mean_x * mean_x
    variance_y = _window_means(y * y) - mean_y * mean_y
    covariance = _window_means(x * y) - mean_x * mean_y
    c1, c2 = SSIM_K1**2, SSIM_K2**2  # the dynamic range is 1
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return np.mean(luminance * structure)


def _window_means(plane):
    """Gaussian-weighted means of `[H, W]` in every window inside it: `[H - 10, W - 10]`."""
    blurred = cv2.GaussianBlur(plane, (SSIM_WINDOW, SSIM_WINDOW), SSIM_SIGMA)
    margin = SSIM_WINDOW // 2
    return blurred[margin:-margin, margin:-margin]


def _difference(a, b, mask):
    """`a - b` as float32, `[H, W, C]`, or `[missing pixels, C]` under a mask."""
    a, b = _pair(a, b)
    difference = a - b
    if mask is None:
        return difference
    difference = difference[checks.holes(mask, a.shape)]
    if not difference.size:
        raise InputError("the mask has no hole (no 1), so there is nothing to measure inside it")
    return difference


def _pair(a, b):
    """Both images as float32 arrays, if they can be compared."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.ndim != 3:
        raise InputError(
            f"images of shapes {a.shape} and {b.shape} cannot be compared; both must be [H, W, C]"
        )
    if not (np.issubdtype(a.dtype, np.floating) and np.issubdtype(b.dtype, np.floating)):
        raise InputError(f"images must be float in [0, 1], not {a.dtype} and {b.dtype}")
    return a.astype(np.float32, copy=False), b.astype(np.float32, copy=False)
