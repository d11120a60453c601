"""Completion by latent search: a WGAN's generator, and the z that fits the known pixels."""

import common  # noqa: F401  before anything imports TensorFlow, whose environment it sets

SHIPPED = "faces"  # what `shipped:wgan_inpaint` stands for
