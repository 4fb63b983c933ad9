"""The machines' hardware in Amaranth, twin of sim/units and models."""
