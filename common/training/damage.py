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
from common.pictures.preparation import folders, is_folder

DRAWN = "drawn"  # the source that is a rule
LEAST = 0.01  # share of the pictures that must show a pixel
COUNTED = 4096  # pictures, at most, that it is counted in
FILE = "visible.png"
_BATCH = 32
_JPEG = (".jpg", ".jpeg", ".jpe")


class Damage:
    """The mask of each picture of a folder, 1 = missing: a file's, or drawn once for good."""

    def __init__(self, dataset, source, spec, size, seed):
        """Pairs pictures with masks.

        Args:
          dataset: a folder (nested), a file or a glob pattern of pictures.
          source: the same of masks, white = missing, paired as ``MaskFiles.match`` does and each as
            large as its picture; or "drawn": by ``spec``, from the seed and the picture's name, for
            a square of the training size that is stretched over the picture.
          spec: ``common.pictures.mask_spec.MaskSpec``.
          size: of the training pictures in pixels.
          seed: of drawn masks.

        Raises:
          InputError: no such files, or a picture without a mask.
        """
        if not is_folder(dataset) or len(folders(dataset)) > 1:
            raise InputError(f"--dataset={dataset}: --supervision=damaged takes a folder of files")
        self.source, self.spec, self.size, self.seed = source, spec, size, seed
        pictures = find_pictures(dataset)
        self.count = len(pictures)
        whole, relative = (str(p).encode() for p in (pictures[0].path, pictures[0].relative))
        self._root = len(whole) - len(relative)  # bytes that all paths begin with
        self._masks = None
        if source == DRAWN:
            return
        paths = MaskFiles.match(source, pictures, flag="--damage").paths
        for picture, path in zip(pictures, paths, strict=True):
            if path is None:
                raise InputError(
                    f"{picture.path}: no mask in --damage={source} has its name; add one, all "
                    "black if the picture is whole"
                )
        self._masks = {str(p.path): path for p, path in zip(pictures, paths, strict=True)}
        if any(picture.path.suffix.lower() in _JPEG for picture in pictures):
            logging.warning(
                "--dataset: JPEG mixes what stood in a hole into the 8x8 blocks around it; store "
                "damaged pictures as PNG, or grow the masks to these blocks"
            )

    def draw(self, path):
        """The drawn mask of a picture, in a graph.

        Args:
          path: scalar string tensor.

        Returns:
          float32 [size, size, 1]; [0, 0, 1] where masks are files.
        """
        if self._masks is not None:
            return tf.zeros([0, 0, 1])
        name = tf.strings.substr(path, self._root, 2**30)
        # In the upper half of int32, where no step's seed is.
        number = 2**30 + tf.strings.to_hash_bucket_fast(name, 2**30)
        seed = tf.stack([tf.constant(self.seed, tf.int32), tf.cast(number, tf.int32)])
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
        if self._masks is None:
            missing = image_files.resize_nearest(drawn, height, width)
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
