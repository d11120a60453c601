"""What is chosen of the networks of latent search and their training. No TensorFlow.

[1] A. Radford, L. Metz, S. Chintala. Unsupervised Representation Learning with Deep
    Convolutional Generative Adversarial Networks. ICLR 2016. Section 3 and Figure 1.
"""

import dataclasses

from common.completion.files import sample_endings
from common.settings import setting, steps

SIZES = (32, 64, 128)
KINDS = ("dcgan", "mlp")
NORMS = ("batch", "layer", "none")
OBJECTIVES = ("gan", "wgan", "wgan_gp")

START = 4  # side of the generator's first feature map, and of the critic's last ([1] Figure 1)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What the flags choose.

    Attributes:
      kind: "dcgan" or "mlp".
      size: side S of the images in pixels.
      width: channels of the layer next to the image; they double with each layer away from it.
        [1] draws 128; its code takes 64.
      latent: length Z of the latent vector.
      generator_norm: one of ``NORMS``, of a DCGAN generator's layers but the last.
      critic_norm: one of ``NORMS``, of a DCGAN critic's convolutions but the first.
      generator_channels: of a DCGAN generator's feature maps, the 4x4 one first; () mirrors the
        critic's.
    """

    kind: str = "dcgan"
    size: int = 64
    width: int = 64
    latent: int = 100
    generator_norm: str = "batch"
    critic_norm: str = "batch"
    generator_channels: tuple = ()

    def __post_init__(self):
        # A list, if the settings of a model were read from JSON.
        object.__setattr__(self, "generator_channels", tuple(self.generator_channels))
        if self.generator_channels and len(self.generator_channels) != len(self.channels):
            raise ValueError(
                f"generator_channels={self.generator_channels}: {self.size} pixels need "
                f"{len(self.channels)} feature maps"
            )

    @property
    def channels(self):
        """Of the critic's convolutions, each half as wide and high as the one before it."""
        count = (self.size // START).bit_length() - 1
        return tuple(self.width * 2**n for n in range(count))


@dataclasses.dataclass(frozen=True)
class Adversarial:
    """Networks of latent search, and their training ([1]-[3] of ``wgan_inpaint.adversarial``)."""

    batch_size: int = 64
    optimizer: str = "rmsprop"
    learning_rate: float = 5e-5
    decay: str = "none"
    seed: int = 0
    mask_kind: tuple = ("center", "rectangle", "pattern", "pixels", "half")
    architecture: str = setting("dcgan", "Of generator and critic.", choices=KINDS)
    image_size: int = setting(64, "Side of the pictures (pixels).", choices=SIZES)
    width: int = setting(
        64, "dcgan: channels next to the picture; 128 in the paper's figure.", least=1, most=4096
    )
    latent: int = setting(100, "Length of z.", least=1)
    generator_norm: str = setting("batch", "dcgan: normalization of the generator.", choices=NORMS)
    critic_norm: str = setting("batch", "dcgan: normalization of the critic.", choices=NORMS)
    objective: str = setting("wgan", "What generator and critic play for.", choices=OBJECTIVES)
    discriminator_learning_rate: float = setting(0.0, "Of the critic; 0: learning_rate.", least=0.0)
    generator_steps: int = steps(100_000, "Updates of the generator.", least=0)
    critic_steps: int = setting(5, "Updates of the critic for each of the generator's.", least=1)
    warmup_critic_steps: int = setting(
        0,
        "Updates of the critic for each of the first warmup_generator_steps updates of the "
        "generator, and for every refresh_every-th.",
        least=0,
    )
    warmup_generator_steps: int = setting(0, "See above.", least=0)
    refresh_every: int = setting(0, "See above; 0: never.", least=0)
    clip: float = setting(0.01, "wgan: bound of the critic's weights.", least=0.0)
    penalty: float = setting(10.0, "wgan_gp: of the gradient (lambda).", least=0.0)
    beta_1: float = setting(0.5, "Of Adam.", least=0.0, most=1.0)
    beta_2: float = setting(0.999, "Of Adam.", least=0.0, most=1.0)
    averaging: float = setting(
        0.0,
        "Decay of the moving average of the generator's weights, which is what is used; 0: none.",
        least=0.0,
        most=1.0,
    )
    encoder_steps: int = setting(
        0, "Updates of the encoder, behind the others; 0: no encoder.", least=0
    )
    encoder_learning_rate: float = setting(0.0005, "Its Adam's.", least=0.0)
    encoder_context: float = setting(
        10.0, "Weight of its context loss beside the squared error of z.", least=0.0
    )

    @property
    def size(self):
        """Side of the training images in pixels."""
        return self.image_size

    @property
    def networks(self):
        """The ``Architecture``."""
        return Architecture(
            kind=self.architecture,
            size=self.image_size,
            width=self.width,
            latent=self.latent,
            generator_norm=self.generator_norm,
            critic_norm=self.critic_norm,
        )


@dataclasses.dataclass(frozen=True)
class Samples:
    """What is written beside a picture by methods that draw their completions."""

    samples: int = 1

    needs_masks = True

    def endings(self, completing):
        """Of the names of the files, as ``common.completion.files.plan_outputs`` takes them."""
        del completing
        return sample_endings(self.samples)
