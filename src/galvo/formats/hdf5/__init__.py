"""HDF5 recordings: galvo's own, PyFlowReg's, CaImAn's, and plain datasets.

What galvo writes::

    /ch1 .. /chN      (T, Y, X), or (T, Z, Y, X) for volumes; chunks of whole frames; Fletcher-32 on every chunk.
                      Other layouts on request: /mov (T, Y, X); /data (T, C, Z, Y, X); (Y, X, T); other names
    file attributes   format, dataset_names, dimension_ordering, frame_count, height, width, n_channels
    /galvo            1-D datasets: schema_version axes datasets shape channel_names frame_rate_hz pixel_size_um z_um
                      start_time source_format source_version texts/* frames/* attributes provenance block_bounds
                      block_crc32c metadata_crc32c

The datasets and attributes are those of PyFlowReg's HDF5 files (pyflowreg spec 2.3), so its readers, CaImAn's and any
HDF5 program see plain movies. `/galvo` keeps what they have no place for: datasets, because an attribute holds at most
64 KiB.

`discovery` decides which datasets are the recording, `guard` refuses those that reach outside the file, `chunks` takes
the chunk table once so that pixels are read without libhdf5, `library` reads the layouts that this cannot serve,
`schema` is the group `/galvo`, `sink` writes.
"""

from __future__ import annotations

from galvo.core.detect import Probe
from galvo.core.registry import Format, deferred

__all__ = ["FORMAT"]

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def _detect(probe: Probe) -> bool:
    # HDF5 file format specification III.A: the superblock is at 0, 512, 1024, 2048, ...
    if probe.head.startswith(_SIGNATURE):
        return True
    return any(probe.read(1 << power, 8) == _SIGNATURE for power in range(9, 16) if probe.size > 1 << power)


FORMAT = Format(
    name="hdf5",
    title="HDF5 movies: /ch1../chN, /mov, plain datasets",
    suffixes=(".h5", ".hdf5", ".hdf"),
    detect=_detect,
    open=deferred("galvo.formats.hdf5.reader:open_hdf5"),
    sink=deferred("galvo.formats.hdf5.sink:Hdf5Sink"),
    options=("dataset", "axes", "allow_external"),
    write_options=(
        "layout",
        "compression",
        "compression_level",
        "compression_opts",
        "chunk_size",
        "dataset_names",
        "dimension_ordering",
        "fletcher32",
    ),
)
