"""Several completions of one hole: how good they are, and whether they differ as they should.

    results = measure(methods, holes, pictures, "study/cache", Options(samples=8))

Of K samples of a picture it takes the squared error and SSIM of each and of their mean, and how far
they are apart: the mean absolute difference of two in the hole, and LPIPS of two pictures whose
known pixels are grey. Beside it stands how far the originals of different pictures are apart in
the same hole. As in ``common.evaluation.comparison``, a method sees nothing of what is hidden, and
the known pixels of what it returns are put back.

If x and its samples come from one distribution, the samples' mean has a squared error of
(1 + 1 / K) / 2 of a sample's: PSNR gains ``right_gain(K)``, 2.50 dB for K = 8. A method that
ignores its noise gains nothing, one that is too wild more. The mean squared errors are the means
over all pictures, and over all samples.

Every sample has a seed of its own, which follows from ``Options.seed``, the number of the picture
and that of the sample: with one seed for all pictures, what one noise does to a face would be
measured a thousand times. A method without samples is measured as a single one.

The data set is read once for each method. Features of the pictures' first samples and numbers are
kept on disk (``common.evaluation.results_cache``), pictures of a figure's rows alone.
"""

import dataclasses
import math
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from absl import logging

from common.completion.crops import SEEDS
from common.errors import InputError
from common.evaluation import comparison, discrimination, metrics, results_cache
from common.pictures import images as image_files

GREY = 0.5  # of known pixels, where two samples are compared
SHOWN = 8  # samples of a picture that a figure shows
LEAST = 1e-12  # a mean squared error, whose logarithm is taken


@dataclasses.dataclass(frozen=True)
class Options:
    """What else is asked.

    Attributes:
      samples: K of each picture.
      seed: of all samples.
      batch_size: pictures between two writes to the disk, and in one call of what draws no samples.
      figure_images: so many first pictures are kept for a figure.
      features: None, or ``comparison.DeepFeatures``.
      progress: None, or from (total, unit) to a function of how many are done.
    """

    samples: int = 8
    seed: int = 0
    batch_size: int = 16
    figure_images: int = 0
    features: object | None = None
    progress: Callable | None = None


class Apart(NamedTuple):
    """How far pictures are apart in the hole; None is not measured."""

    l1: float | None
    lpips: float | None


class Summary(NamedTuple):
    """What was measured of a method; what takes several samples, or features, is None without them.

    Attributes:
      method: its name.
      images, samples: how many; the samples are those of each picture.
      psnr_one, psnr_best, psnr_mean: in dB, means over the pictures: of a sample (the mean over all
        of them), of the best one, of the samples' mean.
      ssim_one, ssim_best, ssim_mean: the same.
      gain, right_gain: in dB; see the module's docstring.
      frechet: Fréchet distance of the first samples and the originals.
      l1_apart, l1_ratio: two samples in the hole; the same by that of different originals.
      lpips_apart, lpips_ratio: the same.
      p_ids, u_ids: see ``common.evaluation.discrimination``.
    """

    method: str
    images: int
    samples: int | None = None
    psnr_one: float | None = None
    psnr_best: float | None = None
    psnr_mean: float | None = None
    ssim_one: float | None = None
    ssim_best: float | None = None
    ssim_mean: float | None = None
    gain: float | None = None
    right_gain: float | None = None
    frechet: float | None = None
    l1_apart: float | None = None
    l1_ratio: float | None = None
    lpips_apart: float | None = None
    lpips_ratio: float | None = None
    p_ids: float | None = None
    u_ids: float | None = None


class Results(NamedTuple):
    """What was found.

    Attributes:
      summaries: of the methods, behind them of the originals, of which two are apart.
      pictures: {method: a list of the first pictures' samples, a list of [H, W, 3] each}.
    """

    summaries: list
    pictures: dict


def right_gain(samples):
    """What PSNR gains, in dB, by the mean of so many right samples."""
    return 10 * math.log10(2 / (1 + 1 / samples))


def mean_difference(pictures, mask):
    """The mean absolute difference in the hole of two of K pictures, over all pairs.

    Args:
      pictures: float [K, H, W, C], K at least 2.
      mask: [H, W, 1], 1 = missing.
    """
    inside = np.sort(np.asarray(pictures, np.float64)[:, np.asarray(mask)[..., 0] == 1], axis=0)
    count = len(inside)
    # In order, the n-th of K is the larger one in n pairs and the smaller one in K - 1 - n.
    weights = 2 * np.arange(count) - (count - 1)
    return float(np.tensordot(weights, inside, 1).mean() * 2 / (count * (count - 1)))


