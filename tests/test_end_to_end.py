"""A stranger's whole way on real photographs: train, be stopped, export, complete, compare.

Where the development data is missing, the pictures are generated.
"""

import csv
import json
import os
import re
import shutil
import signal
import time

import cv2
import numpy as np
import pytest
import tensorflow as tf

from common.pictures import images
from tests import commands

# 1 + 2 + 4 + 8 steps; checkpoints at the ends of phases only.
SHORT = (
    "--flagfile=flags/papers/wang2020.flags",
    "--alpha=0.25",
    "--beta=0",
    "--width=0.03125",
    "--batch_size=2",
    "--learning_rate=0.5",
    "--discriminator_learning_rate=0.125",
    "--completion_steps=3",
    "--progressive_steps=1",
    "--discriminator_steps=4",
    "--joint_steps=8",
    "--log_every=1",
    "--save_every=1000",
    "--deterministic",
)
STEPS = ["completion_half_size"] + ["completion"] * 2 + ["discriminator"] * 4 + ["joint"] * 8


@pytest.fixture(scope="module")
def faces(faces_and_photographs):
    return faces_and_photographs["faces"]


def command(faces, run_dir):
    return ("glcic.train", *SHORT, f"--dataset={faces}", f"--run_dir={run_dir}")


@pytest.fixture(scope="module")
def run(faces, tmp_path_factory):
    """A finished training run."""
    folder = tmp_path_factory.mktemp("run") / "wang"
    result = commands.run(*command(faces, folder))
    assert result.returncode == 0, result.stderr
    return folder


