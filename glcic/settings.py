"""What is chosen of GLCIC and of the baselines, and of their training. No TensorFlow."""

import dataclasses
from typing import NamedTuple

from common.errors import InputError
from common.settings import Supervision, setting, steps
from glcic.architectures import ARCHITECTURES, ATTENTION_BRANCH
from glcic.geometry import SIZE, geometry

_GAN = ("nonsaturating", "minimax")
_GLCIC_GAN = (*_GAN, "hinge", "least_squares")
PAPERS_LAYERS = "wang2020"
# VGG19's convolutions, by Keras's names.
_VGG19 = tuple(
    f"block{block}_conv{n}"
    for block, count in enumerate((2, 2, 4, 4, 4), 1)
    for n in range(1, count + 1)
)


PHASES = ("completion", "discriminator", "joint")


class Stage(NamedTuple):
    """Steps of a phase at a smaller size, in pixels."""

    phase: str
    size: int
    steps: int
    batch_size: int


@dataclasses.dataclass(frozen=True)
class Glcic(Supervision):
    """Iizuka 2017, and Wang & Wang 2020; without a flag, the former's constants."""

    batch_size: int = 96
    optimizer: str = "adadelta"
    learning_rate: float = 1.0
    decay: str = "none"
    seed: int = 0
    mask_kind: tuple = ("rectangle",)
    architecture: str = setting("wang2020", "The paper's networks.", choices=tuple(ARCHITECTURES))
    width: float = setting(1.0, "Factor on every layer's channels.", least=1 / 64, most=16)
    attention: bool = setting(
        False, "Contextual attention in a branch beside the completion network's dilated layers."
    )
    discriminator_learning_rate: float = setting(
        0.0, "Of the discriminators; 0: learning_rate.", least=0.0
    )
    completion_steps: int = steps(90_000, "Phase 1 (T_C).", least=0)
    discriminator_steps: int = steps(10_000, "Phase 2 (T_D).", least=0)
    joint_steps: int = steps(400_000, "Phase 3.", least=0)
    progressive: tuple = setting(
        (),
        "Steps at smaller sizes, PHASE:SIZE:STEPS:BATCH,...: the first ones of phase completion, "
        "discriminator or joint, in this order; SIZE in pixels, BATCH images in a step.",
    )
    progressive_steps: int = steps(0, "Of phase 1, so many first steps at half size.", least=0)
    progressive_batch_size: int = setting(0, "Images in such a step; 0: batch_size.", least=0)
    alpha: float = setting(0.0004, "Weight of the GAN loss.", least=0.0)
    reconstruction_weight: float = setting(1.0, "Weight of the reconstruction loss.", least=0.0)
    beta: float = setting(0.0, "Weight of the perceptual loss.", least=0.0)
    gan: str = setting(
        "nonsaturating",
        "Cross-entropy, the completion network's -log D or log(1 - D), or another loss of both.",
        choices=_GLCIC_GAN,
    )
    self_attention: bool = setting(
        False, "Discriminators with self-attention, and spectral normalization for BatchNorm."
    )
    discriminator_scales: int = setting(
        1,
        "Discriminators of their own at the full size, at half of it, ...; their losses are added.",
        least=1,
        most=3,
    )
    reconstruction: str = setting(
        "all",
        "Squared error in the hole: mean over all pixels, in [0, 1]; over the missing, in [-1, 1]; "
        "or over all for each of several holes, in [-1, 1], and then over these.",
        choices=("all", "missing", "each_hole"),
    )
    distance: str = setting(
        "squared",
        "Error of the reconstruction, squared as the papers have it or absolute (L1).",
        choices=("squared", "absolute"),
    )
    known_weight: float = setting(
        0.0, "Of known pixels in the reconstruction; 1 in the hole.", least=0.0
    )
    scales: int = setting(
        1,
        "Sizes, each half of the one before, that the reconstruction and perceptual losses are "
        "means over.",
        least=1,
        most=4,
    )
    perceptual_on: str = setting(
        "pasted",
        "Perceptual loss of the output pasted into the picture, or of the output itself.",
        choices=("pasted", "output"),
    )
    content_layer: str = setting(
        PAPERS_LAYERS,
        "Perceptual loss: that of wang2020, L1 of three layers' features, or the squared error of "
        "this layer's before its ReLU.",
        choices=(PAPERS_LAYERS, *_VGG19),
    )
    judged: str = setting(
        "pasted",
        "Discriminators judge the output pasted into the picture, or the output itself.",
        choices=("pasted", "output"),
    )
    fill: str = setting(
        "mean",
        "Colour of the hole in the network's input: the training set's mean, grey or black.",
        choices=("mean", "grey", "black"),
    )
    levelled: bool = setting(
        False,
        "The output's difference from the known pixels around a hole is diffused into the hole "
        "and added, as Poisson blending does, in training too.",
    )
    vgg19_weights: str = setting(
        "imagenet", "File of VGG19 weights (.h5, .npz), or imagenet: download."
    )

    def __post_init__(self):
        """Refuses what cannot be learned from damaged pictures."""
        super().__post_init__()
        self.check_stages()
        if self.levelled and self.known_weight:
            raise InputError(
                "--levelled returns the known pixels themselves: there is nothing to ask for with "
                "--known_weight"
            )
        if self.supervision == "damaged" and (self.discriminator_steps or self.joint_steps):
            raise InputError(
                "--supervision=damaged trains the completion network alone: give "
                "--discriminator_steps=0 and --joint_steps=0, and train on with --init_from"
            )

    @property
    def stages(self):
        """The rows of ``progressive``: [``Stage``].

        Raises:
          InputError: an entry of another form.
        """
        found = []
        for entry in self.progressive:
            phase, *numbers = entry.split(":")
            if phase not in PHASES or len(numbers) != 3 or not all(map(str.isdecimal, numbers)):
                raise InputError(
                    f"--progressive: {entry!r} is no PHASE:SIZE:STEPS:BATCH, PHASE being one of "
                    f"{', '.join(PHASES)}"
                )
            found.append(Stage(phase, *map(int, numbers)))
        return found

    def check_stages(self):
        """Refuses stages that cannot be trained.

        Raises:
          InputError: says which, and why.
        """
        tables, left = self.tables, {name: getattr(self, f"{name}_steps") for name in PHASES}
        if self.progressive and self.progressive_steps:
            raise InputError("--progressive and --progressive_steps: give one of both")
        for stage in self.stages:
            told = f"--progressive: {stage.phase}:{stage.size}"
            shrink = tables.image_size // max(1, stage.size)
            rows = len(tables.local_outputs or tables.global_outputs) - 1
            most = 2**rows if stage.phase != "completion" else tables.image_size // 16
            sizes = [tables.image_size >> n for n in range(1, 9) if 2**n <= most]
            if stage.size not in sizes:
                raise InputError(f"{told}: choose a size of {', '.join(map(str, sizes))}")
            if not stage.steps or not stage.batch_size:
                raise InputError(f"{told}: need a step and an image at least")
            if stage.phase != "completion" and tables.scales > 1 and shrink > 1:
                raise InputError(f"{told}: not with --discriminator_scales={tables.scales}")
            left[stage.phase] -= stage.steps
            if left[stage.phase] < 0:
                raise InputError(f"{told}: more steps than --{stage.phase}_steps")

    @property
    def tables(self):
        """The ``glcic.architectures.Architecture``, with what is added to it."""
        return dataclasses.replace(
            ARCHITECTURES[self.architecture],
            branch=ATTENTION_BRANCH if self.attention else (),
            self_attention=self.self_attention,
            scales=self.discriminator_scales,
        )

    @property
    def size(self):
        """Side of the training images in pixels."""
        return self.tables.image_size


