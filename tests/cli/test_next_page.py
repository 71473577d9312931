"""The page of `xmap next` in a real browser: what a person clicks and types is saved, and the next run takes it."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.browser import Visit, needs_browser
from tests.worlds.commands import call
from tests.worlds.report import CLASSES, RUN

pytestmark = needs_browser
SIZES: dict[str, dict[str, Any]] = {
    "desk": {"viewport": {"width": 1280, "height": 900}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
NAMES = sorted(CLASSES)


def labelled(visit: Visit) -> str:
    return str(visit.page.locator("#bar [role=status]").inner_text())


def saved(visit: Visit) -> list[dict[str, str]]:
    with visit.page.expect_download() as found:
        visit.page.click("[data-save]")
    assert found.value.suggested_filename == "labels.csv"
    return list(csv.DictReader(io.StringIO(Path(found.value.path()).read_text("utf-8-sig"), newline=""), strict=True))


def labelled_by_hand(visit: Visit) -> list[dict[str, str]]:
    """One by a click, one by its key, one as guessed, one left out, and one that is undone."""
    page = visit.page
    assert page.locator("#one .guessed").count() == 1
    assert page.locator("#one .class span").all_inner_texts() == NAMES
    page.locator("#one .class").nth(2).click()
    page.keyboard.press("1")
    guess = page.locator("#one .guessed span").inner_text()
    # The button that was clicked is gone: Enter is nobody's but the page's.
    page.keyboard.press("Enter")
    page.keyboard.press("x")
    page.keyboard.press("2")
    page.click("[data-undo]")
    assert labelled(visit) == "4 of 5 labelled, 1 of them left out"
    assert page.locator("#all span").all_inner_texts()[:4] == [NAMES[2], NAMES[0], guess, "left out"]
    page.locator("#all button").first.click()
    assert page.locator("#one .class[aria-pressed=true] span").inner_text() == NAMES[2]
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    rows = saved(visit)
    assert [row["label"] for row in rows] == [NAMES[2], NAMES[0], guess, "leave-out"]
    return rows


def test_a_person_labels_a_pool_and_the_next_run_learns_from_it(
    chromium: Any, reported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, page = tmp_path / "</script><b>pool, =1", tmp_path / "next.html"
    pool.mkdir(parents=True)
    for number in range(5):
        (pool / f"=<img src=x onerror=alert(2)> {number}.png").write_bytes(_new(number))
    monkeypatch.setenv("XMAP_STORE", str(tmp_path / "store"))
    shutil.copytree(reported, tmp_path / "store")
    assert call("next", pool, "--page", page, "-o", tmp_path / "next.csv", "--quiet").exit_code == 0
    found = {}
    for name, size in SIZES.items():
        visit = Visit(chromium, page, drawn="#one", **size)
        assert visit.page.locator("#one img, #all img").evaluate_all("(all) => all.every((one) => one.naturalWidth > 0)")
        found[name] = labelled_by_hand(visit)
        visit.leave()
    assert found["desk"] == found["phone"]
    with open(tmp_path / "labels.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(found["desk"][0]))
        writer.writeheader()
        writer.writerows(found["desk"])
    again = call(
        "run",
        "--data",
        reported.parent / "images.csv",
        *RUN[:-3],
        "--shots",
        "2",
        "--methods",
        "zero-shot",
        "--labels",
        tmp_path / "labels.csv",
    )
    assert "and adds 3 to training" in " ".join(again.stderr.split()), again.output
    rest = call("next", pool, "--labels", tmp_path / "labels.csv", "--json", "--quiet")
    assert len(json.loads(rest.stdout)["candidates"]) == 1


def _new(number: int) -> bytes:
    import numpy as np
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(10 + number).integers(0, 256, (30, 48, 3), np.uint8)).save(file, "png")
    return file.getvalue()


def test_of_many_classes_the_likely_ones_have_buttons_and_the_others_a_list(chromium: Any, tmp_path: Path) -> None:
    from xmap.stages.choose.candidates import Candidate
    from xmap.stages.choose.page import label_page
    from xmap.stages.images.decode import RULES

    (tmp_path / "a.png").write_bytes(_new(1))
    one = Candidate("a.png", "0" * 64, tmp_path / "a.png", tmp_path / "a.png", 17, 0.4, (17, 3, 99), "or class 3 (20.0 %)")
    (tmp_path / "many.html").write_text(label_page([one], [f"class {number}" for number in range(100)], "One.", RULES), "utf-8")
    visit = Visit(chromium, tmp_path / "many.html", drawn="#one", **SIZES["phone"])
    assert visit.page.locator("#one .class span").all_inner_texts() == ["class 17", "class 3", "class 99"]
    visit.page.keyboard.press("2")
    visit.page.select_option("#others", label="class 50")
    assert visit.page.locator("#all span").all_inner_texts() == ["class 50"]
    assert [row["label"] for row in saved(visit)] == ["class 50"]
    visit.leave()
