"""One file, one recipe."""
