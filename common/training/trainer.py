"""What every trained method's trainer has: networks, their optimizers, seeds, means, a checkpoint.

A method derives from ``Trainer``, names what its phases measure and draw, and adds the step of each
phase. The names of networks, optimizers and counters are those of a run's checkpoint.
"""

import keras
import numpy as np
import tensorflow as tf


class Trainer(keras.Model):
    """Networks with one ``train_step`` for each phase; ``common.training.loop.fit`` trains it.

    The step of phase "joint" is the method ``joint_step(data) -> {measure: scalar}``; it is traced
    once ``begin`` has chosen the phase.

    Attributes:
      measures: {phase: names of what its step may return}.
      draws: purposes of random numbers.
      networks: {name: ``keras.Model``}.
      optimizers: {name: optimizer} of those networks that are trained.
      counters: {name: int64 variable}.
      step: int64 variable, steps done.
      phase: name of the present one.
    """

    measures = {}
    draws = ()

    def __init__(self, networks, optimizers, seed=0, counters=()):
        """Makes a trainer.

        Args:
          networks: {name: ``keras.Model``}; frozen ones before their optimizers are built.
          optimizers: {name: ``keras.optimizers.Optimizer``} for those that are trained.
          seed: of everything random.
          counters: names of integers that training counts and a checkpoint keeps.
        """
        super().__init__()
        self.networks, self.optimizers, self.seed = networks, optimizers, seed
        for name, optimizer in optimizers.items():
            optimizer.build(networks[name].trainable_variables)
        self.step = _counter("step")
        self.counters = {name: _counter(name) for name in counters}
        self.phase = next(iter(self.measures))
        names = dict.fromkeys(name for names in self.measures.values() for name in names)
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        self.compile(optimizer="sgd")  # ``fit`` wants one; it is never used

    def checkpointed(self):
        """{name: trackable} of everything that training changes, but the step."""
        states = {f"{name}_optimizer": one for name, one in self.optimizers.items()}
        return {**self.networks, **states, **self.counters}

    def begin(self, row):
        """Chooses what the next steps train.

        Args:
          row: ``common.training.runs.Row``.

        Raises:
          ValueError: the method has no such phase.
        """
        if row.phase not in self.measures:
            raise ValueError(f"no phase {row.phase!r}")
        self.phase = row.phase

    def damage(self, job):
        """The ``common.training.damage.Damage`` of the training pictures; None: they are whole.

        Args:
          job: ``common.training.runs.Job``.
        """
        del job

    def prepare(self, first, pictures=None):
        """What a new run begins with; a resumed one has it from its checkpoint.

        Args:
          first: from a number to so many first training images, uint8 [N, S, S, 3].
          pictures: how many there are before they come again; None: many.
        """

    def example(self, name, images):
        """What a network takes, to measure what its layers see: ``folding.unfold``.

        Args:
          name: of a network in the room's ``KEPT``.
          images: float32 [N, S, S, 3] in [0, 1], training images.
        """

    @property
    def metrics(self):
        """The running means that ``fit`` resets."""
        return list(self._means.values())

    def train_step(self, data):
        """One step of the phase; a batch to {measure: mean since reset}."""
        values = getattr(self, f"{self.phase}_step")(data)
        self.step.assign_add(1)
        for name, value in values.items():
            self._means[name].update_state(value)
        return {name: self._means[name].result() for name in values}

    def apply(self, tape, loss, name):
        """Updates the network of this name by the gradient of its loss."""
        variables = self.networks[name].trainable_variables
        self.optimizers[name].apply(tape.gradient(loss, variables), variables)

    def follow(self, average, network, decay, done):
        """Moves the weights of one network towards another's: a moving average.

        Args:
          average, network: names.
          decay: of the average; in the beginning it is less, so that the random weights before the
            first updates soon count for nothing.
          done: updates of the network before this one, a scalar tensor.
        """
        done = tf.cast(done, tf.float32)
        keep = tf.minimum(decay, (1 + done) / (10 + done))
        weights = zip(self.networks[average].weights, self.networks[network].weights, strict=True)
        for mean, new in weights:
            mean.assign(keep * mean.value + (1 - keep) * new.value)

    def random(self, purpose):
        """The seed of a stateless generator: int32 [2], another one in each step.

        Args:
          purpose: one of ``draws``.
        """
        step = self.step * len(self.draws) + self.draws.index(purpose)
        return tf.stack([tf.constant(self.seed, tf.int32), tf.cast(step, tf.int32)])


def _counter(name):
    return tf.Variable(0, dtype=tf.int64, trainable=False, name=name)


def describe(networks):
    """Parameter counts of the networks that are trained, as text.

    Args:
      networks: {name: ``keras.Model``}; frozen ones are left out.
    """
    lines = []
    for network in networks.values():
        trained = sum(int(np.prod(v.shape)) for v in network.trainable_variables)
        if trained:
            lines.append(
                f"{network.name}: {network.count_params():,} parameters, {trained:,} trained\n"
            )
    return "".join(lines)
