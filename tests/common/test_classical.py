"""Every classical method keeps what is known, reads nothing else, and is good at what it is for."""

import sys

import cv2
import numpy as np
import pytest

from common import classical
from common.classical import diffusion, exemplar, low_rank, shared, sparse
from common.errors import InputError
from common.evaluation import metrics
from common.pictures.images import center_crop_resize, list_images, read_image

NAMES = tuple(classical.METHODS)
every_method = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(autouse=True)
def _libraries(request):
    """Skips a method whose library is not installed."""
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name")
    if name in classical.LIBRARIES:
        pytest.importorskip(classical.LIBRARIES[name])


def noise(*shape, seed=0):
    return np.random.default_rng(seed).random(shape, np.float32)


def rectangle(size, top, left, height, width):
    mask = np.zeros((*size, 1), np.float32)
    mask[top : top + height, left : left + width] = 1
    return mask


def dots(size, density, seed=0):
    return (noise(*size, 1, seed=seed) < density).astype(np.float32)


def complete(name, image, mask, **options):
    return classical.method(name, **options)(image[None], mask[None])[0]


def hole_psnr(name, image, mask, **options):
    return metrics.psnr(image, complete(name, image, mask, **options), mask)


HOLES = {
    "inner": rectangle((23, 26), 6, 8, 9, 10),
    "border": rectangle((20, 21), 0, 9, 8, 12),
    "half": rectangle((18, 17), 0, 0, 18, 9),
    "scattered": dots((19, 20), 0.7),
    "tiny": rectangle((11, 11), 3, 4, 5, 5),
    "tiny half": rectangle((11, 12), 5, 0, 6, 12),
    "one known pixel": 1 - rectangle((11, 13), 4, 6, 1, 1),
    "smaller than a patch": rectangle((3, 5), 1, 1, 2, 3),
    "one row": rectangle((1, 6), 0, 2, 1, 3),
}


@pytest.mark.parametrize("mask", HOLES.values(), ids=HOLES.keys())
@every_method
def test_known_pixels_are_kept_and_hidden_ones_never_read(name, mask):
    image = noise(*mask.shape[:2], 3)
    known = mask[..., 0] == 0
    image[known] *= np.float32(1.1)  # beyond [0, 1]: even that must survive
    completed = complete(name, image, mask)
    assert completed.shape == image.shape and completed.dtype == np.float32
    assert completed[known].tobytes() == image[known].tobytes()
    assert (completed[~known] >= 0).all() and (completed[~known] <= 1).all()
    for hidden in (1, np.nan):
        other = np.where(mask == 1, np.float32(hidden), image)
        assert complete(name, other, mask).tobytes() == completed.tobytes()


@every_method
def test_a_batch_is_completed_as_its_images_alone(name):
    images = noise(3, 20, 22, 3)
    masks = np.stack([rectangle((20, 22), 5, 6, 8, 9), dots((20, 22), 0.5), np.zeros((20, 22, 1))])
    given = images.copy()
    together = classical.method(name)(images, masks)
    alone = [complete(name, image, mask) for image, mask in zip(images, masks, strict=True)]
    assert together.tobytes() == np.stack(alone).tobytes()
    assert together[2].tobytes() == images[2].tobytes()  # no hole
    assert not np.shares_memory(together, images) and (images == given).all()


@every_method
def test_a_constant_picture_stays_constant(name):
    color = np.float32([0.2, 0.4, 0.6])
    for mask in (HOLES["inner"], HOLES["border"], HOLES["scattered"]):
        image = np.broadcast_to(color, (*mask.shape[:2], 3)).copy()
        assert np.abs(complete(name, image, mask) - color).max() < 0.5 / 255


@every_method
def test_where_nothing_is_known_one_line_says_so(name):
    masks = np.stack([np.zeros((12, 12, 1)), np.ones((12, 12, 1))])
    with pytest.raises(InputError, match="^image 1 of the batch: nothing is known") as error:
        classical.method(name)(noise(2, 12, 12, 3), masks)
    assert "\n" not in str(error.value)


