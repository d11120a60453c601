"""Which pictures are trained on or compared, and how they are prepared. No TensorFlow."""

import dataclasses
import pathlib

import cv2
import numpy as np

from common.errors import InputError, reason
from common.pictures import images as image_files


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How a picture becomes a training image, lengths in pixels.

    Attributes:
      size: side of the square crop.
      resize_min, resize_max: the shorter side is first resized to a length drawn from this
        range, both included; 0 takes ``size``. (Iizuka 2017: 256 to 384 before a 256 px crop.)
      crop: "random" or "center".
      flip: mirror every other image, at random.
    """

    size: int
    resize_min: int = 0
    resize_max: int = 0
    crop: str = "random"
    flip: bool = False

    def __post_init__(self):
        low, high = self.resize_min or self.size, self.resize_max or self.size
        if not self.size <= low <= high:
            raise InputError(
                f"--resize_min={low} and --resize_max={high}: "
                f"need image_size ({self.size}) <= resize_min <= resize_max"
            )

    def __call__(self, image, generator):
        """Resizes, crops and flips.

        Args:
          image: uint8 or float32 [H, W, 3], or float32 [H, W, 4] whose last channel is 1 where
            pixels are missing, see ``common.pictures.images.resize_known``.
          generator: a ``numpy.random.Generator``.

        Returns:
          [size, size, 3] or [size, size, 4] of the same type.
        """
        low, high = self.resize_min or self.size, self.resize_max or self.size
        shorter = int(generator.integers(low, high + 1))
        height, width = image.shape[:2]
        scale = shorter / min(height, width)
        new = (max(shorter, round(height * scale)), max(shorter, round(width * scale)))
        if new != (height, width) and image.shape[-1] == 4:
            image = image_files.resize_known(image, *new)
        elif new != (height, width):
            method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            image = cv2.resize(image, new[::-1], interpolation=method)
        room = np.array(new) - self.size
        top, left = generator.integers(0, room + 1) if self.crop == "random" else room // 2
        image = image[top : top + self.size, left : left + self.size]
        if self.flip and generator.integers(2):
            image = image[:, ::-1]
        return image


def is_folder(dataset):
    """Whether ``--dataset`` names files here rather than a tfds data set."""
    return pathlib.Path(dataset).exists() or any(c in dataset for c in "*?[") or dataset[0] in "./~"


def check_dataset(dataset, split, data_dir=None):
    """Refuses a data set that is not there, before anything else is done for it.

    Args:
      dataset: a folder (nested), a file, a glob pattern or the name of a tfds data set.
      split: of the tfds data set.
      data_dir: where tfds keeps its data; None is tfds's default.

    Raises:
      InputError: no such folder, no image in it, or no such tfds data set.
    """
    if is_folder(dataset):
        image_files.list_images(dataset)
    elif dataset.isidentifier():  # NAME/CONFIG:VERSION is checked when it is opened
        import tensorflow_datasets as tfds

        try:
            tfds.builder_cls(dataset)  # in contrast to tfds.builder it needs no TensorFlow
        except tfds.core.DatasetNotFoundError:
            try:
                tfds.builder(dataset, data_dir=data_dir or None)  # there may be files of it
            except Exception as error:
                raise no_tfds(dataset, split, error) from error


def no_tfds(name, split, error):
    """The ``InputError`` about a tfds data set that cannot be had."""
    return InputError(
        f"--dataset={name}: no folder here, and no tfds split {split!r} that can be had "
        f"({reason(error)})"
    )
