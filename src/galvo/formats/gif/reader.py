"""GIFs as recordings: the canvas as it looks while each image is shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import Shape
from galvo.core.codec import decode_gif_image
from galvo.core.facts import FrameTimes
from galvo.core.index import Int64
from galvo.core.lock import ForkSafeLock
from galvo.core.metadata import Damage, Metadata
from galvo.core.recording import Recording
from galvo.core.selection import Selection, plane_area
from galvo.core.source import FileSource, opening_source
from galvo.core.threads import worker_count
from galvo.errors import DamagedData, Malformed, Truncated, warn
from galvo.formats.gif.blocks import Image, Layout, read_layout
from galvo.formats.kept_json import KeptJson
from galvo.limits import DEFAULT_LIMITS, Limits

__all__ = ["open_gif"]

_RGB = ("red", "green", "blue")
_BACKGROUND, _PREVIOUS = 2, 3
_TICK_S = 0.01


def open_gif(paths: Sequence[str], *, damaged: str = "raise", limits: Limits = DEFAULT_LIMITS) -> Recording:
    """A GIF: its images in T, one channel where all colors are gray, otherwise red, green and blue.

    Parameters
    ----------
    paths : sequence of str
        One file.
    damaged : "raise" or "report"
        report: the images before the end of a file that is cut off.
    limits : Limits

    Returns
    -------
    Recording

    Raises
    ------
    Truncated
        The file ends before its trailer.
    Malformed
        Something that is no block of a GIF.
    """
    (path,) = paths
    with opening_source([path]) as source:
        layout = read_layout(source, limits)
        return _opened(source, layout, damaged, limits)


def _opened(source: FileSource, layout: Layout, damaged: str, limits: Limits) -> Recording:
    path, count = source.paths[0], len(layout.images)
    damage: list[Damage] = []
    if layout.missing is not None:
        if damaged != "report" or not count:
            raise Truncated(
                layout.missing,
                path=path,
                offset=layout.end,
                hint='damaged="report" (--damaged report) opens the images that are there' if count else None,
            )
        damage.append(Damage(path, layout.end, f"{layout.missing}: {count} images are there"))
    elif layout.end < source.size(0):
        warn(f"{path}: {source.size(0) - layout.end} bytes behind the end of the GIF are left out")
    if not count:
        raise Malformed("a GIF without an image", path=path)
    limits.check("frame_bytes", 3 * layout.height * layout.width, path=path)
    kept = KeptJson.parse(layout.kept, path, limits) if layout.kept else None
    # colors that happen to be gray are colors still
    gray = _is_gray(source, layout) and (kept is None or kept.shape[1] != len(_RGB))
    shape: Shape = (count, 1 if gray else 3, 1, layout.height, layout.width)
    reader = GifReader(source, layout, shape)
    if kept is not None:
        return _own(reader, kept, damaged, damage)
    delays = layout.images[:, Image._fields.index("delay")]
    metadata = Metadata(
        format="gif",
        channel_names=() if gray else _RGB,
        frame_rate_hz=_rate(delays),
        attributes={} if layout.loop is None else {"loop": layout.loop},
    )
    return Recording(reader, metadata, files=[path], facts=FrameTimes(_appearances(delays)), damage=damage)


def _own(reader: GifReader, kept: KeptJson, damaged: str, damage: list[Damage]) -> Recording:
    """What galvo wrote."""
    path, found = reader.path, reader.shape
    if kept.shape[1:] != found[1:] or kept.shape[0] < found[0]:
        raise Malformed("the images do not have the shape that is kept", path=path, found=found, expected=kept.shape)
    if kept.shape[0] != found[0]:
        what = f"{found[0]} of {kept.shape[0]} images are there"
        if damaged != "report":
            raise Truncated(what, path=path)
        damage.append(Damage(path, None, what))
    metadata = kept.metadata("gif")
    stored = "GIF, 256 grays" if found[1] == 1 else "GIF, 256 colors a frame"
    metadata = replace(metadata, attributes={**metadata.attributes, "stored": stored})
    return kept.recording(reader, metadata, [path], damage, not damage)


def _is_gray(source: FileSource, layout: Layout) -> bool:
    """Whether no table that is used has colors."""

    def gray(colors: NDArray[np.uint8]) -> bool:
        return bool((colors == colors[:, :1]).all())

    counts = layout.images[:, Image._fields.index("color_count")]
    shared = bool((counts == 0).any()) or bool((layout.images[:, Image._fields.index("disposal")] == _BACKGROUND).any())
    if shared and not gray(layout.colors):
        return False
    own = np.flatnonzero(counts)
    return all(gray(_colors(source, layout, layout.image(number))) for number in own.tolist())


def _colors(source: FileSource, layout: Layout, image: Image) -> NDArray[np.uint8]:
    """The 256 colors of an image, black behind the end of its table."""
    colors = layout.colors
    if image.color_count:
        stored = source.read(0, image.colors_at, 3 * image.color_count)
        colors = np.frombuffer(stored, np.uint8).reshape(-1, 3)
    table = np.zeros((256, 3), np.uint8)
    table[: len(colors)] = colors
    return table


def _rate(delays: Int64) -> float | None:
    """The rate of images that are shown equally long, to the 10 ms that a GIF knows; None for others."""
    shown = delays[:-1] if delays.size > 1 else delays
    mean = float(shown.mean())
    if mean <= 0:
        return None
    even = np.rint(mean * np.arange(shown.size + 1))
    found = np.concatenate(([0], np.cumsum(shown)))
    return 1 / (mean * _TICK_S) if np.abs(found - even).max() <= 1 else None


def _appearances(delays: Int64) -> NDArray[np.float64]:
    """When each image appears, s."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(delays[:-1]))) / (1 / _TICK_S)


