"""The file of a motion, HDF5: what is applied to every frame, how good it is, and what it was estimated with.

| dataset | what |
|---|---|
| /motion/frames | (T, Z) compound: shift (x, y) float32 in pixels, the numbers of `QUALITY` float32, flags uint32 |
| /motion/rest | (T, Z, h, w, 2) float16: what the shift leaves of the solver field, x before y |
| /motion/references | (E, Z, Y, X, C) float32: of the recording, or of each of its parts |
| /motion/means | (2, Z, Y, X, C) float32: mean of up to 256 frames before and after |
| /motion/facts | UTF-8 JSON: schema_version, expansion, params, provenance, learned, part_frames |
| /motion/calibration/0 ... | bytes of the calibration of each part and plane |
| /motion/content_crc32c | CRC-32C of facts, references, means and calibrations, in this order |
| /motion/block_bounds, block_crc32c | T and Z where each block starts and stops, and the CRC-32C of its records |
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.blocks import BlockIndex
from galvo.core.checksum import block_checksum
from galvo.core.output import Outlet
from galvo.core.recording import Recording
from galvo.core.selection import Indices
from galvo.core.sink import FileSink, WritePlan
from galvo.errors import DamagedData, GalvoError, Malformed, Unsupported
from galvo.formats.hdf5.access import opened, written
from galvo.formats.hdf5.guard import contained
from galvo.formats.hdf5.schema import create_subgroup
from galvo.limits import DEFAULT_LIMITS, Limits
from galvo.motion.expansion import expansion_from_json, expansion_to_json
from galvo.motion.kept import Motion, MotionFacts, frame_dtype, kept_dtype

__all__ = ["MotionSink", "holds_motion", "open_motion", "verify_motion"]

GROUP = "motion"
SCHEMA_VERSION = 1
_CHUNK_BYTES = 64 << 10
_AHEAD_BYTES = 256 << 10
_FACTS: dict[str, Any] = {"params": {}, "provenance": {}, "learned": []}


class MotionSink(FileSink):
    """Writes records (T, 1, Z, 1, 1) of `kept_dtype` and the facts that go with them.

    Parameters
    ----------
    facts : MotionFacts
    means : callable
        Mean images float32 (2, Z, Y, X, C) of a motion.
    """

    compresses = False
    block_order = "T(CZ)"

    def __init__(self, facts: MotionFacts, means: Callable[[Motion], NDArray[np.float32]]) -> None:
        self._facts = facts
        self._means = means

    def t_multiple(self, recording: Recording) -> int:
        """Frames that share a chunk."""
        return max(1, min(recording.shape[0], _CHUNK_BYTES // recording.dtype.itemsize))

    def estimate(self, plan: WritePlan) -> int:
        """Records, facts, and room for what surrounds them."""
        facts = self._facts
        together = self.t_multiple(plan.recording) * plan.recording.shape[2] * plan.recording.dtype.itemsize
        kept = 2 * facts.reference.nbytes + facts.references.nbytes + sum(map(len, facts.calibrations))
        return plan.recording.nbytes + together + kept + (1 << 20)

    def prepare(self, plan: WritePlan) -> None:
        """Settle the geometry of the chunks."""
        self._plan = plan
        self._multiple = self.t_multiple(plan.recording)

    def begin(self, output: Outlet) -> None:
        """Write the facts and lay out the records."""
        self._output = output
        facts = self._facts
        t, _, z = self._plan.recording.shape[:3]
        told = {
            "schema_version": SCHEMA_VERSION,
            "expansion": expansion_to_json(facts.expansion),
            "params": facts.params,
            "provenance": facts.provenance,
            "learned": facts.learned,
            "part_frames": facts.part_frames,
        }
        with written(output, "w") as file:
            group = create_subgroup(file, GROUP)
            group["facts"] = np.frombuffer(json.dumps(told, default=_plain).encode(), np.uint8)
            group["references"] = facts.references
            kept = create_subgroup(group, "calibration")
            for number, content in enumerate(facts.calibrations):
                kept[str(number)] = np.frombuffer(content, np.uint8)
            rest = kept_dtype(facts.expansion.solver_shape)["rest"].shape
            group.create_dataset("frames", (t, z), frame_dtype(), chunks=(self._multiple, 1), fletcher32=True)
            group.create_dataset("rest", (t, z, *rest), "<f2", chunks=(self._multiple, 1, *rest), fletcher32=True)

    def reopen(self, output: Outlet) -> None:
        """Go on with the records that are there."""
        self._output = output

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> NDArray[Any]:
        """The records (T, Z)."""
        return np.ascontiguousarray(block[:, 0, :, 0, 0])

    def put(self, index: BlockIndex, encoded: NDArray[Any]) -> None:
        """Write the records of a block."""
        t, _, z = index[:3]
        with written(self._output, "r+") as file:
            file[GROUP]["frames"][t, z] = encoded["frame"]
            file[GROUP]["rest"][t, z] = encoded["rest"]

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write the mean images and the checksums."""
        bounds = [[index[axis].start, index[axis].stop] for index in self._plan.blocks for axis in (0, 2)]
        with written(self._output, "r+") as file:
            frames, rest = file[GROUP]["frames"][...], file[GROUP]["rest"]
            file[GROUP]["means"] = self._means(Motion(frames, _OpenRests(rest), self._facts))
            file[GROUP]["content_crc32c"] = np.array([_content_checksum(file[GROUP])], np.uint32)
            file[GROUP]["block_bounds"] = np.array(bounds, np.int64).reshape(-1, 4)
            file[GROUP]["block_crc32c"] = checksums


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return str(value)


