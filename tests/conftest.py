"""Fixtures for all tests: nothing may leak, and it is said which instruction set and which data were used."""

from __future__ import annotations

import gc
import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import numpy as np
import psutil
import pytest

from galvo import native
from galvo.core.source import FileSource
from galvo.testing.trials import scratch_folder

hypothesis.settings.register_profile(
    "galvo",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("galvo")

ROOT = Path(__file__).resolve().parents[1]


def sample_folder() -> Path:
    return Path(os.environ.get("GALVO_SAMPLE_DATA") or ROOT.parent / "shared" / "data")


def pytest_report_header(config):
    present = "present" if sample_folder().is_dir() else "absent: tests on genuine recordings are skipped"
    return f"galvo: instruction set {native.isa()}; genuine recordings {present}"


def pytest_collection_finish():
    # thousands of tests: the collector would visit them each time, and copy them in every fork
    gc.collect()
    gc.freeze()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=gc.freeze)


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of genuine recordings."""
    folder = sample_folder()
    if not folder.is_dir():
        pytest.skip("no genuine recordings: GALVO_SAMPLE_DATA does not name a folder, and the default one is absent")
    return folder


@pytest.fixture
def scratch(tmp_path):
    """An empty folder for trials, in memory where there is room."""
    with scratch_folder(tmp_path) as folder:
        yield folder


@pytest.fixture
def read_sizes(monkeypatch):
    """Bytes that each read asked of a file, as far as they do not go straight into an array."""
    sizes = []
    read_upto = FileSource.read_upto

    def counted(source, file, offset, nbytes):
        data = read_upto(source, file, offset, nbytes)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(FileSource, "read_upto", counted)
    return sizes


@pytest.fixture(scope="session")
def golden_pzf(sample_data):
    """What the original of PZF encoded: `vectors` and `malformed` of the manifest, `read(file)` and `array(file)`."""
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


def _descriptor_count(process: psutil.Process) -> int:
    return process.num_handles() if os.name == "nt" else process.num_fds()


_failed = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture(autouse=True)
def _nothing_left_open(request):
    """No test leaves a file open or a thread running."""
    process = psutil.Process()
    count, threads = _descriptor_count(process), set(threading.enumerate())
    yield
    if request.node.stash.get(_failed, False):
        # the traceback still holds what the test had open
        return
    if _descriptor_count(process) > count:
        gc.collect()
    more = _descriptor_count(process) - count
    left = sorted(entry.path for entry in process.open_files()) if more > 0 else []
    # handles of Windows are not only files
    assert more <= 0 or (os.name == "nt" and not left), f"{more} left open; open files: {left}"
    running = [thread for thread in threading.enumerate() if thread not in threads]
    for thread in running:
        thread.join(2)
    running = [thread.name for thread in running if thread.is_alive()]
    assert not running, f"left running: {running}"
