"""A report as a tree, parsed strictly: what is opened is closed, in order."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from PIL import Image

VOID = {"meta", "img"}


@dataclass
class Element:
    name: str
    attributes: dict[str, str]
    inside: list[Element | str] = field(default_factory=list)

    @property
    def children(self) -> list[Element]:
        return [part for part in self.inside if isinstance(part, Element)]

    @property
    def text(self) -> str:
        return "".join(part.text if isinstance(part, Element) else part for part in self.inside)

    def all(self, name: str | None = None, **wanted: str) -> list[Element]:
        """Elements below with that name, and these classes or attributes (``class_``, ``data_plane``)."""
        found = []
        for child in self.children:
            fits = name is None or child.name == name
            for key, value in wanted.items():
                has = child.attributes.get(key.rstrip("_").replace("_", "-"), "")
                fits = fits and (value in has.split() if key == "class_" else value == has)
            found += [child] if fits else []
            found += child.all(name, **wanted)
        return found

    def one(self, name: str | None = None, **wanted: str) -> Element:
        (found,) = self.all(name, **wanted)
        return found


class _Strict(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].inside.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attrs):
        # HTML knows these in SVG only
        self.handle_starttag(tag, attrs)
        assert "svg" in [element.name for element in self.open], tag
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open[-1].name == tag, (tag, [element.name for element in self.open])
        self.open.pop()

    def handle_data(self, data):
        self.open[-1].inside.append(data)


def parsed(path: str | Path) -> Element:
    """The tree of a page."""
    parser = _Strict()
    parser.feed(Path(path).read_text("utf-8"))
    parser.close()
    assert parser.open == [parser.root]
    return parser.root


def pixels_of(uri: str) -> np.ndarray:
    """A picture that is in the page."""
    head, _, content = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content, validate=True)))).astype(float)
