"""suite2p itself, in a Python that GALVO_SUITE2P_PYTHON names, reads multi-ROI pages by the settings of `mroi-json`."""

from __future__ import annotations

import os
import subprocess

import numpy as np
import pytest

import galvo
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording

PYTHON = os.environ.get("GALVO_SUITE2P_PYTHON")
if not PYTHON:
    pytest.skip("no suite2p: GALVO_SUITE2P_PYTHON names no Python that has it", allow_module_level=True)

# versions before 1 take all in one dictionary
READ = """
import json, sys
import suite2p
for folder in sys.argv[1:]:
    with open(folder + "/ops.json") as file:
        ours = json.load(file)
    where = {"data_path": [folder + "/raw"], "save_path0": folder, "fast_disk": folder}
    if hasattr(suite2p, "default_db"):
        settings = suite2p.default_settings()
        settings["fs"], settings["torch_device"] = ours["fs"], "cpu"
        settings["run"].update(do_registration=0, do_regmetrics=False, do_detection=False, do_deconvolution=False)
        settings["io"].update(combined=False)
        suite2p.run_s2p(db={**suite2p.default_db(), **ours, **where}, settings=settings)
    else:
        nothing = {"do_registration": 0, "roidetect": False, "spikedetect": False, "combined": False}
        suite2p.run_s2p(ops={**suite2p.default_ops(), **ours, **nothing}, db=where)
"""


def roi(name: str, x: float, y: float, height: int) -> RoiRequest:
    field = ScanfieldRequest(center_deg=(x, y), size_deg=(4.0, height / 4), pixels=(24, height))
    return RoiRequest(name=name, scanfields=(field,))


ROIS = (roi("V1", 0, 0, 16), roi("AL", 6, 2, 20), roi("PM", -8, 5, 16))
RECORDINGS = {
    "volumes": {"zs": (0.0, 20.0), "volumes": 60, "flyback": 1, "channels": (1, 2), "frames_per_file": 77},
    "planar": {"frames": 60},
}


def test_suite2p_reads_the_fields(run, tmp_path):
    for name, asked in RECORDINGS.items():
        paths = ScanImageRecording.multi_roi(ROIS, **asked).write(tmp_path / name / "raw")
        assert run("mroi-json", paths[0], "-o", tmp_path / name / "ops.json").exit_code == 0
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    folders = [str(tmp_path / name) for name in RECORDINGS]
    done = subprocess.run(
        [PYTHON, "-c", READ, *folders], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in RECORDINGS:
        written = tmp_path / name / "suite2p"
        with galvo.open(next((tmp_path / name / "raw").iterdir())) as rec:
            for number, field in enumerate(rec.fields):
                for channel, file in enumerate(("data.bin", "data_chan2.bin")[: rec.shape[1]]):
                    frames = np.fromfile(written / f"plane{number}" / file, np.int16)
                    np.testing.assert_array_equal(frames.reshape(-1, *field.shape[3:]), field[:, channel, 0])
                # what was left alone has no results
                assert (written / f"plane{number}" / "ops.npy").exists()
            assert not (written / f"plane{len(rec.fields)}" / "ops.npy").exists()
