"""The report of a correction, one HTML page that shows whether it went well: ``galvo.report(corrected)``.

The package is the function too. `subject` is what is reported on, `measures` its numbers and `verdict` what they say in
words; `charts` and `figures` draw, `sections` puts the page together, `writing` writes it.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galvo.report.writing import report

__all__ = ["report"]


def __getattr__(name: str) -> Any:
    if name != "report":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from galvo.report.writing import report

    return report


class _Package(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> str:
        """Write the report of a correction; see `galvo.report.report`."""
        from galvo.report.writing import report

        return report(*arguments, **options)


sys.modules[__name__].__class__ = _Package
