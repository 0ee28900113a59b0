"""TIFF files as recordings: axes by the options, else by OME-XML, ImageJ or tifffile, else pages are T, samples C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index as as_int
from typing import Any

import numpy as np

from galvo.core.index import Int64
from galvo.core.join import join_opened
from galvo.core.metadata import LeftOut
from galvo.core.read import IndexedReader
from galvo.core.reader import Reader
from galvo.core.recording import Recording
from galvo.core.source import FileSource, opening_source, read_prefix
from galvo.errors import Malformed, OptionError, Unsupported, warn
from galvo.formats.tiff.describe import describe, left_out
from galvo.formats.tiff.frames import frame_index
from galvo.formats.tiff.headless import spread_pages
from galvo.formats.tiff.imagej import imagej_fields, whole_number
from galvo.formats.tiff.images import ome_set, open_images
from galvo.formats.tiff.ome import looks_like_ome
from galvo.formats.tiff.ome_files import find_ome, first_description
from galvo.formats.tiff.ome_reader import open_ome
from galvo.formats.tiff.own import open_own
from galvo.formats.tiff.page_axes import asked_axes, stated_axes
from galvo.formats.tiff.pages import TiffPages, find_pages
from galvo.formats.tiff.shaped import ShapedText, shaped_text
from galvo.limits import DEFAULT_LIMITS, Limits

__all__ = ["open_tiff"]


def open_tiff(
    paths: Sequence[str],
    *,
    pages: slice | Sequence[int] | None = None,
    axes: str | None = None,
    channels: int | None = None,
    planes: int | None = None,
    samples: str = "c",
    image: int | str | None = None,
    series: bool = True,
    walk: bool = False,
    damaged: str = "raise",
    limits: Limits = DEFAULT_LIMITS,
) -> Recording:
    """TIFF files as one recording.

    Parameters
    ----------
    paths : sequence of str
        One file, or several that follow each other in T. An OME file stands for all files that its XML names.
    pages : slice or sequence of int, optional
        Only these pages.
    axes : str, optional
        What pages are, slowest first, whatever the file says: "T", "Z", "TC", "TZC", ...; "YX" behind is allowed.
    channels, planes : int, optional
        Pages are interleaved: this many channels, or planes of a volume, follow each other. Without `axes` C is
        fastest, then Z.
    samples : "c" or "t"
        What the samples of a page are: channels, or frames that follow each other.
    image : int or str, optional
        Number or name of the image of an OME-TIFF; the first by default.
    series : bool
        False: of an OME-TIFF of several files only the named one, its pages along T.
    walk : bool
        Walk the chain of pages even where they are evenly spaced.
    damaged : "raise" or "report"
    limits : Limits

    Returns
    -------
    Recording
        (T, C, Z, Y, X): C counts channels as pages, times samples.

    Raises
    ------
    OptionError
        Options that do not fit the file, or each other.
    FormatError, UnsafeContent, LimitExceeded
        The file does not keep what it promises.
    """
    if samples not in ("c", "t"):
        raise OptionError('samples must be "c" or "t"', found=repr(samples))
    is_plain = pages is None and axes is None and channels is None and planes is None
    if len(paths) > 1:
        if is_plain:
            files = ome_set(paths[0], limits, image)
            if files is not None and set(files.paths) == set(paths):
                recording = open_ome(files, walk=walk, damaged=damaged, limits=limits)
                if recording is not None:
                    return _with_samples(recording, samples)
        whole = None
        if pages is None:
            whole = open_images(
                paths, axes=axes, channels=channels, planes=planes, walk=walk, damaged=damaged, limits=limits
            )
        if whole is not None:
            return _with_samples(whole, samples)
        return join_opened(
            open_tiff(
                [path],
                pages=pages,
                axes=axes,
                channels=channels,
                planes=planes,
                samples=samples,
                series=False,
                walk=walk,
                damaged=damaged,
                limits=limits,
            )
            for path in paths
        )
    (path,) = paths
    if is_plain:
        recording = _own(path, walk, damaged, limits) or _ome(path, series, image, walk, damaged, limits)
        if recording is not None:
            return _with_samples(recording, samples)
    elif image is not None:
        raise OptionError("image= chooses by the OME-XML, which other options set aside", path=path)
    with opening_source([path]) as source:
        return _with_samples(_open_pages(source, pages, axes, channels, planes, walk, damaged, limits), samples)


def _with_samples(recording: Recording, samples: str) -> Recording:
    """The recording, with the samples of its pages as frames where that is asked for."""
    reader: Any = recording._reader
    if samples == "c":
        return recording
    if isinstance(reader, IndexedReader):
        index = reader.index
        count = index.shape[1] if index.planar else index.chunk_shape[1]
    else:
        count = reader.samples
    if count == 1:
        return recording
    if recording.shape[1] != count:
        recording.close()
        raise OptionError(
            'samples="t" needs pages that are no channels', path=recording.files[0], found=f"{recording.shape[1]} C"
        )
    return recording.fold("C")


def _own(path: str, walk: bool, damaged: str, limits: Limits) -> Recording | None:
    """The recording of a file that galvo wrote."""
    source = FileSource([path])
    own: Recording | None = None
    try:
        if source.read_upto(0, 0, 2) in (b"II", b"MM"):
            own = open_own(source, walk, damaged, limits)
        return own
    finally:
        if own is None:
            source.close()


def _ome(
    path: str, series: bool, image: int | str | None, walk: bool, damaged: str, limits: Limits
) -> Recording | None:
    """The recording that OME-XML describes; None where the file is opened as any TIFF."""
    head = read_prefix(path, 64)
    if head[:2] not in (b"II", b"MM") and not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        raise Malformed("no TIFF, and no OME-XML", path=path, found=f"first bytes {head[:8].hex(' ')}")
    text = first_description(path, limits) if head[:2] in (b"II", b"MM") else None
    if text is not None and not looks_like_ome(text):
        if image is not None:
            raise OptionError("image= needs an OME-TIFF", path=path)
        return None
    files = find_ome(path, text, limits, image)
    recording = None
    if files is not None and (series or (files.paths == (path,) and not files.missing)):
        recording = open_ome(files, walk=walk, damaged=damaged, limits=limits)
    if recording is None and text is None:
        raise Unsupported("the companion file names no pixels that are there", path=path)
    if recording is None and series:
        warn(f"{path}: the OME-XML does not say which planes its pages are; they are opened as T")
    return recording


def _open_pages(
    source: FileSource,
    pages: slice | Sequence[int] | None,
    axes: str | None,
    channels: int | None,
    planes: int | None,
    walk: bool,
    damaged: str,
    limits: Limits,
) -> Recording:
    path = source.paths[0]
    found = find_pages(source, 0, limits, walk=walk, damaged=damaged, pages=_chooser(pages))
    text = found.first.description
    imagej, shaped = imagej_fields(text), shaped_text(text)
    if pages is None:
        found = _spread(found, imagej, shaped, source, damaged, limits)
    arranged = asked_axes(axes, channels, planes, found.run.count, path, shaped, imagej)
    if arranged is None:
        arranged = stated_axes(found, shaped, imagej, path)
    reader: Reader
    if found.layout is None:
        # tifffile loads only for pages that need it
        from galvo.formats.tiff.exotic import ExoticPages

        numbers = found.numbers if found.numbers is not None else np.arange(found.run.count, dtype=np.int64)
        reader = ExoticPages(source.paths, [numbers], arranged.lengths, arranged.page_order(), limits)
    else:
        index = frame_index([found.run], found.layout, arranged.lengths, arranged.page_order(), path)
        reader = IndexedReader(source, index)
    entries = left_out(found)
    t, c, z = arranged.lengths
    spare = found.run.count - t * c * z
    if spare:
        entries.insert(0, LeftOut("incomplete volume", spare, "pages that make no whole volume"))
    metadata = describe(found, imagej, z)
    if found.layout is None:
        source.close()
    recording = Recording(reader, metadata, files=[path], left_out=entries, damage=found.damage)
    return _with_samples(recording, "t" if arranged.samples_in_t else "c")


def _spread(
    found: TiffPages,
    imagej: dict[str, str],
    shaped: ShapedText | None,
    source: FileSource,
    damaged: str,
    limits: Limits,
) -> TiffPages:
    """All pages, where one IFD stands for them."""
    if imagej:
        return spread_pages(found, source, whole_number(imagej.get("images")), "ImageJ", damaged, limits)
    if shaped is not None and shaped.truncated and found.layout is not None:
        layout = found.layout
        count = shaped.page_count(layout.height * layout.width * layout.samples)
        return spread_pages(found, source, count, "the description", damaged, limits)
    return found


def _chooser(pages: slice | Sequence[int] | None) -> Callable[[Int64], Int64] | None:
    if pages is None:
        return None

    def choose(numbers: Int64) -> Int64:
        count = numbers.size
        if isinstance(pages, slice):
            return numbers[pages]
        try:
            wanted = [as_int(page) for page in pages]
        except TypeError:
            raise OptionError("pages takes a slice or a list of integers", found=repr(pages)) from None
        if any(not -count <= page < count for page in wanted):
            raise OptionError("a page that the file does not have", found=str(wanted), expected=f"0 to {count - 1}")
        return numbers[np.array(wanted, np.int64) % count]

    return choose
