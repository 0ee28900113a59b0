"""`galvo.preview`: what a recording looks like, in seconds, whatever its size."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from galvo.core.atomic import guard_destination, output_name, write_file
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.errors import OptionError
from galvo.pictures.movie import MovieLimits, preview_movie, webp_bytes
from galvo.pictures.picture import png_bytes
from galvo.pictures.sheet import contact_sheet
from galvo.pictures.views import chosen_views, title_of
from galvo.progress import ProgressOption, reporting

__all__ = ["Preview", "preview"]

_MOVIES: Final = {
    ".mp4": MovieLimits(seconds=15, rate_hz=24, side=640),
    ".gif": MovieLimits(seconds=6, rate_hz=15, side=320),
    ".webp": MovieLimits(seconds=8, rate_hz=15, side=400),
}
_STILL: Final = ".png"
_MOST_SIDE: Final = 4096
_MOST_MOVIE_SIDE: Final = 2048
# looked at once, on a screen
_CODING: Final[dict[str, dict[str, Any]]] = {".mp4": {"codec": "h264", "crf": 26, "preset": "veryfast"}}


@dataclass(frozen=True, slots=True, eq=False)
class Preview:
    """A picture of a recording; it shows itself in a notebook.

    Attributes
    ----------
    picture : ndarray of uint8, (Y, X, 3) or (Y, X)
        The contact sheet, or the first frame of a movie.
    title : str
    path : str or None
        What was written, if it was.
    notes : tuple of str
        What was sampled, what is not shown, how fast a movie is shown.
    seconds : float
        That it took.
    """

    picture: NDArray[np.uint8]
    title: str
    path: str | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    _sources: tuple[str, ...] = field(default=(), repr=False)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the picture as PNG; it appears under its name only when it is complete.

        Raises
        ------
        OptionError
            A name that does not end in .png.
        WriteError
            It exists, is a file of the recording, or cannot be written.
        """
        final = output_name(path)
        if os.path.splitext(final)[1].lower() != _STILL:
            raise OptionError("a picture is saved as .png", found=final, hint="Movies are made by rec.preview(out)")
        write_file(final, png_bytes(self.picture), sources=self._sources, overwrite=overwrite)

    def __repr__(self) -> str:
        height, width = self.picture.shape[:2]
        where = "" if self.path is None else f" · {self.path}"
        return f"<Preview of {self.title} · {width} x {height} pixels · {'; '.join(self.notes)}{where}>"

    def _repr_png_(self) -> bytes:
        return png_bytes(self.picture)


