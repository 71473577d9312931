"""The report in a real browser: Chromium, headless, from disk. What a person clicks is clicked here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worlds.browser import Visit, needs_browser
from tests.worlds.commands import call
from tests.worlds.report import CLASSES
from xmap.store.artifacts.artifact import Store

pytestmark = needs_browser

FIGURES = ("methods-figure", "classes-figure", "confusion-figure", "calibration-figure", "scatter-figure", "distribution-affinity_image",
           "distribution-affinity_text", "distribution-difference", "curve-loss", "sets-figure", "growth-figure")  # fmt: skip


@pytest.fixture(scope="module")
def report(reported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of two runs whose names try to be markup."""
    path = tmp_path_factory.mktemp("browsed") / "report.html"
    names = [found.fingerprint[:8] for found in Store(reported).artifacts("eval")]
    assert call("report", *names, "--store", reported, "-o", path).exit_code == 0
    return path


@pytest.fixture
def visit(chromium: Any, report: Path) -> Iterator[Visit]:
    opened = Visit(chromium, report, viewport={"width": 1280, "height": 900})
    yield opened
    opened.leave()


def test_every_figure_is_drawn_and_names_are_text(visit: Visit) -> None:
    both_caches = next(title for title in visit.page.locator("#shown option").all_inner_texts() if "xmadapter" in title)
    visit.page.select_option("#shown", label=both_caches)
    for name in FIGURES:
        box = visit.page.locator(f"#{name} svg").first.bounding_box()
        assert box, name
        assert min(box["width"], box["height"]) > 80, name
        assert visit.page.locator(f"#{name} svg :is(path, rect, circle)").count() > 1, name
    assert visit.page.locator("#samples-table").get_by_text(CLASSES[0], exact=True).count() > 0
    assert visit.page.locator("#samples-table").get_by_text("onerror=alert(2)").count() > 0
    assert visit.page.locator("script").count() == 2
    assert visit.page.locator("#samples-table img").count() == visit.page.locator("#samples-table tbody tr").count()


def test_names_of_runs_are_shortened_by_whole_parts(visit: Visit) -> None:
    names = "[['a-b-16shot', 'a-b-1shot'], ['a-b', 'a-b'], ['pets', 'pets-2']]"
    assert visit.page.evaluate(f"{names}.map(commonStart)") == ["a-b-", "a-b", ""]


def test_no_probability_is_shown_as_certain(visit: Visit) -> None:
    shown = visit.page.evaluate("[1, 0.9996, 0.9994, 0.5, 0.0004, 0, null].map((value) => chance(value))")
    assert shown == [">99.9", ">99.9", "99.9", "50.0", "<0.1", "<0.1", ""]
    assert not {"100.0", "0.0"} & set(visit.column(5))
    times = visit.page.evaluate("[0, 0.0004, 0.06, null].map((value) => atLeast(value, 1))")
    assert times == ["0.0", "<0.1", "0.1", ""], "no work is said to take no time"


def test_sorting_filtering_and_searching_by_clicking(visit: Visit) -> None:
    page = visit.page
    assert visit.matches() == 24
    page.click("[data-sort=probability]")
    falling = [float(text.lstrip("<>")) for text in visit.column(5)]
    assert falling == sorted(falling, reverse=True)
    page.click("[data-sort=probability]")
    assert [float(text.lstrip("<>")) for text in visit.column(5)] == sorted(falling)
    page.click("[data-sort=label]")
    assert visit.column(3) == sorted(visit.column(3))
    page.select_option("#outcome", "wrong")
    wrong = visit.matches()
    assert page.locator("#samples-table td:nth-child(4) .verdict.right").count() == 0
    page.select_option("#outcome", "right")
    assert visit.matches() + wrong == 24
    page.click("#reset")
    page.fill("#search", "quoted plain")
    assert set(visit.column(3)) <= set(CLASSES)
    assert 0 < visit.matches() < 24
    assert page.evaluate("document.activeElement.id") == "search", "typing goes on"
    page.click("#reset")
    page.select_option("#label", CLASSES[2])
    assert set(visit.column(3)) == {CLASSES[2]}
    assert visit.matches() == 8


