"""What other frames show comes from there, the rest is invented once, known pixels stay."""

import cv2
import numpy as np
import pytest

from common.completion import blending, propagation
from common.errors import InputError

COUNT, HEIGHT, WIDTH = 8, 96, 128


def texture(seed, height=160, width=320):
    """uint8 RGB with detail at several sizes, everywhere different."""
    generator = np.random.default_rng(seed)
    layers = [
        cv2.resize(generator.random((height // n, width // n, 3)), (width, height)) for n in (6, 20)
    ]
    return np.uint8(255 * (layers[0] + 2 * layers[1]) / 3)


def pan(seed=0, speed=4):
    """A camera that moves so many pixels a frame to the right."""
    wide = texture(seed)
    return np.stack([wide[30 : 30 + HEIGHT, 20 + speed * t :][:, :WIDTH] for t in range(COUNT)])


def logo(height=20, width=28):
    """The same hole in every frame."""
    holes = np.zeros((COUNT, HEIGHT, WIDTH), bool)
    holes[:, 40 : 40 + height, 50 : 50 + width] = True
    return holes


def telea(image, mask):
    return blending.telea(image, mask)


def completed(frames, holes, complete=telea, **options):
    """(the completed clip, the masks that ``complete`` was asked for)."""
    work, asked = frames.copy(), []
    work[holes] = 77

    def noting(image, mask):
        asked.append(mask[..., 0] > 0)
        assert not image[asked[-1]].any()
        return complete(image, mask)

    count = propagation.complete_clip(work, holes, noting, **options)
    assert count == len(asked)
    return work, asked


def error(one, other, holes):
    return np.abs(one[holes].astype(int) - other[holes]).mean()


def test_what_others_show_is_carried_and_the_rest_invented_once():
    frames, holes = pan(), logo()
    work, asked = completed(frames, holes)
    np.testing.assert_array_equal(work[~holes], frames[~holes])
    # 28 px at 4 a frame are seen within 8 frames; a seam where both ways meet may be left.
    assert sum(mask.sum() for mask in asked) < 0.03 * holes.sum()
    alone = np.stack([np.uint8(255 * telea(f / np.float32(255), h[..., None] + np.float32(0)))
                      for f, h in zip(frames, holes, strict=True)])  # fmt: skip
    assert error(work, frames, holes) < 2.5 < error(alone, frames, holes) / 4
    flows = [propagation.flow_between(*pair) for pair in zip(frames, frames[1:], strict=False)]
    shown = [propagation.flicker(clip, holes, flows) for clip in (frames, work, alone)]
    assert shown[0] <= shown[1] < shown[2] / 20


def test_hidden_pixels_have_no_part_in_it():
    frames, holes = pan(), logo()
    once, _ = completed(frames, holes)
    junk = frames.copy()
    junk[holes] = np.random.default_rng(1).integers(0, 256, (holes.sum(), 3))
    propagation.complete_clip(junk, holes, telea)
    np.testing.assert_array_equal(junk, once)


def test_what_no_frame_shows_is_invented_once_and_stays():
    still = np.repeat(pan()[:1], COUNT, axis=0)
    work, asked = completed(still, logo())
    assert len(asked) == 1
    assert (work == work[:1]).all()
    assert completed(still, np.zeros_like(logo()))[1] == []


def test_nothing_is_carried_across_a_cut():
    frames = np.concatenate([pan(0)[:4], pan(5)[:4]])
    holes = logo()
    holes[4:] = False
    whole, _ = completed(frames, holes)
    before = frames[:4].copy()
    propagation.complete_clip(before, holes[:4], telea)
    np.testing.assert_array_equal(whole[:4], before)
    holes[:] = logo()
    assert error(completed(frames, holes)[0], frames, holes) < 20


def test_a_change_of_light_is_followed():
    light = np.linspace(0.6, 1.2, COUNT)[:, None, None, None]
    frames, holes = np.uint8(np.minimum(0.8 * pan() * light, 255)), logo()
    assert error(completed(frames, holes)[0], frames, holes) < 5


def test_a_frame_that_shows_nothing_is_taken_from_the_others():
    frames, holes = np.repeat(pan()[:1], COUNT, axis=0), np.zeros_like(logo())
    holes[3] = True
    work, asked = completed(frames, holes)
    assert asked == [] and error(work, frames, holes) == 0


def test_the_flow_is_continued_harmonically():
    rows, columns = np.mgrid[:40, :50].astype(np.float32)
    plane = np.dstack([0.1 * rows - 3, 0.2 * columns])
    hole = (rows - 20) ** 2 + (columns - 25) ** 2 < 15**2
    given = np.where(hole[..., None], np.nan, plane)
    np.testing.assert_allclose(propagation.continued(given, hole), plane, atol=0.15)


def test_beyond_the_border_the_flow_stays_as_it_is():
    flow, hole = np.full((40, 50, 2), 3, np.float32), np.zeros((40, 50), bool)
    hole[:20, :15] = hole[30:, 40:] = True
    np.testing.assert_allclose(propagation.continued(flow, hole), flow, atol=1e-5)


def test_all_is_counted_and_what_cannot_be_done_is_refused():
    seen = []
    work = pan()
    propagation.complete_clip(work, logo(), telea, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (4 * COUNT, 4 * COUNT) and seen == sorted(seen)
    with pytest.raises(InputError, match="nothing is known"):
        propagation.complete_clip(pan(), np.ones_like(logo()), telea)
    with pytest.raises(InputError, match="16x16 at least"):
        propagation.complete_clip(pan()[:, :9], logo()[:, :9], telea)
