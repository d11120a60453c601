"""Flags of latent search: its networks, their training, and the search."""

from absl import flags, logging

from wgan_inpaint import settings

FLAGS = flags.FLAGS


def define_network():
    """Defines the flags that choose the networks."""
    flags.DEFINE_enum("architecture", "dcgan", settings.KINDS, "Of generator and critic.")
    flags.DEFINE_enum(
        "image_size", "64", [str(size) for size in settings.SIZES], "Side of the pictures (pixels)."
    )
    flags.DEFINE_integer(
        "width",
        64,
        "dcgan: channels next to the picture; 128 in the paper's figure.",
        lower_bound=1,
    )
    flags.DEFINE_integer("latent", 100, "Length of z.", lower_bound=1)
    flags.DEFINE_enum(
        "generator_norm", "batch", settings.NORMS, "dcgan: normalization of the generator."
    )
    flags.DEFINE_enum("critic_norm", "batch", settings.NORMS, "dcgan: normalization of the critic.")


def define_adversarial():
    """Defines the flags of the training of generator, critic and encoder."""
    flags.DEFINE_enum(
        "objective", "wgan", settings.OBJECTIVES, "What generator and critic play for."
    )
    flags.DEFINE_float(
        "discriminator_learning_rate", 0.0, "Of the critic; 0: learning_rate.", lower_bound=0.0
    )
    flags.DEFINE_integer("generator_steps", 100_000, "Updates of the generator.", lower_bound=0)
    flags.DEFINE_integer(
        "critic_steps", 5, "Updates of the critic for each of the generator's.", lower_bound=1
    )
    flags.DEFINE_integer(
        "warmup_critic_steps",
        0,
        "Updates of the critic for each of the first warmup_generator_steps updates of the "
        "generator, and for every refresh_every-th.",
        lower_bound=0,
    )
    flags.DEFINE_integer("warmup_generator_steps", 0, "See above.", lower_bound=0)
    flags.DEFINE_integer("refresh_every", 0, "See above; 0: never.", lower_bound=0)
    flags.DEFINE_float("clip", 0.01, "wgan: bound of the critic's weights.", lower_bound=0.0)
    flags.DEFINE_float("penalty", 10.0, "wgan_gp: of the gradient (lambda).", lower_bound=0.0)
    flags.DEFINE_float("beta_1", 0.5, "Of Adam.", lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_float("beta_2", 0.999, "Of Adam.", lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_float(
        "averaging",
        0.0,
        "Decay of the moving average of the generator's weights, which is what is used; 0: none.",
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.DEFINE_integer(
        "encoder_steps",
        0,
        "Updates of the encoder, behind the others; 0: no encoder.",
        lower_bound=0,
    )
    flags.DEFINE_float("encoder_learning_rate", 0.0005, "Its Adam's.", lower_bound=0.0)
    flags.DEFINE_float(
        "encoder_context",
        10.0,
        "Weight of its context loss beside the squared error of z.",
        lower_bound=0.0,
    )


def define_promises():
    """Defines the flags of the command that compares runs."""
    flags.DEFINE_list("runs", None, "NAME=RUN_DIR, one for each panel, as gan=RUN1,wgan=RUN2.")
    flags.DEFINE_string("output", None, "Figure to write: .png, .pdf or .svg.")
    flags.DEFINE_integer("pairs", 500, "Pairs of pictures behind a diversity.", lower_bound=1)


def define_starts():
    """Defines the flags of the command that compares the starts of the search."""
    flags.DEFINE_string(
        "model",
        "shipped:wgan_inpaint",
        "SavedModel, run directory, or shipped:PACKAGE[/NAME] for a package's own.",
    )
    flags.DEFINE_string("output", None, "Folder for the tables and the figure.")
    flags.DEFINE_integer("limit", 64, "Only so many first images; 0: all.", lower_bound=0)
    flags.DEFINE_integer("batch_size", 64, "Images searched for at once.", lower_bound=1)
    flags.DEFINE_integer(
        "lbfgs_iterations",
        300,
        "Of a second search from every start, by limited-memory BFGS; 0: none.",
        lower_bound=0,
    )


def architecture():
    """The ``settings.Architecture`` that the flags describe."""
    return settings.Architecture(
        kind=FLAGS.architecture,
        size=int(FLAGS.image_size),
        width=FLAGS.width,
        latent=FLAGS.latent,
        generator_norm=FLAGS.generator_norm,
        critic_norm=FLAGS.critic_norm,
    )


def objective():
    """The ``adversarial.Objective`` that the flags describe."""
    from wgan_inpaint import adversarial

    batch_norm = FLAGS.architecture == "dcgan" and FLAGS.critic_norm == "batch"
    if FLAGS.objective == "wgan_gp" and batch_norm:
        logging.warning(
            "--objective=wgan_gp penalizes each image's own gradient, which --critic_norm=batch "
            "mixes with the others'; the paper takes --critic_norm=layer"
        )
    return adversarial.Objective(
        name=FLAGS.objective,
        clip=FLAGS.clip,
        penalty=FLAGS.penalty,
        critic_steps=FLAGS.critic_steps,
        warmup_critic_steps=FLAGS.warmup_critic_steps,
        warmup_generator_steps=FLAGS.warmup_generator_steps,
        refresh_every=FLAGS.refresh_every,
    )
