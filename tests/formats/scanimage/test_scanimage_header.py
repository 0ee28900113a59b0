"""The header grammar: what ScanImage writes, and what an enemy might."""

from __future__ import annotations

import json
import math
import time

import hypothesis
import pytest
from hypothesis import strategies as st

from galvo.errors import GalvoError, Malformed
from galvo.formats.scanimage import header as header_module
from galvo.formats.scanimage.header import Header, is_header
from galvo.formats.scanimage.literal import parse_literal
from galvo.testing.scanimage_literals import Cell, Matrix, Row, render_matlab

LITERALS = {
    "1": 1,
    "  10 ": 10,
    "-3": -3,
    "+4": 4,
    "4.15e-05": 4.15e-05,
    "1.": 1.0,
    ".5": 0.5,
    "1D3": 1000.0,
    "1e400": math.inf,
    "Inf": math.inf,
    "-Inf": -math.inf,
    "true": True,
    "false": False,
    "''": "",
    "'a b'": "a b",
    "'it''s'": "it's",
    "'a;[b]{c},'": "a;[b]{c},",
    "[1 2]": [1, 2],
    "[1,2]": [1, 2],
    "[1;2]": [[1], [2]],
    "[1 2;3 4]": [[1, 2], [3, 4]],
    "[]": [],
    "{}": [],
    "[ ]": [],
    "zeros(1,0)": [],
    "cell(0,0)": [],
    "{'a'}": ["a"],
    "{'a' 'b'}": ["a", "b"],
    "{'a';'b'}": [["a"], ["b"]],
    "{[1 2] 'x'}": [[1, 2], "x"],
    "{{1} {}}": [[1], []],
    "@fn": "@fn",
    "scanimage.types.BeamAdjustTypes.None": "scanimage.types.BeamAdjustTypes.None",
    "<nonscalar struct/object>": "<nonscalar struct/object>",
    "": "",
    "'unterminated": "'unterminated",
    "[1 2": "[1 2",
    "{'a' ": "{'a'",
    "1 2": "1 2",
    "2019b": "2019b",
    "3x": "3x",
    "١": "١",
    "1" * 400: math.inf,
    "12345678901234567890": 12345678901234567890.0,
    "[1 2] 3": "[1 2] 3",
    "]": "]",
    "0x10": "0x10",
    "1_000": "1_000",
}


@pytest.mark.parametrize("text", LITERALS, ids=lambda text: text[:20])
def test_literals(text):
    value = parse_literal(text)
    assert value == LITERALS[text]
    assert type(value) is type(LITERALS[text])


def test_nan():
    assert math.isnan(parse_literal("NaN"))
    assert math.isnan(parse_literal("[1 NaN]")[1])


SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(10**15), 10**15),
    st.floats(allow_nan=False, width=32).map(lambda value: float(f"{value:.16g}")),
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=12),
)


@hypothesis.given(value=SCALARS)
def test_scalars_survive_being_written(value):
    assert parse_literal(render_matlab(value, 17)) == value


@hypothesis.given(items=st.lists(st.integers(-99, 99), min_size=2, max_size=6))
def test_rows_columns_and_cells_survive_being_written(items):
    assert parse_literal(render_matlab(Row(tuple(items)))) == items
    assert parse_literal(render_matlab(Matrix(tuple((item,) for item in items)))) == [[item] for item in items]
    assert parse_literal(render_matlab(Cell(tuple(map(str, items))))) == [str(item) for item in items]


@hypothesis.given(text=st.text(max_size=200) | st.text("[]{}()';, \t1.eE+-InfNaN@truez", max_size=60))
@hypothesis.settings(max_examples=400)
def test_any_text_is_parsed_or_a_galvo_error(text):
    try:
        parse_literal(text)
    except GalvoError:
        return


ENEMIES = {
    "nesting": "[" * 100_000,
    "nesting of both": "[{" * 50_000 + "}]" * 50_000,
    "closings": "]" * 100_000,
    "digits": "1" * 200_000 + "x",
    "digits with points": "1." * 100_000,
    "exponents": "1e" * 100_000,
    "signs": "+" * 200_000,
    "quotes": "'" * 200_001,
    "open quote in a cell": "{'" + "a" * 200_000,
    "semicolons": "[" + ";" * 200_000 + "]",
    "rows": "[" + "1;" * 50_000 + "]",
    "words": "[" + "a " * 50_000 + "]",
    "numbers that are words": "[" + "1" * 100_000 + "x " + "2" * 100_000 + "y]",
    "zeros": "zeros(" * 30_000,
    "zeros with blanks": "zeros(" + " " * 200_000,
    "NULs": "\0" * 200_000,
}


@pytest.mark.parametrize("name", ENEMIES)
def test_hostile_literals_end_soon(name):
    # of this process: others may have the processor meanwhile
    start = time.process_time()
    try:
        parse_literal(ENEMIES[name])
    except Malformed:
        assert "nesting" in name
    assert time.process_time() - start < 1


