"""How every method is trained: trainer, run, optimizers, losses, layers, folding for inference."""
