"""Commands with a file of their own; ``siloom.cli`` puts them together."""
