"""Every kind of hole, drawn from a stateless seed or read from files.

A mask is float32 [B, H, W, 1], 1 = missing, 0 = known. ``draw`` runs alike on the host and
inside a compiled graph: positions come from Philox and all geometry is integer arithmetic, so
the same seed gives the same mask, to the pixel, with and without XLA.

The kinds are those of ``common.pictures.mask_spec``.
"""

import dataclasses
import functools
import hashlib

import numpy as np
import tensorflow as tf

from common import stateless
from common.errors import InputError
from common.pictures import images as image_files
from common.pictures.mask_spec import (  # noqa: F401  the kinds, too, are found here
    KINDS,
    SIDES,
    MaskSpec,
    mask_files,
    read_bank,
    require_hole,
    spec_from_source,
)


def _integers(seed, salt, shape, low, high):
    """int32 uniform in [low, high], both included; ``high`` may be a tensor of that shape."""
    drawn = stateless.numbers(shape, tf.cast(seed, tf.int32), salt)
    return low + drawn % (high - low + 1)


def _axes(height, width):
    """Row numbers [1, H, 1] and column numbers [1, 1, W]."""
    return tf.range(height)[None, :, None], tf.range(width)[None, None, :]


def _center(spec, batch, height, width, seed):
    del seed
    side = min(spec.hole_size or min(height, width) // 2, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    mask = np.zeros((1, height, width), bool)
    mask[:, top : top + side, left : left + side] = True
    return tf.broadcast_to(mask, [batch, height, width])


def _rectangles(spec, batch, height, width, seed, square=False, over_edge=False):
    """Each rectangle of its own, bool [B, N, H, W]."""
    shape = [batch, spec.holes]
    limit = min(height, width) if square else None
    heights = _integers(
        seed, 1, shape, min(spec.hole_min, height), min(spec.hole_max, limit or height)
    )
    widths = (
        heights
        if square
        else _integers(seed, 2, shape, min(spec.hole_min, width), min(spec.hole_max, width))
    )
    if over_edge:
        first, last = ((1 - heights, 1 - widths), (height - 1, width - 1))
    elif spec.hole_corners == "fit_largest":
        largest = [min(spec.hole_max, limit or side) for side in (height, width)]
        first, last = (0, 0), (height - largest[0], width - largest[1])
    else:
        first, last = (0, 0), (height - heights, width - widths)
    tops = _integers(seed, 3, shape, first[0], last[0])
    lefts = _integers(seed, 4, shape, first[1], last[1])
    rows, columns = tf.range(height), tf.range(width)
    in_rows = (rows >= tops[..., None]) & (rows < (tops + heights)[..., None])  # (B, N, H)
    in_columns = (columns >= lefts[..., None]) & (columns < (lefts + widths)[..., None])
    return in_rows[..., :, None] & in_columns[..., None, :]


def _squares(spec, batch, height, width, seed):
    return _rectangles(spec, batch, height, width, seed, square=True)


def _over_edge(spec, batch, height, width, seed):
    return _rectangles(spec, batch, height, width, seed, square=True, over_edge=True)


def _pixels(spec, batch, height, width, seed):
    scale = 2**20
    return _integers(seed, 5, [batch, height, width], 0, scale - 1) < round(spec.missing * scale)


def _one_side(side, batch, height, width):
    rows, columns = _axes(height, width)
    mask = {
        "left": (columns < width // 2) & (rows >= 0),
        "right": (columns >= width // 2) & (rows >= 0),
        "top": (rows < height // 2) & (columns >= 0),
        "bottom": (rows >= height // 2) & (columns >= 0),
    }[side]
    return tf.broadcast_to(mask, [batch, height, width])


def _half(spec, batch, height, width, seed):
    del spec
    choice = _integers(seed, 6, [batch], 0, 3)
    sides = tf.stack([_one_side(side, batch, height, width) for side in SIDES], axis=1)
    return tf.gather(sides, choice, axis=1, batch_dims=1)


def _pattern(spec, batch, height, width, seed):
    """Bilinear integer noise, thresholded at the quantile that leaves the wanted share."""
    cells = 8
    noise = _integers(seed, 7, [batch, cells + 1, cells + 1], 0, 4095)

    def between(values, size, axis):
        position = np.arange(size) * cells
        low, part = position // size, position % size
        shape = [1, 1, 1]
        shape[axis] = size
        part = tf.constant(part.reshape(shape), tf.int32)
        return tf.gather(values, low, axis=axis) * (size - part) + (
            tf.gather(values, low + 1, axis=axis) * part
        )

    # At most 4095 * H * W: scale down between the axes to stay within int32.
    smooth = between(between(noise, height, 1) * 16 // height, width, 2)
    count = max(1, round(spec.missing_pattern * height * width))
    ranked = tf.sort(tf.reshape(smooth, [batch, -1]), axis=1, direction="DESCENDING")
    return smooth >= ranked[:, count - 1][:, None, None]


def _grid(spec, batch, height, width, seed):
    del seed
    rows, columns = _axes(height, width)
    mask = (rows % spec.grid_step != 0) | (columns % spec.grid_step != 0)
    return tf.broadcast_to(mask, [batch, height, width])


_SEGMENTS = 4  # of a stroke
_FAR = 2**30 - 1  # the square of a distance that is beyond every brush


def _square(x):
    """int32 x^2, at most ``_FAR``."""
    return tf.cast(tf.minimum(tf.cast(x, tf.int64) ** 2, _FAR), tf.int32)


def _strokes(spec, batch, height, width, seed):
    """int32 (row and column of the ends of segments [B, N, 5, 2], width of the brush [B, N])."""
    shape, reach = [batch, spec.strokes, 1], max(2, min(height, width) // 4)
    start = tf.concat(
        [_integers(seed, 8, shape, 0, height - 1), _integers(seed, 9, shape, 0, width - 1)], -1
    )[:, :, None]
    turns = _integers(seed, 10, [batch, spec.strokes, _SEGMENTS, 2], -reach, reach)
    points = tf.concat([start, start + tf.cumsum(turns, axis=2)], axis=2)
    return points, _integers(seed, 11, shape, spec.brush_min, spec.brush_max)[..., 0]


def _freeform(spec, batch, height, width, seed):
    """Chains of thick segments; a pixel is missing within half a brush of one of them.

    That is: of an end, or of the line and between the ends. Products of a picture's side and a
    segment's, a quarter of the shorter side at most, stay within int32.
    """
    points, brush = _strokes(spec, batch, height, width, seed)
    turns = points[:, :, 1:] - points[:, :, :-1]
    squared = tf.minimum(tf.cast(brush, tf.int64) ** 2, 4 * (_FAR - 1))
    lengths = tf.reduce_sum(turns**2, axis=-1)  # squared
    # What is compared with them are integers: they may be rounded down.
    radii = tf.cast(squared // 4, tf.int32)  # squared
    limits = tf.cast(squared[..., None] * tf.cast(lengths, tf.int64), tf.float64) ** 0.5 / 2
    limits = tf.cast(tf.minimum(tf.floor(limits), 2**31 - 1), tf.int32)
    limits = tf.where(lengths > 0, limits, -1)  # a point has no line
    rows, columns = _axes(height, width)

    def of_image(x):
        return x[:, None, None]

    mask = tf.zeros([batch, height, width], tf.bool)
    for stroke in range(spec.strokes):
        for n in range(_SEGMENTS + 1):
            y, x = (of_image(points[:, stroke, n, i]) for i in (0, 1))
            mask |= _square(rows - y) + _square(columns - x) <= of_image(radii[:, stroke])
            if n == _SEGMENTS:
                break
            dy, dx = (of_image(turns[:, stroke, n, i]) for i in (0, 1))
            along = (rows - y) * dy + (columns - x) * dx
            across = (rows - y) * dx - (columns - x) * dy
            between = (along >= 0) & (along <= of_image(lengths[:, stroke, n]))
            mask |= between & (tf.abs(across) <= of_image(limits[:, stroke, n]))
    return mask


_FILES_SALT = 12


def _files(spec, batch, height, width, seed):
    if spec.bank.shape[1:3] != (height, width):
        raise InputError(
            f"the mask files were read at {spec.bank.shape[1:3]}, not at {(height, width)}"
        )
    choice = _integers(seed, _FILES_SALT, [batch], 0, len(spec.bank) - 1)
    return tf.gather(tf.constant(spec.bank[..., 0]), choice) > 0


# Kinds of several holes, which may be told apart.
_DRAW_EACH = {"rectangle": _rectangles, "square": _squares, "over_edge": _over_edge}


def _together(kind):
    return lambda *settings: tf.reduce_any(_DRAW_EACH[kind](*settings), axis=1)


_DRAW = {
    "center": _center,
    **{kind: _together(kind) for kind in _DRAW_EACH},
    "pixels": _pixels,
    "half": _half,
    "pattern": _pattern,
    "grid": _grid,
    "freeform": _freeform,
    "files": _files,
    **{
        side: (
            lambda spec, batch, height, width, seed, side=side: _one_side(
                side, batch, height, width
            )
        )
        for side in SIDES
    },
}


def draw(spec, batch, height, width, seed):
    """Draws masks.

    Args:
      spec: a ``MaskSpec``; holes larger than the image are cut to it.
      batch: number of masks, a Python int, as are
      height: and
      width: in pixels.
      seed: two integers, as Python numbers or an int32 tensor [2].

    Returns:
      float32 [batch, height, width, 1], 1 = missing.
    """
    kinds = [*dict.fromkeys(spec.kinds)]  # each is drawn once, however often it is named
    masks = [_DRAW[kind](spec, batch, height, width, seed) for kind in kinds]
    return tf.cast(_chosen(spec, kinds, masks, seed), tf.float32)[..., None]


def draw_each(spec, batch, height, width, seed):
    """Draws the same masks as ``draw``, hole by hole.

    Args:
      spec, batch, height, width, seed: as ``draw`` takes them.

    Returns:
      float32 [batch, height, width, N], 1 = missing: the rectangles or squares of a mask, in the
      order they are drawn in, which may overlap; all that is missing is one hole of other kinds.
      Where a mask has fewer than N holes, the others are empty.
    """
    count = spec.holes if set(spec.kinds) & _DRAW_EACH.keys() else 1

    def of_kind(kind):
        if kind in _DRAW_EACH:
            return _DRAW_EACH[kind](spec, batch, height, width, seed)
        hole = _DRAW[kind](spec, batch, height, width, seed)[:, None]
        return tf.pad(hole, [[0, 0], [0, count - 1], [0, 0], [0, 0]])

    kinds = [*dict.fromkeys(spec.kinds)]
    each = _chosen(spec, kinds, [of_kind(kind) for kind in kinds], seed)
    return tf.cast(tf.transpose(each, [0, 2, 3, 1]), tf.float32)


def _chosen(spec, kinds, masks, seed):
    """For each mask of the batch the one of a kind that is drawn; ``masks`` are in their order."""
    if len(kinds) == 1:
        return masks[0]
    drawn = _integers(seed, 0, masks[0].shape[:1], 0, len(spec.kinds) - 1)
    choice = tf.gather(tf.constant([kinds.index(kind) for kind in spec.kinds]), drawn)
    return tf.gather(tf.stack(masks, axis=1), choice, axis=1, batch_dims=1)


def draw_one(spec, height, width, seed, index):
    """The mask of the image number ``index`` of a set, whatever is drawn before or after it.

    Returns:
      numpy float32 [height, width, 1], 1 = missing.
    """
    return draw(spec, 1, height, width, [seed, index])[0].numpy()


class Holes:
    """The holes of a set of images: image number ``index`` has that of ``draw_one``, to the pixel.

    Of mask files only those are in memory that were drawn last, whatever sizes the images have.

    Attributes:
      settings: JSON values; other holes have other ones. Of mask files the contents count.
    """

    def __init__(self, kinds, source=None, seed=0, **settings):
        """Checks the settings and every mask file.

        Args:
          kinds: as ``MaskSpec`` takes them.
          source: a file, a folder or a glob pattern, if "files" is among them.
          seed: of all holes.
          **settings: the other fields of ``MaskSpec``.

        Raises:
          InputError: contradictory settings, no mask file, one that cannot be read or has no hole.
        """
        self.paths = mask_files(source) if "files" in kinds and source else []
        self.spec = MaskSpec(tuple(kinds), bank=np.zeros(0) if self.paths else None, **settings)
        self.seed = seed
        self._read = functools.lru_cache(maxsize=16)(image_files.read_mask)
        self._compiled = functools.lru_cache(maxsize=2)(self._compile)
        self._last_size = None
        digest = hashlib.sha256()
        for path in self.paths:
            mask = image_files.read_mask(path)
            require_hole(path, mask)
            digest.update(repr(mask.shape).encode() + mask.tobytes())
        # All that the holes depend on, as JSON values.
        self.settings = {name: value for name, value in vars(self.spec).items() if name != "bank"}
        self.settings |= {"seed": seed, "files": digest.hexdigest()}

    def __call__(self, index, height, width):
        """The hole of image number ``index``, float32 [height, width, 1], 1 = missing."""
        # Compiling pays from the second image of a size on.
        repeated, self._last_size = self._last_size == (height, width), (height, width)
        seed = [self.seed, index]
        if self.paths:
            choice = int(_integers(seed, _FILES_SALT, [1], 0, len(self.paths) - 1)[0])
            path = self.paths[choice]
            mask = image_files.resize_nearest(self._read(path), height, width)
            require_hole(path, mask)
            spec = dataclasses.replace(self.spec, bank=mask[None].astype(np.uint8))
            return draw(spec, 1, height, width, seed)[0].numpy()
        if repeated:
            return self._compiled(height, width)(tf.constant(seed))[0].numpy()
        return draw(self.spec, 1, height, width, seed)[0].numpy()

    def _compile(self, height, width):
        @tf.function(input_signature=[tf.TensorSpec([2], tf.int32)], autograph=False)
        def compiled(seed):
            return draw(self.spec, 1, height, width, seed)

        return compiled


def bounding_boxes(masks):
    """The smallest box around each mask's hole.

    Args:
      masks: [B, H, W, 1].

    Returns:
      int32 [B, 4]: top, left, bottom, right, the last two excluded; a mask without a hole
      gives the whole image.
    """

    def span(axis):
        inside = tf.reduce_any(masks[..., 0] > 0.5, axis=axis)  # (B, N)
        size = tf.shape(inside)[1]
        inside |= ~tf.reduce_any(inside, axis=1, keepdims=True)
        first = tf.argmax(tf.cast(inside, tf.int32), axis=1, output_type=tf.int32)
        last = tf.argmax(tf.cast(inside[:, ::-1], tf.int32), axis=1, output_type=tf.int32)
        return first, size - last

    (top, bottom), (left, right) = span(2), span(1)
    return tf.stack([top, left, bottom, right], axis=1)
