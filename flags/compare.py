"""Flags of the comparison of methods."""

from absl import flags

from common import classical
from common.completion import blending
from common.errors import InputError
from common.pictures import images as image_files

FLAGS = flags.FLAGS


def define_methods():
    """Defines the flags that say what is measured, on which images, by which features."""
    flags.DEFINE_multi_string(
        "methods",
        None,
        "Methods as SOURCE,NAME=SOURCE,...; a source is a SavedModel's folder, a run directory, "
        f"shipped:PACKAGE[/NAME] or one of {', '.join(classical.METHODS)}; "
        "?VARIABLE=NUMBER& behind a model sets what it lets be set. May be given several times.",
    )
    flags.DEFINE_integer("limit", 0, "Only so many first images; 0: all.", lower_bound=0)
    flags.DEFINE_integer(
        "image_size",
        0,
        "Take the middle square at this size, in pixels; 0: pictures as they are.",
        lower_bound=0,
    )
    flags.DEFINE_string(
        "features",
        "",
        "Features for the Fréchet distance and LPIPS: a weights file, a SavedModel or "
        "keras:NAME of keras.applications; empty: neither.",
    )


def define():
    """Defines the flags of this group."""
    define_methods()
    flags.DEFINE_string("output", None, "Folder for the tables and figures.")
    flags.DEFINE_bool(
        "each_kind",
        False,
        "Give each image a hole of every kind of --mask_kind, and each kind its column.",
    )
    flags.DEFINE_list(
        "blend",
        "none",
        f"How completions are blended in, one or several of {', '.join(blending.BLEND_METHODS)}.",
    )
    flags.DEFINE_string(
        "reference", None, "Method that the others are compared with; default: the last."
    )
    flags.DEFINE_integer(
        "table_images", 0, "First images with a column in the tables.", lower_bound=0
    )
    flags.DEFINE_integer(
        "figure_images", 6, "First images in the figure, of each kind; 0: no figure.", lower_bound=0
    )
    formats = [suffix[1:] for suffix in image_files.FIGURE_SUFFIXES]
    flags.DEFINE_enum("figure_format", "png", formats, "Of the figures; text stays text in two.")
    flags.DEFINE_enum(
        "figure_rows", "images", ["images", "methods"], "Of the figure; the other ones are columns."
    )
    flags.DEFINE_integer(
        "figure_pixels",
        image_files.CELL_PIXELS,
        "Small pictures are enlarged to about this side in the figure.",
        lower_bound=1,
    )
    flags.DEFINE_enum(
        "original", "first", ["first", "last"], "Place of the originals in the figure."
    )
    flags.DEFINE_float(
        "area_bin",
        0.0,
        "Also draw PSNR against the missing share of the picture, in bins of this width (0.1); "
        "0: no.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_bool(
        "gradients", False, "Also measure PSNR of the differences between neighbours in the hole."
    )
    flags.DEFINE_bool("save_images", False, "Also write every original and every completion.")
    flags.DEFINE_integer("batch_size", 16, "Images completed in one call.", lower_bound=1)


def blends():
    """The ways of blending that ``--blend`` lists.

    Raises:
      InputError: there is no such way, or one is given twice.
    """
    names = tuple(FLAGS.blend)
    unknown = [name for name in names if name not in blending.BLEND_METHODS]
    if unknown or not names or len(set(names)) < len(names):
        raise InputError(
            f"--blend={','.join(names)}: choose from {', '.join(blending.BLEND_METHODS)}, each once"
        )
    return names


def kinds():
    """Lists of kinds of holes, one list for each column of the tables.

    Raises:
      InputError: a kind has two columns.
    """
    if not FLAGS.each_kind:
        return [tuple(FLAGS.mask_kind)]
    if len(set(FLAGS.mask_kind)) < len(FLAGS.mask_kind):
        raise InputError(f"--mask_kind={','.join(FLAGS.mask_kind)}: with --each_kind each once")
    return [(kind,) for kind in FLAGS.mask_kind]


def reference(names):
    """Which of the methods the others are compared with.

    Raises:
      InputError: there is no such method.
    """
    if FLAGS.reference and FLAGS.reference not in names:
        raise InputError(f"--reference={FLAGS.reference}: no such method; there are {names}")
    return FLAGS.reference or names[-1]
