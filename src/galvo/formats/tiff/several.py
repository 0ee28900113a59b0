"""The pages of several files of one layout, such as a folder of images.

Files of equal size are taken to be laid out alike: only some of them are opened, every other one proves itself by its
own header when it is first read, as pages of an even file do. So thousands of files open fast. Files of other sizes are
opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from galvo.core.index import EvenPages, Int64, ListedPages
from galvo.core.metadata import Damage
from galvo.core.source import FileSource
from galvo.errors import Malformed
from galvo.formats.tiff.even import single_page
from galvo.formats.tiff.layout import PageLayout
from galvo.formats.tiff.pages import TiffPages, find_pages
from galvo.limits import Limits

__all__ = ["FilePages", "pages_of_files"]

_OPENED_FILES = 8


@dataclass(frozen=True, slots=True)
class FilePages:
    """The pages of several files.

    Attributes
    ----------
    opened : dict of int to TiffPages
        Those files that were opened, the first among them.
    runs : tuple of PageRun
        One per file.
    layout : PageLayout or None
        Common to all of them; None where they differ, or need tifffile.
    """

    opened: dict[int, TiffPages]
    runs: tuple[EvenPages | ListedPages, ...]
    layout: PageLayout | None

    @property
    def damage(self) -> tuple[Damage, ...]:
        """Of all files."""
        return tuple(entry for found in self.opened.values() for entry in found.damage)


def pages_of_files(
    source: FileSource,
    limits: Limits,
    *,
    walk: bool = False,
    damaged: str = "raise",
    pages: Callable[[int], Callable[[Int64], Int64] | None] | None = None,
) -> FilePages:
    """The pages of every file of `source`.

    Parameters
    ----------
    source : FileSource
    limits : Limits
    walk : bool
        Open every file and walk its chain.
    damaged : "raise" or "report"
    pages : callable, optional
        Given the number of a file, the choice of its pages that `find_pages` takes. Every file is opened then.
    """
    count = len(source.paths)
    step = max(1, count // _OPENED_FILES)
    sampled = {0, count - 1, *range(step, count, step)}
    alike: dict[int, EvenPages | None] = {}
    opened: dict[int, TiffPages] = {}
    runs: list[EvenPages | ListedPages] = []
    for file in range(count):
        size = source.size(file)
        known = None if walk or pages is not None or file in sampled else alike.get(size)
        if known is None:
            chosen = None if pages is None else pages(file)
            found = opened[file] = find_pages(source, file, limits, walk=walk, damaged=damaged, pages=chosen)
            runs.append(found.run)
            if size not in alike:
                alike[size] = _comparable(source, file, found, limits)
            continue
        check = known.check
        relist = partial(_relist, source, file, opened[0].layout, limits)
        runs.append(known if check is None else replace(known, check=replace(check, relist=relist)))
    layouts = {found.layout for found in opened.values()}
    return FilePages(opened, tuple(runs), layouts.pop() if len(layouts) == 1 else None)


def _comparable(source: FileSource, file: int, found: TiffPages, limits: Limits) -> EvenPages | None:
    """The pages of a file as those of others of its size; None where these must be opened."""
    run = found.run
    if found.layout is None or found.damage or found.numbers is not None or found.other_count:
        return None
    if isinstance(run, EvenPages):
        return run if run.check is not None else None
    if run.count != 1:
        return None
    relist = partial(_relist, source, file, found.layout, limits)
    return single_page(source, file, found.first, (run.offset[0], run.nbytes[0]), relist)


def _relist(source: FileSource, file: int, layout: PageLayout | None, limits: Limits) -> ListedPages:
    found = find_pages(source, file, limits, walk=True)
    if found.layout != layout or not isinstance(found.run, ListedPages):
        raise Malformed(
            "the pages of this file differ in layout from those of the others",
            path=source.paths[file],
            hint="Open it again with walk=True (--open-option walk=true)",
        )
    return found.run
