"""Completion by latent search: a WGAN's generator, and the z that fits the known pixels."""
