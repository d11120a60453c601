"""Flags of the machine: precision, XLA, seeds."""

from absl import flags

from common import runtime

FLAGS = flags.FLAGS


def define():
    """Defines the flags that every command with a network has."""
    flags.DEFINE_enum(
        "precision",
        "auto",
        runtime.PRECISIONS,
        "Of the networks' products; auto: bfloat16 where the hardware multiplies it natively.",
    )
    define_seed()


def define_seed():
    """Defines ``--seed``."""
    flags.DEFINE_integer("seed", 0, "Of everything random.", lower_bound=0, upper_bound=2**31 - 1)


def define_xla():
    """Defines ``--xla``, for commands whose graph it compiles."""
    flags.DEFINE_enum(
        "xla",
        "auto",
        runtime.SWITCH,
        "Compile with XLA; auto: on a GPU, and on a CPU that else could not train in bfloat16.",
    )


def define_training():
    """Defines the flags of commands that train."""
    define_xla()
    flags.DEFINE_bool("deterministic", False, "Forbid kernels whose result may vary (slower).")
