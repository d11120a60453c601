"""SavedModels that anybody can run with TensorFlow alone.

Every trained method is exported with the same signatures:

    complete(images float32 [B, H, W, 3] in [0, 1], masks float32 [B, H, W, 1], 1 = missing)
        -> {"completed": float32 [B, H, W, 3]}
    complete_encoded(images string [B], masks string [B])
        -> {"completed_bytes": string [B]}

The second takes PNG, JPEG, GIF or BMP files as bytes, the masks' white being missing, and
returns PNG files, as TensorFlow Serving's REST API with base64 wants it: it encodes what has a name
in ``_bytes``. JPEG files are turned upright as their EXIF data ask for, and the answers are so.
Both return known pixels as they were. ``complete_bfloat16`` is the first, computed
in bfloat16. A method that draws its completions also has

    complete_samples(images, masks, seeds int32 [K]) -> {"completed": float32 [B, K, H, W, 3]}

and ``complete_samples_bfloat16``: a completion of each picture for each seed.

The graphs check what they are given, as a server runs them with whatever it is sent. What is not of
these shapes and values ends in an ``InvalidArgumentError`` that names the input: also images that
do not have as many masks, sizes that differ, a picture of which nothing is known, known pixels
outside [0, 1] or not finite. What an image holds where it is missing is not looked at. No pictures
have no completions: B may be 0.

``assets.extra/inpainting.json`` says what the model was made for: ``method``, ``image_size``
(training images) and ``hole_size`` (thickest hole), in pixels, and ``about``, for people: what it
knows.
"""

import functools
import json
import os
import pathlib
import shutil

import tensorflow as tf

from common.completion import model_folders
from common.errors import InputError
from common.serving import exif

IMAGES = tf.TensorSpec([None, None, None, 3], tf.float32, name="images")
MASKS = tf.TensorSpec([None, None, None, 1], tf.float32, name="masks")
SEEDS = tf.TensorSpec([None], tf.int32, name="seeds")
ENCODED_IMAGES = tf.TensorSpec([None], tf.string, name="images")
ENCODED_MASKS = tf.TensorSpec([None], tf.string, name="masks")

# How the files begin that ``tf.io.decode_image`` reads: JPEG, PNG, GIF, BMP.
_BEGINNINGS = (b"\xff\xd8", b"\x89P", b"GI", b"BM")


def _as_sent(x):
    """The same tensor, but nothing is known of its shape when the graph is made.

    A check of what the signature promises would be taken for true then, and left out.
    """
    return tf.compat.v1.placeholder_with_default(x, None)


def _passed(holds, message, tensors, shown=()):
    """The tensors, behind an error with this message, and what is ``shown``, unless it holds.

    In XLA, which knows no errors, it always holds.
    """
    check = tf.raw_ops.Assert(condition=holds, data=[message, *shown], summarize=8)
    with tf.control_dependencies([check]):
        return [tf.identity(x) for x in tensors]


def _fitting(images, masks, specs, wanted):
    """Both, of the ranks of ``specs``, with as many masks as images and of one size.

    Args:
      images, masks: as they were sent.
      specs: their ``tf.TensorSpec``.
      wanted: the message; the shapes that were sent stand behind it.
    """
    sent = [_as_sent(x) for x in (images, masks)]
    shown = [tf.shape(x) for x in sent]
    of_rank = [tf.equal(tf.size(x), spec.shape.rank) for x, spec in zip(shown, specs, strict=True)]
    shapes = _passed(tf.reduce_all(of_rank), wanted, shown, shown)
    channels = [tf.constant(spec.shape[3:].as_list(), tf.int32) for spec in specs]
    due = [tf.concat([shapes[0][:3], last], axis=0) for last in channels]
    fit = tf.reduce_all([tf.reduce_all(x == y) for x, y in zip(shapes, due, strict=True)])
    passed = _passed(fit, wanted, sent, shown)
    for x, spec in zip(passed, specs, strict=True):
        x.set_shape(spec.shape)
    return passed


