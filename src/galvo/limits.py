"""Bounds against absurd sizes, checked before anything is allocated from a claimed number."""

from __future__ import annotations

from dataclasses import dataclass, fields

from galvo.errors import LimitExceeded, OptionError

__all__ = ["DEFAULT_LIMITS", "Limits"]

GIB = 1 << 30
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The largest sizes that galvo accepts from a file.

    Pass one to `galvo.open(..., limits=galvo.Limits(frame_bytes=8 << 30))` to raise a bound.

    Attributes
    ----------
    frame_bytes : int
        Decoded bytes of one frame (Y, X).
    page_count : int
        Pages of one recording.
    text_bytes : int
        Bytes of one text block: header, description.
    chunk_bytes : int
        Decoded bytes of one chunk, strip or tile.
    """

    frame_bytes: int = 2 * GIB
    page_count: int = 50_000_000
    text_bytes: int = 512 * MIB
    chunk_bytes: int = 2 * GIB

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or value <= 0:
                raise OptionError(f"limit {field.name} must be a positive integer", found=repr(value))

    def check(self, name: str, value: int, *, path: str | None = None, offset: int | None = None) -> None:
        """Raise `LimitExceeded` when `value` is above the bound called `name`."""
        bound = getattr(self, name)
        if value > bound:
            raise LimitExceeded(
                f"{name.replace('_', ' ')} above the limit",
                path=path,
                offset=offset,
                found=value,
                expected=f"at most {bound}",
                hint=f"If the file is trusted, open it with limits=galvo.Limits({name}={value})",
            )


DEFAULT_LIMITS = Limits()
