"""Measured machines: fits on synthetic timings, files, what a device is asked, and every way to have none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siloom.models import _measure_cuda, _measure_fit, _measure_host, _measured_file
from siloom.models._measured_file import Fit, MeasuredFile, Measurement
from siloom.models._measured_machine import GENERIC_CPU, bases
from siloom.models.registry import machine
from siloom.sim.errors import InputError
from siloom.sim.machine import Machine
from siloom.sim.ops import MatMul, Operation
from siloom.sim.testing import check_conformance


def timings(true: Machine, operations: list[tuple[str, Operation]], noise: float) -> list[_measure_fit.Sample]:
    """What a device that is exactly the model would give, each run off by a seeded factor."""
    rng = np.random.default_rng(0)
    out = []
    for text, op in operations:
        seconds = true.run(op).seconds
        out.append(_measure_fit.sample(text, op, [seconds * (1 + noise * rng.standard_normal()) for _ in range(11)]))
    return out


def content(**changes: Any) -> MeasuredFile:
    made = MeasuredFile(
        siloom_measured=1,
        base="cpu",
        device="a processor",
        date="2026-11-21",
        settings={"clock_hz": 2.5e9, "cores": 2},
        conditions={"numpy": "2.4", "threads": 2},
        fit={"matmul": Fit(samples=3, fields=["clock_hz"], error_mean=0.05, error_max=0.1, error_mean_held_out=0.06)},
        measurement=[
            Measurement(
                operation="gemm:m=1", seconds=1e-6, fastest_s=9e-7, slowest_s=2e-6, repeats=7, modelled_s=1.1e-6
            )
        ],
    )
    return made.model_copy(update=changes)


# Fits ---------------------------------------------------------------------------------------------


def test_constants_of_a_cpu_are_found_again_from_its_own_timings() -> None:
    truth = {"clock_hz": 3.1e9, "overhead_s": 2.5e-6, "cycles_per_product": 6.5, "cycles_per_scattered_result": 3.0}
    start = _measure_host.host_design(1, 2e10)
    true = bases()[GENERIC_CPU](start.with_settings("true", truth), GENERIC_CPU)
    made = _measure_host.fitted(
        timings(true, list(_measure_host.operations(True)), 0.01), start, "synthetic", "2026-11-21", {}
    )
    for name, value in truth.items():
        if name != "cycles_per_scattered_result":  # rows of the quick set fit the first cache: nothing scatters
            assert made.settings[name] == pytest.approx(value, rel=0.02), name
    assert made.fit["matmul"].error_mean < 0.01
    assert made.fit["attention"].fields == []
    assert made.fit["attention"].error_mean < 0.03


def test_an_error_is_that_of_model_over_measured_and_held_out_ones_come_from_other_samples() -> None:
    start = bases()[GENERIC_CPU](_measure_host.host_design(1, 2e10), GENERIC_CPU)
    ops = [(f"gemm {n}", MatMul(m=n, n=n, k=n, format="fp32")) for n in range(100, 1100, 100)]
    samples = timings(start, ops, 0.0)
    slow = [_measure_fit.sample(s.text, s.op, [s.seconds * (3 if i == 0 else 1)]) for i, s in enumerate(samples)]
    judged = _measure_fit.judge(start, ("clock_hz",), slow)
    assert judged.error_max == pytest.approx(2 / 3)
    assert judged.error_mean == pytest.approx(2 / 3 / 10)
    assert judged.error_mean_held_out is not None and judged.error_mean_held_out > 0
    assert _measure_fit.judge(start, (), slow).error_mean_held_out is None


def test_too_few_or_impossible_times_are_refused() -> None:
    start = bases()[GENERIC_CPU](_measure_host.host_design(1, 2e10), GENERIC_CPU)
    one = _measure_fit.sample("gemm", MatMul(m=8, n=8, k=8, format="fp32"), [1e-5])
    with pytest.raises(InputError, match="2 fields need as many measurements, got 1"):
        _measure_fit.fit_fields(start, ("clock_hz", "overhead_s"), [one])
    for times in ([], [0.0], [float("nan")], [1e-3, -1.0]):
        with pytest.raises(InputError, match="gemm: needs times above 0 s"):
            _measure_fit.sample("gemm", one.op, times)


def test_a_fitted_value_stays_within_its_fields_range() -> None:
    start = bases()["a100"]()
    ops = [(f"gemm {n}", MatMul(m=n, n=n, k=n)) for n in (512, 1024, 2048, 4096)]
    fast = [_measure_fit.sample(s.text, s.op, [s.seconds / 50]) for s in timings(start, list(ops), 0.0)]
    found = _measure_fit.fit_fields(start, _measure_cuda.PRODUCT_FIELDS, fast)
    assert 0.01 <= found.design.math_efficiency <= 1.0  # type: ignore[attr-defined]


# Files --------------------------------------------------------------------------------------------


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = content(device='An "odd" \\ name # = [x] é 漢', conditions={"a": "x\ny\x7f", "b": 1, "c": 1e-9})
    (tmp_path / "m.toml").write_text(_measured_file.to_toml(made), encoding="utf-8")
    again = _measured_file.read(tmp_path / "m.toml")
    assert again == made.model_copy(update={"conditions": {"a": "x y ", "b": 1, "c": 1e-9}})


def test_a_file_is_a_machine_with_its_settings_and_says_how_well_it_fits(tmp_path: Path) -> None:
    path = tmp_path / "host.toml"
    path.write_text(_measured_file.to_toml(content()), encoding="utf-8")
    made = machine(f"{path}")
    op = MatMul(m=600, n=320, k=100, format="fp32")
    plain = bases()[GENERIC_CPU]()
    same = type(plain)(plain.design.with_settings("x", {"clock_hz": 2.5e9, "cores": 2}), "x")
    result = made.run(op)
    assert result.machine == str(path)
    assert result.seconds == same.run(op).seconds
    assert result.energy_j is None and not result.energy_parts
    notes = [n for n in result.notes if n.startswith("modelled:")]
    assert len(notes) == 1
    assert "a processor" in notes[0] and "mean error 5.0%" in notes[0] and "6.0% held out" in notes[0]
    assert "no conv was measured" in " ".join(made.run(next(_convs())).notes)
    doubled = machine(f"{path}:cores=4")
    assert doubled.run(op).seconds < result.seconds


def _convs() -> Any:
    from siloom.sim.ops import Conv

    yield Conv(h=8, w=8, c=4, r=3, s=3, k=8, format="fp32")


@pytest.mark.parametrize("base", ["cpu", "h100", "k40"])
def test_a_measured_machine_keeps_what_every_machine_promises(tmp_path: Path, base: str) -> None:
    text = _measured_file.to_toml(content(base=base, settings={"clock_hz": 1.5e9}))
    (tmp_path / "m.toml").write_text(text, encoding="utf-8")
    failed = [row for row in check_conformance(machine(str(tmp_path / "m.toml"))) if not row["passed"]]
    assert failed == []


BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "not toml": (lambda s: s + "= =", "is not TOML"),
    "a workload": (lambda s: '[[operation]]\nkind = "gemm"\n', "no key 'siloom_measured'"),
    "other version": (lambda s: s.replace("measured = 1", "measured = 2"), "siloom_measured: Input should be 1"),
    "unknown key": (lambda s: s.replace("date =", "dated ="), "date"),
    "extra key": (lambda s: s.replace("date =", 'colour = "red"\ndate ='), "no key 'colour'"),
    "unknown base": (lambda s: s.replace('"cpu"', '"outerspace"'), "base must be a GPU or 'cpu', got 'outerspace'"),
    "near base": (lambda s: s.replace('base = "cpu"', 'base = "h1000"'), "did you mean 'h100'"),
    "unknown field": (lambda s: s.replace("clock_hz = ", "clock_mhz = "), "clock_mhz: cpu has no such field - did"),
    "out of range": (lambda s: s.replace("cores = 2", "cores = 0"), "settings: cores must be at least 1"),
    "text for a number": (lambda s: s.replace("cores = 2", 'cores = "two"'), "cores must be a whole number"),
    "nan": (lambda s: s.replace("clock_hz = 2500000000.0", "clock_hz = nan"), "clock_hz"),
    "infinite error": (lambda s: s.replace("error_mean = 0.05", "error_mean = inf"), "fit.matmul.error_mean"),
    "negative time": (lambda s: s.replace("seconds = 1e-06", "seconds = -1.0"), "measurement.0.seconds"),
    "no measurement": (lambda s: s.partition("[[measurement]]")[0], "measurement: Field required"),
    "whole for text": (lambda s: s.replace('"2026-11-21"', "2026"), "date: Input should be a valid string"),
    "date": (lambda s: s.replace("2026-11-21", "yesterday"), "date: String should match"),
    "long line": (lambda s: s + "#" * 5000, "line .*: must be at most 4096 characters"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_a_malformed_file_is_refused_in_one_line_that_names_it(tmp_path: Path, fault: str) -> None:
    breaking, said = BROKEN[fault]
    path = tmp_path / "m.toml"
    path.write_text(breaking(_measured_file.to_toml(content())), encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        machine(str(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 500


def test_what_is_no_file_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        machine(str(tmp_path / "absent.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match="is not a regular file"):
        machine(str(tmp_path / "folder.toml"))
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8"):
        machine(str(tmp_path / "bytes.toml"))
    (tmp_path / "large.toml").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(InputError, match="at most 1048576 bytes, got 1048577"):
        machine(str(tmp_path / "large.toml"))


# The host -----------------------------------------------------------------------------------------


def test_the_hosts_plan_holds_products_streams_and_sparse_products() -> None:
    texts = [text for text, _ in _measure_host.operations(False)]
    assert len(set(texts)) == len(texts)
    kinds = {op.kind for _, op in _measure_host.operations(False)}
    assert kinds == {"matmul", "spgemm", "attention", "reduce", "elementwise"}
    quick = [text for text, _ in _measure_host.operations(True)]
    assert set(quick) < set(texts)


def test_uniform_has_exactly_as_many_entries_as_the_workload_of_that_name() -> None:
    a = _measure_host.uniform(300, 0.02)
    assert a.nnz == round(0.02 * 300 * 300)
    assert len(set(zip(np.repeat(np.arange(300), a.row_lengths).tolist(), a.indices.tolist(), strict=True))) == a.nnz
