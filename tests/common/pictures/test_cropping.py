"""The crop holds the hole and nothing but known pixels reach the generator."""

import numpy as np
import pytest
import tensorflow as tf

from common.pictures import cropping

SIZE = 64
# (height, width), (top, left, bottom, right) of the hole.
SCENES = [
    ((64, 64), (16, 16, 48, 48)),
    ((128, 128), (32, 32, 96, 96)),
    ((100, 200), (0, 0, 100, 200)),
    ((200, 90), (195, 0, 200, 3)),
    ((40, 40), (3, 6, 5, 9)),
    ((300, 201), (11, 150, 30, 199)),
    ((70, 130), (60, 2, 70, 120)),
]


def scene(shape, box, seed=0):
    """Random pictures [2, H, W, 3] and masks: the box, and the box mirrored top to bottom."""
    images = np.random.default_rng(seed).random((2, *shape, 3), np.float32)
    masks = np.zeros((2, *shape, 1), np.float32)
    masks[0, box[0] : box[2], box[1] : box[3]] = 1
    masks[1] = masks[0, ::-1]
    return images, masks


@pytest.mark.parametrize(("shape", "box"), SCENES)
def test_the_square_holds_the_hole_lies_inside_if_it_fits_and_is_twice_as_long(shape, box):
    _, masks = scene(shape, box)
    squares = cropping.squares(masks, SIZE).numpy()
    longest = max(box[2] - box[0], box[3] - box[1])
    for mask, (top, left, side) in zip(masks, squares, strict=True):
        assert side == min(max(2 * longest, SIZE), max(shape))
        rows, columns = np.nonzero(mask[..., 0])
        assert top <= rows.min() and rows.max() < top + side
        assert left <= columns.min() and columns.max() < left + side
        for start, length in ((top, shape[0]), (left, shape[1])):
            if side <= length:
                assert 0 <= start <= length - side
            else:
                assert abs((length - side) // 2 - start) == 0, "what sticks out does so evenly"


def test_a_small_hole_far_from_the_border_lies_in_the_middle():
    _, masks = scene((200, 200), (90, 100, 100, 110))
    np.testing.assert_array_equal(cropping.squares(masks[:1], SIZE), [[63, 73, 64]])


def test_a_picture_of_the_generators_size_passes_unchanged_and_comes_back_unchanged():
    images, masks = scene((SIZE, SIZE), (16, 16, 48, 40))
    squares = cropping.squares(masks, SIZE)
    crops, holes = cropping.cut(images, masks, squares, SIZE)
    np.testing.assert_array_equal(crops, np.where(masks > 0, 0, images))
    np.testing.assert_array_equal(holes, masks)
    np.testing.assert_array_equal(cropping.put_back(images, squares, SIZE, SIZE), images)


def test_a_crop_that_is_not_resized_comes_back_to_the_bit_where_it_was():
    images, masks = scene((150, 90), (70, 60, 90, 89))
    squares = cropping.squares(masks, SIZE)
    whole, none = cropping.cut(images, np.zeros_like(masks), squares, SIZE)
    assert not none.numpy().any()
    back = cropping.put_back(whole, squares, 150, 90).numpy()
    for picture, image, (top, left, side) in zip(back, images, squares.numpy(), strict=True):
        inside = np.s_[top : top + side, left : left + side]
        np.testing.assert_array_equal(picture[inside], image[inside])
        assert (picture[0] == picture[max(top, 0)]).all(), "around it, edge pixels repeat"


@pytest.mark.parametrize(
    ("shape", "box"), [((64, 48), (15, 10, 40, 25)), ((27, 45), (0, 9, 20, 40))]
)
def test_a_pixel_is_the_average_of_the_known_pixels_it_stands_for(shape, box):
    images, masks = scene(shape, box)
    masks = np.maximum(masks, np.random.default_rng(1).random(masks.shape) < 0.3)
    masks = masks.astype(np.float32)
    size = 8
    squares = cropping.squares(masks, size).numpy()
    crops, holes = cropping.cut(images, masks, squares, size)
    for n, (top, left, side) in enumerate(squares):
        # Every source pixel in `size` by `size` equal parts: output pixels are then whole blocks.
        padded = np.zeros((side, side, 4))
        for y in range(side):
            for x in range(side):
                inside = 0 <= top + y < shape[0] and 0 <= left + x < shape[1]
                if inside and not masks[n, top + y, left + x, 0]:
                    padded[y, x] = [*images[n, top + y, left + x], 1]
        fine = padded.repeat(size, 0).repeat(size, 1).reshape(size, side, size, side, 4)
        total = fine.sum(axis=(1, 3))
        known = total[..., 3:] > 0
        expected = np.where(known, total[..., :3] / np.where(known, total[..., 3:], 1), 0)
        np.testing.assert_array_equal(holes[n], ~known)
        np.testing.assert_allclose(crops[n], expected, atol=1e-5)


def test_what_the_hole_hides_does_not_reach_the_crop():
    images, masks = scene((128, 100), (30, 20, 80, 50))
    squares = cropping.squares(masks, SIZE)
    expected = cropping.cut(images, masks, squares, SIZE)
    for hidden in (0.5, np.nan, np.inf):
        other = np.where(masks > 0, np.float32(hidden), images)
        for a, b in zip(cropping.cut(other, masks, squares, SIZE), expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_in_a_graph_of_any_size_the_same():
    images, masks = scene((128, 100), (30, 20, 80, 50))

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, n]) for n in (3, 1)])
    def there_and_back(x, m):
        squares = cropping.squares(m, SIZE)
        crops, _ = cropping.cut(x, m, squares, SIZE)
        return crops, cropping.put_back(crops, squares, tf.shape(x)[1], tf.shape(x)[2])

    squares = cropping.squares(masks, SIZE)
    crops, _ = cropping.cut(images, masks, squares, SIZE)
    in_graph, back = there_and_back(images, masks)
    np.testing.assert_allclose(in_graph, crops, atol=1e-6)
    np.testing.assert_allclose(back, cropping.put_back(crops, squares, 128, 100), atol=1e-6)
    assert back.shape == images.shape
    assert back.numpy().min() >= 0 and back.numpy().max() <= 1
