"""Is ``name:key=value,...`` read as written, and anything else refused in one line?"""

from __future__ import annotations

import pytest

from siloom.sim.errors import UsageError
from siloom.sim.settings import Named, parse_named


@pytest.mark.parametrize(
    ("text", "name", "settings"),
    [
        ("outerspace", "outerspace", {}),
        ("systolic:rows=32,cols=16", "systolic", {"rows": "32", "cols": "16"}),
        (" systolic : rows = 32 , cols = 16 ", "systolic", {"rows": "32", "cols": "16"}),
        ("./my_machine.py:rows=3", "./my_machine.py", {"rows": "3"}),
        ("a.mtx@b.mtx", "a.mtx@b.mtx", {}),
        ("m:formula=a=b", "m", {"formula": "a=b"}),
        ("m:note=x:y", "m", {"note": "x:y"}),
    ],
)
def test_names_and_settings_are_split(text: str, name: str, settings: dict[str, str]) -> None:
    assert parse_named(text) == Named(name, settings)


@pytest.mark.parametrize("text", ["outerspace", "systolic:rows=32,cols=16", "m:b=1,a=2"])
def test_the_text_comes_back_with_its_settings_in_order(text: str) -> None:
    assert str(parse_named(text)) == text
    assert parse_named(str(parse_named(text))) == parse_named(text)


REFUSED = {
    "": "'': a name comes before the ':'",
    ":rows=1": "':rows=1': a name comes before the ':'",
    " :rows=1": "' :rows=1': a name comes before the ':'",
    "m:": "'m:': no setting after the ':'",
    "m:rows": "'m:rows': setting 'rows' must have the form key=value",
    "m:rows=": "'m:rows=': setting 'rows=' must have the form key=value",
    "m:=3": "'m:=3': setting '=3' must have the form key=value",
    "m:rows=3,": "'m:rows=3,': setting '' must have the form key=value",
    "m:rows=3,rows=4": "'m:rows=3,rows=4': setting 'rows' is given twice",
    "m:\nrows": "'m:\\nrows': setting '\\nrows' must have the form key=value",
}


@pytest.mark.parametrize("text", REFUSED)
def test_refuses_what_does_not_have_the_form(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_named(text)
    assert str(caught.value) == REFUSED[text]
