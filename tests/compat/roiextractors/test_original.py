"""Beside the installed original: equal wherever it is right, a subclass of its base, accepted by neuroconv.

They need an interpreter in which roiextractors (and neuroconv) are installed: this one, or the one that
GALVO_ROIEXTRACTORS_PYTHON names.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import galvo
from galvo.compat.roiextractors import ScanImageImagingExtractor
from galvo.testing.scanimage import ScanImageRecording

SCRIPT = Path(__file__).with_name("original.py")

# 30 Hz would be an integer to the original, whose description then fails
RATE = {"frame_rate_hz": 30.25}
TWO = {"channels": (1, 2)}
SECOND = {"channel_name": "Channel 2"}

# what the microscope was asked for, arguments of the extractor
MODES = {
    "planar": ({"frames": 7}, [{}]),
    "one frame": ({"frames": 1}, [{}]),
    "two channels": ({"frames": 5, **TWO}, [{"channel_name": "Channel 1"}, SECOND]),
    "four channels": ({"frames": 5, "channels": (1, 2, 3, 4)}, [{"channel_name": "Channel 3"}]),
    "channels 1 and 4": ({"frames": 5, "channels": (1, 4)}, [{"channel_name": "Channel 4"}]),
    "channel 3": ({"channels": (3,), "channel_save_form": "scalar"}, [{}]),
    "fast": ({"slices": 3, "volumes": 4}, [{}, {"plane_index": 1}]),
    "fast with flyback": ({"slices": 9, "flyback": 7, "volumes": 3, **TWO}, [SECOND, {**SECOND, "plane_index": 8}]),
    "repeats": (
        {"slices": 3, "repeats": 4, "flyback": 2, "volumes": 3, **TWO},
        [{**SECOND, "slice_sample": 3}, {**SECOND, "slice_sample": 0, "plane_index": 2}],
    ),
    "repeats in files": (
        {"slices": 3, "repeats": 2, "flyback": 1, "volumes": 5, "frames_per_file": 4},
        [{"slice_sample": 1}],
    ),
    "arbitrary": ({"zs": (30.0, 10.5, 50.0), "volumes": 2}, [{}]),
    "slow": ({"slices": 4, "volumes": 1, "stack_mode": "slow"}, [{}]),
    "slow, volumes": ({"slices": 3, "volumes": 4, "stack_mode": "slow", **TWO}, [SECOND]),
    "slow, repeats": ({"slices": 2, "repeats": 2, "volumes": 3, "stack_mode": "slow"}, [{"slice_sample": 1}]),
    "slow, in files": ({"slices": 3, "volumes": 4, "stack_mode": "slow", "frames_per_file": 5, **TWO}, [SECOND]),
    "slow, loop": ({"slices": 2, "volumes": 2, "stack_mode": "slow", "acquisitions": 3}, [{}]),
    "in files": ({"frames": 10, "frames_per_file": 4}, [{}]),
    "files split volumes": ({"slices": 3, "flyback": 1, "volumes": 4, "frames_per_file": 5, **TWO}, [SECOND]),
    "a file per frame": ({"frames": 12, "frames_per_file": 1, **TWO}, [SECOND]),
    "loop": ({"frames": 4, "acquisitions": 3}, [{}]),
    "loop of volumes": ({"slices": 3, "flyback": 2, "volumes": 2, "acquisitions": 3}, [{}]),
    "one slice, repeats": ({"slices": 1, "repeats": 4, "volumes": 3, **TWO}, [SECOND]),
    "one slice, slow": ({"repeats": 4, "volumes": 3, "stack_mode": "slow"}, [{}]),
    "epoch with commas": ({"frames": 4, "block_style": "commas", "acquisitions": 2}, [{}]),
    "empty values": ({"frames": 4, "block_style": "empty", **TWO}, [SECOND]),
    "names with underscores": ({"frames": 4, "block_style": "underscores"}, [{}]),
    "next file": ({"frames": 6, "frames_per_file": 2, "next_file_markers": {2: 0.0625}}, [{}]),
    "triggers": ({"frames": 5, "aux_triggers": {2: {0: [0.1]}}, "i2c": {1: [(0.25, b"\x01")]}}, [{}]),
    "incomplete last volume": ({"slices": 3, "volumes": 3, "drop_pages": 2}, [{}]),
    "strips": ({"frames": 3, "strips": 5, "height": 33}, [{}]),
    "strips, volumes": ({"slices": 2, "volumes": 3, "strips": 4, **TWO}, [SECOND]),
    "2019b": ({"version": "2019b"}, [{}]),
    "2020": ({"version": "2020"}, [{}]),
    "2022": ({"version": "2022"}, [{}]),
    "2023": ({"version": "2023", "slices": 2, "volumes": 3}, [{}]),
    "galvo": ({"scanner_type": "galvo", "slices": 2, "flyback": 1, "volumes": 3}, [{}]),
    "one direction": ({"bidirectional": False, "zoom": 2.5, "fov_deg": (18.0, 9.0)}, [{}]),
    "odd sizes": ({"height": 37, "width": 53, "frames": 3}, [{}]),
    **{kind: ({"dtype": kind, "frames": 4}, [{}]) for kind in ("int8", "uint8", "uint16", "int32", "uint32")},
}

# right but for the rate (R14)
INTERLEAVED = {
    "interleaved": {"slices": 3, "repeats": 4, "flyback": 2, "volumes": 3},
    "interleaved, slow": {"slices": 2, "repeats": 2, "volumes": 3, "stack_mode": "slow"},
    "interleaved, in files": {"slices": 3, "repeats": 2, "flyback": 1, "volumes": 5, "frames_per_file": 4},
}


def _python(*needed):
    """The interpreter of the original; skips where it, or a package that it needs, is not there."""
    named = os.environ.get("GALVO_ROIEXTRACTORS_PYTHON")
    if not named:
        absent = [name for name in needed if importlib.util.find_spec(name) is None]
        if absent:
            pytest.skip(f"no {', '.join(absent)} here, and GALVO_ROIEXTRACTORS_PYTHON names no interpreter with it")
        return sys.executable
    code = f"import importlib.util as u, sys; sys.exit(any(u.find_spec(name) is None for name in {list(needed)!r}))"
    if _run([named, "-c", code]).returncode:
        pytest.skip(f"GALVO_ROIEXTRACTORS_PYTHON has not all of {', '.join(needed)}")
    return named


def _run(command, **options):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment.update(options.pop("env", {}))
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False, **options)


def _beside_galvo(python, code, *arguments, cwd):
    """Run code where the original and galvo are both importable."""
    source = str(Path(galvo.__file__).resolve().parents[1])
    if _run([python, "-c", "import galvo, galvo.native"], env={"PYTHONPATH": source}, cwd=cwd).returncode:
        pytest.skip("galvo cannot be imported by the interpreter of the original")
    done = _run([python, "-c", code, *map(str, arguments)], env={"PYTHONPATH": source}, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


GENUINE = (
    "volumetric_single_channel_multi_file/vol_one_ch_multi_files_00001_00003.tif",
    "volumetric_single_channel_single_file_no_flyback/vol_no_flyback_00001_00001.tif",
)


@pytest.fixture(scope="module")
def genuine():
    """Genuine series; empty where they are absent."""
    folder = Path(os.environ.get("GALVO_SAMPLE_DATA") or Path(__file__).resolve().parents[4] / "shared" / "data")
    paths = [folder / "scanimage" / "catalystneuro" / name for name in GENUINE]
    return [path for path in paths if path.exists()]


@pytest.fixture(scope="module")
def originals(tmp_path_factory, genuine):
    """What the original says of every job: mode to a list of (path, arguments, facts, arrays)."""
    python = _python("roiextractors")
    folder = tmp_path_factory.mktemp("original")
    jobs = []
    for mode, (asked, arguments) in MODES.items():
        path = ScanImageRecording(**RATE, **asked).write(folder / "files" / str(len(jobs)))[0]
        jobs += [(mode, path, each) for each in arguments]
    for mode, asked in INTERLEAVED.items():
        path = ScanImageRecording(**RATE, **asked).write(folder / "files" / str(len(jobs)))[0]
        jobs.append((mode, path, {"interleave_slice_samples": True}))
    jobs += [(path.name, path, {}) for path in genuine]
    written = [{"file": str(path), "arguments": arguments} for _, path, arguments in jobs]
    (folder / "jobs.json").write_text(json.dumps(written))
    done = _run([python, str(SCRIPT), str(folder / "jobs.json"), str(folder)])
    assert done.returncode == 0, done.stderr
    found: dict[str, list] = {}
    for number, (mode, path, arguments) in enumerate(jobs):
        facts = json.loads((folder / f"{number}.json").read_text())
        with np.load(folder / f"{number}.npz") as arrays:
            found.setdefault(mode, []).append((path, arguments, facts, dict(arrays)))
    return found


def _ours(path, arguments):
    spec = importlib.util.spec_from_file_location("answers_of_an_extractor", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", galvo.errors.GalvoWarning)
        facts, arrays = module.answers(ScanImageImagingExtractor(path, **arguments), path)
    return json.loads(json.dumps(facts)), arrays


def _compare(originals, mode, *, but=()):
    assert originals[mode]
    for path, arguments, theirs, their_arrays in originals[mode]:
        ours, our_arrays = _ours(path, arguments)
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - set(but):
            assert ours[name] == theirs[name], name
        assert our_arrays.keys() == their_arrays.keys()
        for name, array in our_arrays.items():
            np.testing.assert_array_equal(array, their_arrays[name], err_msg=name)


@pytest.mark.parametrize("mode", MODES)
def test_a_mode(originals, mode):
    _compare(originals, mode)


@pytest.mark.parametrize("mode", INTERLEAVED)
def test_interleaved(originals, mode):
    _compare(originals, mode, but=("rate", "text"))
    for path, arguments, theirs, _ in originals[mode]:
        repeats = INTERLEAVED[mode]["repeats"]
        assert _ours(path, arguments)[0]["rate"] == pytest.approx(theirs["rate"] * repeats)


@pytest.mark.parametrize("name", [Path(name).name for name in GENUINE])
def test_genuine(originals, name):
    if name not in originals:
        pytest.skip("no genuine recordings: GALVO_SAMPLE_DATA does not name a folder, and the default one is absent")
    _compare(originals, name)


LEGACY = """
import json, sys, warnings
import numpy as np
from roiextractors import ScanImageLegacyImagingExtractor as Theirs
from roiextractors.extractors.tiffimagingextractors import scanimagetiff_utils as theirs
from galvo.compat.roiextractors import ScanImageLegacyImagingExtractor as Ours, scanimagetiff_utils as ours
for path in sys.argv[1:]:
    a, b = Theirs(path, 10.5), Ours(path, 10.5)
    assert repr(a) == repr(b), (repr(a), repr(b))
    for first, last in ((None, None), (2, 4), (1, 2)):
        np.testing.assert_array_equal(a.get_series(first, last), b.get_series(first, last))
    np.testing.assert_array_equal(a.get_samples([0, 2]), b.get_samples([0, 2]))
    np.testing.assert_array_equal(a._get_single_frame(1), b._get_single_frame(1))
    np.testing.assert_array_equal(a.get_timestamps(1, 3), b.get_timestamps(1, 3))
    np.testing.assert_array_equal(a.slice_field_of_view(1, 3).get_series(), b.slice_field_of_view(1, 3).get_series())
    assert a.time_to_sample_indices(0.15) == b.time_to_sample_indices(0.15)
    assert (a.get_dtype(), a.get_native_timestamps()) == (b.get_dtype(), b.get_native_timestamps())
    extra = theirs.extract_extra_metadata(path)
    assert ours.extract_extra_metadata(path) == extra
    if "state.acq.frameRate" in extra:
        assert theirs.parse_metadata_v3_8(extra) == ours.parse_metadata_v3_8(extra)
        continue
    np.testing.assert_array_equal(
        theirs.extract_timestamps_from_file(path), ours.extract_timestamps_from_file(path)
    )
    if "SI.hRoiManager.scanFrameRate" not in extra:
        continue
    assert theirs.parse_metadata(extra) == ours.parse_metadata(extra)
    parsed = "roiextractors_parsed_metadata"
    assert theirs.read_scanimage_metadata(path)[parsed] == ours.read_scanimage_metadata(path)[parsed]
