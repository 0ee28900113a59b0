"""OFOptions: every field, what is accepted, refused, derived, saved and loaded. Facts: runs of PyFlowReg 0.1.0a9."""

from __future__ import annotations

import json
import pickle
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pydantic import ValidationError

from galvo.compat.pyflowreg.motion_correction.OF_options import (
    ChannelNormalization,
    ConstancyAssumption,
    InterpolationMethod,
    NamingConvention,
    OFOptions,
    OutputFormat,
    QualitySetting,
    get_mcp_schema,
)
from galvo.compat.pyflowreg.util.io import ArrayReader, NullVideoWriter
from galvo.errors import GalvoWarning, OptionError

DEFAULTS = {
    "input_file": None,
    "output_path": "results",
    "output_format": "MAT",
    "output_file_name": None,
    "channel_idx": None,
    "alpha": [1.5, 1.5],
    "weight": [0.5, 0.5],
    "levels": 100,
    "min_level": -1,
    "quality_setting": "quality",
    "eta": 0.8,
    "update_lag": 5,
    "iterations": 50,
    "a_smooth": 1.0,
    "a_data": 0.45,
    "gnc_schedule": None,
    "warping_steps": None,
    "sigma": [[1.0, 1.0, 0.1], [1.0, 1.0, 0.1]],
    "bin_size": 1,
    "buffer_size": 400,
    "reference_frames": list(range(50, 500)),
    "update_reference": False,
    "n_references": 1,
    "min_frames_per_reference": 20,
    "verbose": False,
    "save_meta_info": True,
    "save_w": False,
    "save_valid_mask": False,
    "save_valid_idx": False,
    "output_typename": "double",
    "channel_normalization": "joint",
    "interpolation_method": "cubic",
    "cc_initialization": False,
    "cc_hw": 256,
    "cc_up": 1,
    "update_initialization_w": True,
    "naming_convention": "default",
    "constancy_assumption": "gc",
    "flow_backend": "flowreg",
    "backend_params": {},
}


def saved(path):
    first, blank, *rest = Path(path).read_text().splitlines()
    assert blank == ""
    return first, json.loads("\n".join(rest))


def test_file_of_options(tmp_path):
    OFOptions().save_options(tmp_path / "deep" / "options.json")
    first, values = saved(tmp_path / "deep" / "options.json")
    assert first == f"Compensation options {date.today().isoformat()}"
    assert list(values) == list(DEFAULTS)
    assert values == DEFAULTS


def test_enums():
    assert [member.value for member in OutputFormat] == [member.name for member in OutputFormat]
    assert len(OutputFormat) == 11
    assert QualitySetting.FAST == "fast"
    assert {*ChannelNormalization} == {"joint", "separate"}
    assert {*InterpolationMethod} == {"nearest", "linear", "cubic"}
    assert {*NamingConvention} == {"default", "batch"}
    for text, member in {"gc": "gc", " Gradient ": "gc", "BRIGHTNESS": "gray", "census": "cs", "CS": "cs"}.items():
        assert ConstancyAssumption(text).value == member
        assert OFOptions(constancy_assumption=text).constancy_assumption == member
    for wrong in ("colour", 3):
        with pytest.raises(ValueError, match="is not a valid"):
            ConstancyAssumption(wrong)


