"""The report page in a real browser: what headless Chromium says of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PHONE, DESK = 390, 1200  # CSS pixels
# Appended to a copy of the page, which has no script of its own. The page is seen through a frame,
# since the browser's own windows are never as narrow as a phone; the frame's title is the answer.
FRAME = """<!doctype html><title></title>
<script>addEventListener("message", message => {{ document.title = message.data; }});</script>
<iframe src="{page}" style="width: {width}px; height: 900px; border: 0"></iframe>"""
PROBE = """<script>
addEventListener("load", () => {
  const wide = [...document.images].filter(i => i.getBoundingClientRect().right > innerWidth);
  parent.postMessage(JSON.stringify({
    window: innerWidth,
    content: document.documentElement.scrollWidth,
    images: document.images.length,
    shown: [...document.images].filter(i => i.complete && i.naturalWidth > 0).length,
    described: [...document.images].filter(i => i.alt.trim().length > 20).length,
    wide: wide.length,
    cut: [...document.querySelectorAll(".table")].filter(t => t.scrollWidth > t.clientWidth).length,
    smallest: Math.min(...[...document.querySelectorAll("p, td, li")].map(
      e => parseFloat(getComputedStyle(e).fontSize))),
    requests: performance.getEntriesByType("resource").filter(
      e => !e.name.startsWith("data:")).length,
  }), "*");
});
</script>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")


def look_at(page: Path, width: int, folder: Path) -> tuple[dict[str, Any], str]:
    """What the page looks like in a frame of a width, and what the browser's console said."""
    assert CHROMIUM is not None
    frame = folder / "frame.html"
    frame.write_text(FRAME.format(page=page.as_uri(), width=width), encoding="utf-8")
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--no-first-run",
            "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}",
            "--window-size=1280,1000",
            "--virtual-time-budget=5000",  # the time that the page believes to have passed
            "--dump-dom",
            frame.as_uri(),
        ],
        env={**os.environ, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    title = done.stdout.split("<title>")[1].split("</title>")[0]
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return json.loads(title), console


@pytest.fixture(scope="module")
def probed(finished: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run, with the probe after it."""
    text = finished.file("08_reporting", "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    page = tmp_path_factory.mktemp("page") / "report.html"
    page.write_text(text + PROBE, encoding="utf-8")
    return page


@pytest.mark.parametrize("width", [PHONE, DESK])
def test_page_fits_the_window_and_shows_and_describes_every_picture(
    probed: Path, tmp_path: Path, width: int
) -> None:
    seen, console = look_at(probed, width, tmp_path)
    assert console == ""
    assert seen["window"] == width
    assert seen["content"] <= width, "the page scrolls sideways"
    assert seen["wide"] == 0, "a picture is wider than the window"
    assert seen["cut"] == 0, "a table hides columns at its right"
    assert seen["images"] >= 5
    assert seen["shown"] == seen["described"] == seen["images"]
    assert seen["smallest"] >= 12, "text too small to read"
    assert seen["requests"] == 0, "the page loads something"


def test_browser_would_notice(probed: Path, tmp_path: Path) -> None:
    broken = probed.with_name("broken.html")
    extra = (
        '<img src="data:image/png;base64,AAAA" alt=""><p style="width: 900px">wide</p>'
        "<script>missing()</script>"
    )
    broken.write_text(probed.read_text(encoding="utf-8") + extra, encoding="utf-8")
    seen, console = look_at(broken, PHONE, tmp_path)
    assert "missing is not defined" in console
    assert seen["content"] > PHONE
    assert seen["shown"] < seen["images"]
    assert seen["described"] < seen["images"]
