"""Flags of the encoder-decoder baselines: a group of its own, so that a GLCIC run keeps none."""

from absl import flags

from glcic import geometry as geometries

FLAGS = flags.FLAGS


def define():
    """Defines the flags of this group."""
    flags.DEFINE_enum("method", "glcic", ["glcic", *geometries.METHODS], "What is trained.")
    flags.DEFINE_integer("baseline_steps", 100_000, "Steps of a baseline.", lower_bound=1)
    flags.DEFINE_integer(
        "overlap", 4, "Baselines: known pixels around the hole that are predicted.", lower_bound=0
    )
    flags.DEFINE_float(
        "overlap_weight", 10.0, "Baselines: of their squared error; 1 in the hole.", lower_bound=0.0
    )
    flags.DEFINE_float(
        "lambda_rec", 0.999, "Baselines: weight of the reconstruction loss.", lower_bound=0.0
    )
    flags.DEFINE_float(
        "lambda_adv", 0.001, "context_encoder: weight of the GAN loss.", lower_bound=0.0
    )
    flags.DEFINE_float("beta_1", 0.5, "Baselines: of Adam.", lower_bound=0.0, upper_bound=1.0)


def geometry():
    """The ``glcic.geometry.Geometry`` that the flags describe; masks must be ``center``."""
    return geometries.geometry(FLAGS.mask_kind, FLAGS.hole_size, FLAGS.overlap)


def weights():
    """The ``baselines.Weights`` that the flags describe."""
    from glcic import baselines

    return baselines.Weights(
        FLAGS.lambda_rec, FLAGS.lambda_adv, FLAGS.overlap_weight, FLAGS.gan == "minimax"
    )
