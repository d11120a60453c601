r"""Tables of a comparison: what they say, and how it looks in Markdown, LaTeX and CSV.

What is tabulated is `{cell: scores}`: a cell has `method`, `holes` and `blend`, and its scores have
the attributes `image` and `MEASURES`, image by image in one order for all cells. A `Table` holds
text; `markdown`, `latex` (`booktabs`) and `csv_text` write it.

Where a completion equals the original exactly, its PSNR is infinite, and would be the mean of all.
Means are over the finite values (`inf` if there are none), and `identical` says how many were left
out. Standard deviations divide by the number of values.

Methods are compared pair by pair: the same images, the same holes. The interval of a difference is
the percentile bootstrap's [1]: the images are drawn anew, with replacement, `RESAMPLES` times, and
95% of the resampled mean differences lie inside. It says what other images of the kind would give,
not what another training run would.

[1] Efron, Tibshirani: An Introduction to the Bootstrap. Chapman & Hall 1993, chapter 13.
"""

import csv
import io
import math
import re
from typing import NamedTuple

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95
# Resampled images held at a time, to bound memory.
_CHUNK = 1 << 21


class Measure(NamedTuple):
    """How a measure is shown; ``best`` is max or min."""

    heading: str
    digits: int
    best: object


MEASURES = {
    "psnr": Measure("PSNR (dB)", 2, max),
    "ssim": Measure("SSIM", 4, max),
    "l1": Measure("L1", 4, min),
    "psnr_hole": Measure("PSNR, hole (dB)", 2, max),
    "l1_hole": Measure("L1, hole", 4, min),
    "lpips": Measure("LPIPS", 4, min),
    "psnr_gradient": Measure("PSNR, gradient (dB)", 2, max),
}
FRECHET = Measure("Fréchet distance", 3, min)
BLENDS = {"none": "raw", "poisson": "Poisson", "telea_poisson": "Telea + Poisson"}


class Summary(NamedTuple):
    """The scores of a cell together.

    Attributes:
      cell: method, holes and blend.
      images: how many were compared.
      identical: how many completions equal the original; the PSNRs are without them.
      mean, std: from each measure that was taken to its mean and standard deviation.
    """

    cell: object
    images: int
    identical: int
    mean: dict
    std: dict


class Difference(NamedTuple):
    """The mean of a cell minus that of the reference, with its bootstrap interval."""

    cell: object
    measure: str
    images: int
    mean: float
    low: float
    high: float


class Table(NamedTuple):
    """Text in rows and columns.

    Attributes:
      heads: of the columns.
      rows: lists of strings; "**" around one marks the best.
      words: so many first columns are words, the others numbers.
      notes: lines to stand below.
    """

    heads: list
    rows: list
    words: int
    notes: list


def measured(scores):
    """The names of the measures that were taken, of {cell: scores}."""
    first = next(iter(next(iter(scores.values()))))
    return [name for name in MEASURES if getattr(first, name) is not None]


def values_of(scores, measure):
    """One measure of a list of scores, float64 [N]."""
    return np.array([getattr(score, measure) for score in scores], np.float64)


def summarize(scores):
    """Mean and standard deviation of each cell.

    Args:
      scores: {cell: list of scores}.

    Returns:
      A list of ``Summary``, in that order.
    """
    return [_summary(cell, own, measured(scores)) for cell, own in scores.items()]


def _summary(cell, scores, names):
    mean, std = {}, {}
    for name in names:
        values = values_of(scores, name)
        finite = values[np.isfinite(values)]
        mean[name] = float(finite.mean()) if finite.size else math.inf
        std[name] = float(finite.std()) if finite.size else 0.0
    identical = int(np.isinf(values_of(scores, "psnr")).sum())
    return Summary(cell, len(scores), identical, mean, std)


