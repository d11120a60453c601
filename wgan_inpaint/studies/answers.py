"""Tables and figure of several answers to one hole, as files."""

import pathlib

import numpy as np

from common import figures
from common.evaluation import comparison, diversity, tables
from common.pictures import images as image_files

# Heading and format of each field of ``common.evaluation.diversity.Summary``; K stands for a number.
COLUMNS = {
    "psnr_one": ("PSNR of one (dB)", "{:.2f}"),
    "psnr_best": ("of the best of K", "{:.2f}"),
    "psnr_mean": ("of the mean of K", "{:.2f}"),
    "ssim_one": ("SSIM of one", "{:.4f}"),
    "ssim_best": ("of the best of K", "{:.4f}"),
    "ssim_mean": ("of the mean of K", "{:.4f}"),
    "gain": ("Gain (dB)", "{:.2f}"),
    "frechet": ("Fréchet distance", "{:.3f}"),
    "l1_apart": ("L1 apart", "{:.4f}"),
    "l1_ratio": ("ratio", "{:.2f}"),
    "lpips_apart": ("LPIPS apart", "{:.4f}"),
    "lpips_ratio": ("ratio", "{:.2f}"),
    "p_ids": ("P-IDS", "{:.1%}"),
    "u_ids": ("U-IDS", "{:.1%}"),
}
NOTES = {
    "apart": "Apart: mean over the pairs of a picture's samples, in the hole; of `original`: over "
    "originals of different pictures in the same hole. Ratio: the one by the other.",
    "psnr_one": "PSNR and SSIM of the whole picture, means over the pictures; of one: over all "
    "samples, too. Gain: PSNR of the mean of K less that of one, from pooled mean squared errors: "
    "0 if the samples are equal, {right:.2f} dB if they are as different as they should be.",
    "frechet": "Fréchet distance, P-IDS and U-IDS: first samples against originals. A line through "
    "the features takes a share U-IDS of pictures it has not seen for the other kind, and a share "
    "P-IDS of samples for more real than their originals: 50% is right, 0% told apart.",
}


def save_tables(folder, summaries):
    """Writes diversity.csv and diversity.md.

    Args:
      folder: where to.
      summaries: list of ``common.evaluation.diversity.Summary``.

    Returns:
      The table as Markdown.
    """
    folder, fields = pathlib.Path(folder), diversity.Summary._fields
    right = [s.samples and diversity.right_gain(s.samples) for s in summaries]
    rows = [
        [*s, gain if s.gain is not None else None] for s, gain in zip(summaries, right, strict=True)
    ]
    text = tables.markdown(table(summaries))
    # Names need not be valid text.
    for name, content in (
        ("diversity.csv", tables.csv_text([*fields, "right_gain"], rows)),
        ("diversity.md", text),
    ):
        image_files.write_bytes_atomically(
            folder / name, content.encode("utf-8", "surrogateescape")
        )
    return text


def table(summaries):
    """The ``common.evaluation.tables.Table``; columns in which nothing was measured are left out."""
    names = [n for n in COLUMNS if any(getattr(s, n) is not None for s in summaries)]
    samples = max(s.samples or 1 for s in summaries)
    heads = ["Method", "Images", "Samples"]
    heads += [COLUMNS[name][0].replace("K", str(samples)) for name in names]
    rows = [
        [s.method, str(s.images), str(s.samples or ""), *(_cell(s, name) for name in names)]
        for s in summaries
    ]
    notes = [
        NOTES["psnr_one"].replace("K", str(samples)).format(right=diversity.right_gain(samples))
    ]
    notes += [NOTES["apart"]] + [NOTES["frechet"]] * ("frechet" in names)
    return tables.Table(heads, rows, 1, notes)


def _cell(summary, name):
    value = getattr(summary, name)
    return "" if value is None else COLUMNS[name][1].format(value)


def save_figure(path, samples, pictures, holes):
    """Draws a row for each picture and method: the hole, the samples, the original.

    Args:
      path: where to; its suffix decides the format.
      samples: {method: for each picture a list of [H, W, 3]}; fewer than others' leave white.
      pictures: ``common.evaluation.comparison.Pictures``, the originals.
      holes: ``common.pictures.masks.Holes``.
    """
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
