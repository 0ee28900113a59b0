"""What errors tell users to type can be typed."""

from __future__ import annotations

import re
from pathlib import Path

import click

import galvo
from galvo.cli.group import group


def test_options_that_hints_name_exist():
    known = set()
    context = click.Context(group)
    for verb in group.list_commands(context):
        command = group.get_command(context, verb)
        known |= {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert "--overwrite" in known
    for path in Path(galvo.__file__).parent.rglob("*.py"):
        named = re.findall(r"\((--[a-z][a-z-]*)", path.read_text(encoding="utf-8"))
        assert set(named) <= known, path
