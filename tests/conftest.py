"""Fixtures that several test modules share."""

import os
import pathlib

import pytest

# Before TensorFlow is imported anywhere: keep its start-up chatter out of the report.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # There are as many workers as cores: with a pool of threads each they would fight.
    for name in (
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
    ):
        os.environ.setdefault(name, "1")

SHARED_DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real images, or a skip where it is missing."""
    folder = pathlib.Path(os.environ.get("INPAINT_DATA", SHARED_DATA))
    if not (folder / "celeba128").is_dir():
        pytest.skip(f"no development data in {folder.name}; set INPAINT_DATA to its folder")
    return folder
