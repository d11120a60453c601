"""A stranger's whole way on real photographs: train, export, complete, compare.

Where the development data is missing, the pictures are generated.
"""

import csv
import json

import numpy as np
import pytest

from common.pictures import images
from tests import commands

SHORT = (
    "--flagfile=flags/papers/wang2020.flags",
    "--beta=0",
    "--width=0.0625",
    "--batch_size=2",
    "--completion_steps=3",
    "--progressive_steps=1",
    "--discriminator_steps=2",
    "--joint_steps=2",
    "--log_every=1",
    "--save_every=2",
)


@pytest.fixture(scope="module")
def run(faces_and_photographs, tmp_path_factory):
    """A finished training run."""
    folder = tmp_path_factory.mktemp("run") / "wang"
    result = commands.run(
        "glcic.train",
        *SHORT,
        f"--dataset={faces_and_photographs['faces']}",
        f"--run_dir={folder}",
    )
    assert result.returncode == 0, result.stderr
    return folder


def test_a_run_directory_explains_itself(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 8))
    assert [line["segment"] for line in lines] == (
        ["completion_half_size"] + ["completion"] * 2 + ["discriminator"] * 2 + ["joint"] * 2
    )
    assert {"gan", "discriminator", "mse", "loss"} <= lines[-1].keys()
    sample = images.read_image(run / "samples" / "0000007_joint.png")
    assert sample.shape[0] > 8 * 128 and sample.std() > 0.1
    assert (run / "saved_model" / "saved_model.pb").is_file()


def test_a_finished_run_has_nothing_left_to_do(run):
    before = (run / "metrics.jsonl").read_text()
    arguments = dict(
        line.partition("=")[::2] for line in (run / "flags.txt").read_text().splitlines()
    )
    result = commands.run(
        "glcic.train", *SHORT, f"--dataset={arguments['--dataset']}", f"--run_dir={run}"
    )
    assert result.returncode == 0, result.stderr
    assert (run / "metrics.jsonl").read_text() == before


def test_flags_txt_is_a_flagfile(run):
    result = commands.run("glcic.train", f"--flagfile={run}/flags.txt", "--dry_run")
    assert result.returncode == 0, result.stderr
    # run_dir and everything else comes from the file itself.
    settings, _, counts = result.stdout.partition("completion: ")
    assert settings == (run / "flags.txt").read_text()
    assert "discriminator: " in counts and "trained" in counts


def test_export_complete_and_compare(run, faces_and_photographs, tmp_path):
    model = tmp_path / "model"
    result = commands.run("glcic.export", f"--run_dir={run}", f"--output={model}")
    assert result.returncode == 0, result.stderr

    faces, photos, holes = faces_and_photographs.values()
    mask = sorted(holes.glob("ratio2*"))[0]
    result = commands.run(
        "glcic.complete",
        f"--input={photos}",
        f"--mask={mask}",
        "--resize_mask",
        f"--model={model}",
        f"--output={tmp_path}/completed",
        "--blend=poisson",
        "--figure",
    )
    assert result.returncode == 0, result.stderr
    for path in sorted(photos.glob("*.png")):
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
    "--generator_steps=3",
    "--encoder_steps=2",
    "--log_every=1",
    "--sample_every=3",
)


def test_latent_search_from_training_to_comparison(faces_and_photographs, tmp_path):
    faces, photos, _ = faces_and_photographs.values()
    run = tmp_path / "run"
    result = commands.run("wgan_inpaint.train", *SEARCH, f"--dataset={faces}", f"--run_dir={run}")
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["segment"] for line in lines] == ["adversarial"] * 6 + ["encoder"] * 2
    assert {"wasserstein", "penalty", "critic", "generator"} <= lines[5].keys()
    assert images.read_image(run / "wasserstein.png").std() > 0.05
    assert (run / "saved_model" / "saved_model.pb").is_file()

    model = tmp_path / "model"
    result = commands.run(
        "wgan_inpaint.export", f"--run_dir={run}", f"--output={model}", "--iterations=5"
    )
    assert result.returncode == 0, result.stderr
    result = commands.run(
        "wgan_inpaint.complete",
        f"--model={model}",
        f"--input={photos}",
        f"--output={tmp_path}/completed",
        "--iterations=5",
        "--figure",
    )
    assert result.returncode == 0, result.stderr
    for path in sorted(photos.glob("*.png")):
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
