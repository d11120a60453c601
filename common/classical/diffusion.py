"""Completion that continues what it finds at the hole's rim.

All take an image float32 [H, W, 3] in [0, 1] and its hole, bool [H, W], somewhere true and
somewhere false, and return a picture [H, W, 3], of which only the hole counts.

[1] Telea: An Image Inpainting Technique Based on the Fast Marching Method, JGT 2004.
[2] Bertalmio, Bertozzi, Sapiro: Navier-Stokes, Fluid Dynamics, and Image and Video Inpainting, CVPR
    2001.
[3] Damelin, Hoang: On Surface Completion and Image Inpainting by Biharmonic Functions, IJMMS 2018.
[4] Chan, Shen: Mathematical Models for Local Nontexture Inpaintings, SIAM J. Appl. Math. 2002.
[5] Bresson, Chan: Fast Dual Minimization of the Vectorial Total Variation Norm, Inverse Problems
    and Imaging 2008.
[6] Chambolle, Pock: A First-Order Primal-Dual Algorithm for Convex Problems, JMIV 2011.
[7] Oliveira, Bowen, McKenna, Chang: Fast Digital Image Inpainting, VIIP 2001.
"""

import cv2
import numpy as np
from absl import logging

from common.classical import shared
from common.completion import blending
from common.errors import InputError
from common.pictures.images import from_uint8

LIBRARY = "skimage.restoration"
# On a face with a hole of 64 pixels, 1000 iterations leave a gap of 1.2% with 0.1, 1.6% with 0.05,
# 3.2% with 0.35 and 8% with 1.
_PRIMAL_STEP = 0.07
# A mean gradient, a quarter of an 8-bit level: constant pictures have no smallest share.
NEGLIGIBLE_GRADIENT = 1e-3


def fill_mean_color(image, hole):
    """The mean of the known pixels; the arguments are those of `fill_telea`."""
    return np.broadcast_to(image[~hole].mean(axis=0, dtype=np.float64), image.shape)


def fill_diffusion(image, hole):
    """Isotropic diffusion [7], from coarse to fine; the arguments are those of `fill_telea`."""
    from common.pictures import filling  # TensorFlow, which takes seconds to import

    return filling.diffused(image[None], hole[None, ..., None].astype(np.float32))[0].numpy()


def fill_telea(image, hole, radius=blending.TELEA_RADIUS):
    """Fast marching [1].

    Args:
      image: float32 [H, W, 3] in [0, 1]; what it holds inside the hole is never read.
      hole: bool [H, W], somewhere true and somewhere false.
      radius: how far around a pixel known ones are looked at, in pixels, 1 to 100.

    Returns:
      float32 [H, W, 3].
    """
    image, hole, inner = _with_neighbours(image, hole)
    return blending.telea(image, hole[..., None], radius)[inner]


def fill_navier_stokes(image, hole, radius=blending.TELEA_RADIUS):
    """Fluid dynamics [2], marched as Telea's method; the arguments are those of `fill_telea`."""
    if not 1 <= radius <= 100:
        raise InputError(f"the radius must lie between 1 and 100 pixels, not {radius}")
    image, hole, inner = _with_neighbours(image, hole)
    # On 8 bits rounding errors pile up towards the middle, as with Telea.
    levels = np.rint(image * np.float32(65535)).astype(np.uint16)
    missing = hole.astype(np.uint8)
    filled = [cv2.inpaint(c, missing, float(radius), cv2.INPAINT_NS) for c in cv2.split(levels)]
    return from_uint8(cv2.merge(filled), levels=65535)[inner]


def _with_neighbours(image, hole):
    """Repeats the border of a picture of one row or column, where cv2.inpaint is not repeatable.

    Returns:
      The image, the hole, and where in them the originals lie.
    """
    beyond = 1 if min(hole.shape) == 1 else 0
    inner = tuple(slice(beyond, beyond + length) for length in hole.shape)
    hole = np.pad(hole, beyond, mode="edge")
    return np.pad(image, [(beyond, beyond)] * 2 + [(0, 0)], mode="edge"), hole, inner


