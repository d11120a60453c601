"""Compares completion methods on the same images and the same holes, as the papers' tables do.

    python -m common.compare --methods=mine=RUN,shipped:glcic,telea --dataset=FOLDER \
        --mask_kind=rectangle --output=FOLDER

A method is the name of a classical one (``common.classical``), a SavedModel's folder, a run
directory or shipped:PACKAGE[/NAME]; NAME=SOURCE gives it a name of its own. What a model lets be
set stands behind it, as in shipped:wgan_inpaint/cnnlg?smoothness=0.3&detail=1.5. Several
``--methods`` add up, so that more can join those of a flagfile; a name that comes again replaces
the earlier.

The output folder then holds

    summary.csv .md .tex      a row per method (kind of hole, way of blending): mean and standard
                              deviation of each measure, and the Fréchet distance with --features
    table_psnr.csv .md .tex   one measure, ``--table_images`` first images and the mean of all; also
    table_ssim.csv .md .tex   of SSIM. With --each_kind a column per kind of hole
    differences.csv .md .tex  mean differences to ``--reference``, with 95% bootstrap intervals
    per_image.csv             a row per image
    comparison.png            the first images: original, hole in magenta, completions; with
                              --figure_rows=methods a row for each of these
    area.png area.csv         PSNR by the hole's share of the picture, with --area_bin
    images/METHOD[/BLEND][/KIND]/NAME.png and images/original/NAME.png, with --save_images
    cache/                    scores as they are made; may be deleted

The same command on the same folder goes on where it was killed and computes nothing twice, unless
a model, a mask, the data set, a setting or the code that measures has changed; one process works in
a folder at a time. How things are measured: ``common.evaluation.comparison``; what the tables say:
``common.evaluation.tables``.
"""

import functools
import os
import pathlib

from absl import flags, logging

from common import classical, locks, runtime
from common.completion import model_folders
from common.errors import InputError
from common.evaluation import sources
from flags import compare as compare_flags
from flags import data as data_flags
from flags import masks as mask_flags
from flags import runtime as runtime_flags
from flags import training as training_flags

FLAGS = flags.FLAGS

PROGRESS_FROM = 8  # images
_CLAIMED = []  # files that stay open until the process ends


def parse_methods(values):
    """Turns the values of ``--methods`` into {name: source}.

    Args:
      values: list of "ENTRY,ENTRY,..."; an entry is NAME=SOURCE or a source alone.

    Raises:
      InputError: no entry, one of another form, or a name that occurs twice in one value or does
        not suit a table or a file.
    """
    found = {}
    for value in values:
        added = {}
        for entry in filter(None, (part.strip() for part in value.split(","))):
            name, source = _name_and_source(entry)
            if set(name) & set("/\\") or name.startswith(".") or not name.isprintable():
                raise InputError(
                    f"--methods: the name {name!r} holds a slash, starts with a dot or cannot be "
                    "printed; choose another"
                )
            if name == sources.ORIGINAL:
                raise InputError(f"--methods: '{name}' is what images are compared with; rename it")
            if name in added:
                raise InputError(f"--methods: the name '{name}' is given twice")
            added[name] = source
        if not added:
            raise InputError(f"--methods={value}: no method; give SOURCE or NAME=SOURCE")
        # What comes again takes its new place.
        found = {name: old for name, old in found.items() if name not in added} | added
    return found


def _name_and_source(entry):
    name, equals, source = (part.strip() for part in entry.partition("="))
    if equals and "?" not in name:  # else it is a value of the model's
        if not (name and source):
            raise InputError(f"--methods: '{entry}' is not of the form NAME=SOURCE")
        return name, source
    if entry in classical.METHODS:
        return entry, entry
    if entry.startswith(model_folders.SHIPPED):
        return entry.removeprefix(model_folders.SHIPPED).replace("/", "_"), entry
    if ":" in entry:
        return entry.rpartition(":")[2], entry
    folder = pathlib.Path(os.path.abspath(os.path.expanduser(entry)))
    return (folder.parent if folder.name == "saved_model" else folder).name, entry


def prepare_output(folder):
    """Makes the output folder, and claims it and the cache in it until the process ends.

    Raises:
      InputError: it cannot be written to, or another process is at work in it.
    """
    try:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output={folder}: {error.strerror or error}") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"--output={folder}: no permission to write there")
    _CLAIMED.append(locks.hold(folder, f"--output={folder}"))


def define_flags():
    """Defines this command's flags."""
    compare_flags.define()
    data_flags.define()
    mask_flags.define("center")
    runtime_flags.define()
    # What a method was trained on says little about it.
    FLAGS.set_default("split", "test")


def pictures_of_flags():
    """The ``common.evaluation.sources.Pictures`` that the flags describe."""
    pictures = sources.open_pictures(FLAGS.dataset, FLAGS.split, FLAGS.data_dir)
    if FLAGS.limit:
        pictures = pictures.first(FLAGS.limit)
    return pictures.squares(FLAGS.image_size) if FLAGS.image_size else pictures


def main():
    """Compares and writes the tables and the figures."""
    training_flags.required("methods", "dataset", "output")
    blends, kinds = compare_flags.blends(), compare_flags.kinds()
    chosen = parse_methods(FLAGS.methods)
    reference = compare_flags.reference(list(chosen)), blends[0]
    mask_flags.check()
    data_flags.check()
    for name, source in chosen.items():
        sources.find_method(name, source)
    pictures = pictures_of_flags()
    folder = pathlib.Path(FLAGS.output)
    prepare_output(folder)

    runtime.import_tensorflow()
    from common.evaluation import comparison, reports

    bfloat16 = runtime.choose_precision(FLAGS.precision) == "mixed_bfloat16"
    precision = "bfloat16" if bfloat16 else "float32"
    methods = [sources.open_method(name, source, precision) for name, source in chosen.items()]
    holes = {"+".join(each): mask_flags.holes(each, FLAGS.seed) for each in kinds}
    # A bar that is full at once is noise.
    progress = runtime.progress_bar if len(pictures.names) > PROGRESS_FROM else None
    options = comparison.Options(
        blends=blends,
        batch_size=FLAGS.batch_size,
        figure_images=FLAGS.figure_images,
        image_folder=folder / "images" if FLAGS.save_images else None,
        gradients=FLAGS.gradients,
        features=comparison.DeepFeatures(FLAGS.features) if FLAGS.features else None,
        progress=progress,
    )
    results = comparison.compare(methods, holes, pictures, folder / "cache", options)
    print(reports.save_tables(folder, results, reference, FLAGS.seed, FLAGS.table_images))
    at = functools.partial(pathlib.Path, folder)
    if FLAGS.figure_images:
        rows = comparison.figure_rows(results, pictures, holes, FLAGS.figure_images)
        path = at(f"comparison.{FLAGS.figure_format}")
        transposed = FLAGS.figure_rows == "methods"
        cells = list(results.scores)
        reports.save_figure(path, rows, cells, FLAGS.original, transposed, FLAGS.figure_pixels)
    if FLAGS.area_bin:
        reports.save_area(at(f"area.{FLAGS.figure_format}"), results.scores, FLAGS.area_bin)
    logging.info("tables and figures: %s", FLAGS.output)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
