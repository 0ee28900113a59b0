"""One room per format: what its bytes mean, how to index it, how to write it.

To add one: a module or package here, a row below, a conformance-suite subclass, a docs page.
"""

from __future__ import annotations

from galvo.core.registry import Registry

__all__ = ["REGISTRY"]

REGISTRY = Registry(
    [
        "galvo.formats.tiff:FORMAT",
        "galvo.formats.scanimage:FORMAT",
        "galvo.formats.hdf5:FORMAT",
        "galvo.formats.matlab:FORMAT",
        "galvo.formats.pzf:FORMAT",
        "galvo.formats.raw:FORMAT",
        "galvo.formats.npy:FORMAT",
        "galvo.formats.scanbox:FORMAT",
        "galvo.formats.video:FORMAT",
        "galvo.formats.gif:FORMAT",
        "galvo.formats.mdf:FORMAT",
    ]
)
