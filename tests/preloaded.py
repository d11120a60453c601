"""What the process has imported that the commands under test are forked off (``commands``)."""

import gc

from common import runtime

runtime.import_tensorflow()  # quietly

import cv2  # noqa: E402, F401
import keras  # noqa: E402, F401
import matplotlib.pyplot  # noqa: E402, F401
import tensorflow_datasets  # noqa: E402, F401

gc.freeze()  # what is collected in a fork need not be looked at, nor copied for that
