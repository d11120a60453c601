"""Completion without training: what was done before networks, behind the same call.

    complete = method("exemplar", patch=9)      # any name of METHODS, any option of its function
    completed = complete(images, masks)         # [B, H, W, 3], [B, H, W, 1] -> [B, H, W, 3]

Images are float32 RGB in [0, 1]; masks are float32, 1 = missing, 0 = known. Any size and any hole
will do, as long as something is known. The result equals the images bit for bit where the mask is
0, does not depend on what they hold where it is 1, and is the same at every call.

    mean_color       The mean of the known pixels: the reference that every method must beat.
    diffusion        The smoothest continuation: the Laplace equation (Oliveira 2001).
    telea            Fast marching (Telea 2004), by OpenCV.
    navier_stokes    Lines of equal brightness continued (Bertalmio 2001), by OpenCV.
    biharmonic       The biharmonic equation (Damelin 2018), by scikit-image.
    total_variation  The completion of the smallest total variation (Chan 2002, Chambolle 2011).
    exemplar         Copies of known patches (Wexler 2007), found by PatchMatch (Barnes 2009).
    low_rank         The picture as a matrix of low rank: soft-impute (Mazumder 2010).
    sparse           Patches as sums of a few atoms of a DCT dictionary (Elad 2006, Mairal 2008), by
                     scikit-learn's orthogonal matching pursuit.

The five after the mean continue what they find at the hole's rim, which suits scratches and small
holes. `exemplar` repeats texture, but needs whole patches to copy: where scattered pixels leave
none, it copies single pixels and does worse than all others. Low rank and sparsity are made for
just such pixels: `low_rank` sees nothing but the rows and columns that cross the hole, and `sparse`
reaches no further than a patch. A large hole is therefore first completed, by `sparse` as by
`exemplar`, in a shrunk picture, where it is thin. For `sparse`, what was found there counts as
weakly known in the next larger picture.

A centre hole of 64 pixels in a picture of 128 takes 0.7 s of one core by `exemplar` and `sparse`,
0.2 s by `total_variation` and less by the others. The time grows with the hole, not with the
picture, but for `low_rank`: H W min(H, W). `biharmonic` and `sparse` need the extra `classical`.
"""

import functools
import inspect

import numpy as np

from common.classical import diffusion, exemplar, low_rank, shared, sparse
from common.errors import InputError
from common.pictures import checks

METHODS = {
    "mean_color": diffusion.fill_mean_color,
    "diffusion": diffusion.fill_diffusion,
    "telea": diffusion.fill_telea,
    "navier_stokes": diffusion.fill_navier_stokes,
    "biharmonic": diffusion.fill_biharmonic,
    "total_variation": diffusion.fill_total_variation,
    "exemplar": exemplar.fill_exemplar,
    "low_rank": low_rank.fill_low_rank,
    "sparse": sparse.fill_sparse,
}
# Not needed by the rest of the project: the extra `classical`.
LIBRARIES = {"biharmonic": diffusion.LIBRARY, "sparse": sparse.LIBRARY}


def method(name, **options):
    """Makes a completion method out of its name.

    Args:
      name: one of `METHODS`.
      **options: keyword arguments of its function.

    Returns:
      A function of images float32 [B, H, W, 3] in [0, 1] and masks float32 [B, H, W, 1], 1 =
      missing, that returns the completed images, a new float32 [B, H, W, 3]. It raises `InputError`
      as `checks.damaged`, and for an image of which nothing is known.

    Raises:
      InputError: an unknown name or option, or a library that is not installed.
    """
    if name not in METHODS:
        raise InputError(f"no classical method {name!r}; choose from {', '.join(METHODS)}")
    fill = METHODS[name]
    allowed = list(inspect.signature(fill).parameters)[2:]
    unknown = [option for option in options if option not in allowed]
    if unknown:
        raise InputError(f"{name} has no option {unknown[0]!r}; it has {', '.join(allowed) or '-'}")
    if name in LIBRARIES:
        shared.library(LIBRARIES[name])
    return functools.partial(_complete, functools.partial(fill, **options))


def _complete(fill, images, masks):
    """Fills every hole of a batch.

    Args:
      fill: a function of an image float32 [H, W, 3] in [0, 1], 0 in the hole, and the hole bool
        [H, W], that returns a picture [H, W, 3].
      images: float32 [B, H, W, 3].
      masks: float32 [B, H, W, 1].

    Returns:
      float32 [B, H, W, 3].
    """
    images, holes = checks.damaged(images, masks, rank=4)
    completed = images.copy()
    for index, (picture, hole) in enumerate(zip(completed, holes, strict=True)):
        if hole.all():
            raise InputError(
                f"image {index} of the batch: nothing is known of it, so there is nothing to "
                "complete it from; leave known pixels (0) in its mask"
            )
        if hole.any():
            shown = np.clip(np.where(hole[..., None], np.float32(0), picture), 0, 1)
            picture[hole] = np.clip(fill(shown, hole)[hole], 0, 1)
    return completed
