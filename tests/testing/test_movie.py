"""The two-photon movie: deterministic, with the noise and the motion that it announces."""

from __future__ import annotations

import time

import numpy as np
import pytest
import tifffile

from galvo.testing.movie import TwoPhotonMovie, write_demo_recording


@pytest.fixture(scope="module")
def movie() -> TwoPhotonMovie:
    return TwoPhotonMovie(frames=24, height=96, width=128, seed=3)


def sample_cubic(image, y, x):
    """Catmull-Rom samples, and where all their taps were inside."""
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    inside = (top >= 1) & (left >= 1) & (top < image.shape[0] - 2) & (left < image.shape[1] - 2)

    def weights(f):
        return np.stack([
            -0.5 * f + f**2 - 0.5 * f**3,
            1 - 2.5 * f**2 + 1.5 * f**3,
            0.5 * f + 2 * f**2 - 1.5 * f**3,
            -0.5 * f**2 + 0.5 * f**3,
        ])  # fmt: skip

    wy, wx = weights(y - top), weights(x - left)
    out = np.zeros(y.shape)
    for i in range(4):
        rows = np.clip(top + i - 1, 0, image.shape[0] - 1)
        for j in range(4):
            out += wy[i] * wx[j] * image[rows, np.clip(left + j - 1, 0, image.shape[1] - 1)]
    return out, inside


def test_same_seed_same_movie_whatever_the_blocks(movie):
    whole = movie.read(0, movie.frames)
    assert whole.shape == (24, 2, 96, 128)
    assert whole.dtype == np.int16
    again = TwoPhotonMovie(frames=24, height=96, width=128, seed=3)
    for size in (1, 7, 24, 100):
        np.testing.assert_array_equal(np.concatenate(list(again.blocks(size))), whole)
    np.testing.assert_array_equal(again.frame(17), whole[17])
    other = TwoPhotonMovie(frames=24, height=96, width=128, seed=4)
    assert not np.array_equal(other.frame(0), whole[0])


def test_noise_is_that_of_the_detector():
    movie = TwoPhotonMovie(frames=1, height=128, width=128, photons=6.0, gain=20.0, offset=100.0, read_noise=9.0)
    mean = movie.clean_frame(0).astype(np.float64)
    values = movie.frame(0).astype(np.float64)
    expected = movie.gain**2 * mean + movie.read_noise**2 + 1 / 12
    residual = (values - movie.offset - movie.gain * mean) / np.sqrt(expected)
    count = residual.size
    assert abs(residual.mean()) < 5 / np.sqrt(count)
    assert residual.var() == pytest.approx(1, abs=8 * np.sqrt(2 / count))
    # The slope of variance over mean is the gain, bin by bin.
    for low, high in ((0, 40), (40, 80), (80, 100)):
        chosen = (mean >= np.percentile(mean, low)) & (mean < np.percentile(mean, high))
        assert residual[chosen].var() == pytest.approx(1, abs=0.1)


def test_displacement_brings_clean_frames_back(movie):
    y, x = np.indices((movie.height, movie.width))
    field = movie.displacement()
    assert field.shape == (24, 96, 128, 2)
    assert field.dtype == np.float32
    for t in (0, 11, 23):
        u, v = field[t, ..., 0].astype(float), field[t, ..., 1].astype(float)
        frame, reference = movie.clean_frame(t), movie.reference(t)
        for channel in range(2):
            back, inside = sample_cubic(frame[channel].astype(float), y + v, x + u)
            error = (back - reference[channel])[inside]
            still = (frame[channel] - reference[channel])[inside]
            contrast = reference[channel].std()
            assert np.sqrt(np.mean(error**2)) < 0.05 * contrast
            assert np.sqrt(np.mean(error**2)) < 0.25 * np.sqrt(np.mean(still**2))


def test_displacement_solves_its_equation(movie):
    y, x = np.indices((movie.height, movie.width)).astype(float)
    w = movie.displacement(9, 10)[0].astype(float)
    u = movie._shift(9, y + w[..., 1], x + w[..., 0])
    np.testing.assert_allclose(np.moveaxis(u, 0, -1), w, atol=2e-6)


def test_motion_is_rigid_plus_elastic_of_the_size_asked():
    movie = TwoPhotonMovie(frames=200, height=64, width=64, rigid_walk=0.0, rigid_jitter=0.0, elastic=0.0)
    assert not movie.displacement().any()
    movie = TwoPhotonMovie(frames=300, height=128, width=128, seed=1)
    field = np.concatenate([movie.displacement(t, t + 1) for t in range(0, 300, 10)])
    assert 0.5 < field.std() < 5
    elastic = field - field.mean(axis=(1, 2), keepdims=True)
    assert 0.3 * movie.elastic < elastic.std() < 2 * movie.elastic


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("shape", [(16, 16), (24, 80), (64, 64)])
def test_small_frames_do_not_fold(shape, seed):
    movie = TwoPhotonMovie(frames=20, height=shape[0], width=shape[1], seed=seed)
    w = movie.displacement()
    jacobian = (1 + np.gradient(w[..., 0], axis=2)) * (1 + np.gradient(w[..., 1], axis=1)) - np.gradient(
        w[..., 0], axis=1
    ) * np.gradient(w[..., 1], axis=2)
    assert jacobian.min() > 0.1
    assert movie.frame(0).shape == (2, *shape)


def test_activity_is_green_and_red_is_still():
    movie = TwoPhotonMovie(frames=120, height=96, width=96, rigid_walk=0, rigid_jitter=0, elastic=0, seed=2)
    assert movie.traces.shape[1] == 120
    assert movie.traces.min() >= 0
    assert movie.traces.max() > 0.2
    first, last = movie.clean_frame(0), movie.clean_frame(int(movie.traces.sum(axis=0).argmax()))
    np.testing.assert_array_equal(first[1], last[1])
    assert (last[0] - first[0]).max() > 0.2 * movie.photons
    rest = movie.reference()
    assert rest[0].mean() == pytest.approx(movie.photons, rel=0.25)
    assert rest.min() >= 0


def test_three_hundred_frames_in_seconds():
    movie = TwoPhotonMovie()
    start = time.process_time()
    frames = sum(len(block) for block in movie.blocks())
    assert frames == 300
    assert time.process_time() - start < 20


def test_demo_recording_is_the_movie(tmp_path):
    movie = TwoPhotonMovie(frames=9, height=40, width=48)
    paths = write_demo_recording(tmp_path, movie)
    assert [p.name for p in paths] == ["demo_00001_00001.tif", "demo_00001_00002.tif"]
    pages = []
    for path in paths:
        with tifffile.TiffFile(path) as file:
            assert file.is_scanimage
            pages += [page.asarray() for page in file.pages]
    np.testing.assert_array_equal(np.stack(pages).reshape(9, 2, 40, 48), movie.read(0, 9))


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"gain": 0.0}, {"read_noise": -1.0}, {"elastic": np.nan}])
def test_impossible_movies_are_refused(wrong):
    with pytest.raises(ValueError, match=r"\w"):
        TwoPhotonMovie(**wrong)
