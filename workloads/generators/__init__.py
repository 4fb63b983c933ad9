"""Named workloads, one file each; found by folder."""
