"""Where the networks of a trained latent search are. No TensorFlow."""

import pathlib

from common.completion import model_folders
from common.errors import InputError
from common.training.runs import RunDirectory

METHOD = "wgan_inpaint"


def find(source):
    """What ``loading.load_networks`` reads the networks from.

    Args:
      source: a SavedModel's folder, a run directory (its ``saved_model``, else its latest
        checkpoint) or "shipped:PACKAGE/NAME".

    Returns:
      The folder of the SavedModel, or the ``RunDirectory`` without one.

    Raises:
      InputError: nothing is there, or it is the model of another method.
    """
    run = RunDirectory(pathlib.Path(str(source)).expanduser())
    if run.flags.is_file() and not model_folders.is_saved_model(run.saved_model):
        return run
    folder = model_folders.find_model(source)
    method = model_folders.read_settings(folder).get("method", "unknown")
    if method != METHOD:
        raise InputError(
            f"{folder}: a model of the method {method!r}, not of latent "
            "search; complete with that method's command"
        )
    return folder


def search_settings(source):
    """The settings of the search that a model was exported with, as its JSON file holds them.

    Args:
      source: of ``find``; a run without a SavedModel has none.

    Raises:
      InputError: as ``find``, or they are no settings.
    """
    found = find(source)
    if isinstance(found, RunDirectory):
        return {}
    stored = model_folders.read_settings(found).get("search", {})
    if not isinstance(stored, dict):
        raise InputError(f"{found}: its search settings are {stored!r}, no JSON object")
    return stored
