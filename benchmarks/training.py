"""What a training step costs through emulated arithmetics: the times of a small Transformer's step, over torch's own.

Usage: python benchmarks/training.py [--rounds N] [ARITHMETIC ...]

A decoder of 4 layers, 128 wide, 4 heads, 65 characters; 16 sequences of 128 tokens; forward, backward and AdamW. Every
product of its dense layers and of its attention goes through the arithmetic, in each direction. The yardstick is the
same model in torch, eager, float32. All take turns within one run, a step at a time, on one thread each (set
OMP_NUM_THREADS=1 for numpy's BLAS), so that whatever else the computer does disturbs them alike; shown are medians of
the thread's own seconds. The first step, which compiles or loads kernels, stands apart, in seconds of the clock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import nn
from torch.nn import functional

from siloom.workloads.torch.convert import convert
from siloom.workloads.torch.networks.transformer import Decoder

ARITHMETICS = (
    "fp32", "int8", "int8:acc=24", "int8:acc=18", "int8:acc=16", "int8:acc=18,overflow=wrap",
    "fp8", "fp8:acc=fp16", "fp8:acc=bf16", "fp8:acc=e8m13,chunk=128", "fp8:rounding=stochastic", "bf16",
)  # fmt: skip
VOCABULARY, PLACES, BATCH = 65, 128, 16


def stepper(model: nn.Module) -> Callable[[], None]:
    """A function that takes one training step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    chance = torch.Generator().manual_seed(0)

    def step() -> None:
        tokens = torch.randint(VOCABULARY, (BATCH, PLACES + 1), generator=chance)
        optimizer.zero_grad()
        scores = model(tokens[:, :-1])
        functional.cross_entropy(scores.reshape(-1, VOCABULARY), tokens[:, 1:].reshape(-1)).backward()
        optimizer.step()

    return step


def main() -> None:
    """Time all and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arithmetics", nargs="*", default=ARITHMETICS, metavar="ARITHMETIC")
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    plain = Decoder(VOCABULARY, PLACES, width=128, layers=4, heads=4)
    steps = {"torch": stepper(plain)}
    steps.update({text: stepper(convert(plain, text)) for text in chosen.arithmetics})
    first, times = {}, {}
    for name, step in steps.items():
        start = time.perf_counter()
        step()
        first[name], times[name] = time.perf_counter() - start, []
    for _ in range(chosen.rounds):
        for name, step in steps.items():
            start = time.thread_time()
            step()
            times[name].append(time.thread_time() - start)
    yardstick = median(times["torch"])
    print(f"{sum(p.numel() for p in plain.parameters())} parameters; median of {chosen.rounds} steps each")
    print(f"{'arithmetic':<28} {'ms a step':>10} {'of torch':>9} {'first step, s':>14}")
    for name, found in times.items():
        print(f"{name:<28} {1e3 * median(found):>10.0f} {median(found) / yardstick:>9.2f} {first[name]:>14.1f}")


if __name__ == "__main__":
    main()
