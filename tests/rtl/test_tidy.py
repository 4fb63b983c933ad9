"""Is each thing that linters find fault with marked where it stands, and nothing else changed?"""

from __future__ import annotations

import pytest

pytest.importorskip("amaranth", reason="the optional part 'rtl' is not installed")

from siloom.rtl.tidy import tidy
from siloom.rtl.verilator import lint

PART = """\
module part(clk, i, which, o, full);
  input clk;
  wire clk;
  input [7:0] i;
  wire [7:0] i;
  input [2:0] which;
  wire [2:0] which;
  output o;
  wire o;
  output [3:0] full;
  wire [3:0] full;
  reg [3:0] sum = 4'h0;
  always @(posedge clk)
    if (i[7] <= i[6]) sum <= i[3:0];
  assign o = i >> which;
  assign full = sum;
endmodule
"""
TOP = """\
module top(clk, a, b, y);
  input clk;
  wire clk;
  input [7:0] a;
  wire [7:0] a;
  input [9:0] b;
  wire [9:0] b;
  output [1:0] y;
  wire [1:0] y;
  wire [3:0] \\part.full ;
  wire [4:0] nowhere;
  reg [4:0] words [3:0];
  initial begin
    words[0] = 5'h00;
    words[1] = 5'h01;
  end
  always @(posedge clk)
    words[b[9:8]] <= { b[3:2], nowhere[2:0] };
  assign nowhere[2:0] = words[b[5:4]][2:0];
  assign y[1] = nowhere[0];
  part sum (
    .clk(clk),
    .i(a),
    .which({ b[1:0], 1'h0 }),
    .o(y[0]),
    .full(\\part.full )
  );
endmodule
"""


def complaints(text, folder):
    (folder / "top.v").write_text(
        "/* verilator lint_off PROCASSINIT */\n/* verilator lint_off DECLFILENAME */\n" + text
    )
    return {line.split(":")[0].removeprefix("%Warning-") for line in lint(folder / "top.v")}


def test_what_linters_complain_of_is_marked_where_it_arises(tmp_path):
    assert complaints(TOP + PART, tmp_path) == {"UNUSEDSIGNAL", "WIDTHTRUNC", "VARHIDDEN"}
    text = tidy(TOP + PART)
    assert complaints(text, tmp_path) == set()
    top, part = text.split("endmodule")[:2]
    assert "  assign nowhere[4:3] = 2'h0 ;\n" in top
    assert "  wire [7:0] unused_bits = { b[7:6], \\part.full , nowhere[4:3] } ;\n" in top
    assert "  part sum_part0 (\n" in top
    assert "  wire [7:0] shifted0 = i >> which;\n  assign o = shifted0[0] ;\n" in part
    assert "  wire [6:0] unused_bits = { shifted0[7:1] } ;\n" in part  # a shift reads all of what it shifts


def test_lines_that_need_no_mark_stay_as_they_are():
    text = tidy(TOP + PART)
    for line in (TOP + PART).splitlines():
        if line not in ("  part sum (", "  assign o = i >> which;"):
            assert line in text.splitlines()
    clean = PART.replace("i >> which", "i[0] ^ i[4] ^ i[5] ^ ^which")
    assert tidy(clean) == clean


def test_a_name_that_is_taken_is_not_taken_again(tmp_path):
    text = tidy(PART.replace("sum", "shifted0").replace("full", "unused_bits"))
    assert "wire [7:0] shifted1 = i >> which;" in text
    assert "unused_bits0 = { shifted1[7:1] }" in text


def test_what_is_called_unused_is_known_to_be():
    text = PART.replace("  reg [3:0] sum", "  wire [1:0] unused_of_old;\n  reg [3:0] sum")
    assert tidy(text) == tidy(PART).replace("  reg [3:0] sum", "  wire [1:0] unused_of_old;\n  reg [3:0] sum")
