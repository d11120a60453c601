"""One process works in a folder; what a killed one leaves is in nobody's way."""

import errno
import os
import subprocess
import sys

import pytest

from common import locks
from common.errors import InputError
from tests import commands

HOLDER = """
import sys, time
from common import locks
held = locks.hold(sys.argv[1], "--run_dir=there")
print("held", flush=True)
time.sleep(60)
"""


def test_a_folder_is_held_by_one_process_until_that_ends(tmp_path):
    locks.check_free(tmp_path, "--run_dir=here")
    assert not os.listdir(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], cwd=commands.ROOT, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout.readline() == b"held\n"
        for claim in (locks.hold, locks.check_free):
            with pytest.raises(InputError, match=f"--run_dir=here: process {process.pid} on "):
                claim(tmp_path, "--run_dir=here")
    finally:
        process.kill()
        process.wait()
    locks.check_free(tmp_path, "--run_dir=here")
    own = pytest.raises(InputError, match=f"process {os.getpid()} on ")
    with locks.hold(tmp_path, "--run_dir=here"), own:
        locks.hold(tmp_path, "--run_dir=here")
    locks.hold(tmp_path, "--run_dir=here").close()


def test_without_locks_work_goes_on_with_a_warning(tmp_path, monkeypatch, caplog):
    def no_locks(*which):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    with locks.hold(tmp_path, "--output=there"):
        monkeypatch.setattr(locks.fcntl, "flock", no_locks)
        locks.hold(tmp_path, "--output=there").close()
        monkeypatch.setattr(locks, "fcntl", None)
        locks.hold(tmp_path, "--output=there").close()
    assert [r.getMessage().startswith("--output=there: no lock (") for r in caplog.records] == [
        True
    ] * 2


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    with pytest.raises(InputError, match="--output=there: cannot be written"):
        locks.hold(tmp_path / "nowhere", "--output=there")
