"""What a recording shows of another one: a field, fields joined or stitched, lines put right, another type, fewer axes.

Each is made by a function of the other recording and one plain argument, which is how a process that unpickles it makes
it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from galvo.core.canvas import joined_fields, lay_out, part_tiles
from galvo.core.cast import Cast, CastReader
from galvo.core.fold import FoldedFacts, FoldedReader, folded_metadata
from galvo.core.metadata import Metadata
from galvo.core.mosaic import MosaicReader, fill_value, on_canvas
from galvo.core.phase import PhaseReader, phase_areas
from galvo.core.reader import Reader
from galvo.core.scanfield import describe_field
from galvo.core.selection import Selection, compact
from galvo.errors import OptionError

if TYPE_CHECKING:
    from galvo.core.recording import Recording

__all__ = ["cast_view", "field_view", "folded_view", "joined_view", "phase_view", "remade_view", "stitched_view"]


def field_view(whole: Recording, which: tuple[int, int]) -> Recording:
    """A field by its number among the fields of the reader and its Z among the planes that are shown."""
    number, z = which
    field = whole._fields[number]
    facts = describe_field(field)
    metadata = replace(
        whole._whole_metadata,
        pixel_size_um=field.pixel_size_um,
        attributes={**whole._whole_metadata.attributes, "field": facts},
        scan_field=field,
    )
    reader, rows, columns = whole._reader, range(field.height), range(field.width)
    if len(field.parts) == 1:
        rows, columns = field.rows, field.columns
    else:
        reader = MosaicReader(reader, (field.height, field.width), {field.plane: part_tiles(field)})
    t, c = whole._selection.t, whole._selection.c
    return _over(whole, reader, metadata, Selection(t, c, whole._selection.z[z : z + 1], rows, columns))


def joined_view(whole: Recording, _: None) -> Recording:
    """The same pages, with fields that touch as one."""
    made = _over(whole, whole._reader, whole._whole_metadata, whole._selection)
    made._fields = joined_fields(whole._fields)
    return made


def stitched_view(whole: Recording, _: None) -> Recording:
    """The fields of each plane that is shown, on one canvas."""
    canvas = lay_out([whole._fields[number] for number, _ in whole._shown_fields])
    reader = MosaicReader(whole._reader, (canvas.height, canvas.width), canvas.tiles)
    planes = compact(np.array([plane for plane in whole._selection.z if int(plane) in canvas.tiles], np.int64))
    attributes = {
        **whole._whole_metadata.attributes,
        "corner_um": list(canvas.corner_um),
        "uncovered_value": fill_value(reader.dtype),
        "resampled_fields": list(canvas.resampled),
    }
    metadata = replace(whole._whole_metadata, pixel_size_um=canvas.pixel_size_um, attributes=attributes)
    t, c = whole._selection.t, whole._selection.c
    return _over(whole, reader, metadata, Selection(t, c, planes, range(canvas.height), range(canvas.width)))


def phase_view(whole: Recording, shift: float) -> Recording:
    """Odd rows of the pages moved left."""
    if on_canvas(whole._reader):
        raise OptionError("a canvas has no lines", hint="Correct the phase before fields are joined or stitched")
    before = whole._whole_metadata.attributes
    attributes = {**before, "bidirectional_phase": before.get("bidirectional_phase", 0.0) + shift}
    reader = PhaseReader(whole._reader, shift, phase_areas(whole))
    made = _over(whole, reader, replace(whole._whole_metadata, attributes=attributes), whole._selection)
    made._fields = whole._fields
    return made


def cast_view(whole: Recording, cast: Cast) -> Recording:
    """Pixels of another type."""
    attributes = {**whole._whole_metadata.attributes, "converted": str(cast)}
    reader = CastReader(whole._reader, cast)
    made = _over(whole, reader, replace(whole._whole_metadata, attributes=attributes), whole._selection)
    made._fields = whole._fields
    return made


def folded_view(whole: Recording, axes: str) -> Recording:
    """Planes, channels or both in T."""
    return type(whole)(
        FoldedReader(whole._reader, whole._selection, axes),
        folded_metadata(whole.metadata, axes),
        files=whole._files,
        facts=None if whole._facts is None else FoldedFacts(whole._facts, whole._selection, axes),
        left_out=whole._left_out,
        damage=whole._damage,
    )


def remade_view(whole: Recording, how: tuple[Callable[[Recording], Reader], dict[str, Any]]) -> Recording:
    """The same frames with the pixels of another reader."""
    make, attributes = how
    metadata = replace(whole.metadata, attributes={**whole.metadata.attributes, **attributes})
    return type(whole)(
        make(whole),
        metadata,
        files=whole._files,
        facts=None if whole._facts is None else FoldedFacts(whole._facts, whole._selection, ""),
        left_out=whole._left_out,
        damage=whole._damage,
    )


def _over(whole: Recording, reader: Reader, metadata: Metadata, selection: Selection) -> Recording:
    """What `reader` makes of the frames of `whole`."""
    return type(whole)(
        reader,
        metadata,
        files=whole._files,
        facts=whole._facts,
        left_out=whole._left_out,
        damage=whole._damage,
        selection=selection,
    )
