"""What Ctrl-C leaves of outputs, and how to go on with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from galvo.cli.screen import say
from galvo.core.atomic import journal_path, partial_path

__all__ = ["told_when_stopped"]


@contextmanager
def told_when_stopped(*outputs: str) -> Iterator[None]:
    """After Ctrl-C, say what of these outputs is on the disk, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        for output in outputs:
            if os.path.exists(journal_path(output)):
                say("kept", f"{partial_path(output)}: the same command with --resume goes on behind it")
        raise
