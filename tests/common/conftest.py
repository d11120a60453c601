"""Fixtures that test modules of ``common`` share."""

import keras
import pytest


@pytest.fixture
def blank_kernels(monkeypatch):
    """Networks that are built have kernels of zeros: to draw numbers for wide ones takes longer."""

    def zeros(initializer, shape, dtype=None):
        del initializer
        return keras.ops.zeros(shape, dtype)

    monkeypatch.setattr(keras.initializers.GlorotUniform, "__call__", zeros)
