"""Ground floor of the project: what every completion method shares; knows no method."""

import os

# Without an NVIDIA driver, even TensorFlow's errors are only about the driver that is missing.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if os.path.exists("/dev/nvidiactl") else "3")
# Off by default on processors without AVX-512, where it takes a quarter to a third off.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
