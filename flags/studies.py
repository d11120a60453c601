"""Flags of the studies: of runs, of starts of the search, of several answers, of conditions."""

from absl import flags

from flags import compare as compare_flags


def define_promises():
    """Defines the flags of the command that compares runs."""
    flags.DEFINE_list("runs", None, "NAME=RUN_DIR, one for each panel, as gan=RUN1,wgan=RUN2.")
    flags.DEFINE_string("output", None, "Figure to write: .png, .pdf or .svg.")
    flags.DEFINE_integer("pairs", 500, "Pairs of pictures behind a diversity.", lower_bound=1)


def define_starts():
    """Defines the flags of the command that compares the starts of the search."""
    flags.DEFINE_string(
        "model",
        "shipped:wgan_inpaint",
        "SavedModel, run directory, or shipped:PACKAGE[/NAME] for a package's own.",
    )
    flags.DEFINE_string("output", None, "Folder for the tables and the figure.")
    flags.DEFINE_integer("limit", 64, "Only so many first images; 0: all.", lower_bound=0)
    flags.DEFINE_integer("batch_size", 64, "Images searched for at once.", lower_bound=1)
    flags.DEFINE_integer(
        "lbfgs_iterations",
        300,
        "Of a second search from every start, by limited-memory BFGS; 0: none.",
        lower_bound=0,
    )


def define_diversity():
    """Defines the flags of the command that measures several completions of one hole."""
    compare_flags.define_methods()
    flags.DEFINE_string("output", None, "Folder for the tables and the figure.")
    flags.DEFINE_integer(
        "samples", 8, "Completions of each image, by methods that draw several.", lower_bound=2
    )
    flags.DEFINE_integer(
        "figure_images", 3, "First images in the figure; 0: no figure.", lower_bound=0
    )
    flags.DEFINE_integer(
        "batch_size",
        16,
        "Images between two writes to the cache, and in one call of methods that draw no samples.",
        lower_bound=1,
    )


def define_variants():
    """Defines the flags of the command that trains variants of one recipe."""
    flags.DEFINE_multi_string(
        "variant",
        None,
        "NAME: FLAG=VALUE FLAG=VALUE ..., what differs from the other flags; one for each run.",
    )
    flags.DEFINE_string("output", None, "Folder for the runs, the table and the figure.")
    flags.DEFINE_list(
        "measures", [], "Columns of the table, as metrics.jsonl calls them; the first has curves."
    )


def define_conditions():
    """Defines the flags of the command that compares methods under several conditions."""
    compare_flags.define_methods()
    flags.DEFINE_multi_string(
        "pictures",
        None,
        "NAME=DATASET; one for each kind of pictures, read as --dataset elsewhere.",
    )
    flags.DEFINE_list("image_sizes", ["64"], "Sides of the pictures, in pixels.")
    flags.DEFINE_list("hole_shares", ["0.0625", "0.25"], "Shares of the picture that a hole takes.")
    flags.DEFINE_string("output", None, "Folder for the tables.")
    flags.DEFINE_integer("batch_size", 16, "Images completed in one call.", lower_bound=1)
