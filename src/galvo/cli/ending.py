"""How a verb ends: exit codes, one-line errors, quiet ends of interrupted runs and closed pipes."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import click

from galvo.errors import DamagedData, GalvoError

__all__ = [
    "CODES_HELP",
    "DIFFERS",
    "FAILED",
    "INTERRUPTED",
    "debug_option",
    "drop_output",
    "end_with",
    "error_line",
    "orderly_end",
]

FAILED: Final = 1
DIFFERS: Final = 3
INTERRUPTED: Final = 130
_PIPE_CLOSED: Final = 141

CODES_HELP: Final = """\b
Exit codes:
    0  all is well
    1  galvo could not do it (bad input, output not written)
    2  wrong use of the command line
    3  a verification found differences, or data are damaged
  130  stopped with Ctrl-C
  141  the reader of galvo's output went away
"""

# galvo's own files fail with its own errors
_UNWRITABLE: Final = (errno.ENOSPC, errno.EIO, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))
_DEBUG: Final = "galvo.debug"
_REPORT_URL: Final = "https://github.com/galvo-imaging/galvo/issues"


def _remember_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.meta[_DEBUG] = True


debug_option = click.option(
    "--debug",
    is_flag=True,
    envvar="GALVO_DEBUG",
    expose_value=False,
    callback=_remember_debug,
    help="Show the traceback of an error (also GALVO_DEBUG=1).",
)


def error_line(message: str) -> None:
    """Print one line about an error on stderr."""
    click.echo(f"galvo: error: {' '.join(message.split())}", err=True)


def _code_of(error: BaseException) -> int:
    return DIFFERS if isinstance(error, DamagedData) else FAILED


def end_with(error: Exception, code: int | None = None) -> NoReturn:
    """Say what went wrong and leave the program.

    Parameters
    ----------
    error : Exception
    code : int, optional
        By default 3 for damaged data, else 1.
    """
    if click.get_current_context().meta.get(_DEBUG):
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
    if isinstance(error, GalvoError):
        error_line(str(error))
    elif isinstance(error, MemoryError):
        error_line("not enough memory")
    elif isinstance(error, OSError) and error.errno in _UNWRITABLE:
        error_line(f"what galvo prints cannot be written: {error.strerror}")
    else:
        error_line(
            f"unexpected {type(error).__name__}: {error}; "
            f"please run it again with --debug and report what it shows at {_REPORT_URL}"
        )
    raise click.exceptions.Exit(_code_of(error) if code is None else code) from error


@contextmanager
def orderly_end() -> Iterator[None]:
    """Turn every way in which a verb can fail into a line and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a terminal without µ must not end a conversion
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except KeyboardInterrupt:
        click.echo("galvo: interrupted", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        drop_output(sys.stdout)
        raise click.exceptions.Exit(_PIPE_CLOSED) from None
    except Exception as error:  # noqa: BLE001 - the last door: users get one line, --debug the rest
        if isinstance(error, OSError) and error.errno in _UNWRITABLE:
            drop_output(sys.stdout)
        end_with(error)


def drop_output(stream: Any) -> None:
    """Forget what was printed and cannot be written.

    What is still buffered goes nowhere, else Python complains of it when it exits.
    """
    if stream is None:
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)
