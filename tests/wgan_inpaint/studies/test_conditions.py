"""Methods under several conditions: each hole has its share of each size."""

import csv

import numpy as np
import pytest

from common.pictures.images import write_image
from tests import commands


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("conditions")
    generator = np.random.default_rng(0)
    for kind, shape in (("tall", (60, 50)), ("wide", (50, 70))):
        (root / kind).mkdir()
        for n in range(2):
            write_image(root / kind / f"{n}.png", generator.random((*shape, 3), np.float32))
    return root


def study(folder, *words):
    arguments = ("--methods=telea,ns=navier_stokes", "--output=out", *words)
    return commands.run("wgan_inpaint.studies.conditions", *arguments, cwd=folder)


def test_a_row_for_every_condition_and_method(folder):
    words = ("--pictures=tall=tall", "--pictures=wide=wide", "--image_sizes=16,32",
             "--hole_shares=0.0625,0.25", "--limit=2")  # fmt: skip
    done = study(folder, *words)
    assert done.returncode == 0, done.stderr
    with open(folder / "out/conditions.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    told = [(r["pictures"], r["size"], r["hole"], r["method"]) for r in rows]
    assert told == [
        (kind, size, hole, method)
        for kind in ("tall", "wide")
        for size in ("16", "32")
        for hole in ("0.0625", "0.25")
        for method in ("telea", "ns")
    ]
    assert {row["images"] for row in rows} == {"2"}
    for row in rows:
        # Of equal squared errors in the hole, the picture has the hole's share.
        share = 10 * np.log10(1 / float(row["hole"]))
        assert float(row["psnr"]) - float(row["psnr_hole"]) == pytest.approx(share, abs=1e-3)
    assert (folder / "out/conditions.md").read_text() == done.stdout
    assert "**" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--pictures=tall",), "--pictures=tall: need NAME=DATASET"),
        (("--pictures=a=tall", "--hole_shares=2"), "--hole_shares=2: need"),
        (("--pictures=a=tall", "--image_sizes=big"), "--image_sizes=big"),
        (("--pictures=a=tall", "--mask_kind=half"), "--mask_kind=half: choose center or square"),
        (("--pictures=a=missing",), "missing"),
    ],
)
def test_bad_conditions_are_one_line(folder, words, message):
    done = study(folder, *words)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
