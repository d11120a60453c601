"""What a completion is asked with: images that are known in part, and masks that say where.

    images, missing = damaged(images, masks, rank=4)    # [B, H, W, 3], bool [B, H, W]

Arrays that do not suit each other end in one ``InputError``. What an image holds in its hole is
never looked at. The graphs of SavedModels check for themselves: ``common.serving.export``.
"""

import numpy as np

from common.errors import InputError


def damaged(images, masks, rank):
    """The images and their holes, if they are such.

    Args:
      images: float [H, W, 3] or [B, H, W, 3]; may hold anything, NaN too, in the hole.
      masks: the same shape with one channel, 1 = missing, 0 = known.
      rank: 3 for one picture, 4 for a batch.

    Returns:
      The images as float32, not copied if they are, and where they are missing, a new bool array
      of their shape without the channels.

    Raises:
      InputError: shapes that do not match, a mask with other values than 0 and 1, or an image with
        NaN or infinity where it is known.
    """
    images = np.asarray(images, np.float32)
    if images.ndim != rank or images.shape[-1] != 3 or 0 in images.shape[-3:]:
        wanted = "[H, W, 3]" if rank == 3 else "[B, H, W, 3]"
        raise InputError(f"the image has the shape {images.shape}; give {wanted}")
    missing = holes(masks, images.shape)
    broken = ~np.isfinite(images)
    if broken.any():
        broken = np.any(broken, axis=-1) & ~missing
        if broken.any():
            which = f"image {np.argwhere(broken)[0, 0]} of the batch" if rank == 4 else "the image"
            raise InputError(f"{which} holds NaN or infinity where it is known; repair it")
    return images, missing


def holes(masks, shape):
    """Where pictures are missing.

    Args:
      masks: [..., H, W, 1], 1 = missing, 0 = known.
      shape: of the pictures, (..., H, W, C).

    Returns:
      bool [..., H, W], a new array.

    Raises:
      InputError: another shape, or other values than 0 and 1.
    """
    masks = np.asarray(masks)
    if masks.shape != (*shape[:-1], 1):
        raise InputError(
            f"the mask {masks.shape} does not fit the image {shape}; it must be {(*shape[:-1], 1)}"
        )
    missing = masks[..., 0] == 1
    if np.count_nonzero(missing) + np.count_nonzero(masks == 0) != masks.size:
        raise InputError("the mask has other values than 0 and 1; threshold it (1 = missing)")
    return missing
