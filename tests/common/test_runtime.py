"""What a command settles for its processor; it ends when it is told to."""

import signal
import subprocess
import sys

import pytest
import tensorflow as tf

from common import runtime
from common.errors import InputError
from tests import commands

# For minutes in C, as in a graph of TensorFlow's.
BUSY = """
import hashlib, threading
from common import runtime

runtime.PATIENCE = 0.3

def main():
    threading.Timer(0.3, print, ["begun"], {"flush": True}).start()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)

runtime.run(main)
"""


def test_a_second_ctrl_c_ends_what_the_first_one_cannot_reach():
    process = subprocess.Popen(
        [sys.executable, "-c", BUSY],
        cwd=commands.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in the background, Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == "\n"
        assert process.stderr.readline() == "stopping behind this step; Ctrl-C again: at once\n"
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130 and errors == "\nerror: interrupted\n"


def test_xla_trains_in_bfloat16_where_a_processor_has_no_kernels_for_it(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])  # of GPUs
    if "avx512f" in runtime._cpu_flags():
        assert not runtime.choose_xla("auto", "mixed_bfloat16"), "oneDNN is faster"
    monkeypatch.setattr(runtime, "_kernels_train_in_bfloat16", lambda: False)
    assert not runtime.choose_xla("auto")
    assert runtime.choose_xla("auto", "mixed_bfloat16")
    with pytest.raises(InputError, match="^--xla=off: .* bfloat16"):
        runtime.choose_xla("off", "mixed_bfloat16")
