"""Where the networks of a new run begin: with those of another run, or of an exported model."""

import itertools
import pathlib

import numpy as np
import tensorflow as tf
from absl import logging

from common.errors import InputError, reason
from common.pictures import images as image_files

EXAMPLE = 32  # pictures on which the statistics that an exported model has lost are measured


def from_networks(given, networks):
    """Copies every weight that has the same name and shape.

    A kernel that has the same outputs, but sees further channels behind those that the other one
    sees, makes nothing of these to begin with.

    Args:
      given: {name: ``keras.Model``}, trained.
      networks: {name: ``keras.Model``}, to train.

    Returns:
      {name of a network: (how many weights were taken, names of those that were not)}.
    """
    result = {}
    for name, network in networks.items():
        there = {v.path: v for v in given[name].variables} if name in given else {}
        left = []
        for variable in network.variables:
            found = there.get(variable.path)
            if found is None or not assign_widened(variable, found.numpy()):
                left.append(variable.path)
        result[name] = len(network.variables) - len(left), left
    return result


def assign_widened(variable, array):
    """Assigns an array, zeros in the last input channels of a kernel if it has none for them.

    Args:
      variable: a ``keras.Variable``.
      array: numpy.

    Returns:
      Whether it fits.
    """
    more = [there - here for there, here in zip(variable.shape, array.shape, strict=False)]
    inputs = len(more) - 2  # the axis
    fits = len(variable.shape) == len(array.shape) and all(
        n == 0 or (n > 0 and axis == inputs > 0) for axis, n in enumerate(more)
    )
    if fits:
        wide = np.pad(array, [(0, n) for n in more]) if more else array  # it pads no scalar
        variable.assign(tf.cast(wide, variable.dtype))
    return fits


def from_model(folder, kept, trainer, first):
    """Takes the weights of an exported model.

    Args:
      folder: of the SavedModel.
      kept: ``KEPT`` of its method's room, see ``common.methods``.
      trainer: the ``common.training.trainer.Trainer``.
      first: from a number to so many first training images, uint8 [N, S, S, 3].

    Returns:
      As ``from_networks``; what is left is named by its layer.

    Raises:
      InputError: it cannot be read, or has other layers.
    """
    images = image_files.from_uint8(first(EXAMPLE))
    result = {}
    try:
        for name, network in trainer.networks.items():
            where, take = kept.get(name, (None, None))
            arrays = kept_arrays(folder, where) if where else []
            if arrays:
                left = take(network, arrays, trainer.example(name, images))
                result[name] = len(network.variables) - len(left), left
            else:
                result[name] = 0, [v.path for v in network.variables]
    except Exception as error:  # TensorFlow's reader raises whatever the broken file leads to
        raise InputError(f"--init_from={folder}: it does not fit ({reason(error)})") from error
    return result


def kept_arrays(folder, where):
    """The arrays of a network in an exported model, numpy; [] if it is not there.

    Its variables are read and nothing of its graphs, which takes milliseconds instead of seconds.

    Args:
      folder: of the SavedModel.
      where: attribute of the exported module.

    Raises:
      ``tf.errors.OpError`` or ValueError: it cannot be read.
    """
    reader = tf.train.load_checkpoint(str(pathlib.Path(folder) / "variables" / "variables"))
    there = reader.get_variable_to_shape_map()

    def stored(name):
        key = f"{name}/.ATTRIBUTES/VARIABLE_VALUE"
        return [reader.get_tensor(key)] if key in there else []

    def listed(name):
        found = (stored(f"{name}/{n}") for n in itertools.count())
        return list(itertools.chain.from_iterable(itertools.takewhile(bool, found)))

    arrays = listed(f"{where}/arrays")
    if not arrays:  # models of earlier versions with a single network
        pairs = zip(listed("kernels"), listed("biases"), strict=True)
        arrays = [*stored("mean_color"), *itertools.chain.from_iterable(pairs)]
    return arrays


def report(source, result):
    """Says in a line for each network what it begins with.

    Args:
      source: for messages.
      result: of ``from_networks``.

    Raises:
      InputError: nothing fitted.
    """
    if not any(taken for taken, _ in result.values()):
        raise InputError(
            f"--init_from={source}: none of its weights fits these networks; give the flags that "
            "it was trained with, or leave it out"
        )
    for name, (taken, left) in result.items():
        if not left:
            logging.info("%s begins as that of %s", name, source)
        elif taken:
            logging.warning("%s: not in %s, begin anew: %s", name, source, ", ".join(left))
        else:
            logging.warning("%s begins anew: %s has none that fits", name, source)