@dataclass(frozen=True)
class _OpenRests:
    """Rests in a file that is open."""

    dataset: Any

    def read(self, t: Indices, z: int) -> NDArray[np.float16]:
        """(T, h, w, 2) of the frames at times `t` of plane `z`."""
        positions = np.asarray(t, np.int64)
        found = np.empty((positions.size, *self.dataset.shape[2:]), np.float16)
        # in runs: what lies between frames far from each other is never held
        for run in np.split(np.arange(positions.size), np.flatnonzero(np.diff(positions) != 1) + 1):
            if run.size:
                found[run] = self.dataset[int(positions[run[0]]) : int(positions[run[-1]]) + 1, z]
        return found


class _StoredRests:
    """Rests in a file, opened for each read so that no library state crosses a fork; some are read ahead."""

    def __init__(self, path: str) -> None:
        self._path = path
        # plane, first time, rests: replaced as a whole, so that threads need no lock
        self._ahead: tuple[int, int, NDArray[np.float16]] | None = None

    def read(self, t: Indices, z: int) -> NDArray[np.float16]:
        """(T, h, w, 2) of the frames at times `t` of plane `z`."""
        positions = np.asarray(t, np.int64)
        if not positions.size or (np.diff(positions) != 1).any():
            with opened(self._path) as file:
                return _OpenRests(file[GROUP]["rest"]).read(positions, z)
        start, stop = int(positions[0]), int(positions[-1]) + 1
        ahead = self._ahead
        if ahead is None or ahead[0] != z or start < ahead[1] or stop > ahead[1] + len(ahead[2]):
            with opened(self._path) as file:
                dataset = file[GROUP]["rest"]
                most = _AHEAD_BYTES // (int(np.prod(dataset.shape[2:])) * dataset.dtype.itemsize)
                ahead = (z, start, dataset[start : max(stop, min(start + most, len(dataset))), z])
            self._ahead = ahead
        return np.asarray(ahead[2][start - ahead[1] : stop - ahead[1]])


def holds_motion(path: str) -> bool:
    """Whether a file is HDF5 with a motion in it, whole or not."""
    try:
        with opened(path) as file:
            return isinstance(contained(file, GROUP), h5py.Group) and "facts" in file[GROUP]
    except GalvoError:
        return False


def open_motion(path: str, *, limits: Limits = DEFAULT_LIMITS) -> Motion:
    """The motion that a file holds; its rests are read when they are needed.

    Raises
    ------
    Malformed
        It is no file of a motion, or parts are missing.
    Unsupported
        A later galvo wrote it.
    """
    with opened(path) as file:
        group = contained(file, GROUP)
        if not isinstance(group, h5py.Group):
            raise Malformed("this is no file of a motion", path=path, expected="/motion, as galvo correct writes it")
        told = _told(_dataset(group, "facts", 1, path, limits), path)
        references = _dataset(group, "references", 5, path, limits)
        part_frames = told.get("part_frames")
        frames, rest = (_rows(group, name, path, limits) for name in ("frames", "rest"))
        expansion = expansion_from_json(told.get("expansion"), references.shape[2:4], path)
        expected = (*frames.shape, *expansion.solver_shape, 2)
        if frames.dtype != frame_dtype() or rest.shape != expected or rest.dtype != np.float16:
            raise Malformed("/motion/rest does not fit /motion/frames", path=path, found=rest.shape, expected=expected)
        if frames.shape[1] != references.shape[1] or not len(references):
            raise Malformed("there is another number of references than planes", path=path, found=references.shape)
        if not isinstance(part_frames, int) or part_frames < (len(references) > 1):
            raise Malformed("the length of the parts is no number of frames", path=path, found=part_frames)
        params, provenance, learned = (told.get(name) or empty for name, empty in _FACTS.items())
        if not (isinstance(params, dict) and isinstance(provenance, dict) and isinstance(learned, list)):
            raise Malformed("/motion/facts has values of another kind", path=path, expected="mappings and a list")
        facts = MotionFacts(
            expansion=expansion,
            references=np.asarray(references, np.float32),
            params=params,
            provenance=provenance,
            learned=tuple(entry for entry in learned if isinstance(entry, dict)),
            calibrations=_calibrations(group, path, limits),
            part_frames=part_frames,
        )
        means = np.asarray(_dataset(group, "means", 5, path, limits), np.float32)
        if means.shape != (2, *references.shape[1:]):
            raise Malformed("/motion/means does not fit /motion/references", path=path, found=means.shape)
        return Motion(np.asarray(frames[...]), _StoredRests(path), facts, means)


