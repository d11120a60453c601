"""How fast CNNLG completes and trains on this machine, by the networks of its table.

Their weights are random: but for the solver's iterations, speed does not depend on them.
"""

import tensorflow as tf

from common.evaluation import benchmarking
from common.pictures import masks
from common.pictures.mask_spec import MaskSpec
from wgan_inpaint.guided import prediction, room
from wgan_inpaint.guided.settings import GUIDANCE, Guided

TIMED = Guided(robustness=0.01)
PHASES = ("generation", "guides", "gradients", "refinement")
TRAINING_BATCH = 16


def _trainer(policy="float32"):
    trainer = room.build(TIMED, MaskSpec(), policy)
    trainer.prepare(lambda count: _scene(count)[0].numpy())
    return trainer


def _scene(batch):
    """Random pictures, uint8 [batch, S, S, 3], with a centre hole of half their side."""
    side = TIMED.size
    images = tf.random.stateless_uniform([batch, side, side, 3], [0, 1], 0, 256, tf.int32)
    return tf.cast(images, tf.uint8), masks.draw(MaskSpec(), batch, side, side, [0, 0])


def completion_seconds(precision, xla, batch, repeats):
    """Median seconds of completing ``batch`` pictures; only "float32" is to be had."""
    if precision != "float32":
        raise ValueError(f"no completion in {precision}")
    parts = _trainer().parts

    @tf.function(jit_compile=xla == "on", autograph=False)
    def run(images, holes):
        return prediction.complete(parts, images, holes, *GUIDANCE["both"])

    images, holes = _scene(batch)
    images = tf.cast(images, tf.float32) / 255
    return benchmarking.timed(lambda: run(images, holes).numpy(), repeats)


def step_seconds(precision, xla, phase, repeats):
    """Median seconds of a training step of a phase; of "generation", one without J."""
    trainer = _trainer("mixed_bfloat16" if precision == "bfloat16" else "float32")
    trainer.begin(next(row for row in room.plan(TIMED) if row.phase == phase))
    step = tf.function(trainer.train_step, jit_compile=xla == "on", autograph=False)
    images, _ = _scene(TRAINING_BATCH)
    return benchmarking.timed(lambda: [float(v) for v in step(images).values()], repeats)
