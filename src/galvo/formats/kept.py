"""What galvo keeps of a recording beside its pixels, in every format that has room for it.

The same facts go into the group `/galvo` of HDF5 files and, as JSON (`kept_json`), into whatever holds a text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import Shape
from galvo.core.events import event_dtype
from galvo.core.index import Int64
from galvo.core.metadata import LeftOut, Metadata
from galvo.core.recording import Recording
from galvo.core.sink import WritePlan
from galvo.errors import Malformed, Unsupported
from galvo.formats import REGISTRY
from galvo.formats.kept_fields import plain_fields
from galvo.limits import Limits

__all__ = [
    "SCHEMA_VERSION",
    "Columns",
    "KeptFacts",
    "checked_blocks",
    "event_columns",
    "frame_columns",
    "kept_facts",
    "kept_left_out",
    "kept_metadata",
    "kept_shape",
    "plain",
    "require_schema",
]

SCHEMA_VERSION = 1
# what reading adds to the attributes
_ADDED = ("source_format", "source_version", "provenance", "stored")

Columns = dict[str, NDArray[Any]]


# ---- writing --------------------------------------------------------------------------------------------------------


def kept_facts(plan: WritePlan) -> dict[str, Any]:
    """What is known before the pixels are written; unknown is None."""
    recording, metadata = plan.recording, plan.recording.metadata
    before = metadata.attributes.get("provenance")
    fields = plain_fields(recording.scan_fields)
    return {
        "schema_version": SCHEMA_VERSION,
        "shape": recording.shape,
        "channel_names": list(metadata.channel_names),
        "frame_rate_hz": metadata.frame_rate_hz,
        "pixel_size_um": metadata.pixel_size_um,
        "z_um": metadata.z_um,
        "start_time": metadata.start_time,
        "source_format": str(metadata.attributes.get("source_format", metadata.format)),
        "source_version": metadata.attributes.get("source_version", metadata.version),
        "provenance": {**plan.provenance, **({"before": before} if before else {})},
        "attributes": {name: value for name, value in metadata.attributes.items() if name not in _ADDED},
        "texts": dict(metadata.texts),
        **({"fields": fields} if fields else {}),
    }


def plain(value: Any) -> Any:
    """What JSON has for a value that it does not know."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else str(value)


def frame_columns(recording: Recording) -> Columns:
    """The frame table without positions; `source_file` and `source_page` are those of the source."""
    table = recording.frame_table()
    renamed = {"file": "source_file", "page": "source_page"}
    names = [name for name in table.dtype.names or () if name not in ("t", "c", "z")]
    if "source_page" in names:
        names = [name for name in names if name not in renamed]
    return {renamed.get(name, name): table[name] for name in names}


# ---- reading --------------------------------------------------------------------------------------------------------


def require_schema(version: Any, path: str) -> None:
    """Refuse what a later galvo wrote in a schema of its own."""
    if version != SCHEMA_VERSION:
        raise Unsupported(
            "written by another galvo", path=path, found=f"schema {version!r}", expected=f"schema {SCHEMA_VERSION}"
        )


def kept_metadata(facts: Mapping[str, Any], format: str, path: str) -> Metadata:
    """The metadata that `kept_facts` kept.

    Raises
    ------
    Malformed
        A part is missing or of another kind, or does not fit the shape.
    """

    def get(name: str, kinds: type | tuple[type, ...]) -> Any:
        value = facts.get(name)
        if not isinstance(value, kinds):
            raise Malformed(f"galvo's own {name} is missing or of another kind", path=path, found=type(value).__name__)
        return value

    names, depths, size = get("channel_names", list), facts.get("z_um"), facts.get("pixel_size_um")
    shape, texts = kept_shape(facts, path), get("texts", dict)
    for what, value, length in (("channel_names", names or None, shape[1]), ("z_um", depths, shape[2])):
        if value is not None and (not isinstance(value, list | tuple) or len(value) != length):
            raise Malformed(f"galvo's own {what} does not fit the shape", path=path, found=value, expected=length)
    if size is not None and (not isinstance(size, list | tuple) or len(size) != 2):
        raise Malformed("galvo's own pixel_size_um is no pair", path=path, found=size)
    if not all(isinstance(text, str) for text in texts.values()):
        raise Malformed("galvo's own texts are no texts", path=path)
    source_format, unknown = get("source_format", str), (str, type(None))
    try:
        return Metadata(
            format=format,
            version=f"galvo schema {SCHEMA_VERSION}",
            channel_names=tuple(map(str, names)),
            frame_rate_hz=None if facts.get("frame_rate_hz") is None else float(facts["frame_rate_hz"]),
            pixel_size_um=None if size is None else (float(size[0]), float(size[1])),
            z_um=None if depths is None else tuple(map(float, depths)),
            start_time=get("start_time", unknown) or None,
            header=_header(source_format, texts),
            texts=texts,
            attributes={
                **get("attributes", dict),
                "source_format": source_format,
                "source_version": get("source_version", unknown) or None,
                "provenance": get("provenance", dict),
            },
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise Malformed("galvo's own metadata holds no numbers where it should", path=path) from error


def kept_shape(facts: Mapping[str, Any], path: str) -> Shape:
    """T C Z Y X as stated."""
    shape = facts.get("shape")
    if not isinstance(shape, list | tuple) or len(shape) != 5 or not all(type(n) is int and n > 0 for n in shape):
        raise Malformed("galvo's own shape is no shape", path=path, found=shape)
    t, c, z, y, x = shape
    return t, c, z, y, x


def _header(source_format: str, texts: Mapping[str, str]) -> Mapping[str, Any]:
    """The vendor's header, by the parser of the format that it came from."""
    entry = REGISTRY.all().get(source_format)
    if entry is None or entry.parse_header is None or "header" not in texts:
        return {}
    return entry.parse_header(texts["header"])


def kept_left_out(metadata: Metadata) -> list[LeftOut]:
    """What the conversion had left out, as the file remembers it."""
    provenance = metadata.attributes.get("provenance")
    entries = provenance.get("left_out") if isinstance(provenance, dict) else None
    return [
        LeftOut(str(entry.get("what")), entry["page_count"], str(entry.get("reason")))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("page_count"), int)
    ]


