"""Completes a clip: what a hole hides in one frame, others often show.

    complete_clip(frames, holes, complete)          # uint8 [N, H, W, 3], bool [N, H, W]: in place

Along the optical flow, which is continued through the holes, colours are carried into them from
earlier and from later frames. What no frame shows is completed in one frame, by any method for
pictures, and carried on from there, so that it does not flicker as it would if every frame were
completed alone. The order is that of [1] and [2]:

1. Each frame's hole is filled roughly and the flow to both neighbours computed (DIS, [3]); in the
   hole, and around it, it is not trusted but continued harmonically from outside.
2. From each end of a scene to the other, a hidden pixel takes the colour of the place in the frame
   before that it comes from, if that is known and the flow back leads to where it started.
3. Of two colours the mean is taken, that of fewer steps weighing more.
4. While anything is still hidden: the frame with the most of it is completed, and counts as known.

[1] Xu, Li, Zhou, Loy: Deep Flow-Guided Video Inpainting, CVPR 2019.
[2] Gao, Saraf, Huang, Kopf: Flow-edge Guided Video Completion, ECCV 2020.
[3] Kroeger, Timofte, Dai, Van Gool: Fast Optical Flow using Dense Inverse Search, ECCV 2016.
[4] Lai, Huang, Wang, Shechtman, Yumer, Yang: Learning Blind Video Temporal Consistency, ECCV 2018.
"""

import contextlib
import os
import tempfile

import cv2
import numpy as np

from common.classical import shared
from common.completion import blending
from common.errors import InputError

LEAST = 16  # pixels: smaller frames have no flow
UNTRUSTED = 7  # pixels around a hole in which the flow is not trusted
CONSISTENT = 1.0  # pixels that the way there and back may miss its start by
CUT = 0.5  # share of the known pixels without consistent flow from which on a scene begins
RING = 5  # pixels around what is hidden, on which a change of brightness is measured
STEPS = 40  # of relaxation at each size, when the flow is continued
_FLOW_SCALE = 32  # flows are kept in so many parts of a pixel
_NEVER = np.uint16(2**16 - 1)  # age of what is hidden


def complete_clip(frames, holes, complete, progress=lambda done, total: None, folder=None):
    """Completes the frames of a clip in place; known pixels stay as they are.

    Args:
      frames: uint8 [N, H, W, 3], RGB; what they hold in the holes has no part in the result.
      holes: bool [N, H, W], true = missing; a frame may have none, or nothing else.
      complete: from image float32 [H, W, 3] in [0, 1] and mask float32 [H, W, 1], 1 = missing, to
        the completed image: a method for pictures.
      progress: called with (frames done, of how many); each one counts four times.
      folder: for temporary files, 9 bytes for each pixel of all frames and 10 for each of the box
        around all holes; None: the system's.

    Returns:
      The number of frames that ``complete`` was asked for.

    Raises:
      InputError: frames that are too small, nothing is known in any frame of a scene, or the disk
        is full; or of ``complete``.
    """
    count, height, width = holes.shape
    if min(height, width) < LEAST:
        raise InputError(f"the frames are {width}x{height}; need {LEAST}x{LEAST} at least")
    with _storage(folder) as store:
        work = _Work(frames, holes, store, progress)
        for first, last in work.measure_flow():
            work.carry(first, last)
        return work.invent(complete)


