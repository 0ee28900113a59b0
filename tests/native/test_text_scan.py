"""scan_text against Python's own reading of the same lines."""

import errno
import locale
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from galvo import native

FINE = (-1, 0, 0)
FRAME_TEXT = (
    b"frameNumbers = 161\nacquisitionNumbers = 1\nframeNumberAcquisition = 161\nframeTimestamps_sec = 5.301234567\n"
    b"acqTriggerTimestamps_sec = \nnextFileMarkerTimestamps_sec = -1.000000000\nendOfAcquisition =  0\n"
    b"endOfAcquisitionMode = 0\ndcOverVoltage = 0\nepoch = [2021 3 4 5 6 7.891]\nauxTrigger0 = []\n"
    b"I2CData = {{0.1, [1 2]}}\n"
)


class Texts:
    """A file to which texts are appended before they are scanned."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0))
        self.end = 0

    def scan(
        self, texts: Sequence[bytes], keys: list[bytes], threads: int = 1
    ) -> tuple[NDArray[np.float64], tuple[int, int, int]]:
        os.lseek(self.fd, 0, os.SEEK_SET)
        data = b"".join(texts)
        os.write(self.fd, data)
        sizes = np.array([len(text) for text in texts], dtype=np.int64)
        offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        return native.scan_text(np.full(len(texts), self.fd, dtype=np.int64), offsets, sizes, keys, threads)

    def value(self, text: bytes, key: bytes = b"key") -> float:
        values, failure = self.scan([text], [key])
        assert failure == FINE
        assert values.shape == (1, 1)
        return float(values[0, 0])


@pytest.fixture
def texts(tmp_path: Path) -> Iterator[Texts]:
    scanner = Texts(tmp_path / "texts")
    yield scanner
    os.close(scanner.fd)


def same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))


def test_frame_block_in_any_key_order(texts: Texts) -> None:
    expected = {
        b"frameNumbers": 161.0,
        b"acquisitionNumbers": 1.0,
        b"frameTimestamps_sec": 5.301234567,
        b"acqTriggerTimestamps_sec": math.nan,
        b"nextFileMarkerTimestamps_sec": -1.0,
        b"endOfAcquisition": 0.0,
        b"epoch": math.nan,
        b"I2CData": math.nan,
        b"absent": math.nan,
        b"frameNumber": math.nan,
    }
    padded = FRAME_TEXT + b" " * (2000 - len(FRAME_TEXT)) + b"\0"
    for turn in range(len(expected)):
        for direction in (1, -1):
            keys = (list(expected)[turn:] + list(expected)[:turn])[::direction]
            values, failure = texts.scan([padded], keys)
            assert failure == FINE
            assert all(same(float(v), expected[k]) for v, k in zip(values[0], keys, strict=True))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"key = 1", 1.0),
        (b"key=1", 1.0),
        (b"key  =\t 1 \t", 1.0),
        (b"key = 1\n", 1.0),
        (b"key = 1\r\n", 1.0),
        (b"a = 0\rkey = 2\rb = 3", 2.0),
        (b"\n\r\n\rkey = 2", 2.0),
        (b"key = 1\nkey = 2", 1.0),
        (b"key = \nkey = 2", math.nan),
        (b"keyX = 3\nkey = 4", 4.0),
        (b"Xkey = 3", math.nan),
        (b" key = 3", math.nan),
        (b"key", math.nan),
        (b"key ", math.nan),
        (b"key =", math.nan),
        (b"key = \nnext = 5", math.nan),
        (b"key 5", math.nan),
        (b"ke", math.nan),
        (b"", math.nan),
        (b"key = 1\0", 1.0),
        (b"a = 1\0\nkey = 1", math.nan),
        (b"key = 1\0" + b"2", 1.0),
        (b"key = true", 1.0),
        (b"key = false", 0.0),
        (b"key = truely", math.nan),
        (b"key = Inf", math.inf),
        (b"key = -Inf", -math.inf),
        (b"key = +inf", math.inf),
        (b"key = -infinity", -math.inf),
        (b"key = infinit", math.nan),
        (b"key = NaN", math.nan),
        (b"key = -true", math.nan),
        (b"key = +7", 7.0),
        (b"key = -0", -0.0),
        (b"key = .5", 0.5),
        (b"key = 5.", 5.0),
        (b"key = .", math.nan),
        (b"key = -", math.nan),
        (b"key = +-1", math.nan),
        (b"key = e5", math.nan),
        (b"key = 1e", math.nan),
        (b"key = 1e+", math.nan),
        (b"key = 1e5", 1e5),
        (b"key = 1E-5", 1e-5),
        (b"key = 1,5", math.nan),
        (b"key = 1 2", math.nan),
        (b"key = [1]", math.nan),
        (b"key = 0x10", math.nan),
        (b"key = 1_000", math.nan),
        (b"key = 1..5", math.nan),
        (b"key = '1'", math.nan),
        (b"key = = 1", math.nan),
        (b"key == 1", math.nan),
    ],
)
def test_lines(texts: Texts, text: bytes, expected: float) -> None:
    assert same(texts.value(text), expected)


NUMBERS = [
    "9007199254740991",
    "9007199254740992",
    "9007199254740993",
    "9007199254740993.0000000000000000000001",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "0.1",
    "0.3",
    "123456.789012345",
    "1e22",
    "1e23",
    "1e-22",
    "1e-23",
    "9007199254740991e22",
    "9007199254740991e-22",
    "179769313486231580793e289",
    "1e308",
    "1e309",
    "-1e400",
    "4.9e-324",
    "2.4703282292062327e-324",
    "2.4703282292062328e-324",
    "2.2250738585072011e-308",
    "1e-400",
    "1e999999999999999999999",
    "1e-999999999999999999999",
    "0e999999999999999999999",
    "0.000000000000000000000000000000000000000000001",
    "0" * 400 + "1.5",
    "1" + "0" * 400,
    "0." + "0" * 400 + "7",
    "1" * 700 + "e-690",
    "7.2057594037927933e16",
    "6.25e-1",
    "10000000000000000000000000000000000000000e-40",
]


@pytest.mark.parametrize("number", NUMBERS)
def test_rounding(texts: Texts, number: str) -> None:
    assert same(texts.value(f"key = {number}".encode()), float(number))
    assert same(texts.value(f"key = -{number.lstrip('-')}\nb = 1".encode()), float("-" + number.lstrip("-")))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.floats().map(repr),
            st.integers(-(10**25), 10**25).map(str),
            st.from_regex(r"[+-]?[0-9]{1,22}(\.[0-9]{0,22})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
        ).filter(str.isascii),
        min_size=1,
        max_size=40,
    ),
    st.sampled_from(["\n", "\r", "\r\n"]),
)
@example(["1e16", "-0.0"], "\n")
def test_as_python_reads(texts: Texts, numbers: list[str], newline: str) -> None:
    text = newline.join(f"key{i} = {number}" for i, number in enumerate(numbers)).encode()
    values, failure = texts.scan([text], [f"key{i}".encode() for i in range(len(numbers))])
    assert failure == FINE
    assert [float(v).hex() for v in values[0]] == [float(number).hex() for number in numbers]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([b"k", b"ke", b"key", b"longer_key_", b"=", b" ", b"\n", b"\r", b"\0", b"1", b"."])))
def test_any_text(texts: Texts, parts: list[bytes]) -> None:
    text = b"".join(parts)
    keys = [b"k", b"key", b"longer_key_", b"longer_key_key", b"1"]
    expected: dict[bytes, float] = {}
    for line in text.split(b"\0")[0].replace(b"\r", b"\n").split(b"\n"):
        name, equals, value = line.partition(b"=")
        if equals:
            try:
                number = float(value.strip(b" \t"))
            except ValueError:
                number = math.nan
            expected.setdefault(name.rstrip(b" \t"), number)
    values, failure = texts.scan([text], keys)
    assert failure == FINE
    assert all(same(float(v), expected.get(k, math.nan)) for v, k in zip(values[0], keys, strict=True))


def test_text_is_cut_at_65536_bytes(texts: Texts) -> None:
    keys = [b"early", b"across", b"late"]
    filler = b"early = 1\n" + b"x" * (65_536 - 10 - 1 - 11) + b"\n"
    across = b"across = 12345\nlate = 2\n"
    values, failure = texts.scan([filler + across], keys)
    assert failure == FINE
    assert values[0, 0] == 1
    assert np.isnan(values[0, 1:]).all()  # 11 bytes of the line are read: "across = 12"
    values, _ = texts.scan([(filler + across)[:65_536]], keys)
    assert values[0, :2].tolist() == [1, 12]


@pytest.mark.parametrize("threads", [0, 1, 2, 4])
def test_many_texts(texts: Texts, threads: int) -> None:
    rng = np.random.default_rng(7)
    numbers = rng.integers(0, 10**9, 3000)
    blocks = [
        FRAME_TEXT.replace(b"161", str(n).encode()).replace(b"5.301234567", repr(n / 1e6).encode())
        for n in numbers.tolist()
    ]
    values, failure = texts.scan(blocks, [b"frameTimestamps_sec", b"frameNumbers"], threads)
    assert failure == FINE
    assert values.dtype == np.float64
    np.testing.assert_array_equal(values, np.stack([numbers / 1e6, numbers], axis=1))


@pytest.mark.parametrize("threads", [1, 4])
def test_lowest_failure(texts: Texts, threads: int) -> None:
    texts.scan([b"key = 1\n"], [b"key"])
    count = 5000
    fds, offsets = np.full(count, texts.fd, dtype=np.int64), np.zeros(count, dtype=np.int64)
    sizes = np.full(count, 8, dtype=np.int64)
    sizes[[777, 778, 4000]] = (11, 9, 10)
    values, failure = native.scan_text(fds, offsets, sizes, [b"key"], threads)
    assert failure == (777, 1, 8)
    assert (values[:777] == 1).all()
    unused = os.dup(texts.fd)
    os.close(unused)
    fds[5] = unused
    values, failure = native.scan_text(fds, offsets, sizes, [b"key"], threads)
    assert failure == (5, 3, errno.EBADF)
    assert math.isnan(values[5, 0])


def test_empty(texts: Texts) -> None:
    none = np.zeros(0, dtype=np.int64)
    values, failure = native.scan_text(none, none, none, [b"a", b"b"], 2)
    assert (values.shape, failure) == ((0, 2), FINE)
    values, failure = texts.scan([b"a = 1"], [])
    assert (values.shape, failure) == ((1, 0), FINE)


def test_refused() -> None:
    one = np.zeros(1, dtype=np.int64)
    for key in (b"", b"a\nb", b"a\rb", b"a\0b"):
        with pytest.raises(ValueError, match="key"):
            native.scan_text(one, one, one, [key], 1)
    for bad in (one - 1, np.full(1, 2**63 - 1, dtype=np.int64)):
        with pytest.raises(ValueError, match="job 0"):
            native.scan_text(one, bad, one, [b"a"], 1)
    with pytest.raises(ValueError, match="negative"):
        native.scan_text(one, one, one - 1, [b"a"], 1)
    with pytest.raises(ValueError, match="nbytes has 0"):
        native.scan_text(one, one, one[:0], [b"a"], 1)
    with pytest.raises(TypeError):
        native.scan_text(one, one, one, ["text"], 1)  # type: ignore[list-item]


def test_decimal_comma_locale(texts: Texts) -> None:
    before = locale.setlocale(locale.LC_NUMERIC)
    for name in ("de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", "German_Germany.1252"):
        try:
            locale.setlocale(locale.LC_NUMERIC, name)
        except locale.Error:
            continue
        break
    else:
        pytest.skip("no locale with a decimal comma is installed")
    try:
        assert texts.value(b"key = 0.12345678901234567890123") == 0.12345678901234567890123
    finally:
        locale.setlocale(locale.LC_NUMERIC, before)