def apart(pictures, mask, features=None):
    """How far K pictures [K, H, W, 3] are apart in a hole [H, W, 1], as ``Apart``."""
    hidden = np.where(mask == 1, pictures, np.float32(GREY)).astype(np.float32)
    return Apart(mean_difference(pictures, mask), features and features.lpips_apart(hidden))


def score(original, samples, mask, features=None):
    """Measures the samples of one picture.

    Args:
      original: float32 [H, W, 3].
      samples: float32 [K, H, W, 3], the known pixels put back.
      mask: [H, W, 1], 1 = missing.
      features: None, or ``comparison.DeepFeatures``.

    Returns:
      JSON values: ``squares`` and ``ssim``, lists of K, and if K is more than 1 ``square_of_mean``,
      ``ssim_of_mean``, ``l1`` and ``lpips`` (see ``Apart``).
    """
    row = {
        "squares": [_square(original, one) for one in samples],
        "ssim": [metrics.ssim(original, one) for one in samples],
    }
    if len(samples) > 1:
        mean = samples.mean(axis=0)
        row |= {
            "square_of_mean": _square(original, mean),
            "ssim_of_mean": metrics.ssim(original, mean),
        }
        row |= apart(samples, mask, features)._asdict()
    return row


def _square(a, b):
    return float(np.mean(np.square(a - b), dtype=np.float64))


def _psnr(squares):
    """PSNR of mean squared errors; infinite where there is none."""
    with np.errstate(divide="ignore"):
        return -10 * np.log10(np.asarray(squares, np.float64))


def summarize(name, rows, others=None):
    """The ``Summary`` of a method, without what its features tell.

    Args:
      name: of the method.
      rows: a list of what ``score`` returns.
      others: None, or the ``Apart`` of different originals.
    """
    others = others or Apart(None, None)
    squares, ssim = (np.array([row[key] for row in rows]) for key in ("squares", "ssim"))
    psnr = _psnr(squares)
    found = Summary(name, *squares.shape, psnr_one=float(psnr.mean()), ssim_one=float(ssim.mean()))
    if found.samples == 1:
        return found
    of_mean = np.array([row["square_of_mean"] for row in rows])
    between = Apart(*(mean_of(row[key] for row in rows) for key in Apart._fields))
    return found._replace(
        psnr_best=float(psnr.max(axis=1).mean()),
        psnr_mean=float(_psnr(of_mean).mean()),
        ssim_best=float(ssim.max(axis=1).mean()),
        ssim_mean=mean_of(row["ssim_of_mean"] for row in rows),
        gain=10 * math.log10(max(squares.mean(), LEAST) / max(of_mean.mean(), LEAST)),
        right_gain=right_gain(found.samples),
        l1_apart=between.l1,
        l1_ratio=_ratio(between.l1, others.l1),
        lpips_apart=between.lpips,
        lpips_ratio=_ratio(between.lpips, others.lpips),
    )


def _ratio(own, others):
    return own / others if own is not None and others else None


