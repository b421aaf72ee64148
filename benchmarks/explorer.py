"""The explorer's frames per second in headless Chromium, while s changes.

Three hands: a mouse that drags the slider, a new s in every frame (the most there can be), and the
same while a zoomed diagram is computed. Each at the processor's full speed, and slowed down four
times by the browser (Emulation.setCPUThrottlingRate). The display shows 60 at most. The bars are
55 and 30; other load on the machine counts against the widget.

Run it: python -m benchmarks.explorer
"""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median

from ipywidgets.embed import dependency_state, embed_data
from playwright.sync_api import Page, sync_playwright

from rnnlib.widgets import ChaosExplorer

HOST = Path(__file__).resolve().parents[1] / "book" / "assets" / "anywidget-host.js"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ARGS = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND"]
SECONDS = 4
BARS = {1: 55, 4: 30}

FRAMES = """() => { const frames = (window.frames_ = []);
  const next = (now) => { frames.push(now); frames === frames_ && requestAnimationFrame(next) };
  requestAnimationFrame(next) }"""
EVERY_FRAME = """async (seconds) => {
  const slider = document.querySelector("[data-ref=s]"), end = performance.now() + 1000 * seconds;
  const [low, high] = [+slider.min, +slider.max];
  for (let k = 0; performance.now() < end; k++) {
    slider.value = low + (high - low) * Math.abs((k * 0.004) % 2 - 1);
    slider.dispatchEvent(new Event("input"));
    await new Promise(requestAnimationFrame);
  } }"""


def open_page(browser, folder: Path) -> Page:
    """A page of nothing but the explorer."""
    explorer = ChaosExplorer()
    state = dependency_state([explorer], drop_defaults=False)
    data = embed_data([explorer], state=state, drop_defaults=False)
    tags = "".join(
        f'<script type="application/vnd.jupyter.widget-{kind}+json">{json.dumps(content)}</script>'
        for kind, content in (("state", data["manager_state"]), ("view", data["view_specs"][0]))
    )
    page = folder / "page.html"
    page.write_text(f"<!doctype html><body>{tags}<script>{HOST.read_text()}</script>")
    tab = browser.new_page(viewport={"width": 1000, "height": 900})
    tab.goto(page.as_uri())
    tab.wait_for_selector(".chaos-explorer[data-computed]")
    tab.wait_for_timeout(1500)  # the portrait fills
    return tab


def drag(page: Page) -> None:
    box = page.locator("[data-ref=s]").bounding_box()
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    end, k = time.monotonic() + SECONDS, 0
    while time.monotonic() < end:
        k += 1
        page.mouse.move(box["x"] + box["width"] * (0.2 + 0.6 * abs(k * 0.004 % 2 - 1)), y)
    page.mouse.up()


def every_frame(page: Page) -> None:
    page.evaluate(EVERY_FRAME, SECONDS)


def while_computing(page: Page) -> None:
    page.get_by_label("zoom in").click()
    page.evaluate(EVERY_FRAME, 1)  # about as long as a diagram takes
    page.get_by_text("reset").click()


HANDS = {
    "mouse drags the slider": drag,
    "a new s in every frame": every_frame,
    "a new s while a zoomed map is computed": while_computing,
}


def measure(page: Page, hand) -> tuple[float, float, float]:
    """Frames per second, and the median and the worst frame in milliseconds."""
    page.evaluate(FRAMES)
    hand(page)
    frames = page.evaluate("frames_")
    gaps = [b - a for a, b in zip(frames, frames[1:], strict=False)]
    return 1000 * len(gaps) / sum(gaps), median(gaps), max(gaps)


def main() -> None:
    """Measure and print."""
    print(f"\n{'The explorer':50}{'frames/s':>10}{'median ms':>11}{'worst ms':>10}  bar")
    if CHROMIUM is None:
        print("no Chromium: install it (`apt-get install chromium`) or set CHROMIUM to its path")
        return
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        page = open_page(browser, Path(folder))
        speed = page.context.new_cdp_session(page)
        for slower, bar in BARS.items():
            speed.send("Emulation.setCPUThrottlingRate", {"rate": slower})
            for name, hand in HANDS.items():
                rate, middle, worst = measure(page, hand)
                label = name if slower == 1 else f"{name}, {slower} x slower"
                verdict = f">= {bar} {'ok' if rate >= bar else 'MISSED'}"
                print(f"{label:50}{rate:10.1f}{middle:11.1f}{worst:10.0f}  {verdict}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