def flicker(frames, holes, flows):
    """The warping error of [4] in what was hidden, x 1: the mean square of a pixel's change.

    Args:
      frames: uint8 [N, H, W, 3], the completed clip.
      holes: bool [N, H, W].
      flows: N - 1 pairs (to the next frame, back again), float32 [H, W, 2] in pixels, of the
        original clip or of another that is the same for all that are compared.

    Returns:
      The mean over all pairs of frames, in [0, 1], of where the hidden place is seen in both
      frames and not at the edge of what moves; NaN if there is no such place.
    """
    total = pixels = 0
    for t, (forward, backward) in enumerate(flows):
        there = _moved(backward, forward)
        square = (forward**2).sum(-1)
        occluded = ((forward + there) ** 2).sum(-1) > 0.01 * (square + (there**2).sum(-1)) + 0.5
        slope = sum((np.gradient(forward[..., c], axis=a) ** 2) for c in (0, 1) for a in (0, 1))
        judged = holes[t] & ~occluded & ~(slope > 0.01 * square + 0.002) & _inside(forward)
        after = _moved(np.float32(frames[t + 1]), forward)
        change = ((after - np.float32(frames[t])) / 255) ** 2
        total += change[judged].mean(-1).sum()
        pixels += judged.sum()
    return total / pixels if pixels else float("nan")


def prefilled(frame, hole):
    """A frame with its hole filled, for the flow.

    Args:
      frame: uint8 [H, W, 3]; what it holds in the hole does not matter.
      hole: bool [H, W].
    """
    frame = np.array(frame)
    if not hole.any():
        return frame
    if hole.all():
        return np.zeros_like(frame)
    frame[hole] = 0
    return cv2.inpaint(frame, hole.astype(np.uint8), blending.TELEA_RADIUS, cv2.INPAINT_TELEA)


def flow_between(before, after):
    """The flow from one frame to the next and back, both float32 [H, W, 2], (x, y) in pixels.

    Args:
      before, after: uint8 [H, W, 3], RGB.
    """
    grey = [cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (before, after)]
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return dis.calc(*grey, None), dis.calc(*grey[::-1], None)


def continued(values, hole):
    """Harmonic in the hole: each value the mean of its four neighbours.

    Args:
      values: float32 [H, W, C]; not read in the hole.
      hole: bool [H, W], not everywhere true.

    Returns:
      float32 [H, W, C].
    """
    if not hole.any():
        return values
    box = _box(_grown(hole, 1))
    whole, values, hole = values, np.where(hole[..., None], 0, values)[box], hole[box]
    estimate = None
    for level, missing in shared.pyramid(values, hole, depth=2):
        steps = STEPS
        if estimate is None:
            steps += min(missing.shape) ** 2  # the smallest size has no estimate to begin with
            mean = level[~missing].mean(0, dtype=np.float64)
            rough = np.broadcast_to(np.float32(mean), level.shape)
        else:
            size = missing.shape[::-1]
            rough = cv2.resize(estimate, size, interpolation=cv2.INTER_LINEAR).reshape(level.shape)
        estimate = np.where(missing[..., None], rough, level).astype(np.float32)
        for _ in range(steps):
            # As np.pad does, which takes longer than all the rest.
            wide = cv2.copyMakeBorder(estimate, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
            wide = wide.reshape(*wide.shape[:2], -1)  # OpenCV drops an axis of one channel
            around = wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]
            estimate = np.where(missing[..., None], around / 4, level).astype(np.float32)
    result = whole.astype(np.float32)
    result[box] = np.where(hole[..., None], estimate, result[box])
    return result


