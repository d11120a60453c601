"""Every kind of hole, drawn from a stateless seed or read from files.

A mask is float32 [B, H, W, 1], 1 = missing, 0 = known. ``draw`` runs alike on the host and
inside a compiled graph: positions come from Philox and all geometry is integer arithmetic, so
the same seed gives the same mask, to the pixel, with and without XLA.

Kinds:
  center     one square in the middle, ``hole_size`` pixels wide (0: half of the shorter side)
  rectangle  ``holes`` rectangles, each side uniform in [hole_min, hole_max] pixels [1]
  square     the same with equal sides [2]
  pixels     each pixel missing with probability ``missing`` [3]
  half       left, right, top or bottom half, at random; or "left", "right", "top", "bottom"
  pattern    smooth random blobs that cover ``missing_pattern`` of the picture [3]
  grid       all but every ``grid_step``-th pixel of every ``grid_step``-th row missing [4]
  freeform   random strokes with round brushes [5]
  files      a mask file, or one drawn from a folder

[1] Iizuka 2017, Section 3.4. [2] Three squares of 50..100 px: "GAN在图像修复中的创新应用实践",
Section 4.1. [3] Yeh 2017, Semantic Image Inpainting, Section 4. [4] Amos 2016, the TensorFlow
completion code. [5] After Yu 2019, Free-Form Image Inpainting, Algorithm 1.
"""

import dataclasses
import functools
import hashlib
import pathlib

import numpy as np
import tensorflow as tf

from common.errors import InputError
from common.pictures import images as image_files

SIDES = ("left", "right", "top", "bottom")
KINDS = (
    "center",
    "rectangle",
    "square",
    "pixels",
    "half",
    *SIDES,
    "pattern",
    "grid",
    "freeform",
    "files",
)


@dataclasses.dataclass(frozen=True)
class MaskSpec:
    """What holes to draw; lengths are in pixels, shares in 0..1.

    Attributes:
      kinds: one or several of ``KINDS``; each image draws one of them.
      hole_size: side of the centre square; 0 takes half of the image's shorter side.
      hole_min, hole_max: range of a rectangle's or square's sides, both included.
      holes: rectangles or squares in an image; they may overlap.
      missing: expected share of missing pixels of kind "pixels".
      missing_pattern: share of missing pixels of kind "pattern".
      grid_step: distance of known pixels of kind "grid".
      strokes, brush_min, brush_max: strokes of kind "freeform" and their range of widths.
      bank: uint8 [N, H, W, 1] of 0 and 1 for kind "files"; see ``read_bank``.
    """

    kinds: tuple = ("center",)
    hole_size: int = 0
    hole_min: int = 48
    hole_max: int = 64
    holes: int = 1
    missing: float = 0.8
    missing_pattern: float = 0.25
    grid_step: int = 4
    strokes: int = 4
    brush_min: int = 8
    brush_max: int = 20
    bank: np.ndarray | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self):
        unknown = [kind for kind in self.kinds if kind not in KINDS]
        if unknown or not self.kinds:
            raise InputError(f"--mask_kind: no kind {unknown}; choose from {', '.join(KINDS)}")
        if not 1 <= self.hole_min <= self.hole_max:
            raise InputError(
                f"--hole_min={self.hole_min} and --hole_max={self.hole_max}: "
                "need 1 <= hole_min <= hole_max"
            )
        if not 1 <= self.brush_min <= self.brush_max:
            raise InputError(
                f"--brush_min={self.brush_min} and --brush_max={self.brush_max}: "
                "need 1 <= brush_min <= brush_max"
            )
        if "files" in self.kinds and self.bank is None:
            raise InputError("--mask_kind=files needs --mask=FILE|FOLDER")

    def scaled(self, factor):
        """The same holes for images ``factor`` times as wide."""

        def scale(length):
            return max(1, round(length * factor))

        return dataclasses.replace(
            self,
            hole_size=round(self.hole_size * factor),
            hole_min=scale(self.hole_min),
            hole_max=scale(self.hole_max),
            brush_min=scale(self.brush_min),
            brush_max=scale(self.brush_max),
        )


def read_bank(source, height, width):
    """Reads mask files for kind "files", white = missing.

    Args:
      source: a file, a folder or a glob pattern.
      height: of the masks to return, in pixels; files of other sizes are resized, nearest.
      width: the same.

    Returns:
      uint8 [N, height, width, 1] of 0 and 1, in the order of the file names.

    Raises:
      InputError: no file, an unreadable one, or one without a missing pixel.
    """
    bank = []
    for path in image_files.list_images(source):
        mask = _resize_nearest(image_files.read_mask(path), height, width).astype(np.uint8)
        _require_hole(path, mask)
        bank.append(mask)
    return np.stack(bank)


def _resize_nearest(mask, height, width):
    rows = np.arange(height) * mask.shape[0] // height
    columns = np.arange(width) * mask.shape[1] // width
    return mask[rows][:, columns]


def _require_hole(path, mask):
    if not mask.any():
        raise InputError(f"{path}: the mask has no missing (white) pixel; leave it out")


def _integers(seed, salt, shape, low, high):
    """int32 uniform in [low, high], both included; ``high`` may be a tensor of that shape."""
    seed = tf.random.experimental.stateless_fold_in(tf.cast(seed, tf.int32), salt, alg="philox")
    bits = tf.random.stateless_uniform(
        shape, seed, minval=0, maxval=2**31 - 1, dtype=tf.int32, alg="philox"
    )
    return low + bits % (high - low + 1)


def _axes(height, width):
    """Row numbers [1, H, 1] and column numbers [1, 1, W]."""
    return tf.range(height)[None, :, None], tf.range(width)[None, None, :]


