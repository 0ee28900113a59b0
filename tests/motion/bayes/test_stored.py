import io
import json
import pickle
import zipfile

import numpy as np
import pytest

from galvo.errors import Malformed
from galvo.motion.bayes import BayesEstimator, BayesPlan
from galvo.motion.params import MotionParams

from .movies import movie


@pytest.fixture(scope="module")
def plan() -> BayesPlan:
    frames, reference, _ = movie()
    return BayesEstimator(MotionParams(preset="fast")).calibrate(frames, reference, threads=2)


@pytest.mark.parametrize("way", ["bytes", "pickle"])
def test_bit_equal_after_loading(plan: BayesPlan, way: str) -> None:
    frames, _, _ = movie()
    again = BayesPlan.from_bytes(plan.to_bytes()) if way == "bytes" else pickle.loads(pickle.dumps(plan))
    for one, other in zip(plan.solve(frames), again.solve(frames), strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.report == plan.report
    assert again.expansion == plan.expansion
    assert again.halo == plan.halo
    assert again.to_bytes() == plan.to_bytes()


def test_no_objects_inside(plan: BayesPlan) -> None:
    with np.load(io.BytesIO(plan.to_bytes()), allow_pickle=False) as stored:
        assert "about" in stored.files
        assert all(stored[name].dtype.kind in "fbiu" for name in stored.files)


def _changed(plan: BayesPlan, **arrays: object) -> bytes:
    with np.load(io.BytesIO(plan.to_bytes())) as stored:
        parts = {name: stored[name] for name in stored.files}
    about = json.loads(parts["about"].tobytes())
    for name, value in arrays.items():
        if name in parts:
            parts[name] = value  # type: ignore[assignment]
        else:
            about[name] = value
    parts["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    stream = io.BytesIO()
    np.savez(stream, **{name: part for name, part in parts.items() if part is not None})  # type: ignore[arg-type]
    return stream.getvalue()


def test_the_way_of_changing_is_sound(plan: BayesPlan) -> None:
    assert BayesPlan.from_bytes(_changed(plan)).report == plan.report


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"kind": "another"},
        {"scales": [8, 4]},
        {"scales": []},
        {"height": 0},
        {"height": "12"},
        {"width": 10**9},
        {"channel_count": 2},
        {"schedule": {"steps": [1], "cubic": True, "settled": 1, "most": 3}},
        {"schedule": None},
        {"units": {}},
        {"report": {}},
        {"temporal": False},
        {"weights": np.zeros(3)},
        {"weights": None},
        {"phi": np.full((3, 1), np.nan)},
        {"phi": np.zeros((3, 1))},
        {"variance": np.zeros((2, 3, 3))},
        {"active": np.zeros((2, 11, 13), bool)},
        {"planes_4": np.zeros((1, 4, 32, 40))},
        {"temporal_bands": np.zeros((2, 2), np.int64)},
    ],
)
def test_what_does_not_fit_is_refused(plan: BayesPlan, change: dict[str, object]) -> None:
    with pytest.raises(Malformed) as caught:
        BayesPlan.from_bytes(_changed(plan, **change), "here.npz")
    assert caught.value.path == "here.npz"


def test_other_bytes_are_refused(plan: BayesPlan) -> None:
    whole = plan.to_bytes()
    stream = io.BytesIO()
    np.savez(stream, about=np.array([{}], object))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("about.npy", b"no array")
    for bad in (b"", b"abc", whole[:1000], whole[:-40], stream.getvalue(), archive.getvalue()):
        with pytest.raises(Malformed):
            BayesPlan.from_bytes(bad)


def test_damage_is_an_error_or_harmless(plan: BayesPlan) -> None:
    whole = plan.to_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for place in random.integers(0, len(whole), 25):
        broken = bytearray(whole)
        broken[place] ^= 0xFF
        try:
            BayesPlan.from_bytes(bytes(broken))
        except Malformed:
            refused += 1
    # the checksums of the archive see every changed byte of an array
    assert refused >= 20
