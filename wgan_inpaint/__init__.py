"""Completion by latent search: a WGAN's generator, and the z whose picture fits the known pixels."""