def test_a_sample_opens_with_the_evidence_of_its_prediction(visit: Visit) -> None:
    page = visit.page
    first = visit.column(2)[0]
    page.locator("#samples-table tbody tr").first.click()
    assert page.locator("#sample-title").inner_text() == first
    assert page.locator("dialog .nearest li").count() == 5
    assert page.locator("dialog .nearest img").count() == 5
    assert "affinity 0." in page.locator("dialog .nearest li").first.inner_text()
    texts = page.locator("dialog .evidence tbody tr")
    assert texts.count() == 3
    assert any(f"a photo of a {name}." in texts.all_inner_texts()[row] for row in range(3) for name in CLASSES[:1])
    assert page.locator("dialog .evidence .meter.text").count() == 3
    pressed = page.locator("dialog .chips [aria-pressed=true]").inner_text()
    page.locator("dialog .chips button", has_text="tip-adapter").first.click()
    assert page.locator("dialog .chips [aria-pressed=true]").inner_text() != pressed
    assert page.locator("#sample-title").inner_text() == first, "the same image, seen by another method"
    page.click("dialog [data-step='1']")
    assert page.locator("#sample-title").inner_text() != first
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()


def test_a_confusion_and_a_mark_lead_to_their_images(visit: Visit) -> None:
    page = visit.page
    cells = page.locator("#confusion-figure [data-cell]")
    label, predicted = (int(part) for part in cells.first.get_attribute("data-cell").split(","))
    cells.first.click()
    names = sorted(CLASSES)
    assert (page.input_value("#label"), page.input_value("#predicted")) == (names[label], names[predicted])
    page.locator("#scatter-figure [data-sample]").last.click()
    assert page.locator("dialog").is_visible()
    page.click("dialog [data-close]")


def test_images_that_are_there_twice_are_shown_side_by_side(visit: Visit) -> None:
    rows = visit.page.evaluate("report.runs[state.shown.run].pairs.rows")
    assert rows, "two of the noisy pictures are near each other"
    shown = visit.page.locator("#pairs .twice li")
    assert shown.count() == len(rows)
    assert visit.page.locator("#pairs .twice img").count() == 2 * len(rows)
    first = shown.first.inner_text()
    assert all(text in first for text in (f"cosine {rows[0]['cosine']:.4f}", rows[0]["sample"], rows[0]["other"]))
    assert "1 pair within a split" in visit.page.locator("#pairs").inner_text()


def test_prediction_sets_say_what_they_hold_or_why_there_are_none(visit: Visit) -> None:
    page = visit.page
    shown = page.evaluate("[state.shown.coverage_mean, state.shown.set_size_mean]")
    text = page.locator("#sets").inner_text()
    assert f"hold it for {shown[0]:.1f} % of the test images" in text
    assert f"{shown[1]:.2f} classes on average" in text
    assert page.locator("#worst-sets tbody tr").count() == 3
    page.evaluate("Object.assign(state.shown, { coverage_mean: null, sets_by: 'no sample was kept apart' }); draw()")
    assert "None: no sample was kept apart." in page.locator("#sets").inner_text()
    assert page.locator("#sets-figure").count() == 0
    page.evaluate("state.shown.sets_by = null; draw()")
    assert page.locator("#sets").count() == 0


def test_runs_and_methods_are_chosen_and_compared(visit: Visit) -> None:
    page = visit.page
    titles = page.locator("#shown option").all_inner_texts()
    assert len(titles) == 6
    page.select_option("#shown", label=titles[3])
    assert page.locator("#headline h2").inner_text() == titles[3]
    assert "zero-shot" in titles[3]
    assert page.locator("#distributions").get_by_text("has no caches").count() == 1
    page.locator("#methods-figure [role=button]").nth(5).click()
    assert page.locator("#headline h2").inner_text() == titles[5]
    page.select_option("#against", label=titles[0])
    assert f"against {titles[0]}" in page.locator("#headline").inner_text()
    page.select_option("#outcome", "fixed")
    assert page.locator("#samples-table td:nth-child(4) .verdict.wrong").count() == 0
    page.select_option("#against", label="nothing")
    assert page.locator("[data-sort=other]").count() == 0


def test_light_dark_and_print(chromium: Any, report: Path) -> None:
    visit = Visit(chromium, report, color_scheme="dark")
    shade = "getComputedStyle(document.body).backgroundColor"
    dark = visit.page.evaluate(shade)
    visit.page.click(".theme")
    light = visit.page.evaluate(shade)
    assert sum(map(int, dark[4:-1].split(","))) < 150 < 600 < sum(map(int, light[4:-1].split(",")))
    visit.page.emulate_media(media="print")
    assert not visit.page.locator(".bar").is_visible()
    assert not visit.page.locator(".filters").first.is_visible()
    assert len(visit.page.pdf()) > 10_000
    visit.page.close()
    assert visit.complaints == []


