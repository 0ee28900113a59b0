"""The noise model against movies whose noise is known in closed form, and against genuine recordings."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

import galvo
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.errors import Malformed, OptionError, SelectionError, Unsupported
from galvo.noise import NoiseModel, estimate_noise
from galvo.testing.movie import TwoPhotonMovie, write_demo_recording
from galvo.testing.scanimage import ScanImageRecording


@dataclasses.dataclass(frozen=True, kw_only=True)
class Simulation:
    """Photons of a smooth moving scene, seen by a detector; `true_sigma` follows from the fields alone."""

    shape: tuple[int, int, int] = (96, 128, 128)
    peak: float = 12.0  # photons of the brightest pixel
    dark: float = 0.0  # photons of the darkest
    gain: float = 100.0  # counts per photon
    spread: float = 0.4  # pulse heights, standard deviation over mean
    offset: float = 0.0
    read: float = 12.0
    samples: int = 1  # averaged per pixel
    shared: float = 0.0  # correlation of neighbouring columns
    motion: float = 0.5  # pixels
    growth: float = 0.0  # of brightness, over the movie
    clip: tuple[int, int] = (-32768, 32767)
    seed: int = 0

    def scene(self):
        random = np.random.default_rng([self.seed, 1])
        height, width = self.shape[1:]
        y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
        white = np.fft.rfft2(random.standard_normal((height, width)))
        field = np.fft.irfft2(white * np.exp(-2 * (3 * np.pi) ** 2 * (y**2 + x**2)), (height, width))
        return self.dark + self.peak * ((field - field.min()) / np.ptp(field)) ** 2.5

    def frames(self):
        random = np.random.default_rng([self.seed, 2])
        count, height, width = self.shape
        spectrum = np.fft.rfft2(self.scene())
        y, x = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
        out = np.empty(self.shape, np.int16)
        for t in range(count):
            way = np.exp(-2j * np.pi * self.motion * (y * np.sin(0.2 * t) + x * np.cos(0.13 * t)))
            light = np.maximum(np.fft.irfft2(spectrum * way, (height, width)), 0) * (1 + self.growth * t / count)
            # a sum of samples is a Poisson number of pulses too
            photons = random.poisson(light * self.samples)
            counts = self.gain * photons.astype(float)
            if self.spread:
                counts += self.gain * self.spread * np.sqrt(photons) * random.standard_normal(photons.shape)
            counts /= self.samples
            if self.read:
                counts += self.read / np.sqrt(self.samples) * random.standard_normal(photons.shape)
            if self.shared:
                noise = counts - self.gain * light
                plus, minus = np.sqrt(1 + 2 * self.shared), np.sqrt(1 - 2 * self.shared)
                counts += ((plus + minus) / 2 - 1) * noise + (plus - minus) / 2 * np.roll(noise, 1, axis=1)
            out[t] = np.clip(np.rint(counts + self.offset), *self.clip)
        return out

    @property
    def true_gain(self):
        return self.gain * (1 + self.spread**2) / self.samples

    def true_sigma(self, expected):
        rounding = 1 / 12 if self.read or self.spread else 0
        return np.sqrt(self.true_gain * (expected - self.offset) + self.read**2 / self.samples + rounding)

    def levels(self):
        """Values of 5, 50 and 95 % of the pixels."""
        return np.quantile(self.scene(), [0.05, 0.5, 0.95]) * self.gain + self.offset


UNCLIPPED = {
    "100 counts per photon, negative values": Simulation(),
    "40 counts per photon, negative offset": Simulation(gain=40, offset=-30),
    "2 photons at the brightest": Simulation(peak=2),
    "0.2 photons at the brightest": Simulation(peak=0.2, shape=(96, 192, 192)),
    "read noise as large as the gain": Simulation(peak=0.2, read=100),
    "motion of 4 pixels": Simulation(motion=4),
    "dense": Simulation(peak=200, gain=15, offset=200, read=20),
    "dense, motion of 4 pixels": Simulation(peak=200, gain=15, offset=200, read=20, motion=4),
    "columns share noise": Simulation(shared=0.35),
    "average of 4 samples": Simulation(samples=4, gain=60, offset=-20),
    "average of 16 samples": Simulation(samples=16, gain=60),
    "photon counts": Simulation(gain=1, spread=0, read=0),
    "photon counts times 16": Simulation(gain=16, spread=0, read=0),
    "8 frames": Simulation(shape=(8, 256, 256)),
    "brightness doubles": Simulation(growth=1),
    "camera": Simulation(peak=3000, gain=0.5, spread=0, offset=100, read=2, motion=0.1),
}


@pytest.fixture(scope="module")
def bright():
    """Frames and model of the first case."""
    frames = Simulation().frames()
    return frames, estimate_noise(frames)


@pytest.mark.parametrize("case", UNCLIPPED)
def test_sigma_is_within_2_percent_of_the_truth(case):
    simulation = UNCLIPPED[case]
    model = estimate_noise(simulation.frames())
    levels = simulation.levels()
    assert model.expected_sigma(levels) == pytest.approx(simulation.true_sigma(levels), rel=0.02)
    assert model.fits, model.explain()
    assert model.flags == ()
    assert model.residual < 0.03
    assert model.correlation_x == pytest.approx(simulation.shared, abs=0.04)


def test_a_third_of_the_frames_in_violent_motion_is_left_out():
    simulation = Simulation(peak=200, gain=15, offset=200, read=20)
    frames = simulation.frames()
    for t in range(64, 96):
        frames[t] = np.roll(frames[t], (5 * (t % 2), 3 * (t % 3)), axis=(0, 1))
    model = estimate_noise(frames)
    levels = simulation.levels()
    assert model.expected_sigma(levels) == pytest.approx(simulation.true_sigma(levels), rel=0.02)
    assert model.fits


def test_sigma_of_stored_values_has_the_noise_of_a_photon_that_did_not_come(bright):
    _, model = bright
    truth = Simulation()
    values = np.array([0, 500, 1000])
    line = truth.true_gain * values + 12**2 + 1 / 12 + 3 / 8 * truth.true_gain**2
    assert model.sigma(values) == pytest.approx(np.sqrt(line), rel=0.02)
    # far below the dark peak the noise is that of the dark
    assert model.sigma(-500) == pytest.approx(np.sqrt(12**2 + 3 / 8 * truth.true_gain**2), rel=0.02)
    assert model.sigma(np.zeros((2, 3, 4), np.uint16)).shape == (2, 3, 4)


def test_offset_is_told_where_a_dark_peak_shows_it_and_not_otherwise(bright):
    _, model = bright
    assert model.offset == pytest.approx(0, abs=3)
    assert model.read_noise == pytest.approx(12, rel=0.1)
    dense = estimate_noise(Simulation(peak=200, dark=10, gain=15, offset=200, read=20).frames())
    assert dense.offset is None
    assert dense.read_noise is None
    assert "motion" not in dense.flags


def test_dark_frames_have_a_constant_sigma():
    model = estimate_noise(Simulation(peak=1e-9, read=12).frames())
    assert model.flags == ("no_light",)
    assert model.gain == 0
    assert model.offset is None
    assert model.sigma([-40, 0, 4000]) == pytest.approx([12] * 3, rel=0.01)


def test_saturated_frames_are_measured_below_half_of_the_clip_level():
    level = 600
    simulation = Simulation(clip=(-32768, level))
    frames = simulation.frames()
    model = estimate_noise(frames)
    assert "clipped_high" in model.flags
    assert model.clip_high == level
    assert model.clip_high_fraction == pytest.approx((frames[::2] == level).mean(), rel=0.05)
    assert max(mean for mean, _, _ in model.bins) < 0.6 * level
    assert model.expected_sigma(100) == pytest.approx(simulation.true_sigma(100), rel=0.05)


def test_values_clipped_at_zero_are_flagged_and_sigma_is_not_larger_than_the_truth():
    simulation = Simulation(peak=3, read=15, clip=(0, 32767))
    model = estimate_noise(simulation.frames())
    assert model.flags == ("clipped_low",)
    assert model.clip_low == 0
    assert model.offset is None
    ratio = model.expected_sigma(simulation.levels()) / simulation.true_sigma(simulation.levels())
    assert (ratio < 1.02).all()
    assert (ratio[1:] > 0.85).all()


def test_a_photon_counter_is_not_called_clipped():
    model = estimate_noise(Simulation(peak=0.3, gain=1, spread=0, read=0).frames())
    assert model.flags == ()
    assert model.gain == pytest.approx(1, rel=0.02)


def test_a_curved_variance_does_not_fit():
    squared = (Simulation(peak=40, gain=10).frames().clip(0) / 20.0) ** 2
    model = estimate_noise(squared.astype(np.float32))
    assert model.flags[0] == "residual"
    assert not model.fits
    assert model.residual > 0.04
    assert "straight line" in model.explain()[0]


def test_undivided_channels_do_not_fit():
    frames = np.empty((96, 128, 128), np.int16)
    frames[::2] = Simulation(shape=(48, 128, 128), peak=250).frames()
    frames[1::2] = Simulation(shape=(48, 128, 128), peak=250, seed=5).frames()
    model = estimate_noise(frames)
    assert not model.fits
    # white noise has none
    assert model.correlation_x > 0.2
    assert "row_correlation" in model.flags


def test_rows_that_share_noise_do_not_fit():
    frames = Simulation().frames().astype(np.float32)
    model = estimate_noise((frames[:, 1:] + frames[:, :-1]) / 2)
    assert "row_correlation" in model.flags
    # neighbours of such a mean share half of their noise; rows further apart are taken to share none
    assert model.correlation_y == pytest.approx(0.5, abs=0.05)
    assert not model.fits


def test_pixels_that_were_quantised_before_do_not_fit():
    codes = np.rint(np.sqrt(Simulation().frames().clip(0)) / 2)
    model = estimate_noise(np.rint((codes * 2) ** 2 * 1.01).astype(np.uint16))
    assert "quantised" in model.flags
    assert not model.fits


def test_three_frames_are_measured_and_refused():
    model = estimate_noise(Simulation(shape=(3, 256, 256)).frames())
    assert "few_frames" in model.flags
    assert not model.fits


def test_few_pixels_are_told_from_a_misfit():
    model = estimate_noise(Simulation(shape=(20, 16, 16)).frames())
    assert "few_samples" in model.flags
    assert "residual" not in model.flags
    assert not model.fits


def test_a_gain_that_chance_could_hide_is_not_called_darkness():
    # the slope is there, 10 frames of 20 x 20 cannot show it
    simulation = Simulation(shape=(10, 20, 20), peak=3, gain=10, spread=0, read=40)
    found = [estimate_noise(dataclasses.replace(simulation, seed=seed).frames()) for seed in range(12)]
    dark = [model for model in found if "no_light" in model.flags]
    assert not any(model.fits for model in dark)
    assert dark


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((2, 64, 64), np.uint16),
        np.arange(20 * 64, dtype=np.uint16).reshape(20, 1, 64),
        np.zeros((20, 64, 64), np.uint16),
        np.full((20, 64, 64), np.nan, np.float32),
        np.zeros((0, 64, 64), np.uint16),
        Simulation(shape=(10, 8, 8)).frames(),
        np.broadcast_to(Simulation(shape=(1, 64, 64)).frames(), (20, 64, 64)),
    ],
    ids=["two frames", "one row", "blank", "NaN", "empty", "tiny", "a still"],
)
def test_what_cannot_be_measured_is_an_error(frames):
    with pytest.raises(Unsupported, match=r"noise"):
        estimate_noise(frames)


def test_classes_without_any_variance_do_not_overflow():
    """A drawn pattern, most of whose neighbours differ by the same number in every frame."""
    model = estimate_noise(ScanImageRecording(height=32, width=48, frames=12, channels=(1, 2)).expected()[:, 0, 0])
    assert "residual" in model.flags
    with pytest.raises(Unsupported, match="do not vary"):
        estimate_noise(ScanImageRecording(height=64, width=64, frames=8).expected()[:, 0, 0])


def test_options_that_do_not_fit():
    frames = np.zeros((10, 64, 64), np.uint16)
    with pytest.raises(OptionError, match="axes"):
        estimate_noise(frames[0])
    with pytest.raises(OptionError, match="real numbers"):
        estimate_noise(frames.astype(complex))
    with pytest.raises(OptionError, match="real numbers"):
        estimate_noise(frames.astype(bool))
    with pytest.raises(OptionError, match="max_frames"):
        estimate_noise(frames, max_frames=2)
    with pytest.raises(OptionError, match="2 channels"):
        estimate_noise(np.zeros((10, 2, 1, 64, 64), np.uint16))
    with pytest.raises(SelectionError):
        estimate_noise(frames, channel=1)
    with pytest.raises(SelectionError):
        estimate_noise(frames, plane=3)


def test_blank_frames_repeated_frames_and_nan_change_nothing(bright):
    frames, model = bright
    damaged = frames.astype(np.float64)
    damaged[:, 40:44, 60:70] = np.nan
    damaged[3, 100] = np.inf
    damaged[50:54] = 0
    damaged[71] = damaged[70]
    found = estimate_noise(damaged)
    assert found.fits
    levels = Simulation().levels()
    assert found.expected_sigma(levels) == pytest.approx(model.expected_sigma(levels), rel=0.015)


@pytest.mark.parametrize(
    ("kind", "factor", "shift"),
    [(np.uint16, 1, 1000), (np.int32, 1000, -70000), (np.float32, 1 / 4096, 0.25), (">u2", 1, 1000)],
)
def test_every_type_of_pixel_and_every_unit(bright, kind, factor, shift):
    frames, model = bright
    found = estimate_noise((frames * np.float64(factor) + shift).astype(kind))
    levels = Simulation().levels()
    assert found.expected_sigma(levels * factor + shift) == pytest.approx(
        model.expected_sigma(levels) * factor, rel=0.002
    )
    assert found.offset == pytest.approx(model.offset * factor + shift, abs=3 * factor)


def test_a_recording_is_measured_per_channel_and_plane():
    cases = {
        (c, z): Simulation(shape=(40, 96, 96), gain=30.0 * (1 + c), seed=10 * c + z) for c in (0, 1) for z in (0, 1)
    }
    cases[0, 1] = dataclasses.replace(cases[0, 1], gain=60)
    frames = np.empty((40, 2, 3, 96, 96), np.int16)
    for (c, z), simulation in cases.items():
        frames[:, c, z] = simulation.frames()
    # flyback is not the sample's noise
    frames[:, :, 2] = np.random.default_rng(0).integers(0, 30000, (40, 2, 96, 96))
    metadata = Metadata(format="array", channel_names=("green", "red"), z_um=(0.0, 30.0, float("nan")))
    recording = Recording.from_array(frames, metadata=metadata)
    for (c, z), simulation in cases.items():
        model = estimate_noise(recording, channel=("green", "red")[c], plane=z)
        assert model.gain == pytest.approx(simulation.true_gain, rel=0.05)
        assert model == estimate_noise(frames[:, c, z])
    both = estimate_noise(recording, channel="red")
    assert both.gain == pytest.approx(cases[1, 0].true_gain, rel=0.03)
    assert both.fits
    # planes of different gain are no single line
    assert not estimate_noise(recording, channel="green").fits


class _Counting:
    """An array's reader that notes which frames were asked for."""

    def __init__(self, frames):
        self.inner = Recording.from_array(frames)._reader
        self.shape, self.dtype = self.inner.shape, self.inner.dtype
        self.asked = []

    def read(self, selection, out):
        self.asked += [int(t) for t in selection.t]
        self.inner.read(selection, out)


