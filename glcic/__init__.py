"""GLCIC: globally and locally consistent image completion (Iizuka 2017; Wang & Wang 2020)."""

import common  # noqa: F401  before anything imports TensorFlow, whose environment it sets
from common.methods import Method, table
from glcic import settings

SHIPPED = "faces"  # what `shipped:glcic` stands for
PHOTOGRAPHS = "photographs"  # the network for pictures of any kind
METHODS = table(
    Method("glcic", "glcic.phases", settings.Glcic),
    Method("context_encoder", "glcic.baselines", settings.ContextEncoder),
    Method("autoencoder", "glcic.baselines", settings.Autoencoder),
)