class _Work:
    """The state of a clip: frames, what is hidden, flows and how far each colour has come."""

    def __init__(self, frames, holes, store, progress):
        self.frames, self.holes = frames, holes
        self.count, height, width = holes.shape
        self._progress, self._done = progress, 0
        self.forward = store((self.count, height, width, 2), np.int16)
        self.backward = store((self.count, height, width, 2), np.int16)
        # Nothing but the rows and columns of the holes needs a second colour.
        self.box = _box(np.logical_or.reduce(holes, axis=0)) if holes.any() else None
        if self.box:
            shape = (self.count, *holes[0][self.box].shape)
            self.colors = [store((*shape, 3), np.uint8) for _ in range(2)]
            self.ages = [store(shape, np.uint16) for _ in range(2)]
        self.scene_of = np.zeros(self.count, int)
        self.hidden = store(holes.shape, bool)
        for t in range(self.count):
            self.hidden[t] = holes[t]

    def _did(self):
        self._done += 1
        self._progress(self._done, 4 * self.count)

    def measure_flow(self):
        """Fills ``forward`` and ``backward``; returns scenes as pairs (first, last)."""
        starts, before = [0], self._roughly(0)
        self._did()
        for t in range(1, self.count):
            after = self._roughly(t)
            flows = flow_between(before, after)
            open_ = [_grown(self.holes[n], UNTRUSTED) for n in (t - 1, t)]
            known = ~open_[0] & ~_moved_mask(open_[1], flows[0])
            if known.any() and (~_agrees(*flows))[known].mean() > CUT:
                starts.append(t)
            else:
                if any(hole.all() for hole in open_):  # as if it stood still
                    flows = [np.zeros_like(flow) for flow in flows]
                flows = [
                    flow if hole.all() else continued(flow, hole)
                    for flow, hole in zip(flows, open_, strict=True)
                ]
                self.forward[t - 1], self.backward[t] = (
                    np.clip(np.rint(f * _FLOW_SCALE), -(2**15), 2**15 - 1) for f in flows
                )
            before = after
            self._did()
        scenes = list(zip(starts, [*starts[1:], self.count], strict=True))
        for number, (first, end) in enumerate(scenes):
            self.scene_of[first:end] = number
        return [(first, end - 1) for first, end in scenes]

    def _roughly(self, t):
        return prefilled(self.frames[t], self.holes[t])

    def _flow(self, t, way):
        """From frame t to the one after it (way 1) or before it (way -1), and back from there."""
        there = self.forward[t] if way == 1 else self.backward[t]
        back = self.backward[t + 1] if way == 1 else self.forward[t - 1]
        return np.float32(there) / _FLOW_SCALE, np.float32(back) / _FLOW_SCALE

    def carry(self, first, last):
        """Carries colours from both ends of a scene to the other, and merges what arrives."""
        if not self.box:
            self._done += 2 * (last - first + 1)
            return
        for side, (times, way) in enumerate(
            ((range(first, last + 1), -1), (range(last, first - 1, -1), 1))
        ):
            previous = None
            for t in times:
                frame, age = self._as_known(t)
                if previous is not None:
                    self._take(frame, age, *previous, self._flow(t, way))
                self.colors[side][t], self.ages[side][t] = frame[self.box], age[self.box]
                previous = frame, age
                self._did()
        for t in range(first, last + 1):
            self._merge(t)

    def _as_known(self, t):
        frame = np.where(self.holes[t][..., None], np.uint8(0), self.frames[t])
        return frame, np.where(self.holes[t], _NEVER, np.uint16(0))

    def _take(self, frame, age, source, source_age, flows):
        """Takes into the hidden pixels of a frame, in place, what another one knows of them."""
        there, back = flows
        hidden = age == _NEVER
        if not hidden.any():
            return
        box = _box(_grown(hidden, RING + 1))
        hidden, flow = hidden[box], there[box]
        at = _places(there)[box]
        known = (source_age != _NEVER).astype(np.float32)
        found = cv2.remap(known, at, None, cv2.INTER_LINEAR, borderValue=0) > 0.999
        returned = cv2.remap(back, at, None, cv2.INTER_LINEAR)
        found &= ((flow + returned) ** 2).sum(-1) < CONSISTENT**2
        colors = cv2.remap(np.float32(source), at, None, cv2.INTER_LINEAR)
        ring = _grown(hidden, RING) & ~hidden & (age[box] == 0) & found
        if ring.any():  # the light may change
            colors += (np.float32(frame[box]) - colors)[ring].mean(0)
        taken = hidden & found
        ages = cv2.remap(np.float32(source_age), at, None, cv2.INTER_NEAREST)
        frame[box][taken] = np.rint(np.clip(colors[taken], 0, 255)).astype(np.uint8)
        age[box][taken] = np.minimum(ages[taken] + 1, _NEVER - 1).astype(np.uint16)

    def _merge(self, t):
        ages = [np.float32(side[t]) for side in self.ages]
        weights = [np.where(age < _NEVER, 1 / (1 + age), 0)[..., None] for age in ages]
        total = weights[0] + weights[1]
        mixed = sum(w * np.float32(side[t]) for w, side in zip(weights, self.colors, strict=True))
        hole = self.holes[t][self.box]
        reached = hole & (total[..., 0] > 0)
        part = self.frames[t][self.box]
        part[hole] = 0
        part[reached] = np.rint(mixed[reached] / total[reached]).astype(np.uint8)
        self.frames[t][self.box] = part
        self.hidden[t][self.box] = hole & ~reached

    def invent(self, complete):
        """Completes a frame after the other and carries on what is new; see the module."""
        left = self.hidden.reshape(self.count, -1).sum(1)
        asked = 0
        while left.any():
            t = int(left.argmax())
            image = np.float32(self.frames[t]) / 255
            mask = self.hidden[t].astype(np.float32)[..., None]
            if mask.all():
                raise InputError(f"frame {t}: nothing is known in it nor in its scene")
            made = complete(image, mask)
            hole = self.hidden[t]
            self.frames[t][hole] = np.rint(np.clip(made[hole], 0, 1) * 255).astype(np.uint8)
            self.hidden[t] = False
            left[t] = 0
            asked += 1
            for way in (1, -1):
                self._carry_on(t, way, left)
            if left.any():
                self._progress(3 * self.count + int((left == 0).sum()), 4 * self.count)
        self._progress(4 * self.count, 4 * self.count)
        return asked

    def _carry_on(self, t, way, left):
        while 0 <= t + way < self.count and self.scene_of[t + way] == self.scene_of[t]:
            source, source_age = self._state(t)
            t += way
            if not left[t]:
                continue
            frame, age = self._state(t)
            self._take(frame, age, source, source_age, self._flow(t, -way))
            reached = self.hidden[t] & (age != _NEVER)
            if not reached.any():
                return
            self.frames[t][reached] = frame[reached]
            self.hidden[t] &= ~reached
            left[t] = self.hidden[t].sum()

    def _state(self, t):
        return self.frames[t].copy(), np.where(self.hidden[t], _NEVER, np.uint16(0))


