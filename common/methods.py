"""A method that is trained: its name, its room, its settings. No TensorFlow.

A package's table ``METHODS`` holds its methods; commands know nothing else of them. A room is a
module with these functions:

* ``networks(settings, policy="float32") -> {name: keras.Model}``: by their names in a checkpoint;
* ``build(settings, holes, policy) -> common.training.trainer.Trainer``;
* ``plan(settings) -> [common.training.runs.Row]``;
* ``exported(restored, completing, storage) -> (tf.Module, dict)``: what ``common.serving.export``
  takes, of ``common.training.driver.Restored`` networks.
"""

import dataclasses
import importlib


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
    """

    name: str
    room: str
    training: type
    completing: type = Nothing

    def load(self):
        """The room; only this imports TensorFlow."""
        return importlib.import_module(self.room)


def table(*methods):
    """{name: method}; the first is the default."""
    return {method.name: method for method in methods}
