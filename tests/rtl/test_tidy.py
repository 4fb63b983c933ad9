"""Is each thing that linters find fault with marked where it stands, and nothing else changed?"""

from __future__ import annotations

from collections import Counter

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


def test_lines_that_need_no_mark_stay_and_no_others_come():
    marked = ["  part sum (", "  assign o = i >> which;"]
    marks = [
        "  assign nowhere[4:3] = 2'h0 ;",
        "  wire [7:0] unused_bits = { b[7:6], \\part.full , nowhere[4:3] } ;",
        "  part sum_part0 (",
        "  wire [7:0] shifted0 = i >> which;",
        "  assign o = shifted0[0] ;",
        "  wire [6:0] unused_bits = { shifted0[7:1] } ;",
    ]
    before, after = Counter((TOP + PART).splitlines()), Counter(tidy(TOP + PART).splitlines())
    assert before - after == Counter(marked)
    assert after - before == Counter(marks)
    clean = PART.replace("i >> which", "i[0] ^ i[4] ^ i[5] ^ ^which")
    assert tidy(clean) == clean
    assert tidy("/* nothing */\n") == "/* nothing */\n"


def module(*lines, ports="clk, a, y", widths=(8, 2)):
    wide, narrow = widths
    return "\n".join([
        f"module top({ports});", "  input clk;", "  wire clk;",
        f"  input [{wide - 1}:0] a;", f"  wire [{wide - 1}:0] a;",
        f"  output [{narrow - 1}:0] y;", f"  wire [{narrow - 1}:0] y;", *lines, "endmodule\n",
    ])  # fmt: skip


@pytest.mark.parametrize(
    "shift,width",
    [
        ("a >> a[1:0]", 8),
        ("a << a[1:0]", 8),
        ("$signed(a) >>> a[2:0]", 8),
        ("16'ha5c3 >> a", 16),
        ("{ a, 2'h1 } >> a", 10),
    ],
)
def test_shifts_of_every_kind_are_cut_by_name(shift, width, tmp_path):
    text = module(f"  assign y = {shift};", "  wire unused = clk;")
    assert "WIDTHTRUNC" in complaints(text, tmp_path)
    assert f"  wire [{width - 1}:0] shifted0 = {shift};\n  assign y = shifted0[1:0] ;\n" in tidy(text)
    assert complaints(tidy(text), tmp_path) == set()
    fits = module(f"  assign y = {shift};", widths=(8, 16)).replace("input clk;\n  wire clk;\n", "")
    assert "shifted0" not in tidy(fits)


def test_a_register_behind_a_memory_s_values_is_seen_and_none_is_driven_by_an_assignment(tmp_path):
    text = module(
        "  reg [7:0] words [1:0];", "  initial begin", "    words[0] = 8'h01;", "    words[1] = 8'h02;", "  end",
        "  reg [7:0] seen;", "  always @(posedge clk)", "    seen <= words[a[0]];", "  reg [3:0] part;",
        "  always @(posedge clk)", "    if (a[1] <= a[2]) part[1:0] <= a[4:3];", "  assign y = seen[1:0] ^ part[1:0];",
    )  # fmt: skip
    assert "UNUSEDSIGNAL" in complaints(text, tmp_path)
    assert "unused_bits = { a[7:5], seen[7:2], part[3:2] } ;" in tidy(text)
    assert "assign part" not in tidy(text)
    assert complaints(tidy(text), tmp_path) == {"UNDRIVEN"}  # which it is


def test_names_that_look_like_something_else_are_names(tmp_path):
    inner = "module \\in//side (\\o//p , q);\n  output \\o//p ;\n  wire \\o//p ;\n  output q;\n  wire q;\n"
    inner += (
        "  wire \\lane[0] ;\n  assign \\lane[0] = 1'h1 ;\n  assign \\o//p = \\lane[0] ;\n  assign q = \\lane[0] ;\n"
    )
    text = module(
        "  wire [1:0] n;", "  wire \\lane[0]_part0 = /* none; of */ a[0]; // it; all",
        "  \\in//side \\lane[0] (", "    .\\o//p (n[1]),", "    .q(n[0])", "  );",
        "  assign y = { n[0], \\lane[0]_part0 };",
    )  # fmt: skip
    assert complaints(text + inner + "endmodule\n", tmp_path) == {"UNUSEDSIGNAL", "VARHIDDEN"}
    tidied = tidy(text + inner + "endmodule\n")
    assert "  \\in//side \\lane[0]_part1  (\n" in tidied
    assert "unused_bits = { clk, a[7:1], n[1] } ;" in tidied
    assert "= 1'h0 ;" not in tidied
    assert complaints(tidied, tmp_path) == set()


def test_names_with_what_ends_a_statement_or_a_module_are_names(tmp_path):
    text = module(
        "  wire [7:0] \\u;v ;", "  assign \\u;v  = a;", "  wire [7:0] \\n=m ;", "  wire [1:0] \\p<=q ;",
        "  reg \\endmodule$ ;", "  always @(posedge clk)", "    \\endmodule$  <= a[7];",
        "  assign \\p<=q  = { \\u;v [0], \\n=m [7:0] } >> \\u;v [2:0];",
        "  assign \\n=m [6:0] = \\u;v [7:1];", "  assign y = \\p<=q ;",
    )  # fmt: skip
    assert complaints(text, tmp_path) == {"WIDTHTRUNC", "UNUSEDSIGNAL", "UNDRIVEN"}
    tidied = tidy(text)
    assert "  assign \\p<=q  = shifted0[1:0] ;" in tidied
    assert "  wire [7:0] unused_bits = { \\endmodule$ , shifted0[8:2] } ;\n" in tidied
    assert complaints(tidied, tmp_path) == {"UNDRIVEN"}  # which it is: a bit that is read


@pytest.mark.parametrize("instance", ["part p (a, n);", "other #(.W(2)) p (.x(a), .n(n));", "other p (.x(a), .n(n));"])
def test_pins_of_unknown_direction_are_taken_as_read(instance):
    text = module("  wire [1:0] n;", f"  {instance}", "  assign y = 2'h0;").replace("input clk;\n  wire clk;\n", "")
    other = "module part(x, n);\n  input x;\n  wire x;\n  output n;\n  wire n;\n  assign n = x;\nendmodule\n"
    assert tidy(text + other) == text + other


def test_a_name_that_is_taken_is_not_taken_again(tmp_path):
    text = tidy(PART.replace("sum", "shifted0").replace("full", "unused_bits"))
    assert "wire [7:0] shifted1 = i >> which;" in text
    assert "unused_bits0 = { shifted1[7:1] }" in text


def test_what_is_called_unused_is_known_to_be():
    text = PART.replace("  reg [3:0] sum", "  wire [1:0] unused_of_old;\n  reg [3:0] sum")
    assert tidy(text) == tidy(PART).replace("  reg [3:0] sum", "  wire [1:0] unused_of_old;\n  reg [3:0] sum")
