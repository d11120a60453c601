"""Compares completion methods on the same images and the same holes.

    python -m common.compare --models=wang=RUN,shipped=shipped:glcic --dataset=FOLDER \
        --mask_kind=rectangle --output=FOLDER

writes into the output folder:

    per_image.csv   method,image,psnr,ssim,l1,psnr_hole,l1_hole: a row per image and method
    summary.csv     a row per method: number of images, mean and standard deviation of each measure
    summary.md      the same as a Markdown table
    comparison.png  the first images: original, hole in magenta, and each method's completion

A method is a function of images `[B, H, W, 3]`, float32 RGB in [0, 1], and masks `[B, H, W, 1]`,
1 = missing, that returns completed images `[B, H, W, 3]`. Nothing else is asked of it: it is given
zeros in the hole, and of what it returns only the hole is used, clipped to [0, 1]. The completed
picture therefore equals the original wherever it was known; PSNR, SSIM and L1 are of that picture
against the original, `_hole` of the missing pixels alone (see `common.metrics`).

The hole of an image depends on the seed and on the image's place in the data set, so all methods
get the same one, whatever the batch size and however many images are compared.

Where a completion equals the original exactly, its PSNR is infinite, and would be the mean of all.
`per_image.csv` says `inf`; the PSNR of the summary is the mean over the others (`inf` if there
are none), and the column `identical` says how many were left out. Standard deviations divide by the
number of values.
"""

import csv
import dataclasses
import functools
import io
import itertools
import math
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from absl import flags, logging

from common import blending, completion, datasets, figures, masks, metrics, runtime
from common import images as image_files
from common.errors import InputError
from flags import compare as compare_flags
from flags import data as data_flags
from flags import masks as mask_flags
from flags import runtime as runtime_flags
from flags import training as training_flags

FLAGS = flags.FLAGS

# A batch holds no more, however many images it may have: 200 MB of float32 RGB.
MAX_BATCH_PIXELS = 2**24
PROGRESS_FROM = 8  # images
LABEL_LENGTH = 24  # of a row of the figure, in characters


class Score(NamedTuple):
    """A row of per_image.csv."""

    method: str
    image: str
    psnr: float
    ssim: float
    l1: float
    psnr_hole: float
    l1_hole: float


# The measure's name: its heading, its decimals.
MEASURES = {
    "psnr": ("PSNR (dB)", 2),
    "ssim": ("SSIM", 4),
    "l1": ("L1", 4),
    "psnr_hole": ("PSNR, hole (dB)", 2),
    "l1_hole": ("L1, hole", 4),
}


