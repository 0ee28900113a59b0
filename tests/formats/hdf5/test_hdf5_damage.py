"""Flipped bits, changed and missing bytes: found, refused, or without any effect; never a crash, never other pixels."""

from __future__ import annotations

import subprocess
import sys
import warnings
from contextlib import suppress

import h5py
import numpy as np
import pytest

import galvo
from galvo.core.metadata import LeftOut, Metadata
from galvo.core.recording import Recording
from galvo.errors import GalvoError, GalvoWarning
from galvo.limits import Limits
from galvo.testing.faults import bounded, cuts, mutations

LIMITS = Limits(frame_bytes=16 << 20, page_count=200_000, text_bytes=16 << 20, chunk_bytes=16 << 20)


class Facts:
    def read(self, t, c, z):
        return {"timestamp_s": t / 7.0, "frame_number": t + 1}


def own(path, pixels=None, **options):
    """A small file with everything in it."""
    if pixels is None:
        pixels = np.random.default_rng(0).integers(0, 999, (5, 2, 1, 9, 8)).astype("<u2")
    metadata = Metadata(
        format="array",
        version="1",
        channel_names=("green", "red"),
        frame_rate_hz=7.0,
        pixel_size_um=(1.0, 2.0),
        z_um=(3.0,),
        start_time="2020-01-01T00:00:00",
        texts={"header": "SI.x = 1\n"},
        attributes={"a": 1},
    )
    source = Recording.from_array(pixels)
    left_out = [LeftOut("flyback", 3, "the mirror returns")]
    galvo.save(Recording(source._reader, metadata, facts=Facts(), left_out=left_out), path, overwrite=True, **options)
    return path


def content_of(path):
    """All that galvo says of a file, comparable."""
    with galvo.open(path, limits=LIMITS) as rec:
        meta, table = rec.metadata, rec.frame_table()
        facts = (meta.version, meta.channel_names, meta.frame_rate_hz, meta.pixel_size_um, meta.z_um, meta.start_time)
        texts = (dict(meta.texts), dict(meta.attributes), rec.left_out, table.dtype.descr, table.tobytes())
        return rec.shape, rec.dtype, rec[...].tobytes(), facts, texts


def outcome(path, seconds=10):
    """The content and whether `verify` is content; or the galvo error."""

    def work():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                content = content_of(path)
                checked = galvo.verify(path, limits=LIMITS)
            except GalvoError as error:
                return error, False
            assert all(issubclass(one.category, GalvoWarning) for one in caught)
            return content, checked.ok and checked.method == "checksums"

    return bounded(work, seconds)


def protected(path):
    """Where the pixels and the group's data lie: (start, stop) of every piece."""
    pieces = []
    with h5py.File(path) as file:

        def note(name, item):
            if not isinstance(item, h5py.Dataset):
                return
            if item.chunks is None:
                if item.id.get_offset() is not None:
                    pieces.append((item.id.get_offset(), item.id.get_storage_size()))
            else:
                item.id.chunk_iter(lambda info: pieces.append((info.byte_offset, info.size)))

        file.visititems(note)
    return [(start, start + size) for start, size in pieces]


@pytest.fixture(
    params=[{}, {"fletcher32": False}, pytest.param({"compression": "gzip"}, marks=pytest.mark.harden)], ids=str
)
def options(request):
    return request.param