assert ours._get_scanimage_reader() is theirs._get_scanimage_reader()
table = lambda kind, *arguments: kind._create_frame_to_ifd_table(*arguments).tolist()
from roiextractors import ScanImageImagingExtractor as Theirs
from galvo.compat.roiextractors import ScanImageImagingExtractor as Ours
for arguments in (
    (1, 1, 3, [3]), (2, 1, 2, [3, 1]), (2, 2, 2, [12], 1, 1), (1, 2, 2, [8], 2, 0), (2, 2, 1, [10], 2, 1),
):
    assert table(Theirs, *arguments) == table(Ours, *arguments), arguments
print(len(sys.argv) - 1)
"""


def test_legacy_extractor_and_functions(tmp_path):
    python = _python("roiextractors", "ScanImageTiffReader")
    paths = []
    for asked in (
        {"frames": 5, **TWO},
        {"slices": 3, "flyback": 1, "volumes": 3},
        {"slices": 2, "repeats": 2, "volumes": 3, "stack_mode": "slow", "dtype": "uint16"},
        {"version": "3.8", "frames": 5, **TWO},
        {"version": "5.1", "frames": 5},
    ):
        paths += ScanImageRecording(**RATE, **asked).write(tmp_path / str(len(paths)))
    assert _beside_galvo(python, LEGACY, *paths, cwd=tmp_path).split() == ["5"]


SUBCLASS = """
import sys
import galvo, roiextractors
from galvo.compat.roiextractors import ImagingExtractor, ScanImageImagingExtractor, ScanImageLegacyImagingExtractor
assert ImagingExtractor is roiextractors.ImagingExtractor
extractor = ScanImageImagingExtractor(sys.argv[1])
for part in (
    extractor, extractor.slice_samples(1), extractor.slice_field_of_view(1, 5), extractor.select_plane(1),
    ScanImageLegacyImagingExtractor(sys.argv[1], 10.0),
):
    assert isinstance(part, roiextractors.ImagingExtractor)
