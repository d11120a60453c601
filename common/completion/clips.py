"""Clips: from video files to arrays in temporary files and back, and completed as pictures are.

A clip is never in memory as a whole. Sound is not kept. Without loss, in FFV1, known pixels are the
clip's own, bit for bit, as OpenCV decodes it; MPEG-4 changes them.
"""

import os
import pathlib
import tempfile
import uuid

import cv2
import numpy as np
from absl import logging

from common import runtime
from common.completion import propagation
from common.completion.files import Picture
from common.errors import InputError
from common.pictures.images import read_mask, resize_nearest

# Every failure is reported by an InputError; FFmpeg would print its own account beside it.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")
LOSSLESS = ".mkv"
CODECS = {".mkv": "FFV1", ".avi": "FFV1", ".mp4": "mp4v", ".m4v": "mp4v", ".mov": "mp4v"}
USUAL_RATE = 25.0  # frames in a second, of a clip that does not say it


def is_clip(source):
    """Whether an argument names a video file, by its suffix."""
    return pathlib.Path(source).suffix.lower() in SUFFIXES


def output_of(source, folder, same_format):
    """Where the completed clip goes.

    Args:
      source: the clip.
      folder: of the results.
      same_format: keep the suffix instead of ``LOSSLESS``.

    Returns:
      A path.

    Raises:
      InputError: nothing can be written as that, or it would replace the clip.
    """
    source = pathlib.Path(source)
    suffix = source.suffix.lower() if same_format else LOSSLESS
    if suffix not in CODECS:
        known = ", ".join(CODECS)
        raise InputError(f"--format=same: no clip can be written as {suffix}, but as {known}")
    path = pathlib.Path(folder).expanduser() / f"{source.stem}{suffix}"
    if path.resolve() == source.expanduser().resolve():
        raise InputError(f"{path}: would be overwritten; give another --output folder")
    return path


