"""Flags of holes; lengths in pixels."""

from absl import flags

from common.errors import InputError
from common.pictures import mask_spec

FLAGS = flags.FLAGS


def define(kind="center", more=()):
    """Defines the flags of this group.

    Args:
      kind: default of ``--mask_kind``.
      more: kinds that the command itself knows.
    """
    default, kinds = mask_spec.MaskSpec(), (*mask_spec.KINDS, *more)
    flags.DEFINE_list(
        "mask_kind",
        kind,
        f"Kinds of holes; of several, each image draws one: {', '.join(kinds)}.",
    )
    flags.DEFINE_string("mask", None, "Mask file, folder or glob, white = missing.")
    whole = {"lower_bound": 1}
    flags.DEFINE_integer(
        "hole_size", default.hole_size, "center: side; 0: half of the image.", lower_bound=0
    )
    flags.DEFINE_integer(
        "hole_min", default.hole_min, "rectangle, square, over_edge: least side.", **whole
    )
    flags.DEFINE_integer(
        "hole_max", default.hole_max, "rectangle, square, over_edge: most side.", **whole
    )
    flags.DEFINE_integer("holes", default.holes, "rectangle, square, over_edge: how many.", **whole)
    flags.DEFINE_enum(
        "hole_corners",
        default.hole_corners,
        mask_spec.CORNERS,
        "rectangle, square: anywhere the hole fits, or where one of hole_max would.",
    )
    share = {"lower_bound": 0.0, "upper_bound": 1.0}
    flags.DEFINE_float("missing", default.missing, "pixels: share missing.", **share)
    flags.DEFINE_float(
        "missing_pattern", default.missing_pattern, "pattern: share missing.", **share
    )
    flags.DEFINE_integer("grid_step", default.grid_step, "grid: distance.", lower_bound=2)
    flags.DEFINE_integer("strokes", default.strokes, "freeform: how many.", **whole)
    flags.DEFINE_integer("brush_min", default.brush_min, "freeform: least width.", **whole)
    flags.DEFINE_integer("brush_max", default.brush_max, "freeform: most width.", **whole)


def spec(height, width):
    """The ``MaskSpec`` that the flags describe, its files read at this size.

    Raises:
      InputError: contradictory flags, or mask files that cannot be read.
    """
    _check_source()
    return mask_spec.spec_from_source(FLAGS.mask_kind, FLAGS.mask, height, width, **_settings())


def check():
    """Refuses what ``holes`` would, but for the contents of mask files, before TensorFlow is there.

    Raises:
      InputError: contradictory flags, or no mask file.
    """
    _check_source()
    found = mask_spec.mask_files(FLAGS.mask) if FLAGS.mask else None
    mask_spec.MaskSpec(tuple(FLAGS.mask_kind), bank=found, **_settings())


def holes(kinds, seed):
    """The ``common.pictures.masks.Holes`` of these kinds that the flags describe.

    Raises:
      InputError: contradictory flags, or mask files that cannot be read.
    """
    from common.pictures import masks

    _check_source()
    return masks.Holes(kinds, FLAGS.mask, seed, **_settings())


def _check_source():
    if FLAGS.mask and "files" not in FLAGS.mask_kind:
        raise InputError("--mask is read with --mask_kind=files; give both")


def _settings():
    """The fields of ``MaskSpec`` that have a flag of their own."""
    return {
        "hole_size": FLAGS.hole_size,
        "hole_min": FLAGS.hole_min,
        "hole_max": FLAGS.hole_max,
        "holes": FLAGS.holes,
        "hole_corners": FLAGS.hole_corners,
        "missing": FLAGS.missing,
        "missing_pattern": FLAGS.missing_pattern,
        "grid_step": FLAGS.grid_step,
        "strokes": FLAGS.strokes,
        "brush_min": FLAGS.brush_min,
        "brush_max": FLAGS.brush_max,
    }
