"""What a comparison leaves for its reader: tables and figures, as files."""

from common import figures
from common.evaluation import tables
from common.pictures import images as image_files

LABEL_LENGTH = 24  # of a row of the figure, in characters
PAPER_MEASURES = ("psnr", "ssim")  # have a table of their own


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
