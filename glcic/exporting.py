"""A training run's completion network, GLCIC's or a baseline's: restored, and as a SavedModel."""

import tensorflow as tf

from common.errors import InputError, reason
from common.serving import export
from glcic import baselines, inference, networks
from glcic.geometry import geometry as geometry_of


def save(network, name, path, storage="float32"):
    """Writes a completion network's SavedModel.

    Args:
      network: as ``networks.completion_network`` builds it.
      name: its architecture's name in ``networks.ARCHITECTURES``.
      path: folder to write.
      storage: type of the stored weights, "float32" or "float16".
    """
    architecture = networks.ARCHITECTURES[name]
    settings = {
        "method": "glcic",
        "architecture": name,
        "image_size": architecture.image_size,
        "hole_size": architecture.patch_size,
    }
    folded = inference.FoldedCompletion(network, tf.as_dtype(storage))
    export.save(folded, path, settings)
    print(f"SavedModel: {path}")


def save_baseline(network, method, geometry, path, storage="float32"):
    """Writes a baseline's SavedModel.

    Args:
      network: as ``baselines.completion_network`` builds it.
      method: one of ``baselines.METHODS``.
      geometry: the network's ``baselines.Geometry``.
      path: folder to write.
      storage: type of the stored weights, "float32" or "float16".
    """
    settings = {
        "method": method,
        "image_size": baselines.SIZE,
        "hole_size": geometry.hole,
        "overlap": geometry.overlap,
    }
    export.save(baselines.FoldedBaseline(network, geometry, tf.as_dtype(storage)), path, settings)
    print(f"SavedModel: {path}")


def restore(run, step=0):
    """The completion network of a GLCIC run, as its checkpoint holds it.

    Args:
      run: a ``common.training.runs.RunDirectory``.
      step: of the checkpoint; 0 is the latest.

    Returns:
      (Keras model, the architecture's name).

    Raises:
      InputError: no such run or checkpoint, or one that does not fit.
    """

    def build(settings):
        name = settings["architecture"]
        architecture = networks.ARCHITECTURES[name]
        return networks.completion_network(architecture, float(settings["width"])), name

    return _restore(run, step, build, "GLCIC")


def restore_baseline(run, step=0):
    """The same of a baseline's run: (Keras model, its ``baselines.Geometry``)."""

    def build(settings):
        names = ("hole_size", "overlap")
        geometry = geometry_of(
            settings["mask_kind"].split(","), *(int(settings[name]) for name in names)
        )
        return baselines.completion_network(geometry, float(settings["width"])), geometry

    return _restore(run, step, build, "baseline's")


def _restore(run, step, build, kind):
    settings = run.read_flags()
    checkpoint = run.checkpoint(step)
    try:
        network, described = build(settings)
        reader = tf.train.Checkpoint(completion=network).restore(checkpoint)
        reader.assert_existing_objects_matched().expect_partial()
    except (KeyError, ValueError, AssertionError, tf.errors.OpError) as error:
        raise InputError(
            f"{checkpoint} holds no {kind} completion network ({reason(error)})"
        ) from error
    return network, described


def export_run(run, path, step=0, storage="float32"):
    """Writes the SavedModel of a run.

    Args:
      run: a ``common.training.runs.RunDirectory``.
      path: folder to write.
      step: of the checkpoint; 0 is the latest.
      storage: type of the stored weights, "float32" or "float16".

    Raises:
      InputError: no such run or checkpoint, or one that does not fit.
    """
    method = run.read_flags().get("method", "glcic")
    if method in baselines.METHODS:
        network, geometry = restore_baseline(run, step)
        save_baseline(network, method, geometry, path, storage)
        return
    network, name = restore(run, step)
    save(network, name, path, storage)
