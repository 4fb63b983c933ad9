"""Files are written whole or not at all, and CSV holds no formula."""

from __future__ import annotations

import csv
import io

import pytest

from siloom.reports.files import csv_text, write_whole
from siloom.sim.errors import InputError


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    out = tmp_path / "a.html"
    out.write_text("old")
    assert write_whole(out, b"new") == out
    assert out.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


def test_a_link_goes_on_pointing_at_its_file(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    write_whole(link, b"new")
    assert link.is_symlink() and real.read_bytes() == b"new"


def test_a_folder_or_an_absent_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="not a regular file"):
        write_whole(tmp_path, b"x")
    with pytest.raises(InputError, match=r"absent/a\.html: cannot be written: No such file"):
        write_whole(tmp_path / "absent" / "a.html", b"x")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    out = tmp_path / "a"
    out.write_text("old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(InputError, match="No space left"):
        write_whole(out, b"new")
    assert out.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\u00a0=1", "＝1"])
def test_formulas_become_texts(text):
    (head, row) = csv.reader(io.StringIO(csv_text((text,), [(text,)]), newline=""))
    assert head == row == ["'" + text]


@pytest.mark.parametrize("text", ["\t=1", "\r=1", "\n=1", "a\ud800b\x00"])
def test_no_control_character_reaches_a_cell(text):
    lines = csv_text(("head",), [(text,)]).encode().decode().split("\n")
    assert len(lines) == 3
    assert "\ufffd" in lines[1]


def test_numbers_stay_numbers_and_quotes_survive():
    text = csv_text(("a", "b"), [(-1.5, 'say "x", y'), (None, "z")])
    assert list(csv.reader(io.StringIO(text))) == [["a", "b"], ["-1.5", 'say "x", y'], ["", "z"]]
