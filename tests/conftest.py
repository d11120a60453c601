"""Fixtures that several test modules share."""

import atexit
import gc
import importlib
import os
import pathlib

# Before NumPy, OpenCV and TensorFlow are imported: its chatter would be in every report.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# XLA makes of a graph what it always does, but its machine code is neither polished nor made by its
# newest generator, which together take longer than the few steps that are run.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
)
# Of the processes that are started from here: large pages, which is a tenth of their time.
os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # Behind what others do at the end. To take a million objects apart lasts seconds.
    atexit.register(os._exit, 0)
    # There are as many workers as cores: with a pool of threads each they would fight.
    for name in (
        "TF_NUM_INTRAOP_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "OPENCV_FOR_THREADS_NUM",
    ):
        os.environ.setdefault(name, "1")

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402


def pytest_sessionstart(session):
    """Imports everything quietly where tests run, which is not the process that hands them out."""
    if hasattr(session.config, "workerinput") or not session.config.getoption("numprocesses", 0):
        importlib.import_module("tests.preloaded")
        importlib.import_module("tests.commands").serve()


def pytest_sessionfinish():
    gc.freeze()  # pytest is about to look for garbage five times


SHARED_DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


FOLDER = pathlib.Path(os.environ.get("INPAINT_DATA", SHARED_DATA))
HAS_DATA = (FOLDER / "celeba128").is_dir()


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real images, or a skip where it is missing."""
    if not HAS_DATA:
        pytest.skip(f"no development data in {FOLDER.name}; set INPAINT_DATA to its folder")
    return FOLDER


@pytest.fixture(scope="session")
def faces_and_photographs(tmp_path_factory):
    """Folders "faces" (128x128), "photos" (of two shapes) and "holes" (masks).

    They are those of the development data or, where it is missing, generated.
    """
    if HAS_DATA:
        faces = tmp_path_factory.mktemp("real") / "faces"
        faces.mkdir()  # of so many that a run's mean colour takes no second
        for path in sorted((FOLDER / "celeba128/validation").iterdir())[:100]:
            (faces / path.name).symlink_to(path)
        return {"faces": faces, "photos": FOLDER / "photos", "holes": FOLDER / "irregular_masks"}
    return _generated(tmp_path_factory.mktemp("generated"))


def _generated(root):
    """Soft noise of many colours and, as holes, its brightest parts; none is constant."""
    generator = np.random.default_rng(0)

    def noise(height, width, detail, channels=3):
        small = generator.integers(0, 256, (detail, detail, channels), np.uint8)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)

    folders = {name: root / name for name in ("faces", "photos", "holes")}
    for folder in folders.values():
        folder.mkdir()
    for n in range(8):
        skin = noise(128, 128, 8) * [0.5, 0.7, 1]  # BGR
        cv2.imwrite(str(folders["faces"] / f"{n}.png"), skin.astype(np.uint8))
    for n, shape in enumerate(((384, 256), (256, 384))):
        cv2.imwrite(str(folders["photos"] / f"{n}.png"), noise(*shape, 24))
        hole = noise(512, 512, 12, 1)
        share = 75 if n else 60
        hole = np.where(hole > np.percentile(hole, share), 255, 0).astype(np.uint8)
        cv2.imwrite(str(folders["holes"] / f"ratio{100 - share}_{n}.png"), hole)
    return folders
