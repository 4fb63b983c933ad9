"""How hardware computes and spends time. Knows no machine and no workload by name."""
