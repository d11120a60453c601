"""Completes pictures of any size with holes of any shape, by a trained network.

    model = models.load_model("run/saved_model")    # or "run", or "shipped:glcic/photographs"
    completer = Completer(model)
    completed = completer(image, mask)              # [H, W, 3], [H, W, 1] -> [H, W, 3]

Images are float32 RGB in [0, 1]; masks are float32, 1 = missing, 0 = known. The result equals the
image bit for bit where the mask is 0 and does not depend on what the image holds where it is 1.

A network is good at holes no thicker than those it was trained with (``hole_size``, in pixels).
The hole is therefore divided by its local thickness, that is, twice the distance to the nearest
known pixel; beyond the border nothing is known. From thin to thick:

* Parts up to ``hole_size`` are completed at full resolution.
* Parts up to 2, 4, 8, ... times as thick are completed in a picture shrunk so far that the thickest
  measures ``hole_size``, and enlarged again. Pixels that the thinner parts got count as known.

A picture of at most ``max_side`` pixels a side, after shrinking, is completed whole; a larger one
in square windows around its holes, one after another. What one window completed is known to the
next. A hole is cut only if it does not fit into the inner part of a window, which has enough
context on all sides. The windows of a cut hole all see the whole of it missing: a network answers
alike where they overlap, and there its answers fade into each other, so that no seam shows.

So a picture that looks like a training image reaches the network as it is, in one call.

``Files`` is what ``common.completion.files`` needs to complete picture files so.

A model whose settings say ``whole`` chooses its own window (latent search: the crop around the
hole): it is given every picture as it is.
"""

import itertools
import math

import cv2
import numpy as np

from common.completion import blending, files
from common.errors import InputError
from common.pictures import checks
from common.pictures.images import resize, resize_known

DEFAULT_HOLE_SIZE = 64
MAX_SIDE = 512
MIN_MAX_SIDE = 16
# Known pixels that a window shows around holes, in units of the hole size.
CONTEXT = 2
# How far the pieces of a cut hole reach into each other, in units of the context.
FEATHER = 0.25
# In units of the local radius: a square reaches sqrt(2) radii from its core.
THICK_REACH = 1.5
STEPS = ("original", "masked", "network output", "blended")  # columns of a figure


