"""Correcting recordings: what is applied is what is kept, whatever is corrected, by whom and in which parts."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from multiprocessing import resource_tracker

import numpy as np
import psutil
import pytest

import galvo
from galvo import motion
from galvo.core.over import ReaderOver
from galvo.errors import Interrupted, NoSpace, OptionError, SelectionError, WriteError
from galvo.motion import job
from galvo.motion.quality import QUALITY
from galvo.testing.movie import TwoPhotonMovie
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording

FAST = {"preset": "fast"}
RIGID = {"estimator": "rigid"}
VARIATIONAL = {"estimator": "variational", "preset": "fast"}


@pytest.fixture
def recording(moving):
    return galvo.Recording.from_array(moving.pixels)


def same_motion(one, other):
    assert one.motion.frames.tobytes() == other.motion.frames.tobytes()
    for z in range(one.motion.shape[1]):
        assert one.displacements(slice(None), z).tobytes() == other.displacements(slice(None), z).tobytes()
    assert one.mean_before.tobytes() == other.mean_before.tobytes()
    assert one.mean_after.tobytes() == other.mean_after.tobytes()


# ---- what comes out --------------------------------------------------------------------------------------------------


def test_known_motion_is_found_and_removed(moving, recording):
    correction = galvo.correct(recording, params=FAST, reference=moving.reference)
    inner = (slice(None), slice(8, -8), slice(8, -8))
    errors = np.linalg.norm(correction.displacements(slice(None)) - moving.displacements, axis=-1)[inner]
    lengths = np.linalg.norm(moving.displacements, axis=-1)[inner]
    assert errors.mean() < 0.25 < 0.8 < lengths.mean()
    still = moving.reference[inner[1:]].ravel()
    before, after = (
        np.corrcoef(image[0][inner[1:]].ravel(), still)[0, 1]
        for image in (correction.mean_before, correction.mean_after)
    )
    assert after > 0.97 > before
    assert np.abs(correction.shifts[:, 0] - moving.displacements.mean(axis=(1, 2))).max() < 1
    assert correction.params == motion.MotionParams(preset="fast")
    assert all("channel" not in line for line in correction.remarks())


def test_a_canvas_stays_one():
    class Canvas(ReaderOver):
        def read(self, selection, out):
            self._reader.read(selection, out)

        def coverage(self, z, y, x):
            return np.broadcast_to(np.asarray(y)[:, None] >= 4, (len(z), len(y), len(x)))

    pixels = np.random.default_rng(0).poisson(9, (3, 1, 1, 12, 10)).astype(np.uint16)
    canvas = galvo.Recording.from_array(pixels).through(lambda recording: Canvas(recording._reader))
    corrected = galvo.correct(canvas, flow=lambda frames, reference: np.ones((*frames.shape[:3], 2))).apply()
    np.testing.assert_array_equal(corrected.coverage(), canvas.coverage())
    np.testing.assert_array_equal(corrected.isel(y=slice(3, 6)).coverage()[0, :, 0], [False, True, True])


@pytest.mark.parametrize("params", [FAST, RIGID, VARIATIONAL], ids=lambda p: p.get("estimator", "bayes"))
def test_applied_is_what_is_kept(moving, recording, tmp_path, params):
    held = galvo.correct(recording, params=params, reference=moving.reference)
    written = galvo.correct(recording, tmp_path / "out.h5", params, reference=moving.reference, verify=True)
    assert written.path == str(tmp_path / "out_motion.h5")
    assert written.movie.verification.ok
    kept = galvo.open_correction(written.path, recording)
    same_motion(held, written)
    same_motion(held, kept)
    assert kept.params == held.params == motion.MotionParams.model_validate(params)
    fields = kept.displacements(slice(None))
    expected = np.stack([motion.warp(moving.pixels[:, c, 0], fields, dtype="same") for c in range(2)], 1)[:, :, None]
    with galvo.open(tmp_path / "out.h5") as movie:
        assert np.array_equal(movie[...], expected)
        assert movie.metadata.attributes["motion_corrected"] == kept.params.model_dump(mode="json")
    assert np.array_equal(held.apply()[...], expected)
    # a field of an estimator, as it is kept: half a thousandth of a pixel at most
    assert np.abs(fields - fields.astype(np.float16)).max() < 0.01


@pytest.mark.parametrize("params", [FAST, RIGID, VARIATIONAL, "flow"], ids=["bayes", "rigid", "variational", "flow"])
def test_blocks_threads_and_executors_do_not_matter(moving, recording, sway, monkeypatch, params):
    how = {"flow": sway} if params == "flow" else {"params": params}
    how["reference"] = moving.reference
    whole = galvo.correct(recording, **how)
    for executor, workers in (("sequential", None), ("threads", 3)):
        same_motion(galvo.correct(recording, executor=executor, workers=workers, **how), whole)
    for frames in (1, 7):
        monkeypatch.setattr(job, "_LEAST_TOGETHER", frames)
        monkeypatch.setattr(job, "MOST_BLOCK_BYTES", 1)
        same_motion(galvo.correct(recording, workers=2, **how), whole)


@pytest.fixture(scope="module")
def tracked():
    """What the standard library opens once for all its spawned processes."""
    resource_tracker.ensure_running()


@pytest.mark.usefixtures("tracked")
def test_processes_find_the_same(moving, recording, tmp_path, monkeypatch):
    (tmp_path / "flow_of_a_test.py").write_text(
        "def flow(frames, reference):\n"
        "    import numpy as np\n"
        "    fields = np.zeros((*frames.shape[:3], 2), np.float32)\n"
        "    fields += (frames.mean(axis=(1, 2, 3)) / 100)[:, None, None, None]\n"
        "    return fields\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from flow_of_a_test import flow

    for how in ({"params": FAST}, {"flow": flow}):
        how["reference"] = moving.reference
        here = galvo.correct(recording, **how)
        same_motion(galvo.correct(recording, executor="processes", workers=2, **how), here)
    sys.modules.pop("flow_of_a_test")


def test_a_function_that_cannot_be_sent(recording, moving):
    with pytest.raises(OptionError, match="cannot be sent to other processes"):
        galvo.correct(recording, flow=lambda frames, reference: None, executor="processes", reference=moving.reference)


def test_a_function_of_the_users(recording, moving, sway, tmp_path):
    correction = galvo.correct(
        recording, tmp_path / "out.h5", flow=sway, reference=moving.reference[..., 1:], channels=[1]
    )
    expected = sway(moving.pixels[:, 1:, 0].transpose(0, 2, 3, 1), moving.reference[..., 1:])
    kept = galvo.open_correction(correction.path).displacements(slice(None))
    assert np.abs(kept - expected).max() < 2e-3
    assert correction.params.estimator == "custom"
    assert correction.motion.facts.provenance["flow"].endswith("swaying")


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda frames: np.zeros((len(frames), 2)), "no displacements"),
        (lambda frames: np.zeros((*frames.shape[:3], 2), complex), "no displacements"),
        (lambda frames: np.full((*frames.shape[:3], 2), np.nan), "no numbers"),
    ],
)
def test_functions_that_return_something_else(recording, moving, result, message):
    with pytest.raises(OptionError, match=message):
        galvo.correct(recording, flow=lambda frames, reference: result(frames), reference=moving.reference)


def test_an_error_of_the_function_is_the_callers(recording, moving):
    class Own(Exception):
        pass

    def flow(frames, reference):
        raise Own

    with pytest.raises(Own):
        galvo.correct(recording, flow=flow, reference=moving.reference)


# ---- other channels, recordings, planes, fields ----------------------------------------------------------------------


def test_one_channel_moves_all(recording, moving, sway):
    correction = galvo.correct(recording, flow=sway, channels=0, reference=moving.reference[..., 0])
    alone = galvo.correct(recording.isel(c=0), flow=sway, reference=moving.reference[..., 0])
    same_motion(correction, alone)
    assert correction.apply().shape == recording.shape
    assert np.array_equal(correction.apply()[:, :1], alone.apply()[...])
    assert not np.array_equal(correction.apply()[...], recording[...])


def test_another_recording_is_corrected(recording, moving, sway, tmp_path):
    """Estimated on a denoised movie, applied to the raw one."""
    denoised = galvo.Recording.from_array(moving.pixels.astype(np.float32) * 0.5)
    correction = galvo.correct(
        denoised, tmp_path / "out.h5", flow=sway, reference=moving.reference, apply_to=recording, channels=[0, 1]
    )
    with galvo.open(tmp_path / "out.h5") as movie:
        assert movie.dtype == np.int16
        expected = motion.warp(moving.pixels[:, 1, 0], correction.displacements(slice(None)), dtype="same")
        assert np.array_equal(movie[:, 1, 0], expected)
    for other in (recording.isel(t=slice(9)), recording.isel(x=slice(9))):
        with pytest.raises(OptionError, match="does not fit the motion"):
            correction.apply(other)
    with pytest.raises(OptionError, match="does not fit"):
        galvo.correct(denoised, flow=sway, apply_to=recording.isel(t=slice(5)))


def test_planes_move_for_themselves(moving, sway, tmp_path):
    pixels = np.concatenate([moving.pixels, moving.pixels[::-1]], axis=2)
    recording = galvo.Recording.from_array(pixels)
    reference = np.stack([moving.reference, moving.reference * 2])
    both = galvo.correct(recording, tmp_path / "out.h5", flow=sway, reference=reference, verify=True)
    for z in range(2):
        alone = galvo.correct(recording.isel(z=z), flow=sway, reference=reference[z])
        assert np.array_equal(both.displacements(slice(None), z), alone.displacements(slice(None)))
        assert np.array_equal(both.apply()[:, :, z : z + 1], alone.apply()[...])
        for name in QUALITY:
            assert np.array_equal(both.quality[name][:, z], alone.quality[name][:, 0])
        assert np.array_equal(both.mean_after[z], alone.mean_after[0])
    with pytest.raises(OptionError, match="no such plane"):
        both.displacements(0, 2)


def test_each_field_is_corrected_for_itself(tmp_path, sway):
    rois = [
        RoiRequest(name=name, scanfields=(ScanfieldRequest(center_deg=(at, 1), size_deg=(4, 4), pixels=(24, 16)),))
        for name, at in (("left", -3), ("right", 5))
    ]
    path = ScanImageRecording.multi_roi(tuple(rois), zs=(0.0,), volumes=6).write(tmp_path / "raw")[0]
    with galvo.open(path) as recording:
        with pytest.raises(OptionError, match="correct_fields"):
            galvo.correct(recording, tmp_path / "out.h5", flow=sway)
        parts = galvo.correct_fields(recording, tmp_path / "out.h5", flow=sway, reference=slice(0, 3))
        names = sorted(entry.name for entry in tmp_path.iterdir() if entry.is_file())
        assert names == ["out_field1.h5", "out_field1_motion.h5", "out_field2.h5", "out_field2_motion.h5"]
        for number, field in enumerate(recording.fields):
            alone = galvo.correct(field, flow=sway, reference=slice(0, 3))
            same_motion(parts[number], alone)
            with galvo.open(tmp_path / f"out_field{number + 1}.h5") as movie:
                assert np.array_equal(movie[...], alone.apply()[...])
        assert galvo.correct_fields(recording, tmp_path / "out.h5", flow=sway, resume=True) == ()
        (tmp_path / "out_field2.h5").unlink()
        (again,) = galvo.correct_fields(recording, tmp_path / "out.h5", flow=sway, reference=slice(0, 3), resume=True)
        same_motion(again, parts[1])
        for name in ("motion", "apply_to"):
            with pytest.raises(OptionError, match="one field"):
                galvo.correct_fields(recording, tmp_path / "out.h5", **{name: "x.h5"})


# ---- corrected as it is read -----------------------------------------------------------------------------------------


def test_parts_of_a_corrected_recording(recording, moving, sway):
    corrected = galvo.correct(recording, flow=sway, reference=moving.reference).apply(fill=0)
    whole = corrected[...]
    for key in (
        np.s_[3:30:4, 1, 0, 5:9, ::3],
        np.s_[[7, 2, 2], :, :, 5, ::-1],
        np.s_[-1],
        np.s_[5, 0, 0, 4, 4],
        np.s_[:0],
    ):
        assert np.array_equal(corrected[key], whole[key])
    part = corrected.isel(t=[5, 3], c=1, y=slice(10, 20))
    assert np.array_equal(part[...], whole[[5, 3]][:, 1:, :, 10:20])
    again = pickle.loads(pickle.dumps(part))
    assert np.array_equal(again[...], part[...])
    assert corrected.dtype == recording.dtype


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">i2", "<f4", ">f8"])
def test_types_of_pixels_stay(moving, sway, dtype, tmp_path):
    pixels = (moving.pixels[:4].astype(np.int64) // 16 % 200).astype(dtype)
    correction = galvo.correct(
        galvo.Recording.from_array(pixels), tmp_path / "out.h5", flow=sway, reference=np.zeros((48, 64, 2))
    )
    with galvo.open(tmp_path / "out.h5") as movie:
        assert movie.dtype == np.dtype(dtype).newbyteorder("=")
        fields = correction.displacements(slice(None))
        assert np.array_equal(movie[:, 0, 0], motion.warp(pixels[:, 0, 0], fields, dtype="same"))


def test_the_valid_mask_is_what_was_scanned(moving, sway):
    recording = galvo.Recording.from_array(moving.pixels.astype(np.float32))
    correction = galvo.correct(recording, flow=sway, reference=moving.reference)
    filled = correction.apply(fill=float("nan"))[:, 0, 0]
    assert 0 < np.isnan(filled).sum() < filled.size / 4
    assert np.array_equal(correction.valid_mask(), ~np.isnan(filled).any(axis=0))
    assert np.array_equal(correction.valid_mask(7), ~np.isnan(filled[7]))
    assert np.array_equal(correction.valid_mask([1, 4]), ~np.isnan(filled[[1, 4]]).any(axis=0))
    for read in (correction.valid_mask, correction.displacements):
        with pytest.raises(SelectionError, match=r"no such frame; found \[0, 999\]; expected 0 to"):
            read([0, 999])


def test_fill_and_interpolation(recording, moving, sway, tmp_path):
    correction = galvo.correct(
        recording, tmp_path / "out.h5", flow=sway, reference=moving.reference, fill=-5, interpolation="nearest"
    )
    how = {"fill": -5, "interpolation": "nearest", "dtype": "same"}
    with galvo.open(tmp_path / "out.h5") as movie:
        assert np.array_equal(
            movie[:, 0, 0], motion.warp(moving.pixels[:, 0, 0], correction.displacements(slice(None)), **how)
        )
    with pytest.raises(OptionError, match="fill"):
        correction.apply(fill=np.zeros((48, 64)))


# ---- refused before anything is worked on ----------------------------------------------------------------------------


def never(frames, reference):
    raise AssertionError("frames were worked on")


@pytest.mark.parametrize("there", ["out.h5", "out_motion.h5"])
def test_existing_outputs_are_not_replaced(recording, moving, sway, tmp_path, there):
    (tmp_path / there).write_bytes(b"old")
    with pytest.raises(WriteError, match="exists"):
        galvo.correct(recording, tmp_path / "out.h5", flow=never, reference=moving.reference)
    assert [entry.name for entry in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_bytes() == b"old"
    galvo.correct(recording, tmp_path / "out.h5", flow=sway, reference=moving.reference, overwrite=True)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.h5", "out_motion.h5"]


def test_too_small_a_disk_is_told_before_frames_are_worked_on(recording, moving, tmp_path, monkeypatch):
    monkeypatch.setattr("galvo.core.disk.free_bytes", lambda path: 100_000)
    with pytest.raises(NoSpace, match="not enough space"):
        galvo.correct(recording, tmp_path / "out.h5", flow=never, reference=moving.reference)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"executor": "threadz"}, "executor"),
        ({"workers": 0}, "threads"),
        ({"channels": 5}, None),
        ({"reference": np.zeros((5, 5))}, "does not fit"),
        ({"reference": np.zeros((3, 48, 64, 2))}, "references than planes"),
        ({"reference": [99]}, "frames of the recording"),
        ({"reference": []}, None),
        ({"params": {"channel_weights": (1, 1, 1)}, "flow": None}, "weight"),
        ({"params": {"estimator": "custom"}, "flow": None}, "function"),
        ({"flow": 5}, "function"),
        ({"no_such_option": 1}, "no_such_option"),
        ({"format": "hdf5", "compression": "no"}, None),
        ({"fill": "reference"}, "fill"),
        ({"fill": 1e9}, "fill"),
        ({"interpolation": "sinc"}, "interpolation"),
        ({"motion": "out.h5"}, "one name"),
    ],
)
def test_options_that_do_not_fit(recording, moving, tmp_path, monkeypatch, how, message):
    monkeypatch.chdir(tmp_path)
    given = {"flow": never, "reference": moving.reference, **how}
    with pytest.raises(galvo.errors.GalvoError, match=message):
        galvo.correct(recording, "out.h5", **given)
    assert list(tmp_path.iterdir()) == []


def test_the_source_is_never_an_output(recording, moving, sway, tmp_path):
    galvo.save(recording, tmp_path / "in.h5")
    content = (tmp_path / "in.h5").read_bytes()
    for destination, kept in ((tmp_path / "in.h5", None), (tmp_path / "out.h5", tmp_path / "in.h5")):
        with pytest.raises(WriteError, match="input"):
            galvo.correct(
                tmp_path / "in.h5", destination, flow=never, motion=kept, reference=moving.reference, overwrite=True
            )
    assert (tmp_path / "in.h5").read_bytes() == content


def test_files_are_closed(recording, moving, sway, tmp_path):
    galvo.save(recording, tmp_path / "in.h5")
    with galvo.correct(tmp_path / "in.h5", flow=sway, reference=moving.reference) as correction:
        assert correction.apply()[0].any()
    with pytest.raises(OptionError):
        galvo.correct(tmp_path / "in.h5", flow=5, reference=moving.reference)
    # the fixture of all tests looks for what is left open


def test_progress_is_told_in_frames(recording, moving, sway, tmp_path):
    seen = []
    galvo.correct(
        recording, tmp_path / "out.h5", flow=sway, reference=moving.reference, progress=lambda *told: seen.append(told)
    )
    assert seen[0] == (0, 80)
    assert seen[-1] == (80, 80)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert {total for _, total in seen} == {80}
    seen.clear()
    galvo.correct(recording, flow=sway, reference=moving.reference, progress=lambda *told: seen.append(told))
    assert (seen[0], seen[-1]) == ((0, 40), (40, 40))


# ---- a reference that follows the recording --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def changing():
    """Frames whose tissue is replaced by another halfway, at the same place, and which move; the shifts (T, 2)."""
    rng = np.random.default_rng(5)
    tissues = [TwoPhotonMovie(frames=1, height=80, width=96, seed=seed).reference()[0] * 400 for seed in (1, 2)]
    tissues[1] = 0.5 * tissues[0] + 0.5 * tissues[1]
    shifts = rng.integers(-3, 4, (60, 2))
    frames = [np.roll(tissues[t // 30], (y, x), (0, 1))[8:-8, 8:-8] for t, (x, y) in enumerate(shifts)]
    return rng.poisson(np.stack(frames)).astype(np.uint16), shifts


def test_the_reference_follows_the_recording(changing, tmp_path):
    frames, shifts = changing
    how = {"params": RIGID, "reference": slice(0, 20)}
    one = galvo.correct(frames, **how)
    updated = galvo.correct(frames, tmp_path / "out.h5", update_reference=30, **how)
    assert updated.references.shape == (2, 1, 64, 80, 1)
    late = slice(30, None)
    assert updated.quality["correlation"][late].mean() > one.quality["correlation"][late].mean() + 0.03
    # both parts lie at the same place
    found = updated.shifts[:, 0] - shifts
    assert np.abs(found - np.median(found, axis=0)).max() < 0.3
    same_motion(galvo.open_correction(updated.path), updated)
    assert motion.verify_motion(updated.path) >= 1


@pytest.mark.parametrize("params", [FAST, VARIATIONAL, "flow"], ids=["bayes", "variational", "flow"])
def test_every_estimator_updates_its_reference(moving, recording, sway, params):
    how = {"flow": sway} if params == "flow" else {"params": params}
    correction = galvo.correct(recording, reference=moving.reference, update_reference=20, **how)
    assert correction.references.shape == (2, 1, 48, 64, 2)
    if params != "flow":
        inner = (slice(None), slice(8, -8), slice(8, -8))
        errors = np.linalg.norm(correction.displacements(slice(None)) - moving.displacements, axis=-1)[inner]
        assert errors.mean() < 0.75 * np.linalg.norm(moving.displacements, axis=-1)[inner].mean()


def test_parts_of_the_recording_and_blocks(changing, monkeypatch):
    """The last part takes what is less than half of one more; blocks may begin anywhere."""
    frames, _ = changing
    how = {"params": RIGID, "reference": slice(0, 20), "update_reference": 23}
    whole = galvo.correct(frames, **how)
    assert len(whole.references) == 3
    monkeypatch.setattr(job, "_LEAST_TOGETHER", 7)
    monkeypatch.setattr(job, "MOST_BLOCK_BYTES", 1)
    same_motion(galvo.correct(frames, executor="sequential", **how), whole)
    how["update_reference"] = 45
    assert len(galvo.correct(frames, **how).references) == 1
    plain = galvo.correct(frames, params=RIGID, reference=slice(0, 20))
    same_motion(galvo.correct(frames, **how), plain)
    with pytest.raises(OptionError, match="at least one frame"):
        galvo.correct(frames, **{**how, "update_reference": 0})


# ---- processes that end ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("tracked")
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_worker_that_is_killed_is_told(recording, moving, tmp_path, monkeypatch):
    (tmp_path / "deadly_flow.py").write_text(
        "import os, signal\ndef flow(frames, reference):\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    from deadly_flow import flow

    with pytest.raises(Interrupted, match="ended from outside"):
        galvo.correct(
            recording, tmp_path / "out.h5", flow=flow, executor="processes", workers=2, reference=moving.reference
        )
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["deadly_flow.py"]
    sys.modules.pop("deadly_flow")


ORPHANS = """
import os, signal, sys
import numpy as np
import galvo
from galvo.motion.executors import solving
from galvo.motion.custom import FunctionEstimator
from galvo.motion.reference import Reference
from endless_flow import flow

if __name__ == "__main__":
    frames = np.zeros((4, 8, 8, 1))
    plan = FunctionEstimator(flow).calibrate(frames, Reference(frames[0]))
    with solving("processes", [plan], 2) as solve:
        solve(0, frames, 0, 4)
"""


@pytest.mark.harden
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_workers_end_with_a_killed_parent(tmp_path):
    (tmp_path / "endless_flow.py").write_text(
        "import os, time\ndef flow(frames, reference):\n"
        "    open(f'{os.path.dirname(__file__)}/{os.getpid()}.pid', 'w').close()\n    time.sleep(600)\n"
    )
    (tmp_path / "script.py").write_text(ORPHANS)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with subprocess.Popen([sys.executable, str(tmp_path / "script.py")], env=environment) as parent:
        until = time.monotonic() + 60
        while len(list(tmp_path.glob("*.pid"))) < 2 and time.monotonic() < until:
            time.sleep(0.05)
        workers = [int(path.stem) for path in tmp_path.glob("*.pid")]
        parent.kill()
    assert len(workers) == 2
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in workers if psutil.pid_exists(pid)], timeout=10)
    assert not alive
