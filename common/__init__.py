"""Ground floor of the project: what every completion method shares; knows no method."""

import os

# Before TensorFlow is imported anywhere. Without an NVIDIA driver, even its errors are only about
# the driver that is missing.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if os.path.exists("/dev/nvidiactl") else "3")
