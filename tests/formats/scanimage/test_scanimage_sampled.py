"""Whatever combination of settings the generator allows is read as its closed form says."""

from __future__ import annotations

import tempfile
import warnings

import hypothesis
import pytest
from hypothesis import strategies as st

import galvo
from galvo.errors import GalvoWarning, OptionError, Unsupported
from galvo.testing.scanimage import ScanImageRecording

VERSIONS = ("3.8", "4.2", "5.0", "5.1", "2015", "2016b", "2018a", "2019b", "2021", "2023")


@st.composite
def recordings(draw) -> ScanImageRecording:
    """Small recordings; settings that no microscope has are drawn again."""

    def one_of(*values):
        return draw(st.sampled_from(values))

    version, average, stack = one_of(*VERSIONS), one_of(1, 1, 2, 3), one_of("planar", "fast", "slow")
    old, static = version in ("3.8", "4.2"), version >= "2016b"
    settings = {
        "version": version,
        "height": one_of(5, 8),
        "width": 6,
        "channels": one_of((1,), (2,), (1, 2), (1, 3, 4)),
        "log_average_factor": average,
        "frames_per_file": draw(st.one_of(st.none(), st.integers(1, 9))),
        "strips": one_of(1, 1, 3),
        "dtype": one_of("int16", "uint8", "int32"),
        "saved_again": one_of(False, False, False, True),
        "scanner_type": one_of("resonant", "galvo"),
        "json_header": static and one_of(False, False, True),
        "file_per_channel": not old and one_of(False, False, True),
        "big_tiff": one_of(False, True),
        "stale_header": one_of(False, True),
    }
    settings["block_style"] = "plain" if settings["json_header"] else one_of("plain", "commas", "empty", "underscores")
    settings["acquisitions"] = 1 if old or settings["saved_again"] else one_of(1, 1, 2, 3)
    if stack == "planar":
        settings["frames"] = draw(st.integers(1, 12))
    else:
        settings["stack_mode"] = stack = "slow" if version == "3.8" else stack
        settings["slices"] = one_of(2, 3) if old else one_of(1, 2, 3)
        settings["volumes"] = 1 if old and stack == "slow" else one_of(1, 2, 3, 4)
        once = version == "4.2" and stack == "fast"
        settings["repeats"] = 1 if once else one_of(1, 2, 3) * one_of(1, average, average)
        settings["flyback"] = 0 if stack == "slow" else one_of(0, 1, 2) * one_of(1, average, average)
    time = st.sampled_from([0.0, 0.125, 3.5])
    frame = st.integers(0, max(0, min(20, _logged(settings) - 1)))
    lines = st.dictionaries(st.integers(0, 3), st.lists(time, max_size=2))
    settings["aux_triggers"] = draw(st.dictionaries(frame, lines, max_size=4))
    packets = st.lists(st.tuples(time, st.binary(max_size=4)), max_size=2)
    settings["i2c"] = draw(st.dictionaries(frame, packets, max_size=3))
    try:
        recording = ScanImageRecording(**settings)
    except ValueError:
        hypothesis.reject()
    # before 2019b the header of a slow stack of one slice does not tell it from a planar recording
    hypothesis.assume(recording.tiff_format_version == 4 or stack != "slow" or recording.is_volumetric)
    return recording


def _logged(settings: dict) -> int:
    """Logged frames of all acquisitions."""
    if "volumes" in settings:
        raw = settings["volumes"] * (settings["slices"] * settings["repeats"] + settings.get("flyback", 0))
        return raw // settings["log_average_factor"] * settings.get("acquisitions", 1)
    return settings["frames"] * settings.get("acquisitions", 1)


def open_quietly(path, **options) -> galvo.Recording:
    """Opens it; interleaved repeats may be warned of and nothing else."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", GalvoWarning)
        warnings.filterwarnings("ignore", ".*uneven", GalvoWarning)
        return galvo.open(path, **options)


def check_all_ways(truth: ScanImageRecording, check) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = truth.write(folder)
        path = paths[len(paths) // 2]
        average = truth.log_average_factor
        if truth.is_volumetric and (truth.repeats % average or truth.flyback % average):
            with pytest.raises(Unsupported, match="averaged across slices"):
                galvo.open(path)
            return
        if truth.logged_repeats == 1:
            with open_quietly(path) as rec:
                check(rec, truth)
            with open_quietly(path, flyback="keep", walk=True) as rec:
                check(rec, truth, flyback="keep")
            return
        with pytest.raises(OptionError, match="slice_repeats"):
            galvo.open(path)
        for repeat in (0, truth.logged_repeats - 1, "interleave", "mean"):
            with open_quietly(path, slice_repeats=repeat) as rec:
                check(rec, truth, repeat)


SETTINGS = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(hypothesis.HealthCheck),
}


@hypothesis.settings(max_examples=120, **SETTINGS)
@hypothesis.given(truth=recordings())
def test_settings_in_any_combination(truth, check_recording):
    check_all_ways(truth, check_recording)


@pytest.mark.harden
@hypothesis.settings(max_examples=1000, **SETTINGS)
@hypothesis.given(truth=recordings())
def test_settings_in_very_many_combinations(truth, check_recording):
    check_all_ways(truth, check_recording)
