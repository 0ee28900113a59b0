"""The group of verbs; each verb's module is imported when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import click

from galvo import __version__
from galvo.cli.ending import CODES_HELP, debug_option, orderly_end

__all__ = ["group"]

_VERBS: Final = ("info", "preview", "convert", "correct", "report", "verify", "recover", "mroi-json", "formats", "demo")


class _LazyGroup(click.Group):
    """Verbs by name, without importing them first."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Verbs in the order of the help page."""
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb `cmd_name`, from the module of its name."""
        if cmd_name not in _VERBS:
            return None
        command = import_module(f"galvo.cli.{cmd_name.replace('-', '_')}").command
        if not isinstance(command, click.Command):
            raise TypeError(f"galvo.cli.{cmd_name}.command is a {type(command).__name__}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb that the first word names; where there is none, the error names the one that may be meant."""
        if args and args[0] not in _VERBS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0].lower(), _VERBS, 1)
            meant = f"Did you mean {near[0]!r}?" if near else f"The verbs are {', '.join(_VERBS)}."
            ctx.fail(f"No such command {args[0]!r}. {meant}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; whatever it raises becomes a line and an exit code."""
        with orderly_end():
            return super().invoke(ctx)


_EPILOG: Final = f"""\b
Examples:
  galvo info rec_00001_00001.tif
  galvo preview rec_00001_00001.tif -o rec.png
  galvo convert rec_00001_00001.tif -o rec.h5 --verify
  galvo correct rec_00001_00001.tif -o corrected.h5
  galvo verify rec.h5
  galvo demo

{CODES_HELP}"""


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(__version__, "-V", "--version", prog_name="galvo", message="%(prog)s %(version)s")
@debug_option
def group() -> None:
    """Open, convert, correct and verify functional-imaging recordings.

    A recording is a file, one file of a series (the whole series is opened), a folder, or a quoted pattern.
    """