@dataclasses.dataclass(frozen=True)
class Summary:
    """One method's scores together.

    Attributes:
      method: its name.
      images: how many were compared.
      identical: how many completions equal the original; the PSNRs are without them.
      mean, std: from each of ``MEASURES`` to its mean and standard deviation.
    """

    method: str
    images: int
    identical: int
    mean: dict
    std: dict


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The images of a data set, read one by one.

    Attributes:
      count: how many there are.
      read: returns an iterator of (name, float32 [H, W, 3] in [0, 1]), always in one order.
    """

    count: int
    read: Callable[[], Iterator]

    def first(self, limit):
        """The first ``limit`` of them, or an ``InputError`` if there are fewer."""
        if limit > self.count:
            raise InputError(f"--limit={limit}: the data set has only {self.count} images")
        return Pictures(limit, lambda: itertools.islice(self.read(), limit))

    def squares(self, size):
        """The middle square of each, at this size in pixels."""
        return Pictures(
            self.count,
            lambda: ((name, image_files.center_crop_resize(im, size)) for name, im in self.read()),
        )


class Batch(NamedTuple):
    """Consecutive images of one size.

    Attributes:
      names: B strings.
      images: float32 [B, H, W, 3] in [0, 1], the originals.
      masks: float32 [B, H, W, 1], 1 = missing.
    """

    names: tuple
    images: np.ndarray
    masks: np.ndarray


def open_pictures(dataset, split="test", data_dir=None):
    """Lists a data set.

    Args:
      dataset: a folder (nested), a file, a glob pattern or the name of a tfds data set. Images of
        files are named by their path relative to the folder, those of tfds by their number.
      split: of the tfds data set.
      data_dir: where tfds keeps its data; None is tfds's default.

    Returns:
      ``Pictures``, never empty.

    Raises:
      InputError: there is no image or no such data set; when read, a file that is none.
    """
    if not datasets.is_folder(dataset):
        return _tfds_pictures(dataset, split, data_dir)
    paths, root = image_files.list_images(dataset), image_files.root_of(dataset)

    def read():
        for path in paths:
            yield path.relative_to(root).as_posix(), image_files.read_image(path)

    return Pictures(len(paths), read)


def _tfds_pictures(name, split, data_dir):
    encoded, decode, count = datasets.tfds_images(name, split, data_dir)

    def read():
        for number, image in enumerate(encoded.map(decode).as_numpy_iterator()):
            rgb = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]
            yield f"{number:06d}", image_files.from_uint8(rgb, np.iinfo(rgb.dtype).max)

    return Pictures(count, read)


def parse_models(entries):
    """Turns ["NAME=SOURCE", ...] into {name: source}.

    Raises:
      InputError: an entry of another form, or a name that occurs twice or does not suit a table
        or a file.
    """
    sources = {}
    for entry in entries:
        name, _, source = (part.strip() for part in entry.partition("="))
        if not (name and source):
            raise InputError(f"--models: '{entry}' is not of the form NAME=FOLDER")
        if set(name) & set(",/\\") or name.startswith(".") or not name.isprintable():
            raise InputError(
                f"--models: the name {name!r} holds a comma or a slash, starts with a dot or "
                "cannot be printed; choose another"
            )
        if name in sources:
            raise InputError(f"--models: the name '{name}' is given twice")
        sources[name] = source
    return sources


def load_method(name, source, precision="auto"):
    """Loads what the user named.

    Args:
      name: for messages.
      source: as for ``common.completion.load_model``.
      precision: the same.

    Returns:
      A method: a function (images [B, H, W, 3], masks [B, H, W, 1]) -> [B, H, W, 3].

    Raises:
      InputError: there is no such model.
    """
    try:
        return completion.Completer(completion.load_model(source, precision)).batch
    except InputError as error:
        raise InputError(f"--models: {name}: {error}") from error


def batches(pictures, spec_of_size, seed, batch_size):
    """Draws the holes and groups consecutive images of equal size.

    Args:
      pictures: ``Pictures``.
      spec_of_size: from (height, width) to the ``masks.MaskSpec`` of such images.
      seed: of the holes.
      batch_size: images in a batch at most; large ones make smaller batches.

    Yields:
      ``Batch``.

    Raises:
      InputError: an image that cannot be read or is too small to be measured; it is named.
    """
    waiting = []
    for index, (name, image) in enumerate(pictures.read()):
        height, width = image.shape[:2]
        if min(height, width) < metrics.SSIM_WINDOW:
            raise InputError(
                f"{name}: {height}x{width} pixels; a comparison needs at least "
                f"{metrics.SSIM_WINDOW} a side: remove it, or give --image_size"
            )
        room = min(batch_size, MAX_BATCH_PIXELS // (height * width))
        if waiting and (image.shape != waiting[0][1].shape or len(waiting) >= room):
            yield _stack(waiting)
        hole = masks.draw_one(spec_of_size(height, width), height, width, seed, index)
        waiting.append((name, image, hole))
    if waiting:
        yield _stack(waiting)


def _stack(waiting):
    """Empties a list of (name, image, mask) into a ``Batch``, so that only one copy remains."""
    names, images, holes = zip(*waiting, strict=True)
    waiting.clear()
    return Batch(names, np.stack(images), np.stack(holes))


def complete(name, method, batch, blend="none"):
    """Completes a batch by one method.

    Args:
      name: of the method, for messages.
      method: a function (images, masks) -> completed.
      batch: a ``Batch``; the method does not see what its holes hide.
      blend: one of ``blending.BLEND_METHODS``.

    Returns:
      float32 [B, H, W, 3] in the hole's blend; the originals elsewhere.

    Raises:
      InputError: the method returned another shape, or numbers that are none.
    """
    # Arrays of its own: a method may work in place.
    hidden = np.where(batch.masks == 1, np.float32(0), batch.images)
    completed = np.asarray(method(hidden, batch.masks.copy()), np.float32)
    if completed.shape != batch.images.shape:
        raise InputError(
            f"{name}: returned {completed.shape} for images of shape {batch.images.shape}"
        )
    completed = blending.paste(batch.images, np.clip(completed, 0, 1), batch.masks)
    for image, pixels in zip(batch.names, completed, strict=True):
        if not np.isfinite(pixels).all():
            raise InputError(f"{name}: its completion of {image} holds values that are not finite")
    if blend == "none":
        return completed
    return np.stack(
        [
            blending.blend(*of_one, blend)
            for of_one in zip(batch.images, completed, batch.masks, strict=True)
        ]
    )


def measure(method, name, original, completed, mask):
    """Scores one completed picture.

    Args:
      method: the method's name.
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
        method,
        name,
        metrics.psnr(original, completed),
        metrics.ssim(original, completed),
        metrics.l1(original, completed),
        metrics.psnr(original, completed, mask),
        metrics.l1(original, completed, mask),
    )


