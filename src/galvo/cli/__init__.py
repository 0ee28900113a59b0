"""The command line, one module per verb.

A verb's module is imported when the verb is used, and what a verb needs of galvo when it runs, so that ``galvo info``
starts about as fast as Python with numpy.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run ``galvo`` with the arguments of this process; the exit codes are those of `galvo.cli.ending`."""
    try:
        from galvo.cli.group import group

        group(prog_name="galvo")
    except KeyboardInterrupt:
        from galvo.cli.ending import INTERRUPTED

        sys.exit(INTERRUPTED)
    except OSError as error:
        # help and version are printed before any verb runs
        if error.filename is not None:
            raise
        from galvo.cli.ending import drop_output

        drop_output(sys.stdout)
        sys.exit(f"galvo: error: what galvo prints cannot be written: {error.strerror}")
