import math

import pytest

from galvo.text import byte_text, count_text, duration_text, number_text, printable


@pytest.mark.parametrize(
    ("nbytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (18432, "18.4 kB"),
        (999_499, "999 kB"),
        (999_999, "1.00 MB"),
        (78_643_200, "78.6 MB"),
        (123_456_789_012, "123 GB"),
        (5e15, "5.00 PB"),
        (5e18, "5000 PB"),
    ],
)
def test_bytes(nbytes, text):
    assert byte_text(nbytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0333, "33.3 ms"), (9.967, "9.97 s"), (125, "2 min 05 s"), (3723.4, "1 h 02 min 03 s"), (math.nan, "unknown")],
)
def test_durations(seconds, text):
    assert duration_text(seconds) == text


def test_numbers():
    assert number_text(1.171875) == "1.172"
    assert number_text(123456.7) == "123,457"
    assert number_text(math.nan) == "nan"
    assert count_text(1, "page") == "1 page"
    assert count_text(12000, "page") == "12,000 pages"
    assert printable("a\x1b[0m\nb") == "a\\x1b[0m\\x0ab"