def _center(spec, batch, height, width, seed):
    del seed
    side = min(spec.hole_size or min(height, width) // 2, height, width)
    top, left = (height - side) // 2, (width - side) // 2
    mask = np.zeros((1, height, width), bool)
    mask[:, top : top + side, left : left + side] = True
    return tf.repeat(tf.constant(mask), batch, axis=0)


def _rectangles(spec, batch, height, width, seed, square=False):
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
    tops = _integers(seed, 3, shape, 0, height - heights)
    lefts = _integers(seed, 4, shape, 0, width - widths)
    rows, columns = tf.range(height), tf.range(width)
    in_rows = (rows >= tops[..., None]) & (rows < (tops + heights)[..., None])  # (B, N, H)
    in_columns = (columns >= lefts[..., None]) & (columns < (lefts + widths)[..., None])
    return tf.reduce_any(in_rows[..., :, None] & in_columns[..., None, :], axis=1)


def _squares(spec, batch, height, width, seed):
    return _rectangles(spec, batch, height, width, seed, square=True)


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
    return tf.repeat(mask, batch, axis=0)


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
    return tf.repeat(mask, batch, axis=0)


def _freeform(spec, batch, height, width, seed):
    """Chains of thick segments; a pixel is missing within half a brush of one of them."""
    segments, reach = 4, max(2, min(height, width) // 4)
    shape = [batch, spec.strokes, 1]
    start = tf.concat(
        [_integers(seed, 8, shape, 0, height - 1), _integers(seed, 9, shape, 0, width - 1)], -1
    )
    turns = _integers(seed, 10, [batch, spec.strokes, segments, 2], -reach, reach)
    ends = start[:, :, None] + tf.cumsum(turns, axis=2)
    begins = tf.concat([start[:, :, None], ends[:, :, :-1]], axis=2)
    brush = _integers(seed, 11, shape, spec.brush_min, spec.brush_max)[..., None]  # (B, S, 1, 1)
    rows, columns = _axes(height, width)

    mask = tf.zeros([batch, height, width], tf.bool)
    for stroke in range(spec.strokes):
        for n in range(segments):
            y0, x0 = (tf.cast(begins[:, stroke, n, i], tf.int64)[:, None, None] for i in (0, 1))
            y1, x1 = (tf.cast(ends[:, stroke, n, i], tf.int64)[:, None, None] for i in (0, 1))
            dy, dx = y1 - y0, x1 - x0
            py, px = tf.cast(rows, tf.int64) - y0, tf.cast(columns, tf.int64) - x0
            length = tf.maximum(dy * dy + dx * dx, 1)
            along = tf.clip_by_value(py * dy + px * dx, tf.zeros_like(length), length)
            # Distance from the nearest point of the segment, times the squared length; clipped,
            # far beyond any brush, so that the sum of squares stays within int64.
            far = tf.constant(2**30 - 1, tf.int64)
            ey = tf.clip_by_value(py * length - along * dy, -far, far)
            ex = tf.clip_by_value(px * length - along * dx, -far, far)
            width_px = tf.cast(brush[:, stroke], tf.int64)
            mask |= 4 * (ey * ey + ex * ex) <= (width_px * length) ** 2
    return mask


_FILES_SALT = 12


def _files(spec, batch, height, width, seed):
    if spec.bank.shape[1:3] != (height, width):
        raise InputError(
            f"the mask files were read at {spec.bank.shape[1:3]}, not at {(height, width)}"
        )
    choice = _integers(seed, _FILES_SALT, [batch], 0, len(spec.bank) - 1)
    return tf.gather(tf.constant(spec.bank[..., 0]), choice) > 0


_DRAW = {
    "center": _center,
    "rectangle": _rectangles,
    "square": _squares,
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
    masks = [_DRAW[kind](spec, batch, height, width, seed) for kind in spec.kinds]
    choice = _integers(seed, 0, [batch], 0, len(masks) - 1)
    mask = tf.gather(tf.stack(masks, axis=1), choice, axis=1, batch_dims=1)
    return tf.cast(mask, tf.float32)[..., None]


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
        self.paths = _mask_files(source) if "files" in kinds and source else []
        self.spec = MaskSpec(tuple(kinds), bank=np.zeros(0) if self.paths else None, **settings)
        self.seed = seed
        self._read = functools.lru_cache(maxsize=16)(image_files.read_mask)
        self._compiled = functools.lru_cache(maxsize=2)(self._compile)
        self._last_size = None
        digest = hashlib.sha256()
        for path in self.paths:
            mask = image_files.read_mask(path)
            _require_hole(path, mask)
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
            mask = _resize_nearest(self._read(path), height, width)
            _require_hole(path, mask)
            spec = dataclasses.replace(self.spec, bank=mask[None].astype(np.uint8))
            return draw(spec, 1, height, width, seed)[0].numpy()
        if repeated:
            return self._compiled(height, width)(tf.constant(seed))[0].numpy()
        return draw(self.spec, 1, height, width, seed)[0].numpy()

    def _compile(self, height, width):
        @tf.function(input_signature=[tf.TensorSpec([2], tf.int32)])
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


def spec_from_source(kinds, source, height, width, **settings):
    """A ``MaskSpec`` whose bank is read from ``source`` when ``kinds`` asks for files."""
    bank = None
    if "files" in kinds and source:
        _mask_files(source)
        bank = read_bank(source, height, width)
    return MaskSpec(kinds=tuple(kinds), bank=bank, **settings)


def _mask_files(source):
    """The paths of mask files, or an ``InputError`` that names the flag."""
    if not pathlib.Path(source).exists() and not any(c in source for c in "*?["):
        raise InputError(f"--mask: no file or folder {source}")
    return image_files.list_images(source)
