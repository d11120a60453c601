"""Fixtures that several test modules share."""

import os
import pathlib

import pytest

# Before TensorFlow is imported anywhere: keep its start-up chatter out of the report.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

SHARED_DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real images, or a skip where it is missing."""
    folder = pathlib.Path(os.environ.get("INPAINT_DATA", SHARED_DATA))
    if not (folder / "celeba128").is_dir():
        pytest.skip(f"no development data in {folder.name}; set INPAINT_DATA to its folder")
    return folder
