"""Completion by sparse representation over an overcomplete dictionary.

[1] Elad, Aharon: Image Denoising via Sparse and Redundant Representations over Learned
    Dictionaries, IEEE TIP 2006.
[2] Mairal, Elad, Sapiro: Sparse Representation for Color Image Restoration, IEEE TIP 2008.
"""

import warnings

import numpy as np

from common.classical import shared
from common.classical.diffusion import fill_telea

LIBRARY = "sklearn.linear_model"


def fill_sparse(image, hole, patch=8, frequencies=16, atoms=6, prior=0.1, stride=3, passes=2):
    """Patches as sums of a few atoms of an overcomplete DCT dictionary [1, 2].

    A pixel is the mean of the patches that cover it. Orthogonal matching pursuit fits each to its
    known pixels and, with less weight, to the present estimate of the missing ones.

    Args:
      image, hole: as for `fill_telea`.
      patch: side of a patch in pixels.
      frequencies: of the dictionary in each direction: it has their square of atoms.
      atoms: in a patch.
      prior: weight of an estimated pixel; a known one has 1.
      stride: pixels from one patch to the next.
      passes: how often each level is gone through.

    Returns:
      float32 [H, W, 3].
    """
    levels = shared.pyramid(image, hole, depth=patch // 2)
    estimate = fill_telea(*levels[0])
    for picture, missing in levels:
        estimate = shared.enlarge(estimate, picture, missing)
        dictionary = dct_dictionary(min(patch, *missing.shape), frequencies)
        for _ in range(passes):
            estimate = _sparse_pass(estimate, missing, dictionary, atoms, prior, stride)
    return estimate


def dct_dictionary(patch, frequencies):
    """Products of two cosines each, the constant first, all others without a mean.

    Args:
      patch: side of a patch in pixels.
      frequencies: number of cosines; more of them than pixels make it overcomplete.

    Returns:
      float64 [patch², frequencies²], columns of length 1.
    """
    angles = np.pi / frequencies * (np.arange(patch)[:, None] + 0.5)
    waves = np.cos(angles * np.arange(frequencies))  # [patch, frequencies]
    waves[:, 1:] -= waves[:, 1:].mean(axis=0)
    waves /= np.maximum(np.linalg.norm(waves, axis=0), 1e-12)
    return np.kron(waves, waves)


def _sparse_pass(estimate, hole, dictionary, atoms, prior, stride):
    """One pass over all patches with a missing pixel: float32 [H, W, 3] -> [H, W, 3]."""
    size = round(len(dictionary) ** 0.5)
    total = np.zeros((*hole.shape, 3))
    count = np.zeros((*hole.shape, 1))
    for missing, places in _patches_by_hole(hole, size, stride):
        crops = [(slice(y, y + size), slice(x, x + size)) for y, x in places]
        signals = np.hstack([estimate[crop].reshape(-1, 3) for crop in crops])  # [size², 3 N]
        roots = np.sqrt(np.where(missing, prior, 1.0)).reshape(-1, 1)
        signals = dictionary @ _pursuit(dictionary, signals, roots, atoms)
        for crop, patch in zip(crops, np.split(signals, len(crops), axis=1), strict=True):
            total[crop] += patch.reshape(size, size, 3)
            count[crop] += 1
    mean = np.clip(total / np.maximum(count, 1), 0, 1).astype(np.float32)
    return np.where(hole[..., None] & (count > 0), mean, estimate)


def _patches_by_hole(hole, size, stride):
    """Groups patches that miss the same pixels, so that they share the pursuit's matrices.

    Yields:
      The pixels that they miss, bool [size, size], and a list of their (y, x).
    """
    windows = shared.windows_of(hole, size)
    grid = [sorted({*range(0, length, stride), length - 1}) for length in windows.shape[:2]]
    places = [(y, x) for y in grid[0] for x in grid[1] if windows[y, x].any()]
    groups = {}
    for place in places:
        groups.setdefault(windows[place].tobytes(), []).append(place)
    for group in groups.values():
        yield windows[group[0]], group


def _pursuit(dictionary, signals, roots, atoms):
    """Coefficients of signals by orthogonal matching pursuit.

    Args:
      dictionary: float64 [D, K].
      signals: [D, N].
      roots: [D, 1], the square roots of the weights of a signal's entries.
      atoms: at most so many coefficients of a signal are not 0.

    Returns:
      float64 [K, N].
    """
    linear_model = shared.library(LIBRARY)
    weighted = dictionary * roots
    lengths = np.maximum(np.linalg.norm(weighted, axis=0), 1e-12)
    weighted = np.asfortranarray(weighted / lengths)
    gram = (weighted.T @ weighted).T  # symmetric; turned, it lies as the pursuit wants it
    with warnings.catch_warnings():
        # It says so when fewer atoms fit a patch exactly.
        warnings.simplefilter("ignore", RuntimeWarning)
        code = linear_model.orthogonal_mp_gram(
            gram,
            weighted.T @ (signals * roots),
            n_nonzero_coefs=atoms,
            copy_Gram=False,
            copy_Xy=False,
        )
    return code.reshape(len(lengths), -1) / lengths[:, None]
