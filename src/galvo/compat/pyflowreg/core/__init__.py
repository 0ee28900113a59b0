"""pyflowreg.core: the solver, and which solvers there are."""

from __future__ import annotations

from galvo.compat.pyflowreg.core.backend_registry import (
    get_backend,
    is_backend_available,
    list_backends,
    register_backend,
)
from galvo.compat.pyflowreg.core.level_solver import compute_flow

__all__ = ["compute_flow", "get_backend", "is_backend_available", "list_backends", "register_backend"]
