"""Completes picture files: which mask belongs to which, where the results go, one after another.

    pictures = find_pictures("photos")                       # a file, a folder or a pattern
    masks = MaskFiles.match("holes", pictures)               # or DrawnMasks(spec, seed)
    outputs = plan_outputs(pictures, "completed", protected=masks.paths)
    done = complete_files(pictures, masks, outputs, completer, "telea_poisson")

A picture that cannot be completed is reported in one line on stderr, and the others are done.
Nothing that was read is ever overwritten, and results appear under their names only when whole.
"""

import collections
import dataclasses
import pathlib
import sys
from collections.abc import Callable

from common import runtime
from common.completion import blending
from common.errors import InputError
from common.pictures import mask_spec
from common.pictures.images import (
    list_images,
    read_image,
    read_mask,
    require_folder,
    resize_nearest,
    root_of,
    write_image,
)

COLUMNS = ("original", "masked", "network output", "blended")


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture to complete.

    Attributes:
      name: for messages.
      read: returns the picture, float32 [H, W, 3] in [0, 1].
      relative: its place below the folder of inputs, which the results take over.
      path: its file, or None.
    """

    name: str
    read: Callable
    relative: pathlib.PurePath
    path: pathlib.Path | None = None


@dataclasses.dataclass(frozen=True)
class Output:
    """Where one result goes.

    Attributes:
      image: the completed picture.
      figure: a figure of the steps, or None.
      more: from the ending of a name to the file; see ``plan_outputs``.
    """

    image: pathlib.Path
    figure: pathlib.Path | None
    more: dict = dataclasses.field(default_factory=dict)


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
    """

    paths: tuple
    resize: bool = False

    @classmethod
    def match(cls, source, pictures, resize=False):
        """Finds each picture's mask.

        Args:
          source: a file, for all pictures; or a folder or pattern, in which a mask has the
            picture's name (the suffix aside) or, if no name fits, its place in sorted order.
          pictures: list of ``Picture``.
          resize: resize masks of other sizes, by the nearest pixel.

        Returns:
          ``MaskFiles``.

        Raises:
          InputError: there is no mask file, or neither names nor numbers fit.
        """
        found = list_images(source)
        if pathlib.Path(source).expanduser().is_file():
            return cls(tuple(found) * len(pictures), resize)
        root = root_of(source)
        by_place = {path.relative_to(root).with_suffix(""): path for path in found}
        stems = collections.Counter(path.stem for path in found)
        by_stem = {path.stem: path for path in found if stems[path.stem] == 1}
        named = [
            by_place.get(picture.relative.with_suffix(""), by_stem.get(picture.relative.stem))
            for picture in pictures
        ]
        if any(named):
            return cls(tuple(named), resize)
        if len(found) != len(pictures):
            raise InputError(
                f"--mask={source}: no mask is named like an image, and {len(found)} masks do not "
                f"pair with {len(pictures)} images; name each mask like its image"
            )
        return cls(tuple(found), resize)

    def __call__(self, index, height, width):
        """The mask of picture number ``index``, float32 [H, W, 1]."""
        path = self.paths[index]
        if path is None:
            raise InputError("no mask has its name; name the mask like the image")
        mask = read_mask(path)
        if mask.shape[:2] == (height, width):
            return mask
        if not self.resize:
            raise InputError(
                f"the image is {width}x{height} but the mask {path} is "
                f"{mask.shape[1]}x{mask.shape[0]}; make them equal or give --resize_mask"
            )
        return resize_nearest(mask, height, width)


def find_pictures(source):
    """The picture files that a file, a folder or a pattern stands for.

    Returns:
      A sorted list of ``Picture``, never empty.

    Raises:
      InputError: there is none.
    """
    root = root_of(source)

    def picture(path):
        return Picture(str(path), lambda: read_image(path), path.relative_to(root), path)

    return [picture(path) for path in list_images(source)]


def plan_outputs(pictures, folder, same_format=False, figure=False, protected=(), endings=()):
    """Names the results.

    Args:
      pictures: list of ``Picture``.
      folder: where results go, in the sub-folders that the pictures have.
      same_format: keep each picture's own suffix instead of .png.
      figure: also draw a figure of each picture, NAME_figure.png.
      protected: more files that must not be overwritten, or None among them.
      endings: what a method writes besides: "_loss.csv" stands for NAME_loss.csv.

    Returns:
      A list of ``Output``, one per picture.

    Raises:
      InputError: a result would overwrite something that is read, or another result; or the
        folder is a file.
    """
    require_folder(folder)
    outputs = []
    read = {path.resolve() for path in (*protected, *(p.path for p in pictures)) if path}
    writers = {}
    for picture in pictures:
        place = pathlib.Path(folder).expanduser() / picture.relative
        image = place if same_format else place.with_suffix(".png")
        more = {ending: place.with_name(f"{place.stem}{ending}") for ending in endings}
        figure_path = place.with_name(f"{place.stem}_figure.png") if figure else None
        output = Output(image, figure_path, more)
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


def complete_files(pictures, masks_of, outputs, completer, method):
    """Completes pictures one after another and writes the results.

    Args:
      pictures: list of ``Picture``.
      masks_of: from (number of the picture, H, W) to its mask, float32 [H, W, 1].
      outputs: list of ``Output``, one per picture.
      completer: from image and mask to the completed image.
      method: one of ``common.completion.blending.BLEND_METHODS``.

    Returns:
      How many were completed; each of the others has its line on stderr.
    """
    done = 0
    progress = runtime.progress_bar(len(pictures), "image", verbose=int(len(pictures) > 1))
    for index, (picture, output) in enumerate(zip(pictures, outputs, strict=True)):
        try:
            _complete_one(index, picture, masks_of, output, completer, method)
            done += 1
        except InputError as error:
            report(picture, error)
        progress(index + 1)
    return done


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


def _complete_one(index, picture, masks_of, output, completer, method):
    image, mask = read_damaged(index, picture, masks_of)
    completed = completer(image, mask)
    blended = blending.blend(image, completed, mask, method)
    write_image(output.image, blended)
    if output.figure:
        from common import figures

        row = [image, figures.show_hole(image, mask), completed, blended]
        figures.save_comparison(output.figure, [row], COLUMNS)
