"""Text as HTML: whatever comes from files is escaped, and what is HTML already is of a type of its own."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import NewType

from galvo.text import printable

__all__ = ["NOTHING", "Markup", "escaped", "joined", "section", "tag"]

Markup = NewType("Markup", str)
"""HTML that was written here, or in which everything from outside has been escaped."""

NOTHING = Markup("")


def escaped(text: object) -> Markup:
    """Any text as it is to be read: control characters, and those that turn the direction of writing, by their code."""
    return Markup(html.escape(printable(str(text))))


def joined(parts: Iterable[Markup]) -> Markup:
    """One behind the other."""
    return Markup("".join(parts))


def tag(name: str, content: Markup, **attributes: str) -> Markup:
    """An element around HTML; the values of attributes are escaped, `class_` is ``class``."""
    words = "".join(f' {key.rstrip("_").replace("_", "-")}="{escaped(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{words}>{content}</{name}>")


def section(name: str, title: str, *content: Markup, over_time: bool = False) -> Markup:
    """A titled part of the page; with room for the script to say which frame is pointed at."""
    place = tag("span", NOTHING, class_="readout") if over_time else NOTHING
    heading = tag("h2", joined((escaped(title), place)))
    return tag("section", joined((heading, *content)), id=name)
