"""What a run's generator has learnt: how diverse its pictures are, and its column of a figure.

Diversity is measured as in [1], Section 4.2: the mean SSIM of pairs of generated pictures. Pictures
that are all alike have 1; those of a collapsed generator have more than real images have, which
``--dataset`` adds as a reference. Noise has less, so look at the pictures too.

[1] A. Odena, C. Olah, J. Shlens. Conditional Image Synthesis with Auxiliary Classifier GANs. ICML
    2017. (It takes multi-scale SSIM; our pictures are too small for its five scales.)
"""

import numpy as np

from common import figures
from common.evaluation import metrics
from common.pictures import datasets
from wgan_inpaint import networks
from wgan_inpaint.studies import history

SEED = 0  # of the latent vectors and of the order of the real images
_AT_A_TIME = 100


def similarity(pictures):
    """The mean SSIM of the pairs (0, 1), (2, 3), ...

    Args:
      pictures: float32 [2N, S, S, 3] in [0, 1].
    """
    pairs = zip(pictures[::2], pictures[1::2], strict=True)
    return float(np.mean([metrics.ssim(*pair) for pair in pairs]))


def generated(generator, count):
    """Pictures of ``count`` random z, float32 [count, S, S, 3]."""
    latent = generator.input_shape[-1]
    z = networks.random_latents(count, latent, [SEED, 0])
    parts = [
        generator(z[n : n + _AT_A_TIME], training=False).numpy()
        for n in range(0, count, _AT_A_TIME)
    ]
    return np.concatenate(parts)


def real(dataset, size, count, split="train", data_dir=None):
    """The middle squares of ``count`` images of a data set, float32 [count, S, S, 3]."""
    prepare = datasets.Preparation(size, crop="center")
    batches = datasets.training_batches(
        dataset, prepare, count, SEED, split=split, data_dir=data_dir
    )
    return next(batches.take(1).as_numpy_iterator()).astype(np.float32) / 255


def panel(name, run, alike, reference=None):
    """A run's column of the figure.

    Args:
      name: its title.
      run: a ``common.training.runs.RunDirectory``.
      alike: the similarity of its pictures.
      reference: None, or the similarity of real images.

    Returns:
      ``common.figures.Panel``.
    """
    past, grid = history.last(run)
    notes = [f"mean SSIM of pairs of pictures: {alike:.3f}"]
    if reference is not None:
        notes.append(f"of pairs of real images: {reference:.3f}")
    curve = (past.updates, past.values)
    return figures.Panel(name, tuple(notes), grid, curve, history.ESTIMATES[past.estimate])