def bootstrap(values, seed=0, resamples=RESAMPLES):
    """Percentile intervals of means, all from the same resampled images.

    Args:
      values: float [N, K], K numbers of each of N images; NaN is missing and is drawn, but does
        not count.
      seed: of the draws.
      resamples: how many.

    Returns:
      float64 [K, 2]: low and high; NaN where nothing is known.
    """
    # Ours: scipy.stats.bootstrap is no faster, knows no missing values and is a dependency more.
    values = np.asarray(values, np.float64)
    count = len(values)
    known = np.isfinite(values)
    filled = np.where(known, values, 0)
    generator = np.random.default_rng([seed, 13])
    means = np.empty((resamples, values.shape[1]))
    step = max(1, _CHUNK // count)
    for first in range(0, resamples, step):
        size = min(step, resamples - first)
        drawn = generator.integers(count, size=(size, count))
        drawn += np.arange(size)[:, None] * count  # a row of bins for each resample
        times = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        times = times.astype(np.float64)
        with np.errstate(invalid="ignore"):
            means[first : first + size] = (times @ filled) / (times @ known)
    tail = 100 * (1 - CONFIDENCE) / 2
    intervals = np.full((values.shape[1], 2), math.nan)
    for column, of_column in enumerate(means.T):
        drawn = of_column[np.isfinite(of_column)]
        if drawn.size:
            intervals[column] = np.percentile(drawn, [tail, 100 - tail])
    return intervals


def differences(scores, reference, seed=0):
    """Compares every cell with the reference's cell of the same holes.

    Args:
      scores: {cell: list of scores}, all of the same images.
      reference: (method, blend).
      seed: of the bootstrap.

    Returns:
      A list of ``Difference``, cell by cell and measure by measure, without the reference itself.
    """
    names, found = measured(scores), []
    for holes in dict.fromkeys(cell.holes for cell in scores):
        own = {cell: rows for cell, rows in scores.items() if cell.holes == holes}
        base = next(rows for c, rows in own.items() if (c.method, c.blend) == reference)
        others = [cell for cell in own if (cell.method, cell.blend) != reference]
        pairs = [(cell, name) for cell in others for name in names]
        if not pairs:
            continue
        with np.errstate(invalid="ignore"):  # inf - inf: two identical completions
            columns = [values_of(own[c], name) - values_of(base, name) for c, name in pairs]
        values = np.stack(columns, axis=1)
        values[~np.isfinite(values)] = math.nan
        for (cell, name), column, interval in zip(
            pairs, values.T, bootstrap(values, seed), strict=True
        ):
            known = column[np.isfinite(column)]
            mean = float(known.mean()) if known.size else math.nan
            found.append(Difference(cell, name, known.size, mean, *map(float, interval)))
    return found


def varied(cells):
    """Which of method, holes and blend have more than one value; the method always counts."""
    names = ["method"]
    return names + [n for n in ("holes", "blend") if len({getattr(c, n) for c in cells}) > 1]


def label(cell, fields):
    """Words for a cell: its method and what else varies."""
    return ", ".join(words(cell, fields))


def words(cell, fields):
    """The cell's ``fields`` as they are shown."""
    return [BLENDS[cell.blend] if f == "blend" else getattr(cell, f) for f in fields]


def summary_table(summaries, frechet=None):
    """All measures: a row per cell.

    Args:
      summaries: list of ``Summary``.
      frechet: {cell: Fréchet distance}, or nothing.
    """
    fields = varied([s.cell for s in summaries])
    heads = [field.capitalize() for field in fields] + ["Images"]
    heads += [MEASURES[name].heading for name in summaries[0].mean]
    heads += [FRECHET.heading] if frechet else []
    rows = []
    for s in summaries:
        row = words(s.cell, fields) + [str(s.images)]
        row += [_mean_and_std(s, name) for name in s.mean]
        row += [f"{frechet[s.cell]:.{FRECHET.digits}f}"] if frechet else []
        rows.append(row)
    notes = [
        "Mean ± standard deviation over the images. Higher is better for PSNR and SSIM, lower for "
        "the others."
    ]
    notes += [
        f"{label(s.cell, fields)}: {s.identical} of {s.images} completions equal the original "
        "exactly; their infinite PSNR is not in the mean."
        for s in summaries
        if s.identical
    ]
    return Table(heads, rows, len(fields), notes)


def differences_table(found, reference, summaries):
    """A row per cell and measure: the difference to the reference and its interval."""
    fields = varied([s.cell for s in summaries])
    heads = [field.capitalize() for field in fields]
    heads += ["Measure", "Images", "Difference", "95% interval"]
    rows = [
        [
            *words(d.cell, fields),
            MEASURES[d.measure].heading,
            str(d.images),
            *_with_interval(d),
        ]
        for d in found
    ]
    shown = _reference_words(reference, fields)
    notes = [f"Mean minus that of {shown}, over the same images and holes; percentile bootstrap."]
    return Table(heads, rows, len(fields) + 1, notes)


def measure_table(measure, scores, found, reference, images=0):
    """One measure, as the papers show it: a row per method, columns of images and of holes.

    Args:
      measure: of ``MEASURES``.
      scores: {cell: list of scores}.
      found: what ``differences`` returns; shown if there is one kind of holes.
      reference: (method, blend) that the differences are to.
      images: so many first images have a column each.

    Returns:
      A ``Table``.
    """
    fields = [name for name in varied(scores) if name != "holes"]
    kinds = list(dict.fromkeys(cell.holes for cell in scores))
    of_row = {}
    for cell, own in scores.items():
        of_row.setdefault((cell.method, cell.blend), {})[cell.holes] = (cell, own)
    columns = []
    for kind in kinds:
        some = [by_kind[kind][1] for by_kind in of_row.values()]
        columns += [_image_column(measure, some, n) for n in range(min(images, len(some[0])))]
        columns.append(_mean_column(measure, [by_kind[kind] for by_kind in of_row.values()]))
    heads = [field.capitalize() for field in fields] + _measure_heads(scores, kinds, images)
    notes = [
        f"{MEASURES[measure].heading}, mean ± standard deviation over the images; best in bold."
    ]
    if len(kinds) == 1 and len(of_row) > 1:
        shown = _reference_words(reference, fields)
        heads += [f"Difference to {shown}", "95% interval"]
        by_cell = {d.cell: d for d in found if d.measure == measure}
        cells = [by_kind[kinds[0]][0] for by_kind in of_row.values()]
        pairs = [_with_interval(by_cell[c]) if c in by_cell else ["", ""] for c in cells]
        columns += list(zip(*pairs, strict=True))
    names = [words(next(iter(by_kind.values()))[0], fields) for by_kind in of_row.values()]
    rows = [[*name, *row] for name, row in zip(names, zip(*columns, strict=True), strict=True)]
    return Table(heads, rows, len(fields), notes)


def _measure_heads(scores, kinds, images):
    first = next(iter(scores.values()))
    one = [score.image for score in first[:images]] + [f"All {len(first)}"]
    if len(kinds) == 1:
        return one
    if not images:
        return kinds
    return [f"{kind}: {head}" for kind in kinds for head in one]


def _image_column(measure, rows, number):
    values = [getattr(scores[number], measure) for scores in rows]
    return _with_best(measure, values, [f"{v:.{MEASURES[measure].digits}f}" for v in values])


def _mean_column(measure, pairs):
    summaries = [_summary(cell, scores, [measure]) for cell, scores in pairs]
    return _with_best(
        measure,
        [s.mean[measure] for s in summaries],
        [_mean_and_std(s, measure) for s in summaries],
    )


def _with_best(measure, values, texts):
    """Marks the best of several; equal ones, as far as is shown, alike."""
    _, digits, best = MEASURES[measure]
    rounded = [round(value, digits) for value in values]
    return [
        f"**{text}**" if len(texts) > 1 and value == best(rounded) else text
        for value, text in zip(rounded, texts, strict=True)
    ]


def _mean_and_std(summary, name):
    digits = MEASURES[name].digits
    return f"{summary.mean[name]:.{digits}f} ± {summary.std[name]:.{digits}f}"


def _with_interval(difference):
    digits = MEASURES[difference.measure].digits
    mean, low, high = (f"{v:+.{digits}f}" for v in difference[-3:])
    return [mean, f"[{low}, {high}]"]


def _reference_words(reference, fields):
    method, blend = reference
    return f"{method}, {BLENDS[blend]}" if "blend" in fields else method


def markdown(table):
    """The table as Markdown."""
    numbers = len(table.heads) - table.words
    lines = [table.heads, ["---"] * table.words + ["---:"] * numbers, *table.rows]
    # A bar would end the cell.
    cells = [[text.replace("|", r"\|") for text in line] for line in lines]
    text = "".join(f"| {' | '.join(line)} |\n" for line in cells)
    return text + "".join(f"\n{note}\n" for note in table.notes)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "é": r"\'e",
    **{character: "\\" + character for character in "&%$#_{}"},
}


