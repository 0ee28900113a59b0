"""CalSciPy._helpers: the folders that CalSciPy's own tests work in.

Source: runs of CalSciPy 0.8.3.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.source import read_file
from galvo.errors import Malformed

__all__ = [
    "BlockPrinting",
    "copy_dummies",
    "generate_dummy_file_name",
    "generate_dummy_output_folder",
    "identify_dummy_source",
    "purge_dummies",
    "read_descriptions",
]

_FOLDER = "testing_samples"
_MOST_BYTES = 1 << 20


class BlockPrinting:
    """Nothing is printed inside the `with`."""

    def __enter__(self) -> None:
        self._before = sys.stdout
        sys.stdout = Path(os.devnull).open("w")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.close()
        sys.stdout = self._before


def copy_dummies(source_folder: Path, dest_folder: Path) -> None:
    """Copy a folder, into `dest_folder` itself."""
    shutil.copytree(source_folder, dest_folder, dirs_exist_ok=True)


def purge_dummies(dest_folder: Path) -> None:
    """Remove a folder with all that is in it."""
    shutil.rmtree(dest_folder)


def generate_dummy_file_name(name: str, dummy_folder: Path, sub_folder: str) -> Path:
    """``<dummy_folder>/<sub_folder>/<name>``."""
    return Path(dummy_folder) / sub_folder / name


def generate_dummy_output_folder(name: str, dummy_folder: Path) -> Path:
    """``<dummy_folder>/output_<name>``, which is created."""
    folder = Path(dummy_folder) / f"output_{name}"
    folder.mkdir(exist_ok=True)
    return folder


def identify_dummy_source() -> Path:
    """``testing_samples`` in the folder ``tests``, seen from the working folder or from ``tests`` itself."""
    home = Path.cwd()
    return home / _FOLDER if "tests" in home.name else home / "tests" / _FOLDER


def read_descriptions(file: Path) -> NDArray[Any]:
    """The whole numbers of a text, separated by commas and lines.

    Returns
    -------
    ndarray of int64
        (n,) for one line or one column, else (lines, columns).

    Raises
    ------
    NotFound
        (a FileNotFoundError) No such file.
    Malformed
        (a ValueError) Something else than whole numbers, or lines of different length.
    """
    text = read_file(str(file), _MOST_BYTES)
    try:
        rows = [[int(item) for item in line.split(b",")] for line in text.splitlines() if line.strip()]
        return np.array(rows, np.int64).squeeze()
    except ValueError as error:
        raise Malformed("no table of whole numbers", path=file) from error
