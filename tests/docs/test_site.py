"""The pages belong together: links lead somewhere, the navigation names all of them, the API page every public name."""

from __future__ import annotations

import importlib.util
import inspect
import pydoc
import re
import shutil
import subprocess
from pathlib import Path
from types import FunctionType

import pytest

import galvo

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = [path.relative_to(ROOT).as_posix() for path in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")))]
PAGES.append("bench/README.md")


def without_code(page: str) -> str:
    """Text of a page, code left out."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "``", text)


def anchors(page: str) -> set[str]:
    """What `#` may name: headings, as GitHub and mkdocs spell them."""
    text = (ROOT / page).read_text(encoding="utf-8")
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page)):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / page).parent / path if path else ROOT / page
        assert found.exists(), f"{page}: {target} is not there"
        if anchor:
            name = found.resolve().relative_to(ROOT).as_posix()
            assert anchor in anchors(name), f"{page}: {target}: no such heading"


def test_the_navigation_names_every_page_once(hooks):
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2].partition("\n\n")[0]
    named = hooks.expanded(re.findall(r"[\w/-]+(?:\.md|/\*)", text))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").glob("**/*.md")}
    assert sorted(named) == sorted(pages | hooks.pages_outside())


def test_pages_become_pages_of_the_site(hooks):
    def at_home(text: str) -> str:
        return hooks.for_the_site(text, "README.md", "index.md")

    assert at_home("[a](docs/motion/correct.md#quality)") == "[a](<motion/correct.md#quality>)"
    assert at_home("[a](ARCHITECTURE.md), [b](bench/)") == "[a](<architecture.md>), [b](<bench.md>)"
    assert at_home("[a](https://x.org/y.md)") == "[a](https://x.org/y.md)"
    assert hooks.for_the_site("[a](../../README.md#b)", "docs/api/noise.md", "api/noise.md") == "[a](<../index.md#b>)"
    assert at_home(r"| `a\|b` | c |") == "| `a|b` | c |"
    assert at_home("```python\n`\\|`[1](README.md)\n```") == "```python\n`\\|`[1](README.md)\n```"
    assert at_home("1. a\n   b\n\n   ```toml\n   c\n   ```\n2. d\n\ne") == (
        "1. a\n    b\n\n    ```toml\n    c\n    ```\n\n2. d\n\ne"
    )
    assert at_home("- a\n\n  | b |\n- c\n  - d\ne") == "- a\n\n    | b |\n\n- c\n    - d\ne"


def public():
    """Every public name, and what it names."""
    for name in galvo.__all__:
        value = getattr(galvo, name)
        if inspect.ismodule(value):
            yield from ((f"galvo.{name}.{member}", getattr(value, member)) for member in value.__all__)
        else:
            yield f"galvo.{name}", value


def described():
    """Every name on the pages of docs/api, and what it names."""
    for page in sorted((ROOT / "docs" / "api").glob("*.md")):
        for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            yield name, pydoc.locate(name)


def test_the_api_pages_have_every_public_name():
    found = dict(described())
    for name, value in found.items():
        assert value is not None, f"{name} is not there"
        assert inspect.getdoc(value) or not isinstance(value, type | FunctionType), f"{name} has no docstring"
    # some have two names
    missing = [name for name, value in public() if not any(value is one for one in found.values())]
    assert not missing, "a page of docs/api needs `::: NAME` for each"


@pytest.mark.harden
def test_the_site_is_whole():
    """mkdocs finds nothing to warn of, and no page of the site asks for anything that is not in it."""
    done = subprocess.run(["make", "docs"], cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    site = ROOT / "build" / "site"
    pages = sorted(site.glob("**/*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        outside = re.findall(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(?:https?:)?//[^"]*"', text)
        assert not outside, f"{page.name} asks for {outside}"
    for sheet in site.glob("**/*.css"):
        assert not re.search(r"@import|url\([\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")), sheet.name
    every = "".join(page.read_text(encoding="utf-8") for page in (site / "api").glob("*.html"))
    missing = [name for name, _ in described() if f'id="{name}"' not in every]
    assert not missing, "names without a heading"
    check_search(site)


def check_search(site):
    """It works without a server."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("whole, but its search was not tried: no Chromium")
    address = f"{(site / 'index.html').as_uri()}?q=flyback"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    done = subprocess.run([browser, *options, address], capture_output=True, text=True, check=True, timeout=120)
    assert re.search(r"[1-9]\d* matching documents", done.stdout)
    assert 'href="formats/scanimage.html' in done.stdout
