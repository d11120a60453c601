"""Flags of the benchmark commands."""

from absl import flags

FLAGS = flags.FLAGS


def define(what):
    """Defines the flags of this group; ``what`` lists the parts that can be measured."""
    flags.DEFINE_multi_enum("what", what, what, "Part to measure; repeat the flag for several.")
    flags.DEFINE_multi_enum(
        "precisions", ["float32", "bfloat16"], ["float32", "bfloat16"], "Precisions to measure."
    )
    flags.DEFINE_multi_enum("xlas", ["off", "on"], ["off", "on"], "XLA settings to measure.")
    flags.DEFINE_list("batches", ["1", "8"], "Batch sizes of inference.")
    flags.DEFINE_integer("repeats", 5, "Calls to time; the median counts.", lower_bound=1)
