"""The machines, one file each; found by folder."""