def test_a_long_recording_is_sampled_from_end_to_end_and_each_frame_read_once():
    simulation = Simulation(shape=(600, 48, 48))
    reader = _Counting(simulation.frames())
    model = estimate_noise(Recording(reader, Metadata(format="array")), max_frames=120)
    assert len(reader.asked) == len(set(reader.asked)) == model.frame_count
    assert 90 <= model.frame_count <= 120
    assert min(reader.asked) < 20
    assert max(reader.asked) > 580
    levels = simulation.levels()
    assert model.expected_sigma(levels) == pytest.approx(simulation.true_sigma(levels), rel=0.04)


def test_the_same_frames_give_the_same_model(bright):
    frames, model = bright
    assert estimate_noise(frames.copy()) == model
    assert estimate_noise(frames[:, None, None]) == model
    assert hash(estimate_noise(frames)) == hash(model)


def test_a_written_movie_with_two_detectors(tmp_path):
    movie = TwoPhotonMovie(frames=60, height=96, width=96, gain=60, read_noise=12, photons=3)
    write_demo_recording(tmp_path, movie)
    recording = galvo.open(tmp_path / "demo_00001_00001.tif")
    for channel in recording.channel_names:
        model = estimate_noise(recording, channel=channel)
        assert model.fits, model.explain()
        expected = np.array([60.0, 180.0, 400.0])
        assert model.expected_sigma(expected) == pytest.approx(np.sqrt(60 * expected + 12**2), rel=0.03)


