"""Movies registered by PyFlowReg's calls: its examples, its files, and what galvo does differently."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile
from scipy import ndimage

import galvo
from galvo.compat.pyflowreg._runtime import RuntimeContext
from galvo.compat.pyflowreg.motion_correction import (
    BatchMotionCorrector,
    FlowRegLive,
    OFOptions,
    compensate_arr,
    compensate_recording,
)
from galvo.compat.pyflowreg.motion_correction.compensate_arr import compensate_pair
from galvo.compat.pyflowreg.motion_correction.compensate_recording import RegistrationConfig
from galvo.compat.pyflowreg.motion_correction.parallelization import SequentialExecutor
from galvo.compat.pyflowreg.util.io import VideoReader, get_video_file_reader
from galvo.errors import GalvoWarning

MOVES = [(0, 0), (1, -1), (2, 0), (1, 1), (0, 2), (-1, 1), (-2, 0), (-1, -2), (0, -1), (1, 0)]


def _movie(h=64, w=64, c=1, dtype="u2"):
    """(T, H, W, C), the image that it shows, and how far each frame has moved, x before y."""
    rng = np.random.default_rng(5)
    spectrum = np.fft.rfft2(rng.normal(size=(c, h + 8, w + 8)))
    fy, fx = np.fft.fftfreq(h + 8)[:, None], np.fft.rfftfreq(w + 8)
    image = np.fft.irfft2(spectrum * np.exp(-40 * (fy**2 + fx**2)), s=(h + 8, w + 8)).transpose(1, 2, 0)
    image = (image - image.min()) / np.ptp(image) * 3000 + 200
    frames = np.stack([image[4 + y : 4 + y + h, 4 + x : 4 + x + w] for y, x in MOVES])
    noisy = frames + rng.normal(0, 10, frames.shape)
    still = image[4 : 4 + h, 4 : 4 + w]
    return SimpleNamespace(pixels=noisy.astype(dtype), image=still, moves=-np.array(MOVES)[:, ::-1])


@pytest.fixture(scope="module")
def one():
    return _movie()


@pytest.fixture(scope="module")
def two():
    return _movie(c=2)


def fast(**options):
    return OFOptions(**{"quality_setting": "fast", "reference_frames": [0, 1, 2], **options})


def shifts(fields):
    """Median displacement of each frame, away from the edges."""
    return np.median(fields[:, 10:-10, 10:-10], axis=(1, 2))


# ---- the examples of the page on formats -----------------------------------------------------------------------------


@pytest.fixture
def here(tmp_path, monkeypatch, two):
    """Scripts name files relative to where they run, and import pyflowreg."""
    monkeypatch.chdir(tmp_path)
    galvo.save(galvo.open(two.pixels, axes="TYXC"), "video.h5")
    tifffile.imwrite("video.tif", two.pixels[..., 0], photometric="minisblack")
    galvo.compat.install("pyflowreg", force=True)
    yield tmp_path
    galvo.compat.uninstall("pyflowreg")


def read(path, **options):
    with get_video_file_reader(path, **options) as reader:
        return reader[:]


def test_example_hdf5(here, two):
    from pyflowreg.motion_correction import OFOptions, compensate_recording

    options = OFOptions(
        input_file="video.h5",
        output_path="results/",
        output_format="HDF5",  # a dataset per channel
        quality_setting="fast",
        reference_frames=[0],
    )
    compensate_recording(options)
    with h5py.File("results/compensated.HDF5") as file:
        assert file["ch1"].shape == file["ch2"].shape == (10, 64, 64)
        assert file["ch1"].dtype == np.uint16
    moved = read("results/compensated.h5")
    still = np.abs(two.pixels.astype("f8") - two.image)[:, 8:-8, 8:-8].mean()
    assert np.abs(moved.astype("f8") - two.image)[:, 8:-8, 8:-8].mean() < 0.4 * still


@pytest.mark.parametrize(
    ("kind", "files"),
    [
        ("TIFF", ["compensated.TIFF"]),
        ("MAT", ["compensated.MAT"]),
        ("SUITE2P_TIFF", ["compensated.SUITE2P_TIFF"]),
        ("MULTIFILE_HDF5", ["compensated_ch1.HDF5", "compensated_ch2.HDF5"]),
        ("MULTIFILE_TIFF", ["compensated_ch1.TIFF", "compensated_ch2.TIFF"]),
        ("MULTIFILE_MAT", ["compensated_ch1.MAT", "compensated_ch2.MAT"]),
        ("CAIMAN_HDF5", ["compensated_ch1.HDF5", "compensated_ch2.HDF5"]),
        ("NULL", []),
    ],
)
def test_example_formats(here, kind, files):
    from pyflowreg.motion_correction import OFOptions, compensate_arr, compensate_recording

    rest = {"quality_setting": "fast", "reference_frames": np.full((64, 64, 2), 900.0) + np.eye(64)[..., None] * 500}
    compensate_recording(OFOptions(input_file="video.h5", output_path="results", output_format=kind, **rest))
    own = {"options.json", "reference_frame.npy", "reference_frames.tif", "statistics.npz"}
    assert {*os.listdir("results")} == {*files, *own}
    expected, _ = compensate_arr(
        read("video.h5"), rest["reference_frames"], OFOptions(quality_setting="fast", output_typename=None)
    )
    if kind == "MAT":
        assert np.array_equal(scipy.io.loadmat("results/compensated.MAT")["ch2"].transpose(2, 0, 1), expected[..., 1])
    elif len(files) == 1:
        assert np.array_equal(read(f"results/{files[0]}"), expected)
    elif files:
        assert np.array_equal(read([f"results/{name}" for name in files]), expected)
    if kind == "CAIMAN_HDF5":
        with h5py.File("results/compensated_ch2.HDF5") as file:
            assert np.array_equal(file["mov"][()], expected[..., 1])


@pytest.mark.skipif(sys.platform == "win32", reason="the server of the format may be there")
def test_example_mdf(here):
    from pyflowreg.motion_correction import OFOptions, compensate_recording

    (here / "recording.mdf").write_bytes(b"MDF")
    with pytest.raises(NotImplementedError, match="requires Windows"):
        compensate_recording(OFOptions(input_file="recording.mdf", output_format="HDF5"))


def test_example_buffers_and_bins(here, two):
    from pyflowreg.motion_correction import OFOptions, compensate_recording

    options = OFOptions(
        input_file="video.h5",
        buffer_size=3,  # frames per batch
        bin_size=2,  # every 2 frames averaged
        output_format="HDF5",
        quality_setting="fast",
        reference_frames=[0],
    )
    compensate_recording(options)
    assert read("results/compensated.HDF5").shape == (5, 64, 64, 2)
    assert np.load("results/statistics.npz")["mean_disp"].shape == (5,)


@pytest.mark.parametrize(
    ("name", "dtype"), [("double", "f8"), ("single", "f4"), ("uint16", "u2"), ("uint8", "u1"), ("int16", "i2")]
)
def test_example_output_type(here, two, name, dtype):
    from pyflowreg.motion_correction import OFOptions, compensate_recording

    rest = {"quality_setting": "fast", "reference_frames": [0], "input_file": "video.tif", "output_format": "HDF5"}
    compensate_recording(OFOptions(output_typename=name, **rest))
    moved = read("results/compensated.HDF5")
    assert moved.dtype == np.dtype(dtype)
    compensate_recording(OFOptions(output_path="as_it_is", **rest))
    untouched = read("as_it_is/compensated.HDF5")
    assert untouched.dtype == np.uint16
    assert np.array_equal(moved, untouched.clip(0, 255) if name == "uint8" else untouched)


def test_example_displacements(here, two):
    from pyflowreg.motion_correction import OFOptions, compensate_recording

    rest = {"quality_setting": "fast", "input_file": "video.tif", "output_format": "HDF5", "save_w": True}
    compensate_recording(OFOptions(reference_frames=two.image[..., :1], **rest))
    fields = read("results/w.h5")
    assert fields.shape == (10, 64, 64, 2)
    with h5py.File("results/w.h5") as file:
        assert np.array_equal(file["u"][()], fields[..., 0])
        assert np.array_equal(file["v"][()], fields[..., 1])
        assert file["u"].dtype == np.float32
    np.testing.assert_allclose(shifts(fields), two.moves, atol=0.3)
    statistics = np.load("results/statistics.npz")
    length = np.hypot(fields[..., 0], fields[..., 1])
    np.testing.assert_allclose(statistics["mean_disp"], length.mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(statistics["max_disp"], length.max(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(np.load("results/reference_frame.npy"), two.image[..., :1])


def test_example_names(here):
    from pyflowreg.motion_correction import OFOptions, compensate_recording

    rest = {"quality_setting": "fast", "reference_frames": [0], "output_format": "HDF5", "save_w": True}
    compensate_recording(OFOptions(input_file="video.tif", naming_convention="batch", **rest))
    compensate_recording(OFOptions(input_file="video.tif", output_file_name="my_output.h5", **rest))
    assert {"video_compensated.HDF5", "video_compensated_w.h5", "my_output_w.h5"} <= {*os.listdir("results")}
    assert np.array_equal(read("my_output.h5"), read("results/video_compensated.HDF5"))


def test_a_script_as_it_is(here):
    (here / "script.py").write_text(
        """