@dataclasses.dataclass(frozen=True)
class Autoencoder:
    """The encoder-decoder of Pathak 2016, trained on its reconstruction alone; its constants."""

    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 2e-4
    decay: str = "none"
    seed: int = 0
    mask_kind: tuple = ("center",)
    hole_size: int = 0
    width: float = setting(1.0, "Factor on every layer's channels.", least=1 / 64, most=16)
    baseline_steps: int = steps(100_000, "Steps of the run.", least=1)
    overlap: int = setting(4, "Known pixels around the hole that are predicted.", least=0)
    overlap_weight: float = setting(10.0, "Of their squared error; 1 in the hole.", least=0.0)
    lambda_rec: float = setting(0.999, "Weight of the reconstruction loss.", least=0.0)
    beta_1: float = setting(0.5, "Of Adam.", least=0.0, most=1.0)

    size = SIZE

    def __post_init__(self):
        self.geometry  # noqa: B018  refuses lengths that do not fit

    @property
    def geometry(self):
        """Where the hole is, and what is predicted: ``glcic.geometry.Geometry``."""
        return geometry(self.mask_kind, self.hole_size, self.overlap)


@dataclasses.dataclass(frozen=True)
class ContextEncoder(Autoencoder):
    """The same with a discriminator of the middle (Pathak 2016)."""

    discriminator_learning_rate: float = setting(
        0.0, "Of the discriminator; 0: learning_rate.", least=0.0
    )
    lambda_adv: float = setting(0.001, "Weight of the GAN loss.", least=0.0)
    gan: str = setting("nonsaturating", "Encoder-decoder's GAN term.", choices=_GAN)
