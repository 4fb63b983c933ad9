"""The machines' sizes and trials, the model's side of their proof; each file gives one as ``HARDWARE``."""
