"""Fixtures that tests of the package share."""

import pytest


@pytest.fixture
def eagerly():
    """TensorFlow's functions run untraced: tracing takes longer than a few iterations.

    For what does not depend on the graph. That it computes the same is tested elsewhere.
    """
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