def logged(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def checkpointed(run):
    """{name: array} of the last checkpoint."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints"))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if "save_counter" not in name
    }


def test_a_run_directory_explains_itself(run):
    lines = logged(run)
    assert [line["step"] for line in lines] == list(range(1, 16))
    assert [line["segment"] for line in lines] == STEPS
    assert {"gan", "discriminator", "mse", "loss"} <= lines[-1].keys()
    sample = images.read_image(run / "samples" / "0000015_joint.png")
    assert sample.shape[0] > 8 * 128 and sample.std() > 0.1
    assert (run / "saved_model" / "saved_model.pb").is_file()


def test_alpha_weighs_the_adversarial_term(run):
    first, *_, last = logged(run)
    assert first["loss"] == first["mse"]
    assert last["loss"] == pytest.approx(last["mse"] + 0.25 * last["gan"], rel=1e-5)


def test_each_network_has_its_own_learning_rate(run):
    rates = {
        name.split("/")[0]: float(value)
        for name, value in checkpointed(run).items()
        if "learning_rate" in name
    }
    assert rates == {"completion_optimizer": 0.5, "discriminator_optimizer": 0.125}


def test_the_network_knows_the_mean_colour_of_its_training_pictures(run, faces):
    (trained,) = (value for name, value in checkpointed(run).items() if "mean_color" in name)
    pictures = [images.read_image(path) for path in sorted(faces.iterdir())]
    expected = np.mean(pictures, axis=(0, 1, 2))
    assert expected[0] > expected[2] + 0.05, "swapped channels would not show"
    np.testing.assert_allclose(trained, expected, atol=0.02)
    exported = tf.saved_model.load(str(run / "saved_model")).network.arrays
    np.testing.assert_array_equal(exported[0], trained)


def wait_for_step(step, run_dir, is_alive):
    """Returns as soon as a process has logged a step."""
    log, until = run_dir / "metrics.jsonl", time.monotonic() + 300
    while not (log.exists() and f'"step": {step},' in log.read_text()):
        assert is_alive() and time.monotonic() < until
        time.sleep(0.002)


def signalled(number, step, arguments, run_dir, **options):
    """Runs the command until it is sent a signal behind a step."""

    def send(process):
        wait_for_step(step, run_dir, process.is_alive)
        os.kill(process.pid, number)

    return commands.run(*arguments, meanwhile=send, **options)


def test_a_killed_and_an_interrupted_run_end_as_an_uninterrupted_one(run, faces, tmp_path):
    broken = tmp_path / "broken"
    arguments = (*command(faces, broken), "--noexport")
    # It begins behind the same three steps and loses what it does until it is killed: no graph is
    # needed for that.
    shutil.copytree(run, broken)
    commands.lose_steps(broken, 3)
    log = broken / "metrics.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:3]))
    killed = signalled(signal.SIGKILL, 4, arguments, broken, eager=True)
    assert killed.returncode == -signal.SIGKILL
    interrupted = signalled(signal.SIGINT, 8, arguments, broken)
    assert interrupted.returncode == 130
    said = interrupted.stderr
    assert "going on from step 3" in said, "the steps of the discriminator were lost"
    stopped = int(re.search(r"stopped at step (\d+); start the same command again", said)[1])
    assert 8 <= stopped < 15
    done = commands.run(*arguments)
    assert done.returncode == 0, done.stderr
    assert f"going on from step {stopped}" in done.stderr

    lines, expected = logged(broken), logged(run)
    for line in lines + expected:
        del line["seconds"]
    assert lines == expected
    weights, expected = checkpointed(broken), checkpointed(run)
    assert weights.keys() == expected.keys()
    assert len(weights) > 200
    different = [name for name in weights if not np.array_equal(weights[name], expected[name])]
    assert not different
    assert not (broken / "saved_model").exists()


def test_a_finished_run_has_nothing_left_to_do_and_goes_on_with_its_own_flags_only(run, faces):
    before = (run / "metrics.jsonl").read_text()
    result = commands.run(*command(faces, run))
    assert result.returncode == 0, result.stderr
    assert (run / "metrics.jsonl").read_text() == before
    refused = commands.run(*command(faces, run), "--batch_size=3")
    assert refused.returncode == 1
    last = refused.stderr.splitlines()[-1]
    assert last.startswith(f"error: --run_dir={run} was started with --batch_size=2, not 3")
    assert "Traceback" not in refused.stderr


def test_flags_txt_is_a_flagfile(run):
    result = commands.run("glcic.train", f"--flagfile={run}/flags.txt", "--dry_run")
    assert result.returncode == 0, result.stderr
    # run_dir and everything else comes from the file itself.
    settings, _, counts = result.stdout.partition("completion: ")
    assert settings == (run / "flags.txt").read_text()
    assert "discriminator: " in counts and "trained" in counts


@pytest.fixture(scope="module")
def of_each_shape(faces_and_photographs, tmp_path_factory):
    """A folder with one photograph of each shape that there is, at half its size."""
    folder = tmp_path_factory.mktemp("shapes")
    paths = sorted(faces_and_photographs["photos"].glob("*.png"))
    photographs = {path.name: images.read_image(path) for path in paths}
    for name in {photo.shape: name for name, photo in photographs.items()}.values():
        half = cv2.resize(photographs[name], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        images.write_image(folder / name, half)
    assert len(list(folder.iterdir())) == 2
    return folder


def test_export_complete_and_compare(run, faces_and_photographs, of_each_shape, tmp_path):
    model = tmp_path / "model"
    about = "--about=small test pictures"
    result = commands.run("glcic.export", f"--run_dir={run}", f"--output={model}", about)
    assert result.returncode == 0, result.stderr

    faces, _, holes = faces_and_photographs.values()
    mask = sorted(holes.glob("ratio2*"))[0]
    result = commands.run(
        "glcic.complete",
        f"--input={of_each_shape}",
        f"--mask={mask}",
        "--resize_mask",
        f"--model={model}",
        f"--output={tmp_path}/completed",
        "--blend=poisson",
        "--figure",
    )
    assert result.returncode == 0, result.stderr
    assert f"model: {model} (small test pictures)\n" in result.stderr
    for path in of_each_shape.iterdir():
        photo = images.read_image(path)
        completed = images.read_image(tmp_path / "completed" / path.name)
        assert completed.shape == photo.shape
        same = (completed == photo).all(-1).mean()
        assert 0.6 < same < 0.95, "most of the picture is known, and the hole was filled"
        assert (tmp_path / "completed" / f"{path.stem}_figure.png").is_file()

    result = commands.run(
        "common.compare",
        f"--methods=exported={model},run={run}",
        f"--dataset={faces}",
        "--limit=6",
        "--mask_kind=files",
        f"--mask={holes}/ratio40*",
        "--precision=float32",
        f"--output={tmp_path}/table",
    )
    assert result.returncode == 0, result.stderr
    with open(tmp_path / "table" / "per_image.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    measures = ["psnr", "ssim", "l1", "psnr_hole", "l1_hole"]
    assert list(rows[0]) == ["method", "holes", "blend", "image", "missing", *measures]
    values = {
        name: np.array([float(row["psnr"]) for row in rows if row["method"] == name])
        for name in ("exported", "run")
    }
    assert len(values["run"]) == 6
    # The run's own SavedModel and the exported checkpoint are the same weights.
    np.testing.assert_allclose(values["exported"], values["run"], atol=1e-3)
    assert (values["run"] > 5).all() and (values["run"] < 30).all()


SEARCH = (
    "--flagfile=flags/papers/gulrajani2017.flags",
    "--image_size=32",
    "--width=4",
    "--batch_size=4",
    "--critic_steps=2",
    "--generator_steps=2",
    "--encoder_steps=1",
    "--log_every=1",
)


def test_latent_search_from_training_to_comparison(faces, of_each_shape, tmp_path):
    run = tmp_path / "run"
    flags = ("--noexport", f"--dataset={faces}", f"--run_dir={run}")
    result = commands.run("wgan_inpaint.train", *SEARCH, *flags, eager=True)
    assert result.returncode == 0, result.stderr
    lines = logged(run)
    assert [line["segment"] for line in lines] == ["adversarial"] * 4 + ["encoder"]
    assert {"wasserstein", "penalty", "critic", "generator"} <= lines[3].keys()
    assert images.read_image(run / "wasserstein.png").std() > 0.05

    model = tmp_path / "model"
    result = commands.run(
        "wgan_inpaint.export", f"--run_dir={run}", f"--output={model}", "--iterations=5"
    )
    assert result.returncode == 0, result.stderr
    result = commands.run(
        "wgan_inpaint.complete",
        f"--model={model}",
        f"--input={of_each_shape}",
        f"--output={tmp_path}/completed",
        "--iterations=5",
        "--figure",
    )
    assert result.returncode == 0, result.stderr
    for path in of_each_shape.iterdir():
        photo = images.read_image(path)
        completed = images.read_image(tmp_path / "completed" / path.name)
        assert 0.5 < (completed == photo).all(-1).mean() < 0.95
        assert (tmp_path / "completed" / f"{path.stem}_loss.csv").is_file()

    result = commands.run(
        "common.compare",
        f"--methods=search={model},telea",
        f"--dataset={faces}",
        "--image_size=64",
        "--limit=4",
        f"--output={tmp_path}/table",
    )
    assert result.returncode == 0, result.stderr
    with open(tmp_path / "table" / "per_image.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    assert {row["method"] for row in rows} == {"search", "telea"} and len(rows) == 8
    assert all(5 < float(row["psnr"]) < 40 for row in rows)
