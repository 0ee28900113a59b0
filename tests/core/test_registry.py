"""Which format a file has: exactly one, or an error that helps."""

from __future__ import annotations

import importlib.metadata
import struct
import types

import pytest

from galvo.core import registry as registry_module
from galvo.core.detect import DETECT_BYTES, Probe
from galvo.core.registry import Format, Registry
from galvo.errors import GalvoWarning, NotFound, OptionError, ReadError, UnknownFormat
from galvo.formats import REGISTRY

THIS = __name__


def made(name, magic, **other):
    def detect(probe):
        return probe.head.startswith(magic)

    fields = {"suffixes": (f".{name}",), "open": lambda paths: None, "detect": detect}
    return Format(name=name, title=name, **(fields | other))


ALPHA = made("alpha", b"ALPHA", sink=object)
BETA = made("beta", b"BETA", suffixes=(".beta", ".b.tar"), sink=object)
GREEDY = made("greedy", b"", suffixes=(".greedy",))
SPECIAL = made("special", b"ALPHA+", refines=("alpha",), suffixes=(".alpha",))
ALPHA_TOO = made("alpha", b"ALPHA")
NO_FORMAT = "alpha"
WRITER = made("writer", b"W", suffixes=(".beta",), sink=object)


def registry(*names):
    return Registry([f"{THIS}:{name}" for name in names])


@pytest.fixture
def write(tmp_path):
    def write(name, data):
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    return write


def test_exactly_one(write):
    formats = registry("ALPHA", "BETA")
    assert formats.detect(write("x.bin", b"ALPHA...")) is ALPHA
    assert formats.detect(write("x.alpha", b"BETA...")) is BETA


def test_a_special_case_wins(write):
    for names in (("ALPHA", "SPECIAL"), ("SPECIAL", "ALPHA")):
        assert registry(*names).detect(write("x", b"ALPHA+...")) is SPECIAL
        assert registry(*names).detect(write("x", b"ALPHA-...")) is ALPHA


def test_several(write):
    with pytest.raises(UnknownFormat, match="several formats") as caught:
        registry("ALPHA", "GREEDY").detect(write("x", b"ALPHA"))
    assert caught.value.found == "alpha, greedy"
    assert 'format="alpha"' in caught.value.hint


def test_none(write):
    with pytest.raises(UnknownFormat) as caught:
        registry("ALPHA", "BETA").detect(write("x.bin", b"\x00\xffrubbish"))
    assert caught.value.expected == "one of alpha, beta"
    assert "00 ff 72 75" in caught.value.found
    assert "promises" not in str(caught.value)


def test_a_suffix_that_lies(write):
    with pytest.raises(UnknownFormat, match=r"where \.alpha promises alpha") as caught:
        registry("ALPHA", "BETA").detect(write("x.ALPHA", b"rubbish"))
    assert "damaged" in caught.value.hint


def test_an_empty_file(write):
    with pytest.raises(UnknownFormat, match="the file is empty"):
        registry("ALPHA").detect(write("x.alpha", b""))


def test_nothing_there(tmp_path):
    with pytest.raises(NotFound):
        registry("ALPHA").detect(str(tmp_path / "none.alpha"))
    with pytest.raises(ReadError, match="folder"):
        registry("ALPHA").detect(str(tmp_path))


def test_by_name():
    formats = registry("ALPHA", "BETA")
    assert formats.get("BETA") is BETA
    with pytest.raises(OptionError, match="one of alpha, beta"):
        formats.get("gamma")


def test_for_writing(tmp_path):
    formats = registry("ALPHA", "BETA", "GREEDY", "SPECIAL")
    assert formats.for_writing("x.beta") is BETA
    assert formats.for_writing("x.B.TAR") is BETA
    assert formats.for_writing("x.alpha") is ALPHA
    assert formats.for_writing("x.alpha", "beta") is BETA
    with pytest.raises(OptionError, match=r"\.alpha \(alpha\), \.beta \(beta\)"):
        formats.for_writing("x.tif")
    with pytest.raises(OptionError, match="does not write greedy; expected one of alpha, beta"):
        formats.for_writing("x.alpha", "greedy")
    with pytest.raises(OptionError, match="several formats"):
        registry("BETA", "WRITER").for_writing("x.beta")


