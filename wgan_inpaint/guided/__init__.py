"""CNNLG: latent guides, which draw the codes of a hole, and gradient guidance."""
