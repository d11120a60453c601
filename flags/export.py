"""Flags of the commands that export a trained method."""

import pathlib

from absl import flags

from common.completion import model_folders
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
    flags.DEFINE_string(
        "about", "", "What the network knows, in a line; commands log it when they take the model."
    )


def output(run):
    """The folder to write: ``--output``, or ``saved_model`` in the run's.

    Args:
      run: a ``common.training.runs.RunDirectory``.

    Raises:
      InputError: something is there that is not an earlier export.
    """
    if not FLAGS.output:
        model_folders.require_replaceable(run.saved_model)
        return run.saved_model
    path = pathlib.Path(FLAGS.output).expanduser()
    model_folders.require_replaceable(path, f"--output={FLAGS.output}")
    return path
