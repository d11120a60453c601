"""A command ends when it is told to."""

import signal
import subprocess
import sys

from tests import commands

# For minutes in C, as in a graph of TensorFlow's.
BUSY = """
import hashlib, threading
from common import runtime

def main():
    threading.Timer(1, print, ["begun"], {"flush": True}).start()
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
