"""Compares methods under several conditions: kinds and sizes of pictures, sizes of holes.

    python -m wgan_inpaint.studies.conditions --methods=mine=RUN,telea --pictures=faces=FOLDER \
        --pictures=scenes=FOLDER --image_sizes=64,128 --hole_shares=0.0625,0.25 --output=FOLDER

``--methods`` are given as to ``common.compare``, and measured as it does: the middle square of each
picture at each size, with a square hole of each share of it where ``--mask_kind`` says (center, or
square: anywhere). The output folder then holds

    conditions.csv .md  a row per kind, size, hole and method
    cache/              numbers as they are made; may be deleted

The same command on the same folder goes on where it was killed.
"""

import pathlib

from absl import flags, logging

from common import compare, runtime
from common.errors import InputError
from common.evaluation import sources, tables
from common.pictures import images as image_files
from flags import masks as mask_flags
from flags import runtime as runtime_flags
from flags import studies as study_flags
from flags import training as training_flags

FLAGS = flags.FLAGS
KINDS = ("center", "square")
MEASURES = ("psnr", "ssim", "psnr_hole")


def define_flags():
    """Defines this command's flags."""
    study_flags.define_conditions()
    mask_flags.define("center")
    runtime_flags.define()


def parse_numbers(name, kind, low, high):
    """The values of a list flag.

    Raises:
      InputError: one that is no number of this kind between ``low`` and ``high``.
    """
    try:
        found = [kind(text) for text in FLAGS[name].value]
    except ValueError as error:
        raise InputError(f"--{name}={','.join(FLAGS[name].value)}: {error}") from error
    if not found or not all(low <= value <= high for value in found):
        raise InputError(f"--{name}={','.join(FLAGS[name].value)}: need {low} to {high}")
    return found


def main():
    """Compares; writes the tables and prints one."""
    training_flags.required("methods", "pictures", "output")
    chosen = compare.parse_methods(FLAGS.methods)
    for name, source in chosen.items():
        sources.find_method(name, source)
    if len(FLAGS.mask_kind) != 1 or FLAGS.mask_kind[0] not in KINDS:
        raise InputError(f"--mask_kind={','.join(FLAGS.mask_kind)}: choose {' or '.join(KINDS)}")
    sizes = parse_numbers("image_sizes", int, 16, 4096)
    shares = parse_numbers("hole_shares", float, 1e-4, 0.9)
    kinds = {}
    for item in FLAGS.pictures:
        name, equals, dataset = item.partition("=")
        if not (name and equals and dataset):
            raise InputError(f"--pictures={item}: need NAME=DATASET")
        kinds[name] = sources.open_pictures(dataset)
        if FLAGS.limit:
            kinds[name] = kinds[name].first(FLAGS.limit)
    folder = pathlib.Path(FLAGS.output)
    compare.prepare_output(folder)

    runtime.import_tensorflow()
    from common.evaluation import comparison
    from common.pictures import masks

    bfloat16 = runtime.choose_precision(FLAGS.precision) == "mixed_bfloat16"
    precision = "bfloat16" if bfloat16 else "float32"
    methods = [sources.open_method(name, source, precision) for name, source in chosen.items()]
    options = comparison.Options(batch_size=FLAGS.batch_size, progress=runtime.progress_bar)
    rows = []
    for name, pictures in kinds.items():
        for size in sizes:
            sides = {f"{share:g}": max(1, round(size * share**0.5)) for share in shares}
            holes = {
                share: masks.Holes(
                    FLAGS.mask_kind, seed=FLAGS.seed, hole_size=side, hole_min=side, hole_max=side
                )
                for share, side in sides.items()
            }
            squares = pictures.squares(size)
            logging.info("%s at %d px", name, size)
            found = comparison.compare(methods, holes, squares, folder / "cache", options)
            for summary in tables.summarize(found.scores):
                cell = summary.cell
                means = [summary.mean[measure] for measure in MEASURES]
                rows.append([name, size, cell.holes, cell.method, summary.images, *means])
    print(save_tables(folder, rows), end="")


def save_tables(folder, rows):
    """Writes conditions.csv and conditions.md; returns the latter's text.

    Args:
      folder: where to.
      rows: lists of kind, size, hole's share, method, images and the means of ``MEASURES``.
    """
    heads = ["Pictures", "Size (px)", "Hole", "Method", "Images"]
    heads += [tables.MEASURES[name].heading for name in MEASURES]
    shown = []
    for row in rows:
        rivals = [other[5:] for other in rows if other[:3] == row[:3]]
        best = [max(values) for values in zip(*rivals, strict=True)]
        texts = [
            f"{v:.{tables.MEASURES[n].digits}f}" for v, n in zip(row[5:], MEASURES, strict=True)
        ]
        marked = [
            f"**{text}**" if value == most and len(rivals) > 1 else text
            for text, value, most in zip(texts, row[5:], best, strict=True)
        ]
        shown.append([*map(str, row[:5]), *marked])
    text = tables.markdown(tables.Table(heads, shown, 4, ["Hole: its share of the picture."]))
    names = ("pictures", "size", "hole", "method", "images", *MEASURES)
    for name, content in {
        "conditions.csv": tables.csv_text(names, rows),
        "conditions.md": text,
    }.items():
        encoded = content.encode("utf-8", "surrogateescape")
        image_files.write_bytes_atomically(folder / name, encoded)
    return text


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
