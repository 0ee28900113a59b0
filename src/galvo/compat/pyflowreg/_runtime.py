"""pyflowreg._runtime: how many workers there are, and which executors."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

from galvo.core.threads import thread_count
from galvo.errors import GalvoError

__all__ = ["RuntimeContext"]

_EXECUTORS = "galvo.compat.pyflowreg.motion_correction.parallelization"
_MODES = ("sequential", "threading", "multiprocessing", "multiprocessing_fork", "multiprocessing_spawn")
_PREFERRED = ("threading", "multiprocessing", "sequential")
_FEATURES = {"cv2": "opencv", "torch": "torch", "cupy": "cupy"}
_SETS = ("available_features", "available_parallelization", "available_backends")
_VARIABLE = "PYFLOWREG_CONTEXT"

# `RuntimeContext.set` hides the type
Names = set[str]


class NotAvailable(GalvoError, RuntimeError):
    """A backend or an executor that is not there."""


def _found() -> dict[str, Any]:
    """What this machine and this installation offer."""
    return {
        "max_workers": thread_count(None),
        "available_features": {name for module, name in _FEATURES.items() if find_spec(module) is not None},
        "available_parallelization": set(_MODES),
        "available_backends": {"variational"},
        "parallelization_registry": {
            "sequential": f"{_EXECUTORS}.sequential.SequentialExecutor",
            "threading": f"{_EXECUTORS}.threading.ThreadingExecutor",
            "multiprocessing": f"{_EXECUTORS}.multiprocessing.MultiprocessingExecutor",
        },
    }


class RuntimeContext:
    """Settings of this process, and overrides of parts of a program (`use`)."""

    _config: ClassVar[dict[str, Any]] = {}
    _overrides: ClassVar[ContextVar[dict[str, Any]]] = ContextVar("runtime_overrides")

    @classmethod
    def init(cls, force: bool = False) -> None:
        """Look at the machine, if that has not been done or `force`."""
        if force or not cls._config:
            registered = cls._config.get("parallelization_registry", {})
            cls._config = _found()
            cls._config["parallelization_registry"].update(registered)

    @classmethod
    def set(cls, key: str, value: Any, local: bool = False) -> None:
        """Change a setting, for the process or (`local`) for this context."""
        if local:
            cls._overrides.set({**cls._overrides.get({}), key: value})
        else:
            cls.init()
            cls._config[key] = value

    @classmethod
    def get(cls, key: str, default: Any = None) -> Any:
        """A setting."""
        cls.init()
        return cls._overrides.get({}).get(key, cls._config.get(key, default))

    @classmethod
    @contextmanager
    def use(cls, **settings: Any) -> Iterator[type[RuntimeContext]]:
        """Settings inside ``with``, in this context only."""
        token = cls._overrides.set({**cls._overrides.get({}), **settings})
        try:
            yield cls
        finally:
            cls._overrides.reset(token)

    # ---- what there is ------------------------------------------------------------------------------------------

    @classmethod
    def register_parallelization_executor(cls, name: str, executor_class: type | str) -> None:
        """Add an executor: a class, or its dotted path."""
        cls.init()
        cls._config["parallelization_registry"][name] = executor_class
        cls._config["available_parallelization"].add(name)

    @classmethod
    def get_parallelization_executor(cls, name: str | None = None) -> type | None:
        """The class of an executor, the preferred one by default; None where there is none of that name."""
        registered = cls.get("parallelization_registry").get(
            cls.get_optimal_parallelization() if name is None else name
        )
        if isinstance(registered, str):
            module, _, own = registered.rpartition(".")
            registered = getattr(import_module(module), own)
        found: type | None = registered
        return found

    @classmethod
    def get_available_backends(cls) -> Names:
        """Kinds of solvers."""
        return {*cls.get("available_backends")}

    @classmethod
    def get_available_parallelization(cls) -> Names:
        """Executors that may be asked for."""
        return {*cls.get("available_parallelization")}

    @classmethod
    def get_available_features(cls) -> Names:
        """Optional packages that are installed."""
        return {*cls.get("available_features")}

    @classmethod
    def is_backend_available(cls, backend: str) -> bool:
        """Whether there is a kind of solver."""
        return backend in cls.get_available_backends()

    @classmethod
    def is_parallelization_available(cls, mode: str) -> bool:
        """Whether there is an executor."""
        return mode in cls.get_available_parallelization()

    @classmethod
    def is_feature_available(cls, feature: str) -> bool:
        """Whether an optional package is installed."""
        return feature in cls.get_available_features()

    @classmethod
    def require_backend(cls, backend: str) -> None:
        """RuntimeError where there is no such kind of solver."""
        if not cls.is_backend_available(backend):
            known = ", ".join(sorted(cls.get_available_backends()))
            raise NotAvailable(f"Backend {backend!r} is not available. Available backends: {known}")

    @classmethod
    def require_parallelization(cls, mode: str) -> None:
        """RuntimeError where there is no such executor."""
        if not cls.is_parallelization_available(mode):
            known = ", ".join(sorted(cls.get_available_parallelization()))
            raise NotAvailable(f"Parallelization mode {mode!r} is not available. Available modes: {known}")

    @classmethod
    def get_optimal_parallelization(cls, backend: str | None = None) -> str:
        """The executor that is taken where none is asked for."""
        available = cls.get_available_parallelization()
        return next((name for name in _PREFERRED if name in available), "sequential")

    # ---- as text ------------------------------------------------------------------------------------------------

    @classmethod
    def get_info(cls) -> dict[str, Any]:
        """What there is, and on what machine."""
        return {
            "backends": sorted(cls.get_available_backends()),
            "parallelization": sorted(cls.get_available_parallelization()),
            "features": sorted(cls.get_available_features()),
            "max_workers": cls.get("max_workers"),
            "platform": sys.platform,
            "python_version": sys.version,
        }

    @classmethod
    def print_info(cls) -> None:
        """The same, on the terminal."""
        info = cls.get_info()
        lines = [f"Platform: {info['platform']}", f"Python: {platform.python_version()}"]
        lines.append(f"Max Workers: {info['max_workers']}")
        for title, key in (("Backends", "backends"), ("Parallelization", "parallelization"), ("Features", "features")):
            lines += ["", f"Available {title}:", *(f"  - {name}" for name in info[key])]
        sys.stdout.write("\n".join(lines) + "\n")

    @classmethod
    def snapshot(cls, workload: str | None = None) -> dict[str, Any]:
        """All settings in a form that JSON holds."""
        cls.init()
        return {
            "config": _plain(cls._config),
            "overrides": _plain(cls._overrides.get({})),
            "workload": workload,
        }

    @classmethod
    def from_snapshot(cls, snapshot: dict[str, Any]) -> None:
        """Take over settings of a `snapshot`."""
        cls.init()
        config = {key: set(value) if key in _SETS else value for key, value in snapshot.get("config", {}).items()}
        cls._config.update(config)
        cls._overrides.set(dict(snapshot.get("overrides", {})))

    @classmethod
    def to_env(cls, env_var: str = _VARIABLE, workload: str | None = None) -> None:
        """Put a snapshot into the environment, for programs that this one starts."""
        os.environ[env_var] = json.dumps(cls.snapshot(workload))

    @classmethod
    def from_env(cls, env_var: str = _VARIABLE) -> None:
        """Take over a snapshot from the environment, if there is one."""
        if text := os.environ.get(env_var):
            cls.from_snapshot(json.loads(text))


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: _plain_value(value) for key, value in settings.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, dict):
        return _plain(value)
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else value
