"""Fletcher-32 against the definition, word by word, and against what HDF5 stores behind a chunk."""

import io

import h5py
import numpy as np
import pytest

from galvo import native


def by_definition(data: bytes) -> int:
    first = second = 0
    for at in range(0, len(data), 2):
        first += int.from_bytes(data[at : at + 2].ljust(2, b"\0"), "big")
        second += first
    # carries are folded back, which makes zero only of zero
    first, second = ((total - 1) % 65535 + 1 if total else 0 for total in (first, second))
    return second << 16 | first


CONTENTS = {
    "noise": np.random.default_rng(1).integers(0, 256, 100_003, dtype=np.uint8),
    "zeros": np.zeros(50_000, np.uint8),
    "ones": np.full(50_000, 255, np.uint8),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_every_short_length_and_around_the_longest_run(name: str) -> None:
    data = CONTENTS[name]
    longest_run = 360 * 64
    around = [longest_run * count + extra for count in (1, 2) for extra in (-65, -1, 0, 1, 63, 64, 65)]
    for size in [*range(200), *around, len(data)]:
        part = data[:size]
        assert native.fletcher32(part) == by_definition(part.tobytes())


@pytest.mark.parametrize("name", CONTENTS)
def test_as_hdf5_stores_it(name: str) -> None:
    with h5py.File(io.BytesIO(), "w") as file:
        for size in (1, 2, 63, 64, 65, 719, 720, 721, 23_041, len(CONTENTS[name])):
            part = CONTENTS[name][:size]
            dataset = file.create_dataset(str(size), data=part, chunks=part.shape, fletcher32=True)
            file.flush()
            _, stored = dataset.id.read_direct_chunk((0,))
            assert stored == bytes(memoryview(native.append_fletcher32(part)))


def test_one_byte_that_is_not_zero() -> None:
    for at in (0, 1, 63, 64, 9_998, 9_999):
        data = bytearray(10_000)
        data[at] = 1
        assert native.fletcher32(data) == by_definition(bytes(data)) != 0


def test_appended_behind_a_copy() -> None:
    for size in (0, 1, 2, 63, 64, 65, 23_040, 100_003):
        data = CONTENTS["noise"][:size]
        expected = data.tobytes() + by_definition(data.tobytes()).to_bytes(4, "little")
        assert bytes(memoryview(native.append_fletcher32(data))) == expected
