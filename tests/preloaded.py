"""What a process has imported that runs tests, or that commands are forked off (``commands``)."""

import gc
import importlib
import pkgutil

from common import runtime

runtime.import_tensorflow()  # quietly

import cv2  # noqa: E402, F401
import keras  # noqa: E402, F401
import matplotlib.pyplot  # noqa: E402, F401
import tensorflow_datasets  # noqa: E402, F401
from tensorflow.python.ops import gen_resource_variable_ops  # noqa: E402

import common  # noqa: E402
import glcic  # noqa: E402
import wgan_inpaint  # noqa: E402
from tests.commands import COMMANDS  # noqa: E402

for package in (common, glcic, wgan_inpaint):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name not in COMMANDS:  # they are run
            importlib.import_module(module.name)

_with_a_name = gen_resource_variable_ops.var_handle_op


def _nameless(**options):
    """For a variable of another name TensorFlow builds another kernel, half a millisecond each.

    The name is for messages about variables that have no value.
    """
    return _with_a_name(**{**options, "debug_name": ""})


gen_resource_variable_ops.var_handle_op = _nameless

# Of those million objects none is ever freed: they are not to be looked at again, nor, in a fork,
# to be copied for that.
gc.freeze()
