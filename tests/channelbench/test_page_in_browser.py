"""The page in a real browser: the system's Chromium, driven by playwright."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from wide_results import put_wide

from channelbench.leaderboard import report

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}

pytest.importorskip("playwright", reason="pip install 'channelbench[test]'")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt-get install chromium, or brew install --cask chromium"
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(put_wide(tmp_path_factory.mktemp("wide")))[1]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any, path: Path) -> Iterator[Any]:
    """Opens the page; at the end nothing may have gone wrong in it, and nobody else have been asked for anything."""
    contexts, wrong, asked = [], [], []

    def opened(viewport: dict[str, int] = WIDE, dark: bool = False, hash_: str = "") -> Any:
        context = browser.new_context(
            viewport=viewport, color_scheme="dark" if dark else "light", accept_downloads=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri() + hash_)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "blob:", "data:"))] == []


def board_titles(page: Any) -> list[str]:
    """Of the rows that are shown in the table that is shown."""
    return page.locator(".panel:not([hidden]) .board tr[data-family]:visible .name").all_inner_texts()


def test_verdict_and_first_rows_are_seen_without_scrolling(open_page: Any) -> None:
    page = open_page()
    assert re.search(r"^NET is first of \d methods", page.locator(".verdict:visible").inner_text(), re.MULTILINE)
    seen = page.locator(".panel:not([hidden]) .board tr[data-family]").evaluate_all(
        "rows => rows.filter((row) => row.getBoundingClientRect().bottom <= innerHeight).length"
    )
    assert seen >= 5


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_nothing_pans_sideways(open_page: Any, viewport: dict[str, int]) -> None:
    page = open_page(viewport)
    page.locator("details").evaluate_all("all => all.forEach((detail) => { detail.open = true; })")
    page.evaluate("scrollTo(4000, 0)")
    assert page.evaluate("[scrollX, document.documentElement.scrollWidth]") == [0, viewport["width"]]


def test_nine_tasks_fit_beside_each_other(open_page: Any) -> None:
    box = open_page().locator(".panel:not([hidden]) .main")
    assert box.evaluate("box => box.scrollWidth <= box.clientWidth")
    assert "fits" in box.get_attribute("class")


def test_no_text_runs_over_its_cell(open_page: Any) -> None:
    """Skills of −401 and digests of 64 digits did."""
    page = open_page()
    page.locator("details").evaluate_all("all => all.forEach((detail) => { detail.open = true; })")
    over = page.evaluate(
        """() => Array.from(document.querySelectorAll("td, tbody th")).filter((cell) => {
            if (!cell.offsetParent) return false;
            const box = cell.getBoundingClientRect();
            return Array.from(cell.querySelectorAll("span:not(.sr), b, a")).some((part) => {
                const own = part.getBoundingClientRect();
                return own.width > 1 && (own.right > box.right + 1 || own.left < box.left - 1);
            });
        }).map((cell) => cell.innerText)"""
    )
    assert over == []
    assert re.search(r"−3\d\d\b", page.locator(".panel:not([hidden]) .board tr[data-method=far]").inner_text())
    assert "Off the axis" in page.locator(".panel:not([hidden]) .task figcaption").first.inner_text()


def test_head_stays_where_the_table_is_read(open_page: Any) -> None:
    page = open_page()
    page.locator(".panel:not([hidden]) .board tr[data-method=zero]").evaluate("row => row.scrollIntoView()")
    top = page.locator(".panel:not([hidden]) .board thead th").first.evaluate("h => h.getBoundingClientRect().top")
    assert page.evaluate("scrollY") > 300
    assert top == pytest.approx(0, abs=1)
    phone = open_page(PHONE)
    box = phone.locator(".panel:not([hidden]) .main")
    box.evaluate("box => { box.scrollTop = 300; box.scrollLeft = 200; }")
    offsets = box.evaluate(
        """(box) => {
            const head = box.querySelector("th.method").getBoundingClientRect(), own = box.getBoundingClientRect();
            return [box.scrollTop, head.top - own.top, head.left - own.left];
        }"""
    )
    assert offsets[0] > 100
    assert offsets[1] == pytest.approx(0, abs=1)
    assert offsets[2] < 60, "the method's column stays too"


def test_sorting_by_mouse_and_by_keyboard(open_page: Any) -> None:
    page = open_page()
    start = board_titles(page)
    head = page.locator(".panel:not([hidden]) .board thead th").nth(3)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    rows = page.locator(".panel:not([hidden]) .board tbody").first.locator("tr[data-family]")
    keys = rows.evaluate_all("rows => rows.map((row) => Number(row.cells[3].dataset.sort))")
    assert keys == sorted(keys)
    assert "sort=CE" in page.url
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    keys = rows.evaluate_all("rows => rows.map((row) => Number(row.cells[3].dataset.sort))")
    assert keys == sorted(keys, reverse=True)
    page.keyboard.press("Enter")
    assert board_titles(page) == start


def test_everything_is_reached_by_keyboard_and_seen_to_be(open_page: Any) -> None:
    page = open_page()
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                """() => {
                    const e = document.activeElement, style = getComputedStyle(e);
                    const seen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
                    return [e.id || e.className || e.tagName, seen];
                }"""
            )
        )
    names = [name for name, _ in reached]
    assert names[0] == "skip"
    for wanted in ("tab-condition-0", "search", "chip", "csv", "bibtex", "link", "sort"):
        assert wanted in names
    assert [name for name, seen in reached if not seen] == []


CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const linear = (v) => v / 255 <= .03928 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const ground = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length === 3 || c[3] > .99) return c;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = Array.from(e.childNodes).some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length || e.closest(".sr, script, style")) continue;
    const style = getComputedStyle(e), svg = e instanceof SVGElement;
    const ink = parse(svg ? style.fill : style.color);
    const [a, b] = [light(ink), light(ground(svg ? e.ownerSVGElement.parentElement : e))].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    const ratio = (a + .05) / (b + .05);
    const name = e.tagName + "." + (e.className.baseVal ?? e.className);
    const words = e.textContent.trim().slice(0, 30);
    if (ratio < (large ? 3 : 4.5)) found.push(name + " | " + words + " | " + ratio.toFixed(2));
  }
  return found;
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast_is_that_of_wcag_aa(open_page: Any, dark: bool) -> None:
    page = open_page(dark=dark)
    page.locator("details").evaluate_all("all => all.forEach((detail) => { detail.open = true; })")
    assert page.evaluate(CONTRAST) == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) is dark


def test_search_and_families_and_their_address(open_page: Any) -> None:
    page = open_page()
    page.fill("#search", "far")
    assert board_titles(page) == ["FAR"]
    assert "q=far" in page.url
    page.fill("#search", "")
    page.locator(".chip[data-family=classical]").click()
    assert "FORMULA" not in board_titles(page)
    assert "NET" in board_titles(page)
    again = open_page(hash_="#" + page.url.split("#")[1])
    assert board_titles(again) == board_titles(page)
    assert again.locator(".chip[data-family=classical]").get_attribute("aria-pressed") == "false"


def test_an_address_shows_a_method_and_a_task(open_page: Any) -> None:
    page = open_page()
    page.locator(".panel:not([hidden]) .board tr[data-method=net] .name a").click()
    assert page.url.endswith("#method-net")
    assert page.locator("#method-net").evaluate("e => e.getBoundingClientRect().top < innerHeight")
    other = open_page(hash_="#condition-1-det")
    assert other.locator("#condition-1-det").is_visible()
    assert other.locator("#condition-1-det").evaluate("e => e.getBoundingClientRect().top < innerHeight")


def test_csv_and_bibtex_are_saved(open_page: Any, tmp_path: Path) -> None:
    page = open_page()
    with page.expect_download() as waiting:
        page.click("#csv")
    waiting.value.save_as(tmp_path / "shown.csv")
    rows = {row["method"]: row for row in csv.DictReader((tmp_path / "shown.csv").read_text().splitlines())}
    assert rows["net"]["title"] == "NET"
    shown = float(rows["net"]["CE NMSE"])
    assert float(rows["net"]["CE NMSE low"]) <= shown <= float(rows["net"]["CE NMSE high"])
    assert rows["net"]["rank"] == "1"
    with page.expect_download() as waiting:
        page.click("#bibtex")
    waiting.value.save_as(tmp_path / "cite.bib")
    assert (tmp_path / "cite.bib").read_text().startswith("@software{channelbench,")


def test_curves_stand_in_place_of_tabs(open_page: Any) -> None:
    """Three conditions are steps of a curve: there is one tab, and a choice of the tables."""
    page = open_page()
    assert page.locator("[role=tab]").count() == 1
    figures = page.locator(".panel:not([hidden]) #curves figure")
    assert figures.count() == 9
    assert figures.first.locator("svg").is_visible()
    page.locator("#step").select_option(label="SNR 20 dB")
    assert "at=snr_db%3D20" in page.url
    assert page.locator(".panel:visible h2.at").inner_text() == "SNR 20 dB"
    assert page.locator(".panel:visible #curves").is_visible(), "they go with the table that is shown"
    page.locator("[role=tab]").click()
    assert page.locator("#step").input_value() == ""


def test_it_prints_on_six_pages_at_most(open_page: Any, tmp_path: Path) -> None:
    printed = open_page().pdf(prefer_css_page_size=True)
    pages = len(re.findall(rb"/Type\s*/Page\b", printed))
    assert 1 <= pages <= 6


RESULTS = Path(__file__).parents[2] / "docs" / "results"


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(path.parent.name for path in RESULTS.glob("*/leaderboard.html")))
def test_recorded_results_make_a_page_like_that(browser: Any, tmp_path: Path, name: str) -> None:
    from channelbench.benchmarks.exhibits import report as report_with_exhibits

    (tmp_path / "run.json").write_bytes((RESULTS / name / "run.json").read_bytes())
    (tmp_path / "cells").symlink_to(RESULTS / name / "cells")
    _, path = report_with_exhibits(tmp_path)
    for viewport, dark in ((WIDE, False), (PHONE, True)):
        page = browser.new_context(viewport=viewport, color_scheme="dark" if dark else "light").new_page()
        page.goto(path.as_uri())
        page.locator("details").evaluate_all("all => all.forEach((detail) => { detail.open = true; })")
        page.evaluate("scrollTo(4000, 0)")
        assert page.evaluate("[scrollX, document.documentElement.scrollWidth]") == [0, viewport["width"]]
        assert page.evaluate(CONTRAST) == []
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= 6