def checked_blocks(
    bounds: NDArray[Any], crcs: NDArray[Any], shape: Shape, path: str
) -> list[tuple[tuple[slice, ...], int]]:
    """Index and CRC-32C of each block.

    Parameters
    ----------
    bounds : ndarray of int
        Start and stop on T C Z Y X of each block, flat.
    crcs : ndarray of int
    shape : (T, C, Z, Y, X)
    path : str

    Raises
    ------
    Malformed
        The blocks are not the whole recording: those left out would pass as verified.
    """
    if bounds.size != crcs.size * 10:
        raise Malformed("the bounds of the blocks do not fit their checksums", path=path)
    pairs = bounds.reshape(-1, 5, 2)
    start, stop = pairs[..., 0], pairs[..., 1]
    inside = bool(((start >= 0) & (start < stop) & (stop <= shape)).all())
    if not inside or sum(math.prod(lengths) for lengths in (stop - start).tolist()) != math.prod(shape):
        raise Malformed("the checksums of the blocks do not cover the recording", path=path)
    slices = [tuple(slice(*pair) for pair in one) for one in pairs.tolist()]
    return list(zip(slices, crcs.tolist(), strict=True))


class KeptFacts:
    """The frame table and the events of a file, loaded when they are first asked for.

    Parameters
    ----------
    path : str
    lengths : (T, C, Z)
    load : callable
        Gives the columns, one row per (t, c, z).
    load_events : callable
        Gives the columns of `event_dtype`, but ``data`` as the payloads behind each other; None where there are none.
    limits : Limits
    """

    def __init__(
        self,
        path: str,
        lengths: tuple[int, int, int],
        load: Callable[[], Columns],
        load_events: Callable[[], Columns | None],
        limits: Limits,
    ) -> None:
        self._limits = limits
        self._path = path
        self._lengths = lengths
        self._load = load
        self._load_events = load_events
        self._columns: Columns | None = None
        self._events: NDArray[np.void] | None = None

    def read(self, t: Int64, c: Int64, z: Int64) -> Columns:
        """Columns of the frames at (t, c, z)."""
        if self._columns is None:
            self._columns = self._checked(self._load())
        row = (t * self._lengths[1] + c) * self._lengths[2] + z
        return {name: column[row] for name, column in self._columns.items()}

    def _checked(self, columns: Columns) -> Columns:
        rows = math.prod(self._lengths)
        for name, column in columns.items():
            fits = name.isidentifier() and name not in ("t", "c", "z") and column.size == rows
            if not fits or (name == "timestamp_s" and column.dtype.kind != "f"):
                raise Malformed(f"galvo's own {name} is no column of {rows} frames", path=self._path)
        return columns

    def events(self, t: Int64) -> NDArray[np.void]:
        """Events of the given T; their `t` counts the entries of the argument."""
        if self._events is None:
            columns = self._load_events()
            self._events = np.empty(0, event_dtype()) if columns is None else self._joined(columns)
        first = np.searchsorted(self._events["t"], t, side="left")
        count = np.searchsorted(self._events["t"], t, side="right") - first
        ends = np.cumsum(count)
        rows = np.arange(int(count.sum())) + np.repeat(first - (ends - count), count)
        found: NDArray[np.void] = self._events[rows]
        found["t"] = np.repeat(np.arange(t.size), count)
        return found

    def _joined(self, columns: Columns) -> NDArray[np.void]:
        count, nbytes = columns["t"].size, columns["data_nbytes"]
        wrong = (
            any(columns[name].size != count for name in ("z", "kind", "time_s", "data_nbytes"))
            or bool((np.diff(columns["t"]) < 0).any() or (nbytes < 0).any() or (nbytes > columns["data"].size).any())
            or int(nbytes.sum()) != columns["data"].size
            or bool(((columns["z"] < -1) | (columns["z"] >= self._lengths[2])).any())
        )
        if wrong:
            raise Malformed("galvo's own events are no events", path=self._path)
        self._limits.check("text_bytes", count * int(nbytes.max(initial=1)), path=self._path)
        events = np.zeros(count, event_dtype(int(nbytes.max(initial=1))))
        for name in ("t", "z", "time_s", "data_nbytes"):
            events[name] = columns[name]
        events["kind"] = np.char.decode(columns["kind"], "ascii", "replace")
        room = np.arange(events["data"].shape[1]) < nbytes[:, None]
        events["data"][room] = columns["data"]
        return events


def event_columns(recording: Recording) -> Columns | None:
    """The events of a recording as `KeptFacts` takes them; None where it has none."""
    events = recording.events()
    if not events.size:
        return None
    columns: Columns = {name: events[name] for name in ("t", "z", "time_s", "data_nbytes")}
    columns["kind"] = np.char.encode(events["kind"], "ascii", "backslashreplace")
    room = np.arange(events["data"].shape[1]) < events["data_nbytes"][:, None]
    columns["data"] = events["data"][room]
    return columns
