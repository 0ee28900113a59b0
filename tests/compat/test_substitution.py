"""`galvo.compat.install`: with the original absent, present, half present, and the way back.

Every case runs in a process of its own, where nothing has been imported yet; the originals are generated.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import galvo

SOURCE = Path(galvo.__file__).resolve().parents[1]

PRELUDE = """
import importlib, importlib.util, pickle, sys, threading, warnings
import numpy as np
import galvo
from galvo.errors import GalvoWarning, OptionError
warnings.simplefilter("error")
IMAGE = np.arange(12, dtype="u2").reshape(3, 4)

def warned(name, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        galvo.compat.install(name, **options)
    assert all(warning.category is GalvoWarning for warning in caught)
    assert all(warning.filename == "<string>" for warning in caught), "it points elsewhere"
    return [str(warning.message) for warning in caught]

def modules():
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "PYME"}
"""


@pytest.fixture
def run(tmp_path):
    """Runs code in a fresh interpreter that finds `tmp_path`'s packages."""

    def run(code, *arguments):
        path = os.pathsep.join([str(SOURCE), str(tmp_path)])
        done = subprocess.run(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(code), *arguments],
            env={**os.environ, "PYTHONPATH": path},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout.strip()

    return run


@pytest.fixture
def original(tmp_path):
    """A package of PYME's name: what galvo has, what it does not have, and who uses both."""
    files = {
        "PYME/__init__.py": "version = '1.0'",
        "PYME/IO/__init__.py": "",
        "PYME/IO/PZFFormat.py": """
            DATA_COMP_RAW = "theirs"
            compPool = "theirs"
            def dumps(data): return b"theirs"
            def loads(data): return "theirs"
            def own(data): return dumps(data)
            """,
        "PYME/IO/user.py": """
            from PYME.IO import PZFFormat
            from PYME.IO.PZFFormat import loads
            """,
        "PYME/recipes.py": "answer = 42",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return tmp_path / "PYME"


def test_nothing_happens_at_import(run):
    run("""
        assert "galvo.compat" not in sys.modules
        galvo.compat
        assert not modules()
        assert "galvo.compat.pyme" not in sys.modules
        try:
            import PYME
        except ModuleNotFoundError:
            pass
        else:
            raise SystemExit("there is one")
    """)


def test_without_the_original(run):
    run("""
        assert warned("pyme") == []
        import PYME.IO.PZFFormat
        from PYME.IO import PZFFormat
        from PYME.IO.PZFFormat import dumps as d, loads
        assert PYME.IO.PZFFormat is PZFFormat is importlib.import_module("PYME.IO.PZFFormat")
        assert PZFFormat.dumps is d
        assert (loads(d(IMAGE, compression=1))[0][..., 0] == IMAGE).all()
        for name in ("PYME", "PYME.IO"):
            module = sys.modules[name]
            assert module.__name__ == module.__spec__.name == module.__package__ == name
            assert importlib.util.find_spec(name) is module.__spec__
            assert module.__spec__.submodule_search_locations == []
        assert importlib.util.find_spec("PYME.IO.PZFFormat") is not None
        for missing in ("PYME.Acquire", "PYME.IO.MetaDataHandler"):
            try:
                importlib.import_module(missing)
            except ModuleNotFoundError as error:
                assert error.name == missing
            else:
                raise SystemExit(missing)
        galvo.compat.uninstall("pyme")
        assert not modules()
        try:
            import PYME.IO
        except ModuleNotFoundError:
            pass
        else:
            raise SystemExit("left behind")
    """)


def test_pickles_need_no_facade(run):
    text = run("""
        galvo.compat.install("pyme")
        from PYME.IO import PZFFormat
        assert pickle.loads(pickle.dumps(PZFFormat.dumps)) is PZFFormat.dumps
        print(pickle.dumps(PZFFormat.dumps).hex())
    """)
    run(
        """
        assert pickle.loads(bytes.fromhex(sys.argv[1])).__name__ == "dumps"
        assert not modules()
        """,
        text,
    )


def test_pickles_of_the_original_find_the_facade(run):
    run("""
        galvo.compat.install("pyme")
        from PYME.IO import PZFFormat
        assert pickle.loads(b"cPYME.IO.PZFFormat\\nloads\\n.") is PZFFormat.loads
    """)


def test_reloading(run):
    run("""
        galvo.compat.install("pyme")
        from PYME.IO import PZFFormat
        before = PZFFormat.dumps
        assert importlib.reload(PZFFormat) is PZFFormat is sys.modules["PYME.IO.PZFFormat"]
        assert PZFFormat.dumps is not before
        assert (PZFFormat.loads(PZFFormat.dumps(IMAGE))[0][..., 0] == IMAGE).all()
    """)


def test_twice_is_once(run, original):
    run("""
        assert len(warned("pyme")) == 1
        placed = modules()
        assert warned("pyme") == []
        assert modules() == placed
        galvo.compat.uninstall("pyme")
        galvo.compat.uninstall("pyme")
        galvo.compat.uninstall()
        from PYME.IO import PZFFormat
        assert PZFFormat.dumps(0) == b"theirs"
    """)


def test_inside_the_original(run, original):
    messages = run("""
        import PYME.IO.user
        theirs = dict(vars(PYME.IO.PZFFormat))
        before = modules()
        (message,) = warned("pyme")
        print(message)
        import PYME.recipes
        from PYME.IO import PZFFormat
        assert PZFFormat is before["PYME.IO.PZFFormat"]
        # the rest stays, and calls what was replaced
        assert PYME.version == "1.0" and PYME.recipes.answer == 42 and PZFFormat.compPool == "theirs"
        assert (PZFFormat.loads(PZFFormat.own(IMAGE))[0][..., 0] == IMAGE).all()
        assert PZFFormat.DATA_COMP_RAW == 0 and PZFFormat.header_dtype
        assert PYME.IO.user.PZFFormat.loads is PZFFormat.loads
        # what was imported from it before stays the original's
        assert PYME.IO.user.loads(0) == "theirs"
        galvo.compat.uninstall("pyme")
        assert dict(vars(PZFFormat)) == theirs
        assert {name: sys.modules[name] for name in before} == before
    """)
    assert messages == (
        "PYME is installed: galvo replaces what it has in PYME.IO.PZFFormat and leaves the rest as it is; "
        "galvo.compat.install('pyme', force=True) replaces the package as a whole"
    )


@pytest.mark.parametrize("state", ["absent", "broken"])
def test_an_original_without_the_module(run, original, state):
    module = original / "IO" / "PZFFormat.py"
    if state == "absent":
        module.unlink()
    else:
        module.write_text("raise AttributeError('made for an older library')")
    (original / "IO" / "user.py").unlink()
    run("""
        (message,) = warned("pyme")
        assert "in PYME.IO.PZFFormat" in message
        import PYME.recipes, PYME.IO.PZFFormat
        assert PYME.recipes.answer == 42
        assert PYME.IO.PZFFormat is sys.modules["galvo.compat.pyme.PZFFormat"]
        galvo.compat.uninstall("pyme")
        assert "PYME.IO.PZFFormat" not in sys.modules
        assert not hasattr(PYME.IO, "PZFFormat")
        try:
            importlib.import_module("PYME.IO.PZFFormat")
        except (ImportError, AttributeError):
            pass
        else:
            raise SystemExit("left behind")
    """)


def test_in_place_of_the_original(run, original):
    run("""
        import PYME.recipes, PYME.IO.user
        before = modules()
        assert len(before) == 5
        assert warned("pyme", force=True) == []
        assert sorted(modules()) == ["PYME", "PYME.IO", "PYME.IO.PZFFormat"]
        try:
            importlib.import_module("PYME.recipes")
        except ModuleNotFoundError:
            pass
        else:
            raise SystemExit("not replaced")
        from PYME.IO.PZFFormat import dumps
        assert dumps(IMAGE)[:2] == b"BD"
        # a wish that is already more than fulfilled
        assert warned("pyme") == []
        assert sorted(modules()) == ["PYME", "PYME.IO", "PYME.IO.PZFFormat"]
        galvo.compat.uninstall("pyme")
        assert modules() == before
        import PYME.recipes
        from PYME.IO import PZFFormat
        assert PZFFormat.dumps(0) == b"theirs"
    """)


def test_more_force_later(run, original):
    run("""
        assert len(warned("pyme")) == 1
        import PYME.recipes
        assert warned("pyme", force=True) == []
        assert sorted(modules()) == ["PYME", "PYME.IO", "PYME.IO.PZFFormat"]
        assert sys.modules["PYME.IO.PZFFormat"] is sys.modules["galvo.compat.pyme.PZFFormat"]
        galvo.compat.uninstall()
        from PYME.IO import PZFFormat
        assert PZFFormat.dumps(0) == b"theirs" and not hasattr(PZFFormat, "header_dtype")
    """)


def test_a_warning_that_is_an_error_changes_nothing(run, original):
    run("""
        from PYME.IO import PZFFormat
        theirs = dict(vars(PZFFormat))
        for _ in range(2):
            try:
                galvo.compat.install("pyme")
            except GalvoWarning:
                pass
            else:
                raise SystemExit("no warning")
            assert dict(vars(PZFFormat)) == theirs
    """)


def test_a_blocked_import_counts_as_absent_and_comes_back(run):
    run("""
        sys.modules["PYME"] = None
        assert warned("pyme") == []
        from PYME.IO import PZFFormat
        galvo.compat.uninstall("pyme")
        assert sys.modules["PYME"] is None and len(modules()) == 1
    """)


def test_unknown_names(run):
    run("""
        for call in (galvo.compat.install, galvo.compat.uninstall):
            for name in ("PYME", "", [], 3):
                try:
                    call(name)
                except OptionError as error:
                    assert "'pyme'" in str(error), error
                else:
                    raise SystemExit(repr(name))
    """)


def test_threads(run, original):
    """Whoever installs, uninstalls and imports meanwhile finds the original's functions or galvo's."""
    run("""
        warnings.simplefilter("ignore")
        from PYME.IO import PZFFormat
        theirs, wrong = dict(vars(PZFFormat)), []
        start = threading.Barrier(6)
        def turn(number):
            start.wait()
            for step in range(60):
                if number < 2:
                    galvo.compat.install("pyme", force=bool(step % 2))
                elif number < 4:
                    galvo.compat.uninstall("pyme")
                else:
                    try:
                        if not callable(importlib.import_module("PYME.IO.PZFFormat").dumps):
                            wrong.append("no function")
                    except Exception as error:
                        wrong.append(repr(error))
        threads = [threading.Thread(target=turn, args=(number,)) for number in range(6)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert not wrong, wrong
        galvo.compat.uninstall()
        assert sys.modules["PYME.IO.PZFFormat"] is PZFFormat and dict(vars(PZFFormat)) == theirs
    """)


def test_a_process_that_was_started_meanwhile(run):
    """A worker gets functions by galvo's own names, whichever way it was started."""
    run("""
        import multiprocessing
        galvo.compat.install("pyme")
        from PYME.IO import PZFFormat
        for method in ("spawn", "fork"):
            if method in multiprocessing.get_all_start_methods():
                with multiprocessing.get_context(method).Pool(1) as pool:
                    assert pool.apply(PZFFormat.dumps, (IMAGE,)) == PZFFormat.dumps(IMAGE)
                    pool.close()
                    pool.join()
    """)


STANDIN = """
from galvo.compat.substitution import Facade, Substitution
import standin.io
facade = Facade(modules={"origin": "standin", "origin.io": "standin.io"})
place = Substitution()
"""


def test_a_facade_whose_package_has_code(run, tmp_path):
    for name, package in {"standin": "galvo's", "origin": "theirs"}.items():
        (tmp_path / name).mkdir()
        for module in ("__init__", "io"):
            public = ["load", "io"] if (name, module) == ("standin", "__init__") else ["load"]
            code = f"__all__ = {public}\nload = own_{name} = {package!r}\n"
            (tmp_path / name / f"{module}.py").write_text(code)
    run(
        STANDIN
        + """
warnings.simplefilter("ignore")
place.install("x", facade)
import origin.io
assert origin is not standin and (origin.load, origin.io.load) == ("galvo's", "galvo's")
assert (origin.own_origin, origin.io.own_origin) == ("theirs", "theirs") and not hasattr(origin, "own_standin")
place.uninstall("x")
assert (origin.load, origin.io.load) == ("theirs", "theirs")
assert origin.__all__ == ["load"] and origin.io.own_origin == "theirs"
theirs = origin
place.install("x", facade, force=True)
import origin.io
assert origin is standin and origin.io is standin.io is sys.modules["origin.io"]
place.uninstall()
assert sys.modules["origin"] is theirs and sys.modules["origin.io"] is theirs.io
assert standin.io.own_standin == "galvo's"
"""
    )
    # the original lacks a module, which galvo's package names as well
    (tmp_path / "origin" / "io.py").unlink()
    run(
        STANDIN
        + """
warnings.simplefilter("ignore")
import origin
before = dict(vars(origin))
place.install("x", facade)
import origin.io
assert origin.io is standin.io and origin.own_origin == "theirs"
place.uninstall("x")
assert dict(vars(origin)) == before and "origin.io" not in sys.modules
"""
    )
    (tmp_path / "origin" / "__init__.py").unlink()
    (tmp_path / "origin").rename(tmp_path / "gone")
    run(
        STANDIN
        + """
place.install("x", facade)
import origin.io
assert origin is standin and origin.io.load == "galvo's"
place.uninstall("x")
assert not {"origin", "origin.io"} & set(sys.modules)
"""
    )


def test_scanreader_without_the_original(run):
    run("""
        assert warned("scanreader") == []
        import scanreader.exceptions
        from scanreader import read_scan
        from scanreader.core import read_scan as same
        from scanreader.exceptions import PathnameError
        assert same is read_scan
        assert scanreader.multiroi is sys.modules["scanreader.multiroi"]
        for names in ("none.tif", ["none*.tif"]):
            try:
                read_scan(names)
            except PathnameError as error:
                assert isinstance(error, scanreader.exceptions.ScanReaderException)
                assert type(pickle.loads(pickle.dumps(error))) is PathnameError
            else:
                raise SystemExit("found")
        galvo.compat.uninstall("scanreader")
        assert not [name for name in sys.modules if name.partition(".")[0] == "scanreader"]
    """)


def test_scanreader_beside_the_original(run, tmp_path):
    package = tmp_path / "scanreader"
    package.mkdir()
    for name, text in {
        "__init__": "from .core import read_scan",
        "core": "from .exceptions import PathnameError\ndef read_scan(names): raise PathnameError\ndef own(): return 1",
        "exceptions": "class PathnameError(Exception): pass",
        "utils": "answer = 42",
    }.items():
        (package / f"{name}.py").write_text(text)
    run("""
        import scanreader
        theirs = scanreader.read_scan
        (message,) = warned("scanreader")
        assert "scanreader is installed" in message
        import scanreader.utils, scanreader.multiroi
        assert scanreader.read_scan is scanreader.core.read_scan is not theirs
        assert scanreader.utils.answer == 42 and scanreader.core.own() == 1
        assert scanreader.multiroi.Field.__module__ == "galvo.compat.scanreader.multiroi"
        try:
            scanreader.read_scan("none.tif")
        except scanreader.exceptions.PathnameError:
            pass
        else:
            raise SystemExit("found")
        galvo.compat.uninstall("scanreader")
        assert scanreader.read_scan is scanreader.core.read_scan is theirs
        assert not hasattr(scanreader, "multiroi")
    """)
