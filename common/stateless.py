"""Random integers that are a function of a seed: the same eagerly, in a graph and with XLA.

TensorFlow's generators and XLA's agree on integers only. TensorFlow makes dozens of operations of
every draw; here they are built once, and each draw is one operation that calls them, in whatever
shape.
"""

import math

import tensorflow as tf


def integers(shape, seed):
    """Draws from all of int32.

    Args:
      shape: of the result, a sequence or a tensor.
      seed: two integers.

    Returns:
      int32 of that shape.
    """
    return _shaped(_integers, shape, tf.convert_to_tensor(seed))


def numbers(shape, seed, salt):
    """Draws from [0, 2^31 - 1), for one of several purposes of a seed.

    Args:
      shape: of the result, a sequence or a tensor.
      seed: two integers.
      salt: an integer, another one for each purpose.

    Returns:
      int32 of that shape.
    """
    return _shaped(_numbers, shape, tf.convert_to_tensor(seed), tf.constant(salt))


def _shaped(drawn, shape, *seed):
    count = tf.reduce_prod(shape) if tf.is_tensor(shape) else math.prod(shape)
    return tf.reshape(drawn(tf.convert_to_tensor(count), *seed), shape)


@tf.function(autograph=False)
def _integers(count, seed):
    return tf.random.stateless_uniform([count], seed, None, None, tf.int32, alg="philox")


@tf.function(autograph=False)
def _numbers(count, seed, salt):
    seed = tf.random.experimental.stateless_fold_in(seed, salt, alg="philox")
    return tf.random.stateless_uniform([count], seed, 0, 2**31 - 1, tf.int32, alg="philox")
