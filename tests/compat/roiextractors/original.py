"""Runs an extractor over files and keeps what it says: in the interpreter of the original, or in that of the tests.

    python original.py JOBS FOLDER

JOBS is JSON, a list of `{"file": path, "arguments": {...}}`; FOLDER gets ``<number>.npz`` and ``<number>.json`` of
each. Nothing of galvo is imported, so that the original is alone with the files.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path


def answers(extractor, file):
    """Facts and arrays of an open extractor."""
    kind = type(extractor)
    sample_count = extractor.get_num_samples()
    middle = sample_count // 2
    facts = {
        "sample_count": sample_count,
        "image_shape": list(extractor.get_image_shape()),
        "frame_shape": list(extractor.get_frame_shape()),
        "sample_shape": list(extractor.get_sample_shape()),
        "volume_shape": list(extractor.get_volume_shape()),
        "planes": extractor.get_num_planes(),
        "rate": float(extractor.get_sampling_frequency()),
        "dtype": str(extractor.get_dtype()),
        "volumetric": extractor.is_volumetric,
        "flyback": extractor.num_flyback_frames_per_channel,
        "channels": list(extractor.channel_names),
        "channel": extractor.channel_name,
        "file": Path(extractor.file_path).name,
        "files": [Path(path).name for path in extractor.file_paths],
        "pages": list(extractor._ifds_per_file),
        "page_count": extractor._num_frames_in_dataset,
        "frames_per_slice": extractor._frames_per_slice,
        "table": extractor._frames_to_ifd_table.tolist(),
        "text": repr(extractor),
        "available channels": list(kind.get_available_channel_names(file)),
        "available planes": kind.get_available_num_planes(file),
        "available frames per slice": kind.get_frames_per_slice(file),
        "version": extractor._general_metadata["version"],
        "roi": extractor._general_metadata["RoiGroups"],
        # empty matrices and doubled quotes are documented differences
        "metadata": {
            key: str(value)
            for key, value in extractor._metadata.items()
            if value not in ([], [[]]) and not key.endswith("UserFcnName")
        },
        "name": extractor.name,
        "had times": extractor.has_time_vector(),
    }
    arrays = {
        "series": extractor.get_series(),
        "one": extractor.get_series(middle, middle + 1),
        "none": extractor.get_series(1, 1),
        "samples": extractor.get_samples(list(range(sample_count))),
        "rectangle": extractor.slice_field_of_view(3, 9, 2, 7).slice_field_of_view(1, 4).get_series(0, middle),
        "range": extractor.slice_samples(0, sample_count).get_series(middle, sample_count),
        "native": extractor.get_native_timestamps(),
        "times": extractor.get_times(),
        "timestamps": extractor.get_timestamps(0, middle),
        "pages": extractor.get_original_frame_indices(),
        "nearest": extractor.time_to_sample_indices([0.0, 0.1, 5.0]),
    }
    if extractor.is_volumetric:
        arrays["plane"] = extractor.select_plane(1).get_series()
        arrays["pages of plane 0"] = extractor.get_original_frame_indices(0)
    facts["has times"] = extractor.has_time_vector()
    facts["types"] = {name: f"{array.dtype} {array.shape}" for name, array in arrays.items()}
    return facts, arrays


def main() -> None:
    """Every job, by the original."""
    import numpy as np
    from roiextractors import ScanImageImagingExtractor

    jobs, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    warnings.simplefilter("ignore")
    for number, job in enumerate(jobs):
        extractor = ScanImageImagingExtractor(Path(job["file"]), **job["arguments"])
        facts, arrays = answers(extractor, Path(job["file"]))
        (folder / f"{number}.json").write_text(json.dumps(facts))
        np.savez(folder / f"{number}.npz", **arrays)


if __name__ == "__main__":
    main()
