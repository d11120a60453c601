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


def build_trainer(holes, policy):
    """GLCIC's networks, losses and optimizers that the flags describe; ``holes``: ``MaskSpec``."""
    from common.training import loop, vgg19
    from glcic import networks, phases

    architecture, decay = ARCHITECTURES[FLAGS.architecture], FLAGS.decay == "cosine"
    optimizers = {
        "completion": loop.optimizer(
            FLAGS.optimizer,
            FLAGS.learning_rate,
            decay_steps=decay * (FLAGS.completion_steps + FLAGS.joint_steps),
        ),
        "discriminator": loop.optimizer(
            FLAGS.optimizer,
            FLAGS.discriminator_learning_rate or FLAGS.learning_rate,
            decay_steps=decay * (FLAGS.discriminator_steps + FLAGS.joint_steps),
        ),
    }
    return phases.PhasesTrainer(
        {
            "completion": networks.completion_network(architecture, FLAGS.width, policy),
            "discriminator": networks.discriminator(architecture, FLAGS.width, policy),
        },
        optimizers,
        holes,
        architecture.image_size,
        architecture.patch_size,
        phases.Weights(FLAGS.alpha, FLAGS.beta, FLAGS.gan == "minimax"),
        # A dry run needs no weights, and so no download.
        vgg19.feature_extractor(None if FLAGS.dry_run else FLAGS.vgg19_weights, dtype=policy)
        if FLAGS.beta
        else None,
        FLAGS.seed,
    )


def build_baseline(where, policy):
    """The same of a baseline; ``where``: its ``geometry.Geometry``."""
    from common.training import loop
    from glcic import baselines

    networks = {"completion": baselines.completion_network(where, FLAGS.width, policy)}
    rates = {"completion": FLAGS.learning_rate}
    if FLAGS.method == "context_encoder":
        networks["discriminator"] = baselines.discriminator(FLAGS.width, policy)
        rates["discriminator"] = FLAGS.discriminator_learning_rate or FLAGS.learning_rate
    decay_steps = (FLAGS.decay == "cosine") * FLAGS.baseline_steps
    optimizers = {
        name: loop.optimizer(FLAGS.optimizer, rate, FLAGS.beta_1, decay_steps=decay_steps)
        for name, rate in rates.items()
    }
    weights = baseline_flags.weights()
    return baselines.BaselineTrainer(networks, optimizers, where, weights, FLAGS.seed)


def plan():
    """The rows of the run."""
    from glcic import baselines, phases

    if FLAGS.method != "glcic":
        return baselines.plan(FLAGS.method, FLAGS.baseline_steps, FLAGS.batch_size)
    return phases.plan(
        ARCHITECTURES[FLAGS.architecture].image_size,
        (FLAGS.completion_steps, FLAGS.discriminator_steps, FLAGS.joint_steps),
        FLAGS.batch_size,
        FLAGS.progressive_steps,
        FLAGS.progressive_batch_size,
    )


def save(trainer, path):
    """Exports the trained network."""
    from glcic import exporting

    network = trainer.networks["completion"]
    if FLAGS.method == "glcic":
        exporting.save(network, FLAGS.architecture, path)
    else:
        exporting.save_baseline(network, FLAGS.method, trainer.geometry, path)


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
    from common.training import loop

    policy, jit_compile = runtime_flags.settle()
    trainer = (build_trainer if glcic else build_baseline)(holes, policy)
    if FLAGS.dry_run:
        print(settings + trainer.describe())
        return

    source = (FLAGS.dataset, prepare)
    where = {"split": FLAGS.split, "data_dir": FLAGS.data_dir}

    def batches(batch_size, first):
        return datasets.training_batches(*source, batch_size, FLAGS.seed, first, **where)

    def first(count):
        return datasets.first_images(count, *source, FLAGS.seed, **where)

    # Reads pictures: a data set that cannot be read leaves no run behind.
    sample = trainer.sampler(first, run)
    run.settle_flags(settings, free=training_flags.FREE)
    if not run.has_checkpoint():
        trainer.prepare(first)
    if not loop.fit(trainer, plan(), batches, run, training_flags.schedule(), sample, jit_compile):
        sys.exit(130)
    save(trainer, run.saved_model)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