assert isinstance(extractor.slice_samples(1), roiextractors.imagingextractor.SampleSlicedImagingExtractor)
assert extractor.slice_samples(1).get_num_samples() == extractor.get_num_samples() - 1
original = roiextractors.ScanImageImagingExtractor
import warnings
with warnings.catch_warnings(record=True):
    warnings.simplefilter("always")
    galvo.compat.install("roiextractors")
assert roiextractors.ScanImageImagingExtractor is ScanImageImagingExtractor
from roiextractors.extractors.tiffimagingextractors import scanimagetiffimagingextractor
assert scanimagetiffimagingextractor.ScanImageImagingExtractor is ScanImageImagingExtractor
assert issubclass(roiextractors.NumpyImagingExtractor, roiextractors.ImagingExtractor)
galvo.compat.uninstall("roiextractors")
assert roiextractors.ScanImageImagingExtractor is original
print("well")
"""


def test_the_base_is_the_originals(tmp_path):
    python = _python("roiextractors")
    (path,) = ScanImageRecording(slices=3, volumes=4).write(tmp_path)
    assert _beside_galvo(python, SUBCLASS, path, cwd=tmp_path).strip() == "well"


NWB = """
import datetime, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
import galvo
galvo.compat.install("roiextractors")
from galvo.compat.roiextractors import ScanImageImagingExtractor
from neuroconv.datainterfaces import ScanImageImagingInterface
from neuroconv.tools.roiextractors import add_imaging_to_nwbfile
from pynwb import NWBHDF5IO, NWBFile
output, expected, *paths = sys.argv[1:]
start = datetime.datetime(2025, 4, 24, 16, 43, tzinfo=datetime.timezone.utc)

