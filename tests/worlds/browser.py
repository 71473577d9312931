"""A real browser: Chromium, headless, and what a person sees of a page that is opened from disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

BROWSER = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
_lacking = "" if BROWSER else "no Chromium on this machine: apt-get install chromium"
_lacking = _lacking if find_spec("playwright") else "no playwright: pip install 'xmap[dev]'"
needs_browser = pytest.mark.skipif(bool(_lacking), reason=_lacking)


@contextmanager
def launched(home: Path) -> Iterator[Any]:
    """Chromium; tests change HOME, and it must have one to write to."""
    from playwright.sync_api import sync_playwright

    # As root Chromium starts only without its sandbox.
    flags = ["--no-sandbox"] * (os.geteuid() == 0)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=flags, env={**os.environ, "HOME": str(home)})
        yield browser
        browser.close()


class Visit:
    """A page opened from disk, and everything it complained about, asked or fetched."""

    def __init__(self, browser: Any, path: Path, drawn: str = "#samples-table", **options: Any) -> None:
        self.page = browser.new_page(**options)
        self.complaints: list[str] = []
        self.fetched: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda box: (self.complaints.append(f"dialog: {box.message}"), box.dismiss()))
        self.page.on("request", lambda request: self.fetched.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector(drawn)

    def leave(self) -> None:
        """Close it: it complained about nothing, and all that it loaded was its own."""
        self.page.close()
        assert self.complaints == []
        assert [url for url in self.fetched if not url.startswith(("file:", "data:", "blob:"))] == []

    def column(self, number: int) -> list[str]:
        cells: list[str] = self.page.locator(f"#samples-table tbody td:nth-child({number})").all_inner_texts()
        return cells

    def matches(self) -> int:
        return int(self.page.locator("#matches").inner_text().split()[0])
