"""Trains a method that completes in one forward pass: GLCIC, or one of the baselines.

    python -m glcic.train --flagfile=flags/papers/wang2020.flags --dataset=FOLDER --run_dir=RUN
    python -m glcic.train --flagfile=flags/papers/pathak2016.flags --dataset=FOLDER --run_dir=RUN
    python -m glcic.train --method=autoencoder --help

Start the same command again to go on after any interruption. ``--help`` shows the flags of the
method that ``--method`` names.
"""

import sys

from common import runtime
from flags import data as data_flags
from flags import masks as mask_flags
from flags import methods as method_flags
from flags import runtime as runtime_flags
from flags import training as training_flags
from glcic import METHODS

PARSER = method_flags.parser(METHODS, "training")


def define_flags():
    """Defines the flags that all methods share."""
    data_flags.define(several=True)
    data_flags.define_preparation()
    mask_flags.define()
    training_flags.define()
    runtime_flags.define()
    runtime_flags.define_training()


def main():
    """Trains, then exports the SavedModel."""
    training_flags.required("dataset", "run_dir")
    method, settings = method_flags.chosen(METHODS, "training")
    job = training_flags.job(settings, METHODS)

    runtime.import_tensorflow()
    from common.training import driver

    sys.exit(driver.train(method, settings, job))


if __name__ == "__main__":
    define_flags()
    runtime.run(main, PARSER)
