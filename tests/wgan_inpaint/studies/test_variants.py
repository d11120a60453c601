"""Variants of a recipe are runs of their own, and what they measured is a table."""

import csv

import cv2
import numpy as np
import pytest

from tests import commands

FLAGS = (
    "--method=conditional",
    "--image_size=32",
    "--latent=4",
    "--batch_size=2",
    "--architecture=listing",
    "--reconstruction=none",
    "--conditional_steps=2",
    "--log_every=1",
    "--measures=discriminator,generator,nothing",
    "--output=out",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with pictures and the study's output."""
    root = tmp_path_factory.mktemp("variants")
    (root / "pictures").mkdir()
    generator = np.random.default_rng(0)
    for n in range(2):
        cv2.imwrite(str(root / f"pictures/{n}.png"), generator.integers(0, 256, (40, 32, 3)))
    return root


def study(folder, *variants):
    words = [*FLAGS, "--dataset=pictures", *(f"--variant={text}" for text in variants)]
    return commands.run("wgan_inpaint.studies.variants", *words, cwd=folder, eager=True)


def test_every_variant_is_trained_once(folder):
    variants = ("hinge: objective=hinge r1=0", "seed 1: seed=1 r1=0")
    done = study(folder, *variants)
    assert done.returncode == 0, done.stderr
    with open(folder / "out/variants.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["variant"] for row in rows] == ["hinge", "seed 1"]
    assert {row["steps"] for row in rows} == {"2"} and {row["nothing"] for row in rows} == {""}
    assert float(rows[0]["discriminator"]) != float(rows[1]["discriminator"])
    assert "--objective=hinge" in (folder / "out/hinge/flags.txt").read_text()
    assert "--objective=gan" in (folder / "out/seed 1/flags.txt").read_text()
    assert not (folder / "out/hinge/saved_model").exists()
    assert (folder / "out/variants.png").is_file() and "| hinge | 2 |" in done.stdout
    logs = [(folder / f"out/{name}/metrics.jsonl").read_text() for name in ("hinge", "seed 1")]
    again = study(folder, *variants)
    assert again.returncode == 0 and again.stdout == done.stdout
    assert logs == [
        (folder / f"out/{name}/metrics.jsonl").read_text() for name in ("hinge", "seed 1")
    ]


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        ("no colon", "--variant=no colon: need NAME: FLAG=VALUE"),
        ("a: nonsense=3", "--variant=a: there is no flag --nonsense"),
        ("a: latent=-1", "--variant=a: flag --latent=-1"),
        ("../a: seed=1", "is no folder's"),
        ("a: method=cnnlg", "--variant=a: --method is one for all variants"),
    ],
)
def test_a_wrong_variant_is_one_line_before_anything_is_trained(folder, variant, message):
    done = study(folder, "fine: seed=2", variant)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
    assert not (folder / "out/fine").exists()
