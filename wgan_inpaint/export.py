"""Exports a training run as one SavedModel: of latent search, with the whole search in its graph.

    python -m wgan_inpaint.export --run_dir=RUN --output=FOLDER --iterations=300

The signatures are those of ``common.serving.export``: pictures of any size, completed on the crop
around their hole. The flags of the method become constants of the graph.
"""

from absl import flags

from common import runtime
from common.training.runs import RunDirectory
from flags import export as export_flags
from flags import methods as method_flags
from flags import runtime as runtime_flags
from flags import training as training_flags
from wgan_inpaint import METHODS

FLAGS = flags.FLAGS
PARSER = method_flags.parser(METHODS, "completing", described=method_flags.of_run)


def define_flags():
    """Defines the flags that all methods share."""
    export_flags.define()
    runtime_flags.define_seed()
    runtime_flags.define_xla()


def main():
    """Exports the latest checkpoint, or that of ``--step``."""
    training_flags.required("run_dir")
    method, completing = method_flags.chosen(METHODS, "completing")
    run = RunDirectory(FLAGS.run_dir)
    run.read_flags()  # refuses what is no run
    path = export_flags.output(run)

    runtime.import_tensorflow()
    from common.training import driver

    jit_compile = runtime.choose_xla(FLAGS.xla)
    driver.export(
        method, run, path, completing, FLAGS.step, FLAGS.storage, jit_compile, FLAGS.about
    )


if __name__ == "__main__":
    define_flags()
    runtime.run(main, PARSER)