def test_bad_input_is_refused_in_one_line():
    images, masks = noise(1, 12, 12, 3), rectangle((12, 12), 4, 4, 2, 2)[None]
    method = classical.method("mean_color")
    broken = images.copy()
    broken[0, 3, 3] = np.nan
    for match, call in {
        "no classical method 'magic'; choose from mean_color, ": lambda: classical.method("magic"),
        "telea has no option 'radios'; it has radius": lambda: classical.method("telea", radios=3),
        "1 and 100": lambda: classical.method("navier_stokes", radius=0)(images, masks),
        "odd number": lambda: classical.method("exemplar", patch=4)(images, masks),
        "other values": lambda: method(images, masks / 2),
        "does not fit": lambda: method(images, masks[:, 1:]),
        "give ": lambda: method(images[0], masks[0]),
        "image 0 of the batch holds NaN": lambda: method(broken, masks),
    }.items():
        with pytest.raises(InputError, match=match) as error:
            call()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", classical.LIBRARIES)
def test_a_missing_library_is_named_with_its_extra(name, monkeypatch):
    monkeypatch.setitem(sys.modules, classical.LIBRARIES[name], None)
    with pytest.raises(InputError, match=r"is not installed; pip install -e '.\[classical\]'"):
        classical.method(name)


# What each method is for. The numbers of decibels are what was measured, less a margin.


@pytest.mark.parametrize(
    ("name", "decibels"),
    [
        ("diffusion", 28),
        ("telea", 28),
        ("navier_stokes", 28),
        ("biharmonic", 90),
        ("total_variation", 28),
    ],
)
def test_a_smooth_ramp_is_continued(name, decibels):
    y, x = np.mgrid[:40, :48].astype(np.float32) / 48
    ramp = np.stack([x, 1 - (x + y) / 2, (1 + x - y) / 2], -1)
    mask = rectangle((40, 48), 12, 16, 14, 16)
    assert hole_psnr(name, ramp, mask) > decibels > hole_psnr("mean_color", ramp, mask) + 5


def test_total_variation_completes_a_piecewise_constant_picture():
    y, x = np.mgrid[:32, :40]
    image = np.where((x > 18)[..., None], np.float32([0.9, 0.3, 0.1]), np.float32([0.1, 0.5, 0.8]))
    mask = rectangle((32, 40), 12, 10, 8, 20)
    others = [hole_psnr(name, image, mask) for name in ("telea", "navier_stokes")]
    assert hole_psnr("total_variation", image, mask, tolerance=1e-3) > max(30, *others)


def test_total_variation_is_as_small_as_promised():
    """No picture has less, up to the tolerance; a ten times finer solution is the judge."""
    image, mask = cv2.GaussianBlur(noise(24, 24, 3), (0, 0), 2), rectangle((24, 24), 6, 7, 12, 11)

    def energy(completed):
        touches = diffusion._touches(mask[..., 0] == 1)
        return diffusion._norm(touches * diffusion._gradient(completed)).sum()

    smallest = energy(complete("total_variation", image, mask, tolerance=1e-3))
    assert energy(complete("total_variation", image, mask, tolerance=1e-2)) < 1.01 * smallest
    assert energy(complete("telea", image, mask)) > 1.01 * smallest


def test_the_adjoint_of_the_gradient_is_its_adjoint():
    u, p = noise(7, 9, 3), noise(2, 7, 9, 3, seed=1)
    left = np.sum(diffusion._gradient(u) * p, dtype=np.float64)
    right = np.sum(u * diffusion._adjoint_gradient(p), dtype=np.float64)
    assert left == pytest.approx(right, rel=1e-5)


def test_exemplar_continues_a_texture():
    image = np.tile(noise(8, 8, 3), (8, 8, 1))
    mask = rectangle((64, 64), 18, 21, 24, 22)
    assert hole_psnr("exemplar", image, mask) > 40
    assert hole_psnr("biharmonic", image, mask) < 15


def test_patch_match_comes_close_to_the_nearest_patches():
    """Against a search through all of them."""
    image, mask = cv2.GaussianBlur(noise(48, 48, 3), (0, 0), 2), rectangle((48, 48), 16, 16, 14, 14)
    estimate = complete("telea", image, mask)
    search = exemplar._PatchMatch(image, mask[..., 0] == 1, 5, np.random.default_rng(0))
    targets, sources = (
        search._pixels(picture, places).reshape(len(places), -1).astype(np.float64)
        for picture, places in ((estimate, search.targets), (image, search.sources))
    )
    lengths = [np.square(patches).sum(-1) for patches in (targets, sources)]
    exact = (lengths[0][:, None] + lengths[1] - 2 * targets @ sources.T).min(1)
    for _ in range(4):
        found = search.improve(estimate)
    assert (found > exact - 1e-4).all()
    assert found.mean() < 1.1 * exact.mean()
    assert found == pytest.approx(search._distances(estimate, np.arange(len(found)), search.field))


