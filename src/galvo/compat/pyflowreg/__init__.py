"""pyflowreg: motion correction of 2-photon movies, over `galvo.motion` and galvo's formats."""

from __future__ import annotations

from galvo.compat.pyflowreg.core.optical_flow import get_displacement

__all__ = ["__version__", "get_displacement"]

__version__ = "0.1.0a9"
"""The release whose interface this is."""
