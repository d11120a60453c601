"""Holes have the promised shape, place and share, and are a function of the seed alone."""

import itertools
import resource

import cv2
import numpy as np
import pytest
import tensorflow as tf

from common.errors import InputError
from common.pictures import images as image_files
from common.pictures import masks
from common.pictures.masks import MaskSpec, draw

HEIGHT, WIDTH = 24, 40
BANK = np.zeros((4, HEIGHT, WIDTH, 1), np.uint8)
for n in range(4):
    BANK[n, n : n + 2] = 1
RANDOM = ("rectangle", "square", "over_edge", "pixels", "half", "pattern", "freeform", "files")


def spec(*kinds, **settings):
    small = {
        "hole_min": 5,
        "hole_max": 9,
        "brush_min": 2,
        "brush_max": 5,
        "strokes": 2,
        "bank": BANK,
    }
    return MaskSpec(kinds=kinds, **{**small, **settings})


def draws(kind, batch=400, height=HEIGHT, width=WIDTH, seed=(0, 0), **settings):
    """numpy bool [batch, height, width]."""
    return draw(spec(kind, **settings), batch, height, width, seed).numpy()[..., 0] > 0.5


@pytest.fixture(scope="module")
def drawn():
    """{kind: masks} of one seed, of the same seed under XLA, and of another seed."""

    def every_kind(seed):
        return {kind: draw(spec(kind), 4, HEIGHT, WIDTH, seed) for kind in masks.KINDS}

    compiled = tf.function(every_kind, jit_compile=True, autograph=False)(tf.constant([7, 1]))
    return every_kind([7, 1]), compiled, every_kind([7, 2])


@pytest.mark.parametrize("kind", masks.KINDS)
def test_a_mask_is_a_function_of_its_seed_to_the_pixel(drawn, kind):
    eager, compiled, other = (of_kind[kind].numpy() for of_kind in drawn)
    assert eager.shape == (4, HEIGHT, WIDTH, 1)
    assert eager.dtype == np.float32
    assert set(np.unique(eager)) == {0, 1}
    np.testing.assert_array_equal(compiled, eager)
    assert (other != eager).any() == (kind in RANDOM)


@pytest.mark.parametrize("kind", masks.KINDS)
def test_fewer_masks_are_the_first_of_more(drawn, kind):
    np.testing.assert_array_equal(draw(spec(kind), 3, HEIGHT, WIDTH, [7, 1]), drawn[0][kind][:3])


