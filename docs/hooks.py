"""What mkdocs is told besides mkdocs.yml: pages that lie outside docs/, stars in the navigation, GitHub's Markdown.

Pages are written for who reads them in the repository; links and tables are put right here for the site.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]

OUTSIDE = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "license.md",
    "bench/README.md": "bench.md",
}
"""Files of the repository to pages of the site."""

_ITEM = re.compile(r"(?:-|\d+\.) ")
_LINK = re.compile(r"(?P<open>\]\()(?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Replace the stars of the navigation by pages."""
    config.nav = expanded(config.nav)
    return config


def expanded(nav: Any) -> Any:
    """`nav` with ``folder/*`` replaced by the pages of that folder, by name."""
    if isinstance(nav, dict):
        return {title: expanded(entry) for title, entry in nav.items()}
    if not isinstance(nav, list):
        return nav
    entries: list[Any] = []
    for entry in nav:
        if isinstance(entry, str) and entry.endswith("/*"):
            folder = ROOT / "docs" / entry.removesuffix("/*")
            entries += [path.relative_to(ROOT / "docs").as_posix() for path in sorted(folder.glob("*.md"))]
        elif not isinstance(entry, str) or entry in pages_outside() or (ROOT / "docs" / entry).is_file():
            # the tests find pages that are named nowhere, so a name without a page hides nothing
            entries.append(expanded(entry))
    return entries


def pages_outside() -> set[str]:
    """Pages of the site whose files lie outside docs/."""
    return {page for source, page in OUTSIDE.items() if (ROOT / source).is_file()}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/."""
    from mkdocs.structure.files import File

    for source, page in OUTSIDE.items():
        if (ROOT / source).is_file():
            text = (ROOT / source).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=f"# Licence\n\n{text}" if source == "LICENSE" else text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page as Python-Markdown takes it, with links to pages of the site."""
    inside = page.file.src_uri
    source = next((source for source, made in OUTSIDE.items() if made == inside), f"docs/{inside}")
    return for_the_site(markdown, source, inside)


def for_the_site(markdown: str, source: str, inside: str) -> str:
    """Text of the file `source` of the repository as page `inside` of the site."""

    def link(found: re.Match[str]) -> str:
        target, anchor = found["target"], found["anchor"] or ""
        if re.match(r"[a-z]+:", target):
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if (ROOT / path).is_dir():
            path = posixpath.join(path, "README.md")
        made = OUTSIDE.get(path) or path.removeprefix("docs/")
        return f"](<{posixpath.relpath(made, posixpath.dirname(inside) or '.')}{anchor}>)"

    lines: list[str] = []
    shift, fenced = "", False
    for line in markdown.split("\n"):
        item = None if fenced else _ITEM.match(line)
        if item:
            # tables and fences within the item before end with an empty line there
            if lines and lines[-1].lstrip().startswith(("|", "```")):
                lines.append("")
            shift = " " * (4 - len(item[0]))
        elif line and not line.startswith("  ") and not fenced:
            shift = ""
        elif line:
            # what belongs to an item is indented by four there
            line = shift + line
        bare = line.lstrip()
        if bare.startswith("```"):
            fenced = not fenced
        elif not fenced:
            if bare.startswith("|"):
                # a bar inside code is the text's own there, and GitHub's tables want it escaped
                line = re.sub(r"`[^`]*`", lambda code: code[0].replace(r"\|", "|"), line)
            line = _LINK.sub(link, line)
        lines.append(line)
    return "\n".join(lines)
