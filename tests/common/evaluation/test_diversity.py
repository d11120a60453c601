"""Several answers to one hole: closed forms of a Gaussian, and one result whatever the batches."""

import itertools

import numpy as np
import pytest

from common import classical
from common.errors import InputError
from common.evaluation import comparison, diversity, features
from common.evaluation.diversity import Options
from common.evaluation.sources import Answers
from common.pictures.images import read_image
from common.pictures.masks import Holes

SIDE, COUNT = 16, 7
ALL = np.ones((SIDE, SIDE, 1), np.float32)


def gaussian(seed, *shape):
    return np.random.default_rng(seed).normal(size=(*shape, SIDE, SIDE, 3)).astype(np.float32)


def summary(truth, samples):
    """Of samples [B, K, H, W, 3], with the spread of independent truths."""
    rows = [diversity.score(x, own, ALL) for x, own in zip(truth, samples, strict=True)]
    others = diversity.Apart(diversity.mean_difference(gaussian(2, 9), ALL), None)
    return diversity.summarize("toy", rows, others)


@pytest.mark.parametrize("count", [2, 8])
def test_a_right_sampler_gains_what_it_should_and_is_as_wide_as_the_truth(count):
    found = summary(gaussian(0, 32), gaussian(1, 32, count))
    assert found.gain == pytest.approx(10 * np.log10(2 / (1 + 1 / count)), abs=0.05)
    assert found.gain == pytest.approx(found.right_gain, abs=0.05)
    assert found.l1_ratio == pytest.approx(1, abs=0.03)
    assert found.psnr_one < found.psnr_best < found.psnr_mean
    assert (found.images, found.samples) == (32, count)
    assert diversity.right_gain(8) == pytest.approx(2.50, abs=0.005)


def test_a_sampler_that_ignores_its_noise_gains_nothing_and_a_wild_one_too_much():
    truth = gaussian(0, 16)
    dead = summary(truth, np.repeat(gaussian(1, 16, 1), 8, axis=1))
    assert dead.gain == pytest.approx(0, abs=1e-6)
    assert dead.l1_apart == dead.l1_ratio == 0
    assert dead.psnr_one == pytest.approx(dead.psnr_best, abs=1e-6)
    # Squared errors 1 + t^2 and 1 + t^2 / K.
    wild = summary(truth, 2 * gaussian(1, 16, 8))
    assert wild.gain == pytest.approx(10 * np.log10(5 / 1.5), abs=0.1)
    tame = summary(truth, gaussian(1, 16, 8) / 2)
    assert tame.gain == pytest.approx(10 * np.log10(1.25 / (1 + 1 / 32)), abs=0.1)


def test_a_single_answer_has_no_gain_and_no_spread():
    found = summary(gaussian(0, 4), gaussian(1, 4, 1))
    assert found.samples == 1 and found.psnr_one is not None
    assert {found.gain, found.psnr_best, found.ssim_mean, found.l1_apart, found.l1_ratio} == {None}


@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_difference_of_two_is_that_of_all_pairs(count):
    pictures = gaussian(0, count)
    mask = np.zeros_like(ALL)
    mask[3:9, 5:] = 1
    pairs = itertools.combinations(pictures[:, mask[..., 0] == 1], 2)
    expected = np.mean([np.abs(a - b).mean() for a, b in pairs])
    assert diversity.mean_difference(pictures, mask) == pytest.approx(expected, rel=1e-5)
    pictures[:, mask[..., 0] == 0] += gaussian(1, count)[:, mask[..., 0] == 0]
    assert diversity.mean_difference(pictures, mask) == pytest.approx(expected, rel=1e-5)


class MeanColour:
    """Features that are quickly made."""

    settings = {"features": "mean colour"}
    distance = staticmethod(features.frechet_distance)

    def vectors(self, images):
        return images.mean((1, 2))

    def lpips_apart(self, images):
        assert images.min() >= 0 and (images[:, 0, 0] == diversity.GREY).all()
        return float(np.abs(images[1] - images[0]).mean())

    def statistics(self, chunks):
        found = features.FrechetStatistics()
        for chunk in chunks:
            found.update(chunk)
        return found


class Sampler:
    """Uniform colours of the seed, everywhere; counts its calls, and may be stopped after some."""

    def __init__(self, limit=10**9):
        self.seeds, self.limit = [], limit

    def __call__(self, images, masks, seeds):
        if len(self.seeds) >= self.limit:
            raise KeyboardInterrupt
        assert len(images) == 1 and not images[masks[..., 0] == 1].any(), "it sees the hole"
        self.seeds.append(seeds.tolist())
        colours = [np.random.default_rng(seed).random(3) for seed in seeds]
        return {"completed": np.broadcast_to(colours, (*images.shape[:3], len(seeds), 3))
                .transpose(0, 3, 1, 2, 4)}  # fmt: skip


def pictures():
    images = np.clip(
        gaussian(5, COUNT) / 8 + np.linspace(0.2, 0.8, COUNT)[:, None, None, None], 0, 1
    )
    names = tuple(f"{n}.png" for n in range(COUNT))
    return comparison.Pictures(names, lambda first=0: iter(images[first:]), {"n": COUNT})