def latex_text(text):
    """Plain text for LaTeX; a sign before a number becomes a true minus or plus."""
    escaped = "".join(_LATEX.get(character, character) for character in text)
    return re.sub(r"(?<![\w.])([+-])(?=\d)", r"$\1$", escaped)


def latex(table):
    """The table as a LaTeX ``tabular`` with the rules of ``booktabs``."""

    def line(cells):
        return " & ".join(map(_latex_cell, cells)) + r" \\"

    align = "l" * table.words + "r" * (len(table.heads) - table.words)
    lines = [
        rf"\begin{{tabular}}{{{align}}}",
        r"\toprule",
        line(table.heads),
        r"\midrule",
        *map(line, table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    notes = [f"% {note}" for note in table.notes]
    return "".join(f"{text}\n" for text in (r"% Needs \usepackage{booktabs}.", *notes, *lines))


def _latex_cell(text):
    if len(text) > 4 and text.startswith("**") and text.endswith("**"):
        return rf"\textbf{{{latex_text(text[2:-2])}}}"
    # A bracket behind the \\ of the line before would be read as its optional argument.
    return f"{{{latex_text(text)}}}" if text.startswith(("[", "*")) else latex_text(text)


def csv_text(header, rows):
    """Comma-separated values; NaN is left empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow(["" if isinstance(v, float) and math.isnan(v) else v for v in row])
    return text.getvalue()


def scores_csv(scores):
    """A row per image and cell."""
    names = measured(scores)
    rows = [
        [*cell, score.image, score.missing, *(getattr(score, name) for name in names)]
        for cell, own in scores.items()
        for score in own
    ]
    return csv_text(["method", "holes", "blend", "image", "missing", *names], rows)


def summary_csv(summaries, frechet=None):
    """A row per cell."""
    names = list(summaries[0].mean)
    header = ["method", "holes", "blend", "images", "identical"]
    header += [f"{name}_{kind}" for name in names for kind in ("mean", "std")]
    header += ["frechet"] if frechet else []
    rows = [
        [*s.cell, s.images, s.identical]
        + [value for name in names for value in (s.mean[name], s.std[name])]
        + ([frechet[s.cell]] if frechet else [])
        for s in summaries
    ]
    return csv_text(header, rows)


def differences_csv(found, reference):
    """A row per cell and measure."""
    header = ["method", "holes", "blend", "reference", "reference_blend"]
    header += ["measure", "images", "difference", "low", "high"]
    rows = [[*d.cell, *reference, d.measure, d.images, *d[-3:]] for d in found]
    return csv_text(header, rows)


def measure_csv(measure, scores, found, images=0):
    """One measure: a row per cell, with the values of the first images."""
    by_cell = {d.cell: d for d in found if d.measure == measure}
    shown = [score.image for score in next(iter(scores.values()))[:images]]
    rows = []
    for cell, own in scores.items():
        summary = _summary(cell, own, [measure])
        difference = by_cell[cell][-3:] if cell in by_cell else [math.nan] * 3
        first = [getattr(score, measure) for score in own[:images]]
        rows.append([*cell, *first, summary.mean[measure], summary.std[measure], *difference])
    header = ["method", "holes", "blend", *shown, "mean", "std", "difference", "low", "high"]
    return csv_text(header, rows)


def by_area(scores, width, measure="psnr"):
    """A measure by the hole's share of the picture.

    Args:
      scores: {cell: list of scores}.
      width: of a bin, in 0..1.
      measure: of ``MEASURES``.

    Returns:
      A list of (cell, low, high, images, mean missing, mean, standard deviation), bin by bin;
      bins without a finite value are left out.
    """
    rows = []
    for cell, own in scores.items():
        values, missing = values_of(own, measure), values_of(own, "missing")
        # 0.3 / 0.1 is a little less than 3.
        bins = np.floor(missing / width + 1e-9).astype(int)
        for number in np.unique(bins):
            inside = (bins == number) & np.isfinite(values)
            if inside.any():
                some = values[inside]
                low, high = number * width, min(1.0, (number + 1) * width)
                row = (inside.sum(), missing[inside].mean(), some.mean(), some.std())
                rows.append((cell, low, high, int(row[0]), *map(float, row[1:])))
    return rows


def area_csv(rows, measure="psnr"):
    """What ``by_area`` returns, as text."""
    header = ["method", "holes", "blend", "low", "high", "images", "missing"]
    header += [f"{measure}_mean", f"{measure}_std"]
    return csv_text(header, [[*cell, *map(_tidy, rest)] for cell, *rest in rows])


def _tidy(value):
    """0.30000000000000004 as 0.3."""
    return round(value, 12) if isinstance(value, float) else value
