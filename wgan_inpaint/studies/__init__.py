"""Comparisons of starts and of training runs, and what runs tell of themselves."""
