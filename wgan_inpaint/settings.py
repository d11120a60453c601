"""What is chosen of the networks of latent search and their training. No TensorFlow.

[1] A. Radford, L. Metz, S. Chintala. Unsupervised Representation Learning with Deep
    Convolutional Generative Adversarial Networks. ICLR 2016. Section 3 and Figure 1.
"""

import dataclasses

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
