"""Compares the starts of the search: how many iterations each needs for the same loss.

    python -m wgan_inpaint.starts --dataset=FOLDER --output=FOLDER

The loss that a random start reaches at the end (``--iterations``, the papers' 1,500) is the target:
the mean over the images of context + lambda prior, of each image's best restart. The other starts,
the best of ``--candidates`` random z and the encoder's guess, search by the same settings; and then
all of them by limited-memory BFGS, for ``--lbfgs_iterations``. Writes

    starts.csv   a row per start: iterations to the target, and seconds, its own included
    losses.csv   iteration, and the mean loss of each start after so many iterations
    starts.png   these losses against the iterations
"""

from absl import flags

from common import compare, methods, runtime
from common.errors import InputError
from common.evaluation import sources
from flags import data as data_flags
from flags import masks as mask_flags
from flags import methods as method_flags
from flags import runtime as runtime_flags
from flags import studies as study_flags
from flags import training as training_flags
from wgan_inpaint import METHODS
from wgan_inpaint.search.settings import PAPER, Settings

FLAGS = flags.FLAGS


def define_flags():
    """Defines this command's flags."""
    study_flags.define_starts()
    data_flags.define()
    mask_flags.define("center")
    runtime_flags.define()
    runtime_flags.define_xla()
    method_flags.define(Settings)
    FLAGS.set_default("split", "test")
    # The paper's, which are the measure here.
    FLAGS.set_default("iterations", PAPER.iterations)


def main():
    """Searches from every start; writes tables and figure, and prints the table."""
    training_flags.required("dataset", "output")
    if FLAGS["init"].present:
        raise InputError(f"--init={FLAGS.init}: this command compares all of them; leave it out")
    if not FLAGS.iterations:
        raise InputError("--iterations=0: give at least 1")
    settings = method_flags.read(Settings)
    methods.described(FLAGS.model, METHODS)
    mask_flags.check()
    data_flags.check()
    pictures = sources.open_pictures(FLAGS.dataset, FLAGS.split, FLAGS.data_dir)
    if FLAGS.limit:
        pictures = pictures.first(FLAGS.limit)
    compare.prepare_output(FLAGS.output)

    tf = runtime.import_tensorflow()
    from common.evaluation import comparison
    from wgan_inpaint import loading
    from wgan_inpaint.studies import compare_starts

    networks_ = loading.load_networks(FLAGS.model)
    holes = mask_flags.holes(FLAGS.mask_kind, FLAGS.seed)
    stream = comparison.batches(pictures.squares(networks_.size), holes, FLAGS.batch_size)
    mixed = runtime.choose_precision(FLAGS.precision) == "mixed_bfloat16"
    descents = compare_starts.descend_from_all(
        networks_,
        settings,
        [(batch.images, batch.masks) for batch in stream],
        FLAGS.lbfgs_iterations,
        tf.bfloat16 if mixed else tf.float32,
        runtime.choose_xla(FLAGS.xla),
    )
    print(compare_starts.save(FLAGS.output, descents), end="")


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