@pytest.mark.parametrize(
    ("given", "name", "expected"),
    [
        ({"alpha": 2}, "alpha", (2.0, 2.0)),
        ({"alpha": [3]}, "alpha", (3.0, 3.0)),
        ({"alpha": [1, 4]}, "alpha", (1.0, 4.0)),
        ({"weight": [1, 3]}, "weight", [0.25, 0.75]),
        ({"weight": (1, 1, 2)}, "weight", [0.25, 0.25, 0.5]),
        ({"weight": np.array([2.0])}, "weight", [1.0]),
        ({"weight": [0, 0]}, "weight", [0.0, 0.0]),
        ({"sigma": [2, 2, 0.5]}, "sigma", [[2.0, 2.0, 0.5]]),
        ({"sigma": np.ones((3, 3))}, "sigma", [[1.0] * 3] * 3),
        ({"reference_frames": (1, 2)}, "reference_frames", [1, 2]),
        ({"cc_hw": (64, 32)}, "cc_hw", (64, 32)),
        ({"gnc_schedule": [0, 0.5, 1]}, "gnc_schedule", (0.0, 0.5, 1.0)),
        ({"min_level": 3}, "quality_setting", "custom"),
        ({"min_level": 3}, "effective_min_level", 3),
        ({"quality_setting": "custom"}, "quality_setting", "quality"),
        ({"quality_setting": "fast"}, "effective_min_level", 6),
        ({"quality_setting": "balanced"}, "effective_min_level", 4),
        ({}, "effective_min_level", 0),
        ({"output_path": "a/b"}, "output_path", Path("a/b")),
    ],
)
def test_what_is_derived(given, name, expected):
    assert getattr(OFOptions(**given), name) == expected


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"input_file": ["a", "b"]}, "input_file"),
        ({"alpha": 0}, "Alpha must be positive"),
        ({"alpha": (1, 2, 3)}, "Alpha must be scalar or 2-element tuple"),
        ({"alpha": "x"}, "Alpha must be scalar or 2-element tuple"),
        ({"weight": np.ones((2, 2, 2, 2))}, "Weight array cannot exceed 3 dimensions"),
        ({"weight": 3}, "weight"),
        ({"levels": 10.0}, "valid integer"),
        ({"levels": 0}, "greater than or equal to 1"),
        ({"min_level": -2}, "greater than or equal to -1"),
        ({"sigma": [1, 1]}, "1D sigma must be"),
        ({"sigma": [[1, 1]]}, "2D sigma must be"),
        ({"reference_frames": 5}, "reference_frames"),
        ({"bogus": 1}, "Extra inputs are not permitted"),
        ({"quality_setting": "FAST"}, "'quality', 'balanced', 'fast' or 'custom'"),
        ({"output_format": "tiff"}, "Input should be 'TIFF'"),
        ({"eta": 0}, "greater than 0"),
        ({"eta": 1.1}, "less than or equal to 1"),
        ({"a_data": 0}, "greater than 0"),
        ({"cc_up": 0}, "greater than or equal to 1"),
        ({"n_references": 0}, "greater than or equal to 1"),
        ({"gnc_schedule": [0.5, 1]}, "gnc_schedule must"),
        ({"gnc_schedule": [0, 0.7, 0.5, 1]}, "gnc_schedule must"),
        ({"gnc_schedule": 1}, "gnc_schedule must"),
        ({"warping_steps": 0}, "warping_steps must be a positive integer"),
        ({"constancy_assumption": "x"}, "constancy_assumption"),
    ],
)
def test_what_is_refused(given, text):
    with pytest.raises(ValidationError, match=text):
        OFOptions(**given)


def test_weights_of_channels():
    options = OFOptions(weight=[1, 2, 3])
    assert options.get_weight_at(0, 2) == pytest.approx(1 / 3)
    assert options.weight == pytest.approx([1 / 3, 2 / 3])
    assert OFOptions().get_weight_at(2, 3) == pytest.approx(1 / 3)
    assert OFOptions(weight=[1]).get_weight_at(1, 2) == 1
    plane, volume = np.ones((4, 5)), np.arange(40.0).reshape(4, 5, 2)
    assert OFOptions(weight=plane).get_weight_at(0, 2) is not None
    assert np.array_equal(OFOptions(weight=plane).get_weight_at(1, 2), plane / 2)
    assert np.array_equal(OFOptions(weight=volume).get_weight_at(1, 2), volume[..., 1])
    assert np.array_equal(OFOptions(weight=volume).get_weight_at(2, 4), plane / 4)
    assert OFOptions(sigma=[1, 2, 3]).get_sigma_at(4).tolist() == [1, 2, 3]


def test_dictionary_and_text():
    options = OFOptions(quality_setting="fast", alpha=4)
    assert repr(options) == "OFOptions(quality=fast, alpha=(4.0, 4.0), levels=100, min_level=6)"
    assert options.to_dict() == {
        "alpha": (4.0, 4.0),
        "weight": [0.5, 0.5],
        "levels": 100,
        "min_level": 6,
        "eta": 0.8,
        "iterations": 50,
        "update_lag": 5,
        "a_data": 0.45,
        "a_smooth": 1.0,
        "gnc_schedule": None,
        "warping_steps": None,
        "const_assumption": "gc",
    }


def test_copies_share_nothing():
    options = OFOptions(sigma=[1, 1, 1], backend_params={"a": [1]}, quality_setting="fast")
    copied = options.copy()
    copied.sigma[0][0] = 9
    copied.backend_params["a"].append(2)
    assert options.sigma == [[1, 1, 1]]
    assert options.backend_params == {"a": [1]}
    assert copied.quality_setting == "fast"
    assert copied.model_fields_set == options.model_fields_set
    assert pickle.loads(pickle.dumps(copied)).sigma[0][0] == 9


def test_saved_and_loaded(tmp_path):
    image = np.random.default_rng(0).normal(size=(6, 7, 2))
    path = tmp_path / "o.json"
    for reference in (image, image[..., 0], [3, 4], "elsewhere.h5", Path("there.h5")):
        given = OFOptions(
            input_file=Path("movie.tif"),
            reference_frames=reference,
            weight=np.full((6, 7, 2), 0.3),
            quality_setting="balanced",
            cc_hw=(32, 64),
            gnc_schedule=(0, 1),
            output_typename="uint16",
        )
        given.save_options(path)
        loaded = OFOptions.load_options(path)
        again = loaded.reference_frames
        if isinstance(reference, np.ndarray):
            assert np.array_equal(again, reference)
        else:
            assert again == (str(reference) if isinstance(reference, Path) else reference)
        assert np.array_equal(loaded.weight, given.weight)
        assert str(loaded.input_file) == "movie.tif"
        for name in ("quality_setting", "cc_hw", "gnc_schedule", "output_typename", "alpha", "sigma"):
            assert getattr(loaded, name) == getattr(given, name)


