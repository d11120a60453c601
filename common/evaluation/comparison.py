"""Methods x kinds of holes x ways of blending, completed and measured over one data set.

    results = compare(methods, {"center": holes}, pictures, "tables")

A method is a function of images `[B, H, W, 3]`, float32 RGB in [0, 1], and masks `[B, H, W, 1]`,
1 = missing, that returns completed images `[B, H, W, 3]`. Nothing else is asked of it: it is given
zeros in the hole, and of what it returns only the hole is used, clipped to [0, 1]. The completed
picture therefore equals the original wherever it was known; PSNR, SSIM and L1 are of that picture
against the original, `_hole` of the missing pixels alone (see `common.evaluation.metrics`).

The hole of an image depends on the seed and on the image's place in the data set, so all methods
get the same one, whatever the batch size and however many images are compared.

The data set is read once for each method and kind, a batch at a time, and the scores go to disk
as they are made (`common.evaluation.results_cache`). What is there already is not computed again;
more images or another way of blending cost only themselves.
"""

import dataclasses
import itertools
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import cv2
import keras
import numpy as np
import tensorflow as tf
from absl import logging

from common import figures
from common.completion import blending
from common.errors import InputError
from common.evaluation import metrics, results_cache
from common.evaluation.sources import (  # noqa: F401  the sources, too, are found here
    ORIGINAL,
    Method,
    Pictures,
    open_method,
    open_pictures,
)
from common.pictures import images as image_files

# A batch holds no more, however many images it may have: 200 MB of float32 RGB.
MAX_BATCH_PIXELS = 2**24


class Cell(NamedTuple):
    """What one number of a table is of."""

    method: str
    holes: str
    blend: str


class Score(NamedTuple):
    """Of one completion; ``missing`` is the hole's share of the picture, None is not measured."""

    image: str
    missing: float
    psnr: float
    ssim: float
    l1: float
    psnr_hole: float
    l1_hole: float
    lpips: float | None = None
    psnr_gradient: float | None = None


@dataclasses.dataclass(frozen=True)
class Results:
    """What a comparison found.

    Attributes:
      scores: {``Cell``: list of ``Score``, one per image}.
      frechet: {``Cell``: Fréchet distance}, empty if it was not asked for.
      pictures: {``Cell``: paths of the completions of the first images}.
    """

    scores: dict
    frechet: dict = dataclasses.field(default_factory=dict)
    pictures: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Options:
    """What else is asked of a comparison.

    Attributes:
      blends: of ``blending.BLEND_METHODS``, one or several.
      batch_size: images completed in one call at most.
      figure_images: so many first completions are kept for a figure.
      image_folder: None, or where every completion is written.
      gradients: also measure PSNR of the gradients in the hole.
      features: None, or what has ``settings`` (JSON values), ``vectors(images)`` -> [B, D],
        ``lpips(a, b)`` -> [B], ``statistics`` and ``distance``: see ``DeepFeatures``.
      progress: None, or from (total, unit) to a function of how many are done.
    """

    blends: tuple = ("none",)
    batch_size: int = 16
    figure_images: int = 0
    image_folder: pathlib.Path | None = None
    gradients: bool = False
    features: object | None = None
    progress: Callable | None = None


class Batch(NamedTuple):
    """Consecutive images of one size.

    Attributes:
      first: the number of the first of them.
      names: B strings.
      images: float32 [B, H, W, 3] in [0, 1], the originals.
      masks: float32 [B, H, W, 1], 1 = missing.
    """

    first: int
    names: tuple
    images: np.ndarray
    masks: np.ndarray


