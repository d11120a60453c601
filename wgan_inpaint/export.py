"""Exports a training run as one SavedModel with the whole search inside its graph.

    python -m wgan_inpaint.export --run_dir=RUN --output=FOLDER --iterations=300

The signatures are those of ``common.serving.export``: pictures of any size, completed on the crop
around their hole. The flags of the search become constants of the graph.
"""

from absl import flags

from common import runtime
from common.pictures.images import require_folder
from common.training.runs import RunDirectory
from flags import export as export_flags
from flags import runtime as runtime_flags
from flags import search as search_flags
from flags import training as training_flags

FLAGS = flags.FLAGS


def define_flags():
    """Defines this command's flags."""
    export_flags.define()
    runtime_flags.define_xla()
    search_flags.define()


def main():
    """Exports the latest checkpoint, or that of ``--step``."""
    training_flags.required("run_dir")
    run = RunDirectory(FLAGS.run_dir)
    path = FLAGS.output or run.saved_model
    run.read_flags()  # refuses what is no run
    require_folder(path)
    search_flags.settings()  # and contradictory flags

    tf = runtime.import_tensorflow()
    from wgan_inpaint import exporting, loading, restoring

    restored = restoring.restore(run, FLAGS.step)
    networks_ = loading.fold(restored, tf.as_dtype(FLAGS.storage))
    settings = search_flags.settings(networks_)
    jit_compile = runtime.choose_xla(FLAGS.xla)
    exporting.save(networks_, settings, path, jit_compile)


if __name__ == "__main__":
    define_flags()
    runtime.run(main)
