"""How fast GLCIC (wang2020) completes and trains on this machine.

Completion is measured on the exported graph, with a centre hole of half the side; a training step
on the three phases' own graphs (without the perceptual loss, whose network needs weights); the
input pipeline on JPEG files of the training size.
"""

import pathlib
import tempfile

import cv2
import numpy as np
import tensorflow as tf

from common.evaluation import benchmarking
from common.pictures import datasets, masks
from common.serving import export
from common.training.optimizers import optimizer
from common.training.runs import Row
from glcic import inference, networks, phases

ARCHITECTURE = "wang2020"
SIZES = (128, 256)
TRAINING_BATCH = 8


def completion_seconds(precision, xla, size, batch, repeats):
    """Median seconds of one call of the exported graph."""
    architecture = networks.ARCHITECTURES[ARCHITECTURE]
    folded = inference.FoldedCompletion(networks.completion_network(architecture))
    with tempfile.TemporaryDirectory() as folder:
        export.save(folded, pathlib.Path(folder) / "model", {})
        loaded = tf.saved_model.load(str(pathlib.Path(folder) / "model"))
    name = "complete" if precision == "float32" else "complete_bfloat16"
    signature = loaded.signatures[name]
    call = tf.function(lambda x, m: signature(images=x, masks=m), jit_compile=xla == "on")
    images = tf.random.stateless_uniform([batch, size, size, 3], [0, 1])
    holes = masks.draw(masks.MaskSpec(), batch, size, size, [0, 0])
    return benchmarking.timed(lambda: call(images, holes)["completed"].numpy(), repeats)


def step_seconds(precision, xla, phase, repeats):
    """Median seconds of one training step of a phase."""
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    architecture = networks.ARCHITECTURES[ARCHITECTURE]
    built = {
        "completion": networks.completion_network(architecture, dtype=policy),
        "discriminator": networks.discriminator(architecture, dtype=policy),
    }
    trainer = phases.PhasesTrainer(
        built,
        {name: optimizer("adadelta", 1.0) for name in built},
        masks.MaskSpec(kinds=("rectangle",)),
        architecture.image_size,
        architecture.patch_size,
        phases.Weights(alpha=0.0004),
    )
    trainer.begin(Row(phase, 1, TRAINING_BATCH))
    step = tf.function(trainer.train_step, jit_compile=xla == "on", autograph=False)
    side = architecture.image_size
    images = tf.cast(
        tf.random.stateless_uniform([TRAINING_BATCH, side, side, 3], [0, 1]) * 255, tf.uint8
    )
    return benchmarking.timed(lambda: [float(v) for v in step(images).values()], repeats)


def input_images_per_second(batches=100):
    """Images/s of the input pipeline alone, read from JPEG files."""
    side = networks.ARCHITECTURES[ARCHITECTURE].image_size
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for n in range(256):
            noise = generator.integers(0, 256, (side // 8, side // 8, 3), np.uint8)
            picture = cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(f"{folder}/{n:03d}.jpg", picture)
        stream = datasets.training_batches(
            folder, datasets.Preparation(side, flip=True), TRAINING_BATCH, 0
        )
        iterator = iter(stream)
        seconds = benchmarking.timed(lambda: [next(iterator) for _ in range(batches)], 3, 1)
    return batches * TRAINING_BATCH / seconds


def print_table(what, precisions, xlas, batches, repeats):
    """Prints one Markdown table.

    Args:
      what: of "completion", "training" and "input".
      precisions: of "float32" and "bfloat16".
      xlas: of "off" and "on".
      batches: batch sizes of completion.
      repeats: calls to time.
    """
    benchmarking.print_head(ARCHITECTURE)
    for precision in precisions:
        for xla in xlas:
            if "completion" in what:
                for size in SIZES:
                    for batch in batches:
                        label = f"completion, {size} px, batch {batch}"
                        arguments = (completion_seconds, size, batch, repeats)
                        benchmarking.print_measured(label, precision, xla, batch, *arguments)
            if "training" in what:
                for phase in phases.PhasesTrainer.measures:
                    label = f"step, phase {phase}, batch {TRAINING_BATCH}"
                    arguments = (step_seconds, phase, repeats)
                    benchmarking.print_measured(label, precision, xla, TRAINING_BATCH, *arguments)
    if "input" in what:
        rate, memory = benchmarking.in_own_process(input_images_per_second)
        benchmarking.print_row(
            "input pipeline", "", "", f"{TRAINING_BATCH / rate:.4f}", f"{rate:.0f}", f"{memory:.0f}"
        )
