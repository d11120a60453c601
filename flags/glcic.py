"""Flags of GLCIC's networks and phases."""

from absl import flags

FLAGS = flags.FLAGS


def define_network(architectures):
    """Defines the flags that choose the network."""
    flags.DEFINE_enum("architecture", "wang2020", architectures, "The paper's networks.")
    flags.DEFINE_float("width", 1.0, "Factor on every layer's channels.", lower_bound=1 / 64)


def define_phases():
    """Defines the flags of the three phases and of the loss."""
    flags.DEFINE_integer("completion_steps", 90_000, "Phase 1 (T_C).", lower_bound=0)
    flags.DEFINE_integer("discriminator_steps", 10_000, "Phase 2 (T_D).", lower_bound=0)
    flags.DEFINE_integer("joint_steps", 400_000, "Phase 3.", lower_bound=0)
    flags.DEFINE_integer(
        "progressive_steps", 0, "Of phase 1, so many first steps at half size.", lower_bound=0
    )
    flags.DEFINE_integer(
        "progressive_batch_size", 0, "Images in such a step; 0: batch_size.", lower_bound=0
    )
    flags.DEFINE_float("alpha", 0.0004, "Weight of the GAN loss.", lower_bound=0.0)
    flags.DEFINE_float("beta", 0.0, "Weight of the perceptual loss.", lower_bound=0.0)
    flags.DEFINE_enum(
        "gan", "nonsaturating", ["nonsaturating", "minimax"], "Completion network's GAN term."
    )
    flags.DEFINE_string(
        "vgg19_weights", "imagenet", "File of VGG19 weights (.h5, .npz), or imagenet: download."
    )
