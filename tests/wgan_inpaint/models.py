"""Exported models of networks that were never trained."""

import dataclasses

from common.serving import export
from wgan_inpaint import inference, loading


def save(networks_, settings, path):
    """Writes the SavedModel that a run with these ``latent_search.Networks`` would export."""
    described = {"method": "latent_search", **loading.describe(networks_)}
    described["completing"] = dataclasses.asdict(settings)
    export.save(inference.Completion(networks_, settings), path, described)
