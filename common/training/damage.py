"""Training pictures that are damaged themselves: where, and how often each pixel was seen.

    damage = Damage("scans", "scans_masks", spec, size=64, seed=0)
    batches = datasets.training_batches("scans", prepare, 16, 0, damage=damage)

What a damaged pixel holds goes no further than the file reader: it is selected away before any
arithmetic, so that a trained weight does not depend on it.
"""

import numpy as np
import tensorflow as tf
from absl import logging

from common.completion.files import MaskFiles, find_pictures
from common.errors import InputError
from common.pictures import images as image_files
from common.pictures import masks
from common.pictures.preparation import folders, is_folder, list_pictures

DRAWN, WHOLE = "drawn", "whole"  # the sources that are no files
LEAST = 0.01  # share of the pictures that must show a pixel
COUNTED = 4096  # pictures, at most, that it is counted in
FILE = "visible.png"
_BATCH = 32
_JPEG = (".jpg", ".jpeg", ".jpe")


def parted(data):
    """Training pictures, and where they are damaged.

    Args:
      data: [B, S, S, 3] in 0..255, or [B, S, S, 4], whose last channel is not 0 where damaged; what
        the others hold there is dropped, even if it is not a number.

    Returns:
      (float32 [B, S, S, 3] in [0, 1], 0 where damaged; float32 [B, S, S, 1], 1 = damaged).
    """
    damage = tf.cast(data[..., 3:] > 0, tf.float32)
    if not damage.shape[-1]:
        damage = tf.zeros_like(data[..., :1], tf.float32)
    return tf.where(damage > 0.5, 0.0, tf.cast(data[..., :3], tf.float32)) / 255, damage


def _paired(pictures, source):
    """{path of a picture: path of its mask, or None if it is whole}."""
    if source == WHOLE:
        return {str(picture.path): None for picture in pictures}
    paths = MaskFiles.match(source, pictures, flag="--damage").paths
    for picture, path in zip(pictures, paths, strict=True):
        if path is None:
            raise InputError(
                f"{picture.path}: no mask in --damage={source} has its name; add one, all black if "
                "the picture is whole"
            )
    if any(picture.path.suffix.lower() in _JPEG for picture in pictures):
        logging.warning(
            "--dataset: JPEG mixes what stood in a hole into the 8x8 blocks around it; store "
            "damaged pictures as PNG, or grow the masks to these blocks"
        )
    return {str(p.path): path for p, path in zip(pictures, paths, strict=True)}


def _numbers(names):
    """A table from paths to what masks are drawn from: {path: name below its folder}."""
    # In the upper half of int32, where no step's seed is.
    numbers = 2**30 + tf.strings.to_hash_bucket_fast(list(names.values()), 2**30)
    table = tf.lookup.KeyValueTensorInitializer(list(names), numbers, tf.string, tf.int64)
    return tf.lookup.StaticHashTable(table, default_value=0)


def damage_of(settings, job):
    """The ``Damage`` of a run's pictures; None if they are whole.

    Args:
      settings: a ``common.settings.Supervision`` with ``size`` and ``seed``.
      job: ``common.training.runs.Job``.
    """
    if settings.supervision == "whole":
        return None
    return Damage(job.dataset, settings.damage, job.holes, settings.size, settings.seed)


