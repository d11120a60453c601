"""Comparisons of starts, runs and several answers to one hole, and what runs tell of themselves."""
