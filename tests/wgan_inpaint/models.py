"""Exported models of networks that were never trained."""

import dataclasses

import tensorflow as tf

from common.serving import export
from wgan_inpaint import inference, loading


class Kept(tf.Module):
    """The networks without a search: ``loading`` reads no more of a model, and it is soon saved."""

    def __init__(self, networks_):
        super().__init__()
        self.generator, self.critic = networks_.generator, networks_.critic
        self.encoder = networks_.encoder

    def complete(self, images, holes):
        """As it was given."""
        del holes
        return images


def save(networks_, settings, path, runs=True):
    """Writes the SavedModel that a run with these ``latent_search.Networks`` would export.

    Args:
      networks_: the networks.
      settings: of the search.
      path: folder to write.
      runs: its graph holds the search; else it is for what loads the networks from it.
    """
    described = {"method": "latent_search", **loading.describe(networks_)}
    described["completing"] = dataclasses.asdict(settings)
    module = inference.Completion(networks_, settings) if runs else Kept(networks_)
    export.save(module, path, described)
