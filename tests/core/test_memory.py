"""Arrays in recycled memory: like any others, never two in one place, and nothing kept behind the `with`."""

import gc
import multiprocessing
import os
import pickle
import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galvo import native
from galvo.core.memory import empty, recycling

MIB = 1 << 20


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    assert (native.recycled_bytes(), native.recycled_limit()) == (0, 0)
    yield
    gc.collect()
    assert (native.recycled_bytes(), native.recycled_limit()) == (0, 0)


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def test_an_array_like_any_other() -> None:
    with recycling(MIB):
        for shape, dtype in [((3, 5, 7), "u2"), ((0, 4), "f8"), ((100, 300), "c16"), ((), "i1")]:
            array = empty(shape, np.dtype(dtype))
            assert array.shape == shape
            assert array.dtype == dtype
            assert array.flags.c_contiguous
            assert array.flags.writeable
            assert array.flags.aligned
            assert address(array) % 64 == 0
            array[...] = 1
            again = pickle.loads(pickle.dumps(array))
            assert np.array_equal(again, array)
            copy = array.copy()
            assert copy.base is None
            assert not np.shares_memory(copy, array)


def test_memory_returns_with_the_last_array_in_it() -> None:
    with recycling(4 * MIB):
        array = empty((MIB,), np.dtype("u1"))
        place, row = address(array), array[100:200].reshape(10, 10)
        del array
        assert native.recycled_bytes() == 0
        assert address(empty((MIB,), np.dtype("u1"))) != place
        del row
        assert native.recycled_bytes() >= MIB
        assert address(empty((MIB // 2,), np.dtype("u2"))) == place
        native.clear_recycled()
        assert native.recycled_bytes() == 0


def test_no_more_is_kept_than_was_in_use_or_than_the_limit() -> None:
    with recycling(8 * MIB):
        for mebibytes in (1, 2, 3, 1, 2, 3):
            empty((mebibytes, MIB), np.dtype("u1"))
            assert native.recycled_bytes() <= 3 * MIB
        arrays = [empty((MIB,), np.dtype("u1")) for _ in range(20)]
        del arrays
        assert native.recycled_bytes() == 8 * MIB
        with recycling(MIB):
            empty((9, MIB), np.dtype("u1"))
            assert native.recycled_bytes() == 9 * MIB
        assert native.recycled_bytes() <= 8 * MIB
        large = empty((9, MIB), np.dtype("u1"))
        assert large.flags.owndata


def test_what_outlives_the_with_is_given_back_to_the_system() -> None:
    with recycling(MIB):
        array = empty((MIB,), np.dtype("u1"))
    array[...] = 3
    assert array.sum() == 3 * MIB
    del array
    assert native.recycled_bytes() == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60))
@settings(deadline=None, max_examples=50)
def test_no_two_living_arrays_share_memory(steps: list[tuple[bool, int]]) -> None:
    with recycling(MIB):
        living: list[tuple[np.ndarray, int]] = []
        for number, (dies, which) in enumerate(steps):
            if dies and living:
                living.pop(which % len(living))
            else:
                # sizes that are recycled for each other, too
                array = empty(([10, 65_536, 69_000, 69_632, 200_000, 400_000][which],), np.dtype("u1"))
                array[...] = number
                living.append((array, number))
            spans = sorted((address(array), address(array) + array.nbytes) for array, _ in living)
            assert all(stop <= start for (_, stop), (start, _) in pairwise(spans))
            assert all((array == content).all() for array, content in living)


def test_arrays_of_many_threads_that_die_in_others() -> None:
    failures: list[str] = []

    def work(number: int, mine: list[np.ndarray], others: list[np.ndarray]) -> None:
        for _ in range(300):
            array = empty((20_000,), np.dtype("i8"))
            array[...] = number
            mine.append(array)
            if (array != number).any():
                failures.append("an array changed under its thread")
            if len(others) > 2:
                others.pop()

    with recycling(4 * MIB):
        heaps: list[list[np.ndarray]] = [[] for _ in range(4)]
        threads = [threading.Thread(target=work, args=(n, heaps[n], heaps[n - 1])) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert all((array == number).all() for number, heap in enumerate(heaps) for array in heap)


def in_child(array: np.ndarray) -> None:
    fresh = empty(array.shape, array.dtype)
    fresh[...] = 9
    os._exit(0 if (array == 5).all() and not np.shares_memory(fresh, array) else 1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_goes_on() -> None:
    with recycling(4 * MIB):
        array = empty((MIB,), np.dtype("u1"))
        array[...] = 5
        empty((MIB,), np.dtype("u1"))
        child = multiprocessing.get_context("fork").Process(target=in_child, args=(array,))
        child.start()
        child.join(20)
        assert child.exitcode == 0
        assert (array == 5).all()


def test_impossible_sizes() -> None:
    with pytest.raises(ValueError, match="negative"):
        native.Memory(-1)
    with pytest.raises(MemoryError):
        native.Memory((1 << 63) - 1)
