"""Flags of the commands that complete pictures; they come with those of ``flags.masks``."""

import functools
import pathlib

from absl import flags

from common.completion import blending, clips, windows
from common.completion import files as completion_files
from common.errors import InputError
from common.pictures import images as image_files
from common.pictures.images import require_folder
from flags import masks as mask_flags

FLAGS = flags.FLAGS


def define(default_model="the method's own", in_windows=True):
    """Defines the flags of this group.

    Args:
      default_model: what the command takes without ``--model``, for the help.
      in_windows: the command completes large pictures in windows.
    """
    flags.DEFINE_string(
        "input", None, "Image, folder of images (nested) or glob, or a video file, to complete."
    )
    flags.DEFINE_string("output", "completed", "Folder of the completed images.")
    flags.DEFINE_string(
        "model",
        None,
        "SavedModel, run directory, or shipped:PACKAGE[/NAME] for a package's own; default: "
        f"{default_model}.",
    )
    flags.DEFINE_enum("blend", "poisson", blending.BLEND_METHODS, "How the hole is blended in.")
    flags.DEFINE_enum(
        "format",
        "png",
        ["png", "same"],
        "Of the results, PNG (of clips Matroska with FFV1, without loss); same: as the input.",
    )
    flags.DEFINE_bool(
        "figure", None, "Also draw the steps side by side; default: without --input only."
    )
    flags.DEFINE_bool("resize_mask", False, "Resize masks that differ in size from their image.")
    flags.DEFINE_integer(
        "max_pixels",
        image_files.MAX_PIXELS,
        "Larger images and masks are refused before they fill the memory (width x height).",
        lower_bound=1,
        upper_bound=2**31,
    )
    if in_windows:
        flags.DEFINE_integer(
            "max_side",
            windows.MAX_SIDE,
            "Larger images are completed in windows of this side (pixels); bounds memory.",
            lower_bound=windows.MIN_MAX_SIDE,
        )


def define_samples():
    """Defines the flags of commands whose methods complete crops in batches."""
    flags.DEFINE_integer(
        "batch_size",
        0,
        "Images completed at once, blanks being added if there are fewer: in float32 a result "
        "depends on the batch's size, by rounding, and on nothing else of its company. Memory "
        "grows with batch_size x samples (x restarts of a search); 0: their product is 16, if it "
        "can be; a single image is alone.",
        lower_bound=0,
    )
    flags.DEFINE_integer(
        "samples",
        1,
        "Different completions of each image, each of its own restarts or seed.",
        lower_bound=1,
    )


def clip():
    """The clip of ``--input``, or None if that is no video file.

    Returns:
      A function that completes it with the work of a method, see ``common.completion.clips``, and
      returns the exit code.

    Raises:
      InputError: no such file, no ``--mask``, or a flag that has no meaning for a clip.
    """
    if not FLAGS.input or not clips.is_clip(FLAGS.input):
        return None
    for name in ("figure", "samples"):
        if name in FLAGS and FLAGS[name].present:
            raise InputError(f"--{name}: not for a clip, of which there is one result")
    if not FLAGS.mask:
        raise InputError(
            f"--input={FLAGS.input}: a clip needs --mask, a picture for all frames or a clip of as "
            "many, white = missing"
        )
    for name in (FLAGS.input, FLAGS.mask):
        if not pathlib.Path(name).expanduser().is_file():
            raise InputError(f"{name}: no such file")
    require_folder(FLAGS.output)
    output = clips.output_of(FLAGS.input, FLAGS.output, FLAGS.format == "same")
    return functools.partial(
        clips.complete, FLAGS.input, FLAGS.mask, output, resize_mask=FLAGS.resize_mask
    )


def pictures(sample):
    """The pictures of ``--input``, or the list of ``sample`` alone without it."""
    if FLAGS.input is None:
        return [sample]
    return completion_files.find_pictures(FLAGS.input, FLAGS.max_pixels)


def masks_of(found):
    """The masks that the flags describe: ``--mask`` alone means files.

    Args:
      found: list of ``common.completion.files.Picture``.

    Returns:
      ``MaskFiles`` or ``DrawnMasks`` of ``common.completion.files``.

    Raises:
      InputError: contradictory flags, or no mask file.
    """
    if FLAGS.mask and (FLAGS.mask_kind == ["files"] or not FLAGS["mask_kind"].present):
        return completion_files.MaskFiles.match(
            FLAGS.mask, found, FLAGS.resize_mask, max_pixels=FLAGS.max_pixels
        )
    if "files" in FLAGS.mask_kind and len(FLAGS.mask_kind) > 1:
        raise InputError(f"--mask_kind={','.join(FLAGS.mask_kind)}: here files stands alone")
    # No files: the size does not matter yet.
    return completion_files.DrawnMasks(mask_flags.spec(1, 1), FLAGS.seed)


def outputs(found, protected, endings=()):
    """Where the results go: one ``common.completion.files.Output`` for each picture.

    Args:
      found: list of ``common.completion.files.Picture``.
      protected: more files that must not be overwritten.
      endings: what the method writes besides, as ``common.completion.files.plan_outputs`` takes it.
    """
    figure = FLAGS.input is None if FLAGS.figure is None else FLAGS.figure
    return completion_files.plan_outputs(
        found, FLAGS.output, FLAGS.format == "same", figure, protected, endings
    )


def completer():
    """The ``common.completion.windows.Completer`` that the flags describe."""
    from common.completion import models

    model = models.load_model(FLAGS.model, FLAGS.precision)
    return windows.Completer(model, max_side=FLAGS.max_side)


def options():
    """The ``common.completion.files.Options`` that the flags describe."""
    return completion_files.Options(FLAGS.blend, FLAGS.batch_size, FLAGS.precision, FLAGS.xla)
