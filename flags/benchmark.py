"""Flags of the benchmark commands."""

from absl import flags

from common import flag_checks

FLAGS = flags.FLAGS


def define(what, batches=("1", "8")):
    """Defines the flags of this group.

    Args:
      what: the parts that can be measured.
      batches: default of ``--batches``.
    """
    flags.DEFINE_multi_enum("what", what, what, "Part to measure; repeat the flag for several.")
    flags.DEFINE_multi_enum(
        "precisions", ["float32", "bfloat16"], ["float32", "bfloat16"], "Precisions to measure."
    )
    flags.DEFINE_multi_enum("xlas", ["off", "on"], ["off", "on"], "XLA settings to measure.")
    flags.DEFINE_list("batches", list(batches), "Batch sizes of inference.")
    flags.DEFINE_integer("repeats", 5, "Calls to time; the median counts.", lower_bound=1)


def batches():
    """``--batches`` as a list of int.

    Raises:
      InputError: an entry that is no whole number, or beyond bounds.
    """
    return [flag_checks.check_number("batches", batch) for batch in FLAGS.batches]
