"""Completes picture files: which mask belongs to which, where the results go, and the driver.

    pictures = find_pictures("photos")                       # a file, a folder or a pattern
    masks = MaskFiles.match("holes", pictures)               # or DrawnMasks(spec, seed)
    outputs = plan_outputs(pictures, "completed", protected=masks.paths)
    work = windows.Files(completer, "telea_poisson")         # or another method's
    return complete(pictures, masks, outputs, work)          # the command's exit code

What a method does is its ``work``, an object with five names:

* ``iterations``: how many ``find`` reports for a batch; 0 if it reports none.
* ``batch_size(count)``: pictures in a batch if there are ``count`` of them.
* ``target(index, picture, masks)``: what is looked at of one picture. All targets of a batch are in
  memory at once: of a large photograph a small part.
* ``find(targets, size, progress)``: what is found for each of up to ``size`` targets, in their
  order. It may call ``progress(iterations done, [(name, value to show)])``.
* ``finish(index, picture, masks, found)``: the ``Answer``. The picture is read again, so that many
  large ones need no more memory than one.

``target`` and ``finish`` raise an ``InputError`` about a picture that cannot be completed: it is
reported in one line on stderr, and the others are done. Nothing that was read is ever overwritten,
and results appear under their names only when whole.
"""

import collections
import contextlib
import dataclasses
import math
import os
import pathlib
import sys
from collections.abc import Callable

from common import runtime
from common.errors import InputError
from common.pictures import mask_spec
from common.pictures.images import (
    bits_per_channel,
    list_images,
    read_image,
    read_mask,
    require_folder,
    resize_nearest,
    root_of,
    write_image,
)

WHOLE = (slice(None), slice(None))


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture to complete.

    Attributes:
      name: for messages.
      read: returns the picture, float32 [H, W, 3] in [0, 1].
      relative: its place below the folder of inputs, which the results take over.
      path: its file, or None.
      bits: returns how many each channel has, 8 or 16; the completed picture gets as many, if its
        format can hold them.
    """

    name: str
    read: Callable
    relative: pathlib.PurePath
    path: pathlib.Path | None = None
    bits: Callable = lambda: 8


@dataclasses.dataclass(frozen=True)
class Output:
    """Where one result goes.

    Attributes:
      image: the completed picture.
      figure: a figure of the steps, or None.
      folder: the folder of all results, as it was given.
      more: from the ending of a name to the file; see ``plan_outputs``.
    """

    image: pathlib.Path
    figure: pathlib.Path | None
    folder: str
    more: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Options:
    """What may be asked of any method that works on crops in batches.

    Attributes:
      blend: one of ``common.completion.blending.BLEND_METHODS``.
      batch_size: pictures completed at once; 0: the method's choice.
      precision: one of ``common.runtime.PRECISIONS``.
      xla: see ``common.runtime.choose_xla``.
    """

    blend: str = "poisson"
    batch_size: int = 0
    precision: str = "auto"
    xla: str = "auto"


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a method makes of one picture.

    Attributes:
      pictures: its completions, a list of M float32 [H, W, 3] in [0, 1]; the first one is the
        result.
      steps: a function that returns the columns of a figure, {label: float32 [H, W, 3]}; called
        only if one is drawn.
      captions: a text for each completion; needed if M > 1.
      window: the rows and columns, two slices, of the completions that are shown side by side.
      files: what is written besides, {ending: function that writes it to a path}; each of them as
        a whole, as ``common.pictures.images.write_bytes_atomically`` does.
    """

    pictures: list
    steps: Callable
    captions: list = ()
    window: tuple = WHOLE
    files: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class DrawnMasks:
    """Holes drawn at each picture's own size: a pure function of seed and picture number."""

    spec: mask_spec.MaskSpec
    seed: int
    paths: tuple = ()

    def __call__(self, index, height, width):
        """The mask of picture number ``index``, float32 [H, W, 1]."""
        from common.pictures import masks  # needs TensorFlow

        return masks.draw_one(self.spec, height, width, self.seed, index)


