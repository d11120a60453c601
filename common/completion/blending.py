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

The clone works on 8-bit values and truncates them: inside the hole expect errors of 1/255, also in
a picture of 16 bits, whose known pixels keep all of theirs.

Telea and the clone together take some 200 bytes and the clone 0.4 microseconds per pixel of a
crop, mirrors included. Holes whose crop (with the holes nearby) has more than `MAX_CROP` pixels
are therefore blended in two steps:

* First their thin parts, scratches and scattered pixels, at full resolution in overlapping tiles:
  known pixels are near, so that what lies beyond a tile does not matter.
* Then their thick parts, the thin ones being known now. If the crop is still too large, a shrunk
  picture is blended and only the *correction* enlarged, that is, the blended picture minus the
  completion: it is harmonic, hence smooth, and the detail remains the completion's. Known and
  missing pixels are averaged apart.

[1] Iizuka, Simo-Serra, Ishikawa: Globally and Locally Consistent Image Completion, SIGGRAPH 2017.
[2] Telea: An Image Inpainting Technique Based on the Fast Marching Method, JGT 2004.
[3] Perez, Gangnet, Blake: Poisson Image Editing, SIGGRAPH 2003.
"""

import itertools
from concurrent import futures

import cv2
import numpy as np

from common.errors import InputError
from common.pictures import checks
from common.pictures.images import from_uint8, to_uint8

BLEND_METHODS = ("none", "poisson", "telea_poisson")

# seamlessClone erodes the mask three times by 3x3 before it takes the clone's gradients.
CLONE_EROSION = 3
# One more than the erosion: the gradient across the seam is then the clone's.
SEAM_GROWTH = CLONE_EROSION + 1
# Enough to free a border of its far ends; the Poisson solver's memory grows with every pixel.
MAX_OPEN_MIRROR = 256
TELEA_RADIUS = 5
# The largest crop that is blended in one piece at full resolution, in pixels.
MAX_CROP = 1 << 20
# In a larger one, holes count as thick where the next known pixel is further away than this.
THIN_RADIUS = 16
# A square reaches sqrt(2) radii from its core.
THICK_REACH = 1.5
# What a tile sees around the pixels that it is there for.
TILE_MARGIN = 4 * THIN_RADIUS


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
    images, completed = np.asarray(images), np.asarray(completed)
    _check_same_shape(images, completed)
    holes = checks.holes(masks, images.shape)[..., None]
    return np.where(holes, completed.astype(images.dtype, copy=False), images)


def telea(image, mask, radius=TELEA_RADIUS):
    """Fills the hole from its surroundings by the fast marching method of Telea.

    Args:
      image: float32 [H, W, 3] in [0, 1].
      mask: float32 [H, W, 1], 1 = missing.
      radius: how far around a pixel known ones are looked at, in pixels, 1 to 100.

    Returns:
      float32 [H, W, 3]: 16-bit values in the hole, `image` itself elsewhere. With nothing known at
      all the picture is mid-grey.

    Raises:
      InputError: as `checks.damaged`, or a radius out of range.
    """
    if not 1 <= radius <= 100:
        raise InputError(f"Telea's radius must lie between 1 and 100 pixels, not {radius}")
    image, hole = checks.damaged(image, mask, rank=3)
    if hole.all():
        return np.full_like(image, 0.5)
    filled = image.copy()
    _fill(filled, hole, radius)
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
      InputError: two pictures of different shapes, or as `checks.damaged`.
    """
    image, completed, hole = _check(image, completed, mask)
    if hole.all():
        return completed.copy()
    blended = image.copy()
    _clone_holes(blended, completed, hole)
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
      where nothing at all is known. Besides this and its inputs it takes less than 1 GiB.

    Raises:
      InputError: an unknown method, two pictures of different shapes, or as `checks.damaged`.
    """
    if method not in BLEND_METHODS:
        raise InputError(f"unknown blend method {method!r}; choose from {', '.join(BLEND_METHODS)}")
    image, completed, hole = _check(image, completed, mask)
    if method == "none" or hole.all():
        return paste(image, completed, mask)
    blended = image.copy()
    large = _in_large_crops(hole)
    if large.any():
        thin = large & ~_thick(hole)
        _blend_in_tiles(blended, completed, hole, thin, method)
        hole &= ~thin
        large = _in_large_crops(hole)
        _blend_shrunk(blended, completed, hole, large, method)
        hole &= ~large
    _blend_whole(blended, completed, hole, method)
    return blended


def _blend_whole(picture, completed, hole, method):
    """Blends at full resolution, in place.

    Args:
      picture: float32 [H, W, 3], known outside the hole; anything inside it.
      completed: float32 [H, W, 3].
      hole: bool [H, W], not everywhere true.
      method: one of `BLEND_METHODS`, but not "none".
    """
    if method == "telea_poisson":
        _fill(picture, hole, TELEA_RADIUS)
        _clone_holes(picture, completed, hole)
    else:
        np.copyto(picture, completed, where=hole[..., None])
        _clone_across_seam(picture, hole)


def _blend_in_tiles(picture, completed, hole, thin, method):
    """Blends thin parts of the hole at full resolution, in place, one tile after another.

    Args:
      picture: float32 [H, W, 3]; only its pixels outside the hole are read.
      completed: float32 [H, W, 3].
      hole: bool [H, W].
      thin: bool [H, W], the parts of the hole to fill.
      method: as for `_blend_whole`.
    """
    step = max(int(MAX_CROP**0.5) - 2 * TILE_MARGIN, TILE_MARGIN)
    for corner in itertools.product(*(range(0, size, step) for size in thin.shape)):
        target = np.zeros_like(thin)
        inner = tuple(slice(start, start + step) for start in corner)
        target[inner] = thin[inner]
        left, top, width, height = cv2.boundingRect(target.astype(np.uint8))
        if not width:
            continue
        crop = _crop(left, top, width, height, TILE_MARGIN, thin.shape)
        tile = picture[crop].copy()
        _blend_whole(tile, completed[crop], hole[crop], method)
        picture[crop][target[crop]] = tile[target[crop]]


def _blend_shrunk(picture, completed, hole, large, method):
    """Blends holes at a reduced resolution, in place.

    Args:
      picture: float32 [H, W, 3], known outside the hole; anything inside it.
      completed: float32 [H, W, 3].
      hole: bool [H, W], all that is missing.
      large: bool [H, W], the parts of it to fill.
      method: as for `_blend_whole`.
    """
    for crop, group in _regions(_grow(large, _telea_reach(TELEA_RADIUS)), margin=1):
        missing, region = hole[crop], group & large[crop]
        scale = (MAX_CROP / group.size) ** 0.5
        size = tuple(max(round(length * scale), 1) for length in group.shape[::-1])  # (w, h)
        known, amount = _shrink(picture[crop], ~missing, size)
        # Where a shrunk pixel covers anything known, its hole ends.
        small_hole = amount == 0
        offer, _ = _shrink(completed[crop], missing, size)
        correction = -offer
        _blend_whole(known, offer, small_hole, method)
        correction += known
        if small_hole.any():
            correction = correction.reshape(-1, 3)[_nearest(small_hole)]  # continued to the seam
        _add(picture[crop], completed[crop], correction, region)


def _shrink(picture, where, size):
    """The mean of the chosen pixels under each pixel of a smaller picture.

    Args:
      picture: float32 [H, W, 3].
      where: bool [H, W], the pixels to average; the others are never read.
      size: (width, height) of the result.

    Returns:
      float32 [h, w, 3], 0 where there are none, and their share, float32 [h, w].
    """

    def average(channel):
        return cv2.resize(channel, size, interpolation=cv2.INTER_AREA)

    share = average(where.astype(np.float32))
    # One channel at a time saves memory.
    sums = [average(np.where(where, picture[..., c], np.float32(0))) for c in range(3)]
    return np.stack(sums, -1) / np.where(share, share, 1)[..., None], share


def _add(picture, completed, correction, where):
    """Writes `completed` plus the enlarged correction into a picture, in place, clipped to [0, 1].

    Args:
      picture: float32 [H, W, 3].
      completed: float32 [H, W, 3].
      correction: float32 [h, w, 3].
      where: bool [H, W].
    """
    for c in range(3):
        enlarged = cv2.resize(correction[..., c], where.shape[::-1])  # bilinear
        picture[where, c] = np.clip(completed[where, c] + enlarged[where], 0, 1)


def _in_large_crops(hole):
    """The pixels of a bool hole [H, W] whose crop has more than `MAX_CROP` pixels."""
    large = np.zeros_like(hole)
    if hole.size > MAX_CROP:
        for crop, group in _regions(_grow(hole, _telea_reach(TELEA_RADIUS)), margin=0):
            if group.size > MAX_CROP:
                large[crop] |= group & hole[crop]
    return large


def _thick(hole):
    """The thick parts of a bool hole [H, W]: what lies near pixels far from all known ones."""
    depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 5)
    shallow = (depth <= THIN_RADIUS).astype(np.uint8)
    if shallow.all():
        return np.zeros_like(hole)
    to_core = cv2.distanceTransform(shallow, cv2.DIST_L2, 5)
    return hole & (to_core <= THICK_REACH * THIN_RADIUS)


def _fill(picture, hole, radius):
    """Fills holes by Telea, in place: float32 [H, W, 3], bool [H, W], not everywhere true."""
    for crop, region in _regions(_grow(hole, _telea_reach(radius)), margin=0):
        missing = hole[crop]
        result = _telea16(np.where(missing[..., None], 0, picture[crop]), missing, radius)
        inside = missing & region
        picture[crop][inside] = result[inside]


def _telea_reach(radius):
    """Holes twice as far apart do not see each other; nearer ones are filled together."""
    return 2 * int(np.ceil(radius)) + 2


def _telea16(image, hole, radius):
    """Runs cv2.inpaint on 16-bit channels: float32 [H, W, 3], bool [H, W] -> float32 [H, W, 3].

    On 8 bits each pixel's rounding error is inherited by those filled after it, always upwards: a
    constant grey brightens by 4/255 in a hole of 48 pixels and by 12/255 in one of 200.
    """
    levels = np.rint(np.clip(image, 0, 1) * np.float32(65535)).astype(np.uint16)
    missing = hole.astype(np.uint8)

    def inpaint(channel):
        return cv2.inpaint(channel, missing, float(radius), cv2.INPAINT_TELEA)

    with futures.ThreadPoolExecutor(3) as pool:  # OpenCV itself uses one core here
        channels = tuple(pool.map(inpaint, cv2.split(levels)))
    return from_uint8(cv2.merge(channels), levels=65535)


def _clone_holes(picture, completed, hole):
    """Clones the completion into a pre-filled picture, in place.

    Args:
      picture: float32 [H, W, 3].
      completed: float32 [H, W, 3].
      hole: bool [H, W], not everywhere true.
    """
    # A picture's border does not erode: the hole is mirrored there.
    core = cv2.erode(hole.astype(np.uint8), _square(CLONE_EROSION)) > 0
    for crop, component in _regions(hole, margin=1, containing=core):
        sides = _touched_sides(component, crop, hole.shape)
        source = np.where(component[..., None], completed[crop], 0)
        result = _clone(source, picture[crop], component, sides)
        _write(picture[crop], result, component)


def _clone_across_seam(picture, hole):
    """Clones over the hole grown by `SEAM_GROWTH`, in place, bound to the known pixels around it.

    Both pictures are made whole first: the completion is continued outwards, so that no step is
    cloned, and the known picture inwards, for where the outer ring of a box lies in a hole.

    Args:
      picture: float32 [H, W, 3] that holds the completion in the hole.
      hole: bool [H, W], not everywhere true.
    """
    for crop, region in _regions(_grow(hole, SEAM_GROWTH), margin=1):
        missing, whole = hole[crop], picture[crop]
        to_hole, to_known = _nearest(missing), _nearest(~missing)  # (h, w) flat indices
        source = _continue(whole, missing, to_hole, to_known)
        around = _continue(whole, ~missing, to_known, to_hole)
        sides = _touched_sides(region, crop, hole.shape)
        result = _clone(source, around, region, sides)
        _write(whole, result, missing & region)


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
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    wanted = range(1, len(stats)) if containing is None else np.unique(labels[containing & mask])
    for label in wanted:
        left, top, box_width, box_height = (int(v) for v in stats[label][:4])
        crop = _crop(left, top, box_width, box_height, margin, mask.shape)
        yield crop, labels[crop] == label


def _crop(left, top, width, height, margin, shape):
    """A box and a margin around it where a picture of the given shape has one, as two slices."""
    return (
        slice(max(top - margin, 0), min(top + height + margin, shape[0])),
        slice(max(left - margin, 0), min(left + width + margin, shape[1])),
    )


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
    image, hole = checks.damaged(image, mask, rank=3)
    completed = np.asarray(completed, np.float32)
    _check_same_shape(image, completed)
    return image, completed, hole


def _check_same_shape(image, completed):
    if image.shape != completed.shape:
        raise InputError(
            f"image {image.shape} and completed {completed.shape} differ in shape; make them equal"
        )