def _checked(images, masks, least):
    """Images and masks whose completion can be computed, as the module's docstring says.

    Args:
      images, masks: as they were sent.
      least: the least height and width.

    Returns:
      (images [B, H, W, 3], masks [B, H, W, 1]).
    """
    wanted = "images must be [B, H, W, 3] and masks [B, H, W, 1] of their sizes; they are"
    images, masks = _fitting(images, masks, (IMAGES, MASKS), wanted)
    size = tf.shape(images)[1:3]
    small = f"images must be at least {least}x{least} pixels; they are"
    images, masks = _passed(tf.reduce_all(size >= least), small, (images, masks), [size])
    missing, known = tf.equal(masks, 1), tf.equal(masks, 0)
    valid = (images >= 0) & (images <= 1)
    for holds, message in (
        (missing | known, "masks must hold 0 (known) and 1 (missing) alone"),
        (tf.reduce_any(known, axis=[1, 2, 3]), "masks must leave some pixel of each image known"),
        (missing | valid, "images must be within [0, 1] where they are known"),
    ):
        images, masks = _passed(tf.reduce_all(holds), message, (images, masks))
    return images, masks


def _one_at_least(x):
    """[B, ...] with an element of zeros if there was none: not every graph can do without."""
    shape = tf.shape(x)
    blanks = tf.zeros(tf.concat([tf.maximum(1 - shape[:1], 0), shape[1:]], axis=0), x.dtype)
    return tf.concat([x, blanks], axis=0)


@functools.cache
def _checks(least):
    """``_checked`` as a graph that all signatures share."""
    return tf.function(
        functools.partial(_checked, least=least), input_signature=[IMAGES, MASKS], autograph=False
    )


def _completed(complete, images, masks, checked):
    """What ``complete`` makes of checked images whose hidden pixels are zero, and their holes.

    Returns:
      (what it returns, images [B, H, W, 3], holes bool [B, H, W, 1]).
    """
    images, masks = checked(images, masks)
    holes = masks > 0.5
    hidden = _one_at_least(tf.where(holes, 0.0, images))
    return complete(hidden, _one_at_least(masks))[: tf.shape(images)[0]], images, holes


def _signature(complete, checked):
    """``complete`` with checks, hidden pixels zeroed and known pixels put back."""

    @tf.function(input_signature=[IMAGES, MASKS], autograph=False)
    def signature(images, masks):
        completed, images, holes = _completed(complete, images, masks, checked)
        return {"completed": tf.where(holes, completed, images)}

    return signature


def _looks_signature(where_it_looks, checked):
    """``where_it_looks`` with checks and hidden pixels zeroed."""

    @tf.function(input_signature=[IMAGES, MASKS], autograph=False)
    def signature(images, masks):
        return {"looks": _completed(where_it_looks, images, masks, checked)[0]}

    return signature


def _samples_signature(complete, checked):
    """``_signature`` with a completion for each of ``seeds``."""

    @tf.function(input_signature=[IMAGES, MASKS, SEEDS], autograph=False)
    def signature(images, masks, seeds):
        seeds = _as_sent(seeds)
        shape = tf.shape(seeds)
        one_axis = tf.equal(tf.size(shape), 1)
        (seeds,) = _passed(one_axis, "seeds must be [K]; they are", [seeds], [shape])
        seeds.set_shape(SEEDS.shape)
        completed, images, holes = _completed(
            lambda images, holes: complete(images, holes, seeds), images, masks, checked
        )
        return {"completed": tf.where(holes[:, None], completed, images[:, None])}

    return signature


def _decoded(data, channels, name):
    """A file's pixels, uint8 [H, W, channels], as they are to be looked at."""
    begins = tf.reduce_any(tf.equal(tf.strings.substr(data, 0, 2), _BEGINNINGS))
    message = f"{name} must be PNG, JPEG, GIF or BMP files"
    (data,) = _passed(begins, message, [data])
    pixels = tf.io.decode_image(data, channels=channels, expand_animations=False, name=name)
    return exif.upright(pixels, exif.orientation(data))