def compare(methods, stream, blend="none", figure_images=0, progress=None):
    """Completes and measures every image by every method.

    Args:
      methods: {name: function (images, masks) -> completed}.
      stream: iterable of ``Batch``, of which one at a time is held.
      blend: one of ``blending.BLEND_METHODS``.
      figure_images: so many first images are kept for a figure.
      progress: None, or called with the number of images done so far.

    Returns:
      (list of ``Score``, image by image in the order of the methods; list of rows of images
      [H, W, 3] for ``figures.save_comparison``).

    Raises:
      InputError: an image or a completion that cannot be used: a comparison without it would be
        one over another set.
    """
    scores, rows, done = [], [], 0
    for batch in stream:
        for of_image, pictures in compare_batch(methods, batch, blend):
            scores += of_image
            if len(rows) < figure_images:
                rows.append([_small_copy(picture) for picture in pictures])
        done += len(batch.names)
        if progress:
            progress(done)
    return scores, rows


def compare_batch(methods, batch, blend="none"):
    """Completes and measures the images of one batch.

    Args:
      methods: {name: function (images, masks) -> completed}.
      batch: a ``Batch``.
      blend: one of ``blending.BLEND_METHODS``.

    Yields:
      For each image (a ``Score`` per method, [original, original with its hole in magenta, a
      completion per method]), the pictures being [H, W, 3].
    """
    completed = [complete(name, method, batch, blend) for name, method in methods.items()]
    for image, original, mask, *pictures in zip(*batch, *completed, strict=True):
        scores = [
            measure(method, image, original, picture, mask)
            for method, picture in zip(methods, pictures, strict=True)
        ]
        yield scores, [original, figures.show_hole(original, mask), *pictures]


def _small_copy(image):
    """No larger than a figure shows it, and no view that would keep its batch in memory."""
    scale = min(1, figures.MAX_CELL_PIXELS / max(image.shape[:2]))
    return image_files.resize(image, *(max(1, round(scale * side)) for side in image.shape[:2]))


def summarize(scores):
    """Mean and standard deviation of each method's scores.

    Args:
      scores: list of ``Score``.

    Returns:
      A list of ``Summary``, in the order in which the methods first occur.
    """
    return [
        _summary(method, [score for score in scores if score.method == method])
        for method in dict.fromkeys(score.method for score in scores)
    ]


def _summary(method, scores):
    mean, std = {}, {}
    for measure_name in MEASURES:
        values = [getattr(score, measure_name) for score in scores]
        finite = [value for value in values if math.isfinite(value)]
        mean[measure_name] = float(np.mean(finite)) if finite else math.inf
        std[measure_name] = float(np.std(finite)) if finite else 0.0
    identical = sum(math.isinf(score.psnr) for score in scores)
    return Summary(method, len(scores), identical, mean, std)


