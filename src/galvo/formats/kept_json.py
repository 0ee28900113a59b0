"""What galvo keeps of a recording, as JSON: for formats that have room for one text.

::

    {"schema_version": 1, "shape": [T, C, Z, Y, X], "channel_names": [...], "frame_rate_hz": ..., "pixel_size_um": ...,
     "z_um": ..., "start_time": ..., "source_format": ..., "source_version": ..., "texts": {...}, "attributes": {...},
     "provenance": {...}, "fields": [...] where there are scan fields,
     "frames": {name: column}, "events": {name: column} or null, "block_bounds": column, "block_crc32c": column,
     "crc32c": of all that comes before, as `_canonical` writes it}

A column is ``{"dtype": "<f8", "zlib": base64 of the deflated bytes}``: a table of 100,000 frames would otherwise be
most of the text.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.axes import Shape
from galvo.core.metadata import Damage, Metadata
from galvo.core.reader import Reader
from galvo.core.recording import Recording
from galvo.core.sink import WritePlan
from galvo.errors import Malformed
from galvo.formats.kept import (
    Columns,
    KeptFacts,
    checked_blocks,
    event_columns,
    frame_columns,
    kept_facts,
    kept_left_out,
    kept_metadata,
    kept_shape,
    plain,
    require_schema,
)
from galvo.formats.kept_fields import kept_fields
from galvo.limits import Limits

__all__ = ["KeptJson", "kept_json", "packed_bound", "sealed"]

_CHECKSUM = "crc32c"
_EVENT_KINDS = {"t": "i", "z": "i", "kind": "S", "time_s": "f", "data_nbytes": "i", "data": "u"}
_DTYPE = re.compile(r"[<|](?:[iu][1248]|f[48]|b1|S[1-9][0-9]{0,5})")


def kept_json(plan: WritePlan, checksums: NDArray[np.uint32] | None, **more: Any) -> dict[str, Any]:
    """What is kept of a plan.

    Parameters
    ----------
    plan : WritePlan
    checksums : ndarray of uint32 or None
        CRC-32C of each block; None before they are written: events, which take reading all of a
        source, are kept with them.
    **more
        What the format itself has to remember.

    Returns
    -------
    dict
        For `json.dumps` as it is.
    """
    frames = {name: _packed(column) for name, column in frame_columns(plan.recording).items()}
    whole: dict[str, Any] = {**kept_facts(plan), **more, "frames": frames, "events": None}
    if checksums is not None:
        events = event_columns(plan.recording)
        bounds = [[part.start, part.stop] for index in plan.blocks for part in index]
        whole["events"] = None if events is None else {name: _packed(column) for name, column in events.items()}
        whole["block_bounds"] = _packed(np.array(bounds, np.int64).reshape(-1))
        whole["block_crc32c"] = _packed(checksums)
    made: dict[str, Any] = json.loads(json.dumps(whole, default=plain))
    made[_CHECKSUM] = native.crc32c(_canonical(made))
    return made


def sealed(kept: Mapping[str, Any], checksums: NDArray[np.uint32]) -> dict[str, Any]:
    """The same with the checksums of the blocks as they came to be."""
    made = {**kept, "block_crc32c": _packed(checksums)}
    made[_CHECKSUM] = native.crc32c(_canonical(made))
    return made


def _canonical(kept: Mapping[str, Any]) -> bytes:
    """The bytes that the checksum is of."""
    without = {name: value for name, value in kept.items() if name != _CHECKSUM}
    return json.dumps(without, sort_keys=True, separators=(",", ":")).encode()


def _packed(column: NDArray[Any]) -> dict[str, str]:
    stored = np.ascontiguousarray(column, column.dtype.newbyteorder("<"))
    return {"dtype": stored.dtype.str, "zlib": base64.b64encode(zlib.compress(stored.tobytes(), 6)).decode("ascii")}


def packed_bound(nbytes: int) -> int:
    """Greatest size of a column of so many bytes once it is deflated (zlib's compressBound) and in base64."""
    return 4 * -(-(nbytes + (nbytes >> 12) + (nbytes >> 14) + (nbytes >> 25) + 13) // 3)


class KeptJson:
    """What a file keeps of its recording; also its `StoredChecksums`.

    Parameters
    ----------
    kept : mapping
        What `json.loads` made of it.
    path : str
        Named in errors.
    limits : Limits

    Attributes
    ----------
    shape : (T, C, Z, Y, X)

    Raises
    ------
    Malformed
        It is not what `kept_json` writes.
    Unsupported
        A later galvo wrote it.
    """

    def __init__(self, kept: Any, path: str, limits: Limits) -> None:
        if not isinstance(kept, Mapping):
            raise Malformed("what galvo kept of the recording is no JSON object", path=path)
        require_schema(kept.get("schema_version"), path)
        self._kept = kept
        self._path = path
        self._limits = limits
        self.shape: Shape = kept_shape(kept, path)

    @classmethod
    def parse(cls, text: str | bytes, path: str, limits: Limits) -> KeptJson:
        """From the text itself."""
        limits.check("text_bytes", len(text), path=path)
        try:
            kept = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Malformed("what galvo kept of the recording is no JSON", path=path) from error
        return cls(kept, path, limits)

    def get(self, name: str) -> Any:
        """What the format itself has to remember; None where it is not there."""
        return self._kept.get(name)

    def recording(
        self,
        reader: Reader,
        metadata: Metadata,
        files: Sequence[str],
        damage: Sequence[Damage] = (),
        is_whole: bool = True,
    ) -> Recording:
        """The recording with all that is kept of it.

        Parameters
        ----------
        reader : Reader
        metadata : Metadata
            Those of `metadata`, with what the format adds.
        files : sequence of str
        damage : sequence of Damage
        is_whole : bool
            False: frames are missing, so that the checksums do not fit.
        """
        return Recording(
            reader,
            metadata,
            files=files,
            facts=self.facts(),
            fields=kept_fields(self._kept.get("fields"), self.shape, self._path),
            left_out=kept_left_out(metadata),
            damage=damage,
            checksums=self if is_whole and self.get("block_crc32c") is not None else None,
        )

    def metadata(self, format: str) -> Metadata:
        """The metadata."""
        return kept_metadata(self._kept, format, self._path)

    def facts(self) -> KeptFacts:
        """The frame table and the events."""
        return KeptFacts(self._path, self.shape[:3], self._frames, self._events, self._limits)

    def _frames(self) -> Columns:
        return self._columns("frames", self._kept.get("frames"))

    def _events(self) -> Columns | None:
        events = self._kept.get("events")
        if events is None:
            return None
        columns = self._columns("events", events)
        if {name: column.dtype.kind for name, column in columns.items()} != _EVENT_KINDS:
            raise Malformed("galvo's own events are no events", path=self._path)
        return columns

    def _columns(self, what: str, packed: Any) -> Columns:
        if not isinstance(packed, Mapping):
            raise Malformed(f"galvo's own {what} is no table", path=self._path)
        return {str(name): self._column(f"{what}/{name}", column) for name, column in packed.items()}

    def _column(self, what: str, packed: Any) -> NDArray[Any]:
        try:
            if _DTYPE.fullmatch(packed["dtype"]) is None:
                raise ValueError(what)
            dtype = np.dtype(packed["dtype"])
            data = base64.b64decode(packed["zlib"], validate=True)
            decoder = zlib.decompressobj()
            plain_bytes = decoder.decompress(data, self._limits.text_bytes)
            if not decoder.eof or len(plain_bytes) % dtype.itemsize:
                raise ValueError(what)
        except (TypeError, KeyError, ValueError, binascii.Error, zlib.error) as error:
            raise Malformed(f"galvo's own {what} is no column", path=self._path) from error
        column: NDArray[Any] = np.frombuffer(plain_bytes, dtype).astype(dtype.newbyteorder("="))
        return column

    # ---- as StoredChecksums ---------------------------------------------------------------------------------------

    def blocks(self) -> list[tuple[tuple[slice, ...], int]]:
        """Index and CRC-32C of each block."""
        bounds, crcs = (self._column(name, self._kept.get(name)) for name in ("block_bounds", "block_crc32c"))
        if bounds.dtype.kind != "i" or crcs.dtype.kind != "u":
            raise Malformed("galvo's own checksums are no whole numbers", path=self._path)
        return checked_blocks(bounds, crcs, self.shape, self._path)

    def metadata_damage(self) -> list[str]:
        """One line when the text does not match its checksum."""
        with suppress(RecursionError):
            if self._kept.get(_CHECKSUM) == native.crc32c(_canonical(self._kept)):
                return []
        return ["the checksum of what galvo kept beside the pixels does not match"]
