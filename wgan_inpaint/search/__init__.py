"""Latent search: losses, optimizers, starts, the loop."""
