"""Completes picture files by latent search, in batches, and writes what was found.

    views = holes(masks_of, search.size, "poisson")      # or low_resolutions(search.size, 8)
    extras = Extras(samples=8, snapshots=(0, 50, 100))
    outputs = common.completion.files.plan_outputs(pictures, folder, endings=extras.endings())
    done = complete_files(pictures, views, outputs, search, extras)

A view of a picture says what the search is given of it, at the generator's size S, and makes the
result of what the search found. All pictures of a batch, of whatever sizes, are searched for
together, in batches of one size. Only the crops of a batch are kept: each picture is read again for
its result, so that many large photographs need no more memory than one. The results of a batch are
on disk before the next one begins.

A picture that cannot be completed is reported in one line on stderr, and the others are done.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from common import figures, runtime
from common.completion import blending
from common.completion import files as completion_files
from common.errors import InputError
from common.pictures import cropping
from common.pictures import images as image_files
from wgan_inpaint.search.settings import Extras  # noqa: F401

STEPS = ("real", "masked", "completed", "blended")  # columns of a figure, as the document's
LOW_STEPS = ("real", "low resolution", "completed")
# Iterations in one call of the compiled search. Any number is a sum of them, so that few graphs
# are built, and progress is seen.
CHUNKS = (50, 10, 1)
ROWS = 16  # latent vectors in a batch, if nobody says how many pictures


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


class HoleView:
    """A picture with a hole: searched for on the crop around the hole."""

    def __init__(self, image, mask, size, method):
        """Checks the picture and places the crop.

        Args:
          image: float32 [H, W, 3] in [0, 1].
          mask: float32 [H, W, 1], 1 = missing.
          size: S.
          method: one of ``common.completion.blending.BLEND_METHODS``.

        Raises:
          InputError: the picture is too small, or nothing of it is known.
        """
        if mask.all():
            raise InputError("its mask has no known (black) pixel; the search needs some to go by")
        _check_size(image, size)
        self.image, self.mask, self.size, self.method = image, mask, size, method
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
        """What the search is given: (image [S, S, 3], mask [S, S, 1])."""
        images, masks = cropping.cut(self.image[None], self.mask[None], self._box, self.size)
        return images[0].numpy(), masks[0].numpy()

    def preview(self, generated):
        """The crop at full resolution with ``generated`` [S, S, 3] in the hole, [h, w, 3]."""
        image, mask = self.image[self._window], self.mask[self._window]
        height, width = mask.shape[:2]
        large = cropping.put_back(tf.constant(generated)[None], self._local, height, width)
        return blending.paste(image, large[0].numpy(), mask)

    def complete(self, generated):
        """The whole picture with ``generated`` [S, S, 3] in the hole, [H, W, 3]."""
        completed = self.image.copy()
        completed[self._window] = self.preview(generated)
        return completed

    def finish(self, generated):
        """The same, blended in."""
        return blending.blend(self.image, self.complete(generated), self.mask, self.method)

    def close_up(self, picture):
        """The crop's part of a picture [H, W, 3]."""
        return picture[self._window]

    def steps(self, generated, finished):
        """Names and pictures of the steps, for a figure."""
        masked = figures.show_hole(self.image, self.mask)
        pictures = [self.image, masked, self.complete(generated), finished]
        count = 3 if self.method == "none" else 4
        return STEPS[:count], pictures[:count]


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
        self.image = image
        if image.shape[:2] == (size // block, size // block):
            self._target = image.repeat(block, axis=0).repeat(block, axis=1)
        else:
            _check_size(image, size)
            self._target = image_files.center_crop_resize(image, size)
        self._low = image_files.resize(self._target, size // block, size // block)

    def target(self):
        """What the search is given: (image [S, S, 3], mask [S, S, 1], which does not count)."""
        return self._target, np.zeros_like(self._target[..., :1])

    def preview(self, generated):
        """G(z) [S, S, 3]."""
        return generated

    finish = preview
    close_up = preview

    def steps(self, generated, finished):
        """Names and pictures of the steps, for a figure; there may be no real picture."""
        del generated
        first = 1 if self.image.shape == self._low.shape else 0
        return LOW_STEPS[first:], [self._target, self._low, finished][first:]


def _check_size(image, size):
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise InputError(
            f"the image is {width}x{height} pixels; the generator's are {size}x{size}, and it "
            "completes none that is smaller: enlarge it"
        )


def holes(masks_of, size, method):
    """Views of pictures with holes.

    Args:
      masks_of: from (number of the picture, H, W) to its mask, float32 [H, W, 1].
      size: S.
      method: one of ``common.completion.blending.BLEND_METHODS``.

    Returns:
      A function from (number of the picture, ``common.completion.files.Picture``) to its view.
    """

    def view(index, picture):
        image, mask = completion_files.read_damaged(index, picture, masks_of)
        return HoleView(image, mask, size, method)

    return view


def low_resolutions(size, block):
    """Views of pictures to enlarge; like ``holes``."""
    return lambda index, picture: LowResolutionView(picture.read(), size, block)


def complete_files(pictures, views, outputs, search, extras, batch_size=0):
    """Completes pictures in batches and writes the results.

    Args:
      pictures: list of ``common.completion.files.Picture``.
      views: of ``holes`` or ``low_resolutions``.
      outputs: list of ``common.completion.files.Output``, one per picture.
      search: a ``latent_search.LatentSearch``; its restarts are those of all samples together.
      extras: an ``Extras``.
      batch_size: pictures searched for at once; 0: one if there is no other, else as many as have
        ``ROWS`` latent vectors. Every batch has this size, being filled up with blanks: then its
        products are rounded alike, and a picture's result is the same to the bit in any company.

    Returns:
      How many were completed; each of the others has its line on stderr.
    """
    iterations = search.settings.iterations
    alone = len(pictures) == 1  # blanks would make it wait
    batch_size = batch_size or (1 if alone else max(1, ROWS // search.settings.restarts))
    firsts = range(0, len(pictures), batch_size)
    bar = runtime.progress_bar(len(firsts) * iterations, "iteration", stateful_metrics=["loss"])
    done = 0
    for first in firsts:
        jobs, targets = [], []
        for index in range(first, min(first + batch_size, len(pictures))):
            with _Reported(pictures[index]):
                targets.append(views(index, pictures[index]).target())
                jobs.append(index)
        before = first // batch_size * iterations
        if not jobs:
            continue
        images, masks = map(np.stack, zip(*targets, strict=True))
        found = find(
            search, images, masks, extras, lambda n, loss, at=before: bar(at + n, loss), batch_size
        )
        for index, one in zip(jobs, found, strict=True):
            with _Reported(pictures[index]):
                _write(views(index, pictures[index]), one, outputs[index], search, extras)
                done += 1
    return done


class _Reported:
    """Reports an ``InputError`` about a picture and lets the others go on."""

    def __init__(self, picture):
        self._picture = picture

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None and issubclass(kind, InputError):
            completion_files.report(self._picture, error)
            return True
        return False


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
    images, masks = _filled(images, batch_size), _filled(masks, batch_size)
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


def _filled(batch, size):
    """Blanks behind the pictures of a batch until there are ``size``."""
    blanks = max(0, size - len(batch))
    return tf.pad(batch, [[0, blanks], [0, 0], [0, 0], [0, 0]])


def _chunks(iterations, stops):
    """Numbers of iterations, each one of ``CHUNKS``, that halt at ``stops`` and at the end."""
    done = 0
    for stop in sorted({*stops, iterations}):
        for chunk in CHUNKS:
            for _ in range((stop - done) // chunk):
                yield chunk
            done += (stop - done) // chunk * chunk


def _write(view, found, output, search, extras):
    """Writes all files of one picture; the completed picture last."""
    if not np.isfinite(found.losses).all():
        raise InputError("the loss is not a finite number: lower --learning_rate or --hmc_step")
    finished = [view.finish(picture) for picture in found.pictures]
    more = output.more
    if extras.history:
        text = _csv(found.history, search.settings.prior_weight)
        image_files.write_bytes_atomically(more["_loss.csv"], text.encode())
    frames = [view.preview(picture) for picture in found.snapshots]
    if frames:
        labels = [f"iteration {n}" for n in extras.snapshots]
        figures.save_gallery(more["_strip.png"], list(zip(labels, frames, strict=True)))
    if extras.animation:
        figures.save_animation(more[f"_search.{extras.animation}"], frames)
    if extras.samples > 1:
        cells = []
        for n, (picture, loss) in enumerate(zip(finished, found.losses, strict=True), 1):
            image_files.write_image(more[f"_sample{n}.png"], picture)
            cells.append((f"{n}: loss {loss:.4g}", view.close_up(picture)))
        columns = math.ceil(math.sqrt(extras.samples * 2))
        figures.save_gallery(more["_samples.png"], cells, columns)
    if output.figure:
        names, row = view.steps(found.pictures[0], finished[0])
        figures.save_comparison(output.figure, [row], names)
    image_files.write_image(output.image, finished[0])


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
