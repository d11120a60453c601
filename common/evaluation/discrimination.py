"""P-IDS and U-IDS, paired and unpaired inception discriminative scores.

A linear support vector machine learns to tell the features of originals from those of completions.
U-IDS is the share of all pictures that it takes for the other kind, P-IDS the share of completions
that it takes for more real than their own originals [1]. Both are 1/2 where the two look alike, and
0 where every picture betrays itself.

Here the machine is never asked about pictures that it learnt from: pictures come in `FOLDS` parts,
original and completion of one in the same part, and each part is scored by a machine that learnt
from the others. [1] trains and scores on the same features, which needs far more pictures than
features have dimensions: N pairs in 2 N dimensions can be told apart whatever they show, and both
scores are 0. The features are standardized first, as those of other networks than
[1]'s have other scales, and equal scores of a pair count one half. Numbers are comparable with
others of the same features and as many pictures, and not with those of [1].

[1] Zhao, Cui, Sheng, Dong, Liang, Chang, Xu: Large scale image completion via co-modulated
    generative adversarial networks. ICLR 2021.
"""

from typing import NamedTuple

import numpy as np

from common.classical import shared
from common.errors import InputError

FOLDS = 10
LIBRARY = "sklearn"  # of the extra `classical`


class Scores(NamedTuple):
    """P-IDS and U-IDS, shares in [0, 1]."""

    paired: float
    unpaired: float


def scores(real, completed, folds=FOLDS):
    """P-IDS and U-IDS of pairs.

    Args:
      real: float [N, D], features of originals.
      completed: float [N, D], those of their completions, in the same order.
      folds: parts; N at most are made. 1: trains and scores on everything, as [1] does.

    Returns:
      ``Scores``.

    Raises:
      InputError: the shapes differ, there are fewer than 2 pairs, or scikit-learn is missing.
    """
    real, completed = np.asarray(real, np.float64), np.asarray(completed, np.float64)
    if real.shape != completed.shape or real.ndim != 2 or len(real) < 2:
        raise InputError(
            f"discriminative scores take 2 or more pairs of features [N, D], not {real.shape} "
            f"and {completed.shape}"
        )
    part = np.arange(len(real)) % min(folds, len(real))
    outputs = np.empty((2, len(real)))
    for number in range(part.max() + 1):
        judged = part == number
        learnt = ~judged if folds > 1 else judged
        machine = _machine()
        pictures = np.concatenate([real[learnt], completed[learnt]])
        machine.fit(pictures, np.repeat([1, 0], learnt.sum()))
        outputs[:, judged] = [machine.decision_function(x[judged]) for x in (real, completed)]
    of_real, of_completed = outputs
    return Scores(
        paired=float(np.mean(of_completed > of_real) + np.mean(of_completed == of_real) / 2),
        unpaired=float((np.mean(of_real <= 0) + np.mean(of_completed > 0)) / 2),
    )


def _machine():
    """[1]'s classifier, behind features of mean 0 and variance 1."""
    pipeline, preprocessing, svm = (
        shared.library(f"{LIBRARY}.{name}") for name in ("pipeline", "preprocessing", "svm")
    )
    return pipeline.make_pipeline(preprocessing.StandardScaler(), svm.LinearSVC(dual=False))
