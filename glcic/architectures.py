"""The networks of GLCIC, as tables that mirror the papers'. No TensorFlow.

[1] S. Iizuka, E. Simo-Serra, H. Ishikawa. Globally and Locally Consistent Image Completion.
    ACM TOG 36(4), 2017. Tables 1 and 2.
[2] 王可新, 王力. 基于生成对抗网络的图像修复算法. 智能计算机与应用 10, 2020. Section 2.
[3] 禅与计算机程序设计艺术. GAN在图像修复中的创新应用实践. Section 4.2.
[4] J. Yu et al. Generative Image Inpainting with Contextual Attention. CVPR 2018. Section 4.
[5] H. Zhang et al. Self-Attention Generative Adversarial Networks. ICML 2019. Sections 3 and 4.
[6] T.-C. Wang et al. High-Resolution Image Synthesis and Semantic Manipulation with Conditional
    GANs. CVPR 2018. Section 3.2.
"""

import dataclasses
from typing import NamedTuple


class Conv(NamedTuple):
    """One row of a table; stride 1/2 is a transposed convolution that doubles the size."""

    kernel: int
    dilation: int
    stride: float
    outputs: int


class Attention(NamedTuple):
    """A row of contextual attention, ``common.training.attention``; it has no weights."""


# [1] Table 1: "conv.", "dilated conv.", "deconv." and "output" rows.
IIZUKA2017_COMPLETION = (
    Conv(5, 1, 1, 64),
    Conv(3, 1, 2, 128),
    Conv(3, 1, 1, 128),
    Conv(3, 1, 2, 256),
    Conv(3, 1, 1, 256),
    Conv(3, 1, 1, 256),
    Conv(3, 2, 1, 256),
    Conv(3, 4, 1, 256),
    Conv(3, 8, 1, 256),
    Conv(3, 16, 1, 256),
    Conv(3, 1, 1, 256),
    Conv(3, 1, 1, 256),
    Conv(4, 1, 1 / 2, 128),
    Conv(3, 1, 1, 128),
    Conv(4, 1, 1 / 2, 64),
    Conv(3, 1, 1, 32),
    Conv(3, 1, 1, 3),
)
# [2] Section 2.2: the same with three dilated convolutions. Their rates are not given; a
# quarter of 128 px is 32 px wide, on which a rate of 16 would mostly see padding.
WANG2020_COMPLETION = tuple(row for row in IIZUKA2017_COMPLETION if row.dilation != 16)
# [3] The listing gives the first row, one transposed convolution from 64 to 64 channels and the
# last row, and leaves the others out: they are [1]'s, but that the encoder ends with 64 channels
# and the decoder keeps them.
PRACTICE_COMPLETION = (
    *IIZUKA2017_COMPLETION[:11],
    Conv(3, 1, 1, 64),
    Conv(4, 1, 1 / 2, 64),
    Conv(3, 1, 1, 64),
    Conv(4, 1, 1 / 2, 64),
    Conv(5, 1, 1, 3),
)

# [4] A second branch beside the dilated convolutions. There it has an encoder of its own; here it
# begins where they do.
ATTENTION_BRANCH = (Conv(3, 1, 1, 256), Attention(), Conv(3, 1, 1, 256), Conv(3, 1, 1, 256))

ATTENDED = (
    16  # least side of a map with self-attention: [5] has 32 at 128 px; a quarter of its cost
)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """What a paper fixes: tables, sizes in pixels, and the last activation.

    Attributes:
      completion: rows of the completion network.
      output: its last activation, "sigmoid" or "tanh".
      image_size: side of the training images and of the global discriminator's input.
      patch_size: side of the local discriminator's input; 0 if there is none.
      global_outputs: channels of the global discriminator's 5x5 stride-2 convolutions.
      local_outputs: the same for the local one; empty if there is none. Then the global one ends in
        a 4x4 convolution to one channel, and has no ``features``.
      features: length of the vector that each discriminator contributes.
      leak: slope of the discriminators' LeakyReLU below zero; 0 is a ReLU.
      first_norm: BatchNorm stands behind the discriminators' first convolutions, too.
      bias: the last convolutions of the completion network and of a global discriminator that
        stands alone have a bias.
      branch: rows beside the dilated convolutions, one of them ``Attention``; the row that follows
        sees both results, one behind the other in its channels. What attention finds in the picture
        is mixed with the last row's output as a convolution to one channel says. Empty for none.
      self_attention: discriminators have self-attention behind the last convolution whose map is at
        least ``ATTENDED`` wide, and spectral normalization and biases in place of BatchNorm ([5]).
      scales: discriminators with weights of their own that see the pictures at full size, at half
        of it and so on, their first rows left out one by one ([6]).
      hole_size: thickest hole that it is made for; None is ``patch_size``.
    """

    completion: tuple
    output: str
    image_size: int
    patch_size: int
    global_outputs: tuple
    local_outputs: tuple
    features: int = 1024
    leak: float = 0.0
    first_norm: bool = True
    bias: bool = True
    branch: tuple = ()
    self_attention: bool = False
    scales: int = 1
    hole_size: int | None = None

    def at_scale(self, scale):
        """The discriminators' tables for pictures of 1 / 2^scale of the size."""
        return dataclasses.replace(
            self,
            image_size=self.image_size >> scale,
            patch_size=self.patch_size >> scale,
            global_outputs=self.global_outputs[scale:],
            local_outputs=self.local_outputs[scale:],
            scales=1,
        )

    @property
    def thickest_hole(self):
        """Of the holes that it is made for, in pixels."""
        return self.hole_size or self.patch_size


ARCHITECTURES = {
    # [1] Table 2: 256 px images, 128 px patches.
    "iizuka2017": Architecture(
        completion=IIZUKA2017_COMPLETION,
        output="sigmoid",
        image_size=256,
        patch_size=128,
        global_outputs=(64, 128, 256, 512, 512, 512),
        local_outputs=(64, 128, 256, 512, 512),
    ),
    # [1]'s CelebA model has the same layers at the size of the aligned faces (178x218): 160 px
    # images and 96 px patches, and one global convolution fewer, as ports of it have.
    "iizuka2017_celeba": Architecture(
        completion=IIZUKA2017_COMPLETION,
        output="sigmoid",
        image_size=160,
        patch_size=96,
        global_outputs=(64, 128, 256, 512, 512),
        local_outputs=(64, 128, 256, 512, 512),
    ),
    # [2] Sections 2.2, 2.3 and 4.1: 128 px images, 64 px patches, five and four convolutions.
    "wang2020": Architecture(
        completion=WANG2020_COMPLETION,
        output="tanh",
        image_size=128,
        patch_size=64,
        global_outputs=(64, 128, 256, 512, 512),
        local_outputs=(64, 128, 256, 512),
    ),
    # [3] A single discriminator: 5x5 stride-2 convolutions from 64 to 512 channels, the first
    # without BatchNorm, LeakyReLU 0.2, and a 4x4 one to a single number. For that the last rows are
    # repeated until 4x4 are left: ours, as are the sizes, holes of up to 100 px in 256x256 ones.
    "practice": Architecture(
        completion=PRACTICE_COMPLETION,
        output="tanh",
        image_size=256,
        patch_size=0,
        global_outputs=(64, 128, 256, 512, 512, 512),
        local_outputs=(),
        leak=0.2,
        first_norm=False,
        bias=False,
        hole_size=100,
    ),
}
# All of it halved; ours.
ARCHITECTURES["practice_128"] = dataclasses.replace(
    ARCHITECTURES["practice"],
    image_size=128,
    global_outputs=(64, 128, 256, 512, 512),
    hole_size=50,
)
