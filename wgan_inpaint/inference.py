"""Latent search as a SavedModel, with the whole search inside its graph."""

import tensorflow as tf

from common.pictures import cropping
from wgan_inpaint.search import latent_search


class Completion(tf.Module):
    """Latent search as a function of images and masks of any size."""

    def __init__(self, networks_, settings, jit_compile=False):
        """Keeps the networks.

        Args:
          networks_: ``latent_search.Networks``.
          settings: ``wgan_inpaint.search.settings.Settings``.
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