def batches(pictures, holes, batch_size, first=0):
    """Draws the holes and groups consecutive images of equal size.

    Args:
      pictures: ``Pictures``.
      holes: from (number of the image, height, width) to its mask, [height, width, 1].
      batch_size: images in a batch at most; large ones make smaller batches.
      first: number of the first image.

    Yields:
      ``Batch``.

    Raises:
      InputError: an image that cannot be read or is too small to be measured; it is named.
    """
    waiting = []
    for index, name, image in pictures.numbered(first):
        height, width = image.shape[:2]
        if min(height, width) < metrics.SSIM_WINDOW:
            raise InputError(
                f"{name}: {height}x{width} pixels; a comparison needs at least "
                f"{metrics.SSIM_WINDOW} a side: remove it, or give --image_size"
            )
        room = min(batch_size, MAX_BATCH_PIXELS // (height * width))
        if waiting and (image.shape != waiting[0][2].shape or len(waiting) >= room):
            yield _stack(waiting)
        waiting.append((index, name, image, holes(index, height, width)))
    if waiting:
        yield _stack(waiting)


def _stack(waiting):
    """Empties a list of (number, name, image, mask) into a ``Batch``: only one copy remains."""
    numbers, names, images, holes = zip(*waiting, strict=True)
    waiting.clear()
    return Batch(numbers[0], names, np.stack(images), np.stack(holes))


def complete(name, function, batch):
    """Completes a batch by one method.

    Args:
      name: of the method, for messages.
      function: (images, masks) -> completed.
      batch: a ``Batch``; the method does not see what its holes hide.

    Returns:
      float32 [B, H, W, 3] in [0, 1]; the originals outside the holes.

    Raises:
      InputError: the method returned another shape, or numbers that are none.
    """
    # Arrays of its own: a method may work in place.
    hidden = np.where(batch.masks == 1, np.float32(0), batch.images)
    try:
        completed = np.asarray(function(hidden, batch.masks.copy()), np.float32)
    except InputError as error:
        raise InputError(f"{name}: images from {batch.names[0]} on: {error}") from error
    if completed.shape != batch.images.shape:
        raise InputError(
            f"{name}: returned {completed.shape} for images of shape {batch.images.shape}"
        )
    completed = blending.paste(batch.images, np.clip(completed, 0, 1), batch.masks)
    for image, pixels in zip(batch.names, completed, strict=True):
        if not np.isfinite(pixels).all():
            raise InputError(f"{name}: its completion of {image} holds values that are not finite")
    return completed


def blend(batch, completed, how):
    """Blends completions [B, H, W, 3] of a batch in, by one of ``blending.BLEND_METHODS``."""
    if how == "none":
        return completed
    triples = zip(batch.images, completed, batch.masks, strict=True)
    return np.stack([blending.blend(*triple, how) for triple in triples])


def measure(name, original, completed, mask):
    """Scores one completed picture.

    Args:
      name: the image's.
      original: float32 [H, W, 3].
      completed: float32 [H, W, 3].
      mask: float32 [H, W, 1], 1 = missing.

    Returns:
      A ``Score``.
    """
    if not mask.any():
        raise InputError(f"{name}: its mask has no hole, so there is nothing to compare")
    return Score(
        name,
        float(mask.mean(dtype=np.float64)),
        metrics.psnr(original, completed),
        metrics.ssim(original, completed),
        metrics.l1(original, completed),
        metrics.psnr(original, completed, mask),
        metrics.l1(original, completed, mask),
    )


class DeepFeatures:
    """Fréchet distance and LPIPS from the features that ``common.evaluation.features`` extracts."""

    def __init__(self, source):
        """Loads the extractor.

        Args:
          source: as for ``common.evaluation.features.load_extractor``.

        Raises:
          InputError: there is no such extractor.
        """
        from common.evaluation import features

        self._features = features
        self._extractor = features.load_extractor(source)
        path = pathlib.Path(source).expanduser()
        content = keras.__version__
        if path.exists():
            content = results_cache.of_folder(path) if path.is_dir() else _of_file(path)
        self.settings = {"source": str(source), "content": content}
        try:
            self._extractor.maps(np.zeros((1, 128, 128, 3), np.float32))
            self.has_maps = True
        except InputError as error:
            logging.warning("no LPIPS: %s", error)
            self.has_maps = False

    def vectors(self, images):
        """Feature vectors, float32 [B, D], of images [B, H, W, 3]."""
        return np.asarray(self._extractor.vectors(images), np.float32)

    def lpips(self, a, b):
        """LPIPS of pairs of images, a list of B floats; of None if the features have no maps."""
        if not self.has_maps:
            return [None] * len(a)
        return np.asarray(self._features.lpips(self._extractor, a, b), np.float64).tolist()

    def lpips_apart(self, images):
        """The mean LPIPS of two of K images, a float; None if the features have no maps."""
        return self._features.lpips_apart(self._extractor, images) if self.has_maps else None

    def statistics(self, chunks):
        """What ``distance`` takes, of an iterable of vectors [B, D]."""
        statistics = self._features.FrechetStatistics()
        for vectors in chunks:
            statistics.update(vectors)
        return statistics

    def distance(self, a, b):
        """The Fréchet distance of two statistics."""
        return float(self._features.frechet_distance(a, b))


def _of_file(path):
    return results_cache.of_contents([path], path.parent)


def compare(methods, holes, pictures, folder, options=None):
    """Completes and measures every image, with a hole of every kind, by every method.

    Args:
      methods: list of ``Method``.
      holes: {name of the kind: ``common.pictures.masks.Holes``}.
      pictures: ``Pictures``.
      folder: where results are kept between runs.
      options: ``Options``.

    Returns:
      ``Results``, the cells ordered by kind, method and blend.

    Raises:
      InputError: an image or a completion that cannot be used: a comparison without it would be
        one over another set.
    """
    desk = _Desk(holes, pictures, pathlib.Path(folder), options or Options())
    blends = desk.options.blends
    tasks = {
        Cell(method.name, kind, how): desk.open_task(method, kind, how)
        for kind, method, how in itertools.product(holes, methods, blends)
    }
    # Everything is loaded before anything is computed: a broken model costs no time.
    waiting = {cell.method for cell, task in tasks.items() if task.first < len(pictures.names)}
    functions = {method.name: method.load() for method in methods if method.name in waiting}
    originals = desk.visit_originals()
    for method, kind in itertools.product(methods, holes):
        if method.name in functions:
            cells = [Cell(method.name, kind, how) for how in blends]
            desk.run(functions[method.name], {cell: tasks[cell] for cell in cells})
    return desk.results(tasks, originals)


class _Task(NamedTuple):
    """A cell to fill: ``first`` is the first image that lacks something."""

    store: results_cache.Store
    images: results_cache.ImageFolder | None
    first: int


class _Desk:
    """What all passes over the data set share."""

    def __init__(self, holes, pictures, folder, options):
        self.options = options
        self._holes, self._pictures, self._folder = holes, pictures, folder
        self._names = results_cache.file_names(pictures.names)
        self._common = common_settings(pictures, options.features)
        if options.gradients:
            self._common["gradients"] = True

    def open_task(self, method, kind, how):
        """The ``_Task`` of a cell."""
        settings = {"method": method.settings, "holes": self._holes[kind].settings, "blend": how}
        name = f"{method.name}-{kind}-{how}"
        store = results_cache.Store(self._folder, name, {**self._common, **settings})
        images = None
        if self.options.image_folder:
            # Of several blends or kinds, each has a folder of its own.
            parts = [how] * (len(self.options.blends) > 1) + [kind] * (len(self._holes) > 1)
            place = pathlib.Path(self.options.image_folder, method.name, *parts)
            images = results_cache.ImageFolder(place, store.key, self._names)
        first = min(len(store.rows), len(self._pictures.names))
        first = whole(map(store.picture_path, range(min(first, self.options.figure_images))), first)
        if images:
            first = whole(map(images.path, range(first)), first)
        return _Task(store, images, first)

    def visit_originals(self):
        """Writes the original images and their feature vectors, as far as they are asked for.

        Returns:
          The ``Store`` of the vectors, or None.
        """
        count, store, images = len(self._pictures.names), None, None
        starts = []
        if self.options.features:
            store = results_cache.Store(self._folder, ORIGINAL, self._common)
            starts.append(min(len(store.rows), count))
        if self.options.image_folder:
            key = results_cache.fingerprint(self._pictures.settings)
            place = pathlib.Path(self.options.image_folder, ORIGINAL)
            images = results_cache.ImageFolder(place, key, self._names)
            starts.append(whole(map(images.path, range(count)), count))
        for batch in self._batches(_no_hole, min(starts, default=count), ORIGINAL):
            if images:
                _write_images(images.path, batch, batch.images)
            if store and (fresh := batch.first + len(batch.names) - len(store.rows)) > 0:
                store.append([{}] * fresh, self.options.features.vectors(batch.images[-fresh:]))
        return store

    def _batches(self, holes, first, label):
        return shown_batches(self._pictures, holes, first, label, self.options)

    def run(self, function, tasks):
        """One pass over the data set: fills the cells of one method and kind.

        Args:
          function: (images, masks) -> completed.
          tasks: {``Cell``: ``_Task``}, which differ in the blend.
        """
        method, kind, _ = next(iter(tasks))
        first = min(task.first for task in tasks.values())
        for batch in self._batches(self._holes[kind], first, f"{method}, {kind}"):
            completed = complete(method, function, batch)
            for cell, task in tasks.items():
                if batch.first + len(batch.names) > task.first:
                    self._take(task, batch, blend(batch, completed, cell.blend))

    def _take(self, task, batch, completed):
        """Measures and keeps the completions [B, H, W, 3] of a batch."""
        store, features = task.store, self.options.features
        known = max(0, len(store.rows) - batch.first)
        fresh = (part[known:] for part in (batch.names, batch.images, completed, batch.masks))
        fresh = list(zip(*fresh, strict=True))
        scores = [measure(*one) for one in fresh]
        if self.options.gradients:
            scores = [
                score._replace(psnr_gradient=metrics.psnr_gradient(*one[1:]))
                for score, one in zip(scores, fresh, strict=True)
            ]
        vectors = None
        if features and scores:
            distances = features.lpips(batch.images[known:], completed[known:])
            scores = [s._replace(lpips=d) for s, d in zip(scores, distances, strict=True)]
            vectors = features.vectors(completed[known:])
        # Pictures before scores: what has its score has everything.
        if task.images:
            _write_images(task.images.path, batch, completed)
        shown = self.options.figure_images - batch.first
        _write_images(store.picture_path, batch, map(small_copy, completed[: max(0, shown)]))
        if scores:
            store.append([score._asdict() for score in scores], vectors)

    def results(self, tasks, originals):
        """The ``Results`` of filled cells."""
        count, features = len(self._pictures.names), self.options.features
        frechet = {}
        if features and count > 1:
            real = features.statistics(originals.vectors(count))
            for cell, task in tasks.items():
                own = features.statistics(task.store.vectors(count))
                frechet[cell] = features.distance(own, real)
        shown = range(min(count, self.options.figure_images))
        return Results(
            {
                cell: [Score(**row) for row in task.store.rows[:count]]
                for cell, task in tasks.items()
            },
            frechet,
            {cell: [task.store.picture_path(n) for n in shown] for cell, task in tasks.items()},
        )


def common_settings(pictures, features):
    """What all results of a data set depend on, as JSON values.

    Args:
      pictures: ``Pictures``.
      features: of ``Options``.
    """
    return {
        "code": results_cache.of_code(),
        "libraries": [np.__version__, cv2.__version__, tf.__version__],
        "pictures": pictures.settings,
        "features": features and features.settings,
    }


def shown_batches(pictures, holes, first, label, options):
    """Yields the ``Batch``es from image ``first`` on, under a progress bar.

    Args:
      pictures, holes, first: as ``batches`` takes them; ``first`` may lie behind the last image.
      label: what is done.
      options: what has the ``batch_size`` and ``progress`` of ``Options``.
    """
    count, progress = len(pictures.names), None
    if first >= count:
        return
    if options.progress:
        logging.info("%s: images %d to %d", label, first + 1, count)
        progress = options.progress(count, "image")
    for batch in batches(pictures, holes, options.batch_size, first):
        yield batch
        if progress:
            progress(batch.first + len(batch.names))


def whole(paths, count):
    """The number of the first path where there is no file; ``count`` if there is none such."""
    return next((number for number, path in enumerate(paths) if not path.is_file()), count)


def _no_hole(index, height, width):
    del index
    return np.zeros((height, width, 1), np.float32)


def _write_images(path_of, batch, images):
    for number, image in enumerate(images, start=batch.first):
        image_files.write_image(path_of(number), image)


def small_copy(image):
    """No larger than a figure shows it."""
    scale = min(
        1, figures.MAX_CELL_PIXELS / image.shape[1], figures.MAX_ROW_PIXELS / image.shape[0]
    )
    return image_files.resize(image, *(max(1, round(scale * side)) for side in image.shape[:2]))


def figure_rows(results, pictures, holes, count):
    """The rows of a figure: of each kind of holes, the first images.

    Args:
      results: ``Results`` with pictures.
      pictures: ``Pictures`` that were compared.
      holes: {name of the kind: ``common.pictures.masks.Holes``}, as well.
      count: images of each kind.

    Yields:
      (kind, name of the image, original, original with its hole in magenta, completions), the
      pictures being [H, W, 3] and the completions in the order of the cells.
    """
    for kind, draw in holes.items():
        own = [paths for cell, paths in results.pictures.items() if cell.holes == kind]
        for number, name, image in pictures.first(min(count, len(pictures.names))).numbered():
            masked = figures.show_hole(image, draw(number, *image.shape[:2]))
            completions = [image_files.read_image(paths[number]) for paths in own]
            yield kind, name, small_copy(image), small_copy(masked), completions
