"""Which formats there are: galvo's own, and those of other packages under the entry point `galvo.formats`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from galvo.core.detect import Probe, kind_of
from galvo.core.lock import ForkSafeLock
from galvo.errors import OptionError, UnknownFormat, WriteError, warn

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from galvo.core.recording import Recording
    from galvo.core.sink import Sink

__all__ = ["Format", "Registry", "deferred"]

_ENTRY_POINT_GROUP = "galvo.formats"


def deferred(place: str) -> Callable[..., Any]:
    """The function or class ``"module:name"``, whose module is loaded when it is first called.

    A row of the registry is read whenever galvo opens anything: the code behind it must not be.
    """
    module, _, name = place.partition(":")

    def call(*arguments: Any, **options: Any) -> Any:
        return getattr(import_module(module), name)(*arguments, **options)

    return call


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """What galvo knows of a format before it loads its code.

    Attributes
    ----------
    name : str
        Short name, as in ``galvo convert -t NAME``.
    title : str
        One line for people.
    suffixes : tuple of str
        In lower case with the dot, the preferred one first.
    detect : callable
        Given a `Probe`, whether the file is of this format.
    open : callable
        Given the paths of one recording in order, and options, the `Recording`.
    refines : tuple of str
        Formats of which this is a special case: it wins over them.
    series : callable, optional
        Given a path, the paths of the whole recording that the file belongs to, in order.
    group : callable, optional
        Given files of this format in a folder, in natural order, those of each recording. `open` then takes several
        files, which follow each other in T.
    sink : callable, optional
        Given the write options, a `Sink`.
    parse_header : callable, optional
        Given the vendor's header text, the mapping that `Metadata.header` is.
    options : tuple of str
        Names of the options that `open` takes.
    write_options : tuple of str
        Names of the options that `sink` takes.
    by_name : bool
        It knows files by their names alone: a format that knows the bytes of one wins.
    writes_folders : bool
        A name without a suffix is that of a folder to write.
    """

    name: str
    title: str
    suffixes: tuple[str, ...]
    detect: Callable[[Probe], bool]
    open: Callable[..., Recording]
    refines: tuple[str, ...] = ()
    series: Callable[[str], list[str]] | None = None
    group: Callable[[list[str]], list[list[str]]] | None = None
    sink: Callable[..., Sink] | None = None
    parse_header: Callable[[str], Mapping[str, Any]] | None = None
    options: tuple[str, ...] = field(default=())
    write_options: tuple[str, ...] = field(default=())
    by_name: bool = False
    writes_folders: bool = False


class Registry:
    """Formats by name, loaded on first use.

    Parameters
    ----------
    rows : sequence of str
        "module:attribute" of each built-in `Format`.

    Attributes
    ----------
    rows : tuple of str
    """

    def __init__(self, rows: Sequence[str]) -> None:
        self.rows = tuple(rows)
        self._formats: dict[str, Format] | None = None
        self._lock = ForkSafeLock()

    def all(self) -> dict[str, Format]:
        """Every format by name: built-in ones first, then entry points in the order of their names."""
        if self._formats is None:
            with self._lock:
                if self._formats is None:
                    self._formats = self._load()
        return self._formats

    def _load(self) -> dict[str, Format]:
        found: dict[str, Format] = {}
        loaded: list[Any] = []
        for row in self.rows:
            module, _, attribute = row.partition(":")
            loaded.append((row, getattr(import_module(module), attribute)))
        for point in _entry_points():
            try:
                loaded.append((point.value, point.load()))
            except (ImportError, AttributeError) as error:
                # another package's trouble must not keep galvo from opening files
                warn(f"the format {point.name!r} of another package does not load: {error}")
        for origin, entry in loaded:
            if not isinstance(entry, Format):
                raise OptionError(f"{origin} is no galvo format", found=type(entry).__name__, expected="a Format")
            if entry.name in found:
                raise OptionError(f"two formats are called {entry.name}", found=origin)
            found[entry.name] = entry
        return found

    def get(self, name: str) -> Format:
        """The format called `name`."""
        try:
            return self.all()[name.lower()]
        except (KeyError, AttributeError):
            raise OptionError("no such format", found=repr(name), expected=f"one of {', '.join(self.all())}") from None

    def detect(self, path: str) -> Format:
        """The one format of a file.

        Raises
        ------
        UnknownFormat
            No format claims it, or several of which none refines the others.
        """
        probe = Probe(path)
        try:
            claims = [entry for entry in self.all().values() if entry.detect(probe)]
        finally:
            probe.close()
        if any(not entry.by_name for entry in claims):
            claims = [entry for entry in claims if not entry.by_name]
        refined = {base for entry in claims for base in entry.refines}
        claims = [entry for entry in claims if entry.name not in refined]
        if len(claims) == 1:
            return claims[0]
        if claims:
            names = ", ".join(entry.name for entry in claims)
            raise UnknownFormat(
                "several formats claim this file",
                path=path,
                found=names,
                hint=f'Say which: format="{claims[0].name}" (--format {claims[0].name})',
            )
        if probe.size == 0:
            raise UnknownFormat("the file is empty", path=path)
        near = [entry.name for entry in self.all().values() if probe.suffix in entry.suffixes]
        raise UnknownFormat(
            "not a recording that galvo knows",
            path=path,
            found=(f"{kind}, " if (kind := kind_of(probe.head)) else "") + f"first bytes {probe.head[:8].hex(' ')}"
            + (f" where {probe.suffix} promises {' or '.join(near)}" if near else ""),
            expected=f"one of {', '.join(self.all())}",
            hint="`galvo formats` lists them; the file may be damaged" if near else "`galvo formats` lists them",
        )

    def for_writing(self, path: str, name: str | None = None) -> Format:
        """The format to write: `name`, or the one that the suffix of `path` names."""
        writable = [entry for entry in self.all().values() if entry.sink is not None]
        if name is not None:
            entry = self.get(name)
            if entry.sink is None:
                raise OptionError(
                    f"galvo does not write {entry.name}", expected=f"one of {', '.join(one.name for one in writable)}"
                )
            return entry
        lower = Path(path).name.lower()
        matches = [entry for entry in writable if any(lower.endswith(suffix) for suffix in entry.suffixes)]
        if len(matches) == 1:
            return matches[0]
        if not matches and Path(path).is_dir():
            raise WriteError("the output is a folder", path=path, hint="Give a file name inside it")
        known = ", ".join(f"{suffix} ({entry.name})" for entry in writable for suffix in entry.suffixes)
        raise OptionError(
            "the name does not say which format to write" if not matches else "the name fits several formats",
            path=path,
            expected=f"one that ends in {known}",
            hint='Add a suffix, or name the format with format="NAME" (-t NAME)',
        )


def _entry_points() -> list[EntryPoint]:
    """What installed packages name under the group, by name.

    Looks at the files themselves first: `importlib.metadata` takes 40 ms to import, which is a third of what
    `galvo info` may take, and hardly any machine has a format of another package.
    """
    mark = f"[{_ENTRY_POINT_GROUP}]".encode()
    for folder in map(Path, sys.path):
        for listing in (*folder.glob("*.dist-info/entry_points.txt"), *folder.glob("*.egg-info/entry_points.txt")):
            with suppress(OSError):
                if mark in listing.read_bytes():
                    from importlib.metadata import entry_points

                    return sorted(entry_points(group=_ENTRY_POINT_GROUP), key=lambda point: point.name)
    return []
