"""What every optimizer keeps and moves for a weight, read off its own tensors in a step.

Usage: python benchmarks/optimizers.py

Weights, gradients and state in float32, of a matrix of 64 x 64. ``siloom/workloads/torch/optimizer_cost.py`` says
what is counted.
"""

from __future__ import annotations

from siloom.show import show_rows
from siloom.workloads.torch.optimizer import optimizer, optimizers
from siloom.workloads.torch.optimizer_cost import cost


def main() -> None:
    """Print the table."""
    rows = []
    for name in optimizers():
        found = cost(optimizer(name))
        rows.append(
            {
                "optimizer": name,
                "state, bytes": found.state_bytes,
                "traffic of a step, bytes": found.traffic_bytes,
                "gradients of a step": found.gradients,
            }
        )
    show_rows("optimizers, for each weight", rows)


if __name__ == "__main__":
    main()
