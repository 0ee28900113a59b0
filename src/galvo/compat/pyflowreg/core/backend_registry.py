"""pyflowreg.core.backend_registry: solvers by name.

``flowreg`` is galvo's, ``diso`` is OpenCV's where that is installed. Others come with `register_backend`, or from
packages whose entry points of the group ``galvo.flow_backends`` lead to a factory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any

from galvo.errors import OptionError

__all__ = ["get_backend", "get_backend_executors", "is_backend_available", "list_backends", "register_backend"]

Factory = Callable[..., Callable[..., Any]]

EXECUTORS = frozenset({"sequential", "threading", "multiprocessing", "multiprocessing_fork", "multiprocessing_spawn"})

_GROUP = "galvo.flow_backends"


@dataclass(frozen=True)
class _Backend:
    factory: Factory
    executors: frozenset[str] = EXECUTORS


# of those that are there where something is installed
_NEEDED = {"diso": "diso is OpenCV's, which is not installed: pip install opencv-python-headless"}

_BACKENDS: dict[str, _Backend] = {}


def register_backend(name: str, factory: Factory, supported_executors: Iterable[str] | None = None) -> None:
    """Add a solver, or replace one.

    Parameters
    ----------
    name : str
    factory : callable
        Called with the backend's parameters; gives a function with the arguments of `get_displacement`.
    supported_executors : set of str, optional
        Executors that may run it; all by default.
    """
    executors = EXECUTORS if supported_executors is None else frozenset(supported_executors)
    _known()[name] = _Backend(factory, executors)


def get_backend(name: str) -> Factory:
    """The factory of a solver; ValueError where there is none of that name."""
    return _found(name).factory


def list_backends() -> list[str]:
    """The names of all solvers."""
    return list(_known())


def is_backend_available(name: str) -> bool:
    """Whether there is a solver of that name."""
    return name in _known()


def get_backend_executors(name: str) -> set[str]:
    """The executors that may run a solver; ValueError where there is none of that name."""
    return set(_found(name).executors)


def _found(name: str) -> _Backend:
    try:
        return _known()[name]
    except KeyError:
        raise OptionError(
            f"Unknown flow backend: {name!r}. Available backends: {list_backends()}", hint=_NEEDED.get(name)
        ) from None


def _known() -> dict[str, _Backend]:
    if not _BACKENDS:
        _BACKENDS["flowreg"] = _Backend(_flowreg)
        if find_spec("cv2") is not None:
            _BACKENDS["diso"] = _Backend(_diso, frozenset({"sequential", "threading"}))
        for point in entry_points(group=_GROUP):
            _BACKENDS.setdefault(point.name, _Backend(point.load()))
    return _BACKENDS


def _flowreg(**params: Any) -> Callable[..., Any]:
    from galvo.compat.pyflowreg.core import optical_flow

    return optical_flow.get_displacement


def _diso(**params: Any) -> Callable[..., Any]:
    from galvo.compat.pyflowreg.core.diso_optical_flow import DisoOF

    return DisoOF(**params)