class Completer:
    """Completes pictures; see the module's docstring for how."""

    def __init__(self, model, hole_size=None, max_side=MAX_SIDE):
        """Keeps the model.

        Args:
          model: a ``Model``.
          hole_size: thickest hole that the network is given, in pixels; None takes the model's
            own, or 64.
          max_side: longest side of a picture that the network is given, in pixels. It bounds
            memory.

        Raises:
          InputError: a size that is too small.
        """
        self.model = model
        self.hole_size = model.settings.get("hole_size", DEFAULT_HOLE_SIZE)
        if hole_size is not None:
            self.hole_size = hole_size
        if self.hole_size < 1:
            raise InputError(f"hole_size is {self.hole_size}; give at least 1 pixel")
        if max_side < MIN_MAX_SIDE:
            raise InputError(f"--max_side={max_side}: give at least {MIN_MAX_SIDE} pixels")
        if model.settings.get("whole"):
            self.hole_size = max_side = 2**31
        self.max_side = min((max_side, *(model.size or ())))

    def __call__(self, image, mask):
        """Completes one picture.

        Args:
          image: float32 [H, W, 3] in [0, 1]; may hold anything, NaN too, in the hole.
          mask: float32 [H, W, 1], 1 = missing, 0 = known.

        Returns:
          float32 [H, W, 3], a new array.

        Raises:
          InputError: as ``checks.damaged``, or nothing is known.
        """
        image, missing = checks.damaged(image, mask, rank=3)
        if missing.all():
            raise InputError("its mask has no known (black) pixel; there must be some to go by")
        completed = image.copy()
        # Each pixel leaves ``missing`` when it is written.
        for part, thickness in _parts(missing, self.hole_size):
            self._complete_part(completed, missing, part, self._scale(thickness, missing.shape))
        return completed

    def batch(self, images, masks):
        """Completes pictures of one size, in one call if none needs scaling or windows.

        Args:
          images: float32 [B, H, W, 3] in [0, 1].
          masks: float32 [B, H, W, 1], 1 = missing, 0 = known.

        Returns:
          float32 [B, H, W, 3], a new array.

        Raises:
          InputError: as ``checks.damaged``, or nothing is known of a picture.
        """
        images, missing = checks.damaged(images, masks, rank=4)
        whole = missing.reshape(len(missing), -1).all(1).any()
        if not missing.any() or whole or not all(self._fits_as_is(hole) for hole in missing):
            results = [self(*pair) for pair in zip(images, masks, strict=True)]
            return np.stack(results) if results else images.copy()
        holes = missing[..., None]
        completed = self._run(np.where(holes, np.float32(0), images), holes.astype(np.float32))
        return np.where(holes, completed, images)

    def show_attention(self, image, mask):
        """Where missing places look in the whole picture, of a network that attends.

        Args:
          image: float32 [H, W, 3] in [0, 1].
          mask: float32 [H, W, 1], 1 = missing, 0 = known.

        Returns:
          float32 [H, W, 3] in [0, 1], see ``common.figures.show_looks``; None if the network does
          not attend, or if the picture has a side longer than ``max_side``.
        """
        from common import figures  # matplotlib takes long to import

        look = getattr(self.model, "where_it_looks", None)
        if look is None or max(mask.shape) > self.max_side:
            return None
        scene = np.where(mask > 0, np.float32(0), image)[None], mask[None]
        return figures.show_looks(*scene, look(*scene), self.model.settings["attention_pixels"])[0]

    def _fits_as_is(self, hole):
        """Whether the network may see a picture with this hole, bool [H, W], as it is."""
        if max(hole.shape) > self.max_side:
            return False
        thickness = max((thickness for _, thickness in _parts(hole, self.hole_size)), default=0)
        return self._scale(thickness, hole.shape) == 1

    def _scale(self, thickness, shape):
        """How far to shrink a picture [H, W] for a hole of this thickness."""
        scale = min(1.0, self.hole_size / max(thickness, 1))
        # A network of one size models whole pictures: it is shown the whole one.
        for have, take in zip(shape, self.model.size or shape, strict=True):
            scale = min(scale, take / have)
        return scale

    def _complete_part(self, completed, missing, part, scale):
        """Writes one part, bool [H, W], of the hole to ``completed``; clears it in ``missing``."""
        longest = math.floor(self.max_side / scale + 1e-6)
        if max(part.shape) <= longest:
            self._complete_window(completed, missing, part, scale)
            return
        # At least half of a window remains for holes.
        context = math.floor(min(CONTEXT * self.hole_size, self.max_side // 4) / scale)
        least = math.ceil(self.model.settings.get("image_size", 0) / scale)
        inner = longest - 2 * context

        def window(box):
            extent = max(box[2] - box[0], box[3] - box[1])
            return _window(box, min(longest, max(least, extent + 2 * context)), part.shape)

        labels, boxes, fits = _components(part, inner)
        for numbers, box in _groups(boxes, np.flatnonzero(fits)[1:], inner):
            crop = window(box)
            take = np.isin(labels[crop], numbers)
            self._complete_window(completed[crop], missing[crop], take, scale)
        if fits.all():
            return
        cut = part & ~fits[labels]
        pieces = np.array(_cut(labels, boxes, np.flatnonzero(~fits), inner))
        # Still missing for all windows: until the end, it holds sums of what they answer.
        completed[cut] = 0
        weights = np.zeros(cut.shape, np.float32)
        for numbers, box in _groups(pieces, np.arange(len(pieces)), inner):
            crop = window(box)
            weight = sum(_feathered(pieces[n], crop, FEATHER * context) for n in numbers)
            take = cut[crop] & (weight > 0)
            answer = self._look(completed[crop], missing[crop], scale)
            completed[crop][take] += weight[take, None] * answer[take]
            weights[crop] += weight
        completed[cut] /= weights[cut, None]
        missing[cut] = False

    def _complete_window(self, completed, missing, take, scale):
        """Completes the pixels ``take``, bool [h, w], of a window, in place.

        Args:
          completed: float32 [h, w, 3].
          missing: bool [h, w], all pixels that are still to be completed.
          take: bool [h, w], those to write.
          scale: how far to shrink.
        """
        completed[take] = self._look(completed, missing, scale)[take]
        missing[take] = False

    def _look(self, completed, missing, scale):
        """What the network makes of a window, float32 [h, w, 3]; its arguments are as above."""
        height, width = missing.shape
        visible = np.where(missing[..., None], np.float32(0), completed)
        hole = missing[..., None].astype(np.float32)
        if scale < 1:
            size = tuple(max(1, round(scale * side)) for side in (height, width))
            # One missing pixel hides the average that it entered.
            hidden = resize(hole, *size) > 0
            if hidden.all():  # but for a rim, say, that is thinner than a pixel now
                whole = np.concatenate([visible, hole], axis=-1)
                visible, hole = np.split(resize_known(whole, *size), [3], axis=-1)
            else:
                visible = np.where(hidden, np.float32(0), resize(visible, *size))
                hole = hidden.astype(np.float32)
        result = self._run(visible[None], hole[None])[0]
        if scale < 1:
            result = resize(np.where(hole == 1, result, visible), height, width)
        return result

    def _run(self, images, masks):
        """Calls the network: [B, H, W, 3] and [B, H, W, 1] to [B, H, W, 3]."""
        height, width = images.shape[1:3]
        if self.model.size:
            below, right = self.model.size[0] - height, self.model.size[1] - width
            around = ((0, 0), (0, below), (0, right), (0, 0))
            images = np.pad(images, around)
            masks = np.pad(masks, around, constant_values=1)  # beyond the border nothing is known
        return np.asarray(self.model.complete(images, masks))[:, :height, :width]


def _parts(hole, limit):
    """Divides a hole by its local thickness.

    A component that fits into a square of ``limit`` pixels is never thick: even at a corner of the
    picture, the network was trained for it.

    Args:
      hole: bool [H, W].
      limit: thickness up to which the hole is thin, in pixels.

    Returns:
      A list of (bool [H, W], thickness in pixels), disjoint, from thin to thick, none empty.
    """
    if not hole.any():
        return []
    thickness, labels = _thickness(hole, limit)
    parts, rest, edge = [], hole.copy(), limit
    while True:
        core = thickness > edge
        if not core.any():
            break
        to_core = _distance(~core)
        thick = rest & (to_core < THICK_REACH * edge / 2)
        with_core = np.zeros(labels.max() + 1, bool)
        with_core[labels[core]] = True
        thick &= with_core[labels]
        thin = rest & ~thick
        if thin.any():
            parts.append((thin, min(edge, float(thickness[thin].max()))))
        rest, edge = thick, 2 * edge
    parts.append((rest, float(thickness[rest].max())))
    return parts


def _thickness(hole, limit):
    """Local thickness, float32 [H, W], and component labels (None if nothing exceeds ``limit``).

    A centre line's value is right for odd widths and one pixel low for even ones.
    """
    thickness = _distance(hole)
    thickness *= 2
    thickness -= 1
    if thickness.max() <= limit:
        return thickness, None
    _, labels, stats, _ = cv2.connectedComponentsWithStats(hole.view(np.uint8), connectivity=8)
    # Where little is known, the distance exceeds the hole itself: it is no thicker than long.
    longest = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1).astype(np.float32)
    return np.minimum(thickness, longest[labels], out=thickness), labels


def _distance(mask):
    """Distance of every true pixel, bool [H, W], to the nearest false one; the border is none."""
    return cv2.distanceTransform(mask.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _components(part, inner):
    """The connected components of a part.

    Args:
      part: bool [H, W].
      inner: side of the square into which a component fits, or does not.

    Returns:
      (labels int32 [H, W], 0 outside the part; their boxes (top, left, bottom, right), the last two
      excluded, int [N, 4]; whether each fits, bool [N]). The background's box means nothing, and
      counts as fitting.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(part.view(np.uint8), connectivity=8)
    left, top, width, height = stats[:, :4].T
    boxes = np.stack([top, left, top + height, left + width], axis=1)
    fits = (height <= inner) & (width <= inner)
    fits[0] = True
    return labels, boxes, fits


def _groups(boxes, numbers, inner):
    """Groups boxes into few windows.

    Args:
      boxes: int [N, 4], (top, left, bottom, right), the last two excluded.
      numbers: int [M], of those to group.
      inner: side of the square into which each of them fits, and each group.

    Yields:
      (numbers of a group, the box around it).
    """
    while numbers.size:
        # A strip of rows that starts with the topmost box, then squares from left to right.
        in_strip = boxes[numbers, 2] <= boxes[numbers, 0].min() + inner
        strip, numbers = numbers[in_strip], numbers[~in_strip]
        while strip.size:
            in_group = boxes[strip, 3] <= boxes[strip, 1].min() + inner
            group, strip = strip[in_group], strip[~in_group]
            low, high = boxes[group, :2].min(axis=0), boxes[group, 2:].max(axis=0)
            yield group, (*low.tolist(), *high.tolist())


def _cut(labels, boxes, numbers, inner):
    """Cuts components into pieces that fit into squares of ``inner`` pixels.

    Args:
      labels: int32 [H, W], component numbers.
      boxes: int [N, 4], (top, left, bottom, right) of the components.
      numbers: of the components to cut.
      inner: side of the square.

    Returns:
      The pieces' boxes, a list of (top, left, bottom, right).
    """
    pieces = []
    for number in numbers:
        top, left, bottom, right = boxes[number].tolist()
        # Pieces of about equal size: no slivers.
        rows, columns = (
            np.linspace(low, high, math.ceil((high - low) / inner) + 1).astype(int)
            for low, high in ((top, bottom), (left, right))
        )
        for y, y_end in itertools.pairwise(rows):
            for x, x_end in itertools.pairwise(columns):
                piece = labels[y:y_end, x:x_end] == number
                if piece.any():
                    dx, dy, width, height = cv2.boundingRect(piece.view(np.uint8))
                    pieces.append((y + dy, x + dx, y + dy + height, x + dx + width))
    return pieces


def _feathered(box, crop, reach):
    """How much a window counts in and around a box: from 1 inside to 0 at ``reach`` beyond it.

    Args:
      box: (top, left, bottom, right) in the picture.
      crop: two slices of the picture.
      reach: in pixels; the slope is twice as wide.

    Returns:
      float32 [h, w] for the crop.
    """

    def along(axis):
        middles = np.arange(crop[axis].start, crop[axis].stop, dtype=np.float32) + 0.5
        inside = np.minimum(middles - box[axis], box[axis + 2] - middles)
        return np.clip(0.5 + inside / (2 * reach), 0, 1)

    return along(0)[:, None] * along(1)


def _window(box, side, shape):
    """The square, or what the picture has of it, of ``side`` pixels around a box, as slices."""
    low, high = box[:2], box[2:]
    slices = []
    for start, stop, size in zip(low, high, shape, strict=True):
        first = min(max((start + stop - side) // 2, 0), max(size - side, 0))
        slices.append(slice(first, min(first + side, size)))
    return tuple(slices)


class Files:
    """Completes picture files one after another: the work of ``common.completion.files``."""

    iterations = 0

    def __init__(self, completer, blend):
        """Keeps what completes.

        Args:
          completer: a ``Completer``, or any function from image [H, W, 3] and mask [H, W, 1] to
            the completed image.
          blend: one of ``common.completion.blending.BLEND_METHODS``.
        """
        self._completer, self._blend = completer, blend

    def batch_size(self, count):
        """1: pictures may differ in size."""
        del count
        return 1

    def target(self, index, picture, masks):
        """Nothing: ``finish`` does everything."""

    def find(self, targets, size, progress):
        """Nothing, for each of the targets."""
        del size, progress
        return targets

    def finish(self, index, picture, masks, found):
        """The ``common.completion.files.Answer``.

        Args:
          index: number of the picture.
          picture: a ``common.completion.files.Picture`` of any size.
          masks: from (number of the picture, H, W) to its mask, float32 [H, W, 1].
          found: of ``find``.

        Raises:
          InputError: as ``common.completion.files.read_damaged`` and the completer.
        """
        del found
        image, mask = files.read_damaged(index, picture, masks)
        completed = self._completer(image, mask)
        blended = blending.blend(image, completed, mask, self._blend)

        def steps():
            from common import figures  # matplotlib takes long to import

            shown = figures.show_hole(image, mask)
            columns = dict(zip(STEPS, (image, shown, completed, blended), strict=True))
            show = getattr(self._completer, "show_attention", None)
            attention = show(image, mask) if show else None
            return columns if attention is None else {**columns, "looks at": attention}

        return files.Answer([blended], steps)
