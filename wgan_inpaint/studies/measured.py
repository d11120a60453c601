"""What several training runs have measured: a table, and a curve of each."""

from common import figures
from common.errors import InputError
from common.evaluation import tables
from common.pictures import images as image_files


def logged(run):
    """The lines of a run's log, as dicts.

    Args:
      run: a ``common.training.runs.RunDirectory``.

    Raises:
      InputError: it has none.
    """
    if not (lines := run.logged()):
        raise InputError(f"{run.path}: nothing was logged; a run needs at least one step")
    return lines


def save(folder, runs, measures):
    """Writes variants.csv, variants.md and variants.png.

    Args:
      folder: where to.
      runs: {name: ``RunDirectory``} of finished runs.
      measures: names in their logs; what a run did not measure is left empty.

    Returns:
      The table as Markdown.
    """
    rows, curves = [], {}
    for name, run in runs.items():
        lines = logged(run)
        values = [_last(lines, measure) for measure in measures]
        rows.append([name, lines[-1]["step"], *values, sum(line["seconds"] for line in lines)])
        points = [(line["step"], line[measures[0]]) for line in lines if measures[0] in line]
        if points:
            curves[name] = tuple(zip(*points, strict=True))
    names = ["variant", "steps", *measures, "seconds"]
    shown = [[row[0], *(_text(value) for value in row[1:])] for row in rows]
    text = tables.markdown(tables.Table(names, shown, 1, []))
    contents = {"variants.csv": tables.csv_text(names, rows), "variants.md": text}
    for name, content in contents.items():
        encoded = content.encode("utf-8", "surrogateescape")
        image_files.write_bytes_atomically(folder / name, encoded)
    if curves:
        figures.save_curves(folder / "variants.png", curves, "step", measures[0])
    return text


def _last(lines, measure):
    values = [line[measure] for line in lines if measure in line]
    return values[-1] if values else ""


def _text(value):
    return f"{value:,.3f}" if isinstance(value, float) else str(value)
