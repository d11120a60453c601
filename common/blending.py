"""From a network's output to a finished picture: paste, Telea, Poisson.

A completion network is only asked for the hole. What it returns there usually has a slightly
different brightness or colour than the picture around it, and the seam shows. Iizuka et al. [1]
therefore post-process: the fast marching method of Telea [2] fills the hole from its surroundings,
the network's output is cloned into that picture by Poisson image editing [3], that is, its
*gradients* are kept and its colours float, and the known pixels are put back.

    image      float32 [H, W, 3], RGB in [0, 1]; what it holds inside the hole is never read
    completed  float32 [H, W, 3], the network's output; what it holds outside the hole is never read
    mask       float32 [H, W, 1], 1 = missing, 0 = known

`blend` offers three methods, and each returns float32 [H, W, 3] that equals `image` bit for bit
wherever the mask is 0:

    none           `completed` in the hole, `image` around it.
    poisson        Clone onto the picture whose hole holds `completed`, levelled to what surrounds
                   it, over the hole grown by a few pixels: known pixels hold the colours.
    telea_poisson  Clone onto the picture whose hole is filled by Telea, over the hole alone: [1].

How cv2.seamlessClone works decides the rest. It solves the Poisson equation on the *bounding box*
of the mask with the picture's values on the box's outer ring, and it takes the clone's gradients
only where the mask, eroded by `CLONE_EROSION` pixels, is still set; elsewhere the picture's. Hence:

* Holes are cloned one connected component at a time, each on a crop around it.
* A component that the erosion wipes out (a hole less than 7 pixels wide) takes nothing from the
  clone, so `poisson` leaves its pre-fill: it need not be cloned, and cannot be at 1 or 2 pixels.
* Cloning over the hole alone onto a picture that already holds `completed` would change nothing:
  the seam itself would be among the gradients. The method "poisson" therefore grows the mask by one
  pixel more than the erosion takes, and continues `completed` outwards without a step. It keeps
  the network's detail in thin holes too, which "telea_poisson" leaves to Telea.
* A hole at the border of the picture is mirrored there, which leaves the border free instead of
  binding it to a guess. Between two opposite borders, up to half the picture is mirrored on each.

The clone works on 8-bit values and truncates them: inside the hole expect errors of 1/255.

[1] Iizuka, Simo-Serra, Ishikawa: Globally and Locally Consistent Image Completion, SIGGRAPH 2017.
[2] Telea: An Image Inpainting Technique Based on the Fast Marching Method, JGT 2004.
[3] Perez, Gangnet, Blake: Poisson Image Editing, SIGGRAPH 2003.
"""

import cv2
import numpy as np

from common.errors import InputError
from common.images import from_uint8, to_uint8

BLEND_METHODS = ("none", "poisson", "telea_poisson")

# seamlessClone erodes the mask three times by 3x3 before it takes the clone's gradients.
CLONE_EROSION = 3
# One more than the erosion: the gradient across the seam is then the clone's.
SEAM_GROWTH = CLONE_EROSION + 1
# Enough to free a border of its far ends; the Poisson solver's memory grows with every pixel.
MAX_OPEN_MIRROR = 256


def paste(images, completed, masks):
    """Puts the completion into the hole and keeps every known pixel, bit for bit.

    Args:
      images: [..., H, W, C], any rank; may hold anything (NaN too) inside the hole.
      completed: the same shape; may hold anything outside the hole.
      masks: [..., H, W, 1], 1 = missing, 0 = known.

    Returns:
      A new array of `images`' shape and type.

    Raises:
      InputError: shapes that do not match, or a mask with other values than 0 and 1.
    """
    images, completed, masks = np.asarray(images), np.asarray(completed), np.asarray(masks)
    _check_same_shape(images, completed)
    holes = _hole_of(masks, images.shape)
    return np.where(holes, completed.astype(images.dtype, copy=False), images)


def telea(image, mask, radius=5):
    """Fills the hole from its surroundings by the fast marching method of Telea.

    Args:
      image: float32 [H, W, 3] in [0, 1].
      mask: float32 [H, W, 1], 1 = missing.
      radius: how far around a pixel known ones are looked at, in pixels, 1 to 100.

    Returns:
      float32 [H, W, 3]: 16-bit values in the hole, `image` itself elsewhere. With nothing known at
      all the picture is mid-grey.

    Raises:
      InputError: shapes that do not match, a mask with other values than 0 and 1, or a radius out
        of range.
    """
    if not 1 <= radius <= 100:
        raise InputError(f"Telea's radius must lie between 1 and 100 pixels, not {radius}")
    image = _as_picture(image, "image")
    hole = _hole_of(mask, image.shape)[..., 0]
    if hole.all():
        return np.full_like(image, 0.5)
    filled = image.copy()
    # Holes further apart than this do not see each other; nearer ones are filled together.
    margin = 2 * int(np.ceil(radius)) + 2
    for crop, region in _regions(_grow(hole, margin), margin=0):
        missing = hole[crop]
        result = _telea16(np.where(missing[..., None], 0, image[crop]), missing, radius)
        inside = missing & region
        filled[crop][inside] = result[inside]
    return filled


