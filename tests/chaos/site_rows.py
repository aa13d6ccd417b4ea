"""How long the page of a leaderboard takes with many arms: `python tests/chaos/site_rows.py --n 10000`.

The data of the committed records' site is laid out again and again under other settings, until there are n arms; the
page is opened from disk in Chromium. Printed are the size of the data, the first paint, the time until the table
stands, and of sorting by every column, by searching and by a filter, each with what it draws.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
PAINT = """() => performance.getEntriesByType("paint").find((e) => e.name === "first-contentful-paint").startTime"""
SORT = """(id) => { const button = document.querySelector(`[data-sort="${id}"]`); const began = performance.now();
  button.click(); document.body.offsetHeight; return performance.now() - began; }"""
IDS = "[...document.querySelectorAll('[data-section=judged] [data-sort]')].map((button) => button.dataset.sort)"
FILTER = """(word) => { const began = performance.now();
  const box = document.getElementById("search"); box.value = word;
  box.dispatchEvent(new Event("input")); document.body.offsetHeight; return performance.now() - began; }"""


def repeated(data: dict[str, Any], n: int) -> dict[str, Any]:
    """The data of a site with n arms: its own, over and over, each time in settings of their own."""
    once, settings = len(data["setting"]), len(data["settings"])
    copies = -(-n // once)

    def again(values: list[Any]) -> list[Any]:
        return (values * copies)[:n]

    return {
        **data,
        "settings": [{**s, "heading": f"{s['heading']}, copy {k}"} for k in range(copies) for s in data["settings"]],
        "setting": [s + k * settings for k in range(copies) for s in data["setting"]][:n],
        "codes": {name: again(codes) for name, codes in data["codes"].items()},
        "why": {name: again(places) for name, places in data["why"].items()},
        "numbers": {
            name: {part: again(values) for part, values in parts.items()} for name, parts in data["numbers"].items()
        },
    }


def main() -> None:
    """Write the site, open it, and print what it took."""
    from playwright.sync_api import sync_playwright
    from site_files import committed_tables

    from leaderboard.pages.rows import as_script, table_data
    from leaderboard.pages.site import Site, write_site

    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--n", type=int, default=10_000)
    n = options.parse_args().n
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        tables, out = committed_tables(), Path(folder)
        write_site(Site(tables), out, n_figures=20)
        text = as_script(repeated(table_data(tables), n))
        (out / "data" / "table.js").write_text(text)
        print(f"{n:,} arms, {len(text) / 2**20:.1f} MiB of data")
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto((out / "index.html").as_uri())
        ready = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
        print(f"first paint {page.evaluate(PAINT):.0f} ms, table after {ready:.0f} ms")
        page.wait_for_timeout(500)
        ids = page.evaluate(IDS)
        times = {name: page.evaluate(SORT, name) for name in ids}
        slowest = max(times, key=lambda name: times[name])
        print(f"sort: median {median(times.values()):.0f} ms, most {times[slowest]:.0f} ms ({slowest})")
        print(f"search: {page.evaluate(FILTER, 'latent sharing'):.0f} ms")
        browser.close()


if __name__ == "__main__":
    main()
