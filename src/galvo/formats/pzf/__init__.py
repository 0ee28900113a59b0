"""PZF: one image frame per blob, plain, Huffman coded, or quantised by its square root and Huffman coded.

`header` has the header's bytes, `blob` makes a frame of them and back, `chunks` is compression HUFFCODE_CHUNKS.
"""

from __future__ import annotations

from galvo.formats.pzf.blob import dumps, loads
from galvo.formats.pzf.header import PzfHeader, load_header

__all__ = ["PzfHeader", "dumps", "load_header", "loads"]