def complete(source, mask, output, work, resize_mask=False):
    """Completes a clip, writes it and says where.

    Args:
      source: the video file.
      mask: a picture for all frames or a clip with as many, white = missing.
      output: of ``output_of``.
      work: a method for pictures, as ``common.completion.files.complete`` takes it.
      resize_mask: resize masks of another size.

    Returns:
      0.

    Raises:
      InputError: a file that cannot be read or written, masks that do not fit, nothing to complete.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        place = tempfile.TemporaryDirectory(dir=output.parent, prefix=".clip-")
    except OSError as error:
        raise InputError(f"{output}: cannot be written: {error.strerror}") from error
    source, mask = pathlib.Path(source).expanduser(), pathlib.Path(mask).expanduser()
    with place as folder:
        frames, rate = read(source, os.path.join(folder, "frames.bin"))
        holes = read_holes(mask, os.path.join(folder, "holes.bin"), frames.shape[:3], resize_mask)
        bar = runtime.progress_bar(4 * len(frames), "quarter frame")
        asked = propagation.complete_clip(
            frames, holes, picture_by_picture(work, str(source)), lambda n, _: bar(n), folder
        )
        write(output, frames, rate)
    logging.info(
        "%s: %d frames, of which %d were completed as pictures; its sound is not kept",
        source,
        len(frames),
        asked,
    )
    print(output)
    return 0


def picture_by_picture(work, name):
    """A method for pictures as a function from image [H, W, 3] and mask [H, W, 1] to the result.

    Args:
      work: as ``common.completion.files.complete`` takes it.
      name: for messages.
    """

    def completed(image, mask):
        picture = Picture(name, lambda: image, pathlib.PurePath(name))

        def masks(index, height, width):
            del index, height, width
            return mask

        target = work.target(0, picture, masks)
        (found,) = work.find([target], 1, lambda n, shown: None)
        return work.finish(0, picture, masks, found).pictures[0]

    return completed


def _frames(path):
    """Yields the frames of a video file, uint8 [H, W, 3] BGR."""
    video = cv2.VideoCapture(str(path))
    if not video.isOpened():
        raise InputError(f"{path}: no video that OpenCV reads; convert it to MPEG-4")
    try:
        while True:
            there, frame = video.read()
            if not there:
                return
            yield frame
    finally:
        video.release()


def _described(path):
    """(number of frames, (height, width), frames in a second) of a video file."""
    count, shape = 0, None
    for frame in _frames(path):
        if shape not in (None, frame.shape[:2]):
            raise InputError(f"{path}: frame {count} has another size than the first")
        count, shape = count + 1, frame.shape[:2]
    if not count:
        raise InputError(f"{path}: no frame can be read")
    video = cv2.VideoCapture(str(path))
    rate, told = video.get(cv2.CAP_PROP_FPS), int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    video.release()
    if told > count:
        logging.warning("%s: only %d of %d frames can be read", path, count, told)
    return count, shape, rate if 0 < rate < 1000 else USUAL_RATE


def read(path, place):
    """Reads a clip.

    Args:
      path: a video file.
      place: of the temporary file.

    Returns:
      (uint8 [N, H, W, 3] RGB in that file, frames in a second).

    Raises:
      InputError: it cannot be read, or the disk is full.
    """
    if not pathlib.Path(path).is_file():
        raise InputError(f"{path}: no such file")
    count, shape, rate = _described(path)
    frames = propagation.stored(place, (count, *shape, 3), np.uint8)
    for n, frame in enumerate(_frames(path)):
        frames[n] = frame[..., ::-1]
    return frames, rate


def read_holes(path, place, shape, resize=False):
    """Reads the masks of a clip.

    Args:
      path: a picture or a clip, white = missing.
      place: of the temporary file.
      shape: (N, H, W).
      resize: take masks of another size, too.

    Returns:
      bool [N, H, W] in that file.

    Raises:
      InputError: it cannot be read, has another size or another number of frames, or no hole.
    """
    holes = propagation.stored(place, shape, bool)
    if is_clip(path):
        count = sum(1 for _ in _frames(path))
        if count != shape[0]:
            raise InputError(f"{path}: {count} masks for a clip of {shape[0]} frames")
        masks = ((frame.mean(-1, keepdims=True) > 127) for frame in _frames(path))
    else:
        one = read_mask(path)
        masks = (one for _ in range(shape[0]))
    for n, mask in enumerate(masks):
        if mask.shape[:2] != shape[1:]:
            if not resize:
                height, width = mask.shape[:2]
                raise InputError(
                    f"{path}: the mask is {width}x{height} but the clip is {shape[2]}x{shape[1]}; "
                    "--resize_mask resizes it"
                )
            mask = resize_nearest(mask, *shape[1:])
        holes[n] = mask[..., 0] > 0
    if not holes.any():
        raise InputError(f"{path}: nothing to complete: the mask has no missing (white) pixel")
    return holes


def write(path, frames, rate):
    """Writes a clip and reads it again; an older file is replaced by a whole new one alone.

    Args:
      path: a file with one of the suffixes in ``CODECS``.
      frames: uint8 [N, H, W, 3], RGB. An odd number of rows or columns gets another one, like the
        last: the codecs know none.
      rate: frames in a second.

    Raises:
      InputError: it cannot be written.
    """
    _, height, width, _ = frames.shape
    odd = [(0, height % 2), (0, width % 2), (0, 0)]
    if height % 2 or width % 2:
        logging.warning("%s: made even: %dx%d", path, width + width % 2, height + height % 2)
    codec = CODECS[path.suffix.lower()]
    fresh = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    size = (width + width % 2, height + height % 2)
    try:
        video = cv2.VideoWriter(str(fresh), cv2.VideoWriter_fourcc(*codec), rate, size)
        if not video.isOpened():
            raise InputError(f"{path}: cannot be written as {codec}")
        for frame in frames:
            video.write(np.pad(frame[..., ::-1], odd, "edge"))
        video.release()
        if not _holds(fresh, frames, codec):
            raise InputError(f"{path}: could not be written whole; free space on the disk")
        os.replace(fresh, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        fresh.unlink(missing_ok=True)


def _holds(path, frames, codec):
    count = 0
    for frame in _frames(path):
        if count < len(frames) and codec == "FFV1":
            own = frame[: frames.shape[1], : frames.shape[2], ::-1]
            if not np.array_equal(own, frames[count]):
                return False
        count += 1
    return count == len(frames)
