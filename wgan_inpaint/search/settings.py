"""What is chosen of a search: how z is found, and what is written of it. No TensorFlow.

[1] R. Yeh et al. Semantic Image Inpainting with Deep Generative Models. CVPR 2017. Section 3.
[2] B. Amos. Image Completion with Deep Learning in TensorFlow. 2016, and its code.
[3] 基于WGAN的图像修复: the document that this package follows, after [1] and [2].
"""

import dataclasses

from common.errors import InputError
from common.pictures import images as image_files
from common.settings import setting

OPTIMIZERS = ("adam", "momentum", "hmc", "lbfgs")
CONTEXTS = ("weighted_l1", "l1", "l2")
INITS = ("random", "ranked", "encoder")
PRIORS = ("gan", "wgan", "wgan_gp")
DECAYS = ("none", "cosine")
LOWRES = "lowres"  # the kind of mask that is none
ANIMATIONS = tuple(suffix[1:] for suffix in image_files.ANIMATION_SUFFIXES)


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to search; the defaults are ours, a fifth of the papers' iterations.

    Attributes:
      seed: of everything random.
      iterations: of the optimizer ([1]: 1,500).
      optimizer: one of ``OPTIMIZERS``: Adam, Nesterov's momentum as in the code of [1] and [2],
        Hamiltonian Monte Carlo as in [2], or limited-memory BFGS (``lbfgs``), which is ours.
      learning_rate: of Adam and momentum.
      decay: one of ``DECAYS``: that rate throughout, or falling to 0 at the end of ``iterations``.
      beta_1, beta_2: of Adam.
      momentum: of Nesterov's.
      hmc_step, hmc_leapfrogs, hmc_beta, hmc_anneal: of HMC: step size, leapfrog steps in an
        iteration, inverse temperature, and the factor that it changes by after each iteration.
      prior_weight: lambda ([1]: 0.003, [2]: 0.1), of log(1 - D(G(z))) or, of a Wasserstein critic,
        of -f in standard deviations of f over G's own pictures.
      context: one of ``CONTEXTS``; sums over pixels and channels of pictures in [-1, 1].
      window: side of the neighbourhood of "weighted_l1" in pixels ([1]: 7).
      clip: z is clipped to [-1, 1] after each iteration.
      restarts: R, latent vectors for each image, of which the one with the least loss is kept.
      init: one of ``INITS``: z ~ U[-1, 1]; the best of ``candidates`` such z by context loss; or,
        for the first restart, what the encoder says (the others are ranked). "auto": see
        ``settled``.
      candidates: see ``init``.
    """

    seed: int = 0
    iterations: int = setting(300, "Of the optimizer.", least=0)
    optimizer: str = setting(
        "adam",
        "Adam, Nesterov's momentum, Hamiltonian Monte Carlo, or limited-memory BFGS.",
        choices=OPTIMIZERS,
    )
    learning_rate: float = setting(0.01, "Of adam and momentum.", least=0.0)
    decay: str = setting(
        "none",
        "adam, momentum: the rate stays, or falls along a cosine to 0 after --iterations.",
        choices=DECAYS,
    )
    beta_1: float = setting(0.9, "Of adam.", least=0.0, most=1.0)
    beta_2: float = setting(0.999, "Of adam.", least=0.0, most=1.0)
    momentum: float = setting(0.9, "Of momentum.", least=0.0, most=1.0)
    hmc_step: float = setting(0.001, "hmc: step size.", least=0.0)
    hmc_leapfrogs: int = setting(100, "hmc: leapfrog steps in an iteration.", least=1)
    hmc_beta: float = setting(0.2, "hmc: inverse temperature.", least=0.0)
    hmc_anneal: float = setting(1.0, "hmc: hmc_beta's factor in each iteration.", least=0.0)
    prior_weight: float = setting(0.003, "Lambda, of the prior loss.", least=0.0)
    context: str = setting("weighted_l1", "How known pixels are compared.", choices=CONTEXTS)
    window: int = setting(7, "weighted_l1: side of the neighbourhood (pixels).", least=1)
    clip: bool = setting(True, "Clip z to [-1, 1] after each iteration.")
    restarts: int = setting(
        1, "Searches for each completion; the one of least loss is kept.", least=1
    )
    init: str = setting(
        "auto",
        "First z: at random, the best of --candidates, or the encoder's guess with the best of "
        "--candidates behind it; auto: encoder if there is one that fits, else ranked.",
        choices=("auto", *INITS),
    )
    candidates: int = setting(1024, "Random z to choose from.", least=1)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            choices = field.metadata.get("choices")
            if choices and getattr(self, field.name) not in choices:
                raise InputError(
                    f"--{field.name}={getattr(self, field.name)}: choose one of "
                    f"{', '.join(choices)}"
                )
        if self.window < 1 or self.window % 2 == 0:
            raise InputError(f"--window={self.window}: give an odd number of pixels")
        if self.restarts < 1 or (self.init != "random" and self.candidates < self.restarts):
            raise InputError(
                f"--restarts={self.restarts}: at least 1, and at most --candidates "
                f"({self.candidates}), of which they are the best"
            )

    def settled(self, encoder):
        """The same with "auto" decided.

        Args:
          encoder: there is one that fits.
        """
        if self.init != "auto":
            return self
        return dataclasses.replace(self, init="encoder" if encoder else "ranked")

    def for_samples(self, samples):
        """The same with the restarts of so many completions together.

        Raises:
          InputError: that is more than the candidates, of which they are the best.
        """
        restarts = self.restarts * samples
        if samples > 1 and self.init != "random" and restarts > self.candidates:
            raise InputError(
                f"--samples={samples}: with {self.restarts} restarts each, more than --candidates="
                f"{self.candidates}, of which they are the best; raise that"
            )
        return dataclasses.replace(self, restarts=restarts)


PAPER = Settings(iterations=1500, init="random")  # [1]


@dataclasses.dataclass(frozen=True)
class Writing:
    """What the command that completes writes besides the pictures, and whether it enlarges."""

    samples: int = 1
    mask: str = None
    mask_kind: tuple = ("center",)
    history: bool = setting(True, "Write the losses of every iteration, NAME_loss.csv.")
    snapshots: tuple = setting((), "Iterations whose pictures are kept, in NAME_strip.png.")
    snapshot_every: int = setting(0, "Keep every so-manyth iteration's picture; 0: none.", least=0)
    animation: str = setting(
        "none", "Kept pictures as an animation, NAME_search.*.", choices=("none", *ANIMATIONS)
    )
    lowres: int = setting(
        8,
        f"mask_kind={LOWRES}: an image is known by its averages over blocks of this side (pixels); "
        "the result has the generator's size.",
        least=2,
    )

    def __post_init__(self):
        if LOWRES in self.mask_kind and (self.mask_kind != (LOWRES,) or self.mask):
            raise InputError(
                f"--mask_kind={LOWRES}: stands alone, without --mask; it is super-resolution"
            )

    @property
    def needs_masks(self):
        """Whether pictures have holes."""
        return not self.block

    def endings(self, completing):
        """Of the names of the files, as ``common.completion.files.plan_outputs`` takes them.

        Args:
          completing: the ``Settings``.

        Raises:
          InputError: as ``extras`` and ``Settings.for_samples``.
        """
        completing.for_samples(self.samples)
        return self.extras(completing.iterations).endings()

    @property
    def block(self):
        """Side of the blocks of which a picture's averages are known, or 0: it has a hole."""
        return self.lowres if LOWRES in self.mask_kind else 0

    def extras(self, iterations):
        """The ``Extras``.

        Raises:
          InputError: a snapshot of none of the iterations, or an animation of none.
        """
        try:
            chosen = {int(text) for text in self.snapshots}
        except ValueError as error:
            raise InputError(
                f"--snapshots={','.join(self.snapshots)}: give numbers of iterations"
            ) from error
        if self.snapshot_every:
            chosen |= {*range(0, iterations, self.snapshot_every), iterations}
        wrong = [n for n in sorted(chosen) if not 0 <= n <= iterations]
        if wrong:
            raise InputError(
                f"--snapshots: {wrong[0]} is none of the {iterations} iterations, from 0"
            )
        if self.animation != "none" and not chosen:
            raise InputError(
                f"--animation={self.animation}: of what? give --snapshots or --snapshot_every"
            )
        return Extras(
            samples=self.samples,
            history=self.history,
            snapshots=tuple(sorted(chosen)),
            animation="" if self.animation == "none" else self.animation,
        )


@dataclasses.dataclass(frozen=True)
class Extras:
    """What is written besides the completed picture NAME.png.

    Attributes:
      samples: different completions: if more than 1, NAME_sample1.png, ... from the least loss to
        the greatest (NAME.png is the first), and all with their losses in NAME_samples.png.
      history: losses of the first one, NAME_loss.csv.
      snapshots: iterations, ascending, at which its picture is kept, in NAME_strip.png.
      animation: "gif" or "webp": the same one after another in NAME_search.*; or "".
    """

    samples: int = 1
    history: bool = True
    snapshots: tuple = ()
    animation: str = ""

    def endings(self):
        """Of the names of the files, as ``common.completion.files.plan_outputs`` takes them."""
        endings = ["_loss.csv"] if self.history else []
        if self.snapshots:
            endings += ["_strip.png"]
        if self.animation:
            endings += [f"_search.{self.animation}"]
        if self.samples > 1:
            endings += [f"_sample{n}.png" for n in range(1, self.samples + 1)] + ["_samples.png"]
        return tuple(endings)
