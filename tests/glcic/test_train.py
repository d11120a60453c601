"""What the command makes of its flags and its pictures."""

import json

import cv2
import numpy as np
import pytest
import tensorflow as tf

from tests import commands

COLOUR = (200, 120, 40)  # RGB


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of one step of the first phase and one of the last, on reddish pictures."""
    folder = tmp_path_factory.mktemp("train")
    (folder / "photos").mkdir()
    generator = np.random.default_rng(0)
    for n in range(3):
        noise = generator.integers(-20, 21, (6, 6, 3)) + np.array(COLOUR[::-1])
        picture = cv2.resize(noise.astype(np.uint8), (128, 128), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / "photos" / f"{n}.png"), picture)
    done = commands.run(
        "glcic.train",
        "--flagfile=flags/papers/wang2020.flags",
        f"--dataset={folder}/photos",
        f"--run_dir={folder}/run",
        f"--width={1 / 64}",
        "--batch_size=2",
        "--completion_steps=1",
        "--discriminator_steps=0",
        "--joint_steps=1",
        "--alpha=0.25",
        "--beta=0",
        "--learning_rate=0.5",
        "--discriminator_learning_rate=0.125",
        "--precision=float32",
        "--log_every=1",
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_the_network_knows_the_mean_colour_of_its_training_pictures(run):
    variables = tf.train.load_checkpoint(str(run / "checkpoints"))
    (name,) = (n for n in variables.get_variable_to_shape_map() if "mean_color" in n)
    trained = variables.get_tensor(name)
    np.testing.assert_allclose(trained, np.array(COLOUR) / 255, atol=0.02)
    exported = tf.saved_model.load(str(run / "saved_model")).network.arrays
    np.testing.assert_array_equal(exported[0], trained)


def test_each_network_has_its_own_learning_rate(run):
    variables = tf.train.load_checkpoint(str(run / "checkpoints"))
    rates = {
        name.split("/")[0]: float(variables.get_tensor(name))
        for name in variables.get_variable_to_shape_map()
        if "learning_rate" in name
    }
    assert rates == {"completion_optimizer": 0.5, "discriminator_optimizer": 0.125}


def test_alpha_weighs_the_adversarial_term(run):
    first, last = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    assert first["loss"] == first["mse"]
    assert last["loss"] == pytest.approx(last["mse"] + 0.25 * last["gan"], rel=1e-5)


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