def test_a_phone_shows_it_without_scrolling_sideways(chromium: Any, report: Path) -> None:
    visit = Visit(chromium, report, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
    visit.page.locator("#samples-table tbody tr").first.tap()
    box = visit.page.locator("dialog").bounding_box()
    assert box
    assert box["width"] <= 360
    visit.page.close()
    assert visit.complaints == []


def test_no_column_is_cut_off_and_each_class_says_of_how_many_images_it_stands(visit: Visit) -> None:
    page = visit.page
    page.select_option("#against", index=2)
    wide = "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth).length"
    assert page.evaluate(wide) == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    beside = [text for text in page.locator("#classes-figure svg text.tick").all_text_contents() if " of " in text]
    assert [text.split(" of ")[1] for text in beside] == ["8", "8", "8"]


def test_more_rows_are_offered_by_their_number(visit: Visit) -> None:
    # As if there were more images than the page lists at first.
    visit.page.evaluate("state.view = { ...state.view, rows: 17 }; redraw('samples', samples)")
    assert visit.page.locator("#more").inner_text() == "Show 7 more"
    visit.page.click("#more")
    assert visit.page.locator("#samples-table tbody tr").count() == 24


ODD_FIGURES = """() => {
  const shown = state.shown, task = report.tasks[shown.task], bins = (n, fill) => Array(n).fill(fill), answers = shown.answers;
  const of = (changes) => ({ ...shown, ...changes });
  const all = (value) => task.samples.map(() => value), classes = task.classes.map(() => null), none = new Set(), pick = () => 0;
  const rows = (...values) => values.map((value, epoch) => [epoch, value, value, value]);
  const near = [1, 1 + 2 ** -52];
  const made = {
    single_bin: distributionFigure(300, "gamma", { from: 1, to: 1, right: [3], wrong: [0] }),
    none_right: distributionFigure(300, "gamma", { from: 0, to: 1e-9, right: bins(30, 0), wrong: bins(30, 1) }),
    nearly_equal: distributionFigure(300, "difference", { from: 1e8, to: 1e8 + 200, right: bins(30, 1), wrong: bins(30, 0) }),
    wide: distributionFigure(300, "difference", { from: -1e300, to: 1e300, right: bins(30, 1), wrong: bins(30, 2) }),
    constant_curve: curveFigure(300, "loss", rows(2, 2, 2)),
    zero_curve: curveFigure(300, "loss", rows(0, 0)),
    near_curve: curveFigure(300, "loss", rows(...near)),
    one_epoch: curveFigure(300, "loss", rows(1)),
    no_answers: calibrationFigure(400, of({ calibration: [] }), null),
    one_answer: calibrationFigure(400, of({ calibration: [[0, 1, 0, 0]] }), of({ calibration: [[14, 1, 100, 100]] })),
    no_confusion: confusionFigure(400, task, of({ confusion: [] }), pick),
    many_classes: confusionFigure(400, { classes: bins(3000, "a class") }, of({ confusion: [] }), pick),
    no_class_seen: classesFigure(400, task, of({ per_class: classes, confusion: [] }), null, "worst", false),
    equal_classes: classesFigure(400, task, of({ per_class: task.classes.map(() => 100) }), of({ per_class: classes }), "change", true),
    sure_methods: methodsFigure(400, [of({ accuracy: 100, low: 100, high: 100 }), of({ accuracy: 0, low: 0, high: 0 })], shown, null, pick),
    no_sets: setSizesFigure(400, []),
    sets_of_all: setSizesFigure(400, [[0, 1], [1000, 7]]),
    one_method: methodsFigure(400, [of({ accuracy: 50, low: 50, high: 50 })], shown, null, pick),
    all_at_zero: scatterFigure(400, task, of({ answers: { ...answers, image: all(0), text: all(0) } }), none, pick),
    nearly_one_place: scatterFigure(400, task, of({ answers: { ...answers, image: all(near[1]), text: all(near[0]) } }), none, pick),
  };
  return Object.fromEntries(Object.entries(made).map(([name, node]) => [name, node.outerHTML]));
}"""


@pytest.mark.failure("odd output")
def test_every_figure_holds_for_odd_numbers(visit: Visit, case: Any) -> None:
    both_caches = next(title for title in visit.page.locator("#shown option").all_inner_texts() if "xmadapter" in title)
    visit.page.select_option("#shown", label=both_caches)
    for name, drawn in visit.page.evaluate(ODD_FIGURES).items():
        with case():
            assert not any(word in drawn for word in ("NaN", "Infinity", "undefined", "null")), name