def test_the_centre_square_is_in_the_middle():
    for side, expected in ((0, HEIGHT // 2), (10, 10), (100, HEIGHT)):
        mask = draws("center", 1, hole_size=side)[0]
        assert mask.sum() == expected * min(expected or WIDTH, WIDTH)
        np.testing.assert_array_equal(mask, mask[::-1, ::-1])


@pytest.mark.parametrize("kind", ["rectangle", "square"])
def test_sides_take_every_length_of_their_range_and_holes_every_place(kind):
    drawn = draws(kind)
    top, left, bottom, right = masks.bounding_boxes(drawn[..., None].astype(np.float32)).numpy().T
    heights, widths = bottom - top, right - left
    np.testing.assert_array_equal(drawn.sum((1, 2)), heights * widths)  # solid
    assert set(heights) == set(widths) == set(range(5, 10))
    assert (heights == widths).all() == (kind == "square")
    assert (top.min(), left.min(), bottom.max(), right.max()) == (0, 0, HEIGHT, WIDTH)


def test_squares_over_the_edge_hide_every_pixel_equally_often():
    side, count = 8, 4000
    drawn = draws("over_edge", count, hole_min=side, hole_max=side)
    share = side * side / ((HEIGHT + side - 1) * (WIDTH + side - 1))
    assert abs(drawn.mean(0) - share).max() <= 5 * (share * (1 - share) / count) ** 0.5
    assert drawn.any((1, 2)).all() and drawn.sum((1, 2)).max() == side * side
    assert (drawn.sum((1, 2)) == 1).any()


def test_several_rectangles_are_several():
    parts = [cv2.connectedComponents(m.astype(np.uint8))[0] - 1 for m in draws("square", holes=3)]
    assert max(parts) == 3
    assert min(parts) >= 1


def test_holes_are_told_apart_and_are_together_what_is_drawn():
    several = {"holes": 3, "hole_min": 4, "hole_max": 8}
    for kinds in (("square",), ("rectangle", "center", "over_edge")):
        whole = spec(*kinds, **several)
        each = masks.draw_each(whole, 50, HEIGHT, WIDTH, [3, 4]).numpy()
        assert each.shape == (50, HEIGHT, WIDTH, 3)
        union = each.max(-1, keepdims=True)
        np.testing.assert_array_equal(union, draw(whole, 50, HEIGHT, WIDTH, [3, 4]))
        counts = each.any((1, 2)).sum(-1)
        assert set(counts) <= {0, 1, 2, 3} and (counts == 3).any()
        assert (counts == 1).any() == ("center" in kinds)
        if kinds == ("square",):
            assert (each.sum((1, 2, 3)) > union.sum((1, 2, 3))).any()  # some overlap
    assert masks.draw_each(spec("freeform"), 2, HEIGHT, WIDTH, [0, 0]).shape[-1] == 1


@pytest.mark.parametrize("kind", ["rectangle", "square"])
def test_corners_may_be_drawn_where_the_largest_hole_would_fit(kind):
    each = draws(kind, hole_corners="fit_largest")
    top, left, bottom, right = masks.bounding_boxes(each[..., None].astype(np.float32)).numpy().T
    assert set(bottom - top) == set(right - left) == set(range(5, 10))
    assert (top.max(), left.max()) == (HEIGHT - 9, WIDTH - 9)
    assert (bottom.max(), right.max()) == (HEIGHT, WIDTH)


def test_holes_larger_than_the_image_are_cut_to_it():
    for kind in ("rectangle", "square"):
        drawn = draws(kind, 3, hole_min=64, hole_max=100)
        np.testing.assert_array_equal(drawn.sum((1, 2)), HEIGHT * min(WIDTH, drawn.sum(2).max()))
        assert drawn.sum(2).max() == (WIDTH if kind == "rectangle" else HEIGHT)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.8, 1.0])
def test_pixels_are_missing_with_the_wanted_probability(share):
    drawn = draws("pixels", missing=share)
    assert abs(drawn.mean() - share) <= 4 * (share * (1 - share) / drawn.size) ** 0.5
    place = drawn.mean(0)  # no place is favoured
    assert abs(place - share).max() <= 5 * (share * (1 - share) / len(drawn)) ** 0.5


def test_half_is_one_of_the_four_halves():
    halves = {side: draws(side, 1)[0] for side in masks.SIDES}
    for side, axis, first in (("left", 1, True), ("right", 1, False), ("top", 0, True)):
        expected = np.zeros((HEIGHT, WIDTH), bool)
        middle = expected.shape[axis] // 2
        part = slice(0, middle) if first else slice(middle, None)
        expected[(slice(None), part) if axis else part] = True
        np.testing.assert_array_equal(halves[side], expected)
    np.testing.assert_array_equal(halves["bottom"], ~halves["top"])
    counts = [(draws("half") == half).all((1, 2)).sum() for half in halves.values()]
    assert sum(counts) == 400
    assert min(counts) > 60


@pytest.mark.parametrize("share", [0.1, 0.25, 0.6])
def test_a_pattern_has_the_wanted_share_and_is_smooth(share):
    drawn = draws("pattern", 50, 64, 64, missing_pattern=share)
    shares = drawn.mean((1, 2))
    assert shares.min() >= round(share * 64 * 64) / 64**2
    assert shares.max() <= share + 0.005
    borders = (drawn[:, 1:] != drawn[:, :-1]).mean()
    assert borders < 0.1  # of independent pixels: 2 * share * (1 - share)