@contextlib.contextmanager
def _storage(folder):
    """A function from shape and type to an array of zeros in a temporary file."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".clip-") as place:
        made = 0

        def store(shape, dtype):
            nonlocal made
            made += 1
            return stored(os.path.join(place, f"{made}.bin"), shape, dtype)

        yield store


def stored(path, shape, dtype):
    """A new array in a file whose space on the disk is taken at once.

    Raises:
      InputError: the disk is full, or the file cannot be made.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    try:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
        return np.memmap(path, dtype, "r+", shape=tuple(shape))
    except OSError as error:
        raise InputError(
            f"{path}: {size / 2**30:.1f} GiB of temporary files cannot be had ({error.strerror}); "
            "free space, or give another --output folder"
        ) from error


def _places(flow):
    """Where each pixel goes, float32 [H, W, 2], (x, y)."""
    height, width = flow.shape[:2]
    return flow + np.dstack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)


def _moved(values, flow):
    """Values [H, W, C] seen from where the flow starts."""
    return cv2.remap(values, _places(flow), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _moved_mask(mask, flow):
    return _moved(mask.astype(np.float32), flow) > 0


def _inside(flow):
    height, width = flow.shape[:2]
    at = _places(flow)
    return ((at >= 0) & (at <= (width - 1, height - 1))).all(-1)


def _agrees(there, back):
    """Where the way there and back ends close to its start, inside the picture: bool [H, W]."""
    return (((there + _moved(back, there)) ** 2).sum(-1) < CONSISTENT**2) & _inside(there)


def _grown(mask, pixels):
    kernel = np.ones((2 * pixels + 1,) * 2, np.uint8)
    return cv2.dilate(mask.astype(np.uint8), kernel) > 0


def _box(mask):
    """The rows and columns of a mask that is somewhere true, as two slices."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
