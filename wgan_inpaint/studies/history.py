"""What a training run tells of itself: its estimate of the distance, and the pictures at the time.

The estimate is what the critic says of how far the generator's pictures are from the images:
``wasserstein`` (E f(x) - E f(G(z)); Arjovsky 2017, Section 4.2 and Figure 3) or, of a standard GAN,
``jensen_shannon`` (its Figure 4). Everything is read from the run directory, so a run that was
resumed has its whole history.
"""

import dataclasses

from common import figures
from common.errors import InputError
from common.pictures import images as image_files

ESTIMATES = {
    "wasserstein": "Wasserstein estimate",
    "jensen_shannon": "Jensen-Shannon estimate",
}
UPDATES = "updates of the generator"


@dataclasses.dataclass(frozen=True)
class History:
    """The adversarial phase of a run.

    Attributes:
      estimate: one of ``ESTIMATES``.
      updates: of the generator, at each line of the log.
      values: of the estimate, the mean since the line before.
      samples: [(updates of the generator, path of the grid)], in order.
    """

    estimate: str
    updates: list
    values: list
    samples: list


def read(run):
    """Reads a run's log and finds its samples.

    Args:
      run: a ``common.training.runs.RunDirectory``.

    Returns:
      ``History``; None if nothing is logged yet.
    """
    lines = run.logged()
    for estimate in ESTIMATES:
        own = [line for line in lines if estimate in line]
        if own:
            updates = [int(line["generator_steps"]) for line in own]
            values = [line[estimate] for line in own]
            samples = _samples(run.samples, [line["step"] for line in own], updates)
            return History(estimate, updates, values, samples)
    return None


def _samples(folder, steps, updates):
    """[(updates of the generator, path)] of the samples up to the last logged step."""
    found = []
    for path in sorted(folder.glob("*_adversarial.png")):
        step = int(path.name.partition("_")[0])
        logged = [n for s, n in zip(steps, updates, strict=True) if s <= step]
        if logged and step <= steps[-1]:
            found.append((logged[-1], path))
    return found


def first_middle_last(items):
    """Up to three items of a list: its ends and what lies between."""
    chosen = sorted({0, len(items) // 2, len(items) - 1})
    return [items[n] for n in chosen] if items else []


def draw(run):
    """Draws the estimate over the updates of the generator, above samples of the same z.

    Args:
      run: a ``common.training.runs.RunDirectory``.

    Returns:
      The path, ``wasserstein.png`` or ``jensen_shannon.png`` in the run's folder; None if there is
      nothing to draw yet.
    """
    history = read(run)
    if history is None or not history.samples:
        return None
    path = run.path / f"{history.estimate}.png"
    figures.save_progress(
        path,
        (history.updates, history.values),
        [
            (n, f"after {n:,} {UPDATES}", image_files.read_image(grid))
            for n, grid in first_middle_last(history.samples)
        ],
        xlabel=UPDATES,
        ylabel=ESTIMATES[history.estimate],
    )
    return path


def drawing(sample, run):
    """A sampler that also draws the run's history.

    Args:
      sample: a function that writes a grid of samples to a path.
      run: a ``common.training.runs.RunDirectory``.
    """

    def write(path):
        sample(path)
        draw(run)

    return write


def last(run):
    """(``History``, its last grid [H, W, 3]) of a run that has both.

    Raises:
      InputError: it has not.
    """
    history = read(run)
    if history is None or not history.samples:
        raise InputError(f"{run.path}: no run of latent search with a log and samples")
    return history, image_files.read_image(history.samples[-1][1])
