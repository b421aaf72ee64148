"""The built book as a browser shows it: whole, offline, on a phone, in the dark, on paper."""

import os
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

HTML = Path(__file__).resolve().parents[2] / "_build" / "html"
PAGES = sorted(
    p.relative_to(HTML).as_posix()
    for p in HTML.rglob("*.html")
    if "_static" not in p.parts and p.name != "index.html"
)  # index.html only redirects
TEXTS = [p for p in PAGES if not p.startswith("_modules/")]
LISTINGS = [p for p in PAGES if p.startswith("_modules/rnnlib/")]
# The listings of the package's source are all alike: one stands for them.
LOOKED_AT = [*TEXTS, *LISTINGS[:1]]

CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    OFFLINE,
]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def served(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    """The three ways to open the book: a site of its own, a part of a site, and a folder."""
    site = tmp_path_factory.mktemp("site")
    (site / "some").mkdir()
    (site / "some" / "path").symlink_to(HTML)
    with served(HTML) as root, served(site) as parent:
        yield {"root": root, "sub-path": f"{parent}some/path/", "file": f"{HTML.as_uri()}/"}


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        remedy = "no Chromium: install it (`apt-get install chromium`) or set CHROMIUM to its path"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(remedy)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser):
    """One context for all pages, so that the theme's files are fetched once."""
    context = browser.new_context()
    context.add_init_script(path=Path(__file__).with_name("rendered_book.js"))
    yield context
    context.close()


@pytest.fixture
def page(context):
    page = context.new_page()
    yield page
    page.close()


def complaints(page, base):
    """A list that fills with whatever goes wrong in `page`, requests outside `base` included."""
    found = []

    def request(request):
        if not request.url.startswith((base, "data:", "blob:")):
            found.append(f"asked for {request.url}")

    def response(response):
        if response.status >= 400:
            found.append(f"{response.status} for {response.url}")

    def console(message):
        if message.type == "error":
            found.append(f"console: {message.text}")

    page.on("request", request)
    page.on("response", response)
    page.on("console", console)
    page.on("requestfailed", lambda request: found.append(f"failed: {request.url}"))
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    return found


def test_the_book_is_built():
    assert PAGES and (HTML / ".sources").exists(), "no finished build in _build/html: `make book`"


@pytest.fixture(scope="module", params=TEXTS)
def text(context, bases, request):
    """A page that a reader reads, loaded once for all that is asked of its looks."""
    page = context.new_page()
    page.goto(bases["root"] + request.param)
    page.add_style_tag(content="* {transition: none !important}")  # colours change at once
    yield page
    page.close()


@pytest.mark.parametrize("name", LOOKED_AT)
@pytest.mark.parametrize("base", ["sub-path", "file"])  # what works below a path works at the root
def test_a_page_is_whole_and_asks_no_other_host(page, bases, base, name):
    found = complaints(page, bases[base])
    page.goto(bases[base] + name)
    found += page.evaluate("book.missing()")
    assert found == []
    icon = page.get_attribute("link[rel~=icon]", "href")
    assert (HTML / name).parent.joinpath(icon).is_file()


def test_a_page_fits_a_phone(text):
    size = text.viewport_size
    text.set_viewport_size({"width": 360, "height": 740})
    found = text.evaluate("book.misfits(480)")
    text.set_viewport_size(size)
    assert found == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_background(text, scheme):
    text.emulate_media(color_scheme=scheme)
    text.wait_for_selector(f"html[data-theme={scheme}]")
    assert text.evaluate("book.faint(4.5)") == []


def test_paper_shows_the_text_alone_in_light(page, bases):
    page.emulate_media(color_scheme="dark", media="print")
    page.goto(bases["root"] + "intro.html")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.get_attribute("html", "data-theme") == "light"
    assert page.is_visible("article")
    assert not page.is_visible(".bd-sidebar-primary") and not page.is_visible(".bd-header-article")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.get_attribute("html", "data-theme") == "dark"


@pytest.mark.parametrize("width, height", [(1200, 900), (390, 844)])
def test_the_landing_page_shows_the_explorer_within_one_screen(page, bases, width, height):
    page.set_viewport_size({"width": width, "height": height})
    page.goto(bases["root"] + "intro.html")
    slider = page.locator(".chaos-explorer .ce-slider").first
    slider.wait_for()
    box = slider.bounding_box()
    assert box["y"] + box["height"] < height


CHAPTERS = {path.stem for path in (HTML.parents[1] / "book").glob("*.ipynb")}


@pytest.mark.parametrize("name", sorted(CHAPTERS.intersection(Path(p).stem for p in TEXTS)))
def test_a_chapter_is_short_enough_to_finish(page, bases, name):
    page.set_viewport_size({"width": 1200, "height": 900})
    page.goto(bases["root"] + f"{name}.html")
    assert page.evaluate("document.querySelector('article').scrollHeight") <= 20_000


@pytest.mark.parametrize("base", ["root", "sub-path"])
def test_a_search_finds_pages(page, bases, base):
    found = complaints(page, bases[base])
    page.goto(bases[base] + "search.html?q=recurrent")
    page.wait_for_selector("#search-results li a")
    assert found == []


@pytest.mark.parametrize(
    "name, room",
    [("lyapunov_spectrum", "dynamics"), ("certify", "memory"), ("from_module", "systems")],
)
def test_a_search_for_a_function_leads_to_its_description(page, bases, name, room):
    page.goto(bases["root"] + f"search.html?q={name}")
    page.wait_for_selector("#search-results li a")
    first = page.get_attribute("#search-results li a", "href")
    assert first == f"api/{room}.html#rnnlib.{name}"
