"""Flags of GLCIC's loss are its own."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from common.training import driver
from common.training.runs import RunDirectory
from glcic import METHODS
from tests import commands


@pytest.mark.parametrize("flag", ["reconstruction=missing", "perceptual_on=output", "fill=black"])
def test_readings_of_glcics_loss_are_refused_where_there_is_no_such_loss(flag):
    for method in ("autoencoder", "context_encoder"):
        done = commands.run("glcic.train", f"--method={method}", f"--{flag}")
        name = flag.partition("=")[0]
        assert done.returncode == 1
        assert f"--{name}: a flag of --method=glcic, not of {method}" in done.stderr


def test_readings_that_are_none_are_refused():
    for flag in ("reconstruction=sum", "perceptual_on=patch", "fill=white"):
        done = commands.run("glcic.train", f"--{flag}", "--dataset=d", "--run_dir=r")
        assert done.returncode != 0 and flag.partition("=")[0] in done.stderr


def test_a_run_begins_with_another_ones_weights(tmp_path):
    (tmp_path / "pictures").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), np.uint8)
    for n, picture in enumerate(pixels):
        cv2.imwrite(str(tmp_path / "pictures" / f"{n}.png"), picture)

    def train(name, *more):
        done = commands.run(
            "glcic.train", f"--dataset={tmp_path}/pictures", f"--run_dir={tmp_path}/{name}",
            "--width=0.03", "--batch_size=1", "--optimizer=adam", "--discriminator_steps=0",
            "--joint_steps=0", "--completion_steps=1", "--sample_every=0", "--noexport",
            "--fill=grey",
            *more, eager=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr

    train("first", "--learning_rate=0.01")
    told = ("--learning_rate=1e-9", f"--init_from={tmp_path}/first", "--seed=3")
    assert "completion begins as that of" in train("second", *told)
    restored = driver.restore(METHODS["glcic"], RunDirectory(tmp_path / "first")).networks
    kernels = [v for v in restored["completion"].variables if v.name == "kernel"]
    first = [kernel.numpy() for kernel in kernels]
    assert len(first) > 10
    second = RunDirectory(tmp_path / "second").checkpoint()
    reader = tf.train.Checkpoint(**restored).restore(second)
    reader.assert_existing_objects_matched().expect_partial()
    for before, after in zip(first, kernels, strict=True):
        np.testing.assert_allclose(after, before, atol=1e-6)  # of another seed
    (tmp_path / "first").rename(tmp_path / "gone")
    train("second", *told)
