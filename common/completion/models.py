"""Trained networks, as SavedModels: where they are, what they were made for, how to call them.

    model = load_model("run/saved_model")           # or "run", or "shipped:glcic/photographs"
    completed = model.complete(images, masks)       # [B, H, W, 3], [B, H, W, 1] -> [B, H, W, 3]

``common.completion.windows`` completes pictures of any size with one.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import logging

from common import runtime
from common.completion.model_folders import find_model, read_settings
from common.errors import InputError, reason


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained network, ready to be called.

    Attributes:
      complete: from images [B, H, W, 3] and masks [B, H, W, 1], numpy float32, to the completed
        images [B, H, W, 3], numpy float32. Raises an ``InputError`` that names the model if that
        fails or returns anything else: also if it is not finite in the holes, but for
        ``finite=False``.
      complete_samples: None, or from ``images``, ``masks`` and ``seeds`` int32 [K], by these names,
        to {"completed": [B, K, H, W, 3]}, numpy float32. Raises as ``complete`` with
        ``finite=False``: whose sample is not finite is for the caller to say.
      where_it_looks: None, or from images and masks, as above, to where each place of
        ``attention_pixels`` looks, int32 [B, h, w, 2]: row and column of a place.
      loaded: None, or what TensorFlow restored, with the variables of the method's module.
      settings: what it was made for, from ``assets.extra/inpainting.json``: ``hole_size`` and
        ``image_size`` in pixels, ``method``, ``whole``, ``about`` (what it knows, for people),
        ``attention_pixels`` (the side of a place), ...; may be empty.
      name: for messages.
      size: (H, W) if the network takes pictures of one size only, otherwise None.
    """

    complete: Callable
    settings: dict
    name: str
    size: tuple | None = None
    complete_samples: Callable | None = None
    where_it_looks: Callable | None = None
    loaded: object = None


def load_model(source, precision="auto"):
    """Loads a SavedModel that has the signature ``complete``.

    Args:
      source: folder of a SavedModel, or of a training run that holds ``saved_model``, or
        "shipped:PACKAGE/NAME" for one that comes with a package, "shipped:PACKAGE" for its default.
      precision: one of ``common.runtime.PRECISIONS``; where it resolves to bfloat16, the signature
        ``complete_bfloat16`` is taken if the model has it.

    Returns:
      A ``Model``.

    Raises:
      InputError: there is no SavedModel, or it lacks the signature, or its settings are broken.
    """
    folder = find_model(source)
    settings = read_settings(folder)
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow's reader raises whatever the broken file leads to
        raise InputError(f"{folder}: the SavedModel cannot be read ({reason(error)})") from error
    signature = _choose_signature(folder, loaded.signatures, precision)
    about = settings.get("about")
    logging.info("model: %s%s", source, f" ({about})" if about else "")
    size = tuple(signature.structured_input_signature[1]["images"].shape[1:3])
    return Model(
        complete=_as_function(str(source), loaded, signature),
        settings=settings,
        name=str(source),
        size=None if None in size else size,
        complete_samples=_samples(str(source), loaded, signature),
        where_it_looks=_looks(str(source), loaded) if "attention_pixels" in settings else None,
        loaded=loaded,
    )


def set_values(model, values):
    """Sets what a model lets be set: scalar variables of its module.

    Args:
      model: a ``Model``.
      values: {name: float}.

    Raises:
      InputError: it has no such variable.
    """
    for name, value in values.items():
        variable = getattr(model.loaded, name, None)
        if not isinstance(variable, tf.Variable) or variable.shape.rank:
            raise InputError(f"{model.name}: it has no {name} that can be set")
        variable.assign(value)


def _as_function(model, loaded, signature):
    """Turns a signature of a loaded SavedModel into ``Model.complete``."""

    def complete(images, masks, finite=True):
        completed = _call(model, signature, images.shape, images=images, masks=masks)
        if finite and not np.isfinite(np.where(masks == 1, completed, 0)).all():
            raise InputError(f"{model}: the model's completion is not finite; take another model")
        return completed

    complete.owner = loaded  # the signature alone does not keep its variables alive
    return complete


def _looks(model, loaded):
    """``Model.where_it_looks``, or None."""
    signature = loaded.signatures.get("attention")
    if signature is None:
        return None

    def where_it_looks(images, masks):
        return _output(model, signature, "looks", images=images, masks=masks)

    where_it_looks.owner = loaded
    return where_it_looks


def _samples(model, loaded, signature):
    """``Model.complete_samples`` in the type of the chosen ``signature``, or None."""
    bfloat16 = signature is loaded.signatures.get("complete_bfloat16")
    names = ["complete_samples_bfloat16"] * bfloat16 + ["complete_samples"]
    found = [loaded.signatures[name] for name in names if name in loaded.signatures]
    if not found:
        return None

    def complete_samples(images, masks, seeds):
        seeds = tf.convert_to_tensor(seeds, tf.int32)
        shape = (len(images), len(seeds), *images.shape[1:])
        drawn = _call(model, found[0], shape, images=images, masks=masks, seeds=seeds)
        return {"completed": drawn}

    complete_samples.owner = loaded
    return complete_samples


def _call(model, signature, shape, **inputs):
    """What a signature returns as "completed", numpy float32 of this shape.

    Raises:
      InputError: it fails, or returns something else; it names the ``model``.
    """
    completed = _output(model, signature, "completed", **inputs)
    if completed.shape != tuple(shape) or completed.dtype != np.float32:
        raise InputError(
            f"{model}: the model returns {completed.dtype} {list(completed.shape)}, not float32 "
            f"{list(shape)}"
        )
    return completed


def _output(model, signature, name, **inputs):
    """One output of a signature as a NumPy array; an ``InputError`` if it fails."""
    try:
        outputs = signature(**{key: tf.convert_to_tensor(x) for key, x in inputs.items()})
        return outputs[name].numpy()
    except tf.errors.ResourceExhaustedError:
        raise  # commands say what to do
    except (tf.errors.OpError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{model}: the model fails ({reason(error)})") from error


def _choose_signature(folder, signatures, precision):
    name = "complete"
    if (
        runtime.choose_precision(precision) == "mixed_bfloat16"
        and "complete_bfloat16" in signatures
    ):
        name = "complete_bfloat16"
    if name not in signatures:
        found = ", ".join(sorted(signatures)) or "none"
        raise InputError(
            f"{folder}: a SavedModel without the signature 'complete' (it has: {found})"
        )
    signature = signatures[name]
    wanted = {
        "images": tf.TensorSpec([None, None, None, 3], tf.float32),
        "masks": tf.TensorSpec([None, None, None, 1], tf.float32),
    }
    inputs = signature.structured_input_signature[1]
    fits = inputs.keys() == wanted.keys() and all(
        spec.dtype == tf.float32
        and spec.shape.is_compatible_with(wanted[key].shape)
        and spec.shape.rank == 4
        for key, spec in inputs.items()
    )
    if not fits or "completed" not in signature.structured_outputs:
        raise InputError(
            f"{folder}: the signature '{name}' does not take float32 images [B, H, W, 3] and masks "
            "[B, H, W, 1] and return 'completed'"
        )
    return signature
