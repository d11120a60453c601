"""Blending hides the seam, shifts nothing, and leaves every known pixel alone."""

import pathlib
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

from common.completion import blending
from common.errors import InputError
from common.pictures.images import from_uint8, read_image, to_uint8

LEVEL = 1 / 255
SEAMLESS = ("poisson", "telea_poisson")
OFFSET = np.float32([0.12, -0.08, 0.1])
SIZE = 64


def smooth_picture(height=SIZE, width=SIZE):
    """A picture with slow waves, values 0.3 to 0.7, that no 8-bit rounding reproduces."""
    y, x = np.mgrid[:height, :width].astype(np.float32) / SIZE
    waves = [np.sin(2 * x + y), np.cos(x - 2 * y), np.sin(3 * x * y)]
    return (0.5 + 0.2 * np.stack(waves, -1)).astype(np.float32)


def noise_picture(height=SIZE, width=SIZE, seed=0):
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def rectangle(top, left, height, width, size=(SIZE, SIZE)):
    mask = np.zeros((*size, 1), np.float32)
    mask[top : top + height, left : left + width] = 1
    return mask


def disc(row=32, column=30, radius=14):
    y, x = np.mgrid[:SIZE, :SIZE]
    return ((y - row) ** 2 + (x - column) ** 2 < radius**2).astype(np.float32)[..., None]


def strokes():
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for start, end in (((5, 10), (58, 50)), ((10, 55), (55, 8)), ((30, 4), (30, 60))):
        cv2.line(mask, start, end, 1, 9)
    return mask[..., None].astype(np.float32)


def dots(density, size=SIZE, seed=0):
    mask = np.random.default_rng(seed).random((size, size, 1)) < density
    return mask.astype(np.float32)


INNER_HOLES = {
    "even square": rectangle(20, 24, 24, 24),
    "odd square": rectangle(21, 18, 25, 25),
    "even by odd": rectangle(10, 20, 30, 17),
    "odd by even": rectangle(11, 9, 15, 40),
    "disc": disc(),
    "strokes": strokes(),
    "two squares": np.maximum(rectangle(8, 8, 20, 15), rectangle(36, 30, 17, 22)),
    "touching corners": np.maximum(rectangle(10, 10, 20, 20), rectangle(30, 30, 20, 20)),
    "ring": rectangle(10, 10, 44, 44) - rectangle(22, 22, 20, 20),
}
BORDER_HOLES = {
    "top": rectangle(0, 20, 20, 21),
    "right": rectangle(20, 44, 20, 20),
    "left bottom corner": rectangle(40, 0, 24, 23),
    "near the border": rectangle(2, 20, 20, 21),
    "band": rectangle(20, 0, 21, SIZE),
    "half": rectangle(0, 32, SIZE, 32),
    "outside a square": 1 - rectangle(16, 16, 32, 32),
    "all corners": 1 - np.maximum(rectangle(10, 0, 44, SIZE), rectangle(0, 10, SIZE, 44)),
}
TINY_HOLES = {
    "1 pixel": rectangle(30, 31, 1, 1),
    "2 pixels": rectangle(30, 31, 1, 2),
    "2 by 2": rectangle(30, 31, 2, 2),
    "3 by 3": rectangle(30, 31, 3, 3),
    "thin line": rectangle(30, 5, 2, 50),
    "corner pixel": rectangle(0, 0, 1, 1),
    "border line": rectangle(0, 0, 1, SIZE),
    "scattered": dots(0.05),
    "half at random": dots(0.5),
}
HOLES = INNER_HOLES | BORDER_HOLES | TINY_HOLES
every_hole = pytest.mark.parametrize("mask", HOLES.values(), ids=HOLES.keys())
every_method = pytest.mark.parametrize("method", blending.BLEND_METHODS)
seamless = pytest.mark.parametrize("method", SEAMLESS)


def error(a, b, mask):
    """The mean absolute difference inside the hole."""
    return np.abs(a - b)[mask[..., 0] == 1].mean()


