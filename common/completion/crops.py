"""Completes picture files by a network of one size S: on the crop around the hole.

    work = Samples(model.complete_samples, size=64, blend="poisson", samples=8)
    outputs = files.plan_outputs(pictures, folder, endings=files.sample_endings(8))
    return files.complete(pictures, masks, outputs, work)

All pictures of a batch, of whatever sizes, are completed together. Only their crops of S x S pixels
are kept: each picture is read again for its result. Every batch has one size, being filled up with
blanks: then its products are rounded alike, and a picture's result is the same to the bit in any
company. A picture that is given alone is a batch, unless the size was chosen.
"""

import numpy as np
import tensorflow as tf

from common import figures
from common.completion import blending
from common.completion import files as completion_files
from common.errors import InputError
from common.pictures import cropping

STEPS = ("real", "masked", "completed", "blended")  # columns of a figure
ROWS = 16  # of the network's batch, if nobody says how many pictures
SEEDS = 2**31  # how many there are, from 0


class HoleView:
    """A picture with a hole: completed on the crop around the hole, and put back as large."""

    def __init__(self, image, mask, size, blend):
        """Checks the picture and places the crop.

        Args:
          image: float32 [H, W, 3] in [0, 1].
          mask: float32 [H, W, 1], 1 = missing.
          size: S in pixels.
          blend: one of ``common.completion.blending.BLEND_METHODS``.

        Raises:
          InputError: the picture is too small, or nothing of it is known.
        """
        if mask.all():
            raise InputError("its mask has no known (black) pixel; there must be some to go by")
        check_size(image, size)
        self._image, self._mask, self._size, self._blend = image, mask, size, blend
        box = cropping.squares(mask[None], size)
        top, left, side = box[0].numpy().tolist()
        self._box = box
        # The part of the crop that lies in the picture; the whole hole is in it.
        self._window = tuple(
            slice(max(start, 0), min(start + side, length))
            for start, length in zip((top, left), mask.shape, strict=False)
        )
        rows, columns = self._window
        self._local = tf.constant([[top - rows.start, left - columns.start, side]])

    def target(self):
        """The crop at the network's size: (image [S, S, 3], zero where missing; mask [S, S, 1])."""
        images, masks = cropping.cut(self._image[None], self._mask[None], self._box, self._size)
        return images[0].numpy(), masks[0].numpy()

    def preview(self, generated):
        """The crop at full resolution with ``generated`` [S, S, 3] in the hole.

        Args:
          generated: float32 [S, S, 3] in [0, 1]; only what it holds in the hole counts.

        Returns:
          float32 [h, w, 3]: what of the crop lies in the picture, which is all of the hole.
        """
        image, mask = self._image[self._window], self._mask[self._window]
        height, width = mask.shape[:2]
        large = cropping.put_back(tf.constant(generated)[None], self._local, height, width)
        return blending.paste(image, large[0].numpy(), mask)

    def answer(self, generated, captions=(), files=None):
        """The whole picture with each of the completions in the hole.

        Args:
          generated: float32 [M, S, S, 3] in [0, 1].
          captions, files: of ``common.completion.files.Answer``.

        Returns:
          A ``common.completion.files.Answer`` whose pictures are blended as was asked.
        """
        pictures = [
            blending.blend(self._image, self._put_back(one), self._mask, self._blend)
            for one in generated
        ]

        def steps():
            masked = figures.show_hole(self._image, self._mask)
            shown = self._image, masked, self._put_back(generated[0]), pictures[0]
            count = 3 if self._blend == "none" else 4  # unblended, the last two are one
            return dict(zip(STEPS[:count], shown[:count], strict=True))

        return completion_files.Answer(pictures, steps, captions, self._window, files or {})

    def _put_back(self, generated):
        """The whole picture with ``generated`` [S, S, 3] in the hole, [H, W, 3]."""
        completed = self._image.copy()
        completed[self._window] = self.preview(generated)
        return completed


def check_size(image, size):
    """Refuses an image [H, W, 3] that is smaller than a network's pictures of S x S pixels.

    Raises:
      InputError: it is.
    """
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise InputError(
            f"the image is {width}x{height} pixels; the generator's are {size}x{size}, and it "
            "completes none that is smaller: enlarge it"
        )


def filled(batch, size):
    """The pictures of a batch, and blanks (zeros: black, nothing missing) behind them.

    Args:
      batch: float32 [B, H, W, C].
      size: how many there are to be; no more than B add nothing.

    Returns:
      float32 tensor [max(B, size), H, W, C].
    """
    blanks = max(0, size - len(batch))
    return tf.pad(batch, [[0, blanks], [0, 0], [0, 0], [0, 0]])


