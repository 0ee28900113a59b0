"""What is known of pages besides their pixels, where no OME-XML says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galvo.core.metadata import LeftOut, Metadata
from galvo.formats.tiff.imagej import imagej_facts
from galvo.formats.tiff.pages import TiffPages

__all__ = ["describe", "left_out"]


def describe(found: TiffPages, imagej: Mapping[str, str], z_count: int) -> Metadata:
    """The metadata of a file.

    Parameters
    ----------
    found : TiffPages
    imagej : mapping
        Fields of its description, empty where ImageJ did not write it.
    z_count : int
        Length of Z.
    """
    facts: dict[str, Any] = {"version": "BigTIFF" if found.header.big else None}
    if imagej:
        facts = imagej_facts(found.first, imagej, z_count)
    texts: dict[str, Any] = {}
    for name, tag in (("description", 270), ("software", 305), ("datetime", 306)):
        text = found.first.text(tag)
        if text:
            texts[name] = text
    return Metadata(format="tiff", **{**facts, "texts": texts | facts.get("texts", {})})


def left_out(*files: TiffPages) -> list[LeftOut]:
    """Pages of files that are not shown."""
    reduced = sum(found.reduced_count for found in files)
    other = sum(found.other_count for found in files)
    entries = []
    if reduced:
        entries.append(LeftOut("reduced pages", reduced, "smaller copies of other pages"))
    if other:
        entries.append(LeftOut("other pages", other, "of another shape or type: open them with pages=[...]"))
    return entries
