"""The networks of a trained latent search, from a SavedModel or from a run's checkpoint."""

import dataclasses
import pathlib

import tensorflow as tf

from common import methods
from common.completion import model_folders
from common.errors import InputError, reason
from common.training import driver, folding
from common.training.runs import RunDirectory
from wgan_inpaint import METHODS, networks
from wgan_inpaint.search import latent_search

METHOD = METHODS["latent_search"]
# Of the encoder, in a checkpoint.
_UPDATES = "encoder_optimizer/_iterations/.ATTRIBUTES/VARIABLE_VALUE"

_VARIABLES = tf.saved_model.VARIABLES_DIRECTORY, tf.saved_model.VARIABLES_FILENAME
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
    found = methods.described(source, {METHOD.name: METHOD}).found
    if isinstance(found, RunDirectory):
        return fold(driver.restore(METHOD, found))
    return _from_saved_model(found)


def trained(restored):
    """The networks of a run as the search uses them.

    Args:
      restored: a ``common.training.driver.Restored``.

    Returns:
      {"generator", "critic", "encoder"}: Keras models; the generator is the averaged one with
      statistics of its own, the encoder None if the checkpoint's has not been trained.
    """
    average, critic, encoder = (restored.networks[n] for n in ("average", "critic", "encoder"))
    if restored.settings.averaging:
        networks.calibrate(average)
    updates = int(tf.train.load_variable(restored.checkpoint, _UPDATES))
    return {"generator": average, "critic": critic, "encoder": encoder if updates else None}


def fold(restored, storage=tf.float32):
    """The networks of a run, folded.

    Args:
      restored: a ``common.training.driver.Restored``.
      storage: type of the stored kernels, tf.float32 or tf.float16.

    Returns:
      ``latent_search.Networks``.
    """
    folded = {
        name: network and folding.FoldedNetwork(network, storage)
        for name, network in trained(restored).items()
    }
    own = restored.settings
    return latent_search.measure(
        latent_search.Networks(**folded, objective=own.objective, architecture=own.networks)
    )


def _from_saved_model(folder):
    settings = model_folders.read_settings(folder)
    try:
        architecture = networks.Architecture(**settings["architecture"])
        # Not the graph, which takes longer to load than all the rest, and is not run.
        reader = tf.train.load_checkpoint(str(pathlib.Path(folder, *_VARIABLES)))
        parts = {
            "generator": networks.generator(architecture),
            "critic": networks.critic(architecture),
            "encoder": networks.encoder(architecture) if settings["encoder"] else None,
        }
        folded = {name: part and folding.FoldedNetwork(part) for name, part in parts.items()}
        for name, network in folded.items():
            if network:
                for n, array in enumerate(network.arrays):
                    value = reader.get_tensor(f"{name}/arrays/{n}/.ATTRIBUTES/VARIABLE_VALUE")
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
        "architecture": dataclasses.asdict(networks_.architecture),
        "objective": networks_.objective,
        "encoder": networks_.encoder is not None,
        **{name: getattr(networks_, name) for name in SCORES},
        "image_size": networks_.size,
        "whole": True,
    }