@dataclasses.dataclass(frozen=True)
class MaskFiles:
    """Holes read from files.

    Attributes:
      paths: the mask file of each picture; None where there is none.
      resize: resize masks of other sizes, by the nearest pixel.
      max_pixels: of a mask; see ``common.pictures.images.read_image``.
    """

    paths: tuple
    resize: bool = False
    max_pixels: int | None = None

    @classmethod
    def match(cls, source, pictures, resize=False, flag="--mask", max_pixels=None):
        """Finds each picture's mask.

        Args:
          source: a file, for all pictures; or a folder or pattern, in which a mask has the
            picture's name (the suffix aside) or, if no name fits, its place in sorted order.
          pictures: list of ``Picture``.
          resize: resize masks of other sizes, by the nearest pixel.
          flag: which named the source, for messages.
          max_pixels: of a mask; see ``common.pictures.images.read_image``.

        Returns:
          ``MaskFiles``.

        Raises:
          InputError: there is no mask file, or neither names nor numbers fit.
        """
        found = list_images(source)
        if pathlib.Path(source).expanduser().is_file():
            return cls(tuple(found) * len(pictures), resize, max_pixels)
        root = root_of(source)
        by_place = {path.relative_to(root).with_suffix(""): path for path in found}
        stems = collections.Counter(path.stem for path in found)
        by_stem = {path.stem: path for path in found if stems[path.stem] == 1}
        named = [
            by_place.get(picture.relative.with_suffix(""), by_stem.get(picture.relative.stem))
            for picture in pictures
        ]
        if any(named):
            return cls(tuple(named), resize, max_pixels)
        if len(found) != len(pictures):
            raise InputError(
                f"{flag}={source}: no mask is named like an image, and {len(found)} masks do not "
                f"pair with {len(pictures)} images; name each mask like its image"
            )
        return cls(tuple(found), resize, max_pixels)

    def __call__(self, index, height, width):
        """The mask of picture number ``index``, float32 [H, W, 1]."""
        path = self.paths[index]
        if path is None:
            raise InputError("no mask has its name; name the mask like the image")
        mask = read_mask(path, self.max_pixels)
        if mask.shape[:2] == (height, width):
            return mask
        if not self.resize:
            raise InputError(
                f"the image is {width}x{height} but the mask {path} is "
                f"{mask.shape[1]}x{mask.shape[0]}; make them equal or give --resize_mask"
            )
        return resize_nearest(mask, height, width)


def find_pictures(source, max_pixels=None):
    """The picture files that a file, a folder or a pattern stands for.

    Args:
      source: see ``common.pictures.images.list_images``.
      max_pixels: of a picture; see ``common.pictures.images.read_image``.

    Returns:
      A sorted list of ``Picture``, never empty.

    Raises:
      InputError: there is none.
    """
    root = root_of(source)

    def picture(path):
        return Picture(
            str(path),
            lambda: read_image(path, max_pixels),
            path.relative_to(root),
            path,
            lambda: bits_per_channel(path),
        )

    return [picture(path) for path in list_images(source)]


def plan_outputs(pictures, folder, same_format=False, figure=False, protected=(), endings=()):
    """Names the results: all of them lie below the folder.

    Args:
      pictures: list of ``Picture``.
      folder: where results go, in the sub-folders that the pictures have; one that a pattern leaves
        by ".." counts as one of theirs.
      same_format: keep each picture's own suffix instead of .png.
      figure: also draw a figure of each picture, NAME_figure.png.
      protected: more files that must not be overwritten, or None among them.
      endings: what a method writes besides: "_loss.csv" stands for NAME_loss.csv.

    Returns:
      A list of ``Output``, one per picture.

    Raises:
      InputError: a result would overwrite something that is read, or another result, or would
        follow a symbolic link out of the folder; or the folder is a file.
    """
    require_folder(folder)
    outputs = []
    top = pathlib.Path(folder).expanduser()
    read = {path.resolve() for path in (*protected, *(p.path for p in pictures)) if path}
    writers = {}
    for picture in pictures:
        # As if the folder were the root of all: there, ".." leads nowhere.
        place = top / os.path.normpath(f"{os.sep}{picture.relative}").lstrip(os.sep)
        if not place.parent.resolve().is_relative_to(top.resolve()):
            raise InputError(f"{place}: leads out of --output={folder} by a symbolic link")
        image = place if same_format else place.with_suffix(".png")
        more = {ending: place.with_name(f"{place.stem}{ending}") for ending in endings}
        figure_path = place.with_name(f"{place.stem}_figure.png") if figure else None
        output = Output(image, figure_path, str(folder), more)
        for path in filter(None, (output.image, output.figure, *more.values())):
            if path.resolve() in read:
                raise InputError(f"{path}: would be overwritten; give another --output folder")
            if path in writers:
                raise InputError(
                    f"{path}: {writers[path]} and {picture.name} would both be written there; "
                    "give --format=same or rename one"
                )
            writers[path] = picture.name
        outputs.append(output)
    return outputs


