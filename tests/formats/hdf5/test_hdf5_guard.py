"""Files that reach outside themselves, never end, or lie about what galvo wrote."""

from __future__ import annotations

import ctypes
import os
import sys
import time
import warnings
from contextlib import contextmanager, suppress

import h5py
import numpy as np
import pytest

import galvo
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.errors import DamagedData, FormatError, GalvoError, LimitExceeded, Malformed, UnsafeContent, Unsupported

SECRET = np.arange(7 * 6 * 5, dtype="u2").reshape(7, 6, 5) + 1000


@contextmanager
def never_opened(path):
    """Inside, nobody opens `path`, as the kernel sees it."""
    if sys.platform != "linux":
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    in_open = 0x20
    try:
        assert libc.inotify_add_watch(watch, os.fsencode(path), in_open) >= 0
        with pytest.raises(BlockingIOError):
            os.read(watch, 4096)
        yield
        with pytest.raises(BlockingIOError):
            os.read(watch, 4096)
    finally:
        os.close(watch)


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret" / "secret.h5"
    path.parent.mkdir()
    with h5py.File(path, "w") as file:
        file["ch1"] = file["mov"] = SECRET
    return path


def external_link(file, secret):
    file["mov"] = h5py.ExternalLink(str(secret), "/mov")


def relative_link(file, secret):
    file["mov"] = h5py.ExternalLink("secret/secret.h5", "/mov")


def link_of_a_group(file, secret):
    file["group"] = h5py.ExternalLink(str(secret), "/")


def soft_link_to_an_external_one(file, secret):
    file["hidden/x"] = h5py.ExternalLink(str(secret), "/mov")
    file["mov"] = h5py.SoftLink("/hidden/x")


def virtual(file, secret):
    layout = h5py.VirtualLayout(SECRET.shape, "u2")
    layout[...] = h5py.VirtualSource(str(secret), "mov", SECRET.shape)
    file.create_virtual_dataset("mov", layout)


def external_storage(file, secret):
    size = SECRET.nbytes
    file.create_dataset("mov", SECRET.shape, "u2", external=[(str(secret), secret.stat().st_size - size, size)])


DANGERS = (
    external_link,
    relative_link,
    link_of_a_group,
    soft_link_to_an_external_one,
    virtual,
    external_storage,
)


@pytest.mark.parametrize("danger", DANGERS)
def test_nothing_outside_is_read(tmp_path, secret, danger):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        danger(file, secret)
    with never_opened(secret):
        for options in (
            {},
            {"dataset": "mov"},
            {"dataset": "hidden/x"},
            {"dataset": "group/mov"},
            {"damaged": "report"},
        ):
            with pytest.raises(GalvoError) as caught:
                galvo.open(path, **options)
            if not options:
                assert isinstance(caught.value, UnsafeContent)
                assert "allow_external" in str(caught.value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = "group/mov" if danger is link_of_a_group else None
        with galvo.open(path, allow_external=True, dataset=name) as rec:
            assert rec.shape == (7, 1, 1, 6, 5)
            if danger is not external_storage:
                np.testing.assert_array_equal(rec[:, 0, 0], SECRET)
            else:
                rec[...]


@pytest.mark.parametrize("danger", DANGERS)
def test_one_danger_is_enough(tmp_path, secret, danger):
    # beside an innocent movie, and named or not
    path = tmp_path / "a.h5"
    pixels = np.ones((3, 4, 5), "u1")
    with h5py.File(path, "w") as file:
        danger(file, secret)
        file["good"] = pixels
    with never_opened(secret):
        with pytest.raises(UnsafeContent):
            galvo.open(path)
        with galvo.open(path, dataset="good", axes="TYX") as rec:
            np.testing.assert_array_equal(rec[:, 0, 0], pixels)


@pytest.mark.parametrize("danger", [external_link, virtual, external_storage])
def test_what_is_absent_outside_is_not_made_up(tmp_path, secret, danger):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        danger(file, secret)
    secret.write_bytes(secret.read_bytes()[:-50])
    if danger is external_storage:
        with galvo.open(path, allow_external=True, axes="TYX") as rec, pytest.raises(DamagedData, match="too short"):
            rec[...]
    secret.unlink()
    with pytest.raises(UnsafeContent):
        galvo.open(path)
    with pytest.raises(GalvoError), galvo.open(path, allow_external=True, axes="TYX") as rec:
        rec[...]


def test_virtual_over_itself(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["raw"] = SECRET
        layout = h5py.VirtualLayout(SECRET.shape, "u2")
        layout[...] = h5py.VirtualSource(file["raw"])
        file.create_virtual_dataset("mov", layout)
    with pytest.raises(UnsafeContent):
        galvo.open(path)
    with galvo.open(path, allow_external=True, axes="TYX") as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], SECRET)


