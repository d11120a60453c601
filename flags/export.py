"""Flags of the commands that export a trained method."""

from absl import flags

from common.flag_checks import LENGTH

FLAGS = flags.FLAGS


def define():
    """Defines the flags of this group."""
    flags.DEFINE_string("run_dir", None, "Folder of the training run.")
    flags.DEFINE_integer(
        "step", 0, "Of the checkpoint to export; 0: the latest.", lower_bound=0, upper_bound=LENGTH
    )
    flags.DEFINE_string("output", None, "Folder to write; default: saved_model in the run's.")
    flags.DEFINE_enum("storage", "float32", ["float32", "float16"], "Type of the stored weights.")
