"""Trains GLCIC in its three phases, or one of the encoder-decoder baselines.

    python -m glcic.train --flagfile=flags/papers/wang2020.flags --dataset=FOLDER --run_dir=RUN
    python -m glcic.train --flagfile=flags/papers/pathak2016.flags --dataset=FOLDER --run_dir=RUN
    python -m glcic.train --method=autoencoder ...

Start the same command again to go on after any interruption.
"""

import sys

from absl import flags

from common import runtime
from common.training.runs import RunDirectory
from flags import baselines as baseline_flags
from flags import data as data_flags
from flags import glcic as glcic_flags
from flags import masks as mask_flags
from flags import runtime as runtime_flags
from flags import training as training_flags
from glcic import geometry
from glcic.architectures import ARCHITECTURES

FLAGS = flags.FLAGS


def define_flags():
    """Defines this command's flags."""
    data_flags.define()
    data_flags.define_preparation()
    runtime_flags.define()
    runtime_flags.define_training()
    mask_flags.define("rectangle")
    training_flags.define()
    glcic_flags.define_network(list(ARCHITECTURES))
    glcic_flags.define_phases()
    baseline_flags.define()


def build_trainer(mask_spec, policy):
    """GLCIC's networks, losses and optimizers that the flags describe."""
    from common.training import loop as training
    from common.training import vgg19
    from glcic import networks, phases

    architecture = ARCHITECTURES[FLAGS.architecture]
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


def build_baseline(geometry_, policy):
    """The same of a baseline."""
    from common.training import loop as training
    from glcic import baselines

    adversarial = FLAGS.method == "context_encoder"
    trainer = baselines.Trainer(
        baselines.completion_network(geometry_, FLAGS.width, policy),
        baselines.discriminator(FLAGS.width, policy) if adversarial else None,
        geometry_,
        baseline_flags.weights(),
        FLAGS.seed,
    )
    trainer.compile(
        *(
            training.optimizer(
                FLAGS.optimizer,
                rate,
                FLAGS.beta_1,
                decay_steps=(FLAGS.decay == "cosine") * FLAGS.baseline_steps,
            )
            for rate in (
                FLAGS.learning_rate,
                FLAGS.discriminator_learning_rate or FLAGS.learning_rate,
            )
        )
    )
    return trainer


def plan(trainer, batches):
    """The segments of the run; ``batches`` is from (batch size, first image) to a dataset."""
    from glcic import baselines, phases

    if FLAGS.method != "glcic":
        return baselines.segments(FLAGS.method, batches, FLAGS.baseline_steps, FLAGS.batch_size)
    return phases.segments(
        trainer,
        batches,
        (FLAGS.completion_steps, FLAGS.discriminator_steps, FLAGS.joint_steps),
        FLAGS.batch_size,
        FLAGS.progressive_steps,
        FLAGS.progressive_batch_size or FLAGS.batch_size,
    )


def save(trainer, path):
    """Exports the trained network."""
    from glcic import exporting

    if FLAGS.method == "glcic":
        exporting.save(trainer.completion, FLAGS.architecture, path)
    else:
        exporting.save_baseline(trainer.completion, FLAGS.method, trainer.geometry, path)


def main():
    """Trains, then exports the SavedModel."""
    training_flags.required("dataset", "run_dir")
    glcic = FLAGS.method == "glcic"
    size = ARCHITECTURES[FLAGS.architecture].image_size if glcic else geometry.SIZE
    prepare = data_flags.preparation(size)
    holes = mask_flags.spec(size, size) if glcic else baseline_flags.geometry()
    groups = training_flags.GROUPS if glcic else (*training_flags.GROUPS, "flags.baselines")
    settings = training_flags.resolved(groups)
    run = RunDirectory(FLAGS.run_dir)
    if not FLAGS.dry_run:
        data_flags.check()
        run.check_flags(settings, training_flags.FREE)

    runtime.import_tensorflow()
    from common.pictures import datasets
    from common.training import loop as training
    from glcic import phases

    policy, jit_compile = runtime_flags.settle()
    trainer = (build_trainer if glcic else build_baseline)(holes, policy)
    if FLAGS.dry_run:
        print(settings + phases.describe(trainer))
        return

    def batches(batch_size, first):
        return datasets.training_batches(
            FLAGS.dataset, prepare, batch_size, FLAGS.seed, first, FLAGS.split, FLAGS.data_dir
        )

    first_images = next(iter(batches(phases.SAMPLES, 0).as_numpy_iterator()))
    run.settle_flags(settings, free=training_flags.FREE)
    if glcic and not run.has_checkpoint():  # a checkpoint brings its own
        trainer.set_mean_color(
            datasets.mean_color(
                FLAGS.dataset, prepare, FLAGS.seed, split=FLAGS.split, data_dir=FLAGS.data_dir
            )
        )
    complete = training.fit(
        trainer,
        trainer.checkpointed(),
        plan(trainer, batches),
        run,
        training_flags.schedule(),
        trainer.sampler(first_images),
        jit_compile,
    )
    if not complete:
        sys.exit(130)
    save(trainer, run.saved_model)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
