"""The conditional GAN G(m, z): several answers to one hole."""
