"""Trains GLCIC in its three phases.

    python -m glcic.train --flagfile=flags/papers/wang2020.flags --dataset=FOLDER --run_dir=RUN

Start the same command again to go on after any interruption.
"""

import sys

from absl import flags

from common import datasets, runtime, training, vgg19
from flags import data as data_flags
from flags import glcic as glcic_flags
from flags import masks as mask_flags
from flags import runtime as runtime_flags
from flags import training as training_flags
from glcic import export, networks, phases

FLAGS = flags.FLAGS


def define_flags():
    """Defines this command's flags."""
    data_flags.define()
    data_flags.define_preparation()
    runtime_flags.define()
    runtime_flags.define_training()
    mask_flags.define("rectangle")
    training_flags.define()
    glcic_flags.define_network(list(networks.ARCHITECTURES))
    glcic_flags.define_phases()


def build_trainer(architecture, policy, mask_spec):
    """The networks, losses and optimizers that the flags describe."""
    trainer = phases.Trainer(
        networks.completion_network(architecture, FLAGS.width, policy),
        networks.discriminator(architecture, FLAGS.width, policy),
        mask_spec,
        architecture.patch_size,
        phases.Weights(FLAGS.alpha, FLAGS.beta, FLAGS.gan == "minimax"),
        # A dry run needs no weights, and so no download.
        vgg19.feature_extractor(None if FLAGS.dry_run else FLAGS.vgg19_weights, dtype=policy)
        if FLAGS.beta
        else None,
        FLAGS.seed,
    )
    decay = FLAGS.decay == "cosine"
    trainer.compile(
        training.optimizer(
            FLAGS.optimizer,
            FLAGS.learning_rate,
            decay_steps=decay * (FLAGS.completion_steps + FLAGS.joint_steps),
        ),
        training.optimizer(
            FLAGS.optimizer,
            FLAGS.discriminator_learning_rate or FLAGS.learning_rate,
            decay_steps=decay * (FLAGS.discriminator_steps + FLAGS.joint_steps),
        ),
    )
    return trainer


def main():
    """Trains, then exports the SavedModel."""
    training_flags.required("dataset", "run_dir")
    policy, jit_compile = runtime_flags.settle()
    architecture = networks.ARCHITECTURES[FLAGS.architecture]
    prepare = data_flags.preparation(architecture.image_size)
    mask_spec = mask_flags.spec(architecture.image_size, architecture.image_size)
    trainer = build_trainer(architecture, policy, mask_spec)
    settings = training_flags.resolved(training_flags.GROUPS)
    if FLAGS.dry_run:
        print(settings + phases.describe(trainer))
        return

    def batches(batch_size, first):
        return datasets.training_batches(
            FLAGS.dataset, prepare, batch_size, FLAGS.seed, first, FLAGS.split, FLAGS.data_dir
        )

    first_images = next(iter(batches(phases.SAMPLES, 0).as_numpy_iterator()))
    run = training.RunDirectory(FLAGS.run_dir)
    run.settle_flags(settings, free=training_flags.FREE)
    if not run.has_checkpoint():  # a checkpoint brings its own
        trainer.set_mean_color(
            datasets.mean_color(
                FLAGS.dataset, prepare, FLAGS.seed, split=FLAGS.split, data_dir=FLAGS.data_dir
            )
        )
    segments = phases.segments(
        trainer,
        batches,
        (FLAGS.completion_steps, FLAGS.discriminator_steps, FLAGS.joint_steps),
        FLAGS.batch_size,
        FLAGS.progressive_steps,
        FLAGS.progressive_batch_size or FLAGS.batch_size,
    )
    complete = training.fit(
        trainer,
        trainer.checkpointed(),
        segments,
        run,
        training_flags.schedule(),
        trainer.sampler(first_images),
        jit_compile,
    )
    if not complete:
        sys.exit(130)
    export.save(trainer.completion, FLAGS.architecture, run.saved_model)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