@tf.function(input_signature=[tf.TensorSpec([], tf.string)] * 2, autograph=False)
def _read(image, mask):
    """Two files' picture, uint8 [H, W, 3], and holes, bool [H, W, 1]."""
    return _decoded(image, 3, "images"), _decoded(mask, 1, "masks") > 127


def _encoded_signature(signature):
    """``signature`` from and to encoded files, which may differ in size within a batch."""

    def one(encoded):
        image, holes = _read(*encoded)
        completed = signature(
            tf.cast(image, tf.float32)[None] / 255.0, tf.cast(holes, tf.float32)[None]
        )["completed"][0]
        completed = tf.cast(tf.round(tf.clip_by_value(completed, 0, 1) * 255), tf.uint8)
        return tf.io.encode_png(tf.where(holes, completed, image))

    @tf.function(input_signature=[ENCODED_IMAGES, ENCODED_MASKS], autograph=False)
    def encoded(images, masks):
        wanted = "images and masks must be as many files, [B] each; they are"
        files = _fitting(images, masks, (ENCODED_IMAGES, ENCODED_MASKS), wanted)
        one_file = tf.TensorSpec([], tf.string)
        return {"completed_bytes": tf.map_fn(one, tuple(files), fn_output_signature=one_file)}

    return encoded


def save(module, path, settings):
    """Writes a SavedModel; an older one at ``path`` is replaced only by a whole new one.

    Args:
      module: a ``tf.Module`` with a method ``complete(images, masks)`` that returns the network's
        float32 output, and optionally ``complete_bfloat16``, ``complete_samples(images, masks,
        seeds)`` and ``complete_samples_bfloat16``, and ``where_it_looks(images, masks)`` to int32
        [B, h, w, 2]; batch (one at least) and size are free.
      path: folder to write.
      settings: for ``assets.extra/inpainting.json``. A model that is ``whole`` is given no picture
        that is smaller than its ``image_size``.

    Raises:
      InputError: the folder cannot be written, or is no earlier export.
    """
    path = pathlib.Path(path)
    model_folders.require_replaceable(path)
    fresh = path.with_name(f".{path.name}.partial-{os.getpid()}")
    checked = _checks(settings.get("image_size", 1) if settings.get("whole") else 1)
    # Functions must hang on the module for the SavedModel to hold their variables.
    module.signature = _signature(module.complete, checked)
    module.encoded_signature = _encoded_signature(module.signature)
    signatures = {"complete": module.signature, "complete_encoded": module.encoded_signature}
    signatures["serving_default"] = module.signature
    if hasattr(module, "complete_bfloat16"):
        module.bfloat16_signature = _signature(module.complete_bfloat16, checked)
        signatures["complete_bfloat16"] = module.bfloat16_signature
    if hasattr(module, "where_it_looks"):
        module.looks_signature = _looks_signature(module.where_it_looks, checked)
        signatures["attention"] = module.looks_signature
    for name in ("complete_samples", "complete_samples_bfloat16"):
        if hasattr(module, name):
            signatures[name] = _samples_signature(getattr(module, name), checked)
            setattr(module, f"{name}_signature", signatures[name])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        tf.saved_model.save(module, str(fresh), signatures=signatures)
        extra = fresh / "assets.extra"
        extra.mkdir()
        (extra / "inpainting.json").write_text(json.dumps(settings, indent=1) + "\n")
        replace_folder(fresh, path)
    except (OSError, tf.errors.OpError) as error:
        raise InputError(f"{path}: the SavedModel could not be written ({error})") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def replace_folder(fresh, path):
    """Renames the folder ``fresh`` to ``path``, where an earlier export may lie.

    Raises:
      InputError: something else lies there, which stays.
      OSError: it cannot be renamed; what lies there stays.
    """
    model_folders.require_replaceable(path)
    old = path.with_name(f".{path.name}.old-{os.getpid()}")
    if path.exists():
        os.rename(path, old)
    try:
        os.rename(fresh, path)
    except OSError:
        if old.exists():
            os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)
