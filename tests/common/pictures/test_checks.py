"""What is no image with its mask is refused in one line, and all else passes unchanged."""

import numpy as np
import pytest

from common.errors import InputError
from common.pictures import checks


def picture(*shape):
    return np.random.default_rng(0).random(shape, np.float32)


def mask(*shape):
    hole = np.zeros((*shape, 1), np.float32)
    hole[..., 2:5, 3:6, :] = 1
    return hole


@pytest.mark.parametrize("shape", [(7, 8), (2, 7, 8), (0, 7, 8)])
@pytest.mark.parametrize("kind", [np.float32, np.float64, np.uint8, bool])
def test_images_pass_and_masks_become_holes(shape, kind):
    image, hole = picture(*shape, 3), mask(*shape)
    found, missing = checks.damaged(image, hole.astype(kind), rank=len(shape) + 1)
    assert found is image and missing.dtype == bool
    np.testing.assert_array_equal(missing[..., None], hole == 1)
    missing[:] = True  # somebody else's to write to
    assert not hole.all() or not hole.size


@pytest.mark.parametrize("nothing", [np.nan, np.inf, -np.inf])
def test_a_hole_may_hold_anything_and_known_pixels_only_numbers(nothing):
    images, holes = picture(2, 7, 8, 3), mask(2, 7, 8)
    images[:, 3, 4] = nothing
    assert checks.damaged(images, holes, rank=4)[0] is images
    images[1, 0, 7, 2] = nothing
    with pytest.raises(InputError, match="^image 1 of the batch holds NaN or infinity where"):
        checks.damaged(images, holes, rank=4)
    with pytest.raises(InputError, match="^the image holds NaN or infinity where it is known"):
        checks.damaged(images[1], holes[1], rank=3)


@pytest.mark.parametrize(
    ("images", "masks", "rank", "reason"),
    [
        (picture(7, 8, 3), mask(7, 8), 4, r"shape \(7, 8, 3\); give \[B, H, W, 3\]"),
        (picture(1, 7, 8, 3), mask(1, 7, 8), 3, r"give \[H, W, 3\]"),
        (picture(7, 8, 1), mask(7, 8), 3, r"give \[H, W, 3\]"),
        (picture(0, 8, 3), mask(0, 8), 3, r"give \[H, W, 3\]"),
        (picture(7, 8, 3), mask(7, 8)[..., 0], 3, r"the mask \(7, 8\) does not fit.*\(7, 8, 1\)$"),
        (picture(7, 8, 3), mask(8, 7), 3, "does not fit"),
        (picture(7, 8, 3), 255 * mask(7, 8), 3, "other values than 0 and 1; threshold it"),
        (picture(7, 8, 3), np.where(mask(7, 8) == 1, np.nan, 0), 3, "other values"),
    ],
)
def test_what_does_not_fit_is_named_in_one_line(images, masks, rank, reason):
    with pytest.raises(InputError, match=reason) as error:
        checks.damaged(images, masks, rank)
    assert "\n" not in str(error.value)


def test_pictures_of_any_rank_have_holes():
    holes = mask(2, 3, 7, 8)
    np.testing.assert_array_equal(checks.holes(holes, (2, 3, 7, 8, 5)), holes[..., 0] == 1)
