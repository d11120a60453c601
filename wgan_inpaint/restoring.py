"""The networks of a training run, as one of its checkpoints holds them."""

import dataclasses

import keras
import tensorflow as tf

from common.errors import InputError, reason
from wgan_inpaint import adversarial, networks


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a run has trained, in float32.

    Attributes:
      architecture: its ``networks.Architecture``.
      objective: name of what it was trained for, one of ``adversarial.OBJECTIVES``.
      generator: the averaged generator, a Keras model.
      critic: the critic, a Keras model.
      encoder: the encoder, a Keras model, or None if the checkpoint's has not been trained.
    """

    architecture: networks.Architecture
    objective: str
    generator: keras.Model
    critic: keras.Model
    encoder: keras.Model | None


def architecture(settings):
    """The ``networks.Architecture`` that a run's flags describe.

    Args:
      settings: {name: value} of its ``flags.txt``.

    Raises:
      KeyError, ValueError: they are not of a run of this package.
    """
    result = networks.Architecture(
        kind=settings["architecture"],
        size=int(settings["image_size"]),
        width=int(settings["width"]),
        latent=int(settings["latent"]),
        generator_norm=settings["generator_norm"],
        critic_norm=settings["critic_norm"],
    )
    norms = {result.generator_norm, result.critic_norm}
    known = result.kind in networks.KINDS and norms <= set(networks.NORMS)
    if not known or result.size not in networks.SIZES:
        raise ValueError(f"unknown architecture {result}")
    return result


def restore(run, step=0):
    """Builds the networks of a run and reads their weights.

    Args:
      run: a ``common.training.loop.RunDirectory``.
      step: of the checkpoint; 0 is the latest.

    Returns:
      ``Restored``.

    Raises:
      InputError: no such run or checkpoint, or one that does not fit.
    """
    settings = run.read_flags()
    checkpoint = run.checkpoint(step)
    try:
        objective = settings["objective"]
        if objective not in adversarial.OBJECTIVES:
            raise ValueError(f"unknown objective {objective}")
        built, averaged = architecture(settings), float(settings["averaging"]) > 0
        parts = {
            "average": networks.generator(built),
            "critic": networks.critic(built),
            "encoder": networks.encoder(built),
        }
        encoder_updates = tf.Variable(0, dtype=tf.int64)
        counter = tf.train.Checkpoint(_iterations=encoder_updates)
        reader = tf.train.Checkpoint(**parts, encoder_optimizer=counter).restore(checkpoint)
        reader.assert_existing_objects_matched().expect_partial()
    except (KeyError, ValueError, AssertionError, tf.errors.OpError) as error:
        raise InputError(
            f"{checkpoint} holds no generator, critic and encoder of latent search "
            f"({reason(error)})"
        ) from error
    if averaged:
        adversarial.calibrate(parts["average"])
    encoder = parts["encoder"] if int(encoder_updates) else None
    return Restored(built, objective, parts["average"], parts["critic"], encoder)