def test_low_rank_recovers_a_matrix_of_low_rank_from_random_pixels():
    y, x = noise(64, 3), noise(3, 3 * 72, seed=1)
    image = (y @ x / 3).reshape(64, 72, 3)
    mask = dots((64, 72), 0.5, seed=2)
    assert hole_psnr("low_rank", image, mask, shrinkage=1e-3) > 40
    assert hole_psnr("low_rank", image, mask) > 30
    assert hole_psnr("telea", image, mask) < 25
    turned = complete("low_rank", np.swapaxes(image, 0, 1).copy(), np.swapaxes(mask, 0, 1).copy())
    assert np.isfinite(turned).all()


def test_singular_values_are_shrunk_as_by_the_svd():
    matrix = np.random.default_rng(0).normal(size=(6, 20))
    left, values, right = np.linalg.svd(matrix, full_matrices=False)
    expected = left * np.maximum(values - values[2], 0) @ right
    assert low_rank._shrink_singular_values(matrix, values[2]) == pytest.approx(expected, abs=1e-9)


WAVES = ((1, 2), (2, 1), (2, 3))


def test_sparse_recovers_a_sum_of_few_atoms():
    pytest.importorskip(sparse.LIBRARY)
    y, x = np.mgrid[:32, :32].astype(np.float32) + 0.5
    image = np.stack([np.cos(np.pi / 8 * f * x) * np.cos(np.pi / 8 * g * y) for f, g in WAVES], -1)
    image = np.float32(0.5) + np.float32(0.4) * image.astype(np.float32)
    mask = dots((32, 32), 0.5)
    assert hole_psnr("sparse", image, mask) > 28
    assert hole_psnr("telea", image, mask) < 25


def test_the_pursuit_finds_the_atoms_behind_missing_pixels():
    pytest.importorskip(sparse.LIBRARY)
    dictionary = sparse.dct_dictionary(8, 8)
    code = np.zeros((64, 2))
    code[[3, 17, 40], 0], code[[0, 9], 1] = (1.0, -0.8, 0.6), (2.0, 0.5)
    known = noise(64, 1, seed=3) > 0.4
    signals = np.where(known, dictionary @ code, 7)  # a weight of 0 makes the 7 irrelevant
    found = sparse._pursuit(dictionary, signals, known.astype(float), atoms=4)
    assert found == pytest.approx(code, abs=1e-8)


def test_the_dictionary_is_the_orthonormal_dct_or_overcomplete():
    square = sparse.dct_dictionary(8, 8)
    assert square.T @ square == pytest.approx(np.eye(64), abs=1e-12)
    wide = sparse.dct_dictionary(8, 16)
    assert wide.shape == (64, 256)
    assert np.linalg.norm(wide, axis=0) == pytest.approx(np.ones(256))
    assert wide[:, 1:].sum(axis=0) == pytest.approx(np.zeros(255), abs=1e-9)


def test_a_smaller_picture_averages_what_is_known():
    image, hole = noise(37, 53, 3), dots((37, 53), 0.3)[..., 0] == 1
    hole[8:30, 10:40] = True
    levels = shared.pyramid(np.where(hole[..., None], np.float32(0), image), hole, depth=4)
    assert levels[-1][1] is hole
    assert [level[1].shape for level in levels] == [(19, 27), (37, 53)]
    small, missing = levels[0]
    for y, x in ((0, 0), (3, 20), (18, 26), (18, 3)):
        block = (slice(2 * y, 2 * y + 2), slice(2 * x, 2 * x + 2))
        known = ~hole[block]
        assert missing[y, x] == (known.sum() < 2)
        if known.any():
            assert small[y, x] == pytest.approx(image[block][known].mean(axis=0), rel=1e-5)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "mean_color"])
def test_on_photographs_every_method_beats_the_mean_colour(name, shared_data):
    photographs = [read_image(path) for path in list_images(str(shared_data / "photos"))[:3]]
    images = np.stack([center_crop_resize(photograph, 64) for photograph in photographs])
    # Scattered ones only beside the hole: "sparse" works on every patch that misses a pixel.
    scattered = dots((64, 64), 0.3) * rectangle((64, 64), 20, 36, 16, 24)
    mask = np.maximum(rectangle((64, 64), 20, 14, 16, 20), scattered)
    masks = np.stack([mask] * len(images))

    def mean_psnr(method):
        completed = method(images, masks)
        return np.mean([metrics.psnr(*pair, mask) for pair in zip(images, completed, strict=True)])

    assert mean_psnr(classical.method(name)) > mean_psnr(classical.method("mean_color")) + 1
