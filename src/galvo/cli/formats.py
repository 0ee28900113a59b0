"""``galvo formats``: what galvo reads and writes."""

from __future__ import annotations

from typing import Final

import click

from galvo.cli.ending import debug_option
from galvo.cli.screen import show_table

__all__ = ["command"]

_EPILOG: Final = """\b
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
