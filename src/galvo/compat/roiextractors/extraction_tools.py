"""Names of roiextractors.extraction_tools that go with its ScanImage extractors."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from platform import python_version
from types import ModuleType
from typing import TypeAlias

__all__ = ["PathType", "get_package"]

PathType: TypeAlias = str | Path


def get_package(
    package_name: str,
    installation_instructions: str | None = None,
    excluded_platforms_and_python_versions: dict[str, list[str]] | None = None,
) -> ModuleType:
    """Import a package, or say how it can be installed.

    Parameters
    ----------
    package_name : str
    installation_instructions : str, optional
        ``pip install`` and the name by default.
    excluded_platforms_and_python_versions : dict of str to list of str, optional
        Where there is none: ``sys.platform`` to Python versions such as "3.11".

    Raises
    ------
    ModuleNotFoundError
        It is not installed.
    """
    if package_name in sys.modules or importlib.util.find_spec(package_name) is not None:
        return importlib.import_module(package_name)
    minor = ".".join(python_version().split(".")[:2])
    if minor in (excluded_platforms_and_python_versions or {}).get(sys.platform, ()):
        raise ModuleNotFoundError(
            f"\nThe package '{package_name}' is not available on the {sys.platform} platform "
            f"for Python version {minor}!"
        )
    raise ModuleNotFoundError(
        f"\nThe required package'{package_name}' is not installed!\nTo install this package, please run\n\n\t"
        f"{installation_instructions or f'pip install {package_name}'}\n"
    )