interface = ScanImageImagingInterface(file_paths=paths, channel_name="Channel 2")
assert type(interface.imaging_extractor) is ScanImageImagingExtractor
metadata = interface.get_metadata()
metadata["NWBFile"]["session_start_time"] = start
interface.run_conversion(nwbfile_path=output + "1.nwb", metadata=metadata)

extractor = ScanImageImagingExtractor(paths[0], channel_name="Channel 2")
nwbfile = NWBFile("a session", "one", start)
add_imaging_to_nwbfile(imaging=extractor, nwbfile=nwbfile)
with NWBHDF5IO(output + "2.nwb", "w") as stream:
    stream.write(nwbfile)

pixels = np.load(expected)
for number in "12":
    with NWBHDF5IO(output + number + ".nwb", "r") as stream:
        (series,) = stream.read().acquisition.values()
        # NWB: time, width, height, planes
        np.testing.assert_array_equal(np.moveaxis(series.data[:], 1, 2), pixels)
        assert series.data.dtype == pixels.dtype
        times = series.timestamps[:] if series.timestamps is not None else None
        if times is None:
            assert abs(series.rate - extractor.get_sampling_frequency()) < 1e-5 * series.rate
        else:
            np.testing.assert_allclose(times, extractor.get_times())
        print(series.data.shape)
"""


@pytest.mark.parametrize(
    "asked",
    [{"frames": 12, "frames_per_file": 5}, {"slices": 3, "flyback": 1, "volumes": 5}],
    ids=["planar", "volumes"],
)
def test_neuroconv_writes_nwb(tmp_path, samples, asked):
    python = _python("roiextractors", "neuroconv", "pynwb")
    truth = ScanImageRecording(**RATE, **TWO, **asked)
    paths = truth.write(tmp_path / "files")
    np.save(tmp_path / "expected.npy", samples(truth, 1))
    done = _beside_galvo(python, NWB, tmp_path / "out", tmp_path / "expected.npy", *paths, cwd=tmp_path)
    assert len(done.strip().splitlines()) >= 2