@every_hole
@every_method
def test_known_pixels_are_kept_to_the_bit_and_hidden_ones_are_never_read(mask, method):
    image, completed = noise_picture(), noise_picture(seed=1)
    known = mask[..., 0] == 0
    image[known] *= np.float32(1.1)  # beyond [0, 1]: even that must survive
    blended = blending.blend(image, completed, mask, method)
    assert blended.shape == image.shape and blended.dtype == np.float32
    assert blended[known].tobytes() == image[known].tobytes()
    for hidden in (0, 1, np.nan, np.inf):
        other = np.where(mask == 1, np.float32(hidden), image)
        assert blending.blend(other, completed, mask, method).tobytes() == blended.tobytes()


@every_hole
@every_method
def test_what_the_network_says_about_known_pixels_is_never_read(mask, method):
    image, completed = noise_picture(), noise_picture(seed=1)
    blended = blending.blend(image, completed, mask, method)
    other = np.where(mask == 0, np.float32(np.nan), completed)
    assert blending.blend(image, other, mask, method).tobytes() == blended.tobytes()


@every_hole
def test_a_picture_cloned_onto_itself_is_unchanged(mask):
    """Noise would differ wildly if anything moved by a single pixel."""
    truth = from_uint8(to_uint8(noise_picture()))
    assert np.abs(blending.poisson(truth, truth, mask) - truth).max() < 1.01 * LEVEL


@pytest.mark.parametrize("mask", (INNER_HOLES | BORDER_HOLES).values())
@seamless
def test_detail_stays_where_the_network_put_it(mask, method):
    """A blend correlates with the network's detail in place, and not a pixel off."""
    image = smooth_picture()
    detail = 0.1 * (noise_picture(seed=2) - 0.5)
    blended = blending.blend(image, image + detail + OFFSET, mask, method) - image
    deep = cv2.erode(mask, np.ones((9, 9))) == 1
    assert np.corrcoef(blended[deep].ravel(), detail[deep].ravel())[0, 1] > 0.9
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        moved = np.roll(detail, step, axis)
        assert abs(np.corrcoef(blended[deep].ravel(), moved[deep].ravel())[0, 1]) < 0.3


@pytest.mark.parametrize("mask", HOLES.values(), ids=HOLES.keys())
@seamless
def test_a_colour_offset_is_removed(mask, method):
    truth = smooth_picture()
    blended = blending.blend(truth, truth + OFFSET, mask, method)
    left = error(blended, truth, mask)
    outpainted = mask[[0, -1]].all() and mask[:, [0, -1]].all()  # Telea has to guess far out
    assert left < (0.05 if outpainted and method == "telea_poisson" else 0.02)
    assert left < 0.5 * error(truth + OFFSET, truth, mask)


@pytest.mark.parametrize("mask", INNER_HOLES.values(), ids=INNER_HOLES.keys())
@seamless
def test_the_seam_shows_no_step(mask, method):
    """Next to the seam the jump in colour is that of the picture, within a few levels."""
    truth = smooth_picture()
    blended = blending.blend(truth, truth + OFFSET, mask, method)
    rim = (mask[..., 0] == 1) & (cv2.erode(mask, np.ones((3, 3))) == 0)
    assert np.abs(blended - truth)[rim].mean() < 2 * LEVEL
    assert np.abs(blended - truth)[rim].max() < 8 * LEVEL


def test_poisson_without_a_guess_restores_an_offset_better_than_telea_on_detail():
    """On detail Telea's guess binds the colours to its own errors, known pixels do not."""
    truth = smooth_picture() + 0.3 * (noise_picture(seed=3) - 0.5)
    mask = INNER_HOLES["even square"]
    left = {m: error(blending.blend(truth, truth + OFFSET, mask, m), truth, mask) for m in SEAMLESS}
    assert left["poisson"] < left["telea_poisson"]


@every_method
def test_without_a_hole_the_picture_is_returned(method):
    image, mask = noise_picture(), np.zeros((SIZE, SIZE, 1), np.float32)
    blended = blending.blend(image, noise_picture(seed=1), mask, method)
    assert blended.tobytes() == image.tobytes()
    assert not np.shares_memory(blended, image)


