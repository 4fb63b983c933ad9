"""Design-space exploration: from one design to the frontier."""
