"""Modules in the place of others, and the way back.

Everything that is changed is an entry of a dictionary: `sys.modules`, or the namespace of a module. So a change is a
dictionary, a key and a value, and undoing is the same with the value that was there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

from galvo.core.lock import ForkSafeLock
from galvo.errors import warn

__all__ = ["Facade", "Substitution"]

_ABSENT: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facade:
    """What stands for another program.

    Attributes
    ----------
    modules : mapping of str to str or None
        Import name to galvo's module, whose `__all__` names what it replaces; None for a package that only holds
        others. Every module's package is a row, above it.
    """

    modules: Mapping[str, str | None]


class _Change(NamedTuple):
    namespace: dict[str, Any]
    key: str
    value: Any

    def apply(self) -> _Change:
        """The change that undoes it."""
        before = self.namespace.get(self.key, _ABSENT)
        if self.value is _ABSENT:
            self.namespace.pop(self.key, None)
        else:
            self.namespace[self.key] = self.value
        return _Change(self.namespace, self.key, before)


class Substitution:
    """Which facades are installed in this process, and what they replaced."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._installed: dict[str, tuple[bool, list[_Change]]] = {}

    def install(self, name: str, facade: Facade, *, force: bool = False) -> None:
        """Put `facade` in place under `name`, unless it already is (with `force` if `force`).

        Warns
        -----
        GalvoWarning
            The original is installed, and `force` is False. Where warnings are errors, nothing has been changed.
        """
        with self._lock:
            if name in self._installed:
                forced, _ = self._installed[name]
                if forced or not force:
                    return
                self._put_back(name)
            changes, replaced = _plan(facade, force)
            if replaced:
                packages = " and ".join(dict.fromkeys(module.partition(".")[0] for module in replaced))
                warn(
                    f"{packages} is installed: galvo replaces what it has in {', '.join(replaced)} and leaves the rest "
                    f"as it is; galvo.compat.install({name!r}, force=True) replaces the package as a whole"
                )
            # the outermost package last: a thread that imports meanwhile finds nothing or everything
            self._installed[name] = force, [change.apply() for change in reversed(changes)]

    def uninstall(self, name: str | None = None) -> None:
        """Put back what `name`, or everything, replaced."""
        with self._lock:
            for installed in [*self._installed] if name is None else [name]:
                self._put_back(installed)

    def _put_back(self, name: str) -> None:
        _, changes = self._installed.pop(name, (False, []))
        for change in reversed(changes):
            change.apply()


def _plan(facade: Facade, force: bool) -> tuple[list[_Change], list[str]]:
    """What to change, outermost package first, and which modules of an original that concerns."""
    changes: list[_Change] = []
    replaced: list[str] = []
    present: set[str] = set()
    for root in {name.partition(".")[0] for name in facade.modules}:
        if force:
            left = [name for name in list(sys.modules) if name.startswith(f"{root}.") and name not in facade.modules]
            changes += [_Change(sys.modules, name, _ABSENT) for name in left]
        elif _is_installed(root):
            present.add(root)
    placed: dict[str, ModuleType] = {}
    for name, target in facade.modules.items():
        original = _original(name) if name.partition(".")[0] in present else None
        substitute = None if target is None else import_module(target)
        if original is not None:
            placed[name] = original
            if substitute is not None:
                # modules among the names have rows of their own
                names = [key for key in substitute.__all__ if not isinstance(getattr(substitute, key), ModuleType)]
                changes += [_Change(vars(original), key, getattr(substitute, key)) for key in names]
                replaced.append(name)
            continue
        placed[name] = substitute or _holder(name)
        changes.append(_Change(sys.modules, name, placed[name]))
        package, _, own = name.rpartition(".")
        if package:
            if not _is_named(placed[package], own):
                changes.append(_Change(vars(placed[package]), own, placed[name]))
            if package.partition(".")[0] in present:
                replaced.append(name)
    return changes, replaced


def _is_named(package: ModuleType, name: str) -> bool:
    """Whether a package has something else by the name of its module, as packages do with a function in each."""
    return name in getattr(package, "__all__", ()) and not isinstance(getattr(package, name, None), ModuleType)


def _is_installed(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return find_spec(package) is not None


def _original(name: str) -> ModuleType | None:
    """A module of the original, or None where it has none or its import fails."""
    try:
        return import_module(name)
    except Exception:  # noqa: BLE001 - code of others, which may be older than the libraries that it meets
        return None


def _holder(name: str) -> ModuleType:
    """A package without code; what is not registered in it cannot be imported."""
    spec = ModuleSpec(name, None, is_package=True)
    module = ModuleType(name, f"Package {name}, held open by galvo.compat.")
    module.__spec__ = spec
    module.__package__ = name
    module.__path__ = []
    return module
