"""One file, one way to change how a network is trained."""
