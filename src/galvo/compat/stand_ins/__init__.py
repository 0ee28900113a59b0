"""For worker processes of a script that runs under ``python -m galvo.compat``.

A process that `multiprocessing` starts anew imports the script again. It gets ``sys.path`` from its parent, but not
what was installed there. So the parent puts folders of this package on it, whose modules have the import names of the
originals and install the facade in their own place.
"""

from __future__ import annotations

import os
import sys

from galvo.compat import install

__all__ = ["folder_of", "make_way"]


def folder_of(name: str) -> str:
    """What belongs on ``sys.path`` for a facade."""
    return os.path.join(os.path.dirname(__file__), name)


def make_way(package: str, file: str) -> None:
    """Install the facade whose stand-in was imported.

    Parameters
    ----------
    package : str
        Name under which it was imported.
    file : str
        The stand-in itself, in the folder of the facade.
    """
    folder = os.path.dirname(file)
    if folder not in sys.path:
        # not found by way of sys.path: somebody looks at galvo's own modules
        return
    at = sys.path.index(folder)
    del sys.path[at], sys.modules[package]
    try:
        # which finds the original now, where there is one
        install(os.path.basename(folder))
    finally:
        sys.path.insert(at, folder)