@every_method
@pytest.mark.parametrize("shape", [(SIZE, SIZE), (1, 1), (2, 9)])
def test_where_nothing_is_known_the_completion_is_returned(shape, method):
    image = np.full((*shape, 3), np.nan, np.float32)
    completed, mask = noise_picture(*shape), np.ones((*shape, 1), np.float32)
    blended = blending.blend(image, completed, mask, method)
    assert blended.tobytes() == completed.tobytes()


@every_method
@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (2, 2), (3, 40), (9, 9)])
def test_tiny_pictures_are_blended_too(shape, method):
    image, completed = noise_picture(*shape), noise_picture(*shape, seed=1)
    mask = np.ones((*shape, 1), np.float32)
    mask[0, 0] = 0
    blended = blending.blend(image, completed, mask, method)
    assert np.isfinite(blended).all()
    assert (blended[0, 0] == image[0, 0]).all()


@seamless
def test_two_holes_far_apart_do_not_influence_each_other(method):
    image, completed = noise_picture(), noise_picture(seed=1)
    first, second = rectangle(5, 6, 16, 15), rectangle(40, 35, 17, 18)
    both = blending.blend(image, completed, first + second, method)
    for mask in (first, second):
        alone = blending.blend(image, completed, mask, method)
        assert error(both, alone, mask) == 0


@seamless
def test_turning_the_picture_turns_the_result(method):
    """No side of the picture is treated unlike the others, up to rounding."""
    truth = smooth_picture()
    for mask in (BORDER_HOLES["top"], BORDER_HOLES["left bottom corner"], INNER_HOLES["disc"]):
        blended = blending.blend(truth, truth + OFFSET, mask, method)
        for turn in (np.rot90, np.flipud, np.fliplr):
            args = [np.ascontiguousarray(turn(a)) for a in (truth, truth + OFFSET, mask)]
            assert error(blending.blend(*args, method), turn(blended), turn(mask)) < 2 * LEVEL


def test_telea_on_a_crop_equals_telea_on_the_whole_picture():
    image = noise_picture(160, 200)
    mask = np.maximum(
        rectangle(30, 25, 21, 30, (160, 200)), rectangle(120, 150, 40, 20, (160, 200))
    )
    hole = mask[..., 0].astype(np.uint8)
    for radius in (1, 3, 5, 9):
        filled = blending.telea(image, mask, radius)
        for channel in range(3):
            levels = np.rint(image[..., channel] * np.float32(65535)).astype(np.uint16)
            whole = from_uint8(cv2.inpaint(levels, hole, radius, cv2.INPAINT_TELEA), 65535)
            expected = np.where(hole == 1, whole, image[..., channel])
            assert (filled[..., channel] == expected).all()


@every_hole
def test_telea_continues_a_constant_picture(mask):
    image = np.where(mask == 1, np.float32(np.nan), np.float32([0.2, 0.4, 0.6]))
    assert np.abs(blending.telea(image, mask) - np.float32([0.2, 0.4, 0.6])).max() < 0.1 * LEVEL


def test_telea_with_nothing_known_is_grey():
    image = np.full((8, 8, 3), np.nan, np.float32)
    assert (blending.telea(image, np.ones((8, 8, 1))) == 0.5).all()


@pytest.mark.parametrize("shape", [(5, 6, 3), (2, 5, 6, 3), (2, 3, 5, 6, 1)])
def test_paste_takes_any_rank(shape):
    rng = np.random.default_rng(0)
    images, completed = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    masks = (rng.random((*shape[:-1], 1)) < 0.5).astype(np.float32)
    pasted = blending.paste(images, completed, masks)
    np.testing.assert_array_equal(pasted, masks * completed + (1 - masks) * images)
    hidden, unasked = np.where(masks == 1, np.nan, images), np.where(masks == 0, np.nan, completed)
    assert blending.paste(hidden, unasked, masks).astype(np.float32).tobytes() == pasted.tobytes()


