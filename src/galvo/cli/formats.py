"""``galvo formats``: what galvo reads and writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from galvo.cli.ending import debug_option
from galvo.cli.screen import is_terminal, show_table

if TYPE_CHECKING:
    from galvo.core.registry import Format

__all__ = ["command"]

_EPILOG: Final = """\b
Examples:
  galvo formats
  galvo formats --json | jq -r '.[] | select(.writes).name'

Options of a format are given as --open-option NAME=VALUE and --write-option NAME=VALUE where galvo has none of that
name. Other packages add formats under the entry point `galvo.formats`.
"""


@click.command("formats", short_help="List the formats.", epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="A JSON list.")
@debug_option
def command(as_json: bool) -> None:
    """List the formats that galvo reads and writes, with their options."""
    from galvo.formats import REGISTRY

    entries = list(REGISTRY.all().values())
    if as_json:
        import json

        listed = [
            {
                "name": entry.name,
                "title": entry.title,
                "suffixes": list(entry.suffixes),
                "writes": entry.sink is not None,
                "open_options": list(entry.options),
                "write_options": list(entry.write_options),
            }
            for entry in entries
        ]
        click.echo(json.dumps(listed))
        return
    if is_terminal():
        # names of options are many: beside each other they leave no room for words
        show_table(("name", "what"), [(entry.name, "\n".join(_lines(entry))) for entry in entries])
        return
    show_table(
        ("name", "what", "suffixes", "access", "open\noptions", "write\noptions"),
        [
            (
                entry.name,
                entry.title,
                "\n".join(entry.suffixes),
                "read" if entry.sink is None else "read\nwrite",
                "\n".join(entry.options),
                "\n".join(entry.write_options),
            )
            for entry in entries
        ],
    )


def _lines(entry: Format) -> Iterator[str]:
    """What there is to say of a format."""
    yield entry.title
    yield f"{'read' if entry.sink is None else 'read and write'}: {' '.join(entry.suffixes)}"
    for kind, names in (("--open-option", entry.options), ("--write-option", entry.write_options)):
        if names:
            yield f"{kind} {', '.join(names)}"
