"""Flags of the commands that compare training runs, and starts of the search."""

from absl import flags


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
