"""The site in a real browser, opened from disk: its table, its address, its keyboard, and what it looks like."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from site_files import HOSTILE, REASON, committed_tables

from leaderboard.pages.names import dataset_page, generator_page
from leaderboard.pages.site import Site, write_site
from leaderboard.pages.svg import NULL

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no chromium on this machine (Debian: apt-get install chromium)"
)
WITHIN = {"preload": False}
"""What axe is told: to fetch no style sheet anew, which the pages let nobody do."""
DESK, PHONE = (1440, 900), (390, 844)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    write_site(Site(committed_tables(hostile=True)), out, n_figures=20)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        found = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


Open = Callable[..., Any]


@pytest.fixture
def visit(browser: Any, site: Path) -> Iterator[Open]:
    """`visit(file, ...)`: a page of the site. In the end nothing was complained of, and nothing asked of a network."""
    complaints: list[str] = []
    contexts = []

    def open_page(
        file: str = "index.html", *, size: tuple[int, int] = DESK, scheme: str = "light", first: str = "", **more: Any
    ) -> Any:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, reduced_motion="reduce", **more
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.add_init_script(first)
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
        page.on("request", lambda asked: asked.url.startswith("file://") or complaints.append(asked.url))
        page.on("requestfailed", lambda asked: complaints.append(f"failed {asked.url}"))
        page.goto(f"{site.as_uri()}/{file}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def column(page: Any, name: str, section: str = "judged") -> list[str]:
    """What stands in a column of a table, first lines alone."""
    heads = page.locator(f"[data-section={section}] thead th").all_inner_texts()
    at = [head.strip() for head in heads].index(name)
    cells = page.locator(f"[data-section={section}] tbody tr:not(.group) > :nth-child({at + 1})").all_inner_texts()
    return [cell.split("\n")[0].strip() for cell in cells]


def arms(page: Any, section: str = "judged") -> list[str]:
    return column(page, "Arm", section)


def by_label(page: Any, label: str, section: str = "judged") -> Any:
    return page.locator(f"[data-section={section}] thead button", has_text=label)


def test_a_column_sorts_by_its_better_end_first_and_missing_numbers_stand_last(visit: Open) -> None:
    page = visit()
    before = arms(page)
    by_label(page, "AUROC").click()
    values = [float(text) for text in column(page, "AUROC")]
    assert values == sorted(values, reverse=True) and len(values) == len(before) > 5
    assert page.locator("[data-section=judged] th[aria-sort=descending]").count() == 1
    by_label(page, "AUROC").click()
    rising = [float(text) for text in column(page, "AUROC")]
    assert rising == sorted(rising) and rising[0] <= values[-1]  # of a long table the first rows are drawn
    by_label(page, "Worth").click()
    worth = column(page, "Worth")
    missing = [text.startswith(NULL) for text in worth]
    assert missing == sorted(missing) and not missing[0] and missing[-1]
    by_label(page, "Worth").click()
    by_label(page, "Worth").click()
    assert arms(page) == before and page.locator("tr.group").count() > 1


def test_at_a_desk_the_status_is_in_view_and_what_is_claimed_has_its_sign(visit: Open) -> None:
    page = visit()
    for section in ("judged", "apart"):
        edges = page.locator(f"[data-section={section}] thead th").evaluate_all(
            "all => all.map(th => [th.innerText.split('\\n')[0], th.getBoundingClientRect().right])"
        )
        assert [head for head, _ in edges][:3] == ["Rank", "Arm", "Status"] and edges[2][1] < DESK[0]
        assert "Copy rate (pixels)°" in [head for head, _ in edges] and "AUROC" in [head for head, _ in edges]
    assert page.locator("[data-section=judged]").evaluate("s => s.querySelector('.scroll').scrollWidth") <= DESK[0]
    assert set(column(page, "Rank", "apart")) == {NULL} and "1" in {rank.strip("=") for rank in column(page, "Rank")}


def test_filters_and_search_leave_what_matches_in_every_section(visit: Open) -> None:
    page = visit()
    assert len(arms(page, "apart")) > 20 and len(arms(page, "unfinished")) == 2
    page.locator("#filter-dataset").select_option("phantom")
    page.get_by_label("Search").fill("LATENT seed")
    assert arms(page) == ["latent_ddpm add 1 (generator seed 1)", "latent_ddpm add 1 (generator seed 2)"]
    assert page.locator("[data-section=apart]").count() == 0
    assert page.locator("#count").inner_text().startswith("2 judged arms, 0 controls")
    page.get_by_label("Search").fill("nowhere")
    assert "Nothing matches" in page.locator("#count").inner_text()
    page.get_by_role("button", name="Reset").click()
    assert len(arms(page)) > 5


def test_columns_are_chosen_and_the_address_brings_the_view_back(visit: Open) -> None:
    page = visit()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("checkbox", name="AUPRC").check()
    page.get_by_role("checkbox", name="Verdict").uncheck()
    page.keyboard.press("Escape")
    by_label(page, "AUPRC").click()
    page.locator("#filter-situation").select_option("augmenting")
    page.get_by_label("Search").fill("add 1")
    shown, address = arms(page), page.url
    again = visit(f"index.html{address.partition('index.html')[2]}")
    assert arms(again) == shown and "AUPRC" in address.upper()
    heads = again.locator("[data-section=judged] thead th").all_inner_texts()
    assert "AUPRC" in heads and "Verdict" not in heads
    assert again.locator("#filter-situation").input_value() == "augmenting"
    assert again.get_by_label("Search").input_value() == "add 1"
    assert again.locator("th[aria-sort=descending]").first.inner_text() == "AUPRC"


def test_an_address_of_a_place_leads_there_and_keeps_the_view(visit: Open) -> None:
    page = visit("index.html#generators")
    assert 0 <= page.locator("#generators").bounding_box()["y"] < 200
    page.get_by_label("Search").fill("latent")
    few = arms(page)
    page.get_by_role("link", name="Datasets", exact=True).click()
    by_label(page, "AUROC").click()
    assert sorted(arms(page)) == sorted(few) and page.get_by_label("Search").input_value() == "latent"


def test_a_shared_link_leads_to_the_table_in_a_browser_that_tells_no_idle_time(visit: Open) -> None:
    """Safari has no requestIdleCallback; an error there left the page at its top."""
    page = visit("index.html#q=latent&sort=-auroc", first="delete window.requestIdleCallback")
    assert page.evaluate("typeof requestIdleCallback") == "undefined"
    assert -5 <= page.locator("#table").bounding_box()["y"] < 100
    page.wait_for_timeout(100)  # what is done when there is time is done without a complaint
    by_label(page, "Worth").click()
    assert arms(page)


def test_a_link_that_was_copied_on_a_phone_shows_a_desk_its_rows_in_the_columns_of_a_desk(visit: Open) -> None:
    phone = visit(size=PHONE)
    phone.get_by_label("Search").fill("latent")
    assert "columns" not in phone.url and len(phone.locator("[data-section=judged] thead th").all()) == 6
    desk = visit(f"index.html{phone.url.partition('index.html')[2]}")
    usual = visit().locator("[data-section=judged] thead th").all_inner_texts()
    assert desk.locator("[data-section=judged] thead th").all_inner_texts() == usual and len(usual) > 6
    assert arms(desk) == arms(phone)
    phone.get_by_text("Columns", exact=True).click()
    phone.get_by_role("checkbox", name="AUPRC").check()
    chosen = visit(f"index.html{phone.url.partition('index.html')[2]}")
    assert len(chosen.locator("[data-section=judged] thead th").all()) == 7


def test_a_set_of_columns_holds_those_that_have_a_number(visit: Open) -> None:
    page = visit()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("button", name="Image quality").click()
    heads = [
        head.split("\n")[0].strip("°") for head in page.locator("[data-section=judged] th button").all_inner_texts()
    ]
    assert "Coverage (EfficientNet)" in heads and "Copy rate (pixels)" in heads
    assert not {"FID", "Coverage (Inception)"} & set(heads), "no committed record has a number of Inception's"
    page.get_by_role("button", name="All", exact=True).click()
    assert "Coverage (Inception)" in page.locator("[data-section=judged] thead").inner_text()


def test_an_address_that_names_nothing_shows_the_usual_table(visit: Open) -> None:
    page = visit("index.html#sort=-nothing&columns=nothing&dataset=%3Cimg%20src%3Dx%3E")
    assert "Nothing matches" in page.locator("#count").inner_text()
    page.get_by_role("button", name="Reset").click()
    assert arms(page) == arms(visit())


def test_the_table_is_worked_by_keyboard_alone(visit: Open) -> None:
    page = visit()
    focused = lambda what="el => el.innerText": page.evaluate(f"({what})(document.activeElement)")  # noqa: E731
    page.keyboard.press("Tab")
    assert focused() == "Skip to the content"
    page.keyboard.press("Enter")
    for _ in range(40):
        page.keyboard.press("Tab")
        if focused("el => el.dataset.sort") == "worth":
            break
    page.keyboard.press("Enter")
    assert focused("el => el.dataset.sort") == "worth"
    assert page.locator("[data-section=judged] th[aria-sort=descending]").inner_text() == "Worth"
    described = focused("el => document.getElementById(el.getAttribute('aria-describedby')).textContent")
    assert described.startswith("What one added image did")
    for _ in range(200):
        if focused("el => el.classList.contains('scroll')"):
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowDown")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    for _ in range(30):
        if focused("el => el.classList.contains('null')"):
            break
        page.keyboard.press("ArrowDown")
    reason = page.locator("#tip").inner_text()
    assert "the curve is not shown to rise" in reason or "no worth: run it with --curve" in reason
    assert f"not available: {reason}" in focused("el => el.textContent")
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()


def test_a_hostile_name_is_text_and_failed_and_foreign_arms_are_shown_as_such(visit: Open) -> None:
    page = visit()
    assert f"{HOSTILE} add 1" in arms(page) and page.locator("img[src=x]").count() == 0
    failed = page.locator("[data-section=unfinished]")
    assert "dcgan add 1" in failed.inner_text() and REASON in failed.inner_text()
    foreign = page.locator("[data-section=judged] tr.contaminated")
    assert foreign.count() == 1 and "may have seen these films" in foreign.inner_text()
    assert foreign.locator("td").first.inner_text().strip("=").isdigit()
    own = visit(generator_page(HOSTILE))
    assert own.locator("h1").inner_text() == HOSTILE and own.locator("img[src=x]").count() == 0


def test_a_reader_chooses_light_or_dark_and_it_is_remembered(visit: Open) -> None:
    page = visit(scheme="dark")
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.get_by_role("button", name="Use the light colours").click()
    light = page.evaluate(paper)
    assert light != dark
    page.goto(page.url.replace("index.html", dataset_page("phantom")))
    assert page.evaluate(paper) == light


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_no_page_is_wider_than_its_window_and_no_label_leaves_its_picture(
    visit: Open, size: tuple[int, int], scheme: str, tmp_path: Path
) -> None:
    for file in ("index.html", generator_page("latent_ddpm"), dataset_page("phantom")):
        page = visit(file, size=size, scheme=scheme)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), file
        outside = page.evaluate(
            """() => [...document.querySelectorAll("svg.chart")].filter((svg) => svg.clientWidth).flatMap((svg) => {
              const box = svg.getBoundingClientRect();
              return [...svg.querySelectorAll("text")].filter((text) => {
                const mine = text.getBoundingClientRect();
                return mine.left < box.left - 3 || mine.right > box.right + 3 || mine.bottom > box.bottom + 3
                  || mine.top < box.top - 3;
              }).map((text) => `${svg.querySelector("title").textContent}: ${text.textContent}`);
            })"""
        )
        assert outside == [], file
        picture = page.screenshot(path=tmp_path / "page.png")
        assert len(picture) > 10_000


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (PHONE, "dark")], ids=["desk, light", "phone, dark"])
def test_axe_has_nothing_serious_to_say(visit: Open, size: tuple[int, int], scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    for file in ("index.html", generator_page("latent_ddpm"), dataset_page("nih")):
        found = Axe().run(visit(file, size=size, scheme=scheme), options=WITHIN).response["violations"]
        serious = [
            (one["id"], one["impact"], one["nodes"][0]["html"][:200]) for one in found
            if one["impact"] in ("serious", "critical")
        ]  # fmt: skip
        assert serious == [], file


def test_without_scripts_and_on_paper_the_page_still_says_what_it_must(visit: Open) -> None:
    page = visit(java_script_enabled=False)
    assert page.locator("h1").is_visible() and page.locator("figure svg").first.is_visible()
    assert "need JavaScript" in page.locator("noscript").inner_text()
    printed = visit()
    printed.emulate_media(media="print")
    assert printed.locator("#controls").is_hidden() and printed.locator("#theme").is_hidden()
    assert printed.locator("[data-section=judged] table").is_visible()
    assert printed.pdf(format="A4").startswith(b"%PDF")
