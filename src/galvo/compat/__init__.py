"""Existing scripts over galvo: modules that answer to the import names of other programs.

>>> import galvo
>>> galvo.compat.install("pyme")                          # doctest: +SKIP
>>> from PYME.IO import PZFFormat                         # doctest: +SKIP

Or, for a script that is not to be changed, ``python -m galvo.compat calscipy -- script.py``.

Nothing is registered before `install` is called. To add a facade: a package here whose modules have the names, the
signatures and the errors of the originals' and an `__all__`, a row below, a stand-in for worker processes in
`stand_ins`, a page in docs/coming-from.
"""

from __future__ import annotations

from galvo.compat.substitution import Facade, Substitution
from galvo.errors import OptionError

__all__ = ["install", "names", "uninstall"]

_SUBSTITUTION = Substitution()
_ROIEXTRACTORS = "galvo.compat.roiextractors"
_TIFF = "roiextractors.extractors.tiffimagingextractors"

_PYFLOWREG_CORE = ("backend_registry", "diso_optical_flow", "level_solver", "optical_flow", "warping")
_PYFLOWREG_CORRECTION = ("OF_options", "compensate_arr", "compensate_recording", "flow_reg_live")
_PYFLOWREG_EXECUTORS = ("base", "multiprocessing", "sequential", "threading")
_PYFLOWREG_IO = (
    *("_arr", "_base", "_ds_io", "_null", "_scanimage"),
    *("factory", "hdf5", "mat", "mdf", "multifile_wrappers", "tiff"),
)

# import name: galvo's module for it, or None for a package that only holds others
_FACADES = {
    "calscipy": Facade(
        modules={
            "CalSciPy": "galvo.compat.calscipy",
            "CalSciPy._helpers": "galvo.compat.calscipy.dummies",
            "CalSciPy.io_tools": "galvo.compat.calscipy.io_tools",
        },
    ),
    "pyme": Facade(
        modules={
            "PYME": None,
            "PYME.IO": None,
            "PYME.IO.PZFFormat": "galvo.compat.pyme.PZFFormat",
        },
    ),
    "pyflowreg": Facade(
        modules={
            name: f"galvo.compat.{name}"
            for name in (
                "pyflowreg",
                "pyflowreg._runtime",
                "pyflowreg.core",
                *(f"pyflowreg.core.{module}" for module in _PYFLOWREG_CORE),
                "pyflowreg.motion_correction",
                *(f"pyflowreg.motion_correction.{module}" for module in _PYFLOWREG_CORRECTION),
                "pyflowreg.motion_correction.parallelization",
                *(f"pyflowreg.motion_correction.parallelization.{module}" for module in _PYFLOWREG_EXECUTORS),
                "pyflowreg.util",
                "pyflowreg.util.image_processing",
                "pyflowreg.util.resize_util",
                "pyflowreg.util.xcorr_prealignment",
                "pyflowreg.util.io",
                *(f"pyflowreg.util.io.{module}" for module in _PYFLOWREG_IO),
            )
        },
    ),
    "roiextractors": Facade(
        modules={
            "roiextractors": _ROIEXTRACTORS,
            "roiextractors.extraction_tools": f"{_ROIEXTRACTORS}.extraction_tools",
            "roiextractors.imagingextractor": f"{_ROIEXTRACTORS}.imagingextractor",
            "roiextractors.extractorlist": f"{_ROIEXTRACTORS}.tiffimagingextractors",
            "roiextractors.extractors": None,
            _TIFF: f"{_ROIEXTRACTORS}.tiffimagingextractors",
            f"{_TIFF}.scanimagetiff_utils": f"{_ROIEXTRACTORS}.scanimagetiff_utils",
            f"{_TIFF}.scanimagetiffimagingextractor": f"{_ROIEXTRACTORS}.scanimagetiffimagingextractor",
        },
    ),
    "scanreader": Facade(
        modules={
            "scanreader": "galvo.compat.scanreader",
            "scanreader.core": "galvo.compat.scanreader.core",
            "scanreader.exceptions": "galvo.compat.scanreader.exceptions",
            "scanreader.multiroi": "galvo.compat.scanreader.multiroi",
            "scanreader.scans": "galvo.compat.scanreader.scans",
        },
    ),
}


def names() -> tuple[str, ...]:
    """What `install` takes."""
    return tuple(_FACADES)


def install(name: str, *, force: bool = False) -> None:
    """Let the import names of another program lead to galvo, in this process, until `uninstall`.

    Where the original is not installed, galvo's modules are registered under its import names. Where it is installed,
    only what galvo has is replaced, inside the original's own modules, and one warning says so; names that a script
    has already imported from them (``from x import y``) stay the original's. Calling it again changes nothing.

    Parameters
    ----------
    name : str
        "calscipy", "pyflowreg", "pyme", "roiextractors" or "scanreader".
    force : bool
        Replace an installed original as a whole: what galvo does not have cannot be imported then.

    Warns
    -----
    GalvoWarning
        The original is installed, and `force` is False.

    Raises
    ------
    OptionError
        No such facade.
    """
    _SUBSTITUTION.install(name, _facade(name), force=force)


def uninstall(name: str | None = None) -> None:
    """Put back what `install` replaced.

    Parameters
    ----------
    name : str, optional
        As given to `install`; all by default. Nothing happens where it is not installed.

    Raises
    ------
    OptionError
        No such facade.
    """
    if name is not None:
        _facade(name)
    _SUBSTITUTION.uninstall(name)


def _facade(name: str) -> Facade:
    try:
        return _FACADES[name]
    except (KeyError, TypeError):
        raise OptionError("no such facade", found=repr(name), expected=", ".join(map(repr, _FACADES))) from None