def test_saved_after_reading(tmp_path):
    """The original fails: its input_file is a reader then."""
    tifffile.imwrite(tmp_path / "movie.tif", np.zeros((3, 8, 9), np.uint8), photometric="minisblack")
    options = OFOptions(input_file=str(tmp_path / "movie.tif"))
    reader = options.get_video_reader()
    assert reader is options.get_video_reader()
    options.save_options(tmp_path / "o.json")
    assert saved(tmp_path / "o.json")[1]["input_file"] == str(tmp_path / "movie.tif")
    assert OFOptions(input_file=reader).model_dump(mode="json")["input_file"] == str(tmp_path / "movie.tif")
    array = np.zeros((2, 3, 4, 1))
    assert OFOptions(input_file=array).model_dump(mode="json")["input_file"] is None
    assert OFOptions(input_file=ArrayReader(array)).model_dump(mode="json")["input_file"] is None


def test_files_of_others(tmp_path):
    path = tmp_path / "o.json"
    # as the original writes a reference of two channels: row by row
    image = np.random.default_rng(0).integers(0, 99, (6, 7, 2)).astype(np.float64)
    tifffile.imwrite(tmp_path / "reference_frames.tif", image)
    text = {**DEFAULTS, "reference_frames": str(tmp_path / "reference_frames.tif")}
    path.write_text("Compensation options 2025-01-01\n\n" + json.dumps(text, indent=2))
    options = OFOptions.load_options(path)
    assert np.array_equal(options.reference_frames, image)
    # what stands in every file was not asked for
    assert options.output_dtype(of_file=True) is None
    path.write_text('{"normalize_ref": 1}')
    with pytest.raises(ValidationError, match="normalize_ref"):
        OFOptions.load_options(path)
    path.write_text("none")
    with pytest.raises(ValueError, match="Expecting value"):
        OFOptions.load_options(path)
    with pytest.raises(FileNotFoundError):
        OFOptions.load_options(tmp_path / "nothing.json")


def test_names_of_outputs(tmp_path):
    def names(**options):
        made = OFOptions(output_path="r", **options)
        return made.output_file(), made.displacement_file()

    tifffile.imwrite(tmp_path / "m12.tif", np.zeros((3, 8, 9), np.uint8), photometric="minisblack")
    assert names() == ("r/compensated.MAT", "r/w.h5")
    assert names(output_format="CAIMAN_HDF5") == ("r/compensated.CAIMAN_HDF5", "r/w.h5")
    batch = {"naming_convention": "batch", "output_format": "HDF5"}
    assert names(input_file=tmp_path / "m12.tif", **batch) == ("r/m12_compensated.HDF5", "r/m12_compensated_w.h5")
    assert names(input_file=np.zeros((2, 4, 4)), **batch) == ("r/output_compensated.HDF5", "r/output_compensated_w.h5")
    assert names(output_file_name="x/y.h5", **batch) == ("x/y.h5", "r/y_w.h5")
    assert names(output_format="NULL") == (None, "r/w.h5")


def test_bare_texts_may_be_assigned():
    """The original's own example assigns them, and fails."""
    options = OFOptions(input_file=np.zeros((2, 4, 4)))
    options.output_format = "NULL"
    options.quality_setting = "fast"
    options.naming_convention = "batch"
    assert isinstance(options.get_video_writer(), NullVideoWriter)
    assert options.effective_min_level == 6


def test_solvers():
    def solver(*arguments, **options):
        return None

    assert OFOptions(get_displacement_impl=solver).resolve_get_displacement() is solver
    made = OFOptions(get_displacement_factory=lambda **params: params, backend_params={"a": 1})
    assert made.resolve_get_displacement() == {"a": 1}
    with pytest.raises(ValueError, match="Unknown flow backend: 'zz'"):
        OFOptions(flow_backend="zz").resolve_get_displacement()


def test_references():
    image = np.arange(20.0).reshape(4, 5)
    with pytest.warns(GalvoWarning, match="one reference"):
        assert len(OFOptions(reference_frames=image, n_references=3).get_reference_frame()) == 3
    with pytest.raises(OptionError, match="input_file is not set"):
        OFOptions().get_reference_frame()
    movie = np.arange(2 * 5 * 6).reshape(2, 5, 6).astype("u2")
    one = OFOptions(input_file=movie, reference_frames=[1]).get_reference_frame()
    assert one.dtype == np.float64
    assert np.array_equal(one[..., 0], movie[1])
    for frames in ([], [7, 9]):
        with pytest.raises(ValueError, match="frame"):
            OFOptions(input_file=movie, reference_frames=frames).get_reference_frame()


def test_schema():
    schema = get_mcp_schema()
    assert schema["properties"]["alpha"]["default"] == [1.5, 1.5]
    assert "get_displacement_impl" not in schema["properties"]
