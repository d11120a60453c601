"""Images and masks: from files to arrays and back.

In memory an image is float32 RGB `[H, W, 3]` in [0, 1] and a mask is float32 `[H, W, 1]`, exactly
0 (known) or 1 (missing). On disk both are ordinary picture files:

    image = read_image("photo.jpg")              # [H, W, 3]
    hole = read_mask("hole.png")                 # [H, W, 1], white is missing
    write_image("out/photo.png", image)          # lossless: reading it back gives uint8 precision

Reading applies the EXIF orientation, repeats grey to three channels, drops alpha with a warning
and scales 8-bit files by 1/255 and 16-bit files by 1/65535. Everything a user can get wrong ends
in one `InputError` that names the file; so does a picture of more than `MAX_PIXELS` pixels, which
its header tells before it is decoded.

Writing is atomic: a reader sees the old file or the whole new one, never a part of it.
"""

import errno
import glob
import io
import itertools
import os
import pathlib
import re
import struct
import uuid
import warnings

import cv2
import numpy as np
import PIL.Image
from absl import logging

from common.errors import InputError

IMAGE_SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".jp2",
    ".ppm", ".pgm", ".pbm", ".pnm", ".gif", ".avif",
)  # fmt: skip
"""Suffixes, in lower case, of the files that `list_images` takes from a folder or a pattern."""

SIXTEEN_BIT_SUFFIXES = (".png", ".tif", ".tiff", ".jp2", ".ppm", ".pnm")
"""Suffixes, in lower case, of the files that can be written with 16 bits per channel."""

# A file of 3 MB can hold nine times as many, which decoded take 19 GB.
MAX_PIXELS = 100_000_000

_COLOR = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH  # three channels of 8 or 16 bits

# Of what is drawn by `common.figures`.
FIGURE_SUFFIXES = (".png", ".jpg", ".pdf", ".svg")
ANIMATION_SUFFIXES = (".gif", ".webp")
CELL_PIXELS = 256  # small pictures are enlarged to about this side

ENCODING = (
    *(cv2.IMWRITE_JPEG_QUALITY, 95),
    *(cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000),  # none is lost
)
PNG_END = b"IEND\xaeB`\x82"  # the last chunk's name and checksum
PNM_HEADER = 1000  # bytes that hold it, comments included
JPEG2000 = b"\0\0\0\x0cjP  "

# Every failure is reported by an InputError; OpenCV and Pillow would print their own account too.
if "OPENCV_LOG_LEVEL" not in os.environ:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
warnings.filterwarnings("ignore", module=r"PIL\.")
PIL.Image.MAX_IMAGE_PIXELS = None  # it only reads headers here, also of what is then refused


def read_image(path, max_pixels=None):
    """Reads a picture file.

    Args:
        path: a file that OpenCV can read, with 8 or 16 bits per channel.
        max_pixels: a larger picture is refused before it is decoded; None: `MAX_PIXELS`. Given, it
            is taken for the flag of this name, which the message then recommends to raise.

    Returns:
        float32 `[H, W, 3]`, RGB in [0, 1].

    Raises:
        InputError: the file is missing, unreadable, corrupt, too large or of an unsupported kind.
    """
    pixels, white = _read_pixels(path, _COLOR, max_pixels)  # BGR, uint8 or uint16
    return from_uint8(pixels[..., ::-1], levels=white)


def read_uint8(path):
    """`to_uint8(read_image(path))`, uint8 `[H, W, 3]`; 8 bits are not turned to floats and back.

    Raises:
        InputError: as `read_image`.
    """
    pixels, white = _read_pixels(path, _COLOR, None)
    if white == 255:
        return np.ascontiguousarray(pixels[..., ::-1])
    return to_uint8(from_uint8(pixels[..., ::-1], levels=white))


def bits_per_channel(path):
    """How many bits each channel of a picture file has once it is read: 8 or 16.

    Raises:
        InputError: the file is missing or unreadable.
    """
    data = _read_bytes(path)
    if _is_png(data):
        return 16 if data[24:25] == b"\x10" else 8
    if not data.startswith((b"II", b"MM", b"P", JPEG2000)):
        return 8  # no other format has more
    pixels = _decode(data, cv2.IMREAD_UNCHANGED)
    return 16 if pixels is not None and pixels.dtype == np.uint16 else 8