@seamless
@pytest.mark.parametrize("density", [0.02, 0.1, 0.25, 0.5, 0.8])
def test_thousands_of_components_take_less_than_two_seconds(density, method):
    image, mask = noise_picture(128, 128), dots(density, 128)
    start = time.perf_counter()
    blended = blending.blend(image, noise_picture(128, 128, seed=1), mask, method)
    assert time.perf_counter() - start < 2
    assert np.isfinite(blended).all()


@seamless
def test_a_large_picture_is_blended_around_its_hole_only(method):
    image = cv2.resize(smooth_picture(), (3000, 2000))
    completed = image + OFFSET
    mask = rectangle(1203, 2100, 300, 300, (2000, 3000))
    start = time.process_time()
    blended = blending.blend(image, completed, mask, method)
    assert time.process_time() - start < 2  # about 0.3 s on an idle machine
    assert error(blended, image, mask) < 0.02
    crop = np.s_[1150:1550, 2050:2450]
    small = blending.blend(image[crop], completed[crop], mask[crop], method)
    assert (blended[crop] == small).all()


def large_holes(size=192):
    """Holes for a picture of which only small crops are blended whole: thick ones, all others."""
    square = rectangle(52, 45, 98, 91, (size, size))
    scratches = np.zeros((size, size), np.uint8)
    for start, end in (((4, 8), (184, 150)), ((180, 15), (11, 184)), ((90, 3), (97, 188))):
        cv2.line(scratches, start, end, 1, 7)
    scratches = scratches[..., None].astype(np.float32)
    thick = {
        "large square": square,
        "large corner": rectangle(0, 0, 100, 113, (size, size)),
        "large band": rectangle(56, 0, 76, size, (size, size)),
    }
    return thick, {
        "scratches": scratches,
        "scratches and a square": np.maximum(scratches, square),
        "most at random": dots(0.8, 128),
        "dots and a square": np.maximum(dots(0.5, 144), rectangle(37, 41, 60, 53, (144, 144))),
    }


THICK_HOLES, MIXED_HOLES = large_holes()
LARGE_HOLES = THICK_HOLES | MIXED_HOLES


def ramp(shape, slope):
    """Colours off by -`slope` at the left to +`slope` at the right."""
    return np.broadcast_to(np.linspace(-slope, slope, shape[1], dtype=np.float32)[:, None], shape)


def blend_in_parts(image, completed, mask, method):
    """`blend` where no crop of more than 72 by 72 pixels may be blended whole."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blending, "MAX_CROP", 72 * 72)
        return blending.blend(image, completed, mask, method)


@pytest.mark.parametrize("mask", LARGE_HOLES.values(), ids=LARGE_HOLES.keys())
@seamless
def test_in_parts_known_pixels_are_kept_and_hidden_ones_never_read(mask, method):
    image, completed = noise_picture(*mask.shape[:2]), noise_picture(*mask.shape[:2], seed=1)
    blended = blend_in_parts(image, completed, mask, method)
    assert blended[mask[..., 0] == 0].tobytes() == image[mask[..., 0] == 0].tobytes()
    hidden, unasked = np.where(mask == 1, np.nan, image), np.where(mask == 0, np.nan, completed)
    assert blend_in_parts(hidden, unasked, mask, method).tobytes() == blended.tobytes()


@pytest.mark.parametrize("mask", THICK_HOLES.values(), ids=THICK_HOLES.keys())
@seamless
def test_a_shrunk_correction_agrees_with_the_whole_one(mask, method):
    truth = cv2.resize(smooth_picture(), mask.shape[:2])
    completed = truth + OFFSET + ramp(truth.shape, 0.1)
    whole = blending.blend(truth, completed, mask, method)
    parts = blend_in_parts(truth, completed, mask, method)
    assert error(parts, whole, mask) < LEVEL
    assert np.quantile(np.abs(parts - whole)[mask[..., 0] == 1], 0.99) < 3 * LEVEL


@pytest.mark.parametrize("mask", LARGE_HOLES.values(), ids=LARGE_HOLES.keys())
@seamless
def test_in_parts_the_truth_is_approached_as_well_as_by_the_whole(mask, method):
    truth = cv2.resize(smooth_picture(), mask.shape[:2])
    completed = truth + OFFSET + ramp(truth.shape, 0.1)
    whole = blending.blend(truth, completed, mask, method)
    parts = blend_in_parts(truth, completed, mask, method)
    assert error(parts, truth, mask) < error(whole, truth, mask) + 0.5 * LEVEL


@pytest.mark.parametrize("axes", [(0, 1), (1, 0)], ids=["across", "down"])
def test_a_shrunk_correction_is_not_shifted(axes):
    """What is left of a slope has two signs; a shifted correction leaves one, and turns with it.

    Cloned over the hole alone ("telea_poisson") a slope is kept in the middle of the hole only,
    and not quite in the middle: that is OpenCV's, at full resolution too.
    """
    slope, grey = 0.35, np.float32(102 * LEVEL)
    mask = THICK_HOLES["large square"].transpose(*axes, 2)
    truth = np.full((*mask.shape[:2], 3), grey)
    offset = ramp(truth.shape, slope).transpose(*axes, 2)
    deep = cv2.erode(mask, np.ones((25, 25))) == 1
    up, down = (blend_in_parts(truth, truth + o, mask, "poisson") for o in (offset, -offset))
    shift = (up - down)[deep].mean() * mask.shape[0] / (4 * slope)  # pixels
    assert abs(shift) < 0.25


MEASURE_MEMORY = """
import pathlib, re, sys
import numpy as np
from common.completion import blending