def flip_all(path, positions, whole):
    content = path.read_bytes()
    unnoticed = []
    with open(path, "r+b", buffering=0) as stream:
        for bit in positions:
            stream.seek(bit // 8)
            stream.write(bytes([content[bit // 8] ^ 1 << bit % 8]))
            found, passes = outcome(path)
            if passes and (isinstance(found, GalvoError) or found != whole):
                unnoticed.append((bit, found))
            elif passes:
                yield bit
            stream.seek(bit // 8)
            stream.write(content[bit // 8 : bit // 8 + 1])
    assert not unnoticed, f"changed the content, and verify did not notice: {unnoticed[:3]}"


def check_flips(path, bits, whole):
    inside = {byte for start, stop in protected(path) for byte in range(start, stop)}
    silent = list(flip_all(path, bits, whole))
    in_data = [bit for bit in silent if bit // 8 in inside]
    assert not in_data, f"bits of data that verify did not find: {in_data[:5]}"
    assert outcome(path)[1]


def test_flipped_bits(tmp_path, options):
    path = own(tmp_path / "a.h5", **options)
    whole = content_of(path)
    size = path.stat().st_size
    pieces = protected(path)
    rng = np.random.default_rng(0)
    # one bit of a sample of the data, and of everything between
    data = [byte for start, stop in pieces for byte in range(start, stop)]
    sample = rng.choice(data, 60, replace=False).tolist() + rng.integers(0, size, 160).tolist()
    check_flips(path, [8 * byte + int(rng.integers(8)) for byte in sample], whole)


def test_every_byte_of_data(tmp_path, options):
    path = own(tmp_path / "a.h5", pixels=np.arange(24, dtype="<u2").reshape(2, 2, 1, 3, 2), **options)
    content = path.read_bytes()
    rng = np.random.default_rng(1)
    unnoticed = []
    with open(path, "r+b", buffering=0) as stream:
        for byte in {byte for start, stop in protected(path) for byte in range(start, stop)}:
            stream.seek(byte)
            stream.write(bytes([content[byte] ^ 1 << int(rng.integers(8))]))
            with suppress(GalvoError):
                if galvo.verify(path).ok:
                    unnoticed.append(byte)
            stream.seek(byte)
            stream.write(content[byte : byte + 1])
    assert not unnoticed
    assert galvo.verify(path).ok


@pytest.mark.harden
def test_bits_all_over(tmp_path, options):
    path = own(tmp_path / "a.h5", **options)
    # 171 has no factor in common with 8: every position within a byte, and about every 21st byte
    check_flips(path, range(0, path.stat().st_size * 8, 171), content_of(path))


def check_damage(path, changed, whole):
    for place, content in changed:
        path.write_bytes(content)
        found, passes = outcome(path)
        if isinstance(found, GalvoError):
            continue
        assert found == whole or not passes, f"{place}: other content, and verify is content"


def mutated(tmp_path, options, count, seed):
    path = own(tmp_path / "a.h5", **options)
    whole, content = content_of(path), path.read_bytes()
    edges = [edge for piece in protected(path) for edge in piece]
    changes = ((repr(one), one.apply(content)) for one in mutations(content, count, seed, [8, 48, *edges]))
    check_damage(path, changes, whole)


def truncated(tmp_path, options, count):
    path = own(tmp_path / "a.h5", **options)
    content = path.read_bytes()
    edges = [edge for piece in protected(path) for edge in piece]
    for size in cuts(content, count, 0, edges[:: max(1, len(edges) // 20)]):
        path.write_bytes(content[:size])
        assert isinstance(outcome(path)[0], GalvoError), f"cut to {size} of {len(content)}"


def test_mutations(tmp_path, options):
    mutated(tmp_path, options, 170, seed=0)


def test_truncations(tmp_path, options):
    truncated(tmp_path, options, 70)


@pytest.mark.harden
def test_many_mutations(tmp_path, options):
    mutated(tmp_path, options, 700, seed=1)


@pytest.mark.harden
def test_many_truncations(tmp_path, options):
    truncated(tmp_path, options, 400)


@pytest.mark.parametrize("offset", [0, 6, 11, 20])
def test_a_damaged_chunk_tree_is_no_crash(tmp_path, offset):
    # libhdf5 2.0 crashes in H5Oget_info of such a dataset; in a process of its own, lest it takes the others along
    path = tmp_path / "a.h5"
    pixels = np.arange(9 * 7 * 6, dtype="u2").reshape(9, 7, 6)
    with h5py.File(path, "w", libver="latest") as file:
        for name in ("ch1", "ch2"):
            file.create_dataset(name, data=pixels, chunks=(2, 4, 6), maxshape=(None, None, 6))
    content = bytearray(path.read_bytes())
    content[content.index(b"BTHD\0\x0a") + offset] ^= 4
    path.write_bytes(content)
    code = """
import sys
sys.path[:0] = eval(sys.argv[2])
import galvo
try:
    galvo.open(sys.argv[1], axes="TYX")[...]
except galvo.errors.FormatError:
    print("refused")
"""
    command = [sys.executable, "-c", code, str(path), repr(sys.path)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, b"refused"), done.stderr.decode()


# ---- what verify says -----------------------------------------------------------------------------------------------


def test_verify_says_where(tmp_path):
    path = tmp_path / "a.h5"
    pixels = np.random.default_rng(0).integers(0, 999, (20, 2, 1, 64, 64)).astype("u2")
    galvo.save(pixels, path, block_bytes=pixels[:8].nbytes)
    with h5py.File(path) as file:
        place = file["ch2"].id.get_chunk_info_by_coord((16, 0, 0)).byte_offset
        names = file["galvo/provenance"].id.get_offset()
    content = bytearray(path.read_bytes())
    content[place + 100] ^= 4
    content[names + 3] ^= 1
    path.write_bytes(content)
    result = galvo.verify(path)
    assert not result.ok
    assert result.method == "checksums"
    assert result.frame_count == 40
    first, second = result.differences
    assert "/galvo" in first
    assert "metadata" in first
    assert "frames 16 to 19" in second
    assert "Fletcher-32" in second


def test_verify_without_chunk_checksums_says_where(tmp_path):
    path = tmp_path / "a.h5"
    pixels = np.random.default_rng(0).integers(0, 999, (20, 1, 1, 64, 64)).astype("u2")
    galvo.save(pixels, path, fletcher32=False, block_bytes=pixels[:8].nbytes)
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        content[file["ch1"].id.get_chunk_info_by_coord((8, 0, 0)).byte_offset] ^= 1
    path.write_bytes(content)
    (difference,) = galvo.verify(path).differences
    assert difference == "frames 8 to 15: the checksum does not match"


def test_verify_against_another(tmp_path):
    one, other = tmp_path / "a.h5", tmp_path / "b.h5"
    pixels = np.random.default_rng(0).integers(0, 999, (20, 2, 3, 16, 16)).astype("u2")
    source = galvo.open(pixels, axes="TCZYX", metadata=Metadata(format="array", frame_rate_hz=30.0))
    galvo.save(source, one)
    galvo.save(source, other, compression="gzip")
    result = galvo.verify(one, other)
    assert result.ok
    assert (result.method, result.frame_count) == ("compared", 120)
    changed = pixels.copy()
    changed[3, 1, 2, 5, 5] += 1
    changed[9, 0, 0] += 1
    metadata = Metadata(format="array", frame_rate_hz=15.0, channel_names=("a", "b"), texts={"header": "x"})
    galvo.save(galvo.open(changed, axes="TCZYX", metadata=metadata), other, overwrite=True)
    for block_bytes in (1 << 26, 1000):
        differences = galvo.verify(one, other, block_bytes=block_bytes).differences
        text = "\n".join(differences)
        assert "frame_rate_hz: 30.0 against 15.0" in text
        assert "channel_names: () against ('a', 'b')" in text
        assert "header text differs" in text
        assert "first at t=3, c=1, z=2" in text
    for odd in (pixels[:19], pixels.astype("i4")):
        galvo.save(odd, other, overwrite=True)
        first = galvo.verify(one, other).differences[0]
        assert "pixels were not compared" in first
        assert str(odd.shape) in first
        assert str(odd.dtype) in first


def test_foreign_files_have_nothing_to_verify_by(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("mov", data=np.arange(210, dtype="u2").reshape(7, 6, 5), chunks=(1, 6, 5), fletcher32=True)
        place = file["mov"].id.get_chunk_info(4).byte_offset
    result = galvo.verify(path, axes="TYX")
    assert (result.ok, result.method) == (True, "read")
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    (difference,) = galvo.verify(path, axes="TYX").differences
    assert "Fletcher-32" in difference
