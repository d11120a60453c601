"""The robustness term J(theta) = |dL/dtheta|^2, by double differentiation ([1], Section 4.1).

J is exact for what L is differentiable in: the decoder's theta, given the field. Through the
straight-through codebook the encoder follows a gradient that is no function's, so that no finite
difference could confirm a J over its weights. A term that is computed every k-th step counts k
times ([2], Appendix B).

[1] 基于卷积神经网络的图像修复、绘画方法: CNNLG.
[2] T. Karras et al. Analyzing and Improving the Image Quality of StyleGAN. CVPR 2020.
"""

import tensorflow as tf


def loss_and_penalty(loss, variables):
    """L and J, scalars that can be differentiated once more.

    Args:
      loss: a function without arguments, to a scalar.
      variables: theta; those that L does not depend on count for nothing.
    """
    with tf.GradientTape() as tape:
        value = loss()
    found = [g for g in tape.gradient(value, variables) if g is not None]
    return value, tf.add_n([tf.reduce_sum(tf.square(g)) for g in found])


def penalty_gradients(loss, variables):
    """J and its gradient, zeros for what L does not depend on.

    Args:
      loss, variables: of ``loss_and_penalty``.
    """
    with tf.GradientTape() as tape:
        _, penalty = loss_and_penalty(loss, variables)
    found = tape.gradient(penalty, variables, unconnected_gradients="zero")
    return penalty, found


def strength(gradients):
    """What J is made of: the squared norm of the mean gradient, and the noise of a batch.

    Args:
      gradients: of two or more batches, each a list of tensors.

    Returns:
      {"penalty": mean J of a batch, "noise": the part that is not in the product of two independent
      batches' gradients}.
    """
    flat = [tf.concat([tf.reshape(g, [-1]) for g in one], axis=0) for one in gradients]
    stacked = tf.stack(flat)
    total = tf.reduce_mean(tf.reduce_sum(tf.square(stacked), axis=1))
    count = len(flat)
    products = tf.reduce_sum(tf.square(tf.reduce_sum(stacked, axis=0))) - count * total
    signal = products / (count * (count - 1))
    return {"penalty": float(total), "noise": float(total - signal)}