def measure(folder, sampler, **options):
    methods = [
        comparison.Method("toy", {"toy": 1}, lambda: Answers(classical.method("telea"), sampler)),
        comparison.Method("telea", {"telea": 1}, lambda: Answers(classical.method("telea"))),
    ]
    options = Options(**{"samples": 3, "figure_images": 2, "features": MeanColour(), **options})
    holes = Holes(("center",))
    return diversity.measure(methods, holes, pictures(), folder, options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return measure(tmp_path_factory.mktemp("whole"), Sampler())


def test_what_is_measured_is_that_of_all_at_once(whole):
    """Against the formulas, with everything in memory."""
    toy, telea, original = whole.summaries
    images = np.stack(list(pictures().read()))
    mask = Holes(("center",))(0, SIDE, SIDE)
    colours = np.array(
        [[np.random.default_rng(3 * n + k).random(3) for k in range(3)] for n in range(COUNT)]
    )
    samples = np.where(mask == 1, colours[:, :, None, None], images[:, None])
    one = ((samples - images[:, None]) ** 2).mean()
    of_mean = ((samples.mean(1) - images) ** 2).mean()
    assert toy.gain == pytest.approx(10 * np.log10(one / of_mean), abs=1e-4)
    psnr = -10 * np.log10(((samples - images[:, None]) ** 2).mean((2, 3, 4)))
    assert toy.psnr_one == pytest.approx(psnr.mean(), abs=1e-4)
    assert toy.psnr_best == pytest.approx(psnr.max(1).mean(), abs=1e-4)
    hole = mask[..., 0] == 1
    apart = np.mean([np.abs(np.roll(colours, 1, 1) - colours)])
    others = np.mean(np.abs(images[1:] - images[:-1])[:, hole])
    assert toy.l1_apart == pytest.approx(apart, rel=1e-4)
    assert original.l1_apart == pytest.approx(others, rel=1e-4)
    assert toy.l1_ratio == pytest.approx(apart / others, rel=1e-4)
    vectors = [x.mean((1, 2)) for x in (samples[:, 0].astype(np.float32), images)]
    distance = features.frechet_distance(*(MeanColour().statistics([v]) for v in vectors))
    assert toy.frechet == pytest.approx(distance, rel=1e-3)
    assert (telea.samples, telea.gain, telea.lpips_apart) == (1, None, None)
    assert telea.frechet is not None and original.frechet is None
    # What a figure shows: eight bits of the samples.
    assert [len(row) for row in whole.pictures["toy"]] == [3, 3]
    np.testing.assert_allclose(whole.pictures["toy"][1], samples[1], atol=1 / 255)


def same(a, b):
    np.testing.assert_array_equal(a.pictures["toy"], b.pictures["toy"])
    for one, other in zip(a.summaries, b.summaries, strict=True):
        assert one == other


@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_batches_change_nothing(whole, tmp_path, batch_size):
    found = measure(tmp_path, Sampler(), batch_size=batch_size)
    for one, other in zip(whole.summaries, found.summaries, strict=True):
        assert [x is None for x in one] == [x is None for x in other]
        known = [(a, b) for a, b in zip(one[1:], other[1:], strict=True) if a is not None]
        np.testing.assert_allclose(*zip(*known, strict=True), rtol=1e-5)


def test_a_study_that_was_interrupted_ends_as_one_that_was_not(whole, tmp_path):
    killed, resumed = Sampler(limit=5), Sampler()
    with pytest.raises(KeyboardInterrupt):
        measure(tmp_path, killed, batch_size=2)
    found = measure(tmp_path, resumed, batch_size=2)
    assert resumed.seeds[0] == killed.seeds[4]  # the batch that was lost begins here
    same(found, measure(tmp_path / "fresh", Sampler(), batch_size=2))
    again = Sampler()
    same(found, measure(tmp_path, again, batch_size=2))
    assert not again.seeds, "nothing is left to do"
    more = measure(tmp_path, again, batch_size=2, figure_images=3)
    assert len(more.pictures["toy"]) == 3 and len(again.seeds) == 2  # the batch of the third
    assert more.summaries == found.summaries


def test_no_two_samples_have_one_seed(tmp_path):
    sampler = Sampler()
    measure(tmp_path, sampler, seed=2**31 - 5)
    seeds = sum(sampler.seeds, [])
    assert len({*seeds}) == len(seeds) == 3 * COUNT
    assert min(seeds) >= 0 and max(seeds) < 2**31
    assert measure(tmp_path, sampler, seed=1).summaries[0].gain is not None
    assert len(sampler.seeds) == 2 * COUNT  # another seed, other samples


def test_a_sample_that_is_no_picture_is_named(tmp_path):
    def broken(images, masks, seeds):
        return {"completed": np.full((1, len(seeds), SIDE, SIDE, 3), np.nan)}

    with pytest.raises(InputError, match=r"toy: its completion of 0.png"):
        measure(tmp_path, broken)


def test_only_pictures_of_the_figure_are_kept(whole, tmp_path):
    measure(tmp_path, Sampler())
    kept = {path.name for path in tmp_path.rglob("*.png")}
    assert kept == {"000000.png", "000001.png"}
    strip = next(tmp_path.glob("toy-*/pictures/000000.png"))
    assert read_image(strip).shape == (SIDE, 3 * SIDE, 3)
