"""Compares completion methods on the same images and the same holes, as the papers' tables do.

    python -m common.compare --methods=mine=RUN,shipped:glcic,telea --dataset=FOLDER \
        --mask_kind=rectangle --output=FOLDER

A method is the name of a classical one (``common.classical``), a SavedModel's folder, a run
directory or shipped:PACKAGE; NAME=SOURCE gives it a name of its own. Several ``--methods`` add up,
so that more can join those of a flagfile; a name that comes again replaces the earlier.

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
a model, a mask, the data set, a setting or the code that measures has changed. How things are
measured: ``common.evaluation.comparison``; what the tables say: ``common.evaluation.tables``.
"""

import functools
import os
import pathlib

from absl import flags, logging

from common import classical, figures, runtime
from common.errors import InputError
from common.evaluation import comparison, tables
from common.pictures import images as image_files
from flags import compare as compare_flags
from flags import data as data_flags
from flags import masks as mask_flags
from flags import runtime as runtime_flags
from flags import training as training_flags

FLAGS = flags.FLAGS

PROGRESS_FROM = 8  # images
LABEL_LENGTH = 24  # of a row of the figure, in characters
PAPER_MEASURES = ("psnr", "ssim")  # have a table of their own


def parse_methods(values):
    """Turns the values of ``--methods`` into {name: source}.

    Args:
      values: list of "ENTRY,ENTRY,..."; an entry is NAME=SOURCE or a source alone.

    Raises:
      InputError: an entry of another form, or a name that occurs twice in one value or does not
        suit a table or a file.
    """
    sources = {}
    for value in values:
        added = {}
        for entry in filter(None, (part.strip() for part in value.split(","))):
            name, source = _name_and_source(entry)
            if set(name) & set("/\\") or name.startswith(".") or not name.isprintable():
                raise InputError(
                    f"--methods: the name {name!r} holds a slash, starts with a dot or cannot be "
                    "printed; choose another"
                )
            if name == comparison.ORIGINAL:
                raise InputError(f"--methods: '{name}' is what images are compared with; rename it")
            if name in added:
                raise InputError(f"--methods: the name '{name}' is given twice")
            added[name] = source
        # What comes again takes its new place.
        sources = {name: old for name, old in sources.items() if name not in added} | added
    return sources


def _name_and_source(entry):
    name, equals, source = (part.strip() for part in entry.partition("="))
    if equals:
        if not (name and source):
            raise InputError(f"--methods: '{entry}' is not of the form NAME=SOURCE")
        return name, source
    if entry in classical.METHODS:
        return entry, entry
    if ":" in entry:
        return entry.rpartition(":")[2], entry
    folder = pathlib.Path(os.path.abspath(os.path.expanduser(entry)))
    return (folder.parent if folder.name == "saved_model" else folder).name, entry


def save_tables(folder, results, reference, seed, images):
    """Writes all tables.

    Args:
      folder: where to.
      results: ``comparison.Results``.
      reference: (method, blend) that differences are to.
      seed: of the bootstrap.
      images: first images that have a column of their own.

    Returns:
      The text of summary.md.
    """
    scores = results.scores
    summaries, found = tables.summarize(scores), tables.differences(scores, reference, seed)
    drawn = {"summary": tables.summary_table(summaries, results.frechet)}
    texts = {
        "per_image.csv": tables.scores_csv(scores),
        "summary.csv": tables.summary_csv(summaries, results.frechet),
        "differences.csv": tables.differences_csv(found, reference),
    }
    drawn["differences"] = tables.differences_table(found, reference, summaries)
    for measure in PAPER_MEASURES:
        name = f"table_{measure}"
        drawn[name] = tables.measure_table(measure, scores, found, reference, images)
        texts[f"{name}.csv"] = tables.measure_csv(measure, scores, found, images)
    for name, table in drawn.items():
        texts[f"{name}.md"], texts[f"{name}.tex"] = tables.markdown(table), tables.latex(table)
    for name, text in texts.items():
        _write(folder / name, text)
    return texts["summary.md"]


def _write(path, text):
    # Names of files need not be valid text.
    image_files.write_bytes_atomically(path, text.encode("utf-8", "surrogateescape"))


