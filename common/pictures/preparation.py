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
      recolor: share of the images whose colours are changed, in [0, 1]: all of an image's hues are
        turned by the same angle and its saturations multiplied by the same factor.
      hue: the angle is drawn from [-hue, hue], in degrees.
      saturation_min, saturation_max: the factor is drawn from this range, its logarithm uniform.
    """

    size: int
    resize_min: int = 0
    resize_max: int = 0
    crop: str = "random"
    flip: bool = False
    recolor: float = 0.0
    hue: float = 0.0
    saturation_min: float = 1.0
    saturation_max: float = 1.0

    def __post_init__(self):
        low, high = self.resize_min or self.size, self.resize_max or self.size
        if not self.size <= low <= high:
            raise InputError(
                f"--resize_min={low} and --resize_max={high}: "
                f"need image_size ({self.size}) <= resize_min <= resize_max"
            )
        if not 0 < self.saturation_min <= self.saturation_max:
            raise InputError(
                f"--saturation_min={self.saturation_min} and --saturation_max="
                f"{self.saturation_max}: need 0 < saturation_min <= saturation_max"
            )
        changes = self.hue > 0 or (self.saturation_min, self.saturation_max) != (1, 1)
        if changes != (self.recolor > 0):
            raise InputError(
                f"--recolor={self.recolor} is the share of pictures whose colours --hue, "
                "--saturation_min and --saturation_max change; give both or neither"
            )

    def __call__(self, image, generator):
        """Resizes, crops, flips and recolours.

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
        if self.recolor and generator.random() < self.recolor:
            image = self._recolored(image, generator)
        return image

    def _recolored(self, image, generator):
        angle = generator.uniform(-self.hue, self.hue)
        limits = np.log([self.saturation_min, self.saturation_max])
        factor = np.exp(generator.uniform(*limits))
        whole = image.dtype == np.uint8
        rgb = image_files.from_uint8(image) if whole else np.ascontiguousarray(image[..., :3])
        hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)  # hue in degrees
        hsv[..., 0] = (hsv[..., 0] + angle) % 360
        hsv[..., 1] = np.minimum(hsv[..., 1] * factor, 1)
        rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
        return image_files.to_uint8(rgb) if whole else np.concatenate([rgb, image[..., 3:]], -1)


def folders(dataset):
    """The parts of ``--dataset``: [(folder, file, pattern or tfds name, how often it counts)].

    ``SOURCE,SOURCE=TIMES,...`` names several; a file or folder of the whole name comes first.

    Args:
      dataset: the flag's text.

    Raises:
      InputError: a part without a name, or one that counts 0 times.
    """
    if pathlib.Path(dataset).expanduser().exists():
        return [(dataset, 1)]
    parts = []
    for part in dataset.split(","):
        name, _, times = part.rpartition("=")
        if not times.isdecimal():
            name, times = part, "1"
        if not name or not int(times):
            raise InputError(f"--dataset={dataset}: {part!r} is no SOURCE or SOURCE=TIMES")
        parts.append((name, int(times)))
    return parts


def is_folder(dataset):
    """Whether ``--dataset`` names files here rather than a tfds data set.

    Raises:
      InputError: see ``folders``; or of several parts one is no folder, file or pattern.
    """
    parts = [name for name, _ in folders(dataset)]
    here = [
        pathlib.Path(name).expanduser().exists()
        or any(c in name for c in "*?[")
        or name[0] in "./~"
        for name in parts
    ]
    if len(parts) > 1 and not all(here):
        raise InputError(
            f"--dataset={dataset}: no folder, file or pattern {parts[here.index(False)]}; of "
            "several, each is one of these"
        )
    return all(here)


def list_pictures(dataset):
    """The files of ``--dataset``, sorted within each of its parts, as often as it counts.

    Args:
      dataset: see ``folders``; no tfds name.

    Returns:
      A list of paths, never empty.

    Raises:
      InputError: there is no such file or folder, or no image in it.
    """
    return [
        path
        for name, times in folders(dataset)
        for path in image_files.list_images(name)
        for _ in range(times)
    ]


def check_dataset(dataset, split, data_dir=None):
    """Refuses a data set that is not there, before anything else is done for it.

    Args:
      dataset: folders (nested), files or glob patterns, see ``folders``, or the name of a tfds
        data set.
      split: of the tfds data set.
      data_dir: where tfds keeps its data; None is tfds's default.

    Raises:
      InputError: no such folder, no image in it, or no such tfds data set.
    """
    if is_folder(dataset):
        list_pictures(dataset)
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
