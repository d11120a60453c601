"""Clips are read, completed and written whole or not at all."""

import cv2
import numpy as np
import pytest

from common.completion import blending, clips, files
from common.errors import InputError
from common.pictures.images import write_image
from tests.common.completion.test_propagation import logo, pan


class Telea:
    """A method for pictures in its smallest form."""

    def target(self, index, picture, masks):
        return picture.read(), masks(index, *picture.read().shape[:2])

    def find(self, targets, size, progress):
        return [blending.telea(image, mask) for image, mask in targets]

    def finish(self, index, picture, masks, found):
        return files.Answer([found], steps=dict)


def record(path, frames, codec="FFV1"):
    height, width = frames.shape[1:3]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 12.0, (width, height))
    for frame in frames:
        video.write(np.ascontiguousarray(frame[..., ::-1]))
    video.release()
    return path


def played(path):
    video, frames = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = video.read()
        if not there:
            return np.stack(frames), video.get(cv2.CAP_PROP_FPS)
        frames.append(frame[..., ::-1])


@pytest.fixture
def place(tmp_path):
    record(tmp_path / "clip.avi", pan())
    write_image(tmp_path / "hole.png", logo()[0, ..., None].astype(np.float32))
    return tmp_path


def complete(place, clip="clip.avi", mask="hole.png", same_format=False, **options):
    output = clips.output_of(place / clip, place / "out", same_format)
    assert clips.complete(place / clip, place / mask, output, Telea(), **options) == 0
    assert [path.name for path in (place / "out").iterdir()] == [output.name]
    return played(output)


def test_known_pixels_come_back_bit_for_bit(place, capsys):
    frames, rate = complete(place)
    original, holes = pan(), logo()
    assert frames.shape == original.shape and rate == 12
    np.testing.assert_array_equal(frames[~holes], original[~holes])
    assert np.abs(frames[holes].astype(int) - original[holes]).mean() < 2.5
    assert capsys.readouterr().out == f"{place}/out/clip.mkv\n"
    # A clip of masks, and as many: the same.
    white = np.uint8(255) * logo()[..., None].repeat(3, -1)
    record(place / "masks.mkv", white)
    np.testing.assert_array_equal(complete(place, mask="masks.mkv")[0], frames)
    record(place / "small.mkv", white[:, ::2, ::2])
    complete(place, mask="small.mkv", resize_mask=True)


def test_an_mp4_comes_back_as_one_if_wished(place):
    record(place / "clip.mp4", pan(), "mp4v")
    frames, _ = complete(place, "clip.mp4", same_format=True)
    assert frames.shape == pan().shape
    assert np.abs(frames.astype(int) - pan()).mean() < 12  # it loses some


def test_an_odd_size_is_made_even(place):
    frames = pan()[:3, :41, :57]
    clips.write(place / "odd.mkv", frames, 25)
    back, _ = played(place / "odd.mkv")
    assert back.shape == (3, 42, 58, 3)
    np.testing.assert_array_equal(back[:, :41, :57], frames)


def test_a_clip_that_ends_early_is_read_to_there(place, caplog):
    data = (place / "clip.avi").read_bytes()
    (place / "cut.avi").write_bytes(data[: len(data) // 2])
    frames, _ = complete(place, "cut.avi")
    assert 0 < len(frames) < len(pan())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda place: (place / "clip.avi").write_bytes(b"junk"), "no video that OpenCV reads"),
        (lambda place: (place / "clip.avi").unlink(), "no such file"),
        (lambda place: write_image(place / "hole.png", np.zeros((96, 128, 1))), "nothing to"),
        (lambda place: write_image(place / "hole.png", np.ones((9, 9, 1))), "9x9.*128x96.*resize"),
        (lambda place: (place / "hole.png").write_bytes(b"junk"), "hole.png"),
    ],
)
def test_what_cannot_be_done_leaves_nothing_behind(place, change, words):
    change(place)
    with pytest.raises(InputError, match=words):
        complete(place)
    assert list((place / "out").iterdir()) == []


def test_masks_of_another_length_and_places_that_cannot_be_written_are_refused(place):
    record(place / "masks.mkv", np.full((3, 96, 128, 3), 255, np.uint8))
    with pytest.raises(InputError, match="3 masks for a clip of 8"):
        complete(place, mask="masks.mkv")
    with pytest.raises(InputError, match="overwritten"):
        clips.output_of(place / "clip.mkv", place, False)
    with pytest.raises(InputError, match="webm"):
        clips.output_of(place / "clip.webm", place, True)
    with pytest.raises(InputError, match="temporary files"):
        clips.read(place / "clip.avi", "/dev/full")
