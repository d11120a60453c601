"""SavedModels that anybody can run with TensorFlow alone.

Every trained method is exported with the same signatures:

    complete(images float32 [B, H, W, 3] in [0, 1], masks float32 [B, H, W, 1], 1 = missing)
        -> {"completed": float32 [B, H, W, 3]}
    complete_encoded(images string [B], masks string [B])
        -> {"completed": string [B]}

The second takes PNG, JPEG, GIF or BMP files as bytes, the masks' white being missing, and
returns PNG files, as TensorFlow Serving's REST API with base64 wants it. Both return known
pixels as they were. ``complete_bfloat16`` is the first, computed in bfloat16. A method that draws
its completions also has

    complete_samples(images, masks, seeds int32 [K]) -> {"completed": float32 [B, K, H, W, 3]}

and ``complete_samples_bfloat16``: a completion of each picture for each seed.

``assets.extra/inpainting.json`` says what the model was made for: ``method``, ``image_size``
(training images) and ``hole_size`` (thickest hole), in pixels.
"""

import json
import os
import pathlib
import shutil

import tensorflow as tf

from common.errors import InputError

IMAGES = tf.TensorSpec([None, None, None, 3], tf.float32, name="images")
MASKS = tf.TensorSpec([None, None, None, 1], tf.float32, name="masks")
SEEDS = tf.TensorSpec([None], tf.int32, name="seeds")
ENCODED_IMAGES = tf.TensorSpec([None], tf.string, name="images")
ENCODED_MASKS = tf.TensorSpec([None], tf.string, name="masks")


def _signature(complete, **options):
    """``complete`` with binary masks, hidden pixels zeroed and known pixels put back."""

    @tf.function(input_signature=[IMAGES, MASKS], autograph=False, **options)
    def signature(images, masks):
        holes = masks > 0.5
        hidden = tf.where(holes, 0.0, images)
        completed = complete(hidden, tf.cast(holes, tf.float32))
        return {"completed": tf.where(holes, completed, images)}

    return signature


def _samples_signature(complete):
    """``_signature`` with a completion for each of ``seeds``."""

    @tf.function(input_signature=[IMAGES, MASKS, SEEDS], autograph=False)
    def signature(images, masks, seeds):
        holes = masks > 0.5
        hidden = tf.where(holes, 0.0, images)
        completed = complete(hidden, tf.cast(holes, tf.float32), seeds)
        return {"completed": tf.where(holes[:, None], completed, images[:, None])}

    return signature


def _encoded_signature(signature):
    """``signature`` from and to encoded files, which may differ in size within a batch."""

    def one(encoded):
        image, mask = (
            tf.io.decode_image(data, channels=channels, expand_animations=False)
            for data, channels in zip(encoded, (3, 1), strict=True)
        )
        tf.debugging.assert_equal(
            tf.shape(image)[:2], tf.shape(mask)[:2], "an image and its mask differ in size"
        )
        completed = signature(
            tf.cast(image, tf.float32)[None] / 255.0, tf.cast(mask > 127, tf.float32)[None]
        )["completed"][0]
        completed = tf.where(
            mask > 127, tf.cast(tf.round(tf.clip_by_value(completed, 0, 1) * 255), tf.uint8), image
        )
        return tf.io.encode_png(completed)

    @tf.function(input_signature=[ENCODED_IMAGES, ENCODED_MASKS], autograph=False)
    def encoded(images, masks):
        return {"completed": tf.map_fn(one, (images, masks), fn_output_signature=tf.string)}

    return encoded


def save(module, path, settings):
    """Writes a SavedModel; an older one at ``path`` is replaced only by a whole new one.

    Args:
      module: a ``tf.Module`` with a method ``complete(images, masks)`` that returns the network's
        float32 output, and optionally ``complete_bfloat16``, ``complete_samples(images, masks,
        seeds)`` and ``complete_samples_bfloat16``; batch and size are free.
      path: folder to write.
      settings: for ``assets.extra/inpainting.json``.

    Raises:
      InputError: the folder cannot be written.
    """
    path = pathlib.Path(path)
    fresh = path.with_name(f".{path.name}.partial-{os.getpid()}")
    # Functions must hang on the module for the SavedModel to hold their variables.
    module.signature = _signature(module.complete)
    module.encoded_signature = _encoded_signature(module.signature)
    signatures = {"complete": module.signature, "complete_encoded": module.encoded_signature}
    signatures["serving_default"] = module.signature
    if hasattr(module, "complete_bfloat16"):
        module.bfloat16_signature = _signature(module.complete_bfloat16)
        signatures["complete_bfloat16"] = module.bfloat16_signature
    for name in ("complete_samples", "complete_samples_bfloat16"):
        if hasattr(module, name):
            signatures[name] = _samples_signature(getattr(module, name))
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
    """Renames the folder ``fresh`` to ``path``, which may exist."""
    old = path.with_name(f".{path.name}.old-{os.getpid()}")
    if path.exists():
        os.rename(path, old)
    os.rename(fresh, path)
    shutil.rmtree(old, ignore_errors=True)
