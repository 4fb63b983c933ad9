"""Functional units: the bit-true kernel and Contract of each, one file per unit."""
