"""The machines in Amaranth; each file gives its component as ``TWIN``."""
