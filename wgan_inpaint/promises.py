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

from absl import flags

from common import runtime
from common.errors import InputError
from common.training.runs import RunDirectory
from flags import data as data_flags
from flags import studies as study_flags
from flags import training as training_flags

FLAGS = flags.FLAGS


def parse_runs(items):
    """[(name, ``RunDirectory``)] of ``--runs``."""
    runs = []
    for item in items:
        name, equals, folder = item.partition("=")
        if not (name and equals and folder):
            raise InputError(f"--runs={item}: need NAME=RUN_DIR")
        runs.append((name, RunDirectory(folder)))
    return runs


def define_flags():
    """Defines this command's flags."""
    study_flags.define_promises()
    data_flags.define()


def main():
    """Draws the figure and prints the similarities."""
    training_flags.required("runs", "output")
    runs = parse_runs(FLAGS.runs)
    for _, run in runs:
        run.read_flags()  # refuses what is no run
    if FLAGS.dataset:
        data_flags.check()

    runtime.import_tensorflow()
    from common import figures
    from common.training import driver
    from wgan_inpaint import loading
    from wgan_inpaint.studies import compare_runs, history

    restored = [driver.restore(loading.METHOD, run) for _, run in runs]
    sizes = {one.settings.size for one in restored}
    if len(sizes) > 1:
        raise InputError(f"--runs: pictures of {sorted(sizes)} pixels cannot be compared")
    count, reference = 2 * FLAGS.pairs, None
    if FLAGS.dataset:
        images = compare_runs.real(FLAGS.dataset, sizes.pop(), count, FLAGS.split, FLAGS.data_dir)
        reference = compare_runs.similarity(images)
        print(f"real images: mean SSIM of pairs {reference:.3f}")
    panels = []
    for (name, run), one in zip(runs, restored, strict=True):
        alike = compare_runs.similarity(
            compare_runs.generated(loading.trained(one)["generator"], count)
        )
        print(f"{name}: mean SSIM of pairs {alike:.3f}")
        panels.append(compare_runs.panel(name, run, alike, reference))
    figures.save_panels(FLAGS.output, panels, history.UPDATES)
    print(f"figure: {FLAGS.output}")


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
