"""``python -m galvo.compat NAME... -- script``: what a script sees and leaves is what plain Python gives it."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

import galvo

SOURCE = Path(galvo.__file__).resolve().parents[1]
LOOK = """
    \"\"\"Its text.\"\"\"
    import os, sys
    number: int = 1
    spec = __spec__ and (__spec__.name, __spec__.origin)
    print(__name__, __file__, __doc__, __package__, __cached__, type(__loader__).__name__, spec)
    print(sys.argv, sys.path[0], __annotations__, sorted(globals()), os.getcwd())
    print(vars(sys.modules["__main__"]) is globals())
"""
FILES = {
    "look.py": LOOK,
    "sub/look.py": LOOK,
    "sub/__main__.py": LOOK,
    "sub/pkg/__init__.py": "",
    "sub/pkg/__main__.py": LOOK + "\n    from . import other\n",
    "sub/pkg/other.py": "",
    "fails.py": """
        def inner(): raise ValueError("because")
        def outer():
            try: inner()
            except ValueError as error: raise KeyError("of that") from error
        outer()
        """,
    "syntax.py": "good = 1\nbad = (",
    "text.py": "import sys; sys.exit('farewell')",
    "code.py": "import sys; sys.exit(7)",
    "none.py": "raise SystemExit",
    "stopped.py": "raise KeyboardInterrupt",
    "hook.py": """
        import sys, traceback
        sys.excepthook = lambda kind, error, trace: print("hook", kind, error, len(traceback.extract_tb(trace)))
        import atexit
        atexit.register(print, "at exit")
        1 / 0
        """,
    "own.py": "import beside, sys; print(beside.answer); sys.stdout.flush(); sys.exit(beside.answer)",
    "beside.py": "answer = 42",
    "latin.py": "# -*- coding: latin-1 -*-\nprint(ascii('\xe9'))",
    "numpy.py": "raise SystemExit('a module of the working folder was imported')",
}


@pytest.fixture
def python(tmp_path):
    """Runs Python in a folder with `FILES`."""
    for name, text in FILES.items():
        path = tmp_path / "home" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "latin-1")
    with zipfile.ZipFile(tmp_path / "home" / "packed.zip", "w") as archive:
        archive.writestr("__main__.py", "import sys; print(__name__, sys.argv, sys.path[0])")

    def python(*arguments, folder="home", path=()):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), *map(str, path)])}
        environment.pop("PYTHONSAFEPATH", None)
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path / folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return python


@pytest.mark.parametrize(
    "command",
    [
        *(
            ["look.py"],
            ["look.py", "-a", "--", "b c"],
            ["sub/look.py"],
            ["sub", "x"],
            ["packed.zip", "x"],
            ["latin.py"],
        ),
        *(["-m", "sub.look", "-m", "x"], ["-m", "sub.pkg"], ["own.py"], ["text.py"], ["code.py"], ["none.py"]),
        *(["fails.py"], ["syntax.py"], ["stopped.py"], ["hook.py"], ["-m", "own"]),
    ],
    ids=" ".join,
)
def test_as_plain_python(python, command, tmp_path):
    (tmp_path / "home" / "numpy.py").unlink()
    expected, found = python(*command), python("-m", "galvo.compat", "pyme", "--", *command)
    assert (found.returncode, found.stdout, found.stderr) == (expected.returncode, expected.stdout, expected.stderr)


def test_a_module_that_fails(python, tmp_path):
    """Without the frames of Python's own runner."""
    (tmp_path / "home" / "numpy.py").unlink()
    expected, found = python("fails.py"), python("-m", "galvo.compat", "pyme", "--", "-m", "fails")
    assert (found.returncode, found.stderr) == (1, expected.stderr)


def test_the_working_folder_is_not_searched(python, tmp_path):
    """Only the script's own folder is, as with plain Python."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "home" / "numpy.py").rename(tmp_path / "elsewhere" / "numpy.py")
    code = tmp_path / "home" / "uses.py"
    code.write_text("import numpy; print(numpy.arange(3))")
    found = python("-m", "galvo.compat", "pyme", "--", str(code), folder="elsewhere")
    assert (found.returncode, found.stdout) == (0, "[0 1 2]\n"), found.stderr


def test_the_facade_is_there(python, tmp_path):
    (tmp_path / "home" / "numpy.py").unlink()
    script = """
        from CalSciPy.io_tools import load_binary, save_binary
        from PYME.IO import PZFFormat
        import numpy as np
        save_binary("movie", np.arange(24).reshape(2, 3, 4))
        assert (load_binary("movie") == np.arange(24).reshape(2, 3, 4)).all()
        print(load_binary.__module__, PZFFormat.__name__)
        """
    (tmp_path / "home" / "script.py").write_text(textwrap.dedent(script))
    found = python("-W", "error", "-m", "galvo.compat", "pyme", "calscipy", "--", "script.py")
    expected = "galvo.compat.calscipy.io_tools galvo.compat.pyme.PZFFormat\n"
    assert (found.returncode, found.stdout, found.stderr) == (0, expected, "")
    (tmp_path / "home" / "movie" / "binary_video.bin").unlink()
    assert python("script.py").returncode == 1, "the original is not installed here"


@pytest.mark.parametrize("name", galvo.compat.names())
def test_every_facade_has_a_stand_in(python, tmp_path, name):
    """Found on sys.path alone, as in a worker process."""
    (tmp_path / "home" / "numpy.py").unlink()
    code = f"""
