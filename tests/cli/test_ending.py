import os
import subprocess
import sys

import pytest

import galvo
from galvo.cli.ending import CODES_HELP

SHELL = "from galvo.cli import main; main()"


def test_help_needs_no_numpy_and_shows_examples_and_codes(spawn, run):
    result = spawn("--help", before="sys.modules['numpy'] = None")
    assert result.returncode == 0, result.stderr
    assert "galvo convert" in result.stdout
    assert "130" in CODES_HELP
    for verb in ("info", "convert", "verify", "mroi-json", "formats", "demo"):
        assert verb in result.stdout
        assert run(verb, "-h").exit_code == 0


def test_version(run):
    assert run("--version").stdout == f"galvo {galvo.__version__}\n"


@pytest.mark.parametrize("arguments", [("nonsense",), ("info",), ("convert", "a.tif"), ("info", "--nonsense", "a")])
def test_usage_errors(run, arguments):
    assert run(*arguments).exit_code == 2


def test_an_error_is_one_line(run, tmp_path):
    path = tmp_path / "broken\n.tif"
    path.write_bytes(b"II*\0 but no TIFF")
    result = run("info", path)
    assert result.exit_code == 1
    assert result.stderr.startswith("galvo: error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize("arguments", [("--debug", "info"), ("info", "--debug")])
def test_debug_shows_the_traceback(run, tmp_path, arguments):
    result = run(*arguments, tmp_path / "absent.tif")
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("galvo: error: ")


def test_debug_by_environment(run, tmp_path):
    assert "Traceback" in run("info", tmp_path / "absent.tif", GALVO_DEBUG="1").stderr
    assert "Traceback" not in run("info", tmp_path / "absent.tif", GALVO_DEBUG="0").stderr


def test_a_bug_asks_for_a_report(run, raw, monkeypatch):
    monkeypatch.setattr("galvo.cli.describe.describe", lambda recording: 1 / 0)
    result = run("info", raw)
    assert result.exit_code == 1
    assert "ZeroDivisionError" in result.stderr
    assert "--debug" in result.stderr
    assert result.stderr.count("\n") == 1


def test_damaged_data_has_its_own_code(run, raw, monkeypatch):
    def fail(recording):
        raise galvo.errors.DamagedData("a strip cannot be decoded", path=str(raw))

    monkeypatch.setattr("galvo.cli.describe.describe", fail)
    assert run("info", raw).exit_code == 3


def test_interrupted_anywhere(run, raw, monkeypatch):
    def stop(recording):
        raise KeyboardInterrupt

    monkeypatch.setattr("galvo.cli.describe.describe", stop)
    result = run("info", raw)
    assert result.exit_code == 130
    assert result.stderr == "galvo: interrupted\n"


def test_a_pipe_gets_plain_text(spawn, raw, tmp_path):
    outputs = [spawn("info", raw), spawn("convert", raw, "-o", tmp_path / "out.h5", "--verify"), spawn("formats")]
    for result in outputs:
        assert result.returncode == 0, result.stderr
        assert "\x1b" not in result.stdout + result.stderr
        assert "\r" not in result.stdout + result.stderr
        assert result.stderr == ""


def test_info_loads_no_more_than_it_needs(spawn, raw):
    before = """
import atexit
heavy = {"h5py", "imagecodecs", "tifffile", "rich", "galvo.conversion", "galvo.formats.hdf5.reader"}
atexit.register(lambda: print("loaded", sorted(heavy & set(sys.modules)), file=sys.stderr))
"""
    assert spawn("info", raw, before=before).stderr == "loaded []\n"


def test_a_terminal_without_micro_signs(spawn, volumes):
    before = "sys.stdout.reconfigure(encoding='koi8-r')"
    result = spawn("info", volumes, before=before)
    assert result.returncode == 0, result.stderr
    assert "\\xb5m" in result.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX pipes")
def test_a_closed_pipe_is_quiet(environment, raw):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        command = [sys.executable, "-c", SHELL, "info", "--frame-table", str(raw)]
        result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=environment, check=False)
    finally:
        os.close(writer)
    assert result.stderr == b""
    assert result.returncode == 141


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_gets_a_panel_and_a_bar(environment, raw, tmp_path):
    shown = on_terminal(environment, "info", str(raw))
    assert "╭" in shown
    assert "GCaMP" in shown
    shown = on_terminal(environment, "convert", str(raw), "-o", str(tmp_path / "out.h5"))
    assert "writing" in shown
    assert "compression_level" in on_terminal(environment, "formats")


def on_terminal(environment: dict[str, str], *arguments: str) -> str:
    """What a terminal of 100 columns would show."""
    import pty

    terminal, program_end = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", SHELL, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=program_end,
        stderr=program_end,
        env={**environment, "TERM": "xterm-256color", "COLUMNS": "100", "PYTHONUTF8": "1"},
    )
    os.close(program_end)
    shown = b""
    try:
        while True:
            try:
                data = os.read(terminal, 65536)
            except OSError:
                # Linux says so when the other end is closed
                break
            if not data:
                break
            shown += data
    finally:
        os.close(terminal)
    assert child.wait(timeout=60) == 0, shown
    return shown.decode()
