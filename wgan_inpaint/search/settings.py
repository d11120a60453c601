"""What is chosen of a search: how z is found, and what is written of it. No TensorFlow.

[1] R. Yeh et al. Semantic Image Inpainting with Deep Generative Models. CVPR 2017. Section 3.
[2] B. Amos. Image Completion with Deep Learning in TensorFlow. 2016, and its code.
[3] 基于WGAN的图像修复: the document that this package follows, after [1] and [2].
"""

import dataclasses

from common.errors import InputError

OPTIMIZERS = ("adam", "momentum", "hmc", "lbfgs")
CONTEXTS = ("weighted_l1", "l1", "l2")
INITS = ("random", "ranked", "encoder")
PRIORS = ("gan", "wgan", "wgan_gp")
DECAYS = ("none", "cosine")


@dataclasses.dataclass(frozen=True)
class Settings:
    """How to search.

    Attributes:
      iterations: of the optimizer.
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
        for the first restart, what the encoder says (the others are ranked).
      candidates: see ``init``.
      lowres: if not 0, what is known of an image is its average over blocks of so many pixels
        ([2]: 8), and no pixel of its own: super-resolution. Masks are then ignored.
      seed: of everything random.
    """

    iterations: int = 1500
    optimizer: str = "adam"
    learning_rate: float = 0.01
    decay: str = "none"
    beta_1: float = 0.9
    beta_2: float = 0.999
    momentum: float = 0.9
    hmc_step: float = 0.001
    hmc_leapfrogs: int = 100
    hmc_beta: float = 0.2
    hmc_anneal: float = 1.0
    prior_weight: float = 0.003
    context: str = "weighted_l1"
    window: int = 7
    clip: bool = True
    restarts: int = 1
    init: str = "random"
    candidates: int = 1024
    lowres: int = 0
    seed: int = 0

    def __post_init__(self):
        allowed = {"optimizer": OPTIMIZERS, "context": CONTEXTS, "init": INITS, "decay": DECAYS}
        for name, choices in allowed.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"--{name}={getattr(self, name)}: choose one of {', '.join(choices)}"
                )
        if self.window < 1 or self.window % 2 == 0:
            raise InputError(f"--window={self.window}: give an odd number of pixels")
        if self.restarts < 1 or (self.init != "random" and self.candidates < self.restarts):
            raise InputError(
                f"--restarts={self.restarts}: at least 1, and at most --candidates "
                f"({self.candidates}), of which they are the best"
            )


# Ours: a fifth of the papers' iterations, for networks with an encoder.
FAST = Settings(iterations=300, init="encoder")


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
