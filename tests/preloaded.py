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
from tensorflow.python import pywrap_tfe  # noqa: E402

import common  # noqa: E402
import glcic  # noqa: E402
import wgan_inpaint  # noqa: E402
from tests.commands import COMMANDS  # noqa: E402

for package in (common, glcic, wgan_inpaint):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name not in COMMANDS:  # they are run
            importlib.import_module(module.name)

_as_functions = pywrap_tfe.TFE_ContextOptionsSetRunEagerOpAsFunction
# Outside graphs TensorFlow makes a function of every operation of a new kind, which takes half a
# millisecond; the operation itself a thirtieth. Every process begins with hundreds of them.
pywrap_tfe.TFE_ContextOptionsSetRunEagerOpAsFunction = lambda options, _: _as_functions(
    options, False
)

# Of those million objects none is ever freed: they are not to be looked at again, nor, in a fork,
# to be copied for that.
gc.freeze()
