"""Ground floor of the project: what every completion method shares; knows no method."""

import os

# Without an NVIDIA driver, even TensorFlow's errors are only about the driver that is missing.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if os.path.exists("/dev/nvidiactl") else "3")


def _import_tensorflow_quietly():
    """TensorFlow prints some lines while it is imported, whatever it was told about logging."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


_import_tensorflow_quietly()
