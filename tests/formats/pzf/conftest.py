"""Frames that the original encoded, with the arrays they hold, and malformed ones."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture(scope="session")
def golden(sample_data):
    """`vectors` and `malformed` of the manifest, `read(file)` and `array(file)`."""
    folder = sample_data.parent / "golden" / "pzf"
    if not folder.is_dir():
        pytest.skip("no frames of the original: golden/pzf beside the genuine recordings is absent")
    manifest = json.loads((folder / "manifest.json").read_text())
    return SimpleNamespace(
        vectors={vector["name"]: vector for vector in manifest["vectors"]},
        malformed=[entry["file"] for entry in manifest["malformed"]],
        read=lambda name: (folder / name).read_bytes(),
        array=lambda name: np.load(folder / name),
    )
