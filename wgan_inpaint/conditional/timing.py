"""How fast the conditional GAN answers and trains on this machine, by the networks of its table.

Their weights are random: speed does not depend on them.
"""

import tensorflow as tf

from common.evaluation import benchmarking
from common.pictures import masks
from common.pictures.mask_spec import MaskSpec
from common.training import folding
from wgan_inpaint.conditional import networks, room
from wgan_inpaint.conditional.settings import Conditional

TIMED = Conditional()
SAMPLES = 8  # of each picture
TRAINING_BATCH = 16


def scene(batch):
    """Random pictures, uint8 [batch, S, S, 3], with a centre hole of half their side."""
    side = TIMED.size
    images = tf.random.stateless_uniform([batch, side, side, 3], [0, 1], 0, 256, tf.int32)
    return tf.cast(images, tf.uint8), masks.draw(MaskSpec(), batch, side, side, [0, 0])


def samples_seconds(precision, xla, batch, repeats):
    """Median seconds of ``SAMPLES`` completions of each of ``batch`` pictures."""

    def built(policy):
        return networks.generator(TIMED.architecture, TIMED.size, TIMED.latent, policy)

    stored = folding.Stored(built, built("float32").get_weights())
    module = room.Completion(stored, TIMED.size, TIMED.latent, seed=0)
    complete = {"float32": module.complete_samples, "bfloat16": module.complete_samples_bfloat16}
    call = tf.function(complete[precision], jit_compile=xla == "on", autograph=False)
    images, holes = scene(batch)
    images, seeds = tf.cast(images, tf.float32) / 255, tf.range(SAMPLES)
    return benchmarking.timed(lambda: call(images, holes, seeds).numpy(), repeats)


def step_seconds(precision, xla, repeats):
    """Median seconds of a training step: one without the penalty, which comes in every eighth."""
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    trainer = room.build(TIMED, MaskSpec(), policy)
    trainer.begin(room.plan(TIMED)[0])
    step = tf.function(trainer.train_step, jit_compile=xla == "on", autograph=False)
    images, _ = scene(TRAINING_BATCH)
    return benchmarking.timed(lambda: [float(v) for v in step(images).values()], repeats)
