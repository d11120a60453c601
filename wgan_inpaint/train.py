r"""Trains the generator of latent search, its critic and its encoder.

    python -m wgan_inpaint.train --flagfile=flags/papers/arjovsky2017.flags --dataset=FOLDER \
        --run_dir=RUN

Start the same command again to go on after any interruption.
"""

import sys

from absl import flags

from common import runtime
from common.training.runs import RunDirectory
from flags import data as data_flags
from flags import masks as mask_flags
from flags import runtime as runtime_flags
from flags import training as training_flags
from flags import wgan as wgan_flags

FLAGS = flags.FLAGS


def define_flags():
    """Defines this command's flags."""
    data_flags.define()
    data_flags.define_preparation()
    runtime_flags.define()
    runtime_flags.define_training()
    mask_flags.define("center,rectangle,pattern,pixels,half")
    training_flags.define(batch_size=64, optimizer="rmsprop", learning_rate=5e-5)
    wgan_flags.define_network()
    wgan_flags.define_adversarial()


def build_trainer(objective, mask_spec, policy, steps):
    """The networks, losses and optimizers that the flags describe.

    Args:
      objective: an ``adversarial.Objective``.
      mask_spec: ``common.pictures.mask_spec.MaskSpec`` of the encoder's holes.
      policy: Keras dtype policy.
      steps: of the adversarial phase, for the decay of the learning rate.
    """
    from common.training import loop
    from wgan_inpaint import adversarial

    decay, betas = FLAGS.decay == "cosine", (FLAGS.beta_1, FLAGS.beta_2)
    critic_rate = FLAGS.discriminator_learning_rate or FLAGS.learning_rate
    optimizers = {
        "generator": loop.optimizer(
            FLAGS.optimizer, FLAGS.learning_rate, *betas, decay * FLAGS.generator_steps
        ),
        "critic": loop.optimizer(FLAGS.optimizer, critic_rate, *betas, decay * steps),
        "encoder": loop.optimizer(
            "adam", FLAGS.encoder_learning_rate, decay_steps=FLAGS.encoder_steps
        ),
    }
    return adversarial.AdversarialTrainer(
        adversarial.build_networks(wgan_flags.architecture(), policy),
        optimizers,
        objective,
        mask_spec,
        FLAGS.averaging,
        FLAGS.encoder_context,
        FLAGS.seed,
    )


def main():
    """Trains, then exports the SavedModel."""
    training_flags.required("dataset", "run_dir")
    size = int(FLAGS.image_size)
    prepare, holes = data_flags.preparation(size), mask_flags.spec(size, size)
    settings = training_flags.resolved(training_flags.GROUPS)
    run = RunDirectory(FLAGS.run_dir)
    if not FLAGS.dry_run:
        data_flags.check()
        run.check_flags(settings, training_flags.FREE)

    runtime.import_tensorflow()
    from common.pictures import datasets
    from common.training import loop
    from common.training.trainer import describe
    from wgan_inpaint import adversarial, exporting, loading, restoring
    from wgan_inpaint.search import latent_search

    policy, jit_compile = runtime_flags.settle()
    objective = wgan_flags.objective()
    steps = objective.total_steps(FLAGS.generator_steps)
    trainer = build_trainer(objective, holes, policy, steps)
    if FLAGS.dry_run:
        print(settings + describe(trainer.networks))
        return

    source = (FLAGS.dataset, prepare)
    where = {"split": FLAGS.split, "data_dir": FLAGS.data_dir}

    def batches(batch_size, first):
        return datasets.training_batches(*source, batch_size, FLAGS.seed, first, **where)

    def first(count):
        return datasets.first_images(count, *source, FLAGS.seed, **where)

    plan = adversarial.plan(steps, FLAGS.encoder_steps, FLAGS.batch_size)
    sample = trainer.sampler(first, run)
    run.settle_flags(settings, free=training_flags.FREE)
    if not run.has_checkpoint():
        trainer.prepare(first)
    if not loop.fit(trainer, plan, batches, run, training_flags.schedule(), sample, jit_compile):
        sys.exit(130)
    networks_ = loading.fold(restoring.restore(run))
    exporting.save(networks_, latent_search.fast(networks_), run.saved_model)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
