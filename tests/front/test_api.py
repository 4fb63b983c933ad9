"""The Python API says what the command line says, with names, texts and objects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse as sp

import siloom
from siloom.api import compare_results
from siloom.sim.design import Design, parameter
from siloom.sim.errors import InfeasibleError, InputError, UsageError
from siloom.sim.machine import Machine
from siloom.sim.ops import MatMul, Operation, SpGEMM, Workload
from siloom.sim.result import Phase, Result
from siloom.sim.sparse import Csr

SMALL = "uniform:n=40,density=0.05,seed=1"
GEMM = "gemm:m=2,n=3,k=8"


@dataclass(frozen=True)
class AdderDesign(Design):
    """The choices of :class:`Adder`."""

    lanes: int = parameter(1, unit="", source="an example", low=1, high=64)


class Adder(Machine):
    """A machine that lives in a program, not in a file."""

    name = "adder"
    kind = "accelerator"
    summary = "an example"
    operations = (MatMul,)
    design_type = AdderDesign
    design: AdderDesign

    def run(self, op: Operation, *, values: bool = False) -> Result:
        """One multiply a lane and cycle at 1 Hz."""
        assert isinstance(op, MatMul)
        cycles = -(-op.multiplies // self.design.lanes)
        return Result(
            machine=self.label,
            workload="",
            seconds=float(cycles),
            cycles=cycles,
            clock_hz=1.0,
            operations={"multiplies": op.multiplies, "adds": op.multiplies, "effective_multiplies": op.multiplies},
            phases=(Phase("all", cycles, float(cycles), {"compute": cycles}),),
            stalls={"compute": cycles},
        )


def test_the_surface_is_short_and_sorted() -> None:
    assert siloom.__all__ == sorted(siloom.__all__)
    assert dir(siloom) == siloom.__all__
    for name in siloom.__all__:
        assert getattr(siloom, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        siloom.nonsense  # noqa: B018


def test_a_machine_takes_settings_as_values_or_as_text() -> None:
    by_value = siloom.machine("outerspace", l0_bytes=32768)
    by_text = siloom.machine("outerspace:l0_bytes=32768")
    assert by_value.design == by_text.design
    assert by_value.label == by_text.label == "outerspace:l0_bytes=32768"


def test_settings_as_values_add_to_those_of_the_text() -> None:
    made = siloom.machine("outerspace:tiles=8", l0_bytes=32768)
    assert made.design.as_dict()["tiles"] == 8
    assert made.design.as_dict()["l0_bytes"] == 32768
    assert siloom.machine(made.label).design == made.design


def test_a_setting_given_twice_leaves_a_label_that_can_be_read_again() -> None:
    made = siloom.machine("outerspace:l0_bytes=8192", l0_bytes=32768)
    assert siloom.machine(made.label).design == made.design


def test_numpy_numbers_are_settings_too() -> None:
    assert (
        siloom.machine("outerspace", l0_bytes=np.int64(32768)).design
        == siloom.machine("outerspace", l0_bytes=32768).design
    )


def test_wrong_settings_are_told() -> None:
    with pytest.raises(UsageError, match="no field 'l0_byte' - did you mean 'l0_bytes'"):
        siloom.machine("outerspace", l0_byte=1)
    with pytest.raises(InputError, match="l0_bytes must be at least 1024 B, got 1"):
        siloom.machine("outerspace", l0_bytes=1)
    with pytest.raises(InputError, match="l0_bytes must be a whole number, got True"):
        siloom.machine("outerspace", l0_bytes=True)


def test_load_takes_texts_and_paths(tmp_path: Path) -> None:
    path = tmp_path / "a.mtx"
    scipy.io.mmwrite(path, sp.eye_array(3, format="coo"))
    assert siloom.load(path).content_hash == siloom.load(str(path)).content_hash
    (item,) = siloom.load(SMALL).items
    assert isinstance(item.op, SpGEMM)
    assert item.op.a.nnz == 80
    with pytest.raises(InputError, match="no such file"):
        siloom.load(tmp_path / "no.mtx")


def test_run_takes_names_texts_and_objects() -> None:
    work = siloom.load(SMALL)
    expected = siloom.run("outerspace", SMALL).to_json()
    assert siloom.run(siloom.machine("outerspace"), work).to_json() == expected
    assert siloom.run(siloom.machine("outerspace"), SMALL).to_json() == expected
    assert siloom.run("outerspace", work.items[0].op).cycles == json.loads(expected)["cycles"]


def test_a_machine_of_a_program_needs_no_file() -> None:
    op = MatMul(m=2, n=3, k=8)
    for workload in (op, GEMM, Workload.of("mine", op)):
        assert siloom.run(Adder(), workload).cycles == 48
    assert siloom.run(Adder(AdderDesign(lanes=8), "eight"), op).machine == "eight"
    with pytest.raises(InfeasibleError, match="adder: supports none of spgemm; it runs MatMul"):
        siloom.run(Adder(), SMALL)


def test_the_rest_runs_what_the_machine_does_not() -> None:
    dense, sparse = MatMul(name="dense", m=2, n=3, k=8), siloom.load(SMALL).items[0].op
    work = Workload.of("both", dense, sparse)
    assert [item["kind"] for item in siloom.run("outerspace", work).unsupported] == ["matmul"]
    together = siloom.run("outerspace", work, rest=Adder())
    assert not together.unsupported
    assert [row["machine"] for row in together.rows] == ["adder", "outerspace", "pcie4"]


def test_values_are_kept_where_they_are_asked_for() -> None:
    assert siloom.run("outerspace", SMALL).values is None
    (item,) = siloom.load(SMALL).items
    assert isinstance(item.op, SpGEMM)
    found = siloom.run("outerspace", SMALL, values=True).values
    assert found is not None
    expected = Csr.from_scipy(item.op.a.to_scipy() @ item.op.b.to_scipy())
    assert np.array_equal(found.indices, expected.indices)
    assert np.allclose(found.data, expected.data, rtol=1e-12)


def test_a_trace_is_written(tmp_path: Path) -> None:
    siloom.run("outerspace", SMALL, trace=tmp_path / "t.json")
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    with pytest.raises(InputError, match="cannot be written"):
        siloom.run("outerspace", SMALL, trace=tmp_path / "no" / "t.json")


def test_compare_is_a_data_frame_of_the_contract() -> None:
    frame = siloom.compare(SMALL, ["outerspace", "k40-cusp"], ["k40"])
    assert list(frame["machine"]) == ["outerspace", "k40-cusp", "k40"]
    assert set(frame.columns) >= {"seconds", "cycles", "energy_j", "operations", "traffic_bytes", "speedup"}
    seconds = dict(zip(frame["machine"], frame["seconds"], strict=True))
    for _, row in frame.iterrows():
        assert row["speedup"] == {"k40": pytest.approx(seconds["k40"] / row["seconds"])}
    assert [r.machine for r in frame.attrs["results"]] == list(frame["machine"])


def test_calls_that_only_some_wait_for_are_told_where_they_matter() -> None:
    small, large = "gemm:m=128,n=768,k=768", "gemm:m=16384,n=16384,k=16384"
    short = compare_results(small, ["h100", "systolic"])
    told = next(flag for flag in short.flags if "calls" in flag)
    assert told == "time of calls and host differs: h100 29.0 µs of 30.0 µs, systolic none"
    assert [r.overhead_s for r in short.results] == [pytest.approx(29.0e-6, rel=0.01), 0.0]
    for others in ([small, "h100", "a100"], [large, "h100", "tpu-v4"]):
        assert not any("calls" in flag for flag in compare_results(others[0], others[1:]).flags)
    network = siloom.run("h100", "bert-base:seq=128")
    assert 0 < network.overhead_s < network.seconds
    mixed = compare_results("gemm:m=64,n=64,k=64", ["host", "h100"])
    assert any("host not told apart" in flag for flag in mixed.flags)


def test_objects_that_share_a_label_are_both_compared() -> None:
    """Two designs of one class carry one name unless told otherwise; neither may stand for the other."""
    frame = siloom.compare(GEMM, [Adder(AdderDesign(lanes=4)), Adder(AdderDesign(lanes=8))], [Adder()])
    assert list(frame["cycles"]) == [12, 6, 48]
    assert [list(ratios.values()) for ratios in frame["speedup"]] == [[4.0], [8.0], [1.0]]


def test_compare_needs_a_machine() -> None:
    with pytest.raises(UsageError, match="at least one machine"):
        siloom.compare(SMALL, [])


def test_what_is_neither_a_name_nor_an_object_is_told() -> None:
    with pytest.raises((TypeError, UsageError), match="machine must be"):
        siloom.run(3, SMALL)  # type: ignore[arg-type]
    with pytest.raises((TypeError, UsageError), match="workload must be"):
        siloom.run("outerspace", sp.eye_array(3, format="csr"))  # type: ignore[arg-type]