class Crops:
    """Work of ``common.completion.files`` on the crops of pictures; how they are found is open.

    Attributes:
      size: S in pixels.
    """

    iterations = 0

    def __init__(self, size, blend, rows, batch_size=0):
        """Keeps how to crop and to blend.

        Args:
          size: S in pixels.
          blend: one of ``common.completion.blending.BLEND_METHODS``.
          rows: of the network's batch that a picture takes.
          batch_size: pictures completed at once; 0: a single one alone, of several as many as have
            ``ROWS`` rows, if they can.
        """
        self.size, self._blend = size, blend
        self._rows, self._batch_size = rows, batch_size

    def batch_size(self, count):
        """Pictures in a batch if there are ``count`` of them."""
        alone = count == 1  # blanks would make it wait
        return self._batch_size or (1 if alone else max(1, ROWS // self._rows))

    def view(self, index, picture, masks):
        """The picture as a ``HoleView``.

        Args:
          index: number of the picture.
          picture: a ``common.completion.files.Picture`` of at least S x S pixels.
          masks: from (number of the picture, H, W) to its mask, float32 [H, W, 1].

        Raises:
          InputError: as ``HoleView`` and ``common.completion.files.read_damaged``.
        """
        image, mask = completion_files.read_damaged(index, picture, masks)
        return HoleView(image, mask, self.size, self._blend)

    def target(self, index, picture, masks):
        """The crop, (image [S, S, 3], mask [S, S, 1]); takes and raises what ``view`` does."""
        return self.view(index, picture, masks).target()


class Samples(Crops):
    """Completes by a network that draws completions, each from a seed."""

    def __init__(
        self, complete_samples, size, blend, samples=1, seed=0, batch_size=0, complete=None
    ):
        """Keeps the network.

        Args:
          complete_samples: a signature or function of ``images`` float32 [B, S, S, 3] in [0, 1],
            zero where missing, ``masks`` float32 [B, S, S, 1], 1 = missing, and ``seeds`` int32
            [K], given by these names, that returns {"completed": float32 [B, K, S, S, 3]}.
          size: S in pixels.
          blend: one of ``common.completion.blending.BLEND_METHODS``.
          samples: K, different completions of each picture.
          seed: of the first one, from 0; each of the others has the next one.
          batch_size: pictures completed at once; 0: as ``Crops``.
          complete: None, or a function of images and masks to the expected completion, float32 [B,
            H, W, 3]: it comes first, and the seeds after it.
        """
        super().__init__(size, blend, samples, batch_size)
        self._complete_samples, self._complete = complete_samples, complete
        drawn = samples - (complete is not None)
        self._seeds = ((seed + np.arange(drawn)) % SEEDS).astype(np.int32)

    @classmethod
    def of(cls, model, options, samples=1, seed=0, complete=None):
        """Completes by a SavedModel.

        Args:
          model: ``common.completion.models.Model``.
          options: ``common.completion.files.Options``.
          samples, seed, complete: of the constructor.

        Raises:
          InputError: it draws no samples, or does not say of what size.
        """
        if model.complete_samples is None:
            raise InputError(f"--model={model.name}: it has no signature complete_samples")
        if "image_size" not in model.settings:
            raise InputError(
                f"--model={model.name}: its inpainting.json has no image_size; export it anew"
            )
        size = model.settings["image_size"]
        rest = options.blend, samples, seed, options.batch_size, complete
        return cls(model.complete_samples, size, *rest)

    def find(self, targets, size, progress):
        """The completions of each crop.

        Args:
          targets: of ``target``, at most ``size``.
          size: pictures in the network's batch.
          progress: not called.

        Returns:
          A list of float32 [K, S, S, 3].
        """
        del progress
        images, masks = (filled(np.stack(part), size) for part in zip(*targets, strict=True))
        parts = []
        if self._complete is not None:
            parts.append(np.asarray(self._complete(images, masks))[:, None])
        if len(self._seeds):
            seeds = tf.constant(self._seeds)
            drawn = self._complete_samples(images=images, masks=masks, seeds=seeds)
            parts.append(np.asarray(drawn["completed"]))
        return list(np.concatenate(parts, axis=1)[: len(targets)])

    def finish(self, index, picture, masks, found):
        """The ``common.completion.files.Answer``, from ``found`` [K, S, S, 3].

        Raises:
          InputError: as ``view``, or the network returned NaN or infinity.
        """
        view = self.view(index, picture, masks)
        if not np.isfinite(found).all():
            raise InputError("the network returned NaN or infinity; try --precision=float32")
        titles = ["expected"] if self._complete is not None else []
        titles += [f"seed {seed}" for seed in self._seeds]
        captions = [f"{n}: {title}" for n, title in enumerate(titles, 1)]
        return view.answer(found, captions)
