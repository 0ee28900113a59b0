"""The page around the sections of a report: complete by itself, and forbidden to load anything."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from galvo.qc.markup import Markup, escaped
from galvo.qc.sections import sections_of
from galvo.qc.subject import Subject

__all__ = ["page_of"]


def page_of(subject: Subject) -> str:
    """The whole report as HTML.

    Its content security policy names style and script by their SHA-256 and allows images that are in the page: a
    browser then loads nothing else, and runs nothing that a file name might smuggle in.
    """
    style, script = (
        resources.files(__package__).joinpath(name).read_text("utf-8") for name in ("style.css", "script.js")
    )
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    title, body = sections_of(subject)
    return Markup(
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escaped(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>{escaped(title)}</title><style>{style}</style></head>\n"
        f"<body>{body}\n<script>{script}</script></body></html>\n"
    )


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
