"""The metrics agree with their definitions and with scikit-image."""

import math

import numpy as np
import pytest

from common.errors import InputError
from common.evaluation import metrics
from common.pictures.images import list_images, read_image


def pair(height=33, width=47, seed=0, noise=0.1):
    generator = np.random.default_rng(seed)
    a = generator.random((height, width, 3), dtype=np.float32)
    b = np.clip(a + generator.normal(0, noise, a.shape), 0, 1).astype(np.float32)
    return a, b


def skimage_ssim(a, b):
    skimage = pytest.importorskip("skimage.metrics")
    return skimage.structural_similarity(
        a.astype(np.float64),
        b.astype(np.float64),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=-1,
        data_range=1,
    )


def test_psnr_of_a_constant_error_is_its_logarithm():
    a = np.full((8, 8, 3), 0.5, np.float32)
    assert metrics.psnr(a, a + np.float32(0.1)) == pytest.approx(20, abs=1e-4)
    assert metrics.l1(a, a + np.float32(0.1)) == pytest.approx(0.1, abs=1e-6)


def test_psnr_equals_scikit_image():
    skimage = pytest.importorskip("skimage.metrics")
    a, b = pair()
    expected = skimage.peak_signal_noise_ratio(a, b, data_range=1)
    assert metrics.psnr(a, b) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("size", [(11, 11), (11, 30), (33, 47)])
def test_ssim_equals_scikit_image(size):
    for seed, noise in enumerate((0.01, 0.1, 1)):
        a, b = pair(*size, seed=seed, noise=noise)
        assert metrics.ssim(a, b) == pytest.approx(skimage_ssim(a, b), abs=1e-9)


def test_ssim_equals_scikit_image_on_photographs(shared_data):
    a, b = (read_image(p) for p in list_images(str(shared_data / "celeba128" / "test"))[:2])
    assert metrics.ssim(a, b) == pytest.approx(skimage_ssim(a, b), abs=1e-9)
    assert 0 < metrics.ssim(a, b) < 0.9


def test_identical_images_reach_the_best_value():
    a, _ = pair()
    assert metrics.psnr(a, a) == math.inf
    assert metrics.l1(a, a) == 0
    assert metrics.ssim(a, a) == 1


def test_metrics_are_symmetric():
    a, b = pair()
    for metric in (metrics.psnr, metrics.l1, metrics.ssim):
        assert metric(a, b) == metric(b, a)
        assert isinstance(metric(a, b), float)


def test_a_mask_measures_the_hole_alone():
    a, b = pair()
    mask = np.zeros((33, 47, 1), np.float32)
    mask[5:20, 10:30] = 1
    for metric in (metrics.psnr, metrics.l1):
        inside = metric(a[5:20, 10:30], b[5:20, 10:30])
        assert metric(a, b, mask) == pytest.approx(inside, rel=1e-6)
        assert metric(a, b, np.ones_like(mask)) == pytest.approx(metric(a, b), rel=1e-6)


def test_the_l1_of_the_whole_is_the_mean_of_hole_and_rest():
    a, b = pair()
    mask = (np.random.default_rng(1).random((33, 47, 1)) < 0.3).astype(np.float32)
    share = mask.mean(dtype=np.float64)
    parts = share * metrics.l1(a, b, mask) + (1 - share) * metrics.l1(a, b, 1 - mask)
    assert metrics.l1(a, b) == pytest.approx(parts, rel=1e-6)


def test_the_gradients_psnr_is_that_of_differences_with_a_missing_end():
    a, b = pair(6, 7)
    mask = np.zeros((6, 7, 1), np.float32)
    mask[2, 3], mask[5, 6] = 1, 1
    errors = a - b
    squares = [
        (errors[y1, x1] - errors[y0, x0]) ** 2
        for y0, x0, y1, x1 in (
            (2, 2, 2, 3), (2, 3, 2, 4), (1, 3, 2, 3), (2, 3, 3, 3), (5, 5, 5, 6), (4, 6, 5, 6),
        )
    ]  # fmt: skip
    expected = -10 * math.log10(np.mean(squares))
    assert metrics.psnr_gradient(a, b, mask) == pytest.approx(expected, abs=1e-4)
    assert metrics.psnr_gradient(a, a + np.float32(0.25), mask) > 100, "a level is no gradient"
    with pytest.raises(InputError, match="no hole"):
        metrics.psnr_gradient(a, b, 0 * mask)


def test_what_cannot_be_compared_is_refused():
    a, b = pair()
    hole = np.zeros((33, 47, 1), np.float32)
    for metric in (metrics.psnr, metrics.l1, metrics.ssim):
        with pytest.raises(InputError, match="cannot be compared"):
            metric(a, b[:-1])
        with pytest.raises(InputError, match="float"):
            metric(a, (b * 255).astype(np.uint8))
    for metric in (metrics.psnr, metrics.l1):
        with pytest.raises(InputError, match="no hole"):
            metric(a, b, hole)
        with pytest.raises(InputError, match="does not fit"):
            metric(a, b, hole[..., 0])
    with pytest.raises(InputError, match="11x11"):
        metrics.ssim(a[:10], b[:10])