def test_json_brings_back_every_field(bright):
    _, model = bright
    text = model.to_json()
    assert NoiseModel.from_json(text) == model
    assert NoiseModel.from_json(text.encode()) == model
    clipped = dataclasses.replace(model, clip_low=0.0, flags=("clipped_low", "residual"))
    assert NoiseModel.from_json(clipped.to_json()) == clipped


@pytest.mark.parametrize(
    "change",
    [
        {"gain": None},
        {"gain": -1.0},
        {"gain": True},
        {"gain": float("nan")},
        {"dark_variance": 0},
        {"flags": ["unheard of"]},
        {"flags": "residual"},
        {"bins": [[1, 2]]},
        {"bins": [["a", 2, 3]]},
        {"frame_count": 1.5},
        {"has_dark_pixels": 1},
        {"more": 1},
        {"noise_model": 2},
    ],
    ids=str,
)
def test_json_of_others_is_refused(bright, change):
    with pytest.raises(Malformed):
        NoiseModel.from_json(json.dumps(json.loads(bright[1].to_json()) | change))
    with pytest.raises(Malformed):
        NoiseModel.from_json("[" * 100_000)


def _through_the_format(values, offset, scale):
    """Codes and pixels of PZF's square-root quantiser, one pixel at a time."""
    codes, back = [], []
    per_scale = np.float32(1.0 / scale)
    for value in values:
        root = per_scale * np.sqrt(np.float32(value) - np.float32(offset))
        code = int(np.floor(np.float64(root) + 0.5))
        codes.append(code)
        size = np.float32(code) * np.float32(scale)
        back.append(int(size * size + np.float32(offset)))
    return np.array(codes), np.array(back)


