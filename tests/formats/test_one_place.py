"""A format is known in its own room and in one row, and by nobody else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import galvo
from galvo.formats import REGISTRY

HOME = Path(galvo.__file__).parent
# other programs' names lead to the formats that those read; generators know what they make
APART = ("formats", "compat", "testing")
# displacements are kept in an HDF5 file, and suite2p's settings are about ScanImage's header
KNOWN = {"hdf5": ["motion/stored.py"], "scanimage": ["cli/mroi_json.py"]}


@pytest.mark.parametrize("row", REGISTRY.rows)
def test_a_format_is_imported_by_formats_alone(row):
    module = row.partition(":")[0]
    name = module.rpartition(".")[2]
    pattern = re.compile(rf"\b{re.escape(module)}\b|from galvo\.formats import [^\n]*\b{name}\b")
    files = [path for path in HOME.rglob("*.py") if path.relative_to(HOME).parts[0] not in APART]
    assert len(files) > 50
    found = [path.relative_to(HOME).as_posix() for path in files if pattern.search(path.read_text(encoding="utf-8"))]
    assert found == KNOWN.get(name, [])


@pytest.mark.parametrize("row", REGISTRY.rows)
def test_what_all_formats_share_knows_none(row):
    """The modules of `formats` itself: opening, keeping, splitting."""
    module = row.partition(":")[0]
    shared = [path for path in (HOME / "formats").glob("*.py") if path.name != "__init__.py"]
    assert len(shared) > 4
    pattern = re.compile(rf"\b{re.escape(module)}\b")
    assert not [path.name for path in shared if pattern.search(path.read_text(encoding="utf-8"))]
