"""Amaranth components, one file per functional unit; twins of sim/units by file name."""
