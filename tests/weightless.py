"""Networks of full width that take no memory: shapes without weights."""

import contextlib

import keras
from keras.src.backend.common import global_state


@contextlib.contextmanager
def shapes_only():
    """The variables of what is built inside have shapes and no values."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    # Keras would make up for all of them at the end of the next scope, whoever opens it.
    global_state.set_global_attribute("uninitialized_variables", [])