class Damage:
    """The mask of each picture, 1 = missing: a file's, drawn once for good, or without a hole."""

    def __init__(self, dataset, source, spec, size, seed):
        """Pairs pictures with masks.

        Args:
          dataset: folders (nested), files or glob patterns of pictures, as
            ``common.pictures.preparation.folders`` takes them.
          source: the same of masks, without numbers, one for each part of the data set: white =
            missing, paired as ``MaskFiles.match`` does and each as large as its picture; or
            "drawn": by ``spec``, from the seed and the picture's name, for a square of the training
            size that is stretched over the picture; or "whole": nothing is missing.
          spec: ``common.pictures.mask_spec.MaskSpec``.
          size: of the training pictures in pixels.
          seed: of drawn masks.

        Raises:
          InputError: no such files, a picture without a mask, or other than one source for each
            part.
        """
        if not is_folder(dataset):
            raise InputError(f"--dataset={dataset}: --supervision=damaged takes folders of files")
        parts = [name for name, _ in folders(dataset)]
        sources = [source] if len(parts) == 1 else source.split(",")
        if len(sources) != len(parts):
            raise InputError(
                f"--damage={source}: --dataset has {len(parts)} parts; give as many: folders of "
                f"masks, {DRAWN} or {WHOLE}"
            )
        self.source, self.spec, self.size, self.seed = source, spec, size, seed
        self.count = len(list_pictures(dataset))
        self._masks, drawn = {}, {}
        for name, one in zip(parts, sources, strict=True):
            pictures = find_pictures(name)
            if one == DRAWN:
                drawn |= {str(x.path): str(x.relative) for x in pictures}
            else:
                self._masks |= _paired(pictures, one)
        self._numbers = _numbers(drawn) if drawn else None

    def draw(self, path):
        """The drawn mask of a picture, in a graph.

        Args:
          path: scalar string tensor.

        Returns:
          float32 [size, size, 1], which ``hide`` does not look at unless the picture's is drawn.
        """
        if self._numbers is None:
            return tf.zeros([0, 0, 1])
        number = tf.cast(self._numbers.lookup(path), tf.int32)
        seed = tf.stack([tf.constant(self.seed, tf.int32), number])
        return masks.draw(self.spec, 1, self.size, self.size, seed)[0]

    def hide(self, image, path, drawn):
        """A picture without what is damaged.

        Args:
          image: float32 [H, W, 3]; may hold anything, NaN too, where damaged.
          path: of its file.
          drawn: of ``draw``.

        Returns:
          float32 [H, W, 4]: RGB, 0 where damaged, and 1 there.

        Raises:
          InputError: the mask cannot be read or has another size.
        """
        height, width = image.shape[:2]
        if path not in self._masks:
            missing = image_files.resize_nearest(drawn, height, width)
        elif not self._masks[path]:
            missing = np.zeros([height, width, 1], np.float32)
        else:
            missing = image_files.read_mask(self._masks[path])
            if missing.shape[:2] != (height, width):
                raise InputError(
                    f"{self._masks[path]}: the mask is {missing.shape[1]}x{missing.shape[0]} but "
                    f"its picture {path} is {width}x{height}; make them equal"
                )
        return np.concatenate([np.where(missing > 0.5, np.float32(0), image), missing], axis=-1)

    def visible(self, batches):
        """How often each pixel of a training picture is seen, in one epoch or its first pictures.

        Args:
          batches: from (batch size, number of the first picture) to a data set, see
            ``common.training.loop.fit``.

        Returns:
          float32 [size, size, 1].

        Raises:
          InputError: a pixel is seen in less than 1% of the pictures.
        """
        count = min(self.count, COUNTED)
        seen = np.zeros([self.size, self.size, 1], np.int64)
        size = min(count, _BATCH)
        for batch in batches(size, 0).take(count // size).as_numpy_iterator():
            seen += (batch[..., 3:] == 0).sum(0)
        share = (seen / (count // size * size)).astype(np.float32)
        if share.min() < LEAST:
            raise InputError(
                f"--damage={self.source}: {np.sum(share < LEAST)} of {share.size} pixels are seen "
                f"in less than {LEAST:.0%} of the pictures and cannot be learned; add pictures "
                "that show them or move all of them about (--flip, --resize_max), or, if masks "
                "are drawn, let holes reach over the edge (--mask_kind=over_edge)"
            )
        return share

    def report(self, share, folder):
        """Writes the map of ``visible``, white = always seen, and says its least and its mean."""
        path = folder / FILE
        image_files.write_image(path, share)
        print(f"{path}: each pixel is seen in {share.min():.1%} of the pictures or more, ", end="")
        print(f"{share.mean():.1%} on average")
