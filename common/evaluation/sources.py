"""What is compared: the pictures of a data set, and methods, as the user names them.

Both are found without TensorFlow, which is imported where a model is loaded or tfds is read.
"""

import dataclasses
import hashlib
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from common import classical, runtime
from common.completion import model_folders, windows
from common.errors import InputError
from common.evaluation import results_cache
from common.pictures import images as image_files
from common.pictures import preparation, samples

ORIGINAL = "original"


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The images of a data set, read one by one.

    Attributes:
      names: of all of them, in order.
      read: from the number of the first image to an iterator of float32 [H, W, 3] in [0, 1].
      settings: JSON values; other images have other ones.
    """

    names: tuple
    read: Callable
    settings: dict = dataclasses.field(default_factory=dict)

    def first(self, limit):
        """The first ``limit`` of them, or an ``InputError`` if there are fewer."""
        if limit > len(self.names):
            raise InputError(f"--limit={limit}: the data set has only {len(self.names)} images")
        return dataclasses.replace(self, names=self.names[:limit])

    def squares(self, size):
        """The middle square of each, at this size in pixels."""

        def read(first):
            return (image_files.center_crop_resize(image, size) for image in self.read(first))

        return Pictures(self.names, read, {**self.settings, "image_size": size})

    def numbered(self, first=0):
        """Yields (number, name, image) from image ``first`` on."""
        numbers = range(first, len(self.names))
        # The numbers come first: where they end, no image is read.
        for number, image in zip(numbers, self.read(first), strict=False):
            yield number, self.names[number], image


@dataclasses.dataclass(frozen=True)
class Method:
    """A way to complete images.

    Attributes:
      name: for tables.
      settings: JSON values; another method has other ones.
      load: returns the function (images, masks) -> completed.
    """

    name: str
    settings: dict
    load: Callable


def open_pictures(dataset, split="test", data_dir=None):
    """Lists a data set.

    Args:
      dataset: a folder (nested), a file, a glob pattern, "sample:NAME+NAME" (see
        ``common.pictures.samples``) or the name of a tfds data set. Images of files are named by
        their path relative to the folder, those of tfds by their number.
      split: of the tfds data set.
      data_dir: where tfds keeps its data; None is tfds's default.

    Returns:
      ``Pictures``, never empty.

    Raises:
      InputError: there is no image or no such data set; when read, a file that is none.
    """
    if dataset.startswith(samples.PREFIX):
        return _sample_pictures(dataset)
    if not preparation.is_folder(dataset):
        return _tfds_pictures(dataset, split, data_dir)
    paths, root = image_files.list_images(dataset), image_files.root_of(dataset)

    def read(first=0):
        return map(image_files.read_image, paths[first:])

    names = tuple(path.relative_to(root).as_posix() for path in paths)
    return Pictures(names, read, {"files": results_cache.of_listing(paths, root)})


def _sample_pictures(source):
    names = samples.names(source)
    # Few and small: a hash of their pixels tells of another crop or another file.
    opened = [samples.open_sample(name) for name in names]
    pixels = [hashlib.sha256(image.tobytes()).hexdigest() for image in opened]
    return Pictures(tuple(names), lambda first=0: iter(opened[first:]), {"samples": pixels})


def _tfds_pictures(name, split, data_dir):
    runtime.import_tensorflow()
    from common.pictures import datasets

    encoded, decode, count = datasets.tfds_images(name, split, data_dir)

    def read(first=0):
        for image in encoded.skip(first).map(decode).as_numpy_iterator():
            rgb = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]
            yield image_files.from_uint8(rgb, np.iinfo(rgb.dtype).max)

    names = tuple(f"{number:06d}" for number in range(count))
    return Pictures(names, read, {"tfds": [name, split, _tfds_files(name, data_dir)]})


def _tfds_files(name, data_dir):
    import tensorflow_datasets as tfds

    folder = pathlib.Path(tfds.builder(name, data_dir=data_dir or None).data_dir)
    return results_cache.of_listing(sorted(folder.iterdir()), folder)


def find_method(name, source):
    """Finds what the user named, without reading it.

    Args:
      name: for messages.
      source: a name of ``common.classical.METHODS``, or a model as
        ``model_folders.split_values`` takes it.

    Returns:
      The function of the classical method, or the folder of the SavedModel.

    Raises:
      InputError: there is no such method.
    """
    try:
        if source in classical.METHODS:
            return classical.method(source)
        return model_folders.find_model(model_folders.split_values(source)[0])
    except InputError as error:
        # A plain word may be meant as the name of a classical method.
        word = source not in classical.METHODS and not set(str(source)) & set("/\\:")
        names = f", or one of {', '.join(classical.METHODS)}" if word else ""
        raise InputError(f"--methods: {name}: {error}{names}") from error


def open_method(name, source, precision="float32"):
    """Prepares what the user named.

    Args:
      name: for tables and messages.
      source: a name of ``common.classical.METHODS``, or as ``models.load_model`` takes it.
      precision: "float32" or "bfloat16".

    Returns:
      A ``Method``; its model is read when it is loaded.

    Raises:
      InputError: there is no such method.
    """
    method = open_answers(name, source, precision)
    return dataclasses.replace(method, load=lambda: method.load().one)


class Answers(NamedTuple):
    """How a method completes.

    Attributes:
      one: the function (images, masks) -> completed.
      several: None, or ``common.completion.models.Model.complete_samples``.
    """

    one: Callable
    several: Callable | None = None


def open_answers(name, source, precision="float32"):
    """``open_method`` for a ``Method`` that loads ``Answers``."""
    found = find_method(name, source)
    _, values = model_folders.split_values(source)
    if source in classical.METHODS:
        return Method(name, {"classical": source}, lambda: Answers(found))

    def load():
        from common.completion import models

        try:
            model = models.load_model(found, precision)
            models.set_values(model, values)
            return Answers(windows.Completer(model).batch, model.complete_samples)
        except InputError as error:
            raise InputError(f"--methods: {name}: {error}") from error

    settings = {"model": results_cache.of_folder(found), "precision": precision}
    if values:
        settings["values"] = values
    return Method(name, settings, load)
