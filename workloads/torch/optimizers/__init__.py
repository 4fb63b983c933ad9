"""One file, one family of optimizers."""
