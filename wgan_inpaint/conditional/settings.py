"""What is chosen of the conditional GAN: training and completing. No TensorFlow."""

import dataclasses

from common.settings import Supervision, setting, steps

KINDS = ("style", "listing")
SIZES = (32, 64, 128)
TERMS = ("none", "l1", "mean", "energy", "mode_seeking", "rcgan")
OBJECTIVES = ("gan", "hinge", "wgan_gp")


@dataclasses.dataclass(frozen=True)
class Conditional(Supervision):
    """Networks and training."""

    batch_size: int = 16
    optimizer: str = "adam"
    learning_rate: float = 4e-4
    decay: str = "none"
    seed: int = 0
    mask_kind: tuple = ("center", "rectangle")
    architecture: str = setting(
        "style", "The document's listing, or ours: z as style at every scale.", choices=KINDS
    )
    image_size: int = setting(64, "Side of the pictures (pixels).", choices=SIZES)
    latent: int = setting(64, "Length of z.", least=1)
    objective: str = setting("gan", "What G and D play for.", choices=OBJECTIVES)
    reconstruction: str = setting(
        "energy",
        "Of two samples, in the hole: none; L1 of each, or of their mean, which both kill z; the "
        "energy score, whose optimum is the right spread; L1 and mode seeking; rcGAN's reward.",
        choices=TERMS,
    )
    reconstruction_weight: float = setting(10.0, "Of that term.", least=0.0)
    latent_weight: float = setting(
        0.0,
        "Of BicycleGAN's latent regressor (Zhu 2017: 0.5; 0: none): a further network reads z from "
        "what is drawn in the hole, and it and G are trained by the L1 of its error. This alone: "
        "no z encoded from the truth, no KL.",
        least=0.0,
    )
    ambient_weight: float = setting(
        0.0,
        "Of AmbientGAN's discriminator (Bora 2018; 0: none): a further one that compares what is "
        "drawn with another picture, both under that one's damage, and does not see m.",
        least=0.0,
    )
    discriminator_halves: str = setting(
        "sum",
        "gan: D's loss at real and at drawn pictures, added or averaged.",
        choices=("sum", "mean"),
    )
    r1: float = setting(
        0.3, "gan, hinge: gamma of the penalty on D's gradient at real pictures.", least=0.0
    )
    r1_every: int = setting(8, "It is computed every so-manyth step, times as much.", least=1)
    penalty: float = setting(10.0, "wgan_gp: of the gradient (lambda).", least=0.0)
    beta_1: float = setting(0.0, "Of Adam.", least=0.0, most=1.0)
    beta_2: float = setting(0.99, "Of Adam.", least=0.0, most=1.0)
    averaging: float = setting(
        0.998, "Decay of the moving average of G's weights, which is used.", least=0.0, most=1.0
    )
    conditional_steps: int = steps(100_000, "Updates of both networks.", least=1)
    validation: str = setting(
        "",
        "Folder, or tfds data set, of the whole pictures that gain and ratio are measured on; "
        "empty: the first training pictures, where they are known.",
    )

    @property
    def size(self):
        """Side of the training images in pixels."""
        return self.image_size


@dataclasses.dataclass(frozen=True)
class Completing:
    """What is stored with the exported model."""

    seed: int = 0
