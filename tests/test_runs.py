"""A run is not begun, continued or lengthened but as what it is; nobody else is at work in it."""

import json
import re
import shutil
import socket

import cv2
import numpy as np
import pytest

from common import locks
from tests import commands

TRAIN = (
    "wgan_inpaint.train", "--image_size=32", "--architecture=mlp", "--width=8", "--latent=4",
    "--batch_size=2", "--critic_steps=1", "--encoder_steps=0", "--log_every=1", "--sample_every=0",
    "--optimizer=adam", "--learning_rate=0.001", "--deterministic", "--precision=float32",
    "--noexport",
)  # fmt: skip
GLCIC = ("glcic.train", "--width=0.03125", "--batch_size=1")


def write_pictures(folder):
    folder.mkdir()
    generator = np.random.default_rng(0)
    for n in range(3):
        small = generator.integers(0, 256, (6, 6, 3), np.uint8)
        cv2.imwrite(str(folder / f"{n}.png"), cv2.resize(small, (130, 130)))


def train(place, run, *flags, pictures="pictures", command=TRAIN):
    return commands.run(
        *command, f"--dataset={place}/{pictures}", f"--run_dir={run}", *flags, eager=True
    )


def state(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != locks.FILE
    }


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pictures, a run of two steps on them, and other pictures."""
    root = tmp_path_factory.mktemp("runs")
    write_pictures(root / "pictures")
    shutil.copytree(root / "pictures", root / "more")
    shutil.copy(root / "more" / "0.png", root / "more" / "3.png")
    result = train(root, root / "run", "--generator_steps=2")
    assert result.returncode == 0, result.stderr
    return root


def logged(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in line if name != "seconds"} for line in lines]


def test_a_run_of_moved_pictures_is_lengthened_to_what_a_longer_one_is(place, tmp_path):
    shutil.copytree(place / "run", tmp_path / "run")
    write_pictures(tmp_path / "elsewhere")
    longer = "--generator_steps=4"
    result = train(tmp_path, tmp_path / "run", longer, pictures="elsewhere")
    assert result.returncode == 0, result.stderr
    assert "going on from step 2" in result.stderr
    assert "--generator_steps=4\n" in (tmp_path / "run" / "flags.txt").read_text()
    whole = train(place, tmp_path / "whole", longer)
    assert whole.returncode == 0, whole.stderr
    assert logged(tmp_path / "run") == logged(tmp_path / "whole")
    assert len(logged(tmp_path / "run")) == 4


REFUSED = {
    "lowered below what is done": (("--generator_steps=1",), "--generator_steps=1 (was 2): "),
    "lengthened on a cosine": (("--generator_steps=4", "--decay=cosine"), "--decay=cosine is plan"),
    "another setting": (("--generator_steps=2", "--latent=5"), "--latent=4, not 5"),
    "other pictures": (("--generator_steps=2", "--dataset={}/more"), "--dataset is 4 files"),
    "another precision": (
        ("--generator_steps=2", "--precision=bfloat16"),
        "--precision is mixed_bfloat16 here, and was float32",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_another_run_is_refused_in_a_line(place, tmp_path, name):
    run, (flags, expected) = tmp_path / "run", REFUSED[name]
    shutil.copytree(place / "run", run)
    if "--decay=cosine" in flags:
        text = (run / "flags.txt").read_text()
        (run / "flags.txt").write_text(text.replace("--decay=none", "--decay=cosine"))
    before = state(run)
    result = train(place, run, *(flag.replace("{}", str(place)) for flag in flags))
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("error: ") and expected in last and "Traceback" not in result.stderr
    assert state(run) == before


def test_a_second_start_is_told_who_is_at_work(place, tmp_path):
    tables = tmp_path / "tables"
    tables.mkdir()
    before = state(place)
    compare = ("common.compare", "--methods=telea", f"--dataset={place}/pictures")
    with locks.hold(place / "run", ""), locks.hold(tables, ""):
        for result in (
            train(place, place / "run", "--generator_steps=4"),
            commands.run(*compare, f"--output={tables}"),
        ):
            assert result.returncode == 1
            last = result.stderr.splitlines()[-1]
            assert re.search(rf"process \d+ on {re.escape(socket.gethostname())} is at work", last)
    assert state(place) == before and not state(tables)


@pytest.mark.parametrize(
    ("command", "flag", "expected"),
    [
        (TRAIN, "--dataset=./nowhere", "nowhere"),
        (TRAIN, "--dataset={}/pictures/*.jpg", "*.jpg"),
        (TRAIN, "--dataset=nowhere", "--dataset=nowhere"),
        (TRAIN, "--dataset=nowhere/config:1.0.0", "--dataset=nowhere/config:1.0.0"),
        (TRAIN, "--mask=nowhere", "--mask"),
        (GLCIC, "--vgg19_weights=nowhere.npz", "nowhere.npz"),
    ],
)
def test_a_start_on_what_is_not_there_leaves_nothing(place, tmp_path, command, flag, expected):
    more = {"--mask": ["--mask_kind=files"], "--vgg19_weights": ["--beta=0.1"]}
    flags = [flag.replace("{}", str(place)), *more.get(flag.partition("=")[0], [])]
    result = train(place, tmp_path / "new" / "run", *flags, command=command)
    assert result.returncode == 1 and expected in result.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())
