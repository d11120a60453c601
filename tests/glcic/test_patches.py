"""The local discriminator's square is on the hole or, of several, on each in some of the steps."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from common.pictures import masks
from common.pictures.masks import MaskSpec
from glcic import patches

SIDE, PATCH = 48, 20
KINDS = {
    "one rectangle": MaskSpec(("rectangle",), holes=1, hole_min=3, hole_max=PATCH),
    "one large rectangle": MaskSpec(("rectangle",), holes=1, hole_min=25, hole_max=40),
    "three squares": MaskSpec(("square",), holes=3, hole_min=4, hole_max=PATCH),
    "strokes": MaskSpec(("freeform",), strokes=3, brush_min=1, brush_max=4),
    "few pixels": MaskSpec(("pixels",), missing=0.02),
    "most pixels": MaskSpec(("pixels",), missing=0.8),
    "half": MaskSpec(("half",)),
}


@functools.cache
def graph(compiled):
    """``patches.corners`` as a graph, traced once for all holes of a shape."""
    return tf.function(patches.corners, jit_compile=compiled, autograph=False)


def places(holes, seed=(0, 0), compiled=None):
    """Corners, eager or from a graph."""
    call = patches.corners if compiled is None else graph(compiled)
    return call(tf.constant(holes), PATCH, tf.constant(seed)).numpy()


def centred(top, left, bottom, right):
    """The corner of the square that is centred on a box and moved inside."""
    limit = SIDE - PATCH
    return (
        min(max((top + bottom - PATCH) // 2, 0), limit),
        min(max((left + right - PATCH) // 2, 0), limit),
    )


def allowed(hole):
    """Corners that a hole [H, W] may get, and the boxes of its parts, by scipy."""

    def box(found):
        (rows, columns) = found
        return rows.start, columns.start, rows.stop, columns.stop

    def fits(top, left, bottom, right):
        return max(bottom - top, right - left) <= PATCH

    whole = box(ndimage.find_objects(hole.astype(int))[0])
    if fits(*whole):
        return {centred(*whole)}
    labels, _ = ndimage.label(hole, np.ones((3, 3)))
    corners = set()
    for number, found in enumerate(ndimage.find_objects(labels), 1):
        if fits(*box(found)):
            corners.add(centred(*box(found)))
        else:
            pixels = np.argwhere(labels == number)
            corners |= {centred(row, column, row + 1, column + 1) for row, column in pixels}
    return corners


def test_patches_are_centred_on_the_hole_and_moved_inside_at_the_border():
    rows, columns = np.indices((16, 20))
    images = np.stack([np.stack([rows, columns], -1)] * 4).astype(np.float32)
    holes = np.zeros((4, 16, 20, 1), np.float32)
    holes[0, 5:9, 7:13] = 1  # centred at (7, 10)
    holes[1, 0:3, 18:20] = 1  # at the upper right corner
    holes[2, 15, 0] = holes[2, 11, 5] = 1  # two pixels that fit together; box 11..16, 0..6
    expected = [(4, 7), (0, 14), (10, 0), (5, 7)]  # without a hole: the middle
    for compiled in (False, True):

        def seen(images, holes):
            return patches.cut(images, patches.corners(holes, 6, [3, 4]), 6)

        squares = tf.function(seen, jit_compile=compiled, autograph=False)(images, holes).numpy()
        assert squares.shape == (4, 6, 6, 2)
        for n, (top, left) in enumerate(expected):
            np.testing.assert_array_equal(
                squares[n], images[n, top : top + 6, left : left + 6], err_msg=str(n)
            )


@pytest.mark.parametrize("kind", KINDS)
def test_a_square_is_on_one_of_the_holes_eager_or_compiled(kind):
    holes = masks.draw(KINDS[kind], 24, SIDE, SIDE, [1, 2]).numpy()
    found = places(holes, (5, 6))
    for corner, hole in zip(found, holes[..., 0] > 0, strict=True):
        assert tuple(corner) in allowed(hole)
    for compiled in (False, True):
        np.testing.assert_array_equal(places(holes, (5, 6), compiled), found)
    others = places(holes, (5, 7))
    assert (others == found).all() == (kind == "one rectangle")


def drawn(hole, count=300):
    """Corners of so many draws for one hole [H, W]."""
    return places(np.repeat(hole[None, ..., None].astype(np.float32), count, axis=0))


def test_holes_that_fit_together_are_seen_together_in_every_step():
    hole = np.zeros((SIDE, SIDE), bool)
    hole[12:15, 10:13] = hole[26:31, 28:30] = True  # 19 x 20 pixels
    assert {tuple(corner) for corner in drawn(hole)} == {centred(12, 10, 31, 30)}


def test_each_of_several_holes_is_seen_whole_as_often_as_its_area_says():
    hole = np.zeros((SIDE, SIDE), bool)
    boxes = [(2, 3, 10, 11), (30, 28, 46, 44), (5, 40, 9, 44)]
    for top, left, bottom, right in boxes:
        hole[top:bottom, left:right] = True
    together = np.array(centred(2, 3, 46, 44))
    assert not any((together <= box[:2]).all() for box in boxes[:1]), "the old place misses one"
    found = drawn(hole)
    for top, left, bottom, right in boxes:
        chosen = (found == centred(top, left, bottom, right)).all(axis=1)
        corner = found[chosen][0]
        assert (corner <= (top, left)).all() and (corner + PATCH >= (bottom, right)).all()
        share = (bottom - top) * (right - left) / hole.sum()
        assert chosen.mean() == pytest.approx(share, abs=3 * (share / len(found)) ** 0.5)


@pytest.mark.parametrize("kind", ["three squares", "strokes", "few pixels", "half"])
def test_every_missing_pixel_is_seen_in_some_step(kind):
    for hole in masks.draw(KINDS[kind], 3, SIDE, SIDE, [3, 3]).numpy()[..., 0] > 0:
        seen = np.zeros_like(hole)
        for top, left in drawn(hole):
            seen[top : top + PATCH, left : left + PATCH] = True
        assert seen[hole].all()


def test_a_winding_hole_is_whole_in_its_square_and_corners_connect():
    hole = np.zeros((SIDE, SIDE), bool)
    hole[40, 45] = True  # another hole, far away
    for row in range(4, 21, 4):  # a meander, five times as long as high
        hole[row, 3:21] = True
    for row, column in ((4, 20), (8, 3), (12, 20), (16, 3)):
        hole[row : row + 4, column] = True
    hole[21, 21] = True  # it goes on across a corner
    found = {tuple(corner) for corner in drawn(hole)}
    assert found == {centred(4, 3, 22, 22), centred(40, 45, 41, 46)}