def read_mask(path, max_pixels=None):
    """Reads a mask file, in which white marks what is missing.

    Colour is turned to grey first; alpha is dropped with a warning, as for images.

    Args:
        path: a file that OpenCV can read, with 1, 8 or 16 bits per channel.
        max_pixels: as for `read_image`.

    Returns:
        float32 `[H, W, 1]`: 1 where the grey value is at least half of white, else 0.

    Raises:
        InputError: the file is missing, unreadable, corrupt, too large or of an unsupported kind.
    """
    grey, white = _read_pixels(path, cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH, max_pixels)
    missing = grey > white // 2
    if grey.any() and not missing.any():
        message = "%s: a mask without a hole: white (%d) is missing, its brightest value is %d"
        logging.warning(message, path, white, grey.max())
    return missing[..., np.newaxis].astype(np.float32)


def write_image(path, image, bits=8):
    """Writes an image atomically, in the format that the suffix names.

    Missing parent folders are made. JPEG is written with quality 95; PNG, BMP, TIFF, WebP,
    JPEG 2000 and PPM lose nothing.

    Args:
        path: where to write.
        image: float32 `[H, W, 3]` RGB, or `[H, W, 1]` grey or a mask, in [0, 1]. Other values are
            clipped; each is rounded to the nearest of 256 levels, or of 65,536.
        bits: per channel, 8 or 16; formats other than `SIXTEEN_BIT_SUFFIXES` get 8. What was read
            from a file with as many is written as it was.

    Raises:
        InputError: the suffix is unknown, or cannot hold the image, or the file cannot be written.
    """
    path = pathlib.Path(path)
    deep = bits == 16 and path.suffix.lower() in SIXTEEN_BIT_SUFFIXES
    pixels = _to_levels(image, np.uint16 if deep else np.uint8)
    if pixels.shape[-1] == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    try:
        encoded, data = cv2.imencode(path.suffix.lower(), pixels, ENCODING)
    except cv2.error:
        encoded = False
    if not encoded:
        raise InputError(f"{path}: no image can be written as '{path.suffix}'; use .png or .jpg")
    write_bytes_atomically(path, data)


def write_bytes_atomically(path, data):
    """Writes a file so that no reader ever sees a part of it; makes missing parent folders.

    Args:
        path: where to write; an existing file is replaced.
        data: bytes, or anything with the buffer interface.

    On Linux a process that is killed while it writes leaves nothing behind; elsewhere, and on file
    systems that know no files without a name, a hidden one that ends in .tmp.

    Raises:
        InputError: the file cannot be written (no permission, disk full, path is a folder); what
            was there before is untouched, and nothing else is left behind.
    """
    path = pathlib.Path(path)
    # In the same folder, so that the final step is a rename within one file system.
    temporary = path.parent / f".{uuid.uuid4().hex}.tmp"
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(temporary, data)
            os.replace(temporary, path)
        finally:
            if temporary.exists():
                temporary.unlink()
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error


def _write_whole(path, data):
    """Writes a new file that, if the system can do so, has no name before it is whole."""
    try:
        unnamed = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o666)
        with open(unnamed, "wb") as file:
            file.write(data)
            file.flush()
            # With a folder's descriptor, which an absolute path ignores, the link is followed.
            os.link(f"/proc/self/fd/{unnamed}", path, src_dir_fd=unnamed)
    except (AttributeError, OSError):  # not Linux, or not this file system
        path.write_bytes(data)


def require_folder(path):
    """Refuses a folder to write in that is a file, or that would lie in one.

    Args:
        path: of a folder that need not exist.

    Raises:
        InputError: there is a file.
    """
    path = pathlib.Path(path).expanduser()
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not existing.is_dir():
        raise InputError(f"{path}: cannot be written: {os.strerror(errno.ENOTDIR)}")


