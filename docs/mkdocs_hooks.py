"""Which files outside docs/ the documentation's site has, and how links lead to them: hooks of mkdocs.yml.

The README is the front page. A page's links are those that a clone has; here they are turned into the site's. A file
that is no page (a licence, a picture among the results) is copied into the site's folder `files`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages outside docs/, by their path in a clone, and what they are called below docs/."""
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
"""The target of a link or picture of Markdown, and its anchor."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of `OUTSIDE`, and every file outside docs/ that a page links to."""
    pages = [Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path]
    for source, name in OUTSIDE.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
        pages.append(ROOT / source)
    for target in sorted({target for page in pages for target in linked(page) if not is_page_or_docs(target)}):
        files.append(File.generated(config, name_of(target), abs_src_path=str(target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page's text with links as they are in the site."""
    source = Path(page.file.abs_src_path or "")

    def led(found: re.Match[str]) -> str:
        target = place_of(source, found[1])
        if target is None:
            return found[0]
        here = os.path.dirname(page.file.src_uri)
        return os.path.relpath(name_of(target), here or ".") + (found[2] or "")

    return LINK.sub(led, markdown)


def place_of(source: Path, target: str) -> Path | None:
    """The file in the clone that a link of `source` leads to; None for an address and for what is not there."""
    place = (source.parent / target).resolve()
    return place if "://" not in target and place.exists() else None


def linked(page: Path) -> Iterator[Path]:
    """The files in the clone that a page links to. A folder is refused: a site has none to show."""
    for target, _ in LINK.findall(page.read_text(encoding="utf-8")):
        place = place_of(page, target)
        if place is not None and place.is_dir():
            raise PluginError(f"{page.relative_to(ROOT)} links to the folder {target}: link to a file in it")
        if place is not None:
            yield place


def is_page_or_docs(place: Path) -> bool:
    """Whether the site has a file already."""
    return place.is_relative_to(DOCS) or place.relative_to(ROOT).as_posix() in OUTSIDE


def name_of(place: Path) -> str:
    """What a file of the clone is called below docs/ in the site."""
    if place.is_relative_to(DOCS):
        return place.relative_to(DOCS).as_posix()
    path = place.relative_to(ROOT).as_posix()
    return OUTSIDE.get(path, f"files/{path}")
