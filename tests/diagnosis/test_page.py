"""The page of a report in a real browser: whole, without another host, on a phone, in the dark."""

import pytest
import torch
from networks import three_fixed_points

from rnnlib.diagnosis import report

pytest.importorskip("playwright")
import test_rendered_book as book  # noqa: E402  (the above says what it needs)

browser = book.browser  # the fixture, with its remedy where there is no Chromium


def test_the_page_needs_nothing_else_and_fits_a_phone_by_day_and_by_night(browser, tmp_path):
    network, inputs = three_fixed_points()
    torch.manual_seed(0)
    found = report(network, inputs, budget=20.0, progress=False)
    url = found.save(tmp_path / "report.html").as_uri()
    grounds = {}
    for scheme in ("light", "dark"):
        context = browser.new_context(
            viewport={"width": 360, "height": 700}, color_scheme=scheme, java_script_enabled=False
        )
        page = context.new_page()
        asked = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto(url)
        assert asked == [url]
        for summary in page.locator("summary").all():
            summary.click()
        context_of = page.locator(".rnn-report")
        assert context_of.locator("svg").count() == 1
        box = context_of.bounding_box()
        assert box is not None and box["x"] + box["width"] <= 360
        # what is wider than the page scrolls in itself
        assert page.locator("html").evaluate("e => e.scrollWidth") <= 360
        grounds[scheme] = context_of.evaluate("e => getComputedStyle(e).backgroundColor")
        context.close()
    assert grounds["light"] != grounds["dark"]
