"""Discriminative scores: a half where nothing tells them apart, none where everything does."""

import numpy as np
import pytest

from common.errors import InputError
from common.evaluation import discrimination

pytest.importorskip("sklearn")


def vectors(seed, count, dimensions):
    return np.random.default_rng(seed).normal(size=(count, dimensions))


def test_features_of_one_distribution_are_taken_for_either():
    found = discrimination.scores(vectors(0, 400, 8), vectors(1, 400, 8))
    assert found == pytest.approx((0.5, 0.5), abs=0.07)


@pytest.mark.parametrize("folds", [1, 10])
def test_features_that_lie_apart_are_told_apart(folds):
    real = vectors(0, 60, 8)
    assert discrimination.scores(real, vectors(1, 60, 8) + 9, folds) == (0, 0)


def test_a_completion_that_is_the_original_is_as_real():
    real = vectors(0, 20, 3)
    assert discrimination.scores(real, real) == (0.5, 0.5)


def test_a_line_between_two_heaps():
    """Of 2 x 8 pictures a real one and a completed one lie in the wrong heap, in two pairs."""
    real, completed = np.full((8, 1), 5.0), np.full((8, 1), 3.0)
    real[2], completed[5] = 3, 5
    # Pairs 2 and 5 have equal scores, which count a half each.
    assert discrimination.scores(real, completed) == (1 / 8, 2 / 16)
    # In one pair: this completion alone is taken for more real than its original.
    completed[2], completed[5] = 5, 3
    assert discrimination.scores(real, completed) == (1 / 8, 2 / 16)


def test_the_scale_of_a_feature_does_not_matter():
    real, completed = vectors(0, 50, 4), vectors(1, 50, 4) + 0.5
    scaled = [10.0 ** np.arange(-4, 8, 3) * x + 7 for x in (real, completed)]
    assert discrimination.scores(*scaled) == discrimination.scores(real, completed)


def test_scored_on_what_it_learnt_from_a_few_pictures_are_always_told_apart():
    """Why the scores are not taken as their paper takes them: nothing tells these apart."""
    few = vectors(0, 30, 100), vectors(1, 30, 100)
    assert discrimination.scores(*few, folds=1) == (0, 0)
    assert discrimination.scores(*few) == pytest.approx((0.5, 0.5), abs=0.25)


def test_what_is_no_pair_is_refused():
    for wrong in (vectors(0, 4, 3), vectors(0, 5, 2), vectors(0, 5, 3)[0]):
        with pytest.raises(InputError, match="pairs"):
            discrimination.scores(vectors(0, 5, 3), wrong)
    with pytest.raises(InputError, match="2 or more"):
        discrimination.scores(vectors(0, 1, 3), vectors(1, 1, 3))
