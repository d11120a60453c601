"""Completion of a picture as a matrix of low rank.

[1] Mazumder, Hastie, Tibshirani: Spectral Regularization Algorithms for Learning Large Incomplete
    Matrices, JMLR 2010.
"""

import numpy as np


def fill_low_rank(image, hole, shrinkage=0.005, steps=10, tolerance=3e-4, max_iterations=200):
    """Soft-impute [1]: singular values of the completed picture are shrunk, again and again.

    The picture, less its mean colour, is the matrix [H, 3 W]. A row or a column without any known
    pixel gets the mean colour.

    Args:
      image, hole: as for `fill_telea`.
      shrinkage: what is taken off the singular values in the end, relative to the largest: the
        smaller, the higher the rank.
      steps: it gets there from one half in so many steps, each starting where the last ended.
      tolerance: ends a step when missing pixels change by less, root mean square.
      max_iterations: ends a step in any case.

    Returns:
      float64 [H, W, 3].
    """
    mean = image[~hole].mean(axis=0, dtype=np.float64)
    known = np.where(hole[..., None], 0, image - mean).reshape(len(hole), -1)
    missing = np.repeat(hole, 3, axis=1)
    tall = known.shape[0] > known.shape[1]
    if tall:
        known, missing = known.T, missing.T
    matrix = known
    largest = np.sqrt(max(np.linalg.eigvalsh(known @ known.T)[-1], 0))
    for threshold in largest * np.geomspace(0.5, shrinkage, steps):
        for _ in range(max_iterations):
            low = _shrink_singular_values(matrix, threshold)
            change = np.sqrt(np.mean(np.square(low - matrix)[missing]))
            matrix = np.where(missing, low, known)
            if change < tolerance:
                break
    return (matrix.T if tall else matrix).reshape(image.shape) + mean


def _shrink_singular_values(matrix, threshold):
    """Takes the threshold off all singular values of [N, M], N <= M, and drops the negative."""
    squares, vectors = np.linalg.eigh(matrix @ matrix.T)  # N x N, much faster than an SVD
    values = np.sqrt(np.maximum(squares, 0))
    kept = values > threshold
    vectors, values = vectors[:, kept], values[kept]
    return (vectors * ((values - threshold) / values)) @ (vectors.T @ matrix)