import sys
from galvo.compat import _FACADES
from galvo.compat.stand_ins import folder_of
sys.path.insert(1, folder_of({name!r}))
import importlib
for module, ours in _FACADES[{name!r}].modules.items():
    found = importlib.import_module(module)
    assert found.__name__ == (ours or module), found
assert sys.path[1] == folder_of({name!r})
"""
    found = python("-W", "error", "-c", code)
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("original", [False, True])
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_worker_processes(python, tmp_path, method, original):
    """They import the script again, and what it imports."""
    import multiprocessing

    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    (tmp_path / "home" / "numpy.py").unlink()
    if original:
        (tmp_path / "packages" / "CalSciPy").mkdir(parents=True)
        (tmp_path / "packages" / "CalSciPy" / "__init__.py").write_text("theirs = 5")
        (tmp_path / "packages" / "CalSciPy" / "io_tools.py").write_text("load_images = None")
        # of a program for which nothing was installed
        (tmp_path / "packages" / "PYME.py").write_text("theirs = 5")
    script = f"""
        import multiprocessing
        import CalSciPy
        from CalSciPy.io_tools import load_images
        def work(number):
            try: import PYME
            except ModuleNotFoundError: PYME = None
            return number, load_images.__module__, getattr(CalSciPy, "theirs", None), getattr(PYME, "theirs", None)
        if __name__ == "__main__":
            with multiprocessing.get_context({method!r}).Pool(1) as pool:
                print(pool.map(work, [3]))
                pool.close()
                pool.join()
        """
    (tmp_path / "home" / "script.py").write_text(textwrap.dedent(script))
    found = python("-W", "ignore", "-m", "galvo.compat", "calscipy", "--", "script.py", path=[tmp_path / "packages"])
    theirs = 5 if original else None
    assert found.returncode == 0, found.stderr
    assert found.stdout == f"[(3, 'galvo.compat.calscipy.io_tools', {theirs}, {theirs})]\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "no -- between"),
        (["calscipy", "look.py"], 2, "no -- between"),
        (["--", "look.py"], 2, "no name in front"),
        (["nonsense", "--", "look.py"], 2, "no such name: 'nonsense'"),
        (["calscipy", "--"], 2, "no script behind --"),
        (["pyme", "--", "-m"], 2, "no module behind -- -m"),
        (["calscipy", "--", "-c", "1"], 2, "a script or -m belongs behind --"),
        (["pyme", "--", "nothing.py"], 2, "nothing.py"),
        (["pyme", "--", "-m", "nothing"], 1, "No module named nothing"),
        (["pyme", "--", "-m", "nothing.at.all"], 1, "No module named nothing.at.all"),
        (["pyme", "--", "-m", "sub"], 0, ""),
        (["pyme", "--", "-m", "email"], 1, "package without __main__"),
        (["pyme", "--", "-m", "sys"], 1, "no Python code"),
        (["pyme", "--", "-m", ".look"], 1, "no name of a module"),
        (["pyme", "--", "empty"], 1, "can't find '__main__'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage(python, tmp_path, arguments, code, message):
    (tmp_path / "home" / "numpy.py").unlink()
    (tmp_path / "home" / "empty").mkdir()
    found = python("-m", "galvo.compat", *arguments)
    assert (found.returncode, message in found.stderr) == (code, True), found.stderr
    assert "Traceback" not in found.stderr
    assert ("usage:" in found.stderr) == (code == 2 and "nothing.py" not in arguments)


def test_help(python, tmp_path):
    (tmp_path / "home" / "numpy.py").unlink()
    found = python("-m", "galvo.compat", "--help")
    assert (found.returncode, found.stderr) == (0, "")
    assert ", ".join(galvo.compat.names()) in found.stdout
