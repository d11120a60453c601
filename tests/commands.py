"""Runs the project's commands as a user would: a process, its exit code, its output."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]

COMMANDS = (
    "glcic.train",
    "glcic.complete",
    "glcic.export",
    "glcic.benchmark",
    "wgan_inpaint.train",
    "wgan_inpaint.complete",
    "wgan_inpaint.export",
    "wgan_inpaint.starts",
    "wgan_inpaint.promises",
    "wgan_inpaint.benchmark",
    "common.compare",
)


def run(module, *arguments, cwd=ROOT, timeout=300):
    """Runs ``python -m module arguments``; returns a CompletedProcess with text output."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
