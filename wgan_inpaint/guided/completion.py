"""CNNLG as a SavedModel, pixels to pixels, and the command that completes with it."""

import functools

import tensorflow as tf

from common.completion import crops
from common.completion.models import load_model, set_values
from common.pictures import cropping
from common.training import folding
from wgan_inpaint.guided import networks, prediction

SET = ("smoothness", "detail")  # variables of the module


class _Kept(tf.Module):
    """The weights of a Keras layer as plain variables: a server's session does not find Keras's."""

    def __init__(self, layer):
        super().__init__(name=layer.name)
        for weight in layer.weights:
            variable = tf.Variable(weight.value, trainable=False, name=weight.name)
            setattr(self, weight.name, variable)


class _Codebook(_Kept):
    nearest, vectors = networks.Codebook.nearest, networks.Codebook.vectors


class Completion(tf.Module):
    """CNNLG as a function of images and masks of any size, on the crops around the holes.

    Attributes:
      smoothness, detail: of ``settings.Completing``: variables, which a loaded SavedModel has too
        and whoever serves it can set.
    """

    def __init__(self, trained, build, own, completing, storage=tf.float32):
        """Keeps the networks.

        Args:
          trained: {name: network}, of ``wgan_inpaint.guided.room.networks``.
          build: from a name and a Keras dtype policy to such a network.
          own: ``settings.Guided``.
          completing: ``settings.Completing``.
          storage: type of the stored weights.
        """
        super().__init__(name="cnnlg")
        for name in SET:
            value = tf.Variable(getattr(completing, name), trainable=False, name=name)
            setattr(self, name, value)
        self.stored = {
            name: folding.Stored(
                functools.partial(build, name), trained[name].get_weights(), storage
            )
            for name in ("encoder", "guides", "gradients", "completer")
        }
        self.codebook, self.tables = _Codebook(trained["codebook"]), _Kept(trained["tables"])
        self._size, self._shape = own.size, (own.stride, own.mixtures)

    def _parts(self):
        call = {name: stored.at(tf.float32) for name, stored in self.stored.items()}
        return prediction.Networks(
            call["encoder"],
            self.codebook,
            call["guides"],
            self.tables,
            call["gradients"],
            call["completer"],
            *self._shape,
        )

    def _cut(self, images, holes):
        squares = cropping.squares(holes, self._size)
        return squares, *cropping.cut(images, holes, squares, self._size)

    def complete(self, images, holes):
        """By both guides, [B, H, W, 3]."""
        squares, crop, hole = self._cut(images, holes)
        pictures = prediction.complete(self._parts(), crop, hole, self.smoothness, self.detail)
        return cropping.put_back(pictures, squares, *tf.unstack(tf.shape(images)[1:3]))

    def complete_samples(self, images, holes, seeds):
        """With a field drawn for each of ``seeds``, [B, K, H, W, 3]."""
        squares, crop, hole = self._cut(images, holes)
        pictures = prediction.complete_samples(
            self._parts(), crop, hole, seeds, self.smoothness, self.detail
        )
        return cropping.put_back_samples(pictures, squares, *tf.unstack(tf.shape(images)[1:3]))


def completer(completing, writing, source, options):
    """The work of ``common.completion.files`` with a model: the expected field, then samples.

    Args:
      completing: ``settings.Completing``.
      writing: ``wgan_inpaint.settings.Samples``.
      source: of ``common.completion.models.load_model``.
      options: ``common.completion.files.Options``.

    Raises:
      InputError: no such model, or one that has nothing to set.
    """
    model = load_model(source, options.precision)
    set_values(model, {name: getattr(completing, name) for name in SET})
    expected = functools.partial(model.complete, finite=False)  # a batch's: told picture by picture
    return crops.Samples.of(model, options, writing.samples, completing.seed, expected)
