"""Exports a training run's network, GLCIC's or a baseline's, as a SavedModel.

    python -m glcic.export --run_dir=RUN --output=FOLDER

The signatures are those of ``common.serving.export``; the graph is that of ``glcic.inference`` or,
for the baselines, of ``glcic.baselines``.
"""

from absl import flags

from common import runtime
from common.training.runs import RunDirectory
from flags import export as export_flags
from flags import methods as method_flags
from flags import training as training_flags
from glcic import METHODS

FLAGS = flags.FLAGS
PARSER = method_flags.parser(METHODS, "completing", described=method_flags.of_run)


def define_flags():
    """Defines this command's flags."""
    export_flags.define()


def main():
    """Exports the latest checkpoint, or that of ``--step``."""
    training_flags.required("run_dir")
    method, completing = method_flags.chosen(METHODS, "completing")
    run = RunDirectory(FLAGS.run_dir)
    run.read_flags()  # refuses what is no run
    path = export_flags.output(run)

    runtime.import_tensorflow()
    from common.training import driver

    driver.export(method, run, path, completing, FLAGS.step, FLAGS.storage, about=FLAGS.about)


if __name__ == "__main__":
    define_flags()
    runtime.run(main, PARSER)
