"""Compares training runs: their pictures, their estimates, and how diverse their pictures are.

    python -m wgan_inpaint.promises --runs=gan=RUN1,wgan=RUN2 --dataset=FOLDER --output=FILE.png

The document promises that the Wasserstein distance makes training stable, keeps the generator from
mode collapse, tells how training goes, and needs no special architecture. Two runs that differ in
their objective alone show it side by side.

Diversity is measured as in [1], Section 4.2: the mean SSIM of pairs of generated pictures. Pictures
that are all alike have 1; those of a collapsed generator have more than real images have, which
``--dataset`` adds as a reference. Noise has less, so look at the pictures too.

[1] A. Odena, C. Olah, J. Shlens. Conditional Image Synthesis with Auxiliary Classifier GANs. ICML
    2017. (It takes multi-scale SSIM; our pictures are too small for its five scales.)
"""

import numpy as np
from absl import flags

from common import figures, runtime
from common.errors import InputError
from common.evaluation import metrics
from common.pictures import datasets
from common.training import loop as training
from flags import data as data_flags
from flags import training as training_flags
from flags import wgan as wgan_flags
from wgan_inpaint import networks, restoring
from wgan_inpaint.studies import history

FLAGS = flags.FLAGS
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
      run: a ``common.training.loop.RunDirectory``.
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


def parse_runs(items):
    """[(name, ``RunDirectory``)] of ``--runs``."""
    runs = []
    for item in items:
        name, equals, folder = item.partition("=")
        if not (name and equals and folder):
            raise InputError(f"--runs={item}: need NAME=RUN_DIR")
        runs.append((name, training.RunDirectory(folder)))
    return runs


def define_flags():
    """Defines this command's flags."""
    wgan_flags.define_promises()
    data_flags.define()


def main():
    """Draws the figure and prints the similarities."""
    training_flags.required("runs", "output")
    runs = parse_runs(FLAGS.runs)
    restored = [restoring.restore(run) for _, run in runs]
    sizes = {one.architecture.size for one in restored}
    if len(sizes) > 1:
        raise InputError(f"--runs: pictures of {sorted(sizes)} pixels cannot be compared")
    count, reference = 2 * FLAGS.pairs, None
    if FLAGS.dataset:
        images = real(FLAGS.dataset, sizes.pop(), count, FLAGS.split, FLAGS.data_dir)
        reference = similarity(images)
        print(f"real images: mean SSIM of pairs {reference:.3f}")
    panels = []
    for (name, run), one in zip(runs, restored, strict=True):
        alike = similarity(generated(one.generator, count))
        print(f"{name}: mean SSIM of pairs {alike:.3f}")
        panels.append(panel(name, run, alike, reference))
    figures.save_panels(FLAGS.output, panels, history.UPDATES)
    print(f"figure: {FLAGS.output}")


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
