"""Links between pages of the built book: each leads to a page that exists, and to a place on it."""

from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
PAGES = sorted(path.stem for path in HTML.glob("*.html") if path.stem != "index")


@cache
def page(path: Path):
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    places = {element["id"] for element in soup.select("[id]")}
    links = [a["href"] for a in soup.select("article a[href]")]
    return links, places


@pytest.mark.parametrize("name", PAGES)
def test_a_link_leads_to_a_place(name):
    lost = []
    for link in page(HTML / f"{name}.html")[0]:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        path = (HTML / unquote(parts.path)) if parts.path else HTML / f"{name}.html"
        if not path.is_file():
            lost.append(link)
        elif parts.fragment and path.suffix == ".html":
            if unquote(parts.fragment) not in page(path)[1]:
                lost.append(link)
    assert lost == []


@pytest.mark.parametrize("name", [name for name in PAGES if name == "intro"])
def test_the_landing_page_leads_to_every_chapter(name):
    """Hypothesis: the two readers' paths name all chapters."""
    targets = {urlsplit(link).path for link in page(HTML / f"{name}.html")[0]}
    chapters = {path.stem for path in (HTML.parents[1] / "book").glob("*.ipynb")} - {"intro"}
    assert {f"{chapter}.html" for chapter in chapters} <= targets
