"""GLCIC: globally and locally consistent image completion (Iizuka 2017; Wang & Wang 2020)."""

import common  # noqa: F401  before anything imports TensorFlow, whose environment it sets

SHIPPED = "faces"  # what `shipped:glcic` stands for
