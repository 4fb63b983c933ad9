"""The networks that recipes train: plain modules of torch, with nothing of ours in them."""
