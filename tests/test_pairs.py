"""From every readable to every writable format: equal, or refused with the name of the option that allows it."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import ExitStack

import numpy as np
import pytest

import galvo
from galvo.errors import GalvoError
from galvo.formats import REGISTRY
from galvo.testing.mdf import installed_double, write_mdf
from galvo.testing.scanbox import ScanboxRecording
from galvo.testing.scanimage import ScanImageRecording

RNG = np.random.default_rng(0)
WRITABLE = [name for name, entry in REGISTRY.all().items() if entry.sink is not None]
# what an output is called where it is not "out" and the format's suffix
NAMES = {"pzf": "out", "avi": "out.avi"}
# containers that are not the first of their format, and that lose nothing either
CONTAINERS = {"avi": "video"}
SHAPES = {"planar": (5, 1, 1, 8, 6), "channels": (5, 2, 1, 8, 6), "volumes": (3, 2, 2, 8, 6)}
DTYPES = ["uint8", "int8", "uint16", "int16", "int32", "float32", "float64", "bool", "complex64"]
OPTION = re.compile(r"(dtype|axes|scale|split_channels|version|layout)=")


def pixels_of(shape, dtype):
    pixels = RNG.integers(0, 2 if dtype == "bool" else 100, shape)
    if np.dtype(dtype).kind in "if" or dtype == "complex64":
        pixels = pixels - 50
    return pixels.astype(dtype)


def name_of(format):
    return NAMES.get(format) or f"out{REGISTRY.get(format).suffixes[0]}"


def converted(source, folder, format, **options):
    """What comes back, or the error; nothing may be left of what was refused."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        own = CONTAINERS.get(format, format)
        result = galvo.convert(source, folder / name_of(format), format=own, verify=True, **options)
    except GalvoError as error:
        assert not os.listdir(folder), f"left behind by a refusal: {os.listdir(folder)}"
        return error
    assert result.verification.ok
    return galvo.load(folder / name_of(format), squeeze=False)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Every readable format, as galvo or its own program writes it, made once."""
    with installed_double(tmp_path_factory.mktemp("double")):
        made = list(made_sources(tmp_path_factory.mktemp("sources")))
        with ExitStack() as opened:
            read = {opened.enter_context(galvo.open(source)).metadata.format for _, source in made}
        assert read >= set(REGISTRY.all())
        yield made


def made_sources(folder):
    yield "array", RNG.integers(0, 100, (4, 2, 1, 8, 6)).astype(np.uint16)
    for number, (format, shape, dtype) in enumerate(
        (format, shape, dtype)
        for format in WRITABLE
        for shape in SHAPES.values()
        for dtype in ("uint8", "uint16", "int16", "float32")
    ):
        path = folder / str(number)
        path.mkdir()
        made = converted(pixels_of(shape, dtype), path / "made", format)
        if not isinstance(made, GalvoError):
            yield f"{format} {shape} {dtype}", path / "made" / name_of(format)
    truth = ScanImageRecording(height=8, width=6, slices=2, flyback=1, volumes=3, channels=(1, 2))
    (folder / "scanimage").mkdir()
    yield "scanimage", truth.write(folder / "scanimage")[0]
    (folder / "scanbox").mkdir()
    yield "scanbox", ScanboxRecording(planes=2, frames=8).write(folder / "scanbox")
    write_mdf(folder / "movie.mdf", pixels_of((4, 2, 8, 6), "uint16"))
    yield "mdf", folder / "movie.mdf"
    galvo.save(pixels_of((4, 1, 1, 8, 6), "uint8"), folder / "movie.mp4")
    yield "mp4", folder / "movie.mp4"
    galvo.save(pixels_of((4, 2, 1, 8, 6), "int16"), folder / "split.h5", split_channels=True)
    yield "files of channels", folder / "split_ch1.h5"


@pytest.mark.filterwarnings("ignore::galvo.errors.GalvoWarning")
@pytest.mark.parametrize("format", WRITABLE)
def test_every_readable_format(tmp_path, sources, format):
    outcomes = {}
    for name, source in sources:
        with galvo.open(source) as recording:
            expected, rate, names = recording[...], recording.frame_rate_hz, recording.channel_names
            found = converted(recording, tmp_path / "out", format)
        outcomes[name] = found
        if isinstance(found, GalvoError):
            assert OPTION.search(str(found)), f"{name}: no option is named: {found}"
            continue
        assert found.dtype == expected.dtype, name
        np.testing.assert_array_equal(found, expected, err_msg=name)
        with galvo.open(tmp_path / "out" / name_of(format)) as made:
            assert made.frame_rate_hz == pytest.approx(rate) if rate else made.frame_rate_hz is None, name
            assert made.channel_names == names, name
    equal = [name for name, found in outcomes.items() if not isinstance(found, GalvoError)]
    assert equal, f"{format} takes nothing of {len(outcomes)} sources"


@pytest.mark.filterwarnings("ignore::galvo.errors.GalvoWarning")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("format", [*WRITABLE, *CONTAINERS])
def test_every_type_and_shape(tmp_path, format, dtype):
    """Equal; or refused, and then written as soon as the option that is named is given."""
    for shape in SHAPES.values():
        pixels = pixels_of(shape, dtype)
        found = converted(pixels, tmp_path / "out", format)
        if not isinstance(found, GalvoError):
            assert found.dtype == np.dtype(dtype)
            np.testing.assert_array_equal(found, pixels)
            continue
        named = set(OPTION.findall(str(found)))
        assert named, f"{dtype} {shape}: no option is named: {found}"
        if dtype == "complex64":
            continue
        options = {}
        if "dtype" in named:
            options |= {"dtype": "uint8", "scale": (-50, 100)}
        if "axes" in named:
            options["axes"] = "TYX"
        assert not isinstance(converted(pixels, tmp_path / "out", format, **options), GalvoError), (dtype, shape, found)
