"""PZF: one image frame per blob, plain, Huffman coded, or quantised by its square root and Huffman coded.

`header` has the header's bytes, `blob` makes a frame of them and back, `chunks` is compression HUFFCODE_CHUNKS.
Sequences are folders of blobs (`folder`) or HDF5 files that hold them (`table`); `sequence` reads both as one array,
`reader` opens and `sink` writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from galvo.core.detect import Probe
from galvo.core.registry import Format, deferred

if TYPE_CHECKING:
    from galvo.formats.pzf.blob import dumps, loads
    from galvo.formats.pzf.header import PzfHeader, load_header

__all__ = ["FORMAT", "PzfHeader", "dumps", "load_header", "loads"]

_PLACES = {"PzfHeader": "header", "dumps": "blob", "load_header": "header", "loads": "blob"}
_HDF5 = b"\x89HDF\r\n\x1a\n"
_NAME = b"PZFImageData"
_LOOK_BYTES = 32 << 10
_NAMES_BYTES = 16 << 10
_UNKNOWN = (1 << 64) - 1
_MOST_VERSION = 3


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _detect(probe: Probe) -> bool:
    head = probe.head
    if head.startswith(_HDF5):
        return _NAME in _root_names(probe) or _NAME in probe.read(0, _LOOK_BYTES)
    # two letters are little: the version, DataFormat and DataCompression must be ones that exist
    known = len(head) >= 48 and head[:2] == b"BD" and head[2] <= _MOST_VERSION and head[3] <= 2 and head[4] <= 4
    return known or (probe.suffix == ".pzf" and head.startswith(b"BD"))


def _root_names(probe: Probe) -> bytes:
    """The bytes that hold the names in the root group of an HDF5 file, where they are not far apart.

    HDF5 file format specification II.A (superblock), III.C (symbol table entry), III.D (local heap), IV.A (object
    header, which holds the links of small groups in files of version 1.8).
    """
    head = probe.head

    def number(data: bytes, at: int) -> int:
        field = data[at : at + 8]
        return int.from_bytes(field, "little") if len(field) == 8 else _UNKNOWN

    if head[8:9] > b"\1":
        return probe.read(number(head, 36), _NAMES_BYTES)
    entry = 56 + 4 * (head[8:9] == b"\1")
    heap = probe.read(number(head, entry + 32), 32)
    return probe.read(number(heap, 24), min(number(heap, 8), _NAMES_BYTES)) if heap.startswith(b"HEAP") else b""


FORMAT = Format(
    name="pzf",
    title="PZF frames: a folder of them, or HDF5",
    suffixes=(".pzf",),
    detect=_detect,
    open=deferred("galvo.formats.pzf.reader:open_pzf"),
    refines=("hdf5",),
    series=deferred("galvo.formats.pzf.folder:series"),
    sink=deferred("galvo.formats.pzf.sink:PzfSink"),
    write_options=("compression", "quantize", "quantize_offset", "quantize_scale", "shift"),
    writes_folders=True,
)