def scores_csv(scores):
    """The text of per_image.csv."""
    return _csv(Score._fields, scores)


def summary_csv(summaries):
    """The text of summary.csv."""
    columns = [f"{name}_{kind}" for name in MEASURES for kind in ("mean", "std")]
    rows = [
        [s.method, s.images, *(v for name in MEASURES for v in (s.mean[name], s.std[name]))]
        + [s.identical]
        for s in summaries
    ]
    return _csv(["method", "images", *columns, "identical"], rows)


def summary_markdown(summaries):
    """The text of summary.md: a table, and what was left out of it."""
    heads = ["Method", "Images", *(head for head, _ in MEASURES.values())]
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    for s in summaries:
        cells = [
            f"{s.mean[name]:.{digits}f} ± {s.std[name]:.{digits}f}"
            for name, (_, digits) in MEASURES.items()
        ]
        lines.append([s.method.replace("|", r"\|"), str(s.images), *cells])
    text = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    text += "\nMean ± standard deviation over the images. "
    text += "Higher is better for PSNR and SSIM, lower for L1.\n"
    for s in summaries:
        if s.identical:
            text += (
                f"{s.method}: {s.identical} of {s.images} completions equal the original exactly; "
                "their infinite PSNR is not in the mean.\n"
            )
    return text


def _csv(header, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def save(folder, scores, rows, methods):
    """Writes the tables and the figure, each atomically.

    Args:
      folder: where to.
      scores: list of ``Score``.
      rows: as ``compare`` returns them; without any there is no figure.
      methods: names, in the figure's order.

    Returns:
      The text of summary.md.
    """
    folder, summaries = pathlib.Path(folder), summarize(scores)
    markdown = summary_markdown(summaries)
    texts = {
        "per_image.csv": scores_csv(scores),
        "summary.csv": summary_csv(summaries),
        "summary.md": markdown,
    }
    for name, text in texts.items():
        # Names of files need not be valid text.
        image_files.write_bytes_atomically(folder / name, text.encode("utf-8", "surrogateescape"))
    if rows:
        labels = [_label(score.image) for score in scores[:: len(methods)][: len(rows)]]
        figures.save_comparison(
            folder / "comparison.png",
            rows,
            ["Original", "Masked", *methods],
            labels if any(labels) else None,
        )
    return markdown


def _label(name):
    """A short name as it is, a long one not at all: a row explains itself."""
    return name if len(name) <= LABEL_LENGTH and name.isprintable() else ""


def prepare_output(folder):
    """Makes the output folder, so that its failure costs no comparison."""
    try:
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--output={folder}: {error.strerror or error}") from error
    if not os.access(folder, os.W_OK):
        raise InputError(f"--output={folder}: no permission to write there")


def define_flags():
    """Defines this command's flags."""
    compare_flags.define()
    data_flags.define()
    mask_flags.define("center")
    runtime_flags.define()
    # What a method was trained on says little about it.
    FLAGS.set_default("split", "test")


def main():
    """Compares and writes the tables and the figure."""
    training_flags.required("models", "dataset", "output")
    sources = parse_models(FLAGS.models)
    pictures = open_pictures(FLAGS.dataset, FLAGS.split, FLAGS.data_dir)
    if FLAGS.limit:
        pictures = pictures.first(FLAGS.limit)
    if FLAGS.image_size:
        pictures = pictures.squares(FLAGS.image_size)
    prepare_output(FLAGS.output)
    methods = {name: load_method(name, source, FLAGS.precision) for name, source in sources.items()}
    # Mask files are read again for every size: portrait and landscape stay at hand.
    spec_of_size = functools.lru_cache(maxsize=2)(mask_flags.spec)
    stream = batches(pictures, spec_of_size, FLAGS.seed, FLAGS.batch_size)
    progress = None
    if pictures.count > PROGRESS_FROM:
        progress = runtime.progress_bar(pictures.count, "image")
    scores, rows = compare(methods, stream, FLAGS.blend, FLAGS.figure_images, progress)
    print(save(FLAGS.output, scores, rows, list(methods)))
    logging.info("tables and figure: %s", FLAGS.output)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
