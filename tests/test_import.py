"""What `import galvo` costs, and whether its public names keep their promises."""

from __future__ import annotations

import doctest
import importlib
import importlib.metadata
import inspect
import pkgutil
import subprocess
import sys

import pytest

import galvo

HEAVY = ("h5py", "tifffile", "imagecodecs", "rich", "click", "scipy", "asyncio", "concurrent.futures")

FRESH = """
import sys
import numpy
before = set(sys.modules)
import galvo
{use}
new = set(sys.modules) - before
print(sorted(name for name in {heavy!r} if name in new))
"""


def loaded_by(use, heavy=HEAVY):
    code = FRESH.format(use=use, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_importing_loads_nothing_heavy():
    assert loaded_by("") == "[]"


def test_importing_loads_no_room_of_the_house():
    assert loaded_by("", ("galvo.core", "galvo.formats", "galvo.conversion", "galvo.cli", "galvo.testing")) == "[]"


def test_opening_an_array_loads_no_library():
    use = "galvo.open(numpy.zeros((2, 3, 4), 'int16'))[0]"
    assert loaded_by(use, ("h5py", "tifffile", "imagecodecs", "rich", "click", "scipy")) == "[]"


def test_detecting_loads_no_library(tmp_path):
    path = tmp_path / "x.tif"
    path.write_bytes(b"II*\0rubbish")
    use = f"from galvo.formats import REGISTRY; REGISTRY.detect({str(path)!r})"
    assert loaded_by(use, ("h5py", "tifffile", "imagecodecs", "rich", "click", "scipy")) == "[]"


@pytest.mark.parametrize("name", galvo.__all__)
def test_public_names(name):
    value = getattr(galvo, name)
    assert inspect.getdoc(value)
    assert name in dir(galvo)
    if inspect.isfunction(value) or inspect.isclass(value):
        assert value.__module__.startswith("galvo.")


def test_the_version_is_that_of_the_package():
    """It is written in galvo/__init__.py only; the build reads it there."""
    try:
        installed = importlib.metadata.version("galvo")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("galvo is not installed, only found")
    assert installed == galvo.__version__


def test_names_that_do_not_exist():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        galvo.nonsense  # noqa: B018
    with pytest.raises(ImportError):
        from galvo import nonsense  # noqa: F401


KINDS = ("Recording", "Metadata", "LeftOut", "Damage", "Limits", "ConvertResult", "VerifyResult")


@pytest.mark.parametrize("kind", KINDS)
def test_public_methods_are_described(kind):
    for name, member in inspect.getmembers(getattr(galvo, kind)):
        described = isinstance(member, property) or inspect.isfunction(member) or inspect.ismethod(member)
        if described and not name.startswith("_"):
            assert inspect.getdoc(member), f"{kind}.{name}"


def modules():
    yield "galvo"
    for found in pkgutil.walk_packages(galvo.__path__, "galvo."):
        if not found.name.endswith((".native", ".__main__")):
            yield found.name


@pytest.mark.parametrize("name", list(modules()))
def test_module(name):
    """It has a docstring, its `__all__` is true, and its examples run."""
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    for public in getattr(module, "__all__", ()):
        assert getattr(module, public, None) is not None, f"{name}.{public}"
    result = doctest.testmod(module)
    assert result.failed == 0


def test_the_signature_of_open_is_documented():
    text = inspect.getdoc(galvo.open)
    for name, parameter in inspect.signature(galvo.open).parameters.items():
        assert f"{'**' * (parameter.kind is parameter.VAR_KEYWORD)}{name}" in text
