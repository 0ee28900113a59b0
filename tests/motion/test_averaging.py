"""References made of a movie's own frames."""

from __future__ import annotations

import numpy as np
import pytest

import galvo
from galvo import motion
from galvo.errors import OptionError
from galvo.motion import averaging


def shifted(image, rng, count, spread=0.0, noise=0.0):
    """Frames that show `image` moved by whole pixels (rolled), and the shifts (T, 2), x before y."""
    shifts = rng.normal(0, spread, (count, 2)).round().astype(int)
    frames = np.stack([np.roll(image, (y, x), axis=(0, 1)) for x, y in shifts])
    return (frames + rng.normal(0, noise, frames.shape)).clip(0).round().astype(np.uint16), shifts


@pytest.fixture(scope="module")
def scene(moving):
    return np.round(moving.reference * 8)[:, :, :1]


def correlation(one, other):
    inner = np.s_[8:-8, 8:-8]
    return np.corrcoef(np.ravel(one[inner]), np.ravel(other[inner]))[0, 1]


def test_the_frames_that_are_alike_are_found(scene):
    """Some frames show something else altogether; none of them is averaged."""
    rng = np.random.default_rng(0)
    frames, _ = shifted(scene, rng, 60, spread=1.5, noise=60)
    odd = np.arange(2, 60, 3)
    frames[odd] = shifted(scene[::-1, ::-1], rng, len(odd), spread=6, noise=60)[0]
    built = motion.build_reference(frames)
    assert not set(built.frames) & set(odd.tolist())
    assert len(built.frames) == 36
    assert list(built.frames) == sorted(built.frames)
    assert built.reference.frame_count == 36
    aligned = max(
        correlation(np.roll(built.reference.image, (y, x), (0, 1)), scene) for y in (-1, 0, 1) for x in (-1, 0, 1)
    )
    plain = correlation(frames.mean(axis=0), scene)
    assert aligned > 0.97 > plain


def test_halves_are_means_of_every_other_frame(scene):
    rng = np.random.default_rng(1)
    frames, _ = shifted(scene, rng, 9, noise=50)
    built = motion.build_reference(frames, rounds=0)
    assert built.frames == tuple(range(9))
    assert np.allclose(built.reference.image, frames.mean(axis=0), rtol=1e-6)
    for half, start in zip(built.reference.halves, (0, 1), strict=True):
        assert np.allclose(half, frames[start::2].mean(axis=0), rtol=1e-6)
    single = motion.build_reference(frames[:1])
    assert single.reference.halves is None
    assert single.reference.frame_count == 1


def test_noise_of_the_halves_is_independent(scene):
    """Their difference shows the noise of the mean, as it must for telling signal from noise."""
    rng = np.random.default_rng(2)
    frames, _ = shifted(scene, rng, 64, spread=1, noise=80)
    built = motion.build_reference(frames, chosen=slice(None))
    even, odd = built.reference.halves
    inner = np.s_[8:-8, 8:-8]
    noise = (even - odd)[inner].std() / 2
    # cubic interpolation at sub-pixel positions averages some of it away
    assert 0.6 * 80 / 8 < noise < 1.15 * 80 / 8


@pytest.mark.parametrize("chosen", [[3, 1, 3, -1], slice(1, 8, 2), range(4)])
def test_chosen_frames_are_taken_as_they_are_named(scene, chosen):
    rng = np.random.default_rng(3)
    frames, _ = shifted(scene, rng, 12, spread=2, noise=40)
    built = motion.build_reference(frames, chosen=chosen)
    positions = range(12)[chosen] if isinstance(chosen, slice) else [t % 12 for t in chosen]
    assert built.frames == tuple(sorted(set(positions)))


@pytest.mark.parametrize("chosen", [[], [12], [-13], slice(5, 5)])
def test_frames_that_are_not_there(scene, chosen):
    with pytest.raises(OptionError, match="needs frames of the recording"):
        motion.build_reference(np.repeat(scene[None], 12, axis=0), chosen=chosen)


def test_of_a_recording_read_in_parts(scene, monkeypatch):
    """Equal whether the sample is held or read again, in any batches, by any threads."""
    rng = np.random.default_rng(4)
    frames, _ = shifted(scene, rng, 30, spread=1.5, noise=60)
    whole = motion.build_reference(frames, threads=1)
    recording = galvo.Recording.from_array(frames[:, None, None, :, :, 0])
    every = motion.build_reference(frames, chosen=slice(None), threads=2)
    for most, together in ((1 << 30, 7), (1, 16), (1, 1)):
        with monkeypatch.context() as patch:
            patch.setattr(averaging, "_TOGETHER", together)
            patch.setattr(averaging, "MOST_SAMPLE_BYTES", most)
            again = motion.build_reference(recording, chosen=range(30), threads=3)
        assert again.reference.image.tobytes() == every.reference.image.tobytes()
        assert again.frames == every.frames
    assert whole.reference.image.tobytes() == motion.build_reference(recording).reference.image.tobytes()
    monkeypatch.setattr(averaging, "MOST_SAMPLE_BYTES", 12 * scene.size * 4)
    assert len(motion.build_reference(recording, rounds=0).frames) == 12


def test_frames_without_contrast(scene):
    flat = np.full((5, 20, 30), 7, np.uint16)
    assert np.array_equal(motion.build_reference(flat).reference.image, np.full((20, 30, 1), 7))