def test_a_grid_knows_every_nth_pixel():
    expected = np.ones((HEIGHT, WIDTH), bool)
    expected[::3, ::3] = False
    np.testing.assert_array_equal(draws("grid", 1, grid_step=3)[0], expected)


def assert_one_line(mask):
    """One piece, or several that are connected outside the picture."""
    count, pieces = cv2.connectedComponents(mask)
    rim = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    assert count == 2 or set(rim) >= set(range(1, count))


@pytest.mark.parametrize("brush", [5, 10])
def test_a_stroke_is_one_line_as_wide_as_its_brush(brush):
    drawn = draws("freeform", 30, 64, 64, strokes=1, brush_min=brush, brush_max=brush)
    offsets = np.arange(-brush, brush + 1) ** 2
    # Around the pixel next to a point of the line, this much is missing for sure.
    disc = (offsets[:, None] + offsets <= (brush / 2 - 0.5**0.5) ** 2).astype(np.uint8)
    filled = [cv2.morphologyEx(m.astype(np.uint8), cv2.MORPH_OPEN, disc) for m in drawn]
    assert np.sum(filled) >= 0.9 * drawn.sum()  # nowhere thinner
    for mask in drawn.astype(np.uint8):
        assert_one_line(mask)
        depth = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        # Nowhere wider than where its four segments lie side by side.
        assert 0 < depth.max() <= 4 * brush / 2
    assert draws("freeform", strokes=4).sum((1, 2)).min() > 0


@pytest.mark.parametrize(
    ("height", "width", "brush"), [(24, 40, (1, 9)), (6, 30, (2, 3)), (1, 1, (1, 2))]
)
def test_a_stroke_is_what_is_within_half_a_brush_of_its_segments(height, width, brush):
    """In exact numbers, pixel by pixel; the smallest pictures have segments without a length."""
    strokes = spec("freeform", strokes=2, brush_min=brush[0], brush_max=brush[1])
    ends, widths = (x.numpy() for x in masks._strokes(strokes, 8, height, width, [3, 4]))
    found = draw(strokes, 8, height, width, [3, 4]).numpy()[..., 0]
    rows, columns = np.mgrid[:height, :width].astype(object)
    for image, points, brushes in zip(found, ends, widths, strict=True):
        missing = np.zeros((height, width), bool)
        for chain, wide in zip(points.astype(object), brushes.astype(object), strict=True):
            for (y0, x0), (y1, x1) in itertools.pairwise(chain):
                dy, dx = y1 - y0, x1 - x0
                length = max(dy * dy + dx * dx, 1)
                nearest = (rows - y0) * dy + (columns - x0) * dx
                nearest = np.clip(nearest, 0, length)
                off = [(rows - y0) * length - nearest * dy, (columns - x0) * length - nearest * dx]
                missing |= 4 * (off[0] ** 2 + off[1] ** 2) <= (wide * length) ** 2
        np.testing.assert_array_equal(image > 0, missing)
    assert (ends[:, :, 1:] == ends[:, :, :-1]).all(-1).any() or height > 6


@pytest.mark.parametrize("size", [512, 3072])
def test_strokes_on_large_images_neither_overflow_nor_fill_the_memory(size):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    settings = {"strokes": 1, "brush_min": 8, "brush_max": 20}
    mask = draws("freeform", 1, size, size, seed=(0, 3), **settings)[0].astype(np.uint8)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # in KiB
    assert_one_line(mask)
    # Four segments, each at most a quarter of the picture's diagonal.
    assert 0 < mask.sum() <= 4 * 20 * (size * 2**0.5 / 4 + 20)
    assert grown * 1024 <= 15 * 8 * size * size


def test_every_mask_of_a_bank_is_drawn():
    drawn = draws("files", 100)
    number = [[(mask == entry[..., 0]).all() for entry in BANK].index(True) for mask in drawn]
    assert set(number) == {0, 1, 2, 3}
    with pytest.raises(InputError, match=r"\(24, 40\).*\(12, 12\)"):
        draw(spec("files"), 1, 12, 12, [0, 0])