def list_images(source):
    """Lists the images that one command-line argument stands for.

    Args:
        source: a file, taken whatever its suffix; a folder, searched with its sub-folders, those
            behind symbolic links too; or a pattern with `*`, `?`, `[...]` or `**`. Hidden files
            are left out of the last two.

    Returns:
        A sorted list of `pathlib.Path`, never empty.

    Raises:
        InputError: there is no such file or folder, or no image in it.
    """
    place = pathlib.Path(source).expanduser()
    if place.is_file():
        return [place]
    if place.is_dir():
        found = list(_walk(place))
        visible = [p for p in found if not _is_hidden(p.relative_to(place))]
    else:
        # glob leaves hidden files out by itself.
        visible = [pathlib.Path(name) for name in glob.glob(str(place), recursive=True)]
    images = sorted(p for p in visible if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    if not images:
        reason = "no image in this folder" if place.is_dir() else "no such file, folder or pattern"
        raise InputError(f"{source}: {reason}; images end in {', '.join(IMAGE_SUFFIXES)}")
    return images


def _walk(place):
    """All files below a folder; each folder once, also if links lead to it or in a circle."""
    seen = set()
    for at, folders, names in os.walk(place, followlinks=True):
        real = os.path.realpath(at)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()  # which of two ways to a folder is taken
        yield from (pathlib.Path(at, name) for name in names)


def root_of(source):
    """The folder below which all files of a file, folder or glob pattern lie."""
    place = pathlib.Path(source).expanduser()
    if place.exists():
        return place if place.is_dir() else place.parent
    return pathlib.Path(*itertools.takewhile(lambda part: not set("*?[") & set(part), place.parts))


def to_uint8(image):
    """Turns values in [0, 1] into 0..255, to the nearest level; clips what lies outside.

    Args:
        image: float `[...]`.

    Returns:
        uint8 `[...]`.
    """
    return _to_levels(image, np.uint8)


def _to_levels(image, dtype):
    most = np.iinfo(dtype).max
    levels = np.asarray(image, np.float32) * np.float32(most)
    np.clip(levels, 0, most, out=levels)
    return np.rint(levels, out=levels).astype(dtype)


def from_uint8(array, levels=255):
    """Turns integers 0..`levels` into float32 in [0, 1]; `to_uint8` is its inverse for 255.

    Args:
        array: integer `[...]`.
        levels: the integer that becomes 1.

    Returns:
        float32 `[...]`, contiguous.
    """
    return np.divide(array, np.float32(levels), dtype=np.float32, order="C")


def resize(image, height, width):
    """Resizes an image: area averages for an axis that shrinks, bicubic for one that grows.

    Args:
        image: float32 `[H, W, C]` in [0, 1].
        height: new height, at least 1.
        width: new width, at least 1.

    Returns:
        float32 `[height, width, C]` in [0, 1].

    Raises:
        InputError: the new size is not positive.
    """
    _require_size(height, width)
    image = np.ascontiguousarray(image, np.float32)
    small = (min(width, image.shape[1]), min(height, image.shape[0]))  # OpenCV: (width, height)
    resized = image
    if small != (image.shape[1], image.shape[0]):
        resized = cv2.resize(resized, small, interpolation=cv2.INTER_AREA)
    if small != (width, height):
        resized = cv2.resize(resized, (width, height), interpolation=cv2.INTER_CUBIC)
    # OpenCV drops a single channel's axis; bicubic overshoots.
    return np.clip(resized, 0, 1).reshape(height, width, image.shape[2])


def resize_known(image, height, width):
    """Resizes a picture that is known in part: what is missing has no part in any average.

    A pixel is the average of the known ones that it stands for, and missing if there are none; an
    axis that grows is interpolated, and what is missing stays so.

    Args:
        image: float32 `[H, W, 4]`: RGB in [0, 1], finite where missing too, and 1 = missing.
        height: new height, at least 1.
        width: new width, at least 1.

    Returns:
        float32 `[height, width, 4]`, the same; RGB is 0 where missing.

    Raises:
        InputError: the new size is not positive.
    """
    _require_size(height, width)
    known = 1 - image[..., 3:]
    both = np.concatenate(
        [np.where(known > 0, image[..., :3], 0), known], axis=-1, dtype=np.float32
    )
    grows = height > image.shape[0] or width > image.shape[1]
    method = cv2.INTER_LINEAR if grows else cv2.INTER_AREA
    both = cv2.resize(both, (width, height), interpolation=method)
    share = both[..., 3:]
    missing = share < (0.5 if grows else 1e-6)
    rgb = np.where(missing, 0, both[..., :3] / np.where(missing, 1, share))
    return np.concatenate([np.clip(rgb, 0, 1), missing], axis=-1, dtype=np.float32)


def resize_nearest(image, height, width):
    """Resizes by copying, which keeps a mask's two values.

    Args:
        image: `[H, W, C]`, any type.
        height: new height, at least 1.
        width: new width, at least 1.

    Returns:
        `[height, width, C]`, the same type.

    Raises:
        InputError: the new size is not positive.
    """
    _require_size(height, width)
    # cv2.INTER_NEAREST takes others for 593 of 16,384 pairs of sides: a run's masks would change.
    rows = np.arange(height) * image.shape[0] // height
    columns = np.arange(width) * image.shape[1] // width
    return image[rows][:, columns]


def center_crop_resize(image, size):
    """Resizes the largest centred square of an image.

    Args:
        image: float32 `[H, W, C]` in [0, 1].
        size: side of the result, at least 1.

    Returns:
        float32 `[size, size, C]` in [0, 1].

    Raises:
        InputError: the size is not positive.
    """
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return resize(image[top : top + side, left : left + side], size, size)


def _require_size(height, width):
    if height < 1 or width < 1:
        raise InputError(f"an image cannot be resized to {height}x{width}; give at least 1x1")


def _read_pixels(path, flags, max_pixels):
    """Decodes a file to uint8 or uint16, `[H, W]` or `[H, W, 3]` BGR; warns about alpha.

    Returns:
        The pixels, and the level that is white.
    """
    data = _read_bytes(path)
    width, height = _size(data)
    most = MAX_PIXELS if max_pixels is None else max_pixels
    if width * height > most:
        remedy = "shrink it" if max_pixels is None else "shrink it or raise --max_pixels"
        raise InputError(f"{path}: {width}x{height} is more than {most:,} pixels; {remedy}")
    if data[4:11] == b"ftypavi":
        flags &= ~cv2.IMREAD_ANYDEPTH  # its 10 or 12 bits would come unscaled in 16
    pixels = _decode(data, flags) if width else None
    if pixels is None:
        raise InputError(
            f"{path}: corrupt, cut short, or not an image that OpenCV reads; convert it to PNG"
        )
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{path}: {pixels.dtype} pixels; convert it to 8 or 16 bits per channel")
    if _has_alpha(data):
        is_tiff = data[:2] in (b"II", b"MM")
        note = " (in a TIFF it darkens the colours first; PNG avoids that)" if is_tiff else ""
        logging.warning("%s: its alpha channel is dropped%s", path, note)
    if data[:2] in (b"P2", b"P3", b"P5", b"P6"):  # only PNM names its white
        return pixels, int(re.sub(rb"#[^\n]*", b"", data[:PNM_HEADER]).split(maxsplit=4)[3])
    return pixels, np.iinfo(pixels.dtype).max


def _read_bytes(path):
    """The bytes of a file. OpenCV's own reader fails on names outside the locale."""
    try:
        return pathlib.Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except IsADirectoryError as error:
        raise InputError(f"{path}: a folder, where one image file is needed") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}") from error


