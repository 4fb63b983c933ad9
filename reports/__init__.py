"""Figures, pages, and the papers' experiments with their published results."""