def fill_biharmonic(image, hole):
    """The biharmonic equation [3]; the arguments are those of `fill_telea`."""
    restoration = shared.library(LIBRARY)
    return restoration.inpaint_biharmonic(image, hole, channel_axis=-1)


def fill_total_variation(image, hole, tolerance=0.01, max_iterations=10000):
    """Total variation [4], by the primal-dual algorithm of Chambolle and Pock [6].

    Minimises the sum over pixels of |∇u|, the norm over both directions and all three colours [5],
    among the u in [0, 1] that equal the image where it is known. Only differences with a missing
    pixel count. The minimum need not be unique; the search starts at Telea's completion.

    Args:
      image, hole: as for `fill_telea`.
      tolerance: ends the search when the total variation is proven to exceed the smallest by no
        more than this share of it: the gap to the dual problem.
      max_iterations: ends it in any case, with a warning.

    Returns:
      float32 [H, W, 3].
    """
    crop = _box(hole, margin=1)
    picture, inside = image[crop], hole[crop][..., None]
    touches = _touches(hole[crop])
    negligible = NEGLIGIBLE_GRADIENT * touches.sum(dtype=np.float64)
    primal_step = np.float32(_PRIMAL_STEP)
    dual_step = np.float32(1 / (8 * _PRIMAL_STEP))  # |∇|² <= 8
    u = ahead = fill_telea(picture, hole[crop])
    p = np.zeros((2, *u.shape), np.float32)
    for iteration in range(max_iterations):
        p += dual_step * touches * _gradient(ahead)
        p /= np.maximum(1, _norm(p))[..., None]
        slope = _adjoint_gradient(p)
        following = np.where(inside, np.clip(u - primal_step * slope, 0, 1), picture)
        u, ahead = following, 2 * following - u
        if iteration % 20 == 19:
            energy = _norm(touches * _gradient(u)).sum(dtype=np.float64)
            bound = np.where(inside, np.minimum(slope, 0), slope * picture).sum(dtype=np.float64)
            if energy - bound <= tolerance * max(energy, negligible):
                break
    else:
        logging.warning("total variation: not converged after %d iterations", max_iterations)
    filled = image.copy()
    filled[crop] = u
    return filled


def _touches(hole):
    """Where a forward difference has a missing pixel: bool [H, W] -> float32 [H, W, 1]."""
    touches = hole.copy()
    touches[:, :-1] |= hole[:, 1:]
    touches[:-1] |= hole[1:]
    return touches.astype(np.float32)[..., None]


def _gradient(u):
    """Forward differences down and right, 0 at the far border: [H, W, 3] -> [2, H, W, 3]."""
    gradient = np.zeros((2, *u.shape), u.dtype)
    np.subtract(u[1:], u[:-1], out=gradient[0, :-1])
    np.subtract(u[:, 1:], u[:, :-1], out=gradient[1, :, :-1])
    return gradient


def _adjoint_gradient(p):
    """The adjoint of `_gradient`, minus the divergence: [2, H, W, 3] -> [H, W, 3]."""
    adjoint = np.zeros(p.shape[1:], p.dtype)
    adjoint[:-1] -= p[0, :-1]
    adjoint[1:] += p[0, :-1]
    adjoint[:, :-1] -= p[1, :, :-1]
    adjoint[:, 1:] += p[1, :, :-1]
    return adjoint


def _norm(p):
    """Over directions and colours: [2, H, W, 3] -> [H, W]."""
    return np.sqrt(np.einsum("dhwc,dhwc->hw", p, p))


def _box(hole, margin):
    """The box around a hole and a margin where the picture has one, as two slices."""
    left, top, width, height = cv2.boundingRect(hole.astype(np.uint8))
    return (
        slice(max(top - margin, 0), top + height + margin),
        slice(max(left - margin, 0), left + width + margin),
    )
