"""Flicker of completed clips, as a user measures it."""

import numpy as np
import pytest

from common.pictures.images import write_image
from tests import commands
from tests.common.completion.test_clips import record
from tests.common.completion.test_propagation import logo, pan


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A pan, its mask, and three completions: right, of one grey, of noise in each frame."""
    folder = tmp_path_factory.mktemp("clips")
    frames, holes = pan(), logo()
    noise = np.random.default_rng(0).integers(0, 256, frames.shape).astype(np.uint8)
    record(folder / "clip.mkv", frames)
    record(folder / "grey.mkv", np.where(holes[..., None], np.uint8(128), frames))
    record(folder / "noise.mkv", np.where(holes[..., None], noise, frames))
    record(folder / "short.mkv", frames[:-1])
    write_image(folder / "hole.png", holes[0, ..., None].astype(np.float32))
    return folder


def measured(place, *arguments):
    """{method: [numbers]} of the printed table."""
    told = ("--input=clip.mkv", "--mask=hole.png", *arguments)
    result = commands.run("common.flicker", *told, cwd=place)
    assert result.returncode == 0, result.stderr
    cells = [line.strip("| ").split(" | ") for line in result.stdout.splitlines()[2:]]
    return {name: [float(x) for x in rest] for name, *rest in cells}


def test_grey_does_not_flicker_and_noise_does_and_errors_are_told(place):
    methods = "--methods=right=clip.mkv,grey=grey.mkv,noise=noise.mkv,telea"
    found = measured(place, methods, "--whole")
    assert list(found) == ["original", "right", "grey", "noise", "telea"]
    assert found["original"] == found["right"] and found["right"][1] == np.inf
    assert found["right"][0] < 0.1
    # What is grey becomes what it was where it leaves the hole.
    assert 0.1 < found["grey"][0] < 0.1 * found["noise"][0]
    assert 10 * found["right"][0] < found["telea"][0] < found["noise"][0]
    # Two independent bytes differ by a sixth, squared; some pixels move out of the hole.
    assert 50 < found["noise"][0] < 167
    hidden = logo()
    difference = (pan()[hidden] / 255 - 128 / 255) ** 2
    assert found["grey"][1] == pytest.approx(-10 * np.log10(difference.mean()), abs=0.006)
    assert found["noise"][1] < found["grey"][1] < found["telea"][1] + 10


def test_without_the_truth_the_flow_is_that_of_the_prefilled_clip(place):
    found = measured(place, "--methods=grey=grey.mkv,noise=noise.mkv")
    assert [len(numbers) for numbers in found.values()] == [1, 1]
    assert 10 * found["grey"][0] < found["noise"][0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--methods=short.mkv",), "short.mkv: 7 frames of 128x96, where --input has 8"),
        (("--methods=nowhere.mkv",), "nowhere.mkv: no such file"),
        (("--methods=nobody",), "nobody"),
        ((), "--methods is missing"),
    ],
)
def test_mistakes_end_in_one_line(place, arguments, words):
    told = ("--input=clip.mkv", "--mask=hole.png", *arguments)
    result = commands.run("common.flicker", *told, cwd=place)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert words in result.stderr.splitlines()[-1]
