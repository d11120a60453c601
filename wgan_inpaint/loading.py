"""The networks of a trained latent search, from a SavedModel or from a run's checkpoint."""

import dataclasses

import tensorflow as tf

from common.completion import model_folders
from common.errors import InputError, reason
from common.training import folding
from common.training.runs import RunDirectory
from wgan_inpaint import networks, restoring, sources
from wgan_inpaint.search import latent_search

SCORES = ("score_mean", "score_std")  # of ``latent_search.Networks``, as the JSON file names them


def load_networks(source):
    """Loads generator, critic and encoder.

    Args:
      source: a SavedModel's folder, a run directory (its ``saved_model``, else its latest
        checkpoint) or "shipped:PACKAGE/NAME".

    Returns:
      ``latent_search.Networks``.

    Raises:
      InputError: nothing is there, or it is the model of another method.
    """
    found = sources.find(source)
    if isinstance(found, RunDirectory):
        return fold(restoring.restore(found))
    return _from_saved_model(found)


def fold(restored, storage=tf.float32):
    """The networks of a run, folded.

    Args:
      restored: of ``restoring.restore``.
      storage: type of the stored kernels, tf.float32 or tf.float16.

    Returns:
      ``latent_search.Networks``.
    """
    folded = {
        name: getattr(restored, name) and folding.FoldedNetwork(getattr(restored, name), storage)
        for name in ("generator", "critic", "encoder")
    }
    return latent_search.measure(
        latent_search.Networks(
            **folded, objective=restored.objective, architecture=restored.architecture
        )
    )


def _from_saved_model(folder):
    settings = model_folders.read_settings(folder)
    try:
        architecture = networks.Architecture(**settings["architecture"])
        loaded = tf.saved_model.load(str(folder))
        parts = {
            "generator": networks.generator(architecture),
            "critic": networks.critic(architecture),
            "encoder": networks.encoder(architecture) if settings["encoder"] else None,
        }
        folded = {name: part and folding.FoldedNetwork(part) for name, part in parts.items()}
        for name, network in folded.items():
            if network:
                stored = getattr(loaded, name).arrays
                for array, value in zip(network.arrays, stored, strict=True):
                    array.assign(tf.cast(value, array.dtype))
        loaded = latent_search.Networks(
            **folded, objective=settings["objective"], architecture=architecture
        )
        stored = {name: float(settings[name]) for name in SCORES if name in settings}
        # Earlier models say nothing of it.
        return dataclasses.replace(loaded, **stored) if stored else latent_search.measure(loaded)
    except Exception as error:  # TensorFlow's reader raises whatever the broken file leads to
        raise InputError(f"{folder}: the SavedModel cannot be read ({reason(error)})") from error


def describe(networks_):
    """The settings that ``load_networks`` needs to read a SavedModel, for its JSON file."""
    return {
        "method": sources.METHOD,
        "architecture": dataclasses.asdict(networks_.architecture),
        "objective": networks_.objective,
        "encoder": networks_.encoder is not None,
        **{name: getattr(networks_, name) for name in SCORES},
        "image_size": networks_.size,
        "whole": True,
    }
