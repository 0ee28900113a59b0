"""A report in a real browser: it shows what it should, reacts, and asks for nothing."""

from __future__ import annotations

import time
from urllib.parse import unquote

import numpy as np
import pytest

import galvo

from .browser import Browser, chromium
from .parsed import parsed

SIZES = {"laptop": (1280, 800, False), "phone": (390, 844, True)}
IMAGES = "[...document.images].every((image) => image.complete && image.naturalWidth > 0)"
SHOWN = """[...document.querySelectorAll("#images .pairs:not(.away) .stage > div")]
    .filter((part) => getComputedStyle(part).visibility === "visible" && part.getClientRects().length)
    .map((part) => part.className)"""
PLOTS = """[...document.querySelectorAll(".time .plot")].filter((plot) => plot.getClientRects().length)
    .map((plot) => plot.getBoundingClientRect().width)"""
BOX = """(() => { const box = document.querySelector("{}").getBoundingClientRect();
    return [box.x, box.y, box.width, box.height]; })()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = chromium()
    if program is None:
        pytest.skip("no browser: GALVO_CHROMIUM names none, and no Chromium is on the PATH")
    with Browser(program, tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(tmp_path_factory, movie):
    """Of two planes and two channels."""
    folder = tmp_path_factory.mktemp("page")
    pixels = np.concatenate([movie, movie[:, ::-1]], axis=2)
    with galvo.correct(pixels, folder / "a long name, that-does-not-break.h5", {"estimator": "rigid"}) as correction:
        return galvo.report(correction)


@pytest.fixture
def opened(browser, page):
    """The page in a window like a laptop's."""
    browser.look_like(1280, 800)
    browser.open(page)
    return browser


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True])
def test_fits_and_is_complete(browser, page, size, dark):
    width, height, phone = SIZES[size]
    browser.console.clear()
    browser.requests.clear()
    browser.look_like(width, height, dark=dark, phone=phone)
    browser.open(page)
    assert browser.run("innerWidth") == width
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(IMAGES) is True
    assert browser.run("document.images.length") == len(parsed(page).all("img"))
    widths = browser.run(PLOTS)
    assert len(widths) >= 5
    assert min(widths) > width / 2
    background = browser.run("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 300) == dark
    assert browser.console == []
    assert list(map(unquote, browser.requests)) == [f"file://{page}"]


def test_before_and_after_blink(opened):
    assert opened.run(SHOWN) == ["after"] * 3
    opened.run('document.querySelector("#show-before").click()')
    assert opened.run(SHOWN) == ["before"] * 3
    assert opened.run('document.querySelector("#show-before").getAttribute("aria-pressed")') == "true"
    opened.press("b")
    assert opened.run(SHOWN) == ["after"] * 3
    opened.run('document.querySelector("#images .stage").click()')
    assert opened.run(SHOWN) == ["before"] * 3
    opened.press("a")
    seen = {opened.run(SHOWN)[0]}
    limit = time.monotonic() + 5
    while len(seen) < 2 and time.monotonic() < limit:
        seen.add(opened.run(SHOWN)[0])
    assert seen == {"before", "after"}
    opened.press("a")
    assert opened.run(SHOWN) == ["after"] * 3
    # both lie at the same place, else nothing could be compared
    places = [opened.run(BOX.replace("{}", f"#images .stage .{when} img")) for when in ("before", "after")]
    assert places[0] == places[1]


def test_planes_and_channels_are_chosen(opened):
    def shown(name):
        return opened.run(f'document.querySelectorAll("#{name} [data-plane]:not(.away)").length')

    assert (shown("images"), shown("motion")) == (1, 1)
    first = opened.run('document.querySelector("#images .pairs:not(.away) img").src')
    opened.run('(() => { const choice = document.querySelector("#choose-channel"); choice.value = "1"; '
               'choice.dispatchEvent(new Event("change")); })()')  # fmt: skip
    assert (shown("images"), shown("motion")) == (1, 1)
    assert opened.run('document.querySelector("#images .pairs:not(.away) img").src') != first


def test_pointing_names_the_frame(opened):
    opened.run('document.querySelector("#motion").scrollIntoView()')
    x, y, width, height = opened.run(BOX.replace("{}", "#motion .plot"))
    opened.send("Input.dispatchMouseEvent", type="mouseMoved", x=x + width * 10.5 / 40, y=y + height / 2)
    assert opened.run('document.querySelector("#motion .readout").textContent') == "frame 10"
    assert opened.run('getComputedStyle(document.querySelector("#motion .cursor")).visibility') == "visible"


def test_the_command_is_copied_or_selected(opened):
    command = opened.run('document.querySelector("#settings code").textContent').strip()
    opened.run("window.keeping = {writeText: async (text) => { window.kept = text; }}")
    opened.run('Object.defineProperty(navigator, "clipboard", {value: window.keeping, configurable: true})')
    opened.run('document.querySelector("#settings .copy").click()')
    assert opened.run("window.kept") == command
    # a browser that has no clipboard, and forbids to copy
    opened.run('Object.defineProperty(navigator, "clipboard", {value: undefined}); document.execCommand = () => false')
    opened.run('document.querySelector("#settings .copy").click()')
    assert opened.run("getSelection().toString()").strip() == command
    assert "Ctrl+C" in opened.run('document.querySelector("#settings .copy").textContent')


def test_nothing_else_can_be_loaded(opened):
    violated = """new Promise((resolve) => {
        document.addEventListener("securitypolicyviolation", (event) => resolve(event.violatedDirective));
        new Image().src = "http://127.0.0.1:9/x.png"; })"""
    assert opened.run(violated) == "img-src"


def test_without_scripts_all_is_beside_each_other(browser, page):
    browser.look_like(1280, 800)
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(page)
        # two planes, two channels, three kinds
        assert browser.run(SHOWN) == ["before", "after"] * 12
        assert browser.run("document.documentElement.scrollWidth") <= 1280
        assert not browser.run('document.querySelector(".blink-controls").getClientRects().length')
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
