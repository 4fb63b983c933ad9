"""Conformance of machines: what every machine must keep, ours and a user's own.

:class:`MachineConformance` takes a machine; each ``check_*`` method is one promise and raises
AssertionError with what was got, or returns why there was nothing to check. The test suite runs them
all on every machine of ``models/``; ``siloom check-machine FILE`` runs them on a user's file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from siloom.sim.errors import InfeasibleError, SiloomError
from siloom.sim.machine import Machine, run_workload
from siloom.sim.ops import (
    SDDMM,
    Attention,
    Collective,
    Conv,
    Elementwise,
    KeyFilter,
    MatMul,
    Operation,
    Reduce,
    SpGEMM,
    SpMM,
    Workload,
)
from siloom.sim.result import Result
from siloom.sim.sparse import Csr


def random_csr(rows: int, cols: int, density: float, seed: int) -> Csr:
    """A sparse matrix with values in (0.5, 1.5), so that no sum cancels."""
    rng = np.random.default_rng(seed)
    mask = rng.random((rows, cols)) < density
    return Csr.from_scipy(sp.csr_array(mask * (0.5 + rng.random((rows, cols)))))


def _arrow(n: int) -> Csr:
    """One dense row and column and the diagonal: the worst balance there is."""
    dense = np.eye(n)
    dense[0, :] = 1.0
    dense[:, 0] = 1.0
    return Csr.from_scipy(sp.csr_array(dense))


def _masks(heads: int, n: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Masks [1, heads, n, n] of every head's own density, the first token's column full, one row empty."""
    rng = np.random.default_rng(7)
    kept = rng.random((1, heads, n, n)) < 0.1 * np.arange(1, heads + 1)[:, None, None]
    kept[..., 0] = True
    kept[..., n // 2, :] = False
    return kept


def example_operations() -> dict[type[Operation], list[Operation]]:
    """Small operations of every type, corner cases among the sparse ones."""
    square, empty, one = random_csr(60, 60, 0.08, 1), random_csr(40, 40, 0.0, 2), random_csr(1, 1, 2.0, 3)
    tall, wide = random_csr(50, 20, 0.1, 4), random_csr(20, 70, 0.1, 5)
    arrow, mask = _arrow(150), random_csr(30, 40, 0.2, 6)
    return {
        SpGEMM: [
            SpGEMM(name="square", a=square, b=square),
            SpGEMM(name="empty", a=empty, b=empty),
            SpGEMM(name="one", a=one, b=one),
            SpGEMM(name="rectangular", a=tall, b=wide),
            SpGEMM(name="arrow", a=arrow, b=arrow),
        ],
        SpMM: [SpMM(name="spmm", a=tall, n=16), SpMM(name="spmm-empty", a=empty, n=4)],
        SDDMM: [SDDMM(name="sddmm", mask=mask, k=16), SDDMM(name="sddmm-empty", mask=empty, k=4)],
        MatMul: [MatMul(name="gemm", m=48, n=40, k=32), MatMul(name="gemm-one", m=1, n=1, k=1)],
        Attention: [
            Attention(name="attention", seq=32, heads=2, dim=16),
            Attention(name="attention-masked", seq=24, heads=2, dim=16, kept=_masks(2, 24)),
        ],
        KeyFilter: [KeyFilter(name="filter", queries=16, keys=16, dim=16)],
        Conv: [Conv(name="conv", h=8, w=8, c=4, r=3, s=3, k=8, pad=1)],
        Elementwise: [Elementwise(name="add", elements=256, reads=2)],
        Reduce: [Reduce(name="sum", rows=8, length=32)],
        Collective: [Collective(name="all-reduce", function="all-reduce", bytes_each=1024, peers=2)],
    }


class MachineConformance:
    """The promises of :class:`siloom.sim.machine.Machine`, checked on one machine."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @cached_property
    def _operations(self) -> list[Operation]:
        """The examples that the machine says it supports."""
        return [op for ops in example_operations().values() for op in ops if self.machine.supports(op)]

    @cached_property
    def _runs(self) -> list[tuple[Operation, Result]]:
        return [(op, self.machine.run(op)) for op in self._operations]

    @property
    def results(self) -> list[Result]:
        """What the machine makes of the examples that it supports."""
        return [result for _, result in self._runs]

    def check_supports_something_and_never_raises(self) -> None:
        """``supports`` answers for every operation, and yes for one of each declared type."""
        for kind, ops in example_operations().items():
            said = [self.machine.supports(op) for op in ops]
            if kind in self.machine.operations:
                assert any(said), f"declares {kind.__name__} but supports none of the examples"
            else:
                assert not any(said), f"supports {kind.__name__} but does not declare it"

    def check_results_survive_json(self) -> None:
        """A result written and read back is the same document."""
        for op, result in self._runs:
            text = result.to_json()
            again = Result.from_dict(json.loads(text), op.name).to_json()
            assert again == text, f"{op.name}: JSON differs after reading back"

    def check_time_is_finite_and_not_negative(self) -> None:
        """Seconds are finite; cycles, where known, match them at the clock."""
        for op, r in self._runs:
            assert math.isfinite(r.seconds), f"{op.name}: seconds {r.seconds}"
            assert r.seconds >= 0, f"{op.name}: seconds {r.seconds}"
            if r.cycles is not None:
                assert r.clock_hz, f"{op.name}: cycles without a clock"
                assert math.isclose(r.seconds, r.cycles / r.clock_hz, rel_tol=1e-9), f"{op.name}: cycles and seconds"
            if r.kind == "measured":
                assert r.cycles is None, f"{op.name}: a measured result counts cycles"

    def check_phases_add_up(self) -> None:
        """Phases add up to the whole, in seconds and, where there are cycles, in cycles."""
        for op, r in self._runs:
            if not r.phases:
                continue
            total = math.fsum(p.seconds for p in r.phases)
            assert math.isclose(total, r.seconds, rel_tol=1e-9, abs_tol=1e-15), f"{op.name}: phases {total} {r.seconds}"
            if r.cycles is not None:
                assert sum(p.cycles or 0 for p in r.phases) == r.cycles, f"{op.name}: phase cycles"

    def check_stalls_add_up_to_the_cycles(self) -> None:
        """Every cycle of every phase has a cause."""
        for op, r in self._runs:
            if r.cycles is None:
                continue
            assert sum(r.stalls.values()) == r.cycles, f"{op.name}: stalls {sum(r.stalls.values())} of {r.cycles}"
            for p in r.phases:
                assert sum(p.stalls.values()) == p.cycles, f"{op.name}: stalls of {p.name}"

    def check_what_an_attention_asks_for_is_done_or_noted(self) -> None:
        """A mask and a dropout change what is counted or timed, or a note says that they do not."""
        plain = next(op for ops in example_operations().values() for op in ops if isinstance(op, Attention))
        if not self.machine.supports(plain):
            return
        for extra in ("mask", "dropout"):
            asked = replace(plain, mask=extra == "mask", dropout=extra == "dropout")
            without, r = self.machine.run(plain), self.machine.run(asked)
            counted = (without.operations, without.traffic_bytes) != (r.operations, r.traffic_bytes)
            assert counted or any(extra in note for note in r.notes), f"{extra} of attention: neither counted nor noted"

    def check_energy_and_area_are_sane(self) -> None:
        """Parts are not negative (their sums are held by Result itself)."""
        for op, r in self._runs:
            for name, value in {**r.energy_parts, **r.area_parts}.items():
                assert value >= 0, f"{op.name}: {name} is {value}"

    def check_work_is_conserved(self) -> str | None:
        """Counted work covers the effective work, which is the operation's own count less what was skipped."""
        counted = [(op, r) for op, r in self._runs if "effective_multiplies" in r.operations]
        for op, r in counted:
            effective, skipped = r.operations["effective_multiplies"], r.operations.get("skipped_multiplies", 0)
            done = f"{effective} effective and {skipped} skipped multiplies, counted {op.multiplies}"
            assert effective + skipped == op.multiplies, f"{op.name}: {done}"
            assert not skipped or r.quality, f"{op.name}: skips work and does not say how good the result is"
            assert r.operations["multiplies"] >= effective, f"{op.name}: fewer multiplies than effective ones"
        return None if counted else "nothing to check: no result counts effective_multiplies"

    def check_products_have_the_right_entries(self) -> None:
        """The number of results of a sparse product equals scipy's."""
        for op, r in self._runs:
            if isinstance(op, SpGEMM) and "results" in r.operations:
                expected = _structure_product(op).nnz
                assert r.operations["results"] == expected, f"{op.name}: {r.operations['results']}, scipy {expected}"

    def check_values_equal_scipy(self) -> str | None:
        """Where a machine returns its product, it is scipy's to rounding."""
        found = False
        for op in self._operations:
            if not isinstance(op, SpGEMM):
                continue
            values = self.machine.run(op, values=True).values
            if values is None:
                continue
            assert isinstance(values, Csr), f"{op.name}: a sparse product must be returned as one"
            found = True
            expected = Csr.from_scipy(op.a.to_scipy() @ op.b.to_scipy())
            assert values.shape == expected.shape, f"{op.name}: shape {values.shape}"
            assert np.array_equal(values.indptr, expected.indptr), f"{op.name}: row pointers differ"
            assert np.array_equal(values.indices, expected.indices), f"{op.name}: columns differ"
            assert np.allclose(values.data, expected.data, rtol=1e-10), f"{op.name}: values differ"
        return None if found else "nothing to check: the machine returns no product"

    def check_not_faster_than_its_peaks(self) -> None:
        """No result beats the machine's own peak rates."""
        for op, r in self._runs:
            work = sum(r.operations.get(k, 0) for k in ("multiplies", "adds"))
            peak = r.peaks.get("operations_per_s")
            if peak and r.kind == "modelled":
                assert work <= peak * r.seconds * (1 + 1e-9), f"{op.name}: {work} operations in {r.seconds} s"
            moved = sum(r.traffic_bytes.get(k, 0) for k in ("dram_read", "dram_write"))
            peak = r.peaks.get("bytes_per_s")
            if peak and r.kind == "modelled":
                assert moved <= peak * r.seconds * (1 + 1e-9), f"{op.name}: {moved} bytes in {r.seconds} s"

    def check_utilization_is_effective_work_over_the_peak(self) -> None:
        """Utilisation is what :class:`siloom.sim.result.Result` defines, where a peak is known."""
        for op, r in self._runs:
            assert r.utilization is None or 0 <= r.utilization <= 1, f"{op.name}: utilization {r.utilization}"
            if r.utilization is None or not r.peaks.get("operations_per_s"):
                continue
            needed = op.multiplies - r.operations.get("skipped_multiplies", 0)
            done = min(needed, r.operations.get("multiplies", needed))
            share = min(1.0, (2 * done or op.flops) / (r.peaks["operations_per_s"] * r.seconds)) if r.seconds else 0.0
            assert math.isclose(r.utilization, share, rel_tol=1e-6), f"{op.name}: utilization {r.utilization} {share}"

    def check_peaks_are_those_of_units_and_memory(self) -> None:
        """Memory has one peak, and so have the units of vector work, whatever is done on them."""
        memory = {r.peaks["bytes_per_s"] for _, r in self._runs if "bytes_per_s" in r.peaks}
        assert len(memory) <= 1, f"bytes_per_s differs between operations: {sorted(memory)}"
        rates: dict[type[Operation], set[float]] = {}
        for op, r in self._runs:
            if "operations_per_s" in r.peaks:
                rates.setdefault(type(op), set()).add(r.peaks["operations_per_s"])
        vector = rates.get(Elementwise, set()) | rates.get(Reduce, set())
        assert len(vector) <= 1, f"operations_per_s differs between elementwise work and reductions: {sorted(vector)}"

    def check_equal_inputs_give_equal_bytes(self) -> None:
        """A modelled result is the same the second time."""
        for op, r in self._runs:
            if r.kind == "modelled":
                assert self.machine.run(op).to_json() == r.to_json(), f"{op.name}: the second run differs"

    def check_a_workload_of_it_runs(self) -> None:
        """The operations run as one workload, and an unsupported one is listed with its share."""
        ops = self._operations[:2]
        result = run_workload(self.machine, Workload.of("pair", *ops))
        assert result.machine == self.machine.label, f"the result is named {result.machine}"
        for kind, others in example_operations().items():
            if kind not in self.machine.operations:
                mixed = run_workload(self.machine, Workload.of("mixed", ops[0], others[0]))
                assert len(mixed.unsupported) == 1, f"{kind.__name__} is not listed as unsupported"
                try:
                    run_workload(self.machine, Workload.of("alone", others[0]))
                except InfeasibleError:
                    return
                raise AssertionError(f"{kind.__name__} alone must be infeasible")

    def check_fields_are_described(self) -> None:
        """Every design field has a unit or is a count, a source, and a default within its range."""
        for name, about in self.machine.design.parameters().items():
            assert about.source, f"{name}: no source"
        again = type(self.machine.design)(**self.machine.design.as_dict())
        assert again == self.machine.design, "a design is not remade from its own values"


def _structure_product(op: SpGEMM) -> Csr:
    """Structure of the product: all-one operands, so that nothing cancels."""
    a, b = op.a.to_scipy(), op.b.to_scipy()
    a.data, b.data = np.ones(op.a.nnz), np.ones(op.b.nnz)
    return Csr.from_scipy(a @ b)


def conformance_checks() -> Iterator[tuple[str, Callable[[MachineConformance], str | None]]]:
    """Every check by name, in the order of the class."""
    for name, check in vars(MachineConformance).items():
        if name.startswith("check_"):
            yield name.removeprefix("check_"), check


def check_conformance(machine: Machine) -> list[dict[str, Any]]:
    """Run every check on ``machine``; rows of ``check``, ``passed``, ``detail``."""
    suite = MachineConformance(machine)
    rows = []
    for name, check in conformance_checks():
        note = detail = ""
        try:
            note = check(suite) or ""
        except (AssertionError, SiloomError) as error:
            detail = str(error)
        except Exception as error:
            detail = f"{type(error).__name__}: {error}"
        rows.append({"check": name.replace("_", " "), "passed": not detail, "detail": detail or note})
    return rows
