"""What the process has imported that the commands under test are forked off (``commands``)."""

import gc
import importlib
import pkgutil

from common import runtime

runtime.import_tensorflow()  # quietly

import cv2  # noqa: E402, F401
import keras  # noqa: E402, F401
import matplotlib.pyplot  # noqa: E402, F401
import tensorflow_datasets  # noqa: E402, F401

import common  # noqa: E402
import glcic  # noqa: E402
import wgan_inpaint  # noqa: E402
from tests.commands import COMMANDS  # noqa: E402

for package in (common, glcic, wgan_inpaint):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name not in COMMANDS:  # they are run
            importlib.import_module(module.name)

gc.freeze()  # what is collected in a fork need not be looked at, nor copied for that
