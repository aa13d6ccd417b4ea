"""The documentation as a site: built strictly, asks no other host for anything, says what the pages say."""

from __future__ import annotations

import configparser
import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
from pages import PAGES, ROOT

pytest.importorskip("mkdocs", reason="the site is built by mkdocs-material: pip install '.[docs]'")
BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")


def load(script: str) -> ModuleType:
    """A file of docs/, which is no package."""
    spec = importlib.util.spec_from_file_location(Path(script).stem, ROOT / "docs" / script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name_in_site(page: Path) -> str:
    """The file of the site that shows a page."""
    outside = load("mkdocs_hooks.py").OUTSIDE
    return Path(outside.get(page.relative_to(ROOT).as_posix(), page.name)).with_suffix(".html").name


def test_the_environment_that_builds_it_takes_what_the_extra_names() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    environments = configparser.ConfigParser()
    environments.read(ROOT / "tox.ini", encoding="utf-8")
    assert environments["testenv:docs"]["deps"].split("\n") == extra["docs"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site. A link that leads nowhere, a page without a place in the navigation, end the build."""
    out = tmp_path_factory.mktemp("documentation")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"^(WARNING|ERROR)", done.stdout + done.stderr, re.M)
    return out


def html(site: Path) -> list[Path]:
    return sorted(site.glob("**/*.html"))


def test_every_page_is_in_the_site_and_the_site_has_no_other(site: Path) -> None:
    made = {file.relative_to(site).as_posix() for file in html(site)} - {"404.html"}
    assert made == {name_in_site(page) for page in PAGES}


class Fetched(HTMLParser):
    """Addresses that a browser fetches with a page: not those of links, which a reader may follow."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what a tag fetches."""
        if tag != "a":
            self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]


def test_no_page_and_no_style_asks_another_host_for_anything(site: Path) -> None:
    fetched = Fetched()
    for file in html(site):
        fetched.feed(file.read_text(encoding="utf-8"))
    styles = [file.read_text(encoding="utf-8") for file in site.glob("**/*.css")]
    asked = re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')\s]+)", "\n".join(styles))
    assert len(fetched.addresses) > 100 and asked
    assert [address for address in [*fetched.addresses, *asked] if re.match(r"(\w+:)?//", address)] == []


def test_what_is_a_list_a_table_or_a_block_for_github_is_one_here(site: Path) -> None:
    for page in PAGES:
        made = (site / name_in_site(page)).read_text(encoding="utf-8")
        for paragraph in re.findall(r"<p>(.*?)</p>", made, re.S):
            assert not re.search(r"^\s*([-*|] |\d+\. |```)", paragraph, re.M), f"{page.name}: {paragraph[:200]}"
        text, n_fenced = re.subn(r"^( *)```\w.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
        n_indented = len(re.findall(r"\n\n {4}\S", text))
        assert made.count("<pre>") == n_fenced + n_indented, page.name
        assert made.count("<table>") == len(re.findall(r"^\|[ :|-]*-[ :|-]*\|$", text, re.M)), page.name


def test_rules_of_the_protocol_keep_their_numbers(site: Path) -> None:
    rules = re.findall(r"^(\d+)\. \*\*", (ROOT / "docs/protocol.md").read_text(encoding="utf-8"), re.M)
    made = (site / "protocol.html").read_text(encoding="utf-8")
    numbers: list[str] = []
    for start, items in re.findall(r'<ol(?: start="(\d+)")?>(.*?)</ol>', made, re.S):
        first = int(start or 1)
        numbers += [str(n) for n in range(first, first + items.count("<li>"))]
    assert numbers == rules


def test_a_link_to_a_folder_ends_the_build_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = load("mkdocs_hooks.py")
    monkeypatch.setattr(hooks, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text("[all](records)", encoding="utf-8")
    (tmp_path / "records").mkdir()
    with pytest.raises(hooks.PluginError, match=r"page\.md links to the folder records"):
        list(hooks.linked(tmp_path / "page.md"))


@pytest.mark.slow
@needs_browser
def test_it_is_searched_from_disk_and_fits_a_phone_without_a_network(site: Path) -> None:
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    with (
        sync_playwright() as started,
        started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"]) as browser,
    ):
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: asked.url.startswith("file://") or complaints.append(asked.url))
        page.goto((site / "index.html").as_uri())
        page.get_by_role("textbox", name="Search").click()
        page.keyboard.type("Fieller")
        found = page.locator(".md-search-result__item a").first
        found.wait_for(timeout=30_000)
        assert "protocol.html" in (found.get_attribute("href") or "")
        page.set_viewport_size({"width": 390, "height": 844})
        for name in ("index.html", "scale.html", "architecture.html"):
            page.goto((site / name).as_uri())
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    assert complaints == []


@pytest.mark.slow
@needs_browser
def test_the_script_takes_its_pictures_of_a_site(tmp_path: Path) -> None:
    from PIL import Image
    from site_files import committed_tables

    from leaderboard.pages.site import Site, write_site

    screenshots = load("screenshots.py")
    write_site(Site(committed_tables()), tmp_path / "site", n_figures=1)
    taken = screenshots.photograph(tmp_path / "site", tmp_path)
    assert [file.name for file in taken] == [picture.name for picture in screenshots.PICTURES]
    for file, picture in zip(taken, screenshots.PICTURES, strict=True):
        with Image.open(file) as image:
            width, height = (pixels / screenshots.SCALE for pixels in image.size)
        assert width == picture.width and 400 < height <= picture.tallest + 1
        assert file.stat().st_size > 20_000