def test_rows_that_are_wrong():
    with pytest.raises(OptionError, match="two formats are called alpha"):
        registry("ALPHA", "ALPHA_TOO").all()
    with pytest.raises(OptionError, match="no galvo format"):
        registry("NO_FORMAT").all()


def entry_point(name, value):
    return importlib.metadata.EntryPoint(name=name, value=f"{THIS}:{value}", group="galvo.formats")


def test_entry_points_come_after_in_order_of_names(monkeypatch):
    points = [entry_point("a", "BETA"), entry_point("z", "GREEDY")]
    monkeypatch.setattr(registry_module, "_entry_points", lambda: points)
    assert list(registry("ALPHA").all()) == ["alpha", "beta", "greedy"]


def test_a_broken_package_does_not_stop_the_others(monkeypatch, write):
    points = [entry_point("broken", "MISSING"), entry_point("b", "BETA")]
    monkeypatch.setattr(registry_module, "_entry_points", lambda: points)
    formats = registry("ALPHA")
    with pytest.warns(GalvoWarning, match="'broken' of another package"):
        assert formats.detect(write("x", b"BETA")) is BETA


# ---- how much is looked at ------------------------------------------------------------------------------------------


def test_the_budget_holds(write, read_sizes):
    path = write("x", bytes(300_000))
    probe = Probe(path)
    assert probe.size == 300_000
    assert len(probe.head) == len(probe.head) == 4096
    assert len(probe.read(10, 20)) == 20
    assert len(probe.read(200_000, 1 << 30)) == DETECT_BYTES - 4096 - 20
    assert probe.read(0, 1) == b""
    assert sum(read_sizes) == DETECT_BYTES
    probe.close()


def test_reads_that_lead_nowhere(write):
    probe = Probe(write("x.Y", b"abc"))
    assert probe.suffix == ".y"
    assert probe.head == b"abc"
    for offset, nbytes in ((-1, 5), (3, 5), (2**64, 5), (2**63, 5), (0, 0), (0, -5)):
        assert probe.read(offset, nbytes) == b""
    assert probe.read(2, 5) == b"c"
    probe.close()


def heads():
    yield "zeros", bytes(16)
    for order in ("<", ">"):
        mark = b"II" if order == "<" else b"MM"
        for offset in (0, 8, 16, 1 << 20, 2**32 - 1):
            yield f"classic {order}{offset}", mark + struct.pack(order + "HI", 42, offset)
        for offset in (0, 8, 16, 1 << 20, 2**63 - 1, 2**63, 2**64 - 1):
            yield f"big {order}{offset}", mark + struct.pack(order + "HHHQ", 43, 8, 0, offset)
    yield "hdf5", b"\x89HDF\r\n\x1a\n"


@pytest.mark.parametrize("fill", [0, 255])
def test_galvos_own_formats_look_at_64_kib_at_most(write, read_sizes, fill):
    for name, head in heads():
        for rest in (0, 1, 5, 100, 300_000):
            path = write("x", head + bytes([fill]) * rest)
            read_sizes.clear()
            try:
                entry = REGISTRY.detect(path)
            except UnknownFormat:
                entry = None
            assert entry is None or isinstance(entry, Format)
            assert sum(read_sizes) <= DETECT_BYTES, (name, rest)


def test_formats_are_loaded_once(monkeypatch):
    calls = []
    fake = types.SimpleNamespace(ALPHA=ALPHA)
    monkeypatch.setattr(registry_module, "import_module", lambda name: calls.append(name) or fake)
    formats = Registry(["somewhere:ALPHA"])
    assert formats.all() is formats.all()
    assert calls == ["somewhere"]
