"""Completes picture files by latent search, in batches, and writes what was found.

    extras = Extras(samples=8, snapshots=(0, 50, 100))
    outputs = common.completion.files.plan_outputs(pictures, folder, endings=extras.endings())
    work = Files(search, "poisson", extras)
    return common.completion.files.complete(pictures, masks, outputs, work)

A view of a picture says what the search is given of it, at the generator's size S, and makes the
result of what the search found: that of ``common.completion.crops`` for pictures with holes,
``LowResolutionView`` for super-resolution.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from common import figures
from common.completion import crops
from common.completion import files as completion_files
from common.errors import InputError
from common.pictures import images as image_files
from wgan_inpaint.search.settings import Extras  # noqa: F401

STEPS = ("real", "low resolution", "completed")  # columns of a figure of super-resolution
# Iterations in one call of the compiled search. Any number is a sum of them, so that few graphs
# are built, and progress is seen.
CHUNKS = (50, 10, 1)


@dataclasses.dataclass(frozen=True)
class Found:
    """What the search found for one picture.

    Attributes:
      pictures: G(z) of its samples, from the least loss to the greatest, float32 [M, S, S, 3].
      losses: their total losses [M].
      history: of the first one, float32 [iterations + 1, 2]: context and prior loss before each
        iteration and at the end.
      snapshots: its pictures at the chosen iterations, a list of float32 [S, S, 3].
    """

    pictures: np.ndarray
    losses: np.ndarray
    history: np.ndarray
    snapshots: list


class LowResolutionView:
    """A picture of which only averages over blocks are known; its result is G(z) itself."""

    def __init__(self, image, size, block):
        """Brings the picture to the generator's size.

        Args:
          image: float32 [H, W, 3] in [0, 1]; one of S / block pixels a side is the averages.
          size: S.
          block: side of a block in pixels; divides S.

        Raises:
          InputError: the picture is too small.
        """
        self._image = image
        if image.shape[:2] == (size // block, size // block):
            self._target = image.repeat(block, axis=0).repeat(block, axis=1)
        else:
            crops.check_size(image, size)
            self._target = image_files.center_crop_resize(image, size)
        self._low = image_files.resize(self._target, size // block, size // block)

    def target(self):
        """What the search is given: (image [S, S, 3], mask [S, S, 1], which does not count)."""
        return self._target, np.zeros_like(self._target[..., :1])

    def preview(self, generated):
        """G(z) [S, S, 3]."""
        return generated

    def answer(self, generated, captions, files):
        """The ``common.completion.files.Answer``, from G(z) [M, S, S, 3]."""

        def steps():
            # There may be no real picture.
            first = 1 if self._image.shape == self._low.shape else 0
            shown = self._target, self._low, generated[0]
            return dict(zip(STEPS[first:], shown[first:], strict=True))

        return completion_files.Answer(list(generated), steps, captions, files=files)


class Files(crops.Crops):
    """Completes picture files by latent search: the work of ``common.completion.files``.

    With ``lowres`` of the search, pictures are enlarged, and there are no masks.
    """

    def __init__(self, search, blend, extras, batch_size=0):
        """Keeps the search.

        Args:
          search: a ``latent_search.LatentSearch``; its restarts are those of all samples together.
          blend: one of ``common.completion.blending.BLEND_METHODS``.
          extras: an ``Extras``.
          batch_size: pictures searched for at once; 0: as ``common.completion.crops.Crops``.
        """
        super().__init__(search.size, blend, search.settings.restarts, batch_size)
        self._search, self._extras = search, extras

    @property
    def iterations(self):
        """Of the search."""
        return self._search.settings.iterations

    def view(self, index, picture, masks):
        """The picture as a ``HoleView`` of ``common.completion.crops`` or ``LowResolutionView``."""
        block = self._search.lowres
        if block:
            return LowResolutionView(picture.read(), self.size, block)
        return super().view(index, picture, masks)

    def find(self, targets, size, progress):
        """The ``Found`` of each target; see ``find``."""
        images, masks = map(np.stack, zip(*targets, strict=True))
        return find(self._search, images, masks, self._extras, progress, size)

    def finish(self, index, picture, masks, found):
        """The ``common.completion.files.Answer``, from a ``Found``.

        Raises:
          InputError: as ``view``, or the loss is no finite number.
        """
        view = self.view(index, picture, masks)
        if not np.isfinite(found.losses).all():
            raise InputError("the loss is not a finite number: lower --learning_rate or --hmc_step")
        captions = [f"{n}: loss {loss:.4g}" for n, loss in enumerate(found.losses, 1)]
        return view.answer(found.pictures, captions, self._more(view, found))

    def _more(self, view, found):
        """What is written besides, as ``Answer.files``."""
        extras, more = self._extras, {}
        if extras.history:
            text = _csv(found.history, self._search.settings.prior_weight).encode()
            more["_loss.csv"] = lambda path: image_files.write_bytes_atomically(path, text)
        frames = [view.preview(picture) for picture in found.snapshots]
        if frames:
            labels = [f"iteration {n}" for n in extras.snapshots]
            strip = list(zip(labels, frames, strict=True))
            more["_strip.png"] = lambda path: figures.save_gallery(path, strip)
        if extras.animation:
            ending = f"_search.{extras.animation}"
            more[ending] = lambda path: figures.save_animation(path, frames)
        return more


def find(search, images, masks, extras, progress=lambda *_: None, batch_size=0):
    """Searches for a batch, in chunks.

    Args:
      search: a ``latent_search.LatentSearch``; its restarts are those of all samples together.
      images: float32 [B, S, S, 3] in [0, 1].
      masks: float32 [B, S, S, 1], 1 = missing.
      extras: an ``Extras``.
      progress: called with the iterations done and [("loss", mean of the least losses)].
      batch_size: blanks are added until there are so many.

    Returns:
      A list of B ``Found``.
    """
    count = len(images)
    images, masks = crops.filled(images, batch_size), crops.filled(masks, batch_size)
    state = search.start(images, masks)
    kept, history, done = {0: state.z}, [], 0
    for chunk in _chunks(search.settings.iterations, extras.snapshots):
        state, losses = search.advance(images, masks, state, chunk)
        history.append(losses.numpy())
        done += chunk
        if done in extras.snapshots:
            kept[done] = state.z
        least = search.best(state.losses, len(images), 1)[1]
        progress(done, [("loss", float(tf.reduce_mean(least[:count])))])
    history.append(state.losses.numpy()[None])
    history = np.concatenate(history)  # (iterations + 1, 2, N)
    best = search.best(state.losses, len(images), extras.samples)
    rows, losses = (part.numpy() for part in best)
    pictures = np.stack([search.pictures(tf.gather(state.z, row)) for row in rows.T], 1)
    snapshots = [search.pictures(tf.gather(kept[n], rows[:, 0])) for n in extras.snapshots]
    history = history[..., rows[:, 0]]  # (iterations + 1, 2, B)
    return [
        Found(pictures[b], losses[b], history[..., b], [s[b].numpy() for s in snapshots])
        for b in range(count)
    ]


def _chunks(iterations, stops):
    """Numbers of iterations, each one of ``CHUNKS``, that halt at ``stops`` and at the end."""
    done = 0
    for stop in sorted({*stops, iterations}):
        for chunk in CHUNKS:
            for _ in range((stop - done) // chunk):
                yield chunk
            done += (stop - done) // chunk * chunk


def _csv(history, prior_weight):
    """The losses of each iteration as the text of a table.

    Args:
      history: float32 [iterations + 1, 2], context and prior.
      prior_weight: lambda.
    """
    lines = ["iteration,total,context,prior"]
    for n, (context, prior) in enumerate(history.tolist()):
        lines.append(f"{n},{context + prior_weight * prior:.7g},{context:.7g},{prior:.7g}")
    return "\n".join(lines) + "\n"