from pyflowreg.motion_correction import compensate_recording, OFOptions
options = OFOptions(input_file="video.h5", output_path="results/", output_format="HDF5", reference_frames=[0],
                    quality_setting="fast")
compensate_recording(options)
"""
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "galvo.compat", "pyflowreg", "--", "script.py"]
    subprocess.run(command, check=True, env=environment)
    assert read("results/compensated.HDF5").shape == (10, 64, 64, 2)


# ---- arrays ----------------------------------------------------------------------------------------------------------


def test_shapes(two, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    movie, image = two.pixels, two.image
    for given, reference, shape in (
        (movie[..., 0], image[..., 0], (10, 64, 64)),
        (movie[..., 0], image[..., :1], (10, 64, 64, 1)),
        (movie, image, (10, 64, 64, 2)),
        (movie[1, ..., 0], image[..., 0], (64, 64)),
        (movie[1], image, (1, 64, 64, 2)),
    ):
        moved, fields = compensate_arr(given, reference, fast())
        assert moved.shape == shape
        assert moved.dtype == np.float64
        assert fields.dtype == np.float32
        assert fields.shape == ((64, 64, 2) if len(shape) == 2 else (*shape[:1], 64, 64, 2))
    with pytest.raises(ValueError, match="Input array cannot be empty"):
        compensate_arr(movie[:0], image)
    for wrong in (image[..., 0], image[:10], image[None]):
        with pytest.raises(ValueError, match="fit"):
            compensate_arr(movie, wrong, fast())
    # the original makes a folder
    assert not os.listdir()


def test_pairs(one):
    field = compensate_pair(one.pixels[0, ..., 0], one.pixels[2, ..., 0], fast(update_initialization_w=False))
    np.testing.assert_allclose(shifts(field[None])[0], one.moves[2], atol=0.3)


def test_arguments_of_arrays(one):
    calls, seen = [], []

    def solver(fixed, moving, uv=None, **params):
        calls.append((fixed.shape, moving.dtype, params))
        return np.full((*fixed.shape[:2], 2), 0.5)

    options = fast(buffer_size=4)
    for more in ({"get_displacement": solver}, {"get_displacement_factory": lambda **params: solver}):
        _, fields = compensate_arr(
            one.pixels,
            one.image,
            options,
            lambda *progress: seen.append(progress),
            w_callback=lambda batch, *place: seen.append((batch.shape, *place)),
            registered_callback=lambda batch, *place: seen.append((batch.dtype, *place)),
            **more,
        )
        assert np.unique(fields).tolist() == [0.5]
    assert [entry for entry in seen if isinstance(entry[0], int)][:10] == [(at, 10) for at in range(1, 11)]
    assert [entry for entry in seen if isinstance(entry[0], tuple)][:3] == [
        ((4, 64, 64, 2), 0, 4),
        ((4, 64, 64, 2), 4, 8),
        ((2, 64, 64, 2), 8, 10),
    ]
    assert (np.dtype("u2"), 8, 10) in seen
    shape, dtype, params = calls[0]
    assert (shape, dtype) == ((64, 64, 1), np.float32)
    expected = {"alpha", "weight", "levels", "min_level", "eta", "update_lag", "iterations", "a_smooth", "a_data"}
    assert params.keys() == {*expected, "const_assumption"}
    # options stay as they were
    assert options.input_file is None
    assert options.get_displacement_impl is None


# ---- what is done differently ----------------------------------------------------------------------------------------


def half_a_pixel(fixed, moving, uv=None, **params):
    return np.full((*fixed.shape[:2], 2), 0.5)


class OwnExecutor(SequentialExecutor):
    calls = 0

    def process_batch(self, *arguments, **options):
        type(self).calls += 1
        return super().process_batch(*arguments, **options)


def test_every_executor_runs_custom_solvers(one):
    results = []
    for name in ("sequential", "threading", "multiprocessing", None):
        config = RegistrationConfig(n_jobs=2, parallelization=name)
        results.append(
            compensate_arr(one.pixels, one.image, fast(), get_displacement=half_a_pixel, registration_config=config)
        )
        assert np.unique(results[-1][1]).tolist() == [0.5]
        assert np.array_equal(results[-1][0], results[0][0])
    config = RegistrationConfig(n_jobs=2, parallelization="multiprocessing")
    bare = {"get_displacement": lambda *images, **params: half_a_pixel(*images), "registration_config": config}
    with pytest.warns(GalvoWarning, match="pickled"):
        moved, _ = compensate_arr(one.pixels, one.image, fast(), **bare)
    assert np.array_equal(moved, results[0][0])


def test_executors_agree_to_the_bit(two):
    options = fast(cc_initialization=True, cc_up=4, update_reference=True, buffer_size=4, sigma=[1, 1, 0.4])
    results = []
    for name in ("sequential", "threading", "multiprocessing"):
        config = RegistrationConfig(n_jobs=2, parallelization=name)
        results.append(compensate_arr(two.pixels, two.image, options, registration_config=config))
    for moved, fields in results[1:]:
        assert np.array_equal(moved, results[0][0])
        assert np.array_equal(fields, results[0][1])


def test_executors_of_others(one):
    OwnExecutor.register()
    assert RuntimeContext.get_parallelization_executor("own") is OwnExecutor
    own = RegistrationConfig(parallelization="own")
    moved, fields = compensate_arr(one.pixels, one.image, fast(), registration_config=own)
    assert OwnExecutor.calls == 2
    again, expected = compensate_arr(one.pixels, one.image, fast())
    assert np.abs(fields - expected).max() < 1e-3
    assert np.abs(moved - again).max() <= 2
    prealigned = fast(cc_initialization=True)
    through = compensate_arr(one.pixels, one.image, prealigned, registration_config=own)[1]
    assert np.abs(through - compensate_arr(one.pixels, one.image, prealigned)[1]).mean() < 1e-2
    with pytest.warns(GalvoWarning, match="'bogus' executor"):
        compensate_arr(one.pixels, one.image, fast(), registration_config=RegistrationConfig(parallelization="bogus"))


def test_quiet_unless_asked(one, capfd):
    compensate_arr(one.pixels, one.image, fast())
    assert capfd.readouterr() == ("", "")
    compensate_arr(one.pixels, one.image, fast(), registration_config=RegistrationConfig(verbose=True))
    assert "10 of 10 frames" in capfd.readouterr().err


def test_references_behind_the_end_are_left_out(one):
    few = fast(input_file=one.pixels, reference_frames=[0, 3])
    with pytest.warns(GalvoWarning, match="3 of reference_frames"):
        more = fast(input_file=one.pixels, reference_frames=[0, 3, 10, 11, 400]).get_reference_frame()
    assert np.array_equal(more, few.get_reference_frame())
    with pytest.warns(GalvoWarning, match="all of its 10 frames"):
        short = OFOptions(input_file=one.pixels, quality_setting="fast").get_reference_frame()
    assert np.array_equal(short, fast(input_file=one.pixels, reference_frames=list(range(10))).get_reference_frame())


def test_reference_of_integers_with_ranges_of_their_own(two):
    """The original gets zeros."""
    integers = fast(input_file=two.pixels, channel_normalization="separate").get_reference_frame()
    floats = fast(input_file=two.pixels.astype("f4"), channel_normalization="separate").get_reference_frame()
    np.testing.assert_allclose(integers, floats, rtol=1e-4)
    assert np.corrcoef(integers[8:-8, 8:-8, 1].ravel(), two.image[8:-8, 8:-8, 1].ravel())[0, 1] > 0.8


def test_flat_references_are_filtered(one):
    flat = compensate_arr(one.pixels[..., 0], one.image[..., 0], fast())
    deep = compensate_arr(one.pixels, one.image, fast())
    assert np.array_equal(flat[0], deep[0][..., 0])
    assert np.array_equal(flat[1], deep[1])
    follow = fast(update_reference=True, buffer_size=3)
    assert compensate_arr(one.pixels[..., 0], one.image[..., 0], follow)[0].shape == (10, 64, 64)


@pytest.mark.parametrize("dtype", ["i4", "u4", "i8", "f2", "?"])
def test_types_that_the_original_refuses(one, dtype):
    movie = one.pixels > 1500 if dtype == "?" else one.pixels.astype(dtype)
    image = (one.image > 1500).astype("f8") if dtype == "?" else one.image
    moved, fields = compensate_arr(movie, image, fast(output_typename=None, update_initialization_w=False))
    assert moved.dtype == np.dtype(dtype)
    np.testing.assert_allclose(shifts(fields), one.moves, atol=0.5)


def test_nearest_pixels(one):
    moved, _ = compensate_arr(one.pixels, one.image, fast(interpolation_method="nearest", output_typename=None))
    inside = moved[:, 8:-8, 8:-8]
    assert all(np.isin(frame, given).all() for frame, given in zip(inside, one.pixels, strict=True))


def test_shifts_first_with_several_channels(two):
    wide = np.roll(two.pixels[:1], (0, 12, -15), axis=(0, 1, 2))
    options = fast(levels=1, cc_initialization=True, weight=[1, 3], update_initialization_w=False)
    np.testing.assert_allclose(shifts(compensate_arr(wide, two.image, options)[1])[0], (-15, 12), atol=0.3)


def test_filter_over_time_does_not_see_batches(one):
    options = {"sigma": [1, 1, 0.8], "update_initialization_w": False}
    whole = compensate_arr(one.pixels, one.image, fast(**options))[1]
    for size in (1, 3, 4):
        assert np.array_equal(compensate_arr(one.pixels, one.image, fast(buffer_size=size, **options))[1], whole)


def test_integers_are_rounded_and_saturate(one):
    as_floats, _ = compensate_arr(one.pixels.astype("f4"), one.image, fast())
    narrow, _ = compensate_arr(one.pixels.astype("f4"), one.image, fast(output_typename="uint8"))
    assert np.array_equal(narrow, np.rint(as_floats).clip(0, 255))


def test_options_are_kept_with_the_results(one, tmp_path):
    options = fast(input_file=one.pixels, output_path=tmp_path, output_format="NULL", reference_frames=one.image)
    compensate_recording(options)
    kept = OFOptions.load_options(tmp_path / "options.json")
    assert kept.quality_setting == "fast"
    np.testing.assert_array_equal(kept.reference_frames, one.image[..., 0])
    options = fast(input_file=one.pixels, output_path=tmp_path / "no", output_format="NULL", save_meta_info=False)
    compensate_recording(options)
    assert not os.listdir(tmp_path / "no")


def test_options_serve_again(one, tmp_path):
    options = fast(input_file=one.pixels, output_path=tmp_path, output_format="HDF5", reference_frames=one.image)
    expected = read_twice(options, tmp_path)
    options.alpha = (20.0, 20.0)
    assert not np.array_equal(read_twice(options, tmp_path), expected)
    assert options.input_file is one.pixels


def read_twice(options, folder):
    """The movie that two runs with the same options write."""
    compensate_recording(options)
    first = read(folder / "compensated.HDF5")
    options.get_video_reader().close()
    compensate_recording(options)
    assert np.array_equal(read(folder / "compensated.HDF5"), first)
    return first


def test_masks(one, tmp_path):
    places = {"input_file": one.pixels, "output_path": tmp_path, "output_format": "ARRAY"}
    options = fast(save_valid_idx=True, save_w=True, buffer_size=4, **places)
    corrector = BatchMotionCorrector(options)
    reference = corrector.run(one.image[..., 0])
    assert np.array_equal(reference, one.image[..., 0])
    fields = corrector.w_writer.get_array()
    assert corrector.video_writer.get_array().dtype == np.uint16
    assert len(corrector.mean_disp) == len(corrector.mean_translation) == 10
    with h5py.File(tmp_path / "idx.hdf") as file:
        masks = file["ch1"][()]
    y, x = np.mgrid[:64, :64]
    source_x, source_y = x + fields[..., 0], y + fields[..., 1]
    expected = (source_x >= 0) & (source_x < 64) & (source_y >= 0) & (source_y < 64)
    assert np.array_equal(masks, expected * 255)


def test_failing_callbacks_are_told(one):
    def fails(*arguments):
        raise RuntimeError("no screen")

    with pytest.warns(GalvoWarning, match="no screen"):
        moved, _ = compensate_arr(one.pixels, one.image, fast(), fails)
    assert len(moved) == 10


def test_a_run_that_fails_leaves_no_output(one, tmp_path):
    class Broken(VideoReader):
        def _initialize(self):
            self.frame_count, self.height, self.width, self.n_channels = 10, 64, 64, 1
            self.dtype = np.dtype("u2")

        def _read_raw_frames(self, frames):
            if frames.start >= 4:
                raise OSError("the disk is gone")
            return one.pixels[frames]

        def close(self):
            pass

    reader = Broken()
    reader.buffer_size = 4
    (tmp_path / "compensated.HDF5").write_bytes(b"of before")
    places = {"input_file": reader, "output_path": tmp_path, "output_format": "HDF5"}
    options = fast(reference_frames=one.image, save_w=True, **places)
    with pytest.raises(OSError, match="the disk is gone"):
        compensate_recording(options)
    assert os.listdir(tmp_path) == ["compensated.HDF5"]
    assert (tmp_path / "compensated.HDF5").read_bytes() == b"of before"


# ---- one frame after another -----------------------------------------------------------------------------------------


def test_live_frames_of_any_range(one):
    for scale, offset in ((1, 0), (1 / 4000, 0), (4000, 100)):
        live = FlowRegLive(reference_update_interval=0)
        live.set_reference(one.image * scale + offset)
        _, fields = live.register_frames(one.pixels.astype("f8") * scale + offset)
        np.testing.assert_allclose(shifts(fields), one.moves, atol=0.4)


def test_live_filter_of_each_channel(two):
    live = FlowRegLive(sigma=[[0.5, 1, 0.1], [3, 2, 0.1]])
    live.set_reference(two.image)
    low, high = two.image.min(), two.image.max()
    expected = ndimage.gaussian_filter((two.image[..., 1] - low) / (high - low), (3, 2))
    np.testing.assert_allclose(live.reference_proc[..., 1], expected, atol=1e-6)


def test_live_frames(one):
    live = FlowRegLive(alpha=3, sigma=[1, 1, 0.5], reference_buffer_size=4)
    assert live.options.quality_setting == "fast"
    with pytest.raises(ValueError, match="reference"):
        live.set_reference()
    for frame in one.pixels[:5]:
        moved, field = live(frame)
        assert np.array_equal(moved, frame)
        assert not field.any()
    assert len(live.reference_buffer) == 4
    live.set_reference()
    assert live.get_current_flow() is None
    moved, field = live(one.pixels[3, ..., 0])
    assert (moved.shape, moved.dtype) == ((64, 64, 1), np.float32)
    assert np.array_equal(live.get_current_flow(), field)
    live.set_flow_init(np.zeros((64, 64, 2)))
    assert not live.get_current_flow().any()
    before = live.reference_raw.copy()
    live.reference_update_interval, live.reference_update_weight = 2, 0.25
    moved, _ = live(one.pixels[3])
    np.testing.assert_allclose(live.reference_raw, 0.75 * before + 0.25 * moved)
    live.reset_reference(one.image)
    assert np.array_equal(live.reference_raw, one.image)
    with pytest.raises(ValueError, match="fit"):
        live(np.zeros((64, 64, 2)))
    assert FlowRegLive(OFOptions(min_level=2)).options.effective_min_level == 2