def mean_of(values):
    """The mean of those that are not None; None if there are none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def samples_of(name, answers, batch, options):
    """Completes a batch, picture by picture.

    Args:
      name: of the method, for messages.
      answers: ``common.evaluation.sources.Answers``.
      batch: ``comparison.Batch``.
      options: ``Options``.

    Yields:
      float32 [K, H, W, 3] in [0, 1], the known pixels put back; K is 1 without samples.

    Raises:
      InputError: as ``comparison.complete``.
    """
    if answers.several is None:
        yield from comparison.complete(name, answers.one, batch)[:, None]
        return
    count = options.samples
    for n in range(len(batch.names)):
        seeds = options.seed + (batch.first + n) * count + np.arange(count)
        draw = _Draw(answers.several, (seeds % SEEDS).astype(np.int32))
        # As if they were so many pictures: then the samples are checked and pasted like these.
        pictures, masks = (np.repeat(part[n : n + 1], count, axis=0) for part in batch[2:])
        same = comparison.Batch(batch.first + n, batch.names[n : n + 1] * count, pictures, masks)
        yield comparison.complete(name, draw, same)


class _Draw(NamedTuple):
    """A picture repeated K times, and its masks, to K samples."""

    several: Callable
    seeds: np.ndarray

    def __call__(self, images, masks):
        found = self.several(images=images[:1], masks=masks[:1], seeds=self.seeds)
        return found["completed"][0]


def measure(methods, holes, pictures, folder, options=None):
    """Completes every picture several times by every method, and measures.

    Args:
      methods: list of ``comparison.Method`` that load ``common.evaluation.sources.Answers``.
      holes: ``common.pictures.masks.Holes``.
      pictures: ``comparison.Pictures``.
      folder: where results are kept between runs.
      options: ``Options``.

    Returns:
      ``Results``.

    Raises:
      InputError: a picture or a completion that cannot be used.
    """
    desk = _Desk(holes, pictures, pathlib.Path(folder), options or Options())
    stores = {method.name: desk.open(method) for method in methods}
    # Everything is loaded before anything is computed: a broken model costs no time.
    loaded = {m.name: m.load() for m in methods if desk.first(stores[m.name]) < desk.count}
    desk.visit_originals()
    for name, answers in loaded.items():
        desk.run(name, answers, stores[name])
    return desk.results(stores)


class _Desk:
    """What all passes over the data set share."""

    def __init__(self, holes, pictures, folder, options):
        self.count = len(pictures.names)
        self._holes, self._pictures, self._folder = holes, pictures, folder
        self._options = options
        common = comparison.common_settings(pictures, options.features)
        self._common = {**common, "holes": holes.settings}
        self._originals = results_cache.Store(folder, comparison.ORIGINAL, self._common)

    def open(self, method):
        """The ``results_cache.Store`` of a method."""
        own = {"samples": self._options.samples, "seed": self._options.seed}
        settings = {**self._common, **own, "method": method.settings}
        return results_cache.Store(self._folder, method.name, settings)

    def first(self, store):
        """The first picture that lacks something."""
        done = min(len(store.rows), self.count)
        shown = range(min(done, self._options.figure_images))
        return comparison.whole(map(store.picture_path, shown), done)

    def _batches(self, first, label):
        return comparison.shown_batches(self._pictures, self._holes, first, label, self._options)

    def visit_originals(self):
        """Takes the originals' features, and how far each is from the one before it."""
        store, features = self._originals, self._options.features
        first = len(store.rows)
        before = None
        if 0 < first < self.count:
            _, _, before = next(self._pictures.numbered(first - 1))
        for batch in self._batches(first, comparison.ORIGINAL):
            rows = []
            for image, mask in zip(batch.images, batch.masks, strict=True):
                found = Apart(None, None)
                if before is not None and before.shape == image.shape:
                    found = apart(np.stack([before, image]), mask, features)
                rows.append(found._asdict())
                before = image
            store.append(rows, features and features.vectors(batch.images))

    def run(self, name, answers, store):
        """One pass over the data set by one method."""
        options, features = self._options, self._options.features
        for batch in self._batches(self.first(store), name):
            known = len(store.rows)
            if batch.first + len(batch.names) <= known and batch.first >= options.figure_images:
                continue  # lacks nothing: only pictures of the figure were missing
            rows, first_samples = [], []
            drawn = samples_of(name, answers, batch, options)
            for number, samples in enumerate(drawn, start=batch.first):
                # Pictures before numbers: what has its numbers has everything.
                if number < options.figure_images:
                    strip = [comparison.small_copy(one) for one in samples[:SHOWN]]
                    image_files.write_image(store.picture_path(number), np.concatenate(strip, 1))
                if number >= known:
                    n = number - batch.first
                    rows.append(score(batch.images[n], samples, batch.masks[n], features))
                    first_samples.append(samples[0])
            if rows:
                store.append(rows, features and features.vectors(np.stack(first_samples)))

    def results(self, stores):
        """The ``Results`` of filled stores."""
        count, own = self.count, self._originals.rows[: self.count]
        others = Apart(*(mean_of(row[key] for row in own) for key in Apart._fields))
        found = [summarize(name, store.rows[:count], others) for name, store in stores.items()]
        if self._options.features and count > 1:
            found = [s._replace(**self._judge(stores[s.method])) for s in found]
        found.append(
            Summary(comparison.ORIGINAL, count, l1_apart=others.l1, lpips_apart=others.lpips)
        )
        shown = range(min(count, self._options.figure_images))
        pictures = {
            name: [_cut(store.picture_path(n), len(store.rows[n]["ssim"])) for n in shown]
            for name, store in stores.items()
        }
        return Results(found, pictures)

    def _judge(self, store):
        """What the features of first samples tell beside those of the originals."""
        features = self._options.features
        both = [list(one.vectors(self.count)) for one in (store, self._originals)]
        frechet = features.distance(*map(features.statistics, both))
        own, real = map(np.concatenate, both)
        try:
            found = discrimination.scores(real, own)
        except InputError as error:
            logging.warning("no P-IDS and U-IDS: %s", error)
            return {"frechet": frechet}
        return {"frechet": frechet, "p_ids": found.paired, "u_ids": found.unpaired}


def _cut(path, samples):
    """The pictures of a strip."""
    return np.split(image_files.read_image(path), min(samples, SHOWN), axis=1)
