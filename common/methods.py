"""A method that is trained: its name, its room, its settings. No TensorFlow.

A package's table ``METHODS`` holds its methods; commands know nothing else of them. A room is a
module with these functions:

* ``networks(settings, policy="float32") -> {name: keras.Model}``: by their names in a checkpoint;
* ``build(settings, holes, policy) -> common.training.trainer.Trainer``;
* ``plan(settings) -> [common.training.runs.Row]``;
* ``exported(restored, completing, storage, jit_compile) -> (tf.Module, dict)``: what
  ``common.serving.export`` takes, of ``common.training.driver.Restored`` networks.

Where exported models can be trained on, also

* ``KEPT``: {name of a network: (attribute of the exported module that has its ``arrays``, function
  of the network, these arrays and ``Trainer.example`` that assigns them and returns what did not
  fit)}.

Where a package's command completes by its methods' own code and not by their SavedModels, also

* ``completer(completing, writing, source, options)``: the work of ``common.completion.files``.
"""

import dataclasses
import importlib
import pathlib

from common.completion import model_folders
from common.errors import InputError
from common.training.runs import RunDirectory


@dataclasses.dataclass(frozen=True)
class Nothing:
    """The settings of what has none."""


@dataclasses.dataclass(frozen=True)
class Method:
    """An entry of ``METHODS``.

    Attributes:
      name: of ``--method``, and in a run's flags and an exported model's settings.
      room: name of its module.
      training: class of the settings of its training, see ``common.settings``; it has a property
        ``size``, the side of the training images in pixels.
      completing: class of the settings that are stored with the exported model.
      writing: class of the settings of what is written beside a completed picture, with a property
        ``needs_masks`` and a method ``endings(completing)``, for ``plan_outputs`` of
        ``common.completion.files``.
      model: what the package's command completes with unless told otherwise.
      formerly: further names that exported models may have for it.
    """

    name: str
    room: str
    training: type
    completing: type = Nothing
    writing: type = Nothing
    model: str = ""
    formerly: tuple = ()

    def load(self):
        """The room; only this imports TensorFlow."""
        return importlib.import_module(self.room)


def table(*methods):
    """{name: method}; the first is the default."""
    return {method.name: method for method in methods}


@dataclasses.dataclass(frozen=True)
class Described:
    """What a trained model says of itself.

    Attributes:
      found: the folder of a SavedModel, or the ``RunDirectory`` of a run without one.
      method: name of its method.
      stored: {field: value} of the settings that it was exported with.
    """

    found: pathlib.Path | RunDirectory
    method: str
    stored: dict


def described(source, methods):
    """Finds a trained model of one of these methods.

    Args:
      source: a SavedModel's folder, a run directory (its ``saved_model``, else its checkpoints) or
        "shipped:PACKAGE/NAME".
      methods: of ``table``.

    Returns:
      ``Described``.

    Raises:
      InputError: nothing is there, or it is broken, or the model of another method.
    """
    run = RunDirectory(pathlib.Path(str(source)).expanduser())
    if run.flags.is_file() and not model_folders.is_saved_model(run.saved_model):
        return Described(run, method_of_run(run, methods), {})
    folder = model_folders.find_model(source)
    settings = model_folders.read_settings(folder)
    named = settings.get("method", "unknown")
    names = [name for name, method in methods.items() if named in (name, *method.formerly)]
    if not names:
        raise InputError(
            f"{folder}: a model of the method {named!r}, not of {' or '.join(methods)}; complete "
            "with that method's command"
        )
    stored = settings.get("completing", settings.get("search", {}))  # the latter in earlier models
    if not isinstance(stored, dict):
        raise InputError(f"{folder}: its settings of completion are {stored!r}, no JSON object")
    return Described(folder, names[0], stored)


def method_of_run(run, methods):
    """Name of the method of a ``RunDirectory``; earlier runs of the first one do not say it.

    Raises:
      InputError: it is no run, or one of another package's method.
    """
    name = run.read_flags().get("method", next(iter(methods)))
    if name not in methods:
        raise InputError(f"{run.path}: a run of {name}; here are {', '.join(methods)}")
    return name
