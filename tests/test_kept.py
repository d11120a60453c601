"""Runs and SavedModels of earlier versions: they are read, exported and trained on as ever.

``kept/METHOD.tar.xz`` holds a run of ten steps on the six ``pictures``, with the checkpoint of the
eighth: ``flags.txt``, the log of all ten, the SavedModel that the run ended with and, in
``completed.npz``, what that model and the exported checkpoint put into the holes of ``scene``. The
archives are never made anew: those of a later version join them.
"""

import importlib
import json
import pathlib
import tarfile

import cv2
import numpy as np
import pytest
import tensorflow as tf

from common import methods, settings
from common.completion import model_folders
from common.pictures import datasets
from common.pictures import images as image_files
from common.pictures.masks import MaskSpec
from common.training import driver, folding, starting
from common.training.runs import RunDirectory
from tests import commands

KEPT = pathlib.Path(__file__).parent / "kept"
# The package, and the flags that the run was started with.
RUNS = {
    "glcic": (
        "glcic", "--flagfile=flags/papers/wang2020.flags", "--beta=0", "--width=0.03125",
        "--optimizer=adam", "--learning_rate=0.03", "--completion_steps=6",
        "--progressive_steps=2", "--discriminator_steps=1", "--joint_steps=3",
    ),
    "autoencoder": (
        "glcic", "--flagfile=flags/papers/wang2020_autoencoder.flags", "--width=0.03125",
        "--learning_rate=0.1", "--baseline_steps=10",
    ),
    "context_encoder": (
        "glcic", "--flagfile=flags/papers/wang2020_context_encoder.flags", "--width=0.03125",
        "--learning_rate=0.1", "--baseline_steps=10",
    ),
    "latent_search": (
        "wgan_inpaint", "--flagfile=flags/papers/gulrajani2017.flags", "--image_size=32",
        "--width=2", "--latent=6", "--critic_steps=2", "--learning_rate=0.05",
        "--generator_steps=5", "--encoder_steps=0",
    ),
}  # fmt: skip
ALL = ("--batch_size=2", "--log_every=1", "--sample_every=0", "--precision=float32")
ROWS, COLUMNS = slice(40, 90), slice(30, 80)  # of the hole


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """The six pictures that the runs were trained on."""
    folder = tmp_path_factory.mktemp("kept") / "pictures"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for n in range(6):
        small = generator.integers(0, 256, (6, 6, 3), np.uint8)
        picture = cv2.resize(small, (136, 132), interpolation=cv2.INTER_LINEAR)
        cv2.imwrite(str(folder / f"{n}.png"), picture)
    return folder


@pytest.fixture(params=RUNS)
def run(request, pictures, tmp_path):
    """The folder of a kept run, its data set being where it is now."""
    with tarfile.open(KEPT / f"{request.param}.tar.xz") as archive:
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4
        archive.extractall(tmp_path, **safe)
    folder = tmp_path / request.param
    flags = (folder / "flags.txt").read_text()
    (folder / "flags.txt").write_text(
        flags.replace("--dataset=pictures\n", f"--dataset={pictures}\n")
    )
    return folder


def scene(pictures):
    images = [cv2.imread(str(pictures / f"{n}.png"))[..., ::-1] for n in range(2)]
    holes = np.zeros((2, 132, 136, 1), np.float32)
    holes[:, ROWS, COLUMNS] = 1
    return np.stack(images).astype(np.float32) / 255, holes


def completed(folder, pictures):
    """What a SavedModel puts into the scene's holes."""
    images, holes = scene(pictures)
    complete = tf.saved_model.load(str(folder)).signatures["complete"]
    return complete(images=images, masks=holes)["completed"].numpy()[:, ROWS, COLUMNS]


def log(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_kept_run_is_read_exported_and_trained_on(run, pictures):
    expected, model = np.load(run / "completed.npz"), run / "saved_model"
    assert expected["saved"].std() > 0.02, "pictures that are all alike prove nothing"
    package, *flags = RUNS[run.name]
    np.testing.assert_allclose(completed(model, pictures), expected["saved"], atol=2e-3)
    known = importlib.import_module(package).METHODS
    method = known[methods.method_of_run(RunDirectory(run), known)]
    more = {"iterations": 3} if package == "wgan_inpaint" else {}
    restored = driver.restore(method, RunDirectory(run))
    module, _ = method.load().exported(restored, method.completing(**more), tf.float32, False)
    images, holes = scene(pictures)
    whole = module.complete(tf.constant(images * (1 - holes)), tf.constant(holes)).numpy()
    np.testing.assert_allclose(whole[:, ROWS, COLUMNS], expected["exported"], atol=2e-3)
    model_folders.require_replaceable(model)  # an export may come to lie there

    before = log(run)
    where = (f"--dataset={pictures}", f"--run_dir={run}")
    flags += [*ALL, "--deterministic", "--noexport", *where]
    result = commands.run(f"{package}.train", *flags, eager=True)
    assert result.returncode == 0, result.stderr
    assert "going on from step 8" in result.stderr
    after = log(run)
    for line in before + after:
        del line["seconds"]
    assert after[:8] == before[:8] and len(after) == 10
    # The first step shows that weights and data are those of the run, the second one, behind an
    # update by adaptive optimizers, that their state is.
    for new, old, tolerance in zip(after[8:], before[8:], (1e-3, 0.05), strict=True):
        assert new.keys() == old.keys()
        for name in new.keys() - {"segment"}:
            assert new[name] == pytest.approx(old[name], rel=tolerance, abs=tolerance), name


def test_a_new_run_begins_with_a_kept_one_and_with_its_model(run, pictures):
    package, method = importlib.import_module(RUNS[run.name][0]), run.name
    method = package.METHODS[method]
    own, room = settings.parse(method.training, RunDirectory(run).read_flags()), method.load()
    images = datasets.first_images(32, str(pictures), datasets.Preparation(own.size), 0)
    spec = MaskSpec(("center",), hole_size=own.size // 2)

    trainer = room.build(own, spec, "float32")
    fresh = {name: network.get_weights() for name, network in trainer.networks.items()}
    driver.begin(trainer, method, RunDirectory(run), lambda count: images[:count])
    begun = {name: network.get_weights() for name, network in trainer.networks.items()}
    reader = tf.train.Checkpoint(**trainer.networks).restore(RunDirectory(run).checkpoint())
    reader.assert_existing_objects_matched().expect_partial()
    for name, network in trainer.networks.items():
        for new, old in zip(begun[name], network.get_weights(), strict=True):
            np.testing.assert_array_equal(new, old, name)
        network.set_weights(fresh[name])

    driver.begin(trainer, method, run / "saved_model", lambda count: images[:count])
    compared = 0
    for name, (where, _) in room.KEPT.items():
        arrays = starting.kept_arrays(run / "saved_model", where)
        if not arrays:
            continue  # the encoder was not trained
        folded = folding.FoldedNetwork(trainer.networks[name])
        for array, value in zip(folded.arrays, arrays, strict=True):
            array.assign(tf.cast(value, array.dtype))
        x = trainer.example(name, image_files.from_uint8(images))
        expected = folded.at(tf.float32)(x).numpy()
        tolerance = 1e-3 * max(1, np.abs(expected).max())
        np.testing.assert_allclose(trainer.networks[name](x), expected, atol=tolerance)
        compared += expected.std() > 1e-3
    assert compared
