"""A folder in which one process works at a time."""

import errno
import os
import pathlib
import socket

from absl import logging

from common.errors import InputError

try:
    import fcntl
except ImportError:  # a system without it
    fcntl = None

FILE = ".lock"
_BUSY = (errno.EAGAIN, errno.EACCES)


def hold(folder, what):
    """Claims a folder for this process.

    The system lets go of it when the process ends, however it does: a file ``.lock`` that stays
    behind means nothing. Where there are no such locks, a warning says so.

    Args:
      folder: that exists.
      what: names it in messages, as "--run_dir=runs/a".

    Returns:
      An open file; closing it, or leaving a ``with`` block, ends the claim.

    Raises:
      InputError: another process holds it, or it cannot be written to.
    """
    path = pathlib.Path(folder, FILE)
    try:
        file = open(path, "a+", encoding="utf-8")  # noqa: SIM115  stays open
    except OSError as error:
        raise InputError(f"{what}: cannot be written: {error.strerror or error}") from error
    try:
        if fcntl is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _BUSY:
            file.seek(0)
            holder = file.read(200).strip() or "another process"
            file.close()
            raise InputError(
                f"{what}: {holder} is at work there; wait for its end, or take another folder"
            ) from error
        logging.warning("%s: no lock (%s); see that nobody else writes there", what, error.strerror)
        return file
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return file


def check_free(folder, what):
    """Refuses a folder that another process holds, and leaves nothing in it.

    Raises:
      InputError: as ``hold``.
    """
    if pathlib.Path(folder, FILE).exists():
        hold(folder, what).close()
