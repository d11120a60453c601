"""What is chosen of CNNLG: training and completing. No TensorFlow."""

import dataclasses

from common.settings import setting, steps

SIZES = (32, 64, 128)
STRIDES = (4, 8)
DENSITIES = ("logistic", "laplace")
# The document's second experiment: smoothness and detail, see ``Completing``.
GUIDANCE = {
    "neither": (0.0, 0.0),
    "latent": (1000.0, 0.0),
    "gradient": (0.0, 1.0),
    "both": (3.0, 1.0),
}
ACTIVATIONS = ("silu", "elu", "gelu", "relu", "leaky_relu")


@dataclasses.dataclass(frozen=True)
class Guided:
    """Networks and training, step by step; the defaults are ours: the document names no number."""

    batch_size: int = 16
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    decay: str = "cosine"
    seed: int = 0
    mask_kind: tuple = ("center", "rectangle")
    image_size: int = setting(64, "Side of the pictures (pixels).", choices=SIZES)
    stride: int = setting(4, "Pixels from point to point of the field.", choices=STRIDES)
    codes: int = setting(128, "K, size of the codebook.", least=2)
    code_length: int = setting(32, "D, length of a code's vector.", least=1)
    density: str = setting("logistic", "Of every pixel.", choices=DENSITIES)
    mixtures: int = setting(1, "Components of that density.", least=1)
    activation: str = setting("silu", "Of encoder and decoder.", choices=ACTIVATIONS)
    robustness: float = setting(
        0.0, "lambda of the robustness term J = |dL/dtheta|^2 of the decoder; 0: none.", least=0.0
    )
    robustness_every: int = setting(
        4, "J is computed every so-manyth step, times as much.", least=1
    )
    robustness_share: float = setting(
        0.5, "Share of the batch that J is computed on.", least=0.0, most=1.0
    )
    commitment: float = setting(
        1.0, "Weight of the encoder's distance to its codes; van den Oord has 0.25.", least=0.0
    )
    code_decay: float = setting(
        0.95, "Of the averages that the codes are; van den Oord has 0.99.", least=0.0, most=1.0
    )
    revive: float = setting(
        0.5, "A code is revived if it is used less often in a step, on average.", least=0.0
    )
    beta_1: float = setting(0.9, "Of Adam.", least=0.0, most=1.0)
    beta_2: float = setting(0.99, "Of Adam.", least=0.0, most=1.0)
    clip_norm: float = setting(2.0, "Bound of a step's gradient; 0: none.", least=0.0)
    generation_steps: int = steps(100_000, "Updates of encoder and decoder.", least=0)
    guides_steps: int = steps(50_000, "Updates of the latent guides, behind them.", least=0)
    gradients_steps: int = steps(50_000, "Updates of the gradient network.", least=0)
    refinement_steps: int = steps(
        20_000, "Updates of the decoder once more, on what both have predicted.", least=0
    )
    guides_batch_size: int = setting(16, "Pictures in a step of the guides.", least=1)
    field_iterations: int = setting(
        3, "Of the mean field in training (Zheng 2015: 5; 10 in use).", least=1
    )
    unary_weight: float = setting(
        0.3, "Of the cross entropy of the unary terms alone, beside the mean field's.", least=0.0
    )
    integral_weight: float = setting(
        1.0,
        "gradients: of the mean absolute error of the picture that they add up to, beside theirs.",
        least=0.0,
    )
    told_codes: float = setting(
        0.25, "refinement: share of pictures with their true codes.", least=0.0, most=1.0
    )
    hidden_gradients: float = setting(
        0.25, "refinement: share of pictures without gradients.", least=0.0, most=1.0
    )
    refinement_learning_rate: float = setting(1e-3, "Of the decoder then.", least=0.0)
    validation: str = setting(
        "",
        "Folder, or tfds data set, of the pictures that every step is judged on; empty: the first "
        "training pictures.",
    )

    @property
    def size(self):
        """Side of the training images in pixels."""
        return self.image_size


@dataclasses.dataclass(frozen=True)
class Completing:
    """What is stored with the exported model; it can be changed at every call."""

    seed: int = 0
    smoothness: float = setting(
        3.0,
        "mu: details finer than 2 pi / sqrt(mu) pixels come from the predicted gradients, coarser "
        "ones from the decoder. 0: gradients alone; 1000: the decoder alone.",
        least=0.0,
    )
    detail: float = setting(
        1.0, "Gain on the predicted gradients: 0 is the smoothest, 1.5 sharpens.", least=0.0
    )