def quick(path, *kinds, **options):
    start = time.perf_counter()
    with pytest.raises(kinds) as caught:
        galvo.open(path, **options)
    assert time.perf_counter() - start < 10
    return caught.value


def test_loops(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("a/b/c")
        group["up"] = file["a"]
        group["root"] = file["/"]
        group["soft"] = h5py.SoftLink("/a/b/c/soft")
        file["one"], file["two"] = h5py.SoftLink("/two"), h5py.SoftLink("/one")
        file["self"] = h5py.SoftLink("/a/b/c/up/b/c/up/b/c")
    quick(path, FormatError)
    with h5py.File(path, "a") as file:
        file["a/b/c/mov"] = SECRET
    with galvo.open(path, axes="TYX") as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], SECRET)


def test_deep_nesting(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        group = file
        for _ in range(10_000):
            group = group.create_group("g")
        group["mov"] = SECRET
    quick(path, LimitExceeded)


def test_very_many_objects(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        target = file.create_group("g")
        for number in range(200_000 if os.environ.get("GALVO_HARDEN") else 100_050):
            target.id.links.create_soft(b"%d" % number, b"/")
    quick(path, LimitExceeded)


# ---- a group /galvo that lies ---------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.h5"
    pixels = np.random.default_rng(0).integers(0, 999, (6, 2, 3, 5, 4)).astype("u2")

    class Facts:
        def read(self, t, c, z):
            return {"timestamp_s": t / 7.0}

    metadata = Metadata(
        format="array",
        channel_names=("a", "b"),
        frame_rate_hz=7.0,
        pixel_size_um=(1.0, 2.0),
        z_um=(1.0, 2.0, 3.0),
        start_time="2020-01-01T00:00:00",
        texts={"header": "SI.x = 1"},
    )
    galvo.save(Recording(Recording.from_array(pixels)._reader, metadata, facts=Facts()), path)
    return path


def use(path):
    """Everything that a user asks of a file."""
    with galvo.open(path) as rec:
        repr(rec)
        rec[...]
        dict(rec.metadata.header)
        assert rec.timestamps is None or rec.timestamps.shape == (6,)
        rec.frame_table()
    return galvo.verify(path)


def put(name, value, **options):
    def lie(file):
        if name in file:
            del file[name]
        if value is not None:
            file.create_dataset(name, data=value, **options) if not callable(value) else value(file, name)

    return lie


def utf8(text):
    return np.frombuffer(text.encode() if isinstance(text, str) else text, np.uint8)


def claimed(count, dtype="u1", **options):
    return lambda file, name: file.create_dataset(name, (count,), dtype, **options)


MEMBERS = (
    *("schema_version", "axes", "shape", "channel_names", "frame_rate_hz", "pixel_size_um", "z_um", "start_time"),
    *("source_format", "source_version", "attributes", "provenance", "texts/header", "frames/timestamp_s"),
    *("block_bounds", "block_crc32c", "metadata_crc32c"),
)
WRONG = {
    "missing": None,
    "scalar": 3,
    "two axes": np.zeros((2, 2), "u1"),
    "text": "text",
    "objects": np.array(["a", "b"], object),
    "compound": np.zeros(3, [("a", "i4"), ("b", "f8")]),
    "booleans": np.array([True]),
    "null": h5py.Empty("f4"),
    "a group": lambda file, name: file.create_group(name),
    "a group of groups": lambda file, name: file.create_group(f"{name}/b/c"),
    "10^12 bytes in chunks": claimed(10**12, chunks=(1 << 20,)),
    "10^12 numbers in chunks": claimed(10**12, "f8", chunks=(1 << 20,), compression="gzip"),
    "10^9 numbers": claimed(10**9, "i8"),
    "10^15 numbers": claimed(10**15, "u4"),
    "a soft link": lambda file, name: file.__setitem__(name, h5py.SoftLink("/ch1")),
    "a loop": lambda file, name: file.__setitem__(name, h5py.SoftLink(f"/{name}")),
    "a time": lambda file, name: h5py.h5d.create(
        file.id, name.encode(), h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((3,))
    ),
}


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("what", WRONG)
def test_a_member_that_is_something_else(own, member, what):
    with h5py.File(own, "a") as file:
        put(f"galvo/{member}", WRONG[what])(file)
    start = time.perf_counter()
    # a missing schema version makes it another program's file, whose axes are guessed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", galvo.errors.GalvoWarning)
        try:
            passes, named = use(own).ok, str(own)
        except GalvoError as error:
            passes, named = False, error.path
    assert named == str(own)
    assert not passes or (member, what) == ("schema_version", "missing")
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("kind", ["link", "virtual", "storage"])
def test_a_member_that_lies_outside(tmp_path, own, member, kind):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.full(8, 65, np.uint8)
    with h5py.File(own, "a") as file:
        name = f"galvo/{member}"
        old = file[name][...]
        del file[name]
        if kind == "link":
            file[name] = h5py.ExternalLink(str(secret), "/x")
        elif kind == "virtual":
            layout = h5py.VirtualLayout((8,), "u1")
            layout[...] = h5py.VirtualSource(str(secret), "x", (8,))
            file.create_virtual_dataset(name, layout)
        else:
            file.create_dataset(name, old.shape or (1,), old.dtype, external=[(str(secret), 0, max(1, old.nbytes))])
    with never_opened(secret), warnings.catch_warnings():
        warnings.simplefilter("ignore", galvo.errors.GalvoWarning)
        with suppress(GalvoError):
            assert not use(own).ok


def swap_types(file):
    pixels = file["ch2"][...]
    del file["ch2"]
    file["ch2"] = pixels.astype("i2")


LIES = {
    "another schema": (put("galvo/schema_version", np.array([2])), Unsupported),
    "two schemas": (put("galvo/schema_version", np.array([1, 1])), Unsupported),
    "a channel too few": (put("ch2", None), Malformed),
    "a channel too many": (put("galvo/datasets", utf8('["ch1", "ch2", "ch2"]')), Malformed),
    "a dataset that is none": (put("galvo/datasets", utf8('["ch1", "galvo"]')), Malformed),
    "datasets that are no list": (put("galvo/datasets", utf8('"ch1"')), Malformed),
    "no datasets": (put("galvo/datasets", utf8("[]")), Malformed),
    "other axes": (put("galvo/axes", utf8("TYXZ")), Malformed),
    "axes that are none": (put("galvo/axes", utf8("TZYY")), Malformed),
    "an axis that has no length": (put("galvo/axes", utf8("ZYX")), Malformed),
    "another shape": (put("galvo/shape", np.array([6, 2, 3, 4, 5])), Malformed),
    "a shape of four": (put("galvo/shape", np.array([6, 2, 3, 4])), Malformed),
    "a negative shape": (put("galvo/shape", np.array([6, -2, 3, 5, 4])), Malformed),
    "another type of one channel": (swap_types, Malformed),
    "a channel of text": (put("ch1", np.full((6, 3, 5, 4), b"x")), Malformed),
    "channels elsewhere": (put("ch1", lambda f, name: f.__setitem__(name, h5py.ExternalLink("x.h5", "/x"))), Malformed),
    "a name too many": (put("galvo/channel_names", utf8('["a", "b", "c"]')), Malformed),
    "names that are no list": (put("galvo/channel_names", utf8('{"a": 1}')), Malformed),
    "attributes that are no mapping": (put("galvo/attributes", utf8("[1]")), Malformed),
    "a depth too few": (put("galvo/z_um", np.array([1.0, 2.0])), Malformed),
    "two rates": (put("galvo/frame_rate_hz", np.array([1.0, 2.0])), Malformed),
    "three pixel sizes": (put("galvo/pixel_size_um", np.ones(3)), Malformed),
    "no UTF-8": (put("galvo/start_time", utf8(b"\xff\xfe")), Malformed),
    "no UTF-8 in JSON": (put("galvo/attributes", utf8(b'{"a": "\xff"}')), Malformed),
    "no JSON": (put("galvo/attributes", utf8("{")), Malformed),
    "nothing": (put("galvo/attributes", utf8("")), Malformed),
    "a JSON bomb": (put("galvo/attributes", utf8("[" * 100_000)), Malformed),
    "a JSON bomb of mappings": (put("galvo/provenance", utf8('{"a":' * 100_000)), Malformed),
    "a JSON number of 10^6 digits": (put("galvo/attributes", utf8('{"a": ' + "9" * 10**6 + "}")), Malformed),
    "a row too few": (put("galvo/frames/timestamp_s", np.zeros(35)), Malformed),
    "a column of positions": (put("galvo/frames/t", np.zeros(36)), Malformed),
    "5,000 texts": (lambda file: [put(f"galvo/texts/{n}", utf8("x"))(file) for n in range(5000)], LimitExceeded),
    "a checksum too few": (put("galvo/block_crc32c", np.zeros(0, "u4")), Malformed),
    "a checksum too many": (put("galvo/block_crc32c", np.zeros(2, "u4")), Malformed),
    "no blocks": (
        lambda file: [
            put("galvo/block_crc32c", np.zeros(0, "u4"))(file),
            put("galvo/block_bounds", np.zeros(0, "i8"))(file),
        ],
        Malformed,
    ),
    "blocks outside": (put("galvo/block_bounds", np.array([0, 7, 0, 2, 0, 3, 0, 5, 0, 4])), Malformed),
    "blocks of nothing": (put("galvo/block_bounds", np.array([3, 3, 0, 2, 0, 3, 0, 5, 0, 4])), Malformed),
    "negative blocks": (put("galvo/block_bounds", np.array([-6, 0, 0, 2, 0, 3, 0, 5, 0, 4])), Malformed),
    "a part of the blocks": (put("galvo/block_bounds", np.array([0, 5, 0, 2, 0, 3, 0, 5, 0, 4])), Malformed),
    "blocks of fractions": (put("galvo/block_bounds", np.arange(10.0)), Malformed),
    "an unwritten channel of 10^12 pixels": (
        lambda file: [
            put("ch1", None)(file),
            put("ch2", None)(file),
            file.create_dataset("ch1", (10**9, 10, 100), "u2", chunks=(1, 10, 100)),
            put("galvo/shape", np.array([10**9, 1, 1, 10, 100]))(file),
            put("galvo/datasets", utf8('["ch1"]'))(file),
            put("galvo/axes", utf8("TYX"))(file),
            put("galvo/channel_names", utf8("[]"))(file),
            put("galvo/z_um", np.array([]))(file),
        ],
        LimitExceeded,
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_lies(own, name):
    lie, kinds = LIES[name]
    with h5py.File(own, "a") as file:
        lie(file)
    start = time.perf_counter()
    with pytest.raises(kinds) as caught:
        use(own)
    assert caught.value.path == str(own)
    assert time.perf_counter() - start < 5


def test_a_group_of_another_program(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["galvo/ch1"] = SECRET
    with galvo.open(tmp_path / "a.h5", axes="TYX") as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], SECRET)
        assert rec.checksums is None


def test_nested_json_within_bounds_is_kept(tmp_path):
    value: list = []
    for _ in range(200):
        value = [value]
    metadata = Metadata(format="array", attributes={"deep": value})
    galvo.save(Recording.from_array(np.zeros((2, 3, 4), "u1"), metadata=metadata), tmp_path / "a.h5")
    with galvo.open(tmp_path / "a.h5") as rec:
        assert rec.metadata.attributes["deep"] == value


@pytest.mark.parametrize("name", ["a.h5", "b.h5"])
def test_no_file_and_no_regular_file(tmp_path, name):
    if name == "b.h5":
        (tmp_path / name).mkdir()
    with pytest.raises(GalvoError):
        galvo.open(tmp_path / name)
    with pytest.raises(GalvoError):
        galvo.open(tmp_path / name, format="hdf5")
