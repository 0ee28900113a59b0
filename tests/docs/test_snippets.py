"""What the documentation says is done: every snippet of a page runs, in order, in a folder of the page's own.

CONTRIBUTING.md says what writers of pages need to know.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

import galvo
from galvo.cli.group import group

ROOT = Path(__file__).resolve().parents[2]
PAGES = [path.relative_to(ROOT).as_posix() for path in (*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md")))]

RUN = ("python", "console")
SHOWN = ("text", "toml", "json", "yaml", "html", "matlab")

_FENCE = re.compile(r"(?P<indent> *)```(?P<language>[^`]*)$")
_DIRECTIVE = re.compile(r" *<!-- (?P<word>not run|files|fresh|setup): ?(?P<rest>.*)")


@dataclass(frozen=True)
class Step:
    """One thing to do for a page."""

    kind: str
    """files, fresh, setup, or the language of a block."""
    line: int
    """Of its first line of text, from 1."""
    text: str
    not_run: str = ""
    """Why not."""


def steps(page: str) -> list[Step]:
    """Everything to do for a page, in order."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    found, reason, at = [], "", 0
    while at < len(lines):
        fence, directive = _FENCE.match(lines[at]), _DIRECTIVE.match(lines[at])
        if fence:
            stop = next((n for n in range(at + 1, len(lines)) if lines[n].strip() == "```"), None)
            assert stop is not None, f"{page}:{at + 1}: a fence that is not closed"
            indent = len(fence["indent"])
            text = "\n".join(line[indent:] for line in lines[at + 1 : stop])
            found.append(Step(fence["language"].strip(), at + 2, text, reason))
            reason, at = "", stop
        elif directive:
            stop = next((n for n in range(at, len(lines)) if "-->" in lines[n]), None)
            assert stop is not None, f"{page}:{at + 1}: a comment that is not closed"
            text = "\n".join((directive["rest"], *lines[at + 1 : stop + 1])).partition("-->")[0]
            assert text.strip(), f"{page}:{at + 1}: nothing after {directive['word']}"
            if directive["word"] == "not run":
                reason = " ".join(text.split())
            else:
                found.append(Step(directive["word"], at + 1, text))
            at = stop
        else:
            assert not (reason and lines[at].strip()), f"{page}:{at + 1}: `not run` belongs right before a fence"
        at += 1
    assert not reason, f"{page}: `not run` belongs right before a fence"
    return found


STEPS = {page: steps(page) for page in PAGES}
WITH_SNIPPETS = [page for page in PAGES if any(step.kind in RUN and not step.not_run for step in STEPS[page])]
NOT_RUN = [(page, step) for page in PAGES for step in STEPS[page] if step.not_run]


@pytest.mark.parametrize("page", WITH_SNIPPETS)
def test_snippets(page, shelf, always, tmp_path, monkeypatch):
    folder = tmp_path / "1"
    placed = list(always)
    namespace = {"__name__": "snippets"}

    def begin() -> None:
        folder.mkdir()
        monkeypatch.chdir(folder)
        for name in placed:
            shelf.place(name, folder)

    begin()
    try:
        for step in STEPS[page]:
            if step.not_run:
                continue
            if step.kind == "files":
                more = [name.strip() for name in step.text.split(",")]
                for name in more:
                    shelf.place(name, folder)
                placed += more
            elif step.kind == "fresh":
                folder = tmp_path / str(step.line)
                begin()
            elif step.kind in ("python", "setup"):
                run_python(page, step, namespace)
            elif step.kind == "console":
                run_session(f"{page}:{step.line}", step.text)
    finally:
        namespace.clear()
        galvo.compat.uninstall()


@pytest.mark.parametrize(("page", "step"), [pytest.param(*one, id=f"{one[0]}:{one[1].line}") for one in NOT_RUN])
def test_not_run(page, step):
    pytest.skip(step.not_run)


@pytest.mark.parametrize("page", PAGES)
def test_blocks_say_what_they_are(page):
    for step in STEPS[page]:
        place = f"{page}:{step.line}"
        if step.kind not in ("files", "fresh", "setup"):
            assert step.kind in (*RUN, *SHOWN), f"{place}: {step.kind!r} is no language of a block"
        if step.kind in SHOWN:
            assert not re.search(r"^\$ ", step.text, re.MULTILINE), f"{place}: commands belong into a console block"


def run_python(page: str, step: Step, namespace: dict[str, object]) -> None:
    """Run a block; what it raises is told with the line of the page."""
    try:
        # empty lines in front, so that line numbers are the page's
        exec(compile("\n" * (step.line - 1) + step.text, page, "exec"), namespace)
    except Exception as error:  # noqa: BLE001 - whatever a page does wrong
        lines = [entry.lineno for entry in traceback.extract_tb(error.__traceback__) if entry.filename == page]
        line = lines[-1] if lines else getattr(error, "lineno", step.line)
        text = (ROOT / page).read_text(encoding="utf-8").splitlines()[line - 1].strip()
        said = "".join(traceback.format_exception(error))
        pytest.fail(f"{page}:{line}: {text}\n{said}", pytrace=False)


def run_session(place: str, text: str) -> None:
    """Run the lines that begin with `$`; the lines below each must be among what it says, but for numbers."""
    commands = re.split(r"^\$ ", text.replace("\\\n", ""), flags=re.MULTILINE)
    assert not commands.pop(0).strip(), f"{place}: a console block begins with `$ `"
    for command in commands:
        line, _, shown = command.partition("\n")
        said = run_command(f"{place}: {line}", shlex.split(line, comments=True))
        compare(f"{place}: {line}", shown, said)


def run_command(place: str, words: list[str]) -> str:
    """What a command says; it must succeed."""
    if words in (["make", "demo"], ["galvo", "demo"]):
        words = ["galvo", "demo", "--frames", "30"]
    assert not {"|", ">", "<", "&&", ";", "&"} & set(words), f"{place}: no pipes here: mark the block `not run`"
    if Path(words[0]).name == "galvo":
        done = CliRunner().invoke(group, words[1:])
        code, said = done.exit_code, done.output
    elif words[:2] == ["python", "-m"] and words[2].partition(".")[0] == "galvo":
        folders = (str(Path(galvo.__file__).parents[1]), os.environ.get("PYTHONPATH"))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))}
        command = [sys.executable, *words[1:]]
        child = subprocess.run(
            command, capture_output=True, encoding="utf-8", env=environment, timeout=120, check=False
        )
        code, said = child.returncode, child.stdout + child.stderr
    else:
        pytest.fail(f"{place}: only galvo is run here: mark the block `<!-- not run: reason -->`")
    assert code == 0, f"{place} ended with {code}:\n{said}"
    return said


def compare(place: str, shown: str, said: str) -> None:
    """Lines that a page shows come in this order; numbers may differ, `...` stands for anything."""
    found = [plain(line) for line in said.splitlines()]
    for line in filter(str.strip, shown.splitlines()):
        wanted = re.compile(re.escape(plain(line)).replace(r"\.\.\.", ".*"))
        while found and not wanted.search(found[0]):
            found.pop(0)
        assert found, f"{place} does not say {line.strip()!r}:\n{said}"


def plain(line: str) -> str:
    return re.sub(r"\d+(?:[.,:]\d+)*", "0", " ".join(line.split()))
