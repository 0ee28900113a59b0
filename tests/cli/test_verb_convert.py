import numpy as np
import pytest

import galvo

STRIKE = """
import signal
from galvo.core import write
signal.signal(signal.SIGINT, signal.default_int_handler)
original = write.block_checksum
def strike(block):
    signal.raise_signal(signal.SIGINT)
    return original(block)
write.block_checksum = strike
"""


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.h5"


def test_output_equals_the_source(run, raw, out):
    result = run("convert", raw, "-o", out, "--verify")
    assert result.exit_code == 0, result.output
    assert "verified: pixels and metadata equal the source" in result.stdout
    assert "left out  nothing" in result.stdout
    assert result.stderr == ""
    with galvo.open(raw) as source, galvo.open(out) as written:
        assert np.array_equal(source[...], written[...])


@pytest.mark.parametrize(
    ("channels", "positions"),
    [("2", [1]), ("ch2", [1]), ("tdTomato", [1]), ("tdTomato,1", [1, 0]), ("GCaMP,tdTomato", [0, 1])],
)
def test_channels_by_number_and_name(run, raw, out, channels, positions):
    result = run("convert", raw, "-o", out, "--channels", channels)
    assert result.exit_code == 0, result.output
    with galvo.open(raw) as source, galvo.open(out) as written:
        assert np.array_equal(source[:, positions], written[...])
        assert written.channel_names == tuple(source.channel_names[position] for position in positions)
    assert ("1 of 2 channels, by --channels" in result.stdout) == (len(positions) == 1)


@pytest.mark.parametrize("channels", ["0", "3", "ch0", "green", "", "1,1", "GCaMP,1", "-1"])
def test_channels_that_are_not_there(run, raw, out, channels):
    result = run("convert", raw, "-o", out, "--channels", channels)
    assert result.exit_code == 1
    assert "channel" in result.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "frames"),
    [
        ("0:5", slice(0, 5)),
        ("3:", slice(3, None)),
        (":-2", slice(-2)),
        ("-4:", slice(-4, None)),
        ("::3", slice(None, None, 3)),
        ("7", slice(7, 8)),
        ("-1", slice(-1, None)),
    ],
)
def test_frames_as_python_slices(run, raw, out, text, frames):
    result = run("convert", raw, "-o", out, "--frames", text)
    assert result.exit_code == 0, result.output
    with galvo.open(raw) as source, galvo.open(out) as written:
        assert np.array_equal(source[frames], written[...])
        missing = 12 - written.shape[0]
    assert f"{missing} of 12 in T, by --frames" in result.stdout


@pytest.mark.parametrize("text", ["", "a:b", "1:2:0", "1:2:3:4", "1.5:2"])
def test_ranges_that_are_none_are_usage_errors(run, raw, out, text):
    assert run("convert", raw, "-o", out, "--frames", text).exit_code == 2


def test_an_empty_selection_is_an_error(run, raw, out):
    result = run("convert", raw, "-o", out, "--frames", "50:60")
    assert result.exit_code == 1
    assert "empty" in result.stderr


def test_dry_run_plans_and_writes_nothing(run, volumes, out):
    result = run("convert", volumes, "-o", out, "--dry-run")
    assert result.exit_code == 0, result.output
    assert "T=5 C=1 Z=3 Y=16 X=24 int16" in result.stdout
    assert "at most" in result.stdout
    assert "free" in result.stdout
    assert "flyback: 5 pages" in result.stdout
    assert "nothing was written" in result.stdout
    assert sorted(path.name for path in out.parent.iterdir()) == ["volumes"]


def test_dry_run_foresees_errors(run, raw, out):
    out.write_bytes(b"precious")
    assert run("convert", raw, "-o", out, "--dry-run").exit_code == 1
    assert run("convert", raw, "-o", out, "--dry-run", "--overwrite").exit_code == 0
    assert out.read_bytes() == b"precious"


def test_what_is_left_out_is_said_after_the_conversion(run, volumes, out):
    result = run("convert", volumes, "-o", out)
    assert "left out  flyback: 5 pages" in result.stdout
    with galvo.open(out) as written:
        assert written.shape[:3] == (5, 1, 3)
    assert run("convert", volumes, "-o", out, "--overwrite", "--flyback", "keep").exit_code == 0
    with galvo.open(out) as written:
        assert written.shape[:3] == (5, 1, 4)


def test_existing_output_needs_overwrite(run, raw, out):
    out.write_bytes(b"precious")
    result = run("convert", raw, "-o", out)
    assert result.exit_code == 1
    assert "--overwrite" in result.stderr
    assert out.read_bytes() == b"precious"
    assert run("convert", raw, "-o", out, "--overwrite").exit_code == 0


def test_several_sources_follow_each_other_as_given(run, raw, out):
    first, second = sorted(raw.parent.iterdir())
    result = run("convert", second, first, "-o", out, "--format", "tiff")
    assert result.exit_code == 0, result.output
    with galvo.open([second, first], format="tiff") as source, galvo.open(out) as written:
        assert np.array_equal(source[...], written[...])


