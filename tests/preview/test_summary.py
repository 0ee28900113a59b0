"""Summary images against NumPy's own mean, std and corrcoef on whole arrays."""

import numpy as np
import pytest

import galvo
from galvo.errors import OptionError, SelectionError
from galvo.preview import summary as module
from galvo.preview.summary import sampled_frames, summarize


def expected_correlation(frames):
    """Mean of the correlations with each neighbour, pixel by pixel, over the frames in which both are finite."""
    _, height, width = frames.shape
    out = np.full((height, width), np.nan)
    for y in range(height):
        for x in range(width):
            found = []
            for ny in range(max(0, y - 1), min(height, y + 2)):
                for nx in range(max(0, x - 1), min(width, x + 2)):
                    one, other = frames[:, y, x], frames[:, ny, nx]
                    both = np.isfinite(one) & np.isfinite(other)
                    one, other = one[both], other[both]
                    if (ny, nx) != (y, x) and both.any() and np.ptp(one) > 0 and np.ptp(other) > 0:
                        found.append(np.corrcoef(one, other)[0, 1])
            if found:
                out[y, x] = np.mean(found)
    return out


def movie(dtype, shape=(40, 1, 1, 9, 13)):
    rng = np.random.default_rng(5)
    t, _, _, y, x = shape
    activity = np.repeat(rng.standard_normal((t, 1, 1, -(-y // 3), -(-x // 3))), 3, axis=3).repeat(3, axis=4)
    pixels = 100 * activity[..., :y, :x] + 60 * rng.standard_normal(shape)
    return (pixels + (0 if np.dtype(dtype).kind in "if" else 800)).round().astype(dtype)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_images_are_those_of_numpy(dtype):
    pixels = movie(dtype)
    found = summarize(galvo.Recording.from_array(pixels))
    whole = pixels[:, 0, 0].astype(float)
    np.testing.assert_array_equal(found.frames, np.arange(40))
    np.testing.assert_allclose(found.mean, whole.mean(0), rtol=1e-6, atol=1e-4)
    np.testing.assert_array_equal(found.max, whole.max(0).astype(np.float32))
    np.testing.assert_allclose(found.std, whole.std(0), rtol=1e-5)
    np.testing.assert_allclose(found.local_correlation, expected_correlation(whole), atol=1e-5)
    assert {image.dtype for image in (found.mean, found.max, found.std, found.local_correlation)} == {
        np.dtype(np.float32)
    }


def test_large_offsets_do_not_spoil_the_correlation():
    pixels = movie("float64") + 1e9
    found = summarize(galvo.Recording.from_array(pixels))
    np.testing.assert_allclose(found.local_correlation, expected_correlation(pixels[:, 0, 0]), atol=1e-5)


def test_values_that_are_not_finite_are_left_out():
    pixels = movie("float32")
    pixels[3, 0, 0, 2:5, 1:4] = np.nan
    pixels[7, 0, 0, 4, 2] = np.inf
    pixels[:, 0, 0, 8, 12] = np.nan
    found = summarize(galvo.Recording.from_array(pixels))
    whole = np.where(np.isfinite(pixels[:, 0, 0]), pixels[:, 0, 0], np.nan).astype(float)
    seen = np.isfinite(whole).any(0)
    for image, expected in ((found.mean, np.nanmean), (found.max, np.nanmax), (found.std, np.nanstd)):
        np.testing.assert_allclose(image[seen], expected(whole[:, seen], axis=0), rtol=1e-5, atol=1e-4)
        assert np.isnan(image[8, 12])
    np.testing.assert_allclose(found.local_correlation, expected_correlation(whole), atol=1e-5)


@pytest.mark.parametrize("dtype", ["uint16", "float32", "float64"])
def test_what_never_changes_has_no_correlation(dtype):
    pixels = movie("uint16").astype(dtype)
    # a value that binary fractions do not hold
    pixels[:, 0, 0, 3:5, 3:5] = 0.1 if dtype != "uint16" else 7
    found = summarize(galvo.Recording.from_array(pixels))
    np.testing.assert_allclose(found.local_correlation, expected_correlation(pixels[:, 0, 0].astype(float)), atol=1e-5)
    assert np.isnan(found.local_correlation[3:5, 3:5]).all()
    assert (found.std[3:5, 3:5] == 0).all()
    constant = summarize(galvo.Recording.from_array(np.full((5, 4, 4), 3, dtype)))
    assert np.isnan(constant.local_correlation).all()
    assert (constant.mean == 3).all()


@pytest.mark.parametrize("shape", [(1, 1, 1, 6, 5), (9, 1, 1, 1, 1), (9, 1, 1, 1, 7), (9, 1, 1, 7, 1)])
def test_few_frames_and_pixels(shape):
    pixels = movie("int16", shape)
    found = summarize(galvo.Recording.from_array(pixels))
    np.testing.assert_allclose(found.mean, pixels[:, 0, 0].mean(0), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.local_correlation, expected_correlation(pixels[:, 0, 0].astype(float)), atol=1e-5)


def test_bands_of_rows_make_no_difference(monkeypatch):
    recording = galvo.Recording.from_array(movie("uint16"))
    whole = summarize(recording)
    monkeypatch.setattr(module, "_SAMPLE_BYTES", 40 * 13 * 2 * 4)
    monkeypatch.setattr(module, "_BAND_BYTES", 40 * 13 * 4 * 3)
    parts = summarize(recording, frames=whole.frames)
    for name in ("mean", "max", "std", "local_correlation"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-5, atol=1e-6)


def test_channel_plane_and_frames_are_those_named():
    pixels = np.random.default_rng(0).integers(0, 900, (12, 2, 3, 4, 5), np.uint16)
    metadata = galvo.Metadata(format="array", channel_names=("red", "green"))
    recording = galvo.Recording.from_array(pixels, metadata=metadata)
    found = summarize(recording, channel="green", plane=2, frames=[1, 4, 9])
    np.testing.assert_allclose(found.mean, pixels[[1, 4, 9], 1, 2].mean(0), rtol=1e-6)
    assert found.frames.tolist() == [1, 4, 9]
    assert summarize(recording, frame_count=5).frames.tolist() == [0, 3, 6, 8, 11]
    with pytest.raises(SelectionError):
        summarize(recording, plane=3)
    with pytest.raises(OptionError):
        summarize(recording.isel(t=[]))


def test_complex_pixels_count_by_magnitude():
    pixels = movie("float32") + 1j * movie("float32")[::-1]
    found = summarize(galvo.Recording.from_array(pixels))
    np.testing.assert_allclose(found.mean, np.abs(pixels[:, 0, 0]).mean(0), rtol=1e-5)


def test_sampled_frames_are_spread_over_the_whole():
    assert sampled_frames(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert sampled_frames(101, 5).tolist() == [0, 25, 50, 75, 100]
    assert sampled_frames(1000, 1).tolist() == [0]
    # groups of 4 that are stored together, the last one that is whole among them
    assert sampled_frames(103, 12, 4).tolist() == [0, 1, 2, 3, 48, 49, 50, 51, 96, 97, 98, 99]
    for length, count, together in ((20_000, 256, 1), (20_000, 256, 30), (20_000, 256, 5000), (300, 256, 2)):
        found = sampled_frames(length, count, together)
        assert 0.8 * count <= found.size <= count
        assert (np.diff(found) > 0).all()
        assert found[0] == 0
        assert found[-1] >= length - 2 * together
    with pytest.raises(OptionError):
        sampled_frames(10, 0)


def test_frames_too_large_for_256_of_them_are_sampled_more_sparsely(monkeypatch):
    recording = galvo.Recording.from_array(np.zeros((300, 8, 8), np.uint16))
    assert summarize(recording).frames.size == 256
    monkeypatch.setattr(module, "_SAMPLE_BYTES", 100 * 8 * 8 * 2)
    assert summarize(recording).frames.size == 100
    monkeypatch.setattr(module, "_SAMPLE_BYTES", 8 * 8 * 2)
    assert summarize(recording).frames.size == 32