def verify_motion(path: str) -> int:
    """Number of blocks whose records have been found to be what was written.

    Raises
    ------
    DamagedData
        Records differ from their checksums.
    """
    motion = open_motion(path)
    with opened(path) as file:
        group = file[GROUP]
        if _content_checksum(group) != int(_dataset(group, "content_crc32c", 1, path, DEFAULT_LIMITS)[0]):
            raise DamagedData("facts, references, means or calibrations are not what was written", path=path)
        bounds = _dataset(group, "block_bounds", 2, path, DEFAULT_LIMITS)
        checksums = _dataset(group, "block_crc32c", 1, path, DEFAULT_LIMITS)
        if bounds.size != 4 * len(checksums):
            raise Malformed("/motion/block_bounds does not fit /motion/block_crc32c", path=path)
        count, planes = motion.shape[:2]
        covered = np.zeros((count, planes), np.int64)
        for (first, stop, z_first, z_stop), checksum in zip(bounds.tolist(), checksums.tolist(), strict=True):
            t, z = slice(first, stop), slice(z_first, z_stop)
            if not (0 <= first < stop <= count and 0 <= z_first < z_stop <= planes):
                raise DamagedData("the checksums are of frames that are not there", path=path, found=(t, z))
            covered[t, z] += 1
            records = np.empty(motion.frames[t, z].shape, kept_dtype(motion.facts.expansion.solver_shape))
            records["frame"], records["rest"] = motion.frames[t, z], group["rest"][t, z]
            if block_checksum(records) != checksum:
                raise DamagedData(f"frames {first} to {stop - 1} are not what was written", path=path)
        if not (covered == 1).all():
            raise DamagedData("the checksums are not of all frames", path=path)
    return len(bounds)


def _content_checksum(group: Any) -> int:
    """CRC-32C of all that is no record."""
    numbers = range(len(group["calibration"]))
    names = ["facts", "references", "means", *(f"calibration/{number}" for number in numbers)]
    crc = 0
    for name in names:
        crc = native.crc32c(group[name][...].tobytes(), crc)
    return crc


def _told(text: NDArray[Any], path: str) -> dict[str, Any]:
    try:
        told = json.loads(text.tobytes().decode())
    except (ValueError, RecursionError) as error:
        raise Malformed("/motion/facts is no JSON", path=path) from error
    if not isinstance(told, dict) or not isinstance(told.get("schema_version"), int):
        raise Malformed("/motion/facts has no schema_version", path=path)
    if told["schema_version"] > SCHEMA_VERSION:
        raise Unsupported(
            "a later galvo wrote this motion", path=path, found=told["schema_version"], expected=SCHEMA_VERSION
        )
    return told


def _dataset(group: Any, name: str, ndim: int, path: str, limits: Limits) -> NDArray[Any]:
    dataset = contained(group, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != ndim or dataset.dtype.kind not in "iuf":
        raise Malformed(f"/{GROUP}/{name} is missing or of another kind", path=path)
    limits.check("text_bytes", dataset.size * dataset.dtype.itemsize, path=path)
    if dataset.size * dataset.dtype.itemsize > dataset.id.get_storage_size():
        raise Malformed(f"/{GROUP}/{name} claims more than the file holds", path=path)
    return np.asarray(dataset[...])


def _rows(group: Any, name: str, path: str, limits: Limits) -> Any:
    """A dataset of records, whose bytes are in the file."""
    dataset = contained(group, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim < 2 or dataset.chunks is None:
        raise Malformed(f"/{GROUP}/{name} is missing or of another kind", path=path)
    limits.check("page_count", int(np.prod(dataset.shape[:2])), path=path)
    if dataset.size * dataset.dtype.itemsize > dataset.id.get_storage_size():
        raise Malformed(f"/{GROUP}/{name} claims more than the file holds", path=path)
    return dataset


def _calibrations(group: Any, path: str, limits: Limits) -> tuple[bytes, ...]:
    kept = contained(group, "calibration")
    if not isinstance(kept, h5py.Group):
        return ()
    return tuple(_dataset(kept, str(number), 1, path, limits).tobytes() for number in range(len(kept)))
