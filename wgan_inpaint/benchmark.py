"""Prints how fast the methods of this package complete and train on this machine.

    python -m wgan_inpaint.benchmark

How things are measured: ``wgan_inpaint.timing``.
"""

from absl import flags

from common import runtime
from flags import benchmark as benchmark_flags

FLAGS = flags.FLAGS


def define_flags():
    """Defines this command's flags."""
    parts = ["search", "classic", "training", "samples", "conditional", "cnnlg"]
    benchmark_flags.define(parts, batches=("1", "8", "64"))


def main():
    """Prints one Markdown table."""
    batches = benchmark_flags.batches()
    runtime.import_tensorflow()
    from wgan_inpaint import timing

    timing.print_table(FLAGS.what, FLAGS.precisions, FLAGS.xlas, batches, FLAGS.repeats)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
