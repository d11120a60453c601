"""Trained methods for others: the exported signatures, and what runs them."""
