"""One file, one schedule of the learning rate."""
