"""Prints how fast GLCIC (wang2020) completes and trains on this machine.

    python -m glcic.benchmark

How things are measured: ``glcic.timing``.
"""

from absl import flags

from common import runtime
from flags import benchmark as benchmark_flags

FLAGS = flags.FLAGS


def define_flags():
    """Defines this command's flags."""
    benchmark_flags.define(["completion", "training", "input"])


def main():
    """Prints one Markdown table."""
    batches = benchmark_flags.batches()
    runtime.import_tensorflow()
    from glcic import timing

    timing.print_table(FLAGS.what, FLAGS.precisions, FLAGS.xlas, batches, FLAGS.repeats)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