LEVELS = {
    "two-photon": (116.0, 144.0 - 116 * 60, 12.0**2, (20, 8191)),
    "dense": (17.4, -3080.0, 400.0, (110, 6000)),
    "no light": (0.0, 144.0, 144.0, (40, 160)),
    "photon counts": (1.0, 0.0, 1 / 12, (0, 900)),
    "camera": (0.9, 19.0, 100.0, (90, 60000)),
    "one value": (10.0, 20.0, 4.0, (7, 7)),
    "the whole of uint16": (2000.0, 100.0, 100.0, (0, 65535)),
}


@pytest.mark.parametrize("wanted", [0.25, 0.5])
@pytest.mark.parametrize("case", LEVELS)
def test_square_root_levels_keep_what_they_say(bright, case, wanted):
    gain, at_zero, dark, value_range = LEVELS[case]
    model = dataclasses.replace(bright[1], gain=gain, variance_at_zero=at_zero, dark_variance=dark)
    levels = model.sqrt_levels(wanted, value_range=value_range)
    low, high = value_range
    values = np.unique(np.r_[low : min(high, low + 1500) + 1, np.linspace(low, high, 800).astype(int)])
    codes, back = _through_the_format(values, levels.offset, levels.scale)
    assert codes.max() == levels.highest_code <= 255
    assert (back >= 0).all()
    assert (back <= 65535).all()
    worst = (np.abs(values - back) / model.sigma(values)).max()
    assert worst <= levels.max_error_sigma * (1 + 1e-6)
    assert levels.offset == np.float32(levels.offset) <= low
    assert levels.scale == np.float32(levels.scale) > 0
    assert levels.meets_wanted_error == (levels.max_error_sigma <= wanted)
    if case in ("two-photon", "dense", "no light", "one value", "the whole of uint16"):
        assert levels.meets_wanted_error
        assert not levels.limited_by_range
    if case == "camera":
        assert levels.limited_by_range
        assert levels.highest_code > 240
        assert not levels.meets_wanted_error


