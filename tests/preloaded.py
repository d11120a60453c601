"""What the process has imported that the commands under test are forked off (``commands``)."""

from common import runtime

runtime.import_tensorflow()  # quietly

import cv2  # noqa: E402, F401
import keras  # noqa: E402, F401
import matplotlib.pyplot  # noqa: E402, F401
import tensorflow_datasets  # noqa: E402, F401
