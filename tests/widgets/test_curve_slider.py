"""The curve slider as a reader meets it: in a page without a kernel, in Chromium."""

import numpy as np
import pytest
import test_explorer as explorer
import test_rendered_book as book
import traitlets

from rnnlib.widgets import CurveSlider

READY = "[data-anywidget=ready]"
X = np.linspace(0, 1, 101)
VALUES = (1, 2, 5, 10)
browser = book.browser  # the fixture, with its remedy where there is no Chromium


def slider(**changes):
    waves = np.array([[np.sin(2 * np.pi * n * X), 0.3 * X] for n in VALUES])
    arguments = {
        "x": X,
        "curves": waves,
        "values": VALUES,
        "name": "n",
        "labels": ("s", "wave"),
        "words": [f"{n} waves" for n in VALUES],
        "lines": ("sine", "ramp"),
        "levels": {"the top": 1.5},
        **changes,
    }
    return CurveSlider(
        arguments.pop("x"), arguments.pop("curves"), arguments.pop("values"), **arguments
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": (1, 2)}, "with 2 values and 101 points"),
        ({"words": ["one"]}, "4 values and 1 words"),
        ({"x": X**2}, "even steps"),
        ({"curves": np.full((4, 2, 101), np.nan)}, "808 values that are not finite"),
        ({"lines": ()}, "2 lines and 0 names"),
    ],
)
def test_bad_input_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        slider(**changes)


def test_an_index_that_does_not_exist_is_refused():
    shown = slider(index=2)
    with pytest.raises(traitlets.TraitError, match="index is 4; there are 4"):
        shown.index = 4
    assert shown.index == 2


def test_a_slider_is_small():
    """Hypothesis: script, sheet and 22 curves of 601 points are well below a picture's size."""
    x = np.linspace(0, 1, 601)
    rough = np.random.default_rng(0).normal(size=(22, 1, 601))
    large = CurveSlider(x, rough, range(22), name="N", labels=("s", "V"), words=[""] * 22)
    assert sum(len(text) for text in (large._esm, large._css, large._html, large._curves)) < 60_000


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    url = explorer.write_page(folder, [slider()]).as_uri()
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.set_default_timeout(20_000)
    page.complaints = book.complaints(page, url.rpartition("/")[0] + "/")
    page.goto(url)
    page.wait_for_selector(READY)
    explorer.drawn(page)
    yield page
    assert page.complaints == []
    page.close()


def text(page, name):
    explorer.drawn(page)
    return explorer.text(page, name)


def inked(page):
    """How many pixels of the canvas are drawn on, and a number that changes with the drawing."""
    explorer.drawn(page)
    return page.eval_on_selector(
        "[data-panel=map] canvas",
        """c => {
      const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
      let n = 0, sum = 0;
      for (let k = 3; k < data.length; k += 4) if (data[k]) { n++; sum = (sum + k) % 1000003; }
      return [n, sum];
    }""",
    )


def test_it_draws_without_a_kernel_and_follows_the_slider(page):
    assert text(page, "where") == "n = 1" and text(page, "word") == "1 waves"
    first = inked(page)
    page.locator("[data-ref=index]").press("ArrowRight")
    assert text(page, "where") == "n = 2" and text(page, "word") == "2 waves"
    page.locator("[data-ref=index]").press("End")
    assert text(page, "word") == "10 waves"
    last = inked(page)
    assert first[0] > 300 and last[0] > first[0] and last[1] != first[1]


def test_a_screen_reader_hears_the_value_and_the_word(page):
    page.locator("[data-ref=index]").press("Home")
    explorer.drawn(page)
    control = page.locator("[data-ref=index]")
    assert control.get_attribute("aria-valuetext") == "1, 1 waves"
    page.wait_for_function("document.querySelector('[data-ref=status]').textContent !== ''")
    assert page.inner_text("[data-ref=status]").endswith("1 waves")


def test_it_fits_a_phone(page):
    page.set_viewport_size({"width": 360, "height": 640})
    explorer.drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.set_viewport_size({"width": 800, "height": 600})
