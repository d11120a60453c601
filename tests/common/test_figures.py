"""Figures show the pixels they were given, and their words stay words."""

import sys

import numpy as np
import pytest

from common import figures
from common.errors import InputError
from common.pictures.images import from_uint8, read_image


def picture(height, width, seed=0):
    return from_uint8(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def find(picture, inside):
    """Whether `picture` appears in `inside`, pixel by pixel."""
    height, width = picture.shape[:2]
    corners = np.argwhere((inside == picture[0, 0]).all(-1))
    return any(np.array_equal(inside[y : y + height, x : x + width], picture) for y, x in corners)


def test_a_grid_holds_every_image_between_white_lines():
    a, b, c = (picture(3, 4, seed) for seed in range(3))
    grid = figures.compose_grid([[a, b], [c]], pad=2)
    assert grid.shape == (2 * 3 + 3 * 2, 2 * 4 + 3 * 2, 3)
    np.testing.assert_array_equal(grid[2:5, 2:6], a)
    np.testing.assert_array_equal(grid[2:5, 8:12], b)
    np.testing.assert_array_equal(grid[7:10, 2:6], c)
    assert grid.sum() == pytest.approx(
        a.sum() + b.sum() + c.sum() + 3 * (12 * 14 - 3 * 12), rel=1e-6
    )


def test_a_grid_of_nothing_or_of_two_sizes_is_refused():
    for rows in ([], [[]], [[picture(3, 4), picture(4, 3)]]):
        with pytest.raises(InputError, match="one size"):
            figures.compose_grid(rows)


def test_the_hole_is_painted_and_the_rest_untouched():
    images = np.stack([picture(5, 6), picture(5, 6, 1)])
    masks = (np.random.default_rng(0).random((2, 5, 6, 1)) < 0.5).astype(np.float32)
    shown = figures.show_hole(images, masks)
    hole = masks[..., 0] == 1
    np.testing.assert_array_equal(shown[~hole], images[~hole])
    np.testing.assert_array_equal(shown[hole], np.tile([1, 0, 1], (hole.sum(), 1)))


def test_a_comparison_shows_each_pixel_as_a_whole_square(tmp_path):
    images = [[picture(50, 64, 2 * r + c) for c in range(2)] for r in range(2)]
    path = tmp_path / "new" / "a.png"
    figures.save_comparison(path, images, ["input", "output"], ["first", "second"], "title")
    figure = read_image(path)
    for row in images:
        for image in row:
            assert find(image.repeat(4, axis=0).repeat(4, axis=1), figure)


def test_a_comparison_in_small_keeps_its_pixels_in_every_format(tmp_path):
    image = np.kron(picture(8, 8), np.ones((16, 16, 1), np.float32))
    for suffix in (".png", ".jpg"):
        figures.save_comparison(tmp_path / f"a{suffix}", [[image] * 2], ["a", "b"], pixels=128)
    exact, lossy = (read_image(tmp_path / f"a{suffix}") for suffix in (".png", ".jpg"))
    assert find(image, exact)
    assert exact.shape == lossy.shape and np.abs(exact - lossy).mean() < 0.02


def test_long_labels_do_not_move_or_cover_the_images(tmp_path):
    image = picture(64, 64)
    label = "a very long label_of-many/parts " * 3 + "x" * 80
    figures.save_comparison(tmp_path / "a.png", [[image] * 2], [label] * 2, [label], label)
    figure = read_image(tmp_path / "a.png")
    assert find(image.repeat(4, axis=0).repeat(4, axis=1), figure)
    edge = np.concatenate([figure[:4].ravel(), figure[:, :4].ravel(), figure[:, -4:].ravel()])
    assert (edge == 1).all()  # nothing is cut off


def test_large_images_are_reduced_and_small_ones_centred_beside_them(tmp_path):
    small = picture(256, 128)
    figures.save_comparison(tmp_path / "a.png", [[picture(1500, 900), small]], ["large", "small"])
    figure = read_image(tmp_path / "a.png")
    assert figure.shape[0] < 700
    assert find(small, figure)


def test_words_are_text_in_vector_formats(tmp_path):
    labels = ["in$put", "GLCIC $\\badmath$"]
    figures.save_comparison(tmp_path / "a.svg", [[picture(8, 8)] * 2], labels)
    svg = (tmp_path / "a.svg").read_text()
    assert ">in$put<" in svg
    assert "$\\badmath$<" in svg
    figures.save_comparison(tmp_path / "a.pdf", [[picture(8, 8)] * 2], labels)
    pdf = (tmp_path / "a.pdf").read_bytes()
    assert b"/Type0" in pdf or b"/TrueType" in pdf
    assert b"/Type3" not in pdf


def test_curves_are_drawn_with_their_names(tmp_path):
    series = {"train $a": (range(100), np.cos(np.arange(100))), "_hidden": ([0, 99], [0, np.nan])}
    for suffix in (".png", ".pdf", ".svg"):
        figures.save_curves(tmp_path / f"a{suffix}", series, "step", "loss", "title")
    svg = (tmp_path / "a.svg").read_text()
    for word in ("train $a", "_hidden", "step", "loss", "title"):
        assert f">{word}<" in svg
    assert read_image(tmp_path / "a.png").std() > 0.05


def test_what_cannot_be_drawn_is_refused(tmp_path):
    image = picture(8, 8)
    with pytest.raises(InputError, match="2 column labels"):
        figures.save_comparison(tmp_path / "a.png", [[image]], ["a", "b"])
    with pytest.raises(InputError, match="1 row labels"):
        figures.save_comparison(tmp_path / "a.png", [[image], [image]], ["a"], ["r"])
    with pytest.raises(InputError, match=r"a\.xyz.*\.png"):
        figures.save_comparison(tmp_path / "a.xyz", [[image]], ["a"])
    with pytest.raises(InputError, match="no curve"):
        figures.save_curves(tmp_path / "a.png", {}, "x", "y")
    with pytest.raises(InputError, match="'c' has 2 xs but 1 ys"):
        figures.save_curves(tmp_path / "a.png", {"c": ([1, 2], [1])}, "x", "y")
    assert not list(tmp_path.iterdir())


def test_drawing_leaves_pyplot_alone(tmp_path):
    figures.save_curves(tmp_path / "a.png", {"c": ([1, 2], [1, 2])}, "x", "y")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_portraits_between_landscapes_leave_no_white_bands(tmp_path):
    grey = np.full((512, 768, 3), 0.5, np.float32)
    rows = [[grey] * 2, [grey.transpose(1, 0, 2)] * 2, [grey] * 2]
    figures.save_comparison(tmp_path / "a.png", rows, ["a", "b"])
    figure = read_image(tmp_path / "a.png")
    inside = np.abs(figure - 0.5).max(-1) < 0.01
    assert inside.mean() > 0.9
    # Equally wide in every row.
    widths = inside.sum(axis=1)
    assert set(widths[widths > 100]) == {2 * 512}


def test_offsets_are_coloured_by_direction_and_distance():
    offsets = np.array([[[0, 0], [0, 4], [4, 0], [0, -4], [-4, 0], [0, 2], [0, 40]]])
    found = figures.show_offsets(offsets, 4)[0]
    expected = [
        (1, 1, 1), (1, 0, 0), (0.5, 1, 0), (0, 1, 1), (0.5, 0, 1), (1, 0.5, 0.5), (1, 0, 0),
    ]  # fmt: skip
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert figures.show_offsets(np.zeros((2, 3, 5, 2)), 1).shape == (2, 3, 5, 3)
