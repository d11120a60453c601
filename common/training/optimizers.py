"""The optimizers of the papers.

Keras writes a variable's step of Adam or Adadelta out in some thirty operations, which where a
network has a hundred variables are a third of its graph, and some of which make a tensor of the
variable's size. TensorFlow has each in one. What is computed, and the names of what a checkpoint
holds, are Keras's.
"""

import keras
import tensorflow as tf

from common.errors import InputError
from common.training.runs import OPTIMIZERS


class Adam(keras.optimizers.Adam):
    """Adam (Kingma & Ba 2015, as the end of Section 2 has it; no AMSGrad), in one operation."""

    def apply(self, grads, trainable_variables=None):
        """A step of every variable; what they share is computed once."""
        beta_1, beta_2 = tf.constant(self.beta_1), tf.constant(self.beta_2)
        done = tf.cast(self.iterations + 1, tf.float32)
        self._shared = {
            "beta1": beta_1,
            "beta2": beta_2,
            "beta1_power": beta_1**done,
            "beta2_power": beta_2**done,
            "epsilon": tf.constant(self.epsilon),
        }
        super().apply(grads, trainable_variables)
        self._shared = None  # they belong to the graph of this step

    def update_step(self, gradient, variable, learning_rate):
        """One variable's step."""
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].handle,
            v=self._velocities[index].handle,
            lr=learning_rate,
            grad=gradient,
            **self._shared,
        )


class Adadelta(keras.optimizers.Adadelta):
    """Adadelta (Zeiler 2012, Algorithm 1), in one operation."""

    def update_step(self, gradient, variable, learning_rate):
        """One variable's step."""
        index = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdadelta(
            var=variable.handle,
            accum=self._accumulated_grads[index].handle,
            accum_update=self._accumulated_delta_vars[index].handle,
            lr=learning_rate,
            rho=self.rho,
            epsilon=self.epsilon,
            grad=gradient,
        )


class TorchRMSprop(keras.optimizers.Optimizer):
    """RMSProp as Torch has it, whose learning rates the WGAN paper's are.

    ``v = 0.99 v + 0.01 g^2; w = w - lr g / (sqrt(v) + 1e-8)``. Keras and TensorFlow have epsilon
    inside the root: with a clipped critic's tiny gradients its first steps are about a hundred
    times smaller.
    """

    def __init__(self, learning_rate, **kwargs):
        super().__init__(learning_rate=learning_rate, name="torch_rmsprop", **kwargs)
        self.rho, self.epsilon = 0.99, 1e-8

    def build(self, variables):
        """Makes v for each variable."""
        if not self.built:
            super().build(variables)
            self.squares = self.add_optimizer_variables(variables, "square")

    def update_step(self, gradient, variable, learning_rate):
        """One variable's step."""
        square = self.squares[self._get_variable_index(variable)]
        self.assign(square, self.rho * square + (1 - self.rho) * tf.square(gradient))
        step = gradient / (tf.sqrt(square.value) + self.epsilon)
        self.assign_sub(variable, tf.cast(learning_rate, variable.dtype) * step)


def optimizer(name, learning_rate, beta_1=0.9, beta_2=0.999, decay_steps=0):
    """An optimizer with the constants of the paper that it comes from.

    Args:
      name: one of ``OPTIMIZERS``: "adadelta" (Zeiler 2012: rho 0.95, epsilon 1e-6), "adam"
        (epsilon 1e-8) or "rmsprop" (Torch's: alpha 0.99, epsilon 1e-8 outside the root).
      learning_rate: peak learning rate; Zeiler's method takes 1.
      beta_1, beta_2: of Adam.
      decay_steps: falls to zero on a cosine over so many steps; 0 keeps it constant.

    Raises:
      InputError: there is no optimizer of this name.
    """
    rate = learning_rate
    if decay_steps:
        rate = keras.optimizers.schedules.CosineDecay(learning_rate, decay_steps)
    if name == "adadelta":
        return Adadelta(rate, rho=0.95, epsilon=1e-6)
    if name == "adam":
        return Adam(rate, beta_1=beta_1, beta_2=beta_2, epsilon=1e-8)
    if name == "rmsprop":
        return TorchRMSprop(rate)
    raise InputError(f"--optimizer={name}: choose one of {', '.join(OPTIMIZERS)}")
