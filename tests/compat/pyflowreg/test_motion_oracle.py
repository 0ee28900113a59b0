"""Random movies through galvo and through PyFlowReg itself, whose Python GALVO_PYFLOWREG_PYTHON names."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest

from galvo.compat.pyflowreg.motion_correction import OFOptions, compensate_arr

PYTHON = os.environ.get("GALVO_PYFLOWREG_PYTHON")
if not PYTHON:
    pytest.skip("no PyFlowReg: GALVO_PYFLOWREG_PYTHON names no Python that has it", allow_module_level=True)

SCRIPT = """
import json, warnings
warnings.simplefilter("ignore")
import numpy as np
from pyflowreg.motion_correction import OFOptions, compensate_arr
from pyflowreg.motion_correction.compensate_recording import RegistrationConfig
with open("cases.json") as file:
    cases = json.load(file)
for number, options in enumerate(cases):
    given = np.load(f"in_{number}.npz")
    config = RegistrationConfig(parallelization="sequential")
    registered, w = compensate_arr(given["movie"], given["image"], OFOptions(**options), registration_config=config)
    np.savez(f"out_{number}.npz", registered=registered, w=w)
"""


def _movie(rng):
    # square: release 0.1.0a9 confuses the spacings of rows and columns
    size, channels, count = (int(rng.integers(*limits)) for limits in ((40, 90), (1, 4), (3, 9)))
    spectrum = np.fft.rfft2(rng.normal(size=(channels, size + 20, size + 20)))
    fy, fx = np.fft.fftfreq(size + 20)[:, None], np.fft.rfftfreq(size + 20)
    image = np.fft.irfft2(spectrum * np.exp(-44 * (fy**2 + fx**2)), s=(size + 20,) * 2).transpose(1, 2, 0)
    dtype = str(rng.choice(["u1", "u2", "i2", "f4", "f8"]))
    image = (image - image.min()) / np.ptp(image) * (200 if dtype == "u1" else 4000)
    moves = rng.integers(-3, 4, (count, 2)) + 10
    movie = np.stack([image[y : y + size, x : x + size] for y, x in moves])
    noisy = np.clip(movie + rng.normal(0, 3, movie.shape), 0, 255 if dtype == "u1" else None)
    return noisy.astype(dtype), image[10:-10, 10:-10].astype("f4")


def _options(rng, channels):
    return {
        "quality_setting": str(rng.choice(["fast", "balanced", "quality"])),
        "buffer_size": int(rng.integers(2, 9)),
        "alpha": rng.uniform(1, 6, 2).tolist(),
        "iterations": int(rng.integers(5, 60)),
        "update_lag": int(rng.integers(1, 7)),
        "sigma": [[float(sigma), 1.0, 0.1] for sigma in rng.uniform(0.5, 2, channels)],
        "channel_normalization": str(rng.choice(["joint", "separate"])),
        "update_reference": bool(rng.integers(2)),
        "interpolation_method": str(rng.choice(["linear", "cubic"])),
        "update_initialization_w": bool(rng.integers(2)),
        "weight": rng.uniform(0.2, 1, channels).tolist(),
        "output_typename": str(rng.choice(["double", "single"])),
        "a_smooth": float(rng.choice([1.0, 0.7])),
        "eta": float(rng.choice([0.8, 0.6])),
    }


def _compared(folder, seed, count):
    rng = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        movie, image = _movie(rng)
        cases.append(_options(rng, movie.shape[3]))
        np.savez(folder / f"in_{number}.npz", movie=movie, image=image)
    (folder / "cases.json").write_text(json.dumps(cases))
    subprocess.run([PYTHON, "-W", "ignore", "-c", SCRIPT], cwd=folder, check=True, capture_output=True, timeout=600)
    for number, options in enumerate(cases):
        with np.load(folder / f"in_{number}.npz") as given, np.load(folder / f"out_{number}.npz") as expected:
            registered, fields = compensate_arr(given["movie"], given["image"], OFOptions(**options))
            movie, w = expected["registered"], expected["w"]
        assert registered.dtype == movie.dtype, options
        assert registered.shape == movie.shape, options
        assert np.abs(fields - w).mean() < 2e-2, options
        assert (np.abs(registered - movie) <= 0.01 * np.ptp(movie)).mean() > 0.99, options


def test_random_movies(tmp_path):
    _compared(tmp_path, 1, 4)


@pytest.mark.harden
def test_many_random_movies(tmp_path):
    _compared(tmp_path, 2, 40)
