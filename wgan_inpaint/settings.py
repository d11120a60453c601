"""What is chosen of the networks of latent search and their training. No TensorFlow.

[1] A. Radford, L. Metz, S. Chintala. Unsupervised Representation Learning with Deep
    Convolutional Generative Adversarial Networks. ICLR 2016. Section 3 and Figure 1.
"""

import dataclasses
from typing import NamedTuple

from common.completion.files import sample_endings
from common.errors import InputError
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


class Stage(NamedTuple):
    """Updates of the generator at a size in pixels; in the first ``fade`` ones it fades in."""

    size: int
    steps: int
    batch_size: int
    fade: int = 0


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
    progressive: tuple = setting(
        (),
        "dcgan: the first updates of the generator at smaller sizes, SIZE:STEPS:BATCH[:FADE],...: "
        "each twice the one before or more; in its first FADE updates a size fades in.",
    )
    fade_steps: int = setting(0, "progressive: updates at full size in which it fades in.", least=0)
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

    def __post_init__(self):
        """Refuses stages that cannot be trained."""
        if self.progressive or self.fade_steps:
            self.stages  # noqa: B018

    @property
    def stages(self):
        """The sizes that ``progressive`` names and then the full one: [``Stage``].

        Raises:
          InputError: an entry of another form, or one that cannot be trained.
        """
        found, full = [], self.image_size
        for entry in self.progressive:
            numbers = entry.split(":")
            if len(numbers) not in (3, 4) or not all(map(str.isdecimal, numbers)):
                raise InputError(f"--progressive: {entry!r} is no SIZE:STEPS:BATCH[:FADE]")
            found.append(Stage(*map(int, numbers)))
        left = self.generator_steps - sum(stage.steps for stage in found)
        found.append(Stage(full, max(0, left), self.batch_size, self.fade_steps))
        sizes = [full >> n for n in range(1, 6) if full >> n > START]
        before = 0
        for stage in found:
            told = f"--progressive: {stage.size}"
            if stage.size not in (*sizes, full) or (stage.size == full) != (stage is found[-1]):
                raise InputError(f"{told}: choose a size of {', '.join(map(str, sizes))}")
            if stage.size <= before:
                raise InputError(f"{told}: behind {before}; sizes must grow")
            if not stage.batch_size or not stage.steps and stage is not found[-1]:
                raise InputError(f"{told}: need an update and an image at least")
            if stage.fade and (2 * before != stage.size or stage.fade > stage.steps):
                raise InputError(
                    f"{told}: fades in {stage.fade} of {stage.steps} updates behind {before} px; "
                    "need half the size before it, and no fewer updates than fading takes"
                )
            before = stage.size
        if left < 0:
            raise InputError("--progressive: more updates than --generator_steps")
        if self.progressive and found[-1].steps <= self.fade_steps:
            raise InputError(
                f"--generator_steps={self.generator_steps}: none is left at full size behind "
                "--progressive and --fade_steps"
            )
        if self.architecture != "dcgan" and self.progressive:
            raise InputError(f"--progressive: not with --architecture={self.architecture}")
        return found

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
