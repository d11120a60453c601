"""What holes a command is asked for: the kinds, their settings, the mask files. No TensorFlow.

Kinds:
  center     one square in the middle, ``hole_size`` pixels wide (0: half of the shorter side)
  rectangle  ``holes`` rectangles, each side uniform in [hole_min, hole_max] pixels [1]
  square     the same with equal sides [2]
  over_edge  squares that may stick out: every pixel is missing equally often
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
import pathlib

import numpy as np

from common.errors import InputError
from common.pictures import images as image_files

CORNERS = ("fit", "fit_largest")
SIDES = ("left", "right", "top", "bottom")
KINDS = (
    "center",
    "rectangle",
    "square",
    "over_edge",
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
      hole_min, hole_max: range of the sides of rectangles and squares, both included.
      holes: rectangles or squares in an image; they may overlap.
      hole_corners: where the upper left corner of a rectangle or square may be: "fit", wherever it
        fits into the image, or "fit_largest", wherever one of hole_max pixels would, as in [2].
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
    hole_corners: str = "fit"
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
        if self.hole_corners not in CORNERS:
            raise InputError(f"--hole_corners={self.hole_corners}: choose from {CORNERS}")
        if "files" in self.kinds and self.bank is None:
            raise InputError("--mask_kind=files needs --mask=FILE|FOLDER")

    def scaled(self, factor):
        """The same holes for images ``factor`` times as wide."""

        def scale(length):
            return max(1, round(length * factor))

        bank = self.bank
        if bank is not None and bank.size:
            height, width = (max(1, round(side * factor)) for side in bank.shape[1:3])
            bank = np.stack([image_files.resize_nearest(mask, height, width) for mask in bank])
        return dataclasses.replace(
            self,
            bank=bank,
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
        mask = image_files.read_mask(path)
        mask = image_files.resize_nearest(mask, height, width).astype(np.uint8)
        require_hole(path, mask)
        bank.append(mask)
    return np.stack(bank)


def require_hole(path, mask):
    """Refuses a mask that hides nothing."""
    if not mask.any():
        raise InputError(f"{path}: the mask has no missing (white) pixel; leave it out")


def spec_from_source(kinds, source, height, width, **settings):
    """A ``MaskSpec`` whose bank is read from ``source`` when ``kinds`` asks for files."""
    bank = None
    if "files" in kinds and source:
        mask_files(source)
        bank = read_bank(source, height, width)
    return MaskSpec(kinds=tuple(kinds), bank=bank, **settings)


def mask_files(source):
    """The paths of mask files, or an ``InputError`` that names the flag."""
    if not pathlib.Path(source).exists() and not any(c in source for c in "*?["):
        raise InputError(f"--mask: no file or folder {source}")
    return image_files.list_images(source)
