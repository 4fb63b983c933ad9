"""One file, one way to keep weights sparse."""