def test_square_root_levels_are_as_coarse_as_the_noise_allows(bright):
    # far above the dark, half of a step is scale * sqrt(x - offset) = scale * sigma / sqrt(gain)
    model = dataclasses.replace(bright[1], gain=100.0, variance_at_zero=0.0, dark_variance=1.0)
    for wanted in (0.25, 0.5, 1.0):
        levels = model.sqrt_levels(wanted, value_range=(0, 20000))
        assert levels.scale == pytest.approx(wanted * np.sqrt(100), rel=0.2)
        assert 0.85 * wanted < levels.max_error_sigma <= wanted


@pytest.mark.parametrize("value_range", [(-1, 100), (0, 65536), (5, 4)])
def test_square_root_levels_are_for_uint16(bright, value_range):
    with pytest.raises(OptionError, match="uint16"):
        bright[1].sqrt_levels(value_range=value_range)
    with pytest.raises(OptionError, match="positive"):
        bright[1].sqrt_levels(0.0, value_range=(0, 100))


def test_a_genuine_resonant_recording(sample_data):
    path = sample_data / "derived" / "calscipy_bruker_1plane_crop256_100f_zlib.tif"
    if not path.exists():
        pytest.skip(f"genuine file {path.name} is not at hand")
    model = estimate_noise(galvo.open(path))
    assert model.fits, model.explain()
    assert model.gain == pytest.approx(1170, rel=0.05)
    # its columns share noise, its rows do not
    assert model.correlation_x == pytest.approx(0.62, abs=0.03)
    assert abs(model.correlation_y) < 0.03
    assert model.residual < 0.02


def test_a_genuine_recording_that_was_rescaled_to_8_bits(sample_data):
    names = sorted((sample_data / "movies" / "mesoscope_workshop_highmag").glob("*.tif"))
    if not names:
        pytest.skip("genuine folder mesoscope_workshop_highmag is not at hand")
    model = estimate_noise(galvo.open(names))
    assert "residual" in model.flags
    assert 0.04 < model.residual < 0.08
    assert model.clip_high == 255
    assert not model.fits


def test_pixels_without_noise_are_no_infinite_weight():
    frames = ScanImageRecording(height=48, width=48, frames=20, channels=(1, 2)).expected_pages()
    # NumPy's warnings are errors
    with pytest.raises(Unsupported, match="do not vary"):
        estimate_noise(frames[1::2])