def test_of_several_kinds_all_appear_and_nothing_else():
    kinds = ("left", "grid", "center")
    drawn = draw(spec(*kinds), 60, HEIGHT, WIDTH, [0, 0]).numpy()[..., 0] > 0.5
    single = [draws(kind, 1)[0] for kind in kinds]
    which = [[(mask == one).all() for one in single].index(True) for mask in drawn]
    assert min(which.count(n) for n in range(3)) > 8


def test_the_mask_of_an_image_does_not_depend_on_the_others():
    one = spec("rectangle", "pixels")
    drawn = [masks.draw_one(one, HEIGHT, WIDTH, 5, index) for index in range(4)]
    np.testing.assert_array_equal(masks.draw_one(one, HEIGHT, WIDTH, 5, 2), drawn[2])
    assert drawn[0].shape == (HEIGHT, WIDTH, 1)
    assert all((drawn[n] != drawn[m]).any() for n in range(4) for m in range(n))
    assert (masks.draw_one(one, HEIGHT, WIDTH, 6, 2) != drawn[2]).any()


def test_bounding_boxes_are_the_smallest():
    holes = np.zeros((4, 9, 11, 1), np.float32)
    holes[0, 2:5, 3:10] = 1
    holes[1, 8, 0] = holes[1, 4, 7] = 1
    holes[2] = 1
    expected = [[2, 3, 5, 10], [4, 0, 9, 8], [0, 0, 9, 11], [0, 0, 9, 11]]
    np.testing.assert_array_equal(masks.bounding_boxes(holes), expected)


def test_scaled_holes_are_as_many_times_as_wide():
    half = spec("square", hole_size=10, hole_min=6, hole_max=9, brush_min=1).scaled(0.5)
    assert (half.hole_size, half.hole_min, half.hole_max) == (5, 3, 4)
    assert (half.brush_min, half.brush_max) == (1, 2)
    assert (half.kinds, half.grid_step) == (("square",), 4)


def test_scaled_mask_files_are_those_of_the_smaller_size(tmp_path):
    for n in range(3):
        image_files.write_image(tmp_path / f"{n}.png", BANK[n].astype(np.float32))
    at = {size: masks.read_bank(tmp_path, size, 2 * size) for size in (12, 24)}
    half = MaskSpec(("files",), bank=at[24]).scaled(0.5)
    np.testing.assert_array_equal(half.bank, at[12])
    assert draw(half, 2, 12, 24, [0, 0]).shape == (2, 12, 24, 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kinds": ("disc",)}, "mask_kind.*disc.*rectangle"),
        ({"kinds": ()}, "mask_kind"),
        ({"hole_min": 9, "hole_max": 8}, "hole_min=9.*hole_max=8"),
        ({"hole_min": 0}, "hole_min=0"),
        ({"hole_corners": "middle"}, "hole_corners=middle"),
        ({"brush_min": 9, "brush_max": 8}, "brush_min=9.*brush_max=8"),
        ({"kinds": ("files",)}, "--mask="),
    ],
)
def test_contradictions_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        MaskSpec(**settings)


def test_mask_files_are_read_at_the_wanted_size(tmp_path):
    small = np.zeros((4, 6, 1), np.float32)
    small[1, 2:4] = 1
    image_files.write_image(tmp_path / "b.png", small)
    image_files.write_image(tmp_path / "a" / "c.png", 1 - small)
    one = masks.spec_from_source(["files"], str(tmp_path), 8, 12)
    assert one.bank.dtype == np.uint8
    expected = small.repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(one.bank, [1 - expected, expected])
    assert masks.spec_from_source(["grid"], None, 8, 12).bank is None


def test_mask_files_that_cannot_serve_are_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        masks.spec_from_source(["files"], str(tmp_path / "nowhere"), 8, 8)
    image_files.write_image(tmp_path / "black.png", np.zeros((4, 4, 1), np.float32))
    with pytest.raises(InputError, match="black.png.*no missing"):
        masks.read_bank(str(tmp_path), 8, 8)
