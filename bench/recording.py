"""The generated recordings that the benchmarks read."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from galvo.testing.scanimage import ScanImageRecording

CHANNELS = (1, 2)


@contextmanager
def data_folder(kept: Path | None) -> Iterator[Path]:
    """Yield the folder `kept`, made if it is absent, or a temporary one that is removed at the end."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="galvo-bench-") as made:
        yield Path(made)


def scanimage_file(folder: Path, *, height: int, width: int, page_count: int, shot_noise: bool = False) -> Path:
    """Return the path of a ScanImage file of two channels, generated unless an earlier run left it in `folder`.

    Parameters
    ----------
    folder
        Where the recordings are; each lies in a folder of its own, so that no reader takes it for part of a series.
    height, width
        Y and X of a frame, in pixels.
    page_count
        Pages of the file, both channels counted.
    shot_noise
        Fill the frames with few photons a pixel, so that they compress as recordings do, instead of the closed form.
    """
    name = f"two-channels_{height}x{width}_{page_count}-pages{'_shot-noise' * shot_noise}"
    finished, growing = folder / name, folder / f"{name}.partial"
    if not finished.exists():
        shutil.rmtree(growing, ignore_errors=True)
        growing.mkdir()
        recording = ScanImageRecording(
            height=height, width=width, frames=page_count // len(CHANNELS), channels=CHANNELS
        )
        pixels = partial(_photons, height=height, width=width) if shot_noise else None
        recording.write(growing, "rec", pixels)
        growing.rename(finished)
    (path,) = finished.glob("*.tif")
    return path


def _photons(start: int, stop: int, *, height: int, width: int) -> np.ndarray[Any, np.dtype[np.int16]]:
    # A photon is some tens of counts wide, the electronics add a few: typical of a resonant rig.
    random = np.random.default_rng(start)
    shape = (stop - start, len(CHANNELS), height, width)
    counts = 60 * random.poisson(0.7, shape) + random.normal(0, 8, shape)
    return counts.astype(np.int16)


def page_offsets(path: Path) -> tuple[list[int], int]:
    """Return where the pixels of every page start, and the bytes of one page, as tifffile finds them."""
    with tifffile.TiffFile(path) as tif:
        pages = list(tif.pages)
        if any(len(page.dataoffsets) != 1 for page in pages):
            raise ValueError(f"{path} has pages of several strips; the floor needs one read per page")
        return [page.dataoffsets[0] for page in pages], pages[0].databytecounts[0]