def poisson(image, completed, mask):
    """Clones the completion seamlessly into a picture whose hole is already filled.

    The gradients come from `completed`, the colours from `image`: its outermost pixels inside the
    hole count as known. A component less than 7 pixels wide keeps what `image` holds.

    Args:
      image: float32 [H, W, 3] in [0, 1], pre-filled in the hole (by `telea`, for example).
      completed: float32 [H, W, 3] in [0, 1].
      mask: float32 [H, W, 1], 1 = missing.

    Returns:
      float32 [H, W, 3]: 8-bit values where cloned, `image` itself elsewhere. With nothing known at
      all, `completed`.

    Raises:
      InputError: shapes that do not match, or a mask with other values than 0 and 1.
    """
    image, completed, hole = _check(image, completed, mask)
    if hole.all():
        return completed.copy()
    blended = image.copy()
    # A picture's border does not erode: the hole is mirrored there.
    core = cv2.erode(hole.astype(np.uint8), _square(CLONE_EROSION)) > 0
    for crop, component in _regions(hole, margin=1, containing=core):
        inside = component & hole[crop]
        sides = _touched_sides(component, crop, hole.shape)
        source = np.where(inside[..., None], completed[crop], 0)
        result = _clone(source, blended[crop], inside, sides)
        _write(blended[crop], result, inside)
    return blended


def blend(image, completed, mask, method):
    """Completes a picture with the network's output and hides the seam.

    Args:
      image: float32 [H, W, 3] in [0, 1]; its values inside the hole do not matter.
      completed: float32 [H, W, 3] in [0, 1], the network's output.
      mask: float32 [H, W, 1], 1 = missing.
      method: one of `BLEND_METHODS`.

    Returns:
      float32 [H, W, 3] that equals `image` bit for bit wherever the mask is 0, and `completed`
      where nothing at all is known.

    Raises:
      InputError: an unknown method, shapes that do not match, or a mask with other values than 0
        and 1.
    """
    if method not in BLEND_METHODS:
        raise InputError(f"unknown blend method {method!r}; choose from {', '.join(BLEND_METHODS)}")
    image, completed, hole = _check(image, completed, mask)
    if method == "none" or hole.all():
        return paste(image, completed, mask)
    if method == "telea_poisson":
        return poisson(telea(image, mask), completed, mask)
    return _poisson_across_seam(image, completed, hole)


def _telea16(image, hole, radius):
    """Runs cv2.inpaint on 16-bit channels: float32 [H, W, 3], bool [H, W] -> float32 [H, W, 3].

    On 8 bits each pixel's rounding error is inherited by those filled after it, always upwards: a
    constant grey brightens by 4/255 in a hole of 48 pixels and by 12/255 in one of 200.
    """
    levels = np.rint(np.clip(image, 0, 1) * np.float32(65535)).astype(np.uint16)
    missing = hole.astype(np.uint8)
    channels = [
        cv2.inpaint(channel, missing, float(radius), cv2.INPAINT_TELEA)
        for channel in cv2.split(levels)
    ]
    return from_uint8(cv2.merge(channels), levels=65535)


def _poisson_across_seam(image, completed, hole):
    """Clones over the hole grown by `SEAM_GROWTH`, bound to the known pixels around it.

    Both pictures are made whole first: the completion is continued outwards, so that no step is
    cloned, and the known picture inwards, for where the outer ring of a box lies in a hole.

    Args:
      image: float32 [H, W, 3].
      completed: float32 [H, W, 3].
      hole: bool [H, W], not everywhere true.

    Returns:
      float32 [H, W, 3].
    """
    blended = np.where(hole[..., None], completed, image)
    for crop, region in _regions(_grow(hole, SEAM_GROWTH), margin=1):
        missing, whole = hole[crop], blended[crop]
        to_hole, to_known = _nearest(missing), _nearest(~missing)  # (h, w) flat indices
        source = _continue(whole, missing, to_hole, to_known)
        picture = _continue(whole, ~missing, to_known, to_hole)
        sides = _touched_sides(region, crop, hole.shape)
        result = _clone(source, picture, region, sides)
        _write(whole, result, missing & region)
    return blended


def _continue(pasted, side, to_side, to_other):
    """Continues one side of the seam over the other, with the other's own detail but no step.

    A pixel beyond the seam takes its own value, plus the step that the seam has at the nearest
    place: the nearest pixel on this side minus the pixel beyond the seam that is nearest to that.

    Args:
      pasted: float32 [H, W, 3], known pixels and completion together.
      side: bool [H, W], the side to continue.
      to_side: int [H, W], flat index of the nearest pixel on this side.
      to_other: int [H, W], flat index of the nearest pixel beyond the seam.

    Returns:
      float32 [H, W, 3], `pasted` itself on this side.
    """
    flat = pasted.reshape(-1, 3)
    step = flat[to_side] - flat[to_other.ravel()[to_side]]  # (H, W, 3)
    return np.where(side[..., None], pasted, pasted + step)


