"""The study of several answers, from the command line to its files."""

import csv
import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import locks
from common.evaluation.diversity import Summary
from common.pictures.images import read_image, write_image
from common.serving import export
from tests import commands
from wgan_inpaint.studies import answers

SIDE, COUNT = 32, 5


class Colours(tf.Module):
    """Completes with colours of its seeds."""

    def complete(self, images, masks):
        return self.complete_samples(images, masks, tf.constant([0]))[:, 0]

    def complete_samples(self, images, masks, seeds):
        colours = tf.map_fn(
            lambda seed: tf.random.stateless_uniform([3], tf.stack([seed, 0])),
            seeds,
            fn_output_signature=tf.float32,
        )
        return tf.zeros_like(images)[:, None] + colours[None, :, None, None]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, features and pictures."""
    root = tmp_path_factory.mktemp("study")
    export.save(Colours(), root / "model", {"method": "colours", "whole": True})
    random.seed(0)
    layers = [keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, activation="relu")]
    keras.Sequential(layers).save(root / "features.keras")
    generator = np.random.default_rng(0)
    for n in range(COUNT):
        write_image(root / "faces" / f"{n}.png", generator.random((SIDE, SIDE, 3), np.float32))
    return root


def study(place, output, *more):
    return commands.run(
        "wgan_inpaint.studies.diversity",
        f"--methods=colours={place}/model,telea",
        f"--dataset={place}/faces",
        "--samples=3",
        f"--output={output}",
        *more,
    )


def test_the_command_writes_tables_and_figure(place, tmp_path):
    result = study(place, tmp_path, f"--features={place}/features.keras", "--figure_images=2")
    assert result.returncode == 0, result.stderr
    with open(tmp_path / "diversity.csv", encoding="utf-8") as lines:
        colours, telea, original = csv.DictReader(lines)
    assert tuple(colours) == Summary._fields
    assert (colours["method"], colours["images"], colours["samples"]) == ("colours", "5", "3")
    assert all(colours.values())
    assert float(colours["right_gain"]) == pytest.approx(10 * np.log10(2 / (1 + 1 / 3)))
    assert float(colours["gain"]) > 0
    blank = {name for name, value in telea.items() if not value}
    assert blank == {name for name in Summary._fields
                     if "best" in name or "mean" in name or "apart" in name or "ratio" in name
                     or "gain" in name}  # fmt: skip
    assert {name for name, value in original.items() if value} == {
        "method", "images", "l1_apart", "lpips_apart"
    }  # fmt: skip
    ratio = float(colours["l1_apart"]) / float(original["l1_apart"])
    assert float(colours["l1_ratio"]) == pytest.approx(ratio)
    text = (tmp_path / "diversity.md").read_text(encoding="utf-8")
    assert text == result.stdout and "1.76 dB if they are as different as they should be" in text
    figure = read_image(tmp_path / "diversity.png")
    assert figure.shape[1] > 2 * figure.shape[0], "two rows of five pictures"
    again = study(place, tmp_path, f"--features={place}/features.keras", "--figure_images=2")
    assert again.stdout == result.stdout and "image" not in again.stderr


def test_without_features_their_columns_are_left_out(place, tmp_path):
    result = study(place, tmp_path, "--limit=2", "--figure_images=0")
    assert result.returncode == 0, result.stderr
    assert "L1 ratio" in result.stdout
    assert not {"LPIPS", "Fréchet", "P-IDS"} & {*result.stdout.replace(",", " ").split()}
    written = {path.name for path in tmp_path.iterdir()} - {locks.FILE}
    assert written == {"diversity.csv", "diversity.md", "cache"}


def test_a_share_is_shown_in_percent_and_what_is_unknown_not_at_all():
    found = answers.table(
        [Summary("a", 9, 8, psnr_one=20.0, gain=2.0, p_ids=0.25), Summary("b", 9)]
    )
    assert found.heads == ["Method", "Images", "Samples", "PSNR, one (dB)", "Gain (dB)", "P-IDS"]
    assert found.rows == [["a", "9", "8", "20.00", "2.00", "25.0%"], ["b", "9", "", "", "", ""]]
    assert any("2.50 dB" in note for note in found.notes)
