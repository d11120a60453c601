"""Flags of the comparison of methods."""

from absl import flags

from common import blending

FLAGS = flags.FLAGS


def define():
    """Defines the flags of this group."""
    flags.DEFINE_list(
        "models",
        None,
        "Methods as NAME=SOURCE,NAME=SOURCE; a source is a SavedModel's folder, a run directory or "
        "shipped:PACKAGE.",
    )
    flags.DEFINE_string("output", None, "Folder for the table and the figure.")
    flags.DEFINE_integer("limit", 0, "Only so many first images; 0: all.", lower_bound=0)
    flags.DEFINE_integer(
        "image_size",
        0,
        "Take the middle square at this size, in pixels; 0: pictures as they are.",
        lower_bound=0,
    )
    flags.DEFINE_enum("blend", "none", blending.BLEND_METHODS, "How completions are blended in.")
    flags.DEFINE_integer("figure_images", 6, "Rows of comparison.png; 0: no figure.", lower_bound=0)
    flags.DEFINE_integer("batch_size", 16, "Images completed in one call.", lower_bound=1)