def kib(field):
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(field + r":\\s+(\\d+)", status)[1])

blending.MAX_CROP //= 4  # as much less as the picture is smaller than one of 12 megapixels
image = np.full((1500, 2000, 3), 0.5, np.float32)
completed = np.full((1500, 2000, 3), 0.6, np.float32)
mask = np.zeros((1500, 2000, 1), np.float32)
mask[:, 1000:] = 1
mask[250, :1000] = 1
before = kib("VmRSS")
blending.blend(image, completed, mask, sys.argv[1])
print((kib("VmHWM") - before) / 2**20)
"""


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@seamless
def test_a_large_hole_in_a_large_picture_takes_little_memory(method):
    """VmHWM, since getrusage's ru_maxrss begins with that of the process which started this one."""
    command = [sys.executable, "-c", MEASURE_MEMORY, method]
    root = pathlib.Path(blending.__file__).parents[2]
    done = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    assert float(done.stdout) < 0.35  # GiB, the result included


def test_wrong_input_is_named():
    image, mask = noise_picture(), disc()
    with pytest.raises(InputError, match="differ in shape"):
        blending.blend(image, image[:-1], mask, "none")
    with pytest.raises(InputError, match="differ in shape"):
        blending.paste(image, image[None], mask)
    with pytest.raises(InputError, match="does not fit"):
        blending.blend(image, image, mask[:-1], "poisson")
    with pytest.raises(InputError, match="does not fit"):
        blending.telea(image, mask[..., 0])
    with pytest.raises(InputError, match=r"\[H, W, 3\]"):
        blending.poisson(image[None], image[None], mask[None])
    for wrong in (0.5 * mask, 255 * mask, np.where(mask == 1, np.nan, 0)):
        for method in blending.BLEND_METHODS:
            with pytest.raises(InputError, match="threshold"):
                blending.blend(image, image, wrong, method)
    with pytest.raises(InputError, match="choose from none, poisson, telea_poisson"):
        blending.blend(image, image, mask, "possion")
    with pytest.raises(InputError, match="radius"):
        blending.telea(image, mask, radius=0)


@seamless
def test_a_shifted_blurred_face_comes_nearer_to_the_truth(shared_data, method):
    ratios = []
    for path in sorted((shared_data / "celeba128" / "test").iterdir())[:8]:
        truth = read_image(path)
        mask = rectangle(40, 40, 48, 48, truth.shape[:2])
        completed = np.clip(cv2.GaussianBlur(truth, (0, 0), 1.5) + OFFSET, 0, 1)
        blended = blending.blend(truth, completed, mask, method)
        ratios.append(error(blended, truth, mask) / error(completed, truth, mask))
    assert np.mean(ratios) < (0.7 if method == "poisson" else 0.95)