def save_figure(path, rows, cells, original="first", transposed=False, pixels=figures.CELL_PIXELS):
    """Draws the pictures side by side.

    Args:
      path: where to; its suffix decides the format.
      rows: as ``comparison.figure_rows`` yields them.
      cells: of the comparison.
      original: "first" or "last", the column of the originals.
      transposed: columns become rows.
      pixels: small pictures are enlarged to about this side.
    """
    fields = [name for name in tables.varied(cells) if name != "holes"]
    heads = dict.fromkeys(tables.label(cell, fields) for cell in cells)
    kinds = {cell.holes for cell in cells}
    columns, pictures, labels = ["Masked", *heads], [], []
    at = 0 if original == "first" else len(columns)
    columns.insert(at, "Original")
    for kind, name, image, masked, completions in rows:
        row = [masked, *completions]
        row.insert(at, image)
        pictures.append(row)
        labels.append(kind if len(kinds) > 1 else _label(name))
    if transposed:
        pictures, columns, labels = list(zip(*pictures, strict=True)), labels, columns
    shown = labels if any(labels) else None
    figures.save_comparison(path, pictures, columns, shown, pixels=pixels)


def _label(name):
    """A short name as it is, a long one not at all: a row explains itself."""
    return name if len(name) <= LABEL_LENGTH and name.isprintable() else ""


def save_area(path, scores, width):
    """Draws PSNR against the hole's share of the picture, and writes the points beside it.

    Args:
      path: of the figure; its suffix decides the format.
      scores: {cell: list of scores}.
      width: of a bin, in 0..1.
    """
    rows = tables.by_area(scores, width)
    _write(path.with_suffix(".csv"), tables.area_csv(rows))
    fields, series = tables.varied(scores), {}
    for cell, _, _, _, missing, mean, _ in rows:
        xs, ys = series.setdefault(tables.label(cell, fields), ([], []))
        xs.append(100 * missing)
        ys.append(mean)
    if series:
        figures.save_curves(path, series, "missing (% of the picture)", "PSNR (dB)")


def prepare_output(folder):
    """Makes the output folder, so that its failure costs no comparison."""
    try:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output={folder}: {error.strerror or error}") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"--output={folder}: no permission to write there")


def define_flags():
    """Defines this command's flags."""
    compare_flags.define()
    data_flags.define()
    mask_flags.define("center")
    runtime_flags.define()
    # What a method was trained on says little about it.
    FLAGS.set_default("split", "test")


def _pictures():
    pictures = comparison.open_pictures(FLAGS.dataset, FLAGS.split, FLAGS.data_dir)
    if FLAGS.limit:
        pictures = pictures.first(FLAGS.limit)
    return pictures.squares(FLAGS.image_size) if FLAGS.image_size else pictures


def _methods():
    bfloat16 = runtime.choose_precision(FLAGS.precision) == "mixed_bfloat16"
    precision = "bfloat16" if bfloat16 else "float32"
    sources = parse_methods(FLAGS.methods)
    return [comparison.open_method(name, source, precision) for name, source in sources.items()]


def main():
    """Compares and writes the tables and the figures."""
    training_flags.required("methods", "dataset", "output")
    blends = compare_flags.blends()
    methods, pictures = _methods(), _pictures()
    reference = compare_flags.reference([method.name for method in methods]), blends[0]
    holes = {
        "+".join(kinds): mask_flags.holes(kinds, FLAGS.seed) for kinds in compare_flags.kinds()
    }
    folder = pathlib.Path(FLAGS.output)
    prepare_output(folder)
    # A bar that is full at once is noise.
    progress = runtime.progress_bar if len(pictures.names) > PROGRESS_FROM else None
    options = comparison.Options(
        blends=blends,
        batch_size=FLAGS.batch_size,
        figure_images=FLAGS.figure_images,
        image_folder=folder / "images" if FLAGS.save_images else None,
        features=comparison.DeepFeatures(FLAGS.features) if FLAGS.features else None,
        progress=progress,
    )
    results = comparison.compare(methods, holes, pictures, folder / "cache", options)
    print(save_tables(folder, results, reference, FLAGS.seed, FLAGS.table_images))
    at = functools.partial(pathlib.Path, folder)
    if FLAGS.figure_images:
        rows = comparison.figure_rows(results, pictures, holes, FLAGS.figure_images)
        path = at(f"comparison.{FLAGS.figure_format}")
        transposed = FLAGS.figure_rows == "methods"
        cells = list(results.scores)
        save_figure(path, rows, cells, FLAGS.original, transposed, FLAGS.figure_pixels)
    if FLAGS.area_bin:
        save_area(at(f"area.{FLAGS.figure_format}"), results.scores, FLAGS.area_bin)
    logging.info("tables and figures: %s", FLAGS.output)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
