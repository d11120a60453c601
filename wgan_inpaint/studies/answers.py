"""Tables and figure of several answers to one hole, as files."""

import pathlib

import numpy as np

from common import figures
from common.evaluation import comparison, diversity, tables
from common.pictures import images as image_files

# Heading and format of fields of a ``Summary``; {} is the number of samples.
COLUMNS = {
    "psnr_one": ("PSNR, one (dB)", "{:.2f}"),
    "psnr_best": ("PSNR, best of {}", "{:.2f}"),
    "psnr_mean": ("PSNR, mean of {}", "{:.2f}"),
    "ssim_one": ("SSIM, one", "{:.4f}"),
    "ssim_best": ("SSIM, best of {}", "{:.4f}"),
    "ssim_mean": ("SSIM, mean of {}", "{:.4f}"),
    "gain": ("Gain (dB)", "{:.2f}"),
    "frechet": ("Fréchet distance", "{:.3f}"),
    "l1_apart": ("L1 apart", "{:.4f}"),
    "l1_ratio": ("L1 ratio", "{:.2f}"),
    "lpips_apart": ("LPIPS apart", "{:.4f}"),
    "lpips_ratio": ("LPIPS ratio", "{:.2f}"),
    "p_ids": ("P-IDS", "{:.1%}"),
    "u_ids": ("U-IDS", "{:.1%}"),
}
# What stands below the table if the column does; {right} is the right gain.
NOTES = {
    "psnr_one": "PSNR and SSIM of the whole picture, means over the pictures; one: over all "
    "samples as well.",
    "gain": "Gain: PSNR of the mean less that of one, from pooled mean squared errors: 0 if the "
    "samples are equal, {right:.2f} dB if they are as different as they should be.",
    "l1_apart": "Apart: two samples of a picture in the hole; of `original`: the originals of "
    "different pictures there. Ratio: the one by the other.",
    "frechet": "Fréchet distance: first samples and originals.",
    "p_ids": "P-IDS, U-IDS: a line through the features, learnt from other pictures, takes that "
    "share of first samples for more real than their originals, and that share of all for the "
    "other kind; 50%: cannot tell them apart, 0%: always can.",
}


def save_tables(folder, summaries):
    """Writes diversity.csv and diversity.md.

    Args:
      folder: where to.
      summaries: list of ``common.evaluation.diversity.Summary``.

    Returns:
      The table as Markdown.
    """
    texts = {
        "diversity.csv": tables.csv_text(diversity.Summary._fields, summaries),
        "diversity.md": tables.markdown(table(summaries)),
    }
    for name, text in texts.items():
        # Names need not be valid text.
        encoded = text.encode("utf-8", "surrogateescape")
        image_files.write_bytes_atomically(pathlib.Path(folder, name), encoded)
    return texts["diversity.md"]


def table(summaries):
    """The ``common.evaluation.tables.Table``, without columns in which nothing was measured."""
    names = [n for n in COLUMNS if any(getattr(s, n) is not None for s in summaries)]
    samples = max(s.samples or 1 for s in summaries)
    heads = ["Method", "Images", "Samples", *(COLUMNS[name][0].format(samples) for name in names)]
    rows = [
        [s.method, str(s.images), str(s.samples or ""), *(_cell(s, name) for name in names)]
        for s in summaries
    ]
    right = diversity.right_gain(samples)
    notes = [text.format(right=right) for name, text in NOTES.items() if name in names]
    return tables.Table(heads, rows, 1, notes)


def _cell(summary, name):
    value = getattr(summary, name)
    return "" if value is None else COLUMNS[name][1].format(value)


def save_figure(path, samples, pictures, holes):
    """Draws a row for each picture and method: the hole, the samples, the original.

    Methods of a single answer are shown only if there is no other.

    Args:
      path: where to; its suffix decides the format.
      samples: {method: for each picture a list of [H, W, 3]}; fewer than others' leave white.
      pictures: ``common.evaluation.comparison.Pictures``, the originals.
      holes: ``common.pictures.masks.Holes``.
    """
    several = {name: rows for name, rows in samples.items() if len(rows[0]) > 1}
    samples = several or samples
    columns = max(len(row) for rows in samples.values() for row in rows)
    rows, labels = [], []
    for number, name, image in pictures.numbered():
        hole = comparison.small_copy(figures.show_hole(image, holes(number, *image.shape[:2])))
        original = comparison.small_copy(image)
        for method, of_pictures in samples.items():
            own = of_pictures[number]
            white = [np.ones_like(original)] * (columns - len(own))
            rows.append([hole, *own, *white, original])
            labels.append(method if len(samples) > 1 else name)
    heads = ["Hole", *map(str, range(1, columns + 1)), "Original"]
    figures.save_comparison(path, rows, heads, labels)
