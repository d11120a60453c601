"""How many iterations the search needs from each start for the same loss."""

import csv
import dataclasses
import functools
import io
import itertools
import pathlib
import time
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from absl import logging

from common import figures, runtime
from common.pictures import images as image_files
from wgan_inpaint.search import latent_search
from wgan_inpaint.search.settings import INITS

CHUNK = 50  # iterations between two signs of progress
TABLE = ("start", "iterations", "share", "loss at the start", "after", "loss", "seconds")


class Descent(NamedTuple):
    """A search from one start.

    Attributes:
      losses: float32 [T + 1, B]: of each image's best restart after 0 to T iterations.
      start_seconds: for the first z.
      seconds: for one iteration.
    """

    losses: np.ndarray
    start_seconds: float
    seconds: float


class Row(NamedTuple):
    """What became of one start.

    Attributes:
      name: one of ``INITS``, "lbfgs" behind it if that is the optimizer.
      iterations: the first after which the mean loss is no more than the target; None if never.
      first: mean loss at the start.
      tried: iterations that were made.
      last: mean loss after them.
      seconds: until then, the start's own included; None if never.
    """

    name: str
    iterations: int | None
    first: float
    tried: int
    last: float
    seconds: float | None


def descend(search, images, masks, progress=None):
    """Searches from the search's start, and keeps every loss.

    Args:
      search: a ``latent_search.LatentSearch``.
      images: float32 [B, S, S, 3] in [0, 1].
      masks: float32 [B, S, S, 1], 1 = missing.
      progress: None, or called with the number of iterations done so far.

    Returns:
      A ``Descent``.
    """
    images, masks = tf.constant(images), tf.constant(masks)
    total, losses, seconds = search.settings.iterations, [], []
    search.start(images, masks)  # traces
    state, start_seconds = _timed(lambda: search.start(images, masks))
    for length in [CHUNK] * (total // CHUNK) + [total % CHUNK] * (total % CHUNK > 0):
        step = functools.partial(search.advance, images, masks, state, length)
        if not seconds or length != CHUNK:
            step()  # traces
        (state, history), duration = _timed(step)
        losses.extend(history)
        seconds.append(duration)
        if progress:
            progress(len(losses))
    least = [search.best(each, len(images), 1)[1][:, 0] for each in [*losses, state.losses]]
    return Descent(np.stack(least), start_seconds, sum(seconds) / max(1, total))


def _timed(call):
    """(what ``call`` returns, the seconds until it is there)."""
    began = time.perf_counter()
    result = call()
    for part in tf.nest.flatten(result):
        part.numpy()
    return result, time.perf_counter() - began


def descend_from_all(
    networks_, settings, batches, lbfgs_iterations=0, dtype=tf.float32, jit_compile=False
):
    """Searches for the z of the same images from every start that the networks allow.

    Args:
      networks_: ``latent_search.Networks``; without an encoder there is no such start.
      settings: a ``search.settings.Settings``, whose ``init`` does not matter.
      batches: list of (images [B, S, S, 3], masks [B, S, S, 1]).
      lbfgs_iterations: of a second search from every start, by limited-memory BFGS; 0: none.
      dtype: of the networks' products, tf.float32 or tf.bfloat16.
      jit_compile: compile with XLA.

    Returns:
      {name of the start: ``Descent``}.
    """
    if networks_.encoder is None:
        logging.warning("the model has no encoder, so there is no such start")
    inits = [i for i in INITS if i != "encoder" or networks_.encoder]
    ways = {init: dataclasses.replace(settings, init=init) for init in inits}
    if lbfgs_iterations:
        options = {"optimizer": "lbfgs", "iterations": lbfgs_iterations}
        ways |= {f"{i}, lbfgs": dataclasses.replace(ways[i], **options) for i in inits}
    descents = {}
    for name, way in ways.items():
        search = latent_search.LatentSearch(networks_, way, dtype, jit_compile)
        logging.info("%s start", name)
        bar = runtime.progress_bar(way.iterations * len(batches), "iteration")
        descents[name] = _together(
            [
                descend(search, *batch, functools.partial(_advance_bar, bar, way, n))
                for n, batch in enumerate(batches)
            ]
        )
    return descents


def _advance_bar(bar, settings, batch, done):
    bar(batch * settings.iterations + done)


def _together(descents):
    """One ``Descent`` of the images of several; seconds add up."""
    losses, starts, seconds = zip(*descents, strict=True)
    return Descent(np.concatenate(losses, axis=1), sum(starts), sum(seconds))


def compare_starts(descents):
    """Measures every start by the random one's final loss.

    Args:
      descents: {name: ``Descent``}, with a "random" one.

    Returns:
      (the target loss, a list of ``Row``).
    """
    target = float(descents["random"].losses[-1].mean())
    rows = []
    for name, descent in descents.items():
        means = descent.losses.mean(axis=1)
        reached = np.flatnonzero(means <= target)
        count = int(reached[0]) if len(reached) else None
        seconds = None if count is None else descent.start_seconds + count * descent.seconds
        tried = len(means) - 1
        rows.append(Row(name, count, float(means[0]), tried, float(means[-1]), seconds))
    return target, rows


def cells(row, total):
    """A row of the table as text; ``total`` is the random start's number of iterations."""
    reached = row.iterations is not None
    return (
        row.name,
        str(row.iterations) if reached else f"more than {row.tried}",
        f"{row.iterations / total:.3f}" if reached else "",
        f"{row.first:.2f}",
        str(row.tried),
        f"{row.last:.2f}",
        f"{row.seconds:.1f}" if reached else "",
    )


def markdown(target, rows, images, total):
    """The table for the reader."""
    lines = [TABLE, ["---"] + ["---:"] * (len(TABLE) - 1), *(cells(row, total) for row in rows)]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return (
        f"{text}\nIterations until the mean loss of {images} images is {target:.2f}, which {total} "
        "iterations from a random z reach;\ntheir share of those; the loss after all that were "
        "made; seconds until\nthe target for all images, the start's own included.\n"
    )


def save(folder, descents):
    """Writes tables and figure, each atomically.

    Args:
      folder: where to.
      descents: {name: ``Descent``}, with a "random" one.

    Returns:
      The table as Markdown.
    """
    folder = pathlib.Path(folder)
    target, rows = compare_starts(descents)
    count, images = descents["random"].losses.shape
    means = {name: descent.losses.mean(axis=1) for name, descent in descents.items()}
    after = np.arange(max(map(len, means.values())))
    tables = {
        "starts.csv": [TABLE, *(cells(row, count - 1) for row in rows)],
        "losses.csv": [
            ("iteration", *means),
            *itertools.zip_longest(
                after, *([f"{v:.4f}" for v in mean] for mean in means.values()), fillvalue=""
            ),
        ],
    }
    for name, lines in tables.items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        image_files.write_bytes_atomically(folder / name, text.getvalue().encode())
    # A logarithmic axis has no place for the start itself.
    curves = {name: (after[1 : len(mean)], mean[1:]) for name, mean in means.items()}
    curves["target"] = (after[1:], np.full(len(after) - 1, target))
    figures.save_curves(
        folder / "starts.png",
        curves,
        "iterations",
        f"loss, mean of {images} images",
        xscale="log",
    )
    return markdown(target, rows, images, count - 1)