class GifReader:
    """Decodes images and lays them on the canvas.

    An image that covers all of it needs no other; what others need is decoded from the last such one on. The canvas
    behind the last image that was read is kept, so that reading on costs one image.

    Parameters
    ----------
    source : FileSource
    layout : Layout
    shape : (T, C, Z, Y, X)
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, source: FileSource, layout: Layout, shape: Shape) -> None:
        self._source = source
        self._layout = layout
        self._lock = ForkSafeLock()
        # number of the image that it is for, the canvas before it
        self._canvas: tuple[int, NDArray[np.uint8]] | None = None
        images = layout.images.T
        columns = dict(zip(Image._fields, images, strict=True))
        whole = (columns["width"] == layout.width) & (columns["height"] == layout.height)
        self._alone = whole & (columns["transparent"] < 0)
        self._bases = np.flatnonzero(self._alone & (columns["disposal"] != _PREVIOUS))
        self.path = source.paths[0]
        self.shape = shape
        self.chunks: Shape = (1, *shape[1:])

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out`.

        Raises
        ------
        DamagedData
            An image does not decode.
        """
        if not out.size:
            return
        t, c = (np.asarray(axis, np.int64) for axis in selection.axes[:2])
        area = plane_area(selection)
        wanted, places = np.unique(t, return_inverse=True)
        rows: dict[int, list[int]] = {}
        for row, place in enumerate(places.tolist()):
            rows.setdefault(place, []).append(row)

        def fill(place: int, canvas: NDArray[np.uint8]) -> None:
            pixels = canvas[area]
            for row in rows[place]:
                for channel, number in enumerate(c.tolist()):
                    out[row, channel] = pixels[..., number]

        numbers = wanted.tolist()
        workers = min(len(numbers), worker_count(8 * len(numbers) * self.shape[3] * self.shape[4]))
        if workers > 1 and self._alone[wanted].all():
            with ThreadPoolExecutor(workers, thread_name_prefix="galvo gif") as pool:
                for _ in pool.map(lambda place: fill(place, self._decoded(numbers[place])), range(len(numbers))):
                    pass
            return
        for place, canvas in enumerate(self._canvases(numbers)):
            fill(place, canvas)

    def _canvases(self, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        """The canvas (Y, X, C) with each image, ascending; not to be changed."""
        for number in numbers:
            if self._alone[number]:
                yield self._decoded(number)
                continue
            place = int(np.searchsorted(self._bases, number, side="left")) - 1
            start = int(self._bases[place]) if place >= 0 else 0
            with self._lock:
                kept = self._canvas
            if kept is not None and start <= kept[0] <= number:
                start, before = kept
            else:
                before = self._blank()
            for passed in range(start, number):
                before = self._after(passed, before)
            with self._lock:
                self._canvas = (number, before)
            yield self._painted(number, before)

    def _blank(self) -> NDArray[np.uint8]:
        """What is there before the first image: its transparent color, or the first of its table."""
        image = self._layout.image(0)
        color = _colors(self._source, self._layout, image)[max(0, image.transparent), : self.shape[1]]
        canvas = np.empty((*self.shape[3:], self.shape[1]), np.uint8)
        canvas[:] = color
        return canvas

    def _after(self, number: int, before: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The canvas when an image has been shown."""
        image = self._layout.image(number)
        if image.disposal == _PREVIOUS:
            return before
        if image.disposal != _BACKGROUND:
            return self._painted(number, before)
        colors, index = self._layout.colors, self._layout.background
        if image.transparent >= 0:
            colors, index = _colors(self._source, self._layout, image), image.transparent
        canvas = before.copy()
        color = colors[index, : self.shape[1]] if index < len(colors) else 0
        canvas[image.top : image.top + image.height, image.left : image.left + image.width] = color
        return canvas

    def _painted(self, number: int, before: NDArray[np.uint8]) -> NDArray[np.uint8]:
        image = self._layout.image(number)
        indices = self._indices(number, image)
        colors = _colors(self._source, self._layout, image)[:, : self.shape[1]]
        canvas = before.copy()
        part = canvas[image.top : image.top + image.height, image.left : image.left + image.width]
        if image.transparent < 0:
            part[:] = colors[indices]
        else:
            opaque = indices != image.transparent
            part[opaque] = colors[indices[opaque]]
        return canvas

    def _decoded(self, number: int) -> NDArray[np.uint8]:
        """An image (Y, X, C) that covers the canvas."""
        image = self._layout.image(number)
        colors = _colors(self._source, self._layout, image)
        indices = self._indices(number, image)
        if self.shape[1] == 1:
            return colors[:, 0][indices][..., None]
        return colors[indices]

    def _indices(self, number: int, image: Image) -> NDArray[np.uint8]:
        data = self._source.read(0, image.data_at, image.data_nbytes)
        try:
            return decode_gif_image(data, image.height, image.width, bool(image.interlaced))
        except DamagedData as error:
            raise DamagedData(
                f"image {number}: {error.message}",
                path=self.path,
                offset=image.data_at,
                found=error.found,
                expected=error.expected,
            ) from error

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """The image's number in the file."""
        return {"file": np.zeros_like(t), "page": t}

    def prove(self) -> None:
        """All blocks were walked."""

    def close(self) -> None:
        """Close the file."""
        self._canvas = None
        self._source.close()
