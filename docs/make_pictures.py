"""Photograph a report for README and guide, in Chromium: `python docs/make_pictures.py demo/report.html`."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).with_name("images")


def save(name: str, data: bytes) -> None:
    """Write a picture with a palette, a third of the size."""
    picture = Image.open(io.BytesIO(data)).convert("RGB").quantize(160, dither=Image.Dither.NONE)
    picture.save(IMAGES / name, optimize=True)


def main() -> None:
    report = Path(sys.argv[1]).resolve().as_uri()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1240, "height": 1000})
        page.goto(report)
        page.wait_for_selector("#samples-table")
        shown = page.locator("#confusion").bounding_box()
        assert shown, "the page shows no confusion"
        save("report.png", page.screenshot(full_page=True, clip={"x": 0, "y": 0, "width": 1240, "height": shown["y"] + shown["height"] + 16}))
        page.select_option("#outcome", "fixed")
        page.locator("#samples-table tbody tr").first.click()
        page.evaluate("document.activeElement.blur()")
        save("report-sample.png", page.locator("dialog").screenshot())
        browser.close()


if __name__ == "__main__":
    main()
