"""The file of a motion: what it holds, what damage is found in it, and what is no such file."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest

import galvo
from galvo import motion
from galvo.errors import DamagedData, FormatError, GalvoError, Malformed, NotFound, Unsupported
from galvo.motion import stored
from galvo.motion.quality import QUALITY
from galvo.motion.stored import holds_motion


@pytest.fixture(scope="module")
def kept(moving, tmp_path_factory):
    """Of six frames with small fields."""
    path = tmp_path_factory.mktemp("kept") / "m.h5"
    pixels = np.ascontiguousarray(moving.pixels[:6, :, :, :16, :20])
    params = {"estimator": "variational", "preset": "fast"}
    galvo.correct(pixels, motion=path, params=params, reference=moving.reference[:16, :20]).close()
    return path


@pytest.fixture
def copy(kept, tmp_path):
    return shutil.copy(kept, tmp_path / "copy.h5")


def test_what_it_holds(kept, moving):
    """As documented, readable by any HDF5 library."""
    correction = galvo.open_correction(kept)
    with h5py.File(kept) as file:
        group = file["motion"]
        frames = group["frames"][:, 0]
        facts = json.loads(group["facts"][...].tobytes())
        h, w = group["rest"].shape[2:4]
        field = group["rest"][:, 0].astype(np.float32) + frames["shift"][:, None, None]
        assert frames.dtype.names == ("shift", *QUALITY, "flags")
        assert group["references"].shape == (1, 1, 16, 20, 2)
        assert np.allclose(group["means"][0, 0], moving.pixels[:6, :, 0, :16, :20].mean(axis=0).transpose(1, 2, 0))
    assert np.array_equal(correction.motion.facts.expansion.expand(field), correction.displacements(slice(None)))
    assert facts["expansion"] == {"kind": "grid", "height": 16, "width": 20, "rows": h, "columns": w}
    assert motion.MotionParams.model_validate(facts["params"]).estimator == "variational"
    assert facts["provenance"]["source_format"] == "array"
    assert motion.verify_motion(str(kept)) == 1


@pytest.mark.parametrize("ahead", [0, 2, 1000])
def test_frames_in_any_order(kept, monkeypatch, ahead):
    """What is read ahead of one request serves the next ones, or is left."""
    with h5py.File(kept) as file:
        rests = file["motion/rest"][:, 0]
    monkeypatch.setattr(stored, "_AHEAD_BYTES", ahead * rests[0].nbytes)
    found = galvo.open_correction(kept).motion.rests
    for times in (range(1), range(1, 3), range(2, 4), [5], range(6), [4, 1], range(3, 6), [], range(1)):
        np.testing.assert_array_equal(found.read(times, 0), rests[list(times)])


def test_a_calibration_comes_back_from_it(moving, tmp_path):
    """An estimator can be used again on more frames."""
    galvo.correct(
        moving.pixels, motion=tmp_path / "m.h5", params={"preset": "fast"}, reference=moving.reference
    ).close()
    kept = galvo.open_correction(tmp_path / "m.h5")
    plan = motion.load_calibration(kept.motion.facts.calibrations[0])
    frames = moving.pixels[:, :, 0].transpose(0, 2, 3, 1)
    fields = motion.estimate(frames, moving.reference, calibration=plan)
    assert np.abs(fields - kept.displacements(slice(None))).max() < 0.01


def test_every_changed_byte_of_what_was_kept_is_found(kept, copy):
    """One bit of each byte that HDF5 says holds data."""
    content = bytearray(kept.read_bytes())
    places = []
    with h5py.File(kept) as file:

        def note(name, item):
            if isinstance(item, h5py.Dataset) and item.size:
                if item.chunks is None:
                    places.append((item.id.get_offset(), item.id.get_storage_size()))
                for number in range(item.id.get_num_chunks() if item.chunks else 0):
                    chunk = item.id.get_chunk_info(number)
                    places.append((chunk.byte_offset, chunk.size))

        file.visititems(note)
    rng = np.random.default_rng(0)
    assert len(places) >= 7
    for start, length in places:
        for at in {start, start + length - 1, *rng.integers(start, start + length, 12).tolist()}:
            changed = bytearray(content)
            changed[at] ^= 1 << int(rng.integers(8))
            with open(copy, "wb") as stream:
                stream.write(changed)
            with pytest.raises((DamagedData, FormatError)):
                motion.verify_motion(str(copy))


def test_cut_and_mixed_up_files(kept, copy):
    """Any change is an error of galvo's or harmless; nothing else is raised."""
    content = kept.read_bytes()
    rng = np.random.default_rng(1)
    expected = galvo.open_correction(kept).displacements(slice(None))
    for number in range(120):
        changed = bytearray(content)
        if number % 3:
            for at in rng.integers(0, 4096, 1 + number % 7):
                changed[at] = rng.integers(256)
        else:
            changed = changed[: int(rng.integers(len(changed)))]
        with open(copy, "wb") as stream:
            stream.write(changed)
        try:
            found = galvo.open_correction(copy).displacements(slice(None))
            motion.verify_motion(str(copy))
        except GalvoError:
            continue
        assert found.shape == expected.shape
        assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda g: g.__delitem__("rest"), Malformed),
        (lambda g: g.__delitem__("facts"), Malformed),
        (lambda g: g.__delitem__("means"), Malformed),
        (lambda g: g.__setitem__("rest", h5py.ExternalLink("other.h5", "/x")), Malformed),
        (lambda g: told(g, schema_version=2), Unsupported),
        (lambda g: told(g, schema_version="1"), Malformed),
        (lambda g: told(g, expansion={"kind": "spline"}), Malformed),
        (
            lambda g: told(g, expansion={"kind": "grid", "height": 16, "width": 20, "rows": 1 << 60, "columns": 2}),
            Malformed,
        ),
        (lambda g: told(g, expansion=None), Malformed),
        (lambda g: g.__setitem__("facts", np.frombuffer(b"[" * 100_000, np.uint8)), Malformed),
        (lambda g: g.__setitem__("references", np.zeros((1, 2, 16, 20, 2), "f4")), Malformed),
        (lambda g: g.__setitem__("frames", np.zeros((6, 1), "f4")), Malformed),
        (
            lambda g: g.create_dataset("rest2", (1 << 40, 1, 4, 5, 2), "f2", chunks=(1, 1, 4, 5, 2)) and moved(g),
            GalvoError,
        ),
    ],
)
def test_files_that_contradict_themselves(copy, change, error):
    with h5py.File(copy, "r+") as file:
        group = file["motion"]
        if change.__code__.co_names[0] == "__setitem__":
            del group[change.__code__.co_consts[1]]
        change(group)
    with pytest.raises(error):
        galvo.open_correction(copy)


def told(group, **changed):
    facts = json.loads(group["facts"][...].tobytes()) | changed
    del group["facts"]
    group["facts"] = np.frombuffer(json.dumps(facts).encode(), np.uint8)


def moved(group):
    del group["rest"]
    group.move("rest2", "rest")


def test_what_is_no_motion(kept, tmp_path, moving):
    with pytest.raises(NotFound):
        galvo.open_correction(tmp_path / "absent.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(Malformed):
        galvo.open_correction(tmp_path / "text.h5")
    galvo.save(moving.pixels, tmp_path / "movie.h5")
    with pytest.raises(Malformed, match="no file of a motion"):
        galvo.open_correction(tmp_path / "movie.h5")
    assert [holds_motion(str(path)) for path in (kept, tmp_path / "movie.h5", tmp_path / "text.h5")] == [
        True,
        False,
        False,
    ]
    with pytest.raises(Unsupported, match="open_correction"):
        galvo.open(kept)
    with pytest.raises(galvo.errors.OptionError, match="Give one to apply"):
        galvo.open_correction(kept).apply()