def sample_endings(samples):
    """The endings of ``plan_outputs`` for so many completions of each picture.

    Returns:
      "_sample1.png", ... and, of all of them side by side, "_samples.png"; () for a single one.
    """
    if samples == 1:
        return ()
    return (*(f"_sample{n}.png" for n in range(1, samples + 1)), "_samples.png")


def complete(pictures, masks, outputs, work):
    """Completes pictures in batches and writes the results; those of a batch before the next.

    On stdout it says what was written: of one picture every file, of several how many are done.

    Args:
      pictures: list of ``Picture``, not empty.
      masks: from (number of the picture, H, W) to its mask, float32 [H, W, 1]; None if the work
        needs none.
      outputs: list of ``Output``, one per picture; with ``sample_endings`` and those of
        ``Answer.files`` if the work has such.
      work: what a method does, as the module's docstring says.

    Returns:
      0, or 1 if a picture could not be completed; each of them has its line on stderr.

    Raises:
      InputError: of ``work.find``, about a whole batch.
    """
    count = len(pictures)
    size = work.batch_size(count)
    batches = [range(first, min(first + size, count)) for first in range(0, count, size)]
    if work.iterations:
        total = len(batches) * work.iterations
        bar = runtime.progress_bar(total, "iteration", stateful_metrics=["loss"])
    else:
        bar = runtime.progress_bar(count, "image", verbose=int(count > 1))
    done = 0
    for number, batch in enumerate(batches):
        targets, found = {}, {}
        for index in batch:
            with _reported(pictures[index]):
                targets[index] = work.target(index, pictures[index], masks)
        if targets:
            before = number * work.iterations
            results = work.find(
                list(targets.values()), size, lambda n, shown, at=before: bar(at + n, shown)
            )
            found = dict(zip(targets, results, strict=True))
        for index in batch:
            if index in found:
                with _reported(pictures[index]):
                    picture = pictures[index]
                    bits = picture.bits()
                    _write(work.finish(index, picture, masks, found[index]), outputs[index], bits)
                    done += 1
            if not work.iterations:
                bar(index + 1)
    if count > 1:
        print(f"{done} of {count} completed: {outputs[0].folder}")
    elif done:
        for path in filter(None, (outputs[0].image, outputs[0].figure, *outputs[0].more.values())):
            print(path)
    return int(done < count)


@contextlib.contextmanager
def _reported(picture):
    """Reports an ``InputError`` about a picture and lets the others go on."""
    try:
        yield
    except InputError as error:
        report(picture, error)


def _write(answer, output, bits):
    """Writes all files of one picture; the completed picture last."""
    for ending, write in answer.files.items():
        write(output.more[ending])
    samples = len(answer.pictures)
    if samples > 1:
        from common import figures  # matplotlib takes long to import

        cells = []
        for n, (picture, text) in enumerate(zip(answer.pictures, answer.captions, strict=True), 1):
            write_image(output.more[f"_sample{n}.png"], picture, bits)
            cells.append((text, picture[answer.window]))
        columns = math.ceil(math.sqrt(2 * samples))  # twice as wide as high
        figures.save_gallery(output.more["_samples.png"], cells, columns)
    if output.figure:
        from common import figures

        steps = answer.steps()
        figures.save_comparison(output.figure, [list(steps.values())], list(steps))
    write_image(output.image, answer.pictures[0], bits)


def report(picture, error):
    """Says on stderr, in one line, why a picture could not be completed.

    Args:
      picture: a ``Picture``.
      error: an ``InputError``.
    """
    named = str(error).startswith(picture.name)
    text = str(error) if named else f"{picture.name}: {error}"
    print(f"\nerror: {text}", file=sys.stderr)


def read_damaged(index, picture, masks_of):
    """Reads a picture and its mask.

    Args:
      index: number of the picture.
      picture: a ``Picture``.
      masks_of: from (number of the picture, H, W) to its mask, float32 [H, W, 1].

    Returns:
      (image float32 [H, W, 3], mask float32 [H, W, 1]).

    Raises:
      InputError: one of them cannot be read, or the mask has no hole.
    """
    image = picture.read()
    mask = masks_of(index, *image.shape[:2])
    if not mask.any():
        raise InputError("nothing to complete: its mask has no missing (white) pixel")
    return image, mask