def preview(
    source: Any,
    out: str | os.PathLike[str] | None = None,
    *,
    channels: Any = None,
    planes: Any = None,
    fields: Any = None,
    everything: bool = False,
    frame_count: int | None = None,
    average: int | None = None,
    speed: float | None = None,
    size: int | None = None,
    overwrite: bool = False,
    progress: ProgressOption = False,
    open_options: dict[str, Any] | None = None,
) -> Preview:
    """A contact sheet of a recording, or a movie of it; frames are sampled, so that any size takes seconds.

    Parameters
    ----------
    source : anything that `galvo.open` takes
    out : path, optional
        What to write. ``.png``: a contact sheet, for each channel, plane and scan field the mean, the maximum, the
        standard deviation and the local correlation of the sampled frames. ``.mp4``, ``.gif``, ``.webp``: a movie of
        up to 9 of these side by side. Nothing is written by default, and the contact sheet comes back.
    channels, planes, fields : int, name, slice, list of them, optional
        Positions on C and Z, and among `Recording.fields`; all by default. More than 8 on a sheet are shown by their
        mean alone, 48 at most.
    everything : bool
        All four images of up to 200.
    frame_count : int, optional
        Of a sheet: frames to sample for each; by default as many as take seconds, 256 at most.
    average : int, optional
        Of a movie: each of its frames is the mean of so many consecutive ones, 1 by default.
    speed : float, optional
        Of a movie: how many times as fast as recorded. By default the whole recording is shown, long ones sampled and
        sped up to 15 s (GIF 6 s, WebP 8 s).
    size : int, optional
        Longer side of an image, in pixels: up to 4096, in a movie up to 2048.
    overwrite : bool
        Replace an existing output.
    progress : bool or callable
        True: a bar in the terminal; a callable gets (frames read, frames in all).
    open_options : dict, optional
        Passed to `galvo.open`.

    Returns
    -------
    Preview

    Raises
    ------
    OptionError
        An option that does not fit, or another kind of output.
    WriteError
        The output exists, is an input, or cannot be written; nothing was published.
    MissingExtra
        An MP4 without PyAV (``galvo[video]``).

    Examples
    --------
    >>> import galvo, numpy
    >>> galvo.preview(numpy.zeros((10, 64, 48), "int16"))
    <Preview of recording in memory · 1594 x 706 pixels · all 10 frames>
    """
    from galvo.formats.opening import open_recording

    started = time.perf_counter()
    final = None if out is None else output_name(out)
    suffix = _STILL if final is None else os.path.splitext(final)[1].lower()
    _check_options(suffix, final, everything, frame_count, average, speed, size)
    recording = open_recording(source, **(open_options or {}))
    try:
        sources = tuple(str(path) for path in recording.files)
        if final is not None:
            guard_destination(final, sources, overwrite)
        if recording.size == 0:
            raise OptionError("nothing to show: the recording is empty", found=f"shape {recording.shape}")
        views = chosen_views(recording, channels, planes, fields)
        with reporting(progress, "reading", "frames") as report:
            if suffix == _STILL:
                sheet = contact_sheet(
                    recording, views, everything=everything, frame_count=frame_count, size=size, report=report
                )
                picture, notes = sheet.picture, sheet.notes
            else:
                limits = _MOVIES[suffix]
                movie = preview_movie(
                    recording, views, limits, average=average or 1, speed=speed, size=size, report=report
                )
                picture, notes = movie.frames[0], movie.notes
        if final is not None and suffix == _STILL:
            write_file(final, png_bytes(picture), sources=sources, overwrite=overwrite)
        elif final is not None and suffix == ".webp":
            write_file(final, webp_bytes(movie), sources=sources, overwrite=overwrite)
        elif final is not None:
            _write_movie(movie.frames, movie.rate_hz, final, suffix, overwrite)
        seconds = time.perf_counter() - started
        return Preview(picture, title_of(recording), final, notes, seconds, sources)
    finally:
        if recording is not source:
            recording.close()


def _check_options(
    suffix: str,
    final: str | None,
    everything: bool,
    frame_count: int | None,
    average: int | None,
    speed: float | None,
    size: int | None,
) -> None:
    """Refuse what does not belong to this kind of output."""
    if suffix != _STILL and suffix not in _MOVIES:
        raise OptionError(
            "no such preview", found=final, expected=f"a name that ends in {_STILL}, {_kinds(movies=True)}"
        )
    kind = "a contact sheet" if suffix == _STILL else "a movie"
    of_movies: tuple[tuple[str, Any], ...] = (("average", average), ("speed", speed))
    of_sheets: tuple[tuple[str, Any], ...] = (("everything", everything), ("frame_count", frame_count))
    for name, value in of_movies if suffix == _STILL else of_sheets:
        if value:
            other = _kinds(movies=suffix == _STILL)
            raise OptionError(f"{name} does not fit {kind}", found=value, hint=f"Name the output {other} for it")
    for name, number, most in (
        ("frame_count", frame_count, None),
        ("average", average, None),
        ("size", size, _MOST_SIDE if suffix == _STILL else _MOST_MOVIE_SIDE),
    ):
        if number is not None and not 1 <= number <= (most or number):
            raise OptionError(f"{name} does not fit", found=number, expected=f"1 to {most}" if most else "1 or more")


def _kinds(*, movies: bool) -> str:
    return ", ".join(_MOVIES) if movies else _STILL


def _write_movie(frames: NDArray[np.uint8], rate_hz: float, final: str, suffix: str, overwrite: bool) -> None:
    """Through galvo's own writing, in one block: there is nothing to resume."""
    from galvo.conversion import convert

    recording = Recording.from_array(frames, metadata=Metadata(format="preview", frame_rate_hz=rate_hz))
    convert(recording, final, overwrite=overwrite, block_bytes=frames.nbytes, **_CODING.get(suffix, {}))
