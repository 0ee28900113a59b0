"""Which page holds which plane, by the TiffData of an OME image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from galvo.core.index import Int64, PageOrder
from galvo.errors import Malformed, warn
from galvo.formats.tiff.ome import AS_PAGES
from galvo.formats.tiff.ome_files import OmeFiles
from galvo.formats.tiff.several import FilePages

__all__ = ["Planes", "kept_pages", "planes_of"]

# planes that may be announced for each that is there
_MOST_MISSING = 64
_FEW = 1 << 16
# pages that may be named for each plane
_MOST_TIMES = 4


@dataclass(frozen=True, slots=True)
class Planes:
    """Which page holds which plane.

    Attributes
    ----------
    lengths : (int, int, int)
        T, C and Z of the recording, C in pages.
    order : PageOrder
    missing : list of (int, int, int)
        T, C, Z of planes that no file holds.
    beyond : int
        Pages of T positions at the end that are not whole, left out.
    unused : int
        Pages that no plane names.
    """

    lengths: tuple[int, int, int]
    order: PageOrder
    missing: Int64
    beyond: int
    unused: int


def _strides(order: str, lengths: dict[str, int]) -> dict[str, int]:
    step, steps = 1, {}
    for letter in reversed(order):
        steps[letter] = step
        step *= lengths[letter]
    return steps


def planes_of(files: OmeFiles, found: FilePages, path: str) -> Planes | None:
    """The planes of an image by TiffData, as pages counted through all files.

    None where the XML has no TiffData and more planes than the file has pages: one of several files, which does not say
    which plane it holds.
    """
    image = files.image
    lengths = {"T": image.sizes["T"], "C": image.sizes["C"] // image.samples, "Z": image.sizes["Z"]}
    steps, total = _strides(image.order, lengths), image.plane_count
    counts = [run.count for run in found.runs]
    pages = sum(counts)
    whole = PageOrder(0, steps["T"], steps["C"], steps["Z"])
    data = image.tiff_data
    if not len(data) and pages < total and not found.damage:
        return None
    is_simple = not len(data) or (
        len(data) == 1 and not any((data.ifd[0], data.t[0], data.c[0], data.z[0])) and data.count[0] in (-1, total)
    )
    if is_simple and len(counts) == 1 and counts[0] >= total and found.opened[0].numbers is None:
        return Planes((lengths["T"], lengths["C"], lengths["Z"]), whole, np.zeros((0, 3), np.int64), 0, pages - total)
    position, page = _assigned(files, found, steps, lengths)
    if position.size == 0:
        raise Malformed("the OME-XML names no page that is there", path=path, hint=AS_PAGES)
    # T is as long as what is there; a hostile length must not fill the memory
    t = position // steps["T"] % lengths["T"]
    table_t = int(t.max()) + 1
    if table_t * lengths["C"] * lengths["Z"] > max(_FEW, _MOST_MISSING * position.size):
        raise Malformed(
            "the OME-XML announces far more planes than pages",
            path=path,
            found=f"{total} planes, {position.size} of them in pages",
            hint=AS_PAGES,
        )
    table = np.full((table_t, lengths["C"], lengths["Z"]), -1, np.int64)
    used = int(np.unique(page).size)
    position, first = np.unique(position, return_index=True)
    t, c, z = (position // steps[letter] % lengths[letter] for letter in "TCZ")
    table[t, c, z] = page[first]
    if position.size != page.size:
        warn(f"{path}: the OME-XML has {page.size} pages for {position.size} planes; the first one of each is taken")
    is_whole = (table >= 0).all(axis=(1, 2))
    beyond = 0
    if is_whole.any():
        kept = int(np.flatnonzero(is_whole)[-1]) + 1
        beyond = int((table[kept:] >= 0).sum())
        table = table[:kept]
    missing = np.argwhere(table < 0).astype(np.int64)
    return Planes(
        (table.shape[0], table.shape[1], table.shape[2]), _simplest(table), missing, beyond, max(0, pages - used)
    )


def _assigned(files: OmeFiles, found: FilePages, steps: dict[str, int], lengths: dict[str, int]) -> tuple[Int64, Int64]:
    """Positions of planes in the dimension order, and their pages counted through all files: those that are there."""
    image, counts = files.image, np.array([run.count for run in found.runs], np.int64)
    first_page = np.concatenate([[0], np.cumsum(counts)])
    chain = [kept_pages(found, file) for file in range(counts.size)]
    last = [count if one is None else one[-1] + 1 for one, count in zip(chain, counts, strict=True)]
    pages_of = np.array(last, np.int64)
    data = image.tiff_data
    if not len(data):
        data_file, ifd = np.zeros(1, np.int64), np.zeros(1, np.int64)
        count, start = np.array([image.plane_count], np.int64), np.zeros(1, np.int64)
    else:
        data_file, ifd = files.file_of, np.array(data.ifd, np.int64)
        in_file = np.where(data_file < 0, 0, pages_of[data_file])
        count = np.array(data.count, np.int64)
        count = np.where(count < 0, np.maximum(0, in_file - ifd), count)
        start = _starts(files, steps, lengths)
    # no more than the file has, nor than the image takes
    available = np.where(data_file < 0, 0, pages_of[data_file] - ifd)
    count = np.clip(np.minimum(count, available), 0, np.maximum(0, image.plane_count - start))
    if count.sum() > _FEW + _MOST_TIMES * image.plane_count:
        raise Malformed(
            "the OME-XML names the same planes again and again",
            path=files.paths[0],
            found=f"{int(count.sum())} pages for {image.plane_count} planes",
            hint=AS_PAGES,
        )
    owner = np.repeat(np.arange(count.size), count)
    within = np.arange(owner.size, dtype=np.int64) - np.repeat(np.cumsum(count) - count, count)
    position, number, file = start[owner] + within, ifd[owner] + within, data_file[owner]
    page = first_page[file] + number
    for one, numbers in enumerate(chain):
        if numbers is None:
            continue
        mine = file == one
        place = np.minimum(np.searchsorted(numbers, number[mine]), numbers.size - 1)
        page[mine] = np.where(numbers[place] == number[mine], first_page[one] + place, -1)
    return position[page >= 0], page[page >= 0]


def kept_pages(found: FilePages, file: int) -> Int64 | None:
    """Positions in the chain of the pages that were kept; None where all were."""
    opened = found.opened.get(file)
    return None if opened is None else opened.numbers


def _starts(files: OmeFiles, steps: dict[str, int], lengths: dict[str, int]) -> Int64:
    """Where each TiffData begins in the dimension order; -1 would be outside, which is refused."""
    image = files.image
    first = np.stack([np.array(getattr(image.tiff_data, letter), np.int64) for letter in "tcz"], axis=1)
    if image.samples > 1 and first.size and int(first[:, 1].max()) >= lengths["C"]:
        # some writers count samples here
        first[:, 1] //= image.samples
    outside = (first >= [lengths["T"], lengths["C"], lengths["Z"]]).any(axis=1)
    if outside.any():
        at = int(np.argmax(outside))
        raise Malformed(
            "a TiffData of the OME-XML begins outside the image",
            path=files.paths[0],
            found="T {} C {} Z {}".format(*first[at]),
            expected="below T {T} C {C} Z {Z}".format(**lengths),
            hint=AS_PAGES,
        )
    return np.asarray(first @ np.array([steps["T"], steps["C"], steps["Z"]], np.int64))


def _simplest(table: Int64) -> PageOrder:
    """By strides where the pages lie so, else by the table."""
    start = int(table[0, 0, 0])
    t_step, c_step, z_step = (
        int(np.take(table, 1, axis)[0, 0]) - start if table.shape[axis] > 1 else 0 for axis in range(3)
    )
    t, c, z = np.ogrid[: table.shape[0], : table.shape[1], : table.shape[2]]
    if start >= 0 and np.array_equal(table, start + t * t_step + c * c_step + z * z_step):
        return PageOrder(start, t_step, c_step, z_step)
    return PageOrder(table=table)
