"""Measures several completions of one hole: how good they are, how different, how deceptive.

    python -m wgan_inpaint.studies.diversity --methods=mine=RUN,telea --dataset=FOLDER \
        --image_size=64 --mask_kind=center --features=FILE --output=FOLDER

``--methods`` and the pictures are given as to ``common.compare``. A SavedModel with the signature
``complete_samples`` draws ``--samples`` completions of each picture; any other method has one, and
nothing stands where it takes several. The output folder then holds

    diversity.csv .md   a row per method: PSNR and SSIM of one sample, of the best, of the mean; how
                        far two samples are apart; with --features also Fréchet distance, LPIPS and
                        discriminative scores
    diversity.png       the first pictures: hole, samples, original
    cache/              numbers and features as they are made; may be deleted

The same command on the same folder goes on where it was killed. What is measured, and how:
``common.evaluation.diversity`` and ``common.evaluation.discrimination``.
"""

import pathlib

from absl import flags, logging

from common import compare, runtime
from common.evaluation import sources
from flags import data as data_flags
from flags import masks as mask_flags
from flags import runtime as runtime_flags
from flags import studies as study_flags
from flags import training as training_flags

FLAGS = flags.FLAGS


def define_flags():
    """Defines this command's flags."""
    study_flags.define_diversity()
    data_flags.define()
    mask_flags.define("center")
    runtime_flags.define()
    FLAGS.set_default("split", "test")


def main():
    """Measures; writes tables and figure, and prints the table."""
    training_flags.required("methods", "dataset", "output")
    chosen = compare.parse_methods(FLAGS.methods)
    mask_flags.check()
    data_flags.check()
    for name, source in chosen.items():
        sources.find_method(name, source)
    pictures = compare.pictures_of_flags()
    folder = pathlib.Path(FLAGS.output)
    compare.prepare_output(folder)

    runtime.import_tensorflow()
    from common.evaluation import comparison, diversity
    from wgan_inpaint.studies import answers

    bfloat16 = runtime.choose_precision(FLAGS.precision) == "mixed_bfloat16"
    precision = "bfloat16" if bfloat16 else "float32"
    methods = [sources.open_answers(name, source, precision) for name, source in chosen.items()]
    holes = mask_flags.holes(FLAGS.mask_kind, FLAGS.seed)
    options = diversity.Options(
        samples=FLAGS.samples,
        seed=FLAGS.seed,
        batch_size=FLAGS.batch_size,
        figure_images=FLAGS.figure_images,
        features=comparison.DeepFeatures(FLAGS.features) if FLAGS.features else None,
        progress=runtime.progress_bar if len(pictures.names) > compare.PROGRESS_FROM else None,
    )
    results = diversity.measure(methods, holes, pictures, folder / "cache", options)
    print(answers.save_tables(folder, results.summaries), end="")
    if FLAGS.figure_images:
        first = pictures.first(min(FLAGS.figure_images, len(pictures.names)))
        answers.save_figure(folder / "diversity.png", results.pictures, first, holes)
    logging.info("tables and figure: %s", FLAGS.output)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
