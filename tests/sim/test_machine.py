"""Is a workload run on a machine the sum of its operations, with everything that was left out named?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from siloom.sim.design import Design, parameter
from siloom.sim.errors import InfeasibleError
from siloom.sim.machine import Machine, run_workload
from siloom.sim.ops import Conv, Item, MatMul, Operation, Reduce, Workload
from siloom.sim.result import Phase, Result


@dataclass(frozen=True, kw_only=True)
class Size(Design):
    """One field."""

    width: int = parameter(1, unit="PE", source="made up")


class Fake(Machine):
    """Gives the same answer to everything it supports."""

    name = "fake"
    kind = "accelerator"
    summary = "a machine to test with"
    design_type = Size
    operations = (MatMul,)

    def __init__(self, label: str, operations: tuple[type[Operation], ...] = (MatMul,), **answer: Any) -> None:
        super().__init__(label=label)
        self.operations = operations  # type: ignore[misc]
        self.answer = {"seconds": 2.0, "cycles": 10, "clock_hz": 5.0} | answer

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """The answer, with one phase as long as itself."""
        phase = Phase("all", self.answer["cycles"], self.answer["seconds"], self.answer.get("stalls", {}))
        return Result(machine=self.label, workload=op.name, phases=(phase,), **self.answer)


GEMM, SUM = MatMul(m=2, n=2, k=2, name="gemm"), Reduce(rows=2, length=2)
BOTH = Workload("both", (Item(GEMM, 3), Item(SUM)), {"file": "x.toml"})


def test_defaults_are_the_published_design_and_the_own_name() -> None:
    class Plain(Fake):
        def __init__(self, design: Design | None = None) -> None:
            Machine.__init__(self, design)

    assert (Plain().design, Plain().label) == (Size(), "fake")
    assert Plain(Size(width=3)).design == Size(width=3)
    assert Plain().supports(GEMM)
    assert not Plain().supports(SUM)


def test_one_operation_run_once_is_that_operations_result() -> None:
    made = run_workload(Fake("m", stalls={"compute": 10}), Workload.of("one", GEMM, file="x"))
    assert (made.machine, made.workload, made.cycles, made.stalls) == ("m", "one", 10, {"compute": 10})
    assert made.coverage == {"operations": 1.0, "flops": 1.0}
    assert made.provenance["source"] == {"file": "x"}
    assert made.provenance["workload_hash"] == Workload.of("one", GEMM).content_hash


def test_what_is_not_supported_is_listed_with_its_share() -> None:
    made = run_workload(Fake("m"), BOTH)
    assert (made.cycles, made.seconds) == (30, 6.0)
    assert made.coverage == {"operations": 0.5, "flops": 48 / 52}
    assert made.unsupported == [{"name": "reduce", "kind": "reduce", "repeat": 1, "flops_share": 4 / 52}]


def test_the_rest_is_run_elsewhere_and_said_to_be() -> None:
    made = run_workload(Fake("m"), BOTH, rest=Fake("other", (Reduce,), seconds=1.0, cycles=5))
    assert (made.cycles, made.seconds, made.unsupported) == (35, 7.0, [])
    assert [(row["name"], row["machine"], row["cycles"]) for row in made.rows] == [
        ("gemm", "m", 30),
        ("reduce", "other", 5),
    ]
    assert [(p.name, p.cycles) for p in made.phases] == [("gemm: all", 30), ("reduce: all", 5)]


def test_cycles_of_different_clocks_are_not_added() -> None:
    made = run_workload(Fake("m", stalls={"compute": 10}), BOTH, rest=Fake("other", (Reduce,), clock_hz=7.0))
    assert (made.cycles, made.clock_hz, made.stalls, made.seconds) == (None, None, {}, 8.0)


def test_cycles_of_a_measured_part_are_not_invented() -> None:
    made = run_workload(Fake("m"), BOTH, rest=Fake("host", (Reduce,), cycles=None, clock_hz=None, kind="measured"))
    assert (made.cycles, made.clock_hz, made.seconds) == (None, None, 8.0)


def test_sums_hold_where_one_part_gives_no_causes() -> None:
    split = Fake("m", stalls={"compute": 6, "dram": 4}, energy_j=3.0, energy_parts={"alu": 3.0})
    made = run_workload(split, BOTH, rest=Fake("other", (Reduce,), cycles=5, energy_j=2.0))
    assert made.stalls == {"compute": 18, "dram": 12, "not attributed": 5}
    assert made.energy_parts == {"alu": 9.0, "not attributed": 2.0}
    assert (made.cycles, made.energy_j) == (35, 11.0)


def test_energy_is_null_unless_every_part_has_it() -> None:
    made = run_workload(Fake("m", energy_j=3.0), BOTH, rest=Fake("other", (Reduce,)))
    assert (made.energy_j, made.energy_parts) == (None, {})


def test_utilization_is_weighted_by_time() -> None:
    made = run_workload(Fake("m", utilization=0.5), BOTH, rest=Fake("other", (Reduce,), utilization=1.0))
    assert made.utilization == (0.5 * 6 + 1.0 * 2) / 8
    assert run_workload(Fake("m", utilization=0.5), BOTH, rest=Fake("other", (Reduce,))).utilization is None


def test_the_roof_is_the_highest_of_the_machines_own_operations() -> None:
    class Two(Fake):
        def run(self, op: Operation, *, values: bool = False) -> Result:
            rate = 1.0 if isinstance(op, Reduce) else 8.0
            self.answer["peaks"] = {"operations_per_s": rate, "bytes_per_s": 3.0}
            return super().run(op, values=values)

    work = Workload("both", (Item(SUM), Item(GEMM), Item(Conv(h=1, w=1, c=1, r=1, s=1, k=1))))
    other = Fake("other", (Conv,), peaks={"operations_per_s": 99.0, "bytes_per_s": 99.0})
    made = run_workload(Two("m", (MatMul, Reduce)), work, rest=other)
    assert made.peaks == {"operations_per_s": 8.0, "bytes_per_s": 3.0}


def test_only_limits_the_run_to_those_items() -> None:
    made = run_workload(Fake("m"), BOTH, only=frozenset([0]))
    assert (made.cycles, made.coverage, made.unsupported) == (30, {"operations": 1.0, "flops": 1.0}, [])


def test_a_machine_that_supports_nothing_asked_of_it_says_what_it_runs() -> None:
    with pytest.raises(InfeasibleError, match=r"^m: supports none of matmul, reduce; it runs Conv$"):
        run_workload(Fake("m", (Conv,)), BOTH)


class WholeOnly(Fake):
    """Defined on a whole workload alone."""

    def run_whole(self, workload: Workload) -> Result | None:
        """One answer for all of it."""
        return Result(machine="", workload="", seconds=7.0, provenance={"design_hash": "x"})


def test_what_is_defined_on_a_whole_workload_is_asked_for_it_and_named_like_any_other() -> None:
    both = WholeOnly("m", operations=(MatMul, Reduce))
    for only in (None, frozenset({0, 1})):
        result = run_workload(both, BOTH, only=only)
        assert (result.machine, result.workload, result.seconds) == ("m", "both", 7.0)
        assert result.coverage == {"operations": 1.0, "flops": 1.0}
        assert result.provenance["source"] == {"file": "x.toml"}
        assert result.provenance["workload_hash"] == BOTH.content_hash
        assert result.provenance["design_hash"] == "x"


def test_a_part_of_a_workload_is_not_the_whole_of_it() -> None:
    assert run_workload(WholeOnly("m"), BOTH).seconds == 6.0
    assert run_workload(WholeOnly("m", operations=(MatMul, Reduce)), BOTH, only=frozenset({0})).seconds == 6.0
