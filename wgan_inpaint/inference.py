"""Latent search as a SavedModel, with the whole search inside its graph."""

import dataclasses

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
        settings = settings.settled(networks_.encoder is not None)

        def searches(one):
            return {
                dtype: latent_search.LatentSearch(networks_, one, dtype, jit_compile)
                for dtype in (tf.float32, tf.bfloat16)
            }

        self._search = self._seeded = searches(settings)
        if settings.init == "encoder":  # its guess is one and the same for every seed
            self._seeded = searches(dataclasses.replace(settings, init="ranked"))

    def complete(self, images, holes):
        """G(z) [B, H, W, 3] in [0, 1] on the crops around the holes."""
        return self._run(images, holes, tf.float32)

    def complete_bfloat16(self, images, holes):
        """The same with the networks in bfloat16."""
        return self._run(images, holes, tf.bfloat16)

    def complete_samples(self, images, holes, seeds):
        """A completion by a search of its own for each of ``seeds``, [B, K, H, W, 3]."""
        return self._run_samples(images, holes, seeds, tf.float32)

    def complete_samples_bfloat16(self, images, holes, seeds):
        """The same with the networks in bfloat16."""
        return self._run_samples(images, holes, seeds, tf.bfloat16)

    def _run_samples(self, images, holes, seeds, dtype):
        search = self._seeded[dtype]
        squares = cropping.squares(holes, search.size)
        crops, crop_holes = cropping.cut(images, holes, squares, search.size)
        pictures = search.samples(crops, crop_holes, seeds)
        return cropping.put_back_samples(pictures, squares, *tf.unstack(tf.shape(images)[1:3]))

    def _run(self, images, holes, dtype):
        search = self._search[dtype]
        squares = cropping.squares(holes, search.size)
        crops, crop_holes = cropping.cut(images, holes, squares, search.size)
        pictures = search.run(crops, crop_holes).pictures
        return cropping.put_back(pictures, squares, tf.shape(images)[1], tf.shape(images)[2])
