"""The files that snippets of the documentation work on, all of one short recording; CONTRIBUTING.md lists them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

import galvo
from galvo.formats import pzf
from galvo.testing.movie import TwoPhotonMovie
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording

SIDE, FRAMES, SESSION_FRAMES = 128, 60, 120
RECORDING = "rec_00001_00001.tif"


class Shelf:
    """Files by name, each made when a page first asks for it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, name: str, folder: Path) -> None:
        """Copy what is called `name` into `folder`, with the files that belong to it."""
        for source in self.folder_of(name).iterdir():
            assert not (folder / source.name).exists(), f"{source.name} is there already"
            if source.is_dir():
                shutil.copytree(source, folder / source.name)
            else:
                shutil.copy(source, folder)

    def folder_of(self, name: str) -> Path:
        """Where `name` is kept; nothing else is in it."""
        assert name in MAKERS, f"no such file for snippets: {name}; there are {', '.join(MAKERS)}"
        kept = self._folder / f"for {name}"
        if not kept.exists():
            kept.mkdir()
            MAKERS[name](self, kept)
        return kept

    @cached_property
    def pixels(self) -> np.ndarray:
        """Two-photon frames (T, C, Y, X) that move."""
        movie = TwoPhotonMovie(frames=SESSION_FRAMES, height=SIDE, width=SIDE, cell_spacing=20, seed=5)
        return movie.read(0, SESSION_FRAMES)

    def grab(self, frames: int, frames_per_file: int, **more: object) -> ScanImageRecording:
        return ScanImageRecording(
            height=SIDE,
            width=SIDE,
            frames=frames,
            frames_per_file=frames_per_file,
            channels=(1, 2),
            channel_names=("green", "red"),
            fov_deg=(20.0, 20.0),
            **more,
        )


def single(shelf: Shelf, folder: Path) -> None:
    """A grab in one file."""
    shelf.grab(FRAMES, FRAMES).write(folder, "rec", pixels=lambda first, stop: shelf.pixels[first:stop])


def session(shelf: Shelf, folder: Path) -> None:
    """A grab in three files, with triggers."""
    triggers = {frame: {1: (frame / 30 + 0.01,)} for frame in (12, 40, 90)}
    recording = shelf.grab(SESSION_FRAMES, 40, aux_triggers=triggers)
    recording.write(folder / "session", "rec", pixels=lambda first, stop: shelf.pixels[first:stop])


def volume(shelf: Shelf, folder: Path) -> None:
    """10 volumes of 4 slices and a flyback frame."""
    size = {"height": 64, "width": 64, "channel_names": ("green",)}
    stack = ScanImageRecording(**size, slices=4, flyback=1, volumes=10, z_step_um=10.0, frames_per_file=50)
    stack.write(folder, "volume")


def mesoscope(shelf: Shelf, folder: Path) -> None:
    """Three regions, two of which touch."""
    regions = [
        RoiRequest(scanfields=(ScanfieldRequest(center_deg=center, size_deg=(2.0, 2.0), pixels=(48, 48)),), name=name)
        for name, center in (("V1", (0.0, 0.0)), ("LM", (2.0, 0.0)), ("A1", (-4.0, 3.0)))
    ]
    recording = ScanImageRecording.multi_roi(
        regions, frames=20, frames_per_file=20, channels=(1, 2), channel_names=("green", "red")
    )
    recording.write(folder, "mesoscope")


def images(shelf: Shelf, folder: Path) -> None:
    """A TIFF for each frame."""
    (folder / "images").mkdir()
    for number, frame in enumerate(shelf.pixels[:12, 0]):
        galvo.save(frame, folder / "images" / f"image_{number:04}.tif", layout="plain")


def blob(shelf: Shelf, folder: Path) -> None:
    """One PZF frame."""
    (folder / "frame00001.pzf").write_bytes(pzf.dumps(shelf.pixels[0, 0].astype(np.uint16)))


def corrected(shelf: Shelf, folder: Path) -> None:
    """The recording without motion, and its motion."""
    galvo.correct(shelf.folder_of(RECORDING) / RECORDING, folder / "corrected.h5")


def saved(name: str, **options: object) -> Callable[[Shelf, Path], None]:
    """The recording in another format."""

    def make(shelf: Shelf, folder: Path) -> None:
        galvo.convert(shelf.folder_of(RECORDING) / RECORDING, folder / name, **options)

    return make


SHOWN = {"channels": 0, "frames": slice(0, 24), "dtype": "uint8", "scale": "percentile"}
ALWAYS = (RECORDING, "session")
MAKERS = {
    RECORDING: single,
    "session": session,
    "volume_00001_00001.tif": volume,
    "mesoscope_00001_00001.tif": mesoscope,
    "images": images,
    "frame00001.pzf": blob,
    "corrected.h5": corrected,
    "rec.h5": saved("rec.h5"),
    "rec.ome.tif": saved("rec.ome.tif"),
    "rec.mat": saved("rec.mat"),
    "rec.bin": saved("rec.bin"),
    "frames": saved("frames", format="pzf"),
    "movie.gif": saved("movie.gif", **SHOWN),
    "behaviour.mp4": saved("behaviour.mp4", **SHOWN),
    "camera.avi": saved("camera.avi", **SHOWN),
}


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="session")
def always():
    """What every page finds in its folder."""
    return ALWAYS
