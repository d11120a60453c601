"""Exports a training run as one SavedModel with the whole search inside its graph.

    python -m wgan_inpaint.export --run_dir=RUN --output=FOLDER --iterations=300

The signatures are those of ``common.serving.export``: pictures of any size, completed on the crop
around their hole. The flags of the search become constants of the graph.
"""

import dataclasses

import tensorflow as tf
from absl import flags

from common import runtime
from common.pictures import cropping
from common.serving import export
from common.training import loop as training
from flags import export as export_flags
from flags import runtime as runtime_flags
from flags import search as search_flags
from flags import training as training_flags
from wgan_inpaint import loading, restoring
from wgan_inpaint.search import latent_search

FLAGS = flags.FLAGS


class Completion(tf.Module):
    """Latent search as a function of images and masks of any size."""

    def __init__(self, networks_, settings, jit_compile=False):
        """Keeps the networks.

        Args:
          networks_: ``latent_search.Networks``.
          settings: ``latent_search.Settings``.
          jit_compile: compile the search with XLA wherever the model is run.
        """
        super().__init__(name="wgan_inpaint")
        self.generator = networks_.generator
        self.critic, self.encoder = networks_.critic, networks_.encoder
        self._search = {
            dtype: latent_search.LatentSearch(networks_, settings, dtype, jit_compile)
            for dtype in (tf.float32, tf.bfloat16)
        }

    def complete(self, images, holes):
        """G(z) [B, H, W, 3] in [0, 1] on the crops around the holes."""
        return self._run(images, holes, tf.float32)

    def complete_bfloat16(self, images, holes):
        """The same with the networks in bfloat16."""
        return self._run(images, holes, tf.bfloat16)

    def _run(self, images, holes, dtype):
        search = self._search[dtype]
        squares = cropping.squares(holes, search.size)
        crops, crop_holes = cropping.cut(images, holes, squares, search.size)
        pictures = search.run(crops, crop_holes).pictures
        return cropping.put_back(pictures, squares, tf.shape(images)[1], tf.shape(images)[2])


def save(networks_, settings, path, jit_compile=False):
    """Writes the SavedModel.

    Args:
      networks_: ``latent_search.Networks``.
      settings: ``latent_search.Settings``.
      path: folder to write.
      jit_compile: compile the search with XLA wherever the model is run.
    """
    described = {**loading.describe(networks_), "search": dataclasses.asdict(settings)}
    export.save(Completion(networks_, settings, jit_compile), path, described)
    print(f"SavedModel: {path}")


def define_flags():
    """Defines this command's flags."""
    export_flags.define()
    runtime_flags.define_xla()
    search_flags.define()


def main():
    """Exports the latest checkpoint, or that of ``--step``."""
    training_flags.required("run_dir")
    run = training.RunDirectory(FLAGS.run_dir)
    restored = restoring.restore(run, FLAGS.step)
    networks_ = loading.fold(restored, tf.as_dtype(FLAGS.storage))
    settings = search_flags.settings(networks_)
    jit_compile = runtime.choose_xla(FLAGS.xla)
    save(networks_, settings, FLAGS.output or run.saved_model, jit_compile)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
