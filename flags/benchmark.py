"""Flags of the benchmark commands."""

from absl import flags

from common.errors import InputError

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
    """``--batches`` as a list of int."""
    try:
        sizes = [int(batch) for batch in FLAGS.batches]
    except ValueError as error:
        raise InputError(f"--batches={','.join(FLAGS.batches)}: whole numbers only") from error
    if not sizes or min(sizes) < 1:
        raise InputError(f"--batches={','.join(FLAGS.batches)}: at least 1")
    return sizes