def test_format_and_compression(run, raw, tmp_path):
    out = tmp_path / "out.movie"
    assert run("convert", raw, "-o", out).exit_code == 1
    options = ("--compression", "gzip", "--compression-level", "1")
    result = run("convert", raw, "-o", out, "-t", "hdf5", *options, "--verify")
    assert result.exit_code == 0, result.output
    assert out.exists()


def test_unknown_write_option_is_named(run, raw, out):
    result = run("convert", raw, "-o", out, "--write-option", "sharpness=11")
    assert result.exit_code == 1
    assert "sharpness" in result.stderr
    assert result.stderr.count("\n") == 1


def test_too_small_a_disk_is_foreseen(run, raw, out, monkeypatch):
    monkeypatch.setattr("galvo.core.disk.free_bytes", lambda path: 10)
    result = run("convert", raw, "-o", out, "--dry-run")
    assert result.exit_code == 0
    assert "may not fit" in result.stderr


@pytest.mark.parametrize("old", [None, b"precious"])
def test_ctrl_c_leaves_no_output(spawn, raw, out, old):
    if old is not None:
        out.write_bytes(old)
    result = spawn("convert", raw, "-o", out, "--overwrite", before=STRIKE)
    assert result.returncode == 130
    assert "interrupted" in result.stderr
    assert "Traceback" not in result.stderr
    assert f"{out}: not written" in result.stdout
    assert (out.read_bytes() if out.exists() else None) == old


def test_ctrl_c_while_verifying_keeps_the_output(spawn, raw, out):
    before = (
        STRIKE.replace("galvo.core import write", "galvo import verification as write")
        .replace("block_checksum", "_pixel_differences")
        .replace("strike(block)", "strike(*block)")
        .replace("original(block)", "original(*block)")
    )
    result = spawn("convert", raw, "-o", out, "--verify", before=before)
    assert result.returncode == 130
    assert f"{out}: complete, not verified" in result.stdout
    assert galvo.verify(out).ok


def test_who_else_can_read_it(run, raw, tmp_path):
    out = tmp_path / "out.h5"
    dry = run("convert", raw, "-o", out, "--compression", "zstd", "--dry-run")
    assert "filter 32015" in dry.stdout
    assert not out.exists()
    assert "filter 32015" in run("convert", raw, "-o", out, "--compression", "zstd").stdout
    assert "filter 32015" in run("info", out).stdout
    again = tmp_path / "again.h5"
    assert "filter" not in run("convert", out, "-o", again).stdout
    assert "filter" not in run("info", again).stdout


@pytest.mark.parametrize("name", ["frames", "frames.h5"])
def test_pzf_says_how_int16_is_stored(run, raw, tmp_path, name):
    out = tmp_path / name
    result = run("convert", raw, "-o", out, "-t", "pzf", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "int16 is stored as uint16 with 32768 added" in result.stdout
    assert not out.exists()
    result = run("convert", raw, "-o", out, "-t", "pzf", "--compression", "raw", "--verify")
    assert result.exit_code == 0, result.output
    with galvo.open(raw) as source, galvo.open(out) as written:
        assert np.array_equal(source[...], written[...])
        assert np.array_equal(source.timestamps, written.timestamps)
    text = run("info", out).stdout
    assert "pzf" in text
    assert "int16 is stored as uint16 with 32768 added" in " ".join(text.split())
    assert run("verify", out).exit_code == 0


def test_pzf_quantised(run, raw, tmp_path):
    out = tmp_path / "frames"
    result = run(
        *("convert", raw, "-o", out, "-t", "pzf", "--write-option", "shift=least"),
        *("--quantize", "sqrt", "--quantize-offset", "-32768", "--quantize-scale", "1.25", "--verify"),
    )
    assert result.exit_code == 0, result.output
    assert "quantised with loss: steps of 1.25 in the square root above -32768" in " ".join(result.stdout.split())
    with galvo.open(raw) as source, galvo.open(out) as written:
        assert np.abs(written[...].astype(int) - source[...]).max() <= 1.25 * 256 + 2


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--quantize", "cube"], 2, "cube"),
        (["--quantize-scale", "fine"], 2, "no number"),
        (["--quantize-scale", "0", "--quantize", "sqrt"], 1, "quantize_scale"),
        (["--compression", "gzip"], 1, "unknown compression"),
        (["--compression-level", "3"], 1, "compression_level"),
        (["--write-option", "shift=3"], 1, "shift does not fit the pixels"),
    ],
)
@pytest.mark.parametrize("dry_run", [["--dry-run"], []])
def test_pzf_refuses_alike_with_and_without_dry_run(run, raw, tmp_path, options, code, text, dry_run):
    result = run("convert", raw, "-o", tmp_path / "frames", "-t", "pzf", *options, *dry_run)
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert not (tmp_path / "frames").exists()


def test_quantising_is_no_option_of_hdf5(run, raw, out):
    result = run("convert", raw, "-o", out, "--quantize", "sqrt")
    assert result.exit_code == 1
    assert "quantize" in result.stderr