def test_nesting_within_reason_is_read():
    assert parse_literal("[" * 30 + "1" + "]" * 30) is not None
    with pytest.raises(Malformed, match="nested too deeply"):
        parse_literal("[" * 100 + "1" + "]" * 100)


# ---- headers -------------------------------------------------------------------------------------------------------

TEXT = (
    "SI.acqState = 'grab'\nSI.hChannels.channelSave = [1;2]\nSI.hChannels.channelName = {'red' 'gr = een'}\n"
    "SI.hFastZ.enable = true\nSI.empty = \nSI.hRoiManager.imagingFovUm = [-1 -2;3 -2;3 4;-1 4]\n"
    "SI.VERSION_MAJOR = '2019b'\nSI.inf = Inf\nSI.nan = [NaN 1]\nSI.last = 7"
)


@pytest.mark.parametrize("prefix", ["", "scanimage."])
def test_keys_in_lines(prefix):
    header = Header("".join(f"{prefix}{line}\n" for line in TEXT.splitlines()))
    assert header["SI.hChannels.channelSave"] == [[1], [2]]
    assert header.numbers("SI.hChannels.channelSave") == [1, 2]
    assert header.words("SI.hChannels.channelName") == ["red", "gr = een"]
    assert header.flag("SI.hFastZ.enable")
    assert not header.flag("SI.hFastZ.absent")
    assert header["SI.empty"] == ""
    assert header.word("SI.empty") is None
    assert header.numbers("SI.hRoiManager.imagingFovUm") == [-1, -2, 3, -2, 3, 4, -1, 4]
    assert header.number("SI.inf") == math.inf
    assert header.count("SI.inf") is None
    assert header.numbers("SI.nan") == [1]
    assert header.count("SI.last") == 7
    assert "SI.absent" not in header
    assert "SI.acq" not in header
    assert "acqState" not in header
    with pytest.raises(KeyError):
        header["SI.absent"]
    assert list(header)[:2] == ["SI.acqState", "SI.hChannels.channelSave"]
    assert len(header) == 10
    assert dict(header)["SI.last"] == 7


def test_keys_divided_by_carriage_returns():
    header = Header("state.configName='a=b'\rstate.acq.frameRate=3.9\rstate.acq.x=\r")
    assert header["state.configName"] == "a=b"
    assert header.number("state.acq.frameRate") == 3.9
    assert len(header) == 3


def test_keys_in_json():
    header = Header(json.dumps({"SI": {"a": {"b": [1, 2]}, "t": True, "n": None, "s": "x", "inf": "_Inf_"}}))
    assert header["SI.a.b"] == [1, 2]
    assert header.flag("SI.t")
    assert header.numbers("SI.n") == []
    assert header.word("SI.s") == "x"
    assert header.number("SI.inf") == math.inf
    assert "SI.absent" not in header
    for text in ('{"SI": ', '{"SI": ' + "[" * 100_000, '{"SI": ' + "9" * 5000 + "}"):
        with pytest.raises(Malformed, match="JSON"):
            Header(text)["SI.a"]


def test_only_what_is_asked_for_is_parsed(monkeypatch):
    parsed = []
    monkeypatch.setattr(header_module, "parse_literal", lambda text: parsed.append(text) or parse_literal(text))
    text = TEXT + "".join(f"\nSI.user.a{number} = [1 2 3]" for number in range(1000))
    header = Header(text)
    for _ in range(3):
        header.number("SI.last")
        header.get("SI.absent")
    assert [value.strip() for value in parsed] == ["7"]
    assert "_lines" not in vars(header), "all lines were indexed for one key"


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("SI.VERSION_MAJOR = 2021\n", True),
        ("frameNumbers = 1\nscanimage.SI.VERSION_MAJOR = 5\n", True),
        ("a\r\nSI4.x = 1", True),
        ("scanimage.SI5.x = 1", True),
        ("state.configPath='C:'\r", True),
        ('{"SI": {"x": 1}}', True),
        ('{\n "SI" : {', True),
        ("SI. is a system of units = x", False),
        ("see SI.VERSION = 3", False),
        ("estate.x = 1", False),
        ("a\nstate.x = 1", False),
        ('{"shape": [1]}', False),
        ("", False),
    ],
)
def test_what_looks_like_a_header(text, yes):
    assert is_header(text) == yes


@hypothesis.given(text=st.text(max_size=300), key=st.sampled_from(["SI.a", "SI", "", "state.a", "SI.a.b"]))
@hypothesis.settings(max_examples=200)
def test_any_header_is_read_or_a_galvo_error(text, key):
    for start in ("", "SI.a = ", "state.a=", '{"SI": {"a": '):
        header = Header(start + text)
        try:
            for look in (header.number, header.count, header.numbers, header.flag, header.word, header.words):
                look(key)
            len(header)
            list(header)
        except GalvoError:
            continue
