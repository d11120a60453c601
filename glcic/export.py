"""Exports a training run's completion network as a SavedModel.

    python -m glcic.export --run_dir=RUN --output=FOLDER

The signatures are those of ``common.export``; the graph is that of ``glcic.inference``.
"""

import tensorflow as tf
from absl import flags

from common import export, runtime, training
from common.errors import InputError, reason
from flags import export as export_flags
from flags import training as training_flags
from glcic import inference, networks

FLAGS = flags.FLAGS


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
    folded = inference.FoldedCompletion(network, architecture, tf.as_dtype(storage))
    export.save(folded, path, settings)
    print(f"SavedModel: {path}")


def restore(run, step=0):
    """The completion network of a run, as its checkpoint holds it.

    Args:
      run: a ``common.training.RunDirectory``.
      step: of the checkpoint; 0 is the latest.

    Returns:
      (Keras model, the architecture's name).

    Raises:
      InputError: no such run or checkpoint, or one that does not fit.
    """
    settings = run.read_flags()
    checkpoint = run.checkpoint(step)
    try:
        name, width = settings["architecture"], float(settings["width"])
        network = networks.completion_network(networks.ARCHITECTURES[name], width)
        reader = tf.train.Checkpoint(completion=network).restore(checkpoint)
        reader.assert_existing_objects_matched().expect_partial()
    except (KeyError, ValueError, AssertionError, tf.errors.OpError) as error:
        raise InputError(
            f"{checkpoint} holds no GLCIC completion network ({reason(error)})"
        ) from error
    return network, name


def define_flags():
    """Defines this command's flags."""
    export_flags.define()


def main():
    """Exports the latest checkpoint, or that of ``--step``."""
    training_flags.required("run_dir")
    run = training.RunDirectory(FLAGS.run_dir)
    network, name = restore(run, FLAGS.step)
    save(network, name, FLAGS.output or run.saved_model, FLAGS.storage)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