def _clone(source, picture, region, sides):
    """Runs cv2.seamlessClone over a region of one crop without shifting it.

    Args:
      source: float32 [h, w, 3], gives the gradients.
      picture: float32 [h, w, 3], gives the colours.
      region: bool [h, w], the pixels to clone.
      sides: pixels to mirror at (top, bottom, left, right).

    Returns:
      uint8 [h, w, 3].
    """

    def mirror(array):
        return cv2.copyMakeBorder(array, *sides, cv2.BORDER_REFLECT)

    mask = mirror(region.astype(np.uint8) * 255)
    # seamlessClone clears the outer ring by itself, and measures the box after that.
    mask[[0, -1]] = 0
    mask[:, [0, -1]] = 0
    left, top, width, height = cv2.boundingRect(mask)
    centre = (left + width // 2, top + height // 2)  # how OpenCV halves the box: no shift
    source, picture = mirror(to_uint8(source)), mirror(to_uint8(picture))
    cloned = cv2.seamlessClone(source, picture, mask, centre, cv2.NORMAL_CLONE)
    return cloned[sides[0] :, sides[2] :][: region.shape[0], : region.shape[1]]


def _touched_sides(region, crop, shape):
    """How far to mirror a crop at (top, bottom, left, right): nowhere but at the picture's border.

    A region at one border is mirrored as a whole, so that it is closed on all sides. Between two
    opposite borders it never closes: up to half of it on both sides keeps the far ends away.
    """
    padding = []
    for axis, size in enumerate(shape):
        lines = np.flatnonzero(region.any(axis=1 - axis))
        first, last = crop[axis].start + lines[0] == 0, crop[axis].start + lines[-1] == size - 1
        length = crop[axis].stop - crop[axis].start
        if first and last:
            length = min(max(length // 2, SEAM_GROWTH), MAX_OPEN_MIRROR)
        padding += [length * int(first), length * int(last)]
    return tuple(padding)


def _regions(mask, margin, containing=None):
    """Yields each connected component of a bool mask [H, W]: (crop, component bool [h, w]).

    Args:
      mask: bool [H, W]; components are connected along edges and corners.
      margin: pixels to leave around a component's box where the picture has them.
      containing: bool [H, W]: only components with at least one of these pixels.
    """
    height, width = mask.shape
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    wanted = range(1, len(stats)) if containing is None else np.unique(labels[containing & mask])
    for label in wanted:
        left, top, box_width, box_height = (int(v) for v in stats[label][:4])
        crop = (
            slice(max(top - margin, 0), min(top + box_height + margin, height)),
            slice(max(left - margin, 0), min(left + box_width + margin, width)),
        )
        yield crop, labels[crop] == label


def _nearest(seeds):
    """The flat index of the nearest true pixel, for every pixel of a bool mask [H, W]."""
    _, labels = cv2.distanceTransformWithLabels(
        (~seeds).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    index_of = np.zeros(labels.max() + 1, np.int64)
    index_of[labels[seeds]] = np.flatnonzero(seeds)
    return index_of[labels]


def _grow(mask, pixels):
    """A bool mask [H, W] grown by some pixels in all eight directions."""
    return cv2.dilate(mask.astype(np.uint8), _square(pixels)) > 0


def _square(radius):
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


def _write(picture, values, where):
    """Writes uint8 values into a float32 view, in place, where the bool mask says so."""
    picture[where] = from_uint8(values[where])


def _check(image, completed, mask):
    """The two pictures as float32 [H, W, 3] and the hole as bool [H, W], or an InputError."""
    image, completed = _as_picture(image, "image"), _as_picture(completed, "completed")
    _check_same_shape(image, completed)
    return image, completed, _hole_of(mask, image.shape)[..., 0]


def _as_picture(image, name):
    image = np.asarray(image, np.float32)
    if image.ndim != 3 or image.shape[-1] != 3 or image.size == 0:
        raise InputError(f"{name} has the shape {image.shape}; give one picture as [H, W, 3]")
    return image


def _check_same_shape(image, completed):
    if image.shape != completed.shape:
        raise InputError(
            f"image {image.shape} and completed {completed.shape} differ in shape; make them equal"
        )


def _hole_of(mask, image_shape):
    """The mask as bool of its own shape [..., H, W, 1], or an InputError."""
    mask = np.asarray(mask)
    if mask.shape != (*image_shape[:-1], 1):
        raise InputError(
            f"mask {mask.shape} does not fit image {image_shape}; it must be "
            f"{(*image_shape[:-1], 1)}"
        )
    hole = mask == 1
    if not (hole | (mask == 0)).all():
        raise InputError("the mask has other values than 0 and 1; threshold it (1 = missing)")
    return hole
