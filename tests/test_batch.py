"""All recordings of a folder at once: each for itself, and one that is broken stops none."""

from __future__ import annotations

import os

import numpy as np
import pytest
from click.testing import CliRunner

import galvo
from galvo.cli.group import group
from galvo.errors import GalvoError, NotFound, OptionError, Truncated, UnknownFormat
from galvo.testing.scanimage import ScanImageRecording
from galvo.testing.tiff import Tag, TiffBuilder

RNG = np.random.default_rng(0)


def stack(path, frames):
    builder = TiffBuilder()
    for frame in frames:
        builder.image(8, 6, [frame.tobytes()], bits=16)
    path.write_bytes(builder.build())


@pytest.fixture
def session(tmp_path):
    """Five recordings: a series of files, a stack, one cut off, an HDF5 and two files of channels; and two texts."""
    folder = tmp_path / "session"
    folder.mkdir()
    truth = {}
    scan = ScanImageRecording(height=6, width=8, frames=9, channels=(1, 2), frames_per_file=4)
    first = scan.write(folder)[0]
    truth[first.stem] = scan.expected()
    truth["stack"] = RNG.integers(0, 999, (7, 1, 1, 6, 8)).astype("<u2")
    stack(folder / "stack.tif", truth["stack"][:, 0, 0])
    content = (folder / "stack.tif").read_bytes()
    (folder / "broken.tif").write_bytes(content[: len(content) // 2])
    truth["movie"] = RNG.integers(0, 999, (4, 2, 3, 5, 6)).astype("<i2")
    galvo.save(truth["movie"], folder / "movie.h5")
    truth["pair_ch1"] = truth["movie"][:, :, :1]
    galvo.save(truth["pair_ch1"], folder / "pair.h5", split_channels=True)
    (folder / "notes.txt").write_text("notes")
    (folder / "nonsense.tif").write_text("no TIFF")
    return folder, truth


def check(out, truth):
    assert sorted(os.listdir(out)) == sorted(f"{name}.h5" for name in truth)
    for name, pixels in truth.items():
        np.testing.assert_array_equal(galvo.load(out / f"{name}.h5", squeeze=False, series=False), pixels)


def test_a_session(session, tmp_path):
    folder, truth = session
    steps = []
    result = galvo.convert_folder(
        folder, tmp_path / "out", format="hdf5", compression="gzip", progress=lambda *step: steps.append(step)
    )
    check(tmp_path / "out", truth)
    assert len(result.converted) == len(truth)
    assert {os.path.basename(failure.source) for failure in result.failed} == {"broken.tif", "nonsense.tif"}
    kinds = {os.path.basename(failure.source): type(failure.error) for failure in result.failed}
    assert kinds["nonsense.tif"] is UnknownFormat
    assert issubclass(kinds["broken.tif"], GalvoError)
    done = [step[0] for step in steps]
    assert done == sorted(done)
    assert len({total for _, total in steps}) == 1
    assert steps[-1][0] == steps[-1][1] == sum(pixels.nbytes for pixels in truth.values())


def test_again_and_on(session, tmp_path):
    """What is there is refused, skipped or replaced, as asked."""
    folder, truth = session
    out = tmp_path / "out"
    galvo.convert_folder(folder, out, format="hdf5")
    again = galvo.convert_folder(folder, out, format="hdf5")
    assert not again.converted
    assert len(again.failed) == len(truth) + 2
    (out / "stack.h5").unlink()
    on = galvo.convert_folder(folder, out, format="hdf5", resume=True)
    assert [os.path.basename(done.path) for done in on.converted] == ["stack.h5"]
    assert len(on.skipped) == len(truth) - 1
    replaced = galvo.convert_folder(folder, out, format="hdf5", overwrite=True)
    assert len(replaced.converted) == len(truth)
    check(out, truth)


def test_names_that_would_be_the_same(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    frames = RNG.integers(0, 999, (3, 6, 8)).astype("<u2")
    stack(folder / "a.tif", frames)
    galvo.save(frames, folder / "a.h5")
    galvo.convert_folder(folder, tmp_path / "out", format="hdf5")
    assert sorted(os.listdir(tmp_path / "out")) == ["a_h5.h5", "a_tif.h5"]


def test_outputs_that_are_folders(session, tmp_path):
    folder, truth = session
    result = galvo.convert_folder(folder, tmp_path / "out", format="pzf")
    assert len(result.converted) == len(truth)
    for name, pixels in truth.items():
        np.testing.assert_array_equal(galvo.load(tmp_path / "out" / name, squeeze=False), pixels)


def test_options_that_do_not_exist_fail_every_recording(session, tmp_path):
    folder, _ = session
    result = galvo.convert_folder(folder, tmp_path / "out", format="hdf5", nonsense=1)
    assert not result.converted
    assert any(isinstance(failure.error, OptionError) for failure in result.failed)


def test_no_recordings(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(UnknownFormat, match="no recording"):
        galvo.convert_folder(tmp_path / "in", tmp_path / "out", format="hdf5")
    with pytest.raises(NotFound):
        galvo.convert_folder(tmp_path / "none", tmp_path / "out", format="hdf5")
    with pytest.raises(OptionError):
        galvo.convert_folder(tmp_path / "in", tmp_path / "out", format="scanimage")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["out/", "out"])
def test_from_the_command_line(session, tmp_path, out):
    folder, truth = session
    done = CliRunner().invoke(group, ["convert", str(folder), "-o", str(tmp_path / "out") + out[3:], "-t", "hdf5"])
    assert done.exit_code == 1
    check(tmp_path / "out", truth)
    assert f"{len(truth)} recordings written, 0 there already, 2 failed" in done.output
    assert done.output.count("galvo: error") == 2
    assert "Traceback" not in done.output


def test_the_command_line_needs_a_format(session, tmp_path):
    done = CliRunner().invoke(group, ["convert", str(session[0]), "-o", f"{tmp_path}/out/"])
    assert done.exit_code == 2
    assert "-t" in done.output


def test_a_truncated_file_of_a_series_fails_alone(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    paths = ScanImageRecording(height=6, width=8, frames=9, frames_per_file=4).write(folder)
    os.truncate(paths[1], paths[1].stat().st_size - 50)
    galvo.save(RNG.integers(0, 9, (3, 6, 8)).astype("u1"), folder / "other.h5")
    result = galvo.convert_folder(folder, tmp_path / "out", format="hdf5")
    assert [os.path.basename(done.path) for done in result.converted] == ["other.h5"]
    assert isinstance(result.failed[0].error, Truncated)
    assert sorted(os.listdir(tmp_path / "out")) == ["other.h5"]


def test_an_ome_set_is_one_recording(tmp_path):
    """Its files name each other, whichever is met first."""
    folder = tmp_path / "in"
    folder.mkdir()
    pixels = RNG.integers(0, 99, (2, 3, 6, 8)).astype("<u2")
    inner = "".join(
        f'<TiffData FirstT="{t}" IFD="0" PlaneCount="3"><UUID FileName="part{t}.ome.tif">urn:uuid:{t}</UUID></TiffData>'
        for t in range(2)
    )
    for t in range(2):
        text = (
            f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{t}">'
            '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeT="2" SizeC="1" '
            f'SizeZ="3" SizeY="6" SizeX="8">{inner}</Pixels></Image></OME>'
        )
        builder = TiffBuilder()
        for number, plane in enumerate(pixels[t]):
            tags = [Tag(code=270, type=2, values=text.encode() + b"\0")] if number == 0 else []
            builder.image(8, 6, [plane.tobytes()], bits=16, replace=tags)
        (folder / f"part{t}.ome.tif").write_bytes(builder.build())
    result = galvo.convert_folder(folder, tmp_path / "out", format="hdf5")
    assert [os.path.basename(done.path) for done in result.converted] == ["part0.ome.h5"]
    np.testing.assert_array_equal(galvo.load(tmp_path / "out" / "part0.ome.h5"), pixels)
