"""How fast the methods of this package complete and train on this machine.

Search: seconds of one iteration (loss, gradient, update) inside the compiled loop, and how many
images' iterations that is per second, for the networks of [1] Figure 1 and for those that are
packaged. The classic loop does the same with the former as the code of [2] does: a graph for loss
and gradient, BatchNorm being layers of it, which the host calls in every iteration; z and Adam are
numpy's. Training: a step of the packaged networks, with and without the generator's update. The
others: ``wgan_inpaint.conditional.timing``, ``wgan_inpaint.guided.timing``.

[1] Radford 2016, Unsupervised Representation Learning with Deep Convolutional GANs.
[2] B. Amos. Image Completion with Deep Learning in TensorFlow. 2016.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from common.evaluation import benchmarking
from common.pictures import masks
from common.training import folding
from common.training.optimizers import optimizer
from wgan_inpaint import adversarial, networks
from wgan_inpaint.conditional import timing as conditional
from wgan_inpaint.guided import timing as guided
from wgan_inpaint.search import latent_search
from wgan_inpaint.search.settings import PAPER
from wgan_inpaint.settings import Adversarial

TRAINED = Adversarial(width=48, critic_norm="none")  # what is packaged
ARCHITECTURES = {
    # 178 GFLOP an iteration for 64 images.
    "classic": networks.Architecture(generator_channels=(512, 512, 256, 128)),
    "packaged": TRAINED.networks,
}
OPTIMIZERS = ("adam", "lbfgs")
TRAINING_BATCH = 64
# Updates of the critic for each of the generator's.
STEPS = {"step, critic and generator": 1, "step, critic alone": 2**31 - 1}
ITERATIONS = 5  # in one call of the compiled loop


def scene(architecture, batch):
    """Random pictures with a centre hole of half their side."""
    side = architecture.size
    images = tf.random.stateless_uniform([batch, side, side, 3], [0, 1])
    return images, masks.draw(masks.MaskSpec(), batch, side, side, [0, 0])


def search_seconds(precision, xla, name, batch, repeats, descent="adam"):
    """Median seconds of an iteration of the compiled search."""
    architecture = ARCHITECTURES[name]
    images, holes = scene(architecture, batch)
    parts = (networks.generator(architecture), networks.critic(architecture))
    folded = [folding.FoldedNetwork(network) for network in parts]
    search = latent_search.LatentSearch(
        latent_search.Networks(*folded, None, "wgan", architecture),
        dataclasses.replace(PAPER, optimizer=descent),
        tf.as_dtype(precision),
        xla == "on",
    )
    start = search.start(images, holes)

    def call():
        return search.advance(images, holes, start, ITERATIONS)[1].numpy()

    return benchmarking.timed(call, repeats) / ITERATIONS


def classic_loop(architecture, precision="float32", jit_compile=False):
    """The search as a host loop.

    Args:
      architecture: a ``networks.Architecture``.
      precision: "float32" or "bfloat16".
      jit_compile: compile loss and gradient with XLA.

    Returns:
      A function of (images, masks, z [B, Z] numpy, iterations) to z after so many iterations of
      Adam, and of the constants that ``search.settings.PAPER`` has.
    """
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    generator = networks.generator(architecture, policy)
    critic = networks.critic(architecture, policy)
    settings = PAPER

    @tf.function(jit_compile=jit_compile)
    def loss_and_gradient(images, weights, z):
        with tf.GradientTape() as tape:
            tape.watch(z)
            pictures = generator(z, training=False)
            loss = latent_search.context_loss(pictures, images, weights, settings.context)
            prior = latent_search.prior_loss(critic(pictures, training=False), "wgan")
            loss += settings.prior_weight * prior
        return loss, tape.gradient(loss, z)

    def search(images, holes, z, iterations):
        weights = latent_search.importance_weights(holes, settings.window)
        first, second = np.zeros_like(z), np.zeros_like(z)
        for t in range(1, iterations + 1):
            _, slope = loss_and_gradient(images, weights, tf.constant(z))
            slope = slope.numpy()
            first = settings.beta_1 * first + (1 - settings.beta_1) * slope
            second = settings.beta_2 * second + (1 - settings.beta_2) * slope**2
            move = first / (1 - settings.beta_1**t)
            move /= np.sqrt(second / (1 - settings.beta_2**t)) + 1e-8
            z = np.clip(z - settings.learning_rate * move, -1, 1)
        return z

    return search


def classic_seconds(precision, xla, batch, repeats):
    """Median seconds of an iteration of the host loop."""
    architecture = ARCHITECTURES["classic"]
    images, holes = scene(architecture, batch)
    z = networks.random_latents(batch, architecture.latent, [0, 0]).numpy()
    search = classic_loop(architecture, precision, xla == "on")
    return benchmarking.timed(lambda: search(images, holes, z, ITERATIONS), repeats) / ITERATIONS


def step_seconds(precision, xla, critic_steps, repeats):
    """Median seconds of a training step whose generator follows every so-manyth time."""
    policy = "mixed_bfloat16" if precision == "bfloat16" else "float32"
    trainer = adversarial.AdversarialTrainer(
        adversarial.networks(TRAINED, policy),
        {
            name: optimizer("adam", 1e-4, beta_1=0.0, beta_2=0.9)
            for name in ("generator", "critic", "encoder")
        },
        adversarial.Objective("wgan_gp", critic_steps=critic_steps),
        masks.MaskSpec(),
    )
    step = tf.function(trainer.train_step, jit_compile=xla == "on", autograph=False)
    images, _ = scene(ARCHITECTURES["packaged"], TRAINING_BATCH)
    images = tf.cast(255 * images, tf.uint8)
    return benchmarking.timed(lambda: [float(v) for v in step(images).values()], repeats)


def print_table(what, precisions, xlas, batches, repeats):
    """Prints one Markdown table.

    Args:
      what: of "search", "classic", "training", "samples", "conditional" (its training) and "cnnlg".
      precisions: of "float32" and "bfloat16".
      xlas: of "off" and "on".
      batches: batch sizes of the search and of the samples.
      repeats: calls to time.
    """
    benchmarking.print_head("Latent search, the conditional GAN and CNNLG at 64 px")
    for precision in precisions:
        for xla in xlas:
            for batch in batches:
                if "classic" in what:
                    label = f"classic loop, classic networks, batch {batch}"
                    arguments = (classic_seconds, batch, repeats)
                    benchmarking.print_measured(label, precision, xla, batch, *arguments)
                for name in ARCHITECTURES if "search" in what else ():
                    for descent in OPTIMIZERS:
                        label = f"search, {descent}, {name} networks, batch {batch}"
                        arguments = (search_seconds, name, batch, repeats, descent)
                        benchmarking.print_measured(label, precision, xla, batch, *arguments)
                if "samples" in what:
                    label = f"{conditional.SAMPLES} samples, conditional GAN, batch {batch}"
                    arguments = (conditional.samples_seconds, batch, repeats)
                    benchmarking.print_measured(label, precision, xla, batch, *arguments)
                if "cnnlg" in what and precision == "float32":
                    label = f"CNNLG, batch {batch}"
                    arguments = (guided.completion_seconds, batch, repeats)
                    benchmarking.print_measured(label, precision, xla, batch, *arguments)
            for label, critic_steps in STEPS.items() if "training" in what else ():
                arguments = (step_seconds, critic_steps, repeats)
                benchmarking.print_measured(
                    f"{label}, batch {TRAINING_BATCH}", precision, xla, TRAINING_BATCH, *arguments
                )
            if "conditional" in what:
                batch = conditional.TRAINING_BATCH
                arguments = (conditional.step_seconds, repeats)
                label = f"step, conditional GAN, batch {batch}"
                benchmarking.print_measured(label, precision, xla, batch, *arguments)
            for phase in guided.PHASES if "cnnlg" in what else ():
                batch = guided.TRAINING_BATCH
                arguments = (guided.step_seconds, phase, repeats)
                label = f"step, CNNLG, {phase}, batch {batch}"
                benchmarking.print_measured(label, precision, xla, batch, *arguments)
