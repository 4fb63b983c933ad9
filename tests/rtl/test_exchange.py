"""Do writes to lanes of a word change those lanes only, and are choices in Verilog what they were?"""

from __future__ import annotations

import pytest

from siloom.rtl.choices import as_expressions
from siloom.rtl.exchange import Memory


@pytest.mark.parametrize(
    ("lanes", "chosen", "after"),
    [(0, 0, 0xABCD), (2, 0b00, 0x1234), (2, 0b01, 0x12CD), (2, 0b10, 0xAB34), (4, 0b1001, 0xA23D)],
)
def test_a_write_changes_the_chosen_lanes(lanes, chosen, after):
    memory = Memory(address_bits=3, data_bits=16, words=[0x1234], lanes=lanes)
    request = 0 | 1 << 3 | 0xABCD << 4 | chosen << 20
    assert memory.request_bits == 20 + lanes
    assert memory.written(0x1234, request) == after


CHOICE = """\
  assign before = 1'h1;
  function [1:0] _07_;
    input [1:0] a;
    input [3:0] b;
    input [1:0] s;
    casez (s) // synopsys parallel_case
      2'b?1:
        _07_ = b[1:0];
      2'b1?:
        _07_ = b[3:2];
      default:
        _07_ = a;
    endcase
  endfunction
  assign _08_ = _07_(\\a,b{0 , { x, y[1:0] }, { \\p(  , _06_ });
  assign after = 1'h0;
"""


def test_a_choice_becomes_an_expression_with_its_arguments_whole():
    assert as_expressions(CHOICE) == (
        "  assign before = 1'h1;\n"
        "  wire [3:0] choice0_b = { x, y[1:0] } ;\n"
        "  wire [1:0] choice0_s = { \\p(  , _06_ } ;\n"
        "  assign _08_ = choice0_s[0] ? choice0_b[1:0] : choice0_s[1] ? choice0_b[3:2] : \\a,b{0 ;\n"
        "  assign after = 1'h0;\n"
    )


def test_a_choice_among_odd_names_becomes_an_expression_and_takes_no_name_that_is_there():
    odd = CHOICE.replace("_08_ =", "\\n=m  =").replace("x, y[1:0]", "\\u;v , y[1:0]").replace("before", "choice0_b")
    assert as_expressions(odd) == (
        "  assign choice0_b = 1'h1;\n"
        "  wire [3:0] choice1_b = { \\u;v , y[1:0] } ;\n"
        "  wire [1:0] choice1_s = { \\p(  , _06_ } ;\n"
        "  assign \\n=m  = choice1_s[0] ? choice1_b[1:0] : choice1_s[1] ? choice1_b[3:2] : \\a,b{0 ;\n"
        "  assign after = 1'h0;\n"
    )


def test_text_without_choices_stays_as_it_is():
    text = "  function [1:0] f;\n    input [1:0] a;\n    f = a;\n  endfunction\n"
    assert as_expressions(text) == text
