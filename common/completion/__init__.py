"""A picture of any size through a trained network: models, windows, blending, files."""