def _size(data):
    """Width and height as the header tells them; (0, 0) if none is known."""
    if _is_png(data) and len(data) > 24:
        return struct.unpack(">II", data[16:24])  # Pillow stumbles over large texts before it
    try:
        return PIL.Image.open(io.BytesIO(data)).size
    except Exception:  # a broken header raises whatever the reader of its format runs into
        return 0, 0


def _decode(data, flags):
    """OpenCV's decoder, which answers None for all that it cannot read to the end."""
    if _is_png(data) and PNG_END not in data:
        return None  # OpenCV agrees, but only after libpng has said so on stderr
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None


def _has_alpha(data):
    """Whether an encoded image that decodes well holds transparency."""
    if data.startswith((b"\xff\xd8", b"P")):
        return False  # JPEG and PNM cannot
    if _is_png(data):
        colour_type = data[25]
        return bool(colour_type & 4) or b"tRNS" in data[: data.find(b"IDAT")]
    # The other formats hide it in too many places: ask the decoder, at the price of a second pass.
    pixels = _decode(data, cv2.IMREAD_UNCHANGED)
    return pixels is not None and pixels.ndim == 3 and pixels.shape[2] == 4


def _is_png(data):
    return data.startswith(b"\x89PNG\r\n\x1a\n")


def _is_hidden(path):
    return any(part.startswith(".") for part in path.parts)
