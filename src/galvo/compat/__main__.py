"""``python -m galvo.compat NAME... -- script.py [argument...]``: an existing script over galvo, as it is.

Facades are installed (`galvo.compat.install`), then the script runs as with plain ``python script.py``: as
``__main__``, with its own arguments, ``sys.path``, exit code and tracebacks. ``-- -m module`` runs a module.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec
from io import open_code
from pkgutil import get_importer
from types import CodeType, ModuleType
from typing import Any, NoReturn

from galvo.compat import install, names
from galvo.compat.stand_ins import folder_of

_USAGE = f"""\
usage: python -m galvo.compat NAME... -- script.py [argument...]
       python -m galvo.compat NAME... -- -m module [argument...]

Runs a script, unchanged, with galvo under the import names of other programs.
NAME is one of: {", ".join(names())}
"""


def main(arguments: Sequence[str]) -> None:
    """Run what the command line names.

    Parameters
    ----------
    arguments : sequence of str
        Without the program's own name.
    """
    facades, command = _divided(arguments)
    is_module = command[0] == "-m"
    if not is_module and not sys.flags.safe_path:
        # before anything is imported for the script: its folder takes the place of the working folder
        sys.path[0] = (
            os.path.abspath(command[0]) if _is_container(command[0]) else os.path.dirname(os.path.realpath(command[0]))
        )
    for name in facades:
        install(name)
    # behind the folder that comes first, in front of installed originals
    sys.path[1:1] = [folder_of(name) for name in facades]
    code: CodeType | bytes
    if is_module:
        # as Python has it while a module is looked for
        sys.argv[:] = command[:1] + command[2:]
        code, facts = _module(command[1])
        sys.argv[0] = facts["__file__"]
    else:
        sys.argv[:] = command
        code, facts = _container(command[0]) if _is_container(command[0]) else _script(command[0])
    _run(code, facts)


def _divided(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Facades and command; ends the process where there are none."""
    if arguments and arguments[0] in ("-h", "--help"):
        sys.stdout.write(_USAGE)
        raise SystemExit(0)
    if "--" not in arguments:
        _refuse("no -- between the names and the script")
    at = arguments.index("--")
    facades, command = list(arguments[:at]), list(arguments[at + 1 :])
    if not facades:
        _refuse("no name in front of --")
    unknown = [name for name in facades if name not in names()]
    if unknown:
        _refuse(f"no such name: {unknown[0]!r}")
    if not command or command == ["-m"]:
        _refuse(f"no {'module' if command else 'script'} behind {' '.join(['--', *command])}")
    if command[0].startswith("-") and command[0] != "-m":
        _refuse(
            f"a script or -m belongs behind --, not {command[0]!r}; Python's own options go in front of -m galvo.compat"
        )
    return facades, command


def _refuse(what: str) -> NoReturn:
    sys.stderr.write(f"galvo.compat: {what}\n{_USAGE}")
    raise SystemExit(2)


def _script(path: str) -> tuple[CodeType | bytes, dict[str, Any]]:
    place = os.path.abspath(path)
    try:
        with open_code(place) as stream:
            source = stream.read()
    except OSError as error:
        sys.stderr.write(f"galvo.compat: can't open file {place!r}: {error.strerror}\n")
        raise SystemExit(2) from None
    return source, {"__file__": place, "__loader__": SourceFileLoader("__main__", place)}


def _is_container(path: str) -> bool:
    """Whether it is a folder or an archive, whose __main__ is run."""
    return os.path.isdir(path) or (os.path.isfile(path) and type(get_importer(path)).__name__ == "zipimporter")


def _container(path: str) -> tuple[CodeType, dict[str, Any]]:
    importer: Any = get_importer(path)
    spec = importer.find_spec("__main__")
    if spec is None:
        sys.stderr.write(f"galvo.compat: can't find '__main__' module in {path!r}\n")
        raise SystemExit(1)
    return _loaded(spec)


def _module(name: str) -> tuple[CodeType, dict[str, Any]]:
    if not name or name.startswith("."):
        raise SystemExit(f"galvo.compat: no name of a module: {name!r}")
    try:
        spec = find_spec(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        spec = None
    if spec is None:
        raise SystemExit(f"galvo.compat: No module named {name}")
    if spec.submodule_search_locations is not None:
        spec = find_spec(f"{name}.__main__")
        if spec is None:
            raise SystemExit(f"galvo.compat: {name} is a package without __main__, which cannot be run")
    return _loaded(spec)


def _loaded(spec: ModuleSpec) -> tuple[CodeType, dict[str, Any]]:
    loader: Any = spec.loader
    code = loader.get_code(spec.name) if hasattr(loader, "get_code") else None
    if code is None:
        raise SystemExit(f"galvo.compat: {spec.name} has no Python code to run")
    return code, {
        "__file__": spec.origin,
        "__cached__": spec.cached,
        "__loader__": loader,
        "__package__": spec.parent,
        "__spec__": spec,
    }


def _run(code: CodeType | bytes, facts: dict[str, Any]) -> None:
    module = ModuleType("__main__")
    vars(module).update({"__builtins__": builtins, "__cached__": None, "__annotations__": {}, **facts})
    sys.modules["__main__"] = module
    try:
        if isinstance(code, bytes):
            code = compile(code, facts["__file__"], "exec", dont_inherit=True)
        exec(code, vars(module))
    except SystemExit:
        raise
    except BaseException as error:
        # shown as the script's own, without this function, and left to Python to end with
        trace = error.__traceback__.tb_next if error.__traceback__ is not None else None
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        sys.excepthook = lambda *shown: None
        raise


main(sys.argv[1:])
