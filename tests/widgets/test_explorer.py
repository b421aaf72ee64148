"""The explorer as a reader meets it: in a page without a kernel, in Chromium, and in JupyterLab."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
import test_rendered_book as book
import torch
import traitlets
from ipywidgets import IntSlider
from ipywidgets.embed import dependency_state, embed_data
from playwright.sync_api import TimeoutError as Slow

import rnnlib
from rnnlib.systems import THETA_TRUE, X0, line, theta_random
from rnnlib.systems.two_unit_kernel import lyapunov_spectrum, sweep
from rnnlib.widgets.explorer import ChaosExplorer

HOST = Path(__file__).resolve().parents[2] / "book" / "assets" / "anywidget-host.js"
DONE = ".chaos-explorer[data-computed]"
PAGE = """<!doctype html>
<html data-theme="light" lang="en"><head><meta charset="utf-8"><title>Page</title>
<link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>html {{ --pst-color-text-base: #222832 }} body {{ color: var(--pst-color-text-base) }}
html[data-theme=dark] {{ --pst-color-text-base: #ced6dd; background: #14181e }}</style>
<script defer src="host.js"></script>
<script type="application/vnd.jupyter.widget-state+json">{state}</script>
</head><body>{views}</body></html>"""
VIEW = '<script type="application/vnd.jupyter.widget-view+json">{}</script>'

browser = book.browser  # the fixture, with its remedy where there is no Chromium


def write_page(folder, widgets, change=lambda state: None):
    """A page as Sphinx makes it, less the book around it."""
    state = dependency_state(widgets, drop_defaults=False)  # else of every widget ever made
    data = embed_data(widgets, state=state, drop_defaults=False)
    change(data["manager_state"]["state"])
    state, *views = (
        json.dumps(part).replace("</script", r"<\/script")
        for part in (data["manager_state"], *data["view_specs"])
    )
    (folder / "host.js").write_text(HOST.read_text())
    text = PAGE.format(state=state, views="".join(map(VIEW.format, views)))
    (folder / "page.html").write_text(text)
    return folder / "page.html"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    (site / "some" / "path").mkdir(parents=True)
    write_page(site / "some" / "path", [ChaosExplorer()])
    return site / "some" / "path"


@pytest.fixture
def visit(browser, site):
    """Opens a page, and fails if anything went wrong on it."""
    contexts = []

    def visit(url=None, script=None, **options):
        url = url or (site / "page.html").as_uri()
        size = {"width": 800, "height": 900}
        contexts.append(browser.new_context(**{"viewport": size, **options}))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        if script:
            page.add_init_script(script)
        page.complaints = book.complaints(page, url.rpartition("/")[0] + "/")
        page.goto(url)
        page.wait_for_selector(DONE)
        return page

    yield visit
    found = [
        complaint for context in contexts for page in context.pages for complaint in page.complaints
    ]
    for context in contexts:
        context.close()
    assert found == []


@pytest.fixture(scope="module")
def module(browser, site):
    """Calls the functions that the widget's module exports, in the browser."""
    page = browser.new_page()
    page.goto((site / "page.html").as_uri())
    page.evaluate("""async () => {
      const tag = document.querySelector('script[type$="widget-state+json"]');
      const models = Object.values(JSON.parse(tag.textContent).state);
      const { state } = models.find((model) => model.state._esm);
      const text = new Blob([state._esm], { type: "text/javascript" });
      window.m = await import(URL.createObjectURL(text));
      window.at = (s) => m.weights(state.theta, state.direction, s, 0);
      window.x0 = state.x0;
    }""")
    yield page
    page.close()


def text(page, name):
    return page.inner_text(f"[data-ref={name}]").replace("\N{MINUS SIGN}", "-")


def s_of(page):
    return float(text(page, "where").split(" = ")[1])


def computed(page):
    page.wait_for_selector(DONE)
    return json.loads(page.get_attribute(".chaos-explorer", "data-computed"))


def drawn(page):
    """Waits until what was done to the page is drawn."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def slide(page, value, name="s"):
    page.fill(f"[data-ref={name}]", str(value))
    drawn(page)


# --- the numbers ---


def test_the_module_follows_the_same_orbits_as_python(module):
    s = np.linspace(0.5, 2, 151)
    here = sweep(THETA_TRUE[None], s, x0=X0, steps=50).h
    there = module.evaluate("all => all.map((s) => [...m.simulate(at(s), x0, 50)])", s.tolist())
    there = np.array(there).reshape(151, 50, 2).swapaxes(0, 1)
    np.testing.assert_allclose(there, here, rtol=0, atol=1e-7)


def test_the_module_finds_the_same_exponents_as_python(module):
    # Fixed point, cycles and chaos; in chaos the two follow different orbits of one attractor,
    # and 100 000 steps leave a standard error of 0.001.
    s = [0.6, 0.8, 0.95, 1.0, 1.05, 1.2, 1.6, 2.0]
    here = lyapunov_spectrum(THETA_TRUE[None], s, x0=X0, steps=100_000, burn_in=1000, k=1)[:, 0]
    there = module.evaluate("all => all.map((s) => m.exponent(at(s), x0, 100000, 1000))", s)
    np.testing.assert_allclose(there, here, rtol=0, atol=0.005)


def test_the_module_has_the_same_word_for_it_as_python(module):
    s = torch.tensor([0.6, 0.8, 0.87, 0.885, 1.0, 1.2, 1.6], dtype=torch.float64)
    found = rnnlib.steady_state(line()(s), X0.expand(7, 4))
    here = [found.describe((k,)).replace("chaotic", "chaos") for k in range(7)]
    assert (
        module.evaluate("all => all.map((s) => m.follow(at(s), x0, 2000).run(20).word)", s.tolist())
        == here
    )


def test_the_module_has_the_same_cost_as_python_where_orbits_are_regular(module):
    s = [0.5, 0.6, 0.7, 0.8, 0.85, 1.55, 1.7, 2.0]
    targets = sweep(THETA_TRUE[None], [1.0], x0=X0, steps=100, burn_in=100).h[:, 0]
    # The data are chaotic: of those, too, Python and the browser share only the beginning.
    there = module.evaluate(
        "([all, flat]) => all.map((s) => m.cost(at(s), x0.slice(), flat))",
        [s, targets.ravel().tolist()],
    )
    here = sweep(THETA_TRUE[None], s, x0=X0, steps=100, burn_in=100, targets=targets).cost
    np.testing.assert_allclose(there, here, rtol=1e-9)
    assert module.evaluate("m.cost(at(1), x0.slice(), m.data(at(1)))") == 0


# --- the page ---


@pytest.mark.parametrize("base", ["root", "sub-path", "file"])
def test_the_explorer_draws_without_kernel_and_network(visit, site, base):
    if base == "file":
        page = visit()
    else:
        folder, path = (site, "") if base == "root" else (site.parents[1], "some/path/")
        with book.served(folder) as url:
            page = visit(f"{url}{path}page.html")
    assert page.get_attribute("[data-anywidget]", "data-anywidget") == "ready"
    assert text(page, "where") == "s = 1.000" and text(page, "word") == "chaos"
    assert abs(float(text(page, "exponent")) - 0.16) < 0.05 and text(page, "cost") == "0"
    inked = page.eval_on_selector_all(
        "canvas",
        """all => all.map((c) =>
      c.getContext("2d").getImageData(0, 0, c.width, c.height).data)
        .map((data) => data.filter((v, k) => k % 4 === 3 && v).length)""",
    )
    assert len(inked) == 4 and min(inked) > 500


def test_mouse_keyboard_and_touch_slide_s(visit):
    page = visit(has_touch=True)
    slider = page.locator("[data-ref=s]")
    box = slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    first, second, third = (box["x"] + part * box["width"] for part in (0.34, 0.72, 0.1))
    page.mouse.move(first, middle)
    page.mouse.down()
    page.mouse.move(second, middle, steps=5)
    page.mouse.up()
    drawn(page)
    slid = s_of(page)
    assert slid == pytest.approx(1.58, abs=0.02) and text(page, "word") == "period 4"
    slider.press("ArrowRight")
    drawn(page)
    assert s_of(page) == pytest.approx(slid + 0.001)
    page.touchscreen.tap(third, middle)
    drawn(page)
    assert s_of(page) == pytest.approx(0.64, abs=0.02) and text(page, "word") == "fixed point"
    slider.press("Home")
    drawn(page)
    assert text(page, "where") == "s = 0.500"


def test_everything_moves_with_s(visit):
    page = visit()
    look = """(() => {
      const ref = (name) => document.querySelector(`[data-ref=${name}]`);
      return [...document.querySelectorAll("[data-panel] canvas")].map((c) => c.toDataURL())
        .concat(["marker", "dot"].map((name) => ref(name).style.transform))
        .concat(["word", "exponent", "cost", "parting"].map((name) => ref(name).textContent));
    })()"""
    before = page.evaluate(look)
    slide(page, 1.6)
    changed = [a != b for a, b in zip(before, page.evaluate(look), strict=True)]
    # The orbit diagram and the cost curve stand still; their markers move.
    assert changed == [False, False, *[True] * 8]


def test_a_screen_reader_hears_names_values_and_the_word(visit):
    page = visit()
    slide(page, 1.6)
    assert page.get_attribute("[data-ref=s]", "aria-valuetext") == "1.600, period 4"
    page.wait_for_function(
        "document.querySelector('[role=status]').textContent.startsWith('period 4')"
    )
    names = page.eval_on_selector_all(
        "canvas, input, button, [role=slider]",
        "all => all.map((e) => e.ariaLabel || e.textContent)",
    )
    assert all(name.strip() for name in names)
    assert page.eval_on_selector_all("canvas", "all => all.every((e) => e.role === 'img')")


def test_a_zoomed_diagram_is_computed_anew(visit):
    page = visit()
    whole = computed(page)
    plot = page.locator("[data-panel=map] .ce-plot")
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 0.23 * box["width"], box["y"] + 0.5 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.27 * box["width"], box["y"] + 0.72 * box["height"], steps=4)
    page.mouse.up()
    part = computed(page)
    assert part["x"] == pytest.approx([0.845, 0.905], abs=0.005) and part["width"] == whole["width"]
    assert part["y"][1] - part["y"][0] < 0.4 * (whole["y"][1] - whole["y"][0])
    assert part["x"][0] - 1e-5 < s_of(page) < part["x"][1] + 1e-5
    # The old picture, stretched, would have 4 % as many different columns.
    different = page.eval_on_selector(
        "[data-panel=map] canvas",
        """(c) => {
      const pen = c.getContext("2d");
      const column = (_, i) => pen.getImageData(i, 0, 1, c.height).data.join();
      return new Set(Array.from({ length: c.width }, column)).size; }""",
    )
    assert different > 0.2 * part["width"]
    page.click("text=reset")
    assert computed(page) == whole


def test_buttons_wheel_and_two_fingers_zoom(visit):
    page = visit(has_touch=True)
    widths = [1.5]

    def narrower(by):
        x = computed(page)["x"]
        widths.append(x[1] - x[0])
        assert widths[-1] == pytest.approx(by * widths[-2], rel=0.1)
        return x

    page.get_by_label("zoom in").press("Enter")
    low, high = narrower(0.4)
    assert (1 - low) / (high - low) == pytest.approx(1 / 3, abs=0.01)  # s = 1 stays in its place
    page.get_by_label("zoom out").click()
    narrower(2.5)
    box = page.locator("[data-panel=map] .ce-plot").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.wheel(0, -40)  # scrolls
    page.keyboard.down("Control")
    page.mouse.wheel(0, -40)  # zooms
    page.keyboard.up("Control")
    drawn(page)
    narrower(0.67)
    touch = page.context.new_cdp_session(page)
    box = page.locator("[data-panel=map] .ce-plot").bounding_box()
    y = box["y"] + box["height"] / 2
    for kind, gap in (("touchStart", 40), ("touchMove", 60), ("touchMove", 80), ("touchEnd", None)):
        points = [{"x": x - gap, "y": y, "id": 0}, {"x": x + gap, "y": y, "id": 1}] if gap else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    drawn(page)
    narrower(0.5)


def test_without_workers_the_map_is_computed_in_slices(visit):
    page = visit(script="delete window.Worker")
    assert computed(page)["width"] > 500


def test_two_sliders_move_over_the_cost_surface(visit):
    page = visit()
    page.click("[data-mode=plane]")
    surface = computed(page)
    assert surface["mode"] == "plane" and surface["x"] == [0, 2] and surface["y"] == [-0.5, 0.5]
    slide(page, 0.25, "s2")
    assert text(page, "where") == "s\u2081 = 1.000, s\u2082 = 0.250" and text(page, "cost") != "0"
    plot = page.locator("[data-panel=map] .ce-plot").bounding_box()
    page.mouse.click(plot["x"] + 0.8 * plot["width"], plot["y"] + 0.5 * plot["height"])
    drawn(page)
    assert text(page, "where").startswith("s\u2081 = 1.6") and text(page, "word") == "period 4"
    page.click("[data-mode=line]")
    assert computed(page)["mode"] == "line" and text(page, "where").startswith("s = 1.6")


def test_the_start_is_dragged_and_a_start_beside_it_parts_in_chaos(visit):
    page = visit()
    parts = text(page, "parting")
    assert 50 < float(parts.split()[-2]) < 150
    start = page.locator("[data-ref=start]")
    box = start.bounding_box()
    page.mouse.move(box["x"] + 7, box["y"] + 7)
    page.mouse.down()
    page.mouse.move(box["x"] - 60, box["y"] + 90, steps=4)
    page.mouse.up()
    drawn(page)
    here = start.get_attribute("aria-valuetext")
    start.press("ArrowLeft")
    drawn(page)
    assert len({"h1 0.5, h2 0.5", here, start.get_attribute("aria-valuetext")}) == 3
    slide(page, 1.6)
    assert text(page, "parting") == "stays beside it"


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_play_moves_s_and_begins_only_when_asked(visit, motion):
    page = visit(reduced_motion=motion)
    page.wait_for_timeout(300)
    assert text(page, "where") == "s = 1.000"
    page.click("[data-ref=play]")
    begun = time.monotonic()
    page.wait_for_selector("[data-ref=where]:not(:text-is('s = 1.000'))")
    assert motion == "no-preference" or time.monotonic() - begun > 0.7  # a step a second
    page.click("[data-ref=play]")
    drawn(page)
    stopped = text(page, "where")
    page.wait_for_timeout(1200 if motion == "reduce" else 200)
    assert text(page, "where") == stopped
    assert page.get_attribute("[data-ref=play]", "aria-label").startswith("play along s")


def test_dark_mode_changes_inks_at_once(visit):
    page = visit()
    ink = """(() => {
      const c = document.querySelector("[data-panel=map] canvas");
      const { data } = c.getContext("2d").getImageData(0, 0, 1, c.height);
      return [0, 1, 2].map((k) => Math.max(...data.filter((_, j) => j % 4 === k)));
    })()"""
    assert page.evaluate(ink) == [1, 115, 178]
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_selector(".ce-dark")
    assert page.evaluate(ink) == [86, 180, 233]


def test_the_explorer_fits_a_phone(visit):
    phone = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2}
    page = visit(is_mobile=True, has_touch=True, **phone)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.eval_on_selector_all(
        "button, input",
        """all =>
      all.map((e) => e.getBoundingClientRect())
        .filter((r) => r.width && (r.width < 24 || r.height < 24)).length""",
    )
    assert small == 0


def test_a_page_carries_under_25_kilobytes_of_script():
    assert len(ChaosExplorer._esm.encode()) + HOST.stat().st_size < 25_000
    assert "import " not in ChaosExplorer._esm  # a module in a Blob has nothing beside it
    sent = json.dumps(ChaosExplorer().get_state())
    assert "<!--" not in sent and "<script" not in sent  # both together end the page's own tag


# --- the host script ---


def test_a_widget_that_fails_says_so_and_the_others_are_drawn(visit, tmp_path):
    def break_first(state):
        next(m for m in state.values() if "_esm" in m["state"])["state"]["axes"] = None

    page = visit(write_page(tmp_path, [ChaosExplorer(), ChaosExplorer()], break_first).as_uri())
    failed = page.locator("[data-anywidget=failed][role=alert]")
    assert failed.inner_text().startswith("This interactive figure could not")
    assert page.locator("[data-anywidget=ready]").count() == 1
    page.complaints[:] = [c for c in page.complaints if not c.startswith("console: TypeError")]


def test_the_host_leaves_core_widgets_to_the_note(visit, tmp_path):
    page = visit(write_page(tmp_path, [IntSlider(), ChaosExplorer()]).as_uri())
    assert page.locator("[data-anywidget]").count() == 1


def test_two_views_share_one_widget(visit, tmp_path):
    explorer = ChaosExplorer()
    path = write_page(tmp_path, [explorer])
    view = VIEW.format(json.dumps(embed_data([explorer])["view_specs"][0]))
    path.write_text(path.read_text().replace("</body>", view + "</body>"))
    page = visit(path.as_uri())
    page.locator("[data-ref=s]").first.fill("1.6")
    drawn(page)
    assert page.locator("[data-ref=where]").all_inner_texts() == ["s = 1.600"] * 2


# --- Python ---


def test_python_is_told_what_the_reader_slides():
    explorer, seen = ChaosExplorer(s=0.7), []
    explorer.observe(lambda change: seen.append(change.new), "s")
    explorer.set_state({"s": 1.25})  # what a message from the browser does
    assert seen == [1.25] and explorer.s == 1.25
    assert explorer.get_state("s") == {"s": 1.25}


def test_the_weights_are_sent_as_plain_numbers_and_checked():
    explorer = ChaosExplorer(theta=THETA_TRUE, direction=theta_random(3))
    assert explorer.theta == THETA_TRUE.flatten().tolist() and len(explorer.direction) == 16
    with pytest.raises(traitlets.TraitError, match="theta is .* 16 finite numbers"):
        explorer.theta = torch.ones(3)
    with pytest.raises(traitlets.TraitError, match="x0 is .* 4 finite numbers"):
        ChaosExplorer(x0=[0.5, 0.5, 0.5, float("nan")])
    with pytest.raises(traitlets.TraitError, match="s is nan"):
        explorer.s = float("nan")


def test_other_weights_have_other_axes():
    explorer = ChaosExplorer()
    before = explorer.axes
    explorer.theta = 0.5 * THETA_TRUE
    assert explorer.axes["cost"] < before["cost"]


LIVE = """from rnnlib.widgets.explorer import ChaosExplorer
explorer = ChaosExplorer()
explorer.observe(lambda change: open("seen", "w").write(str(change.new)), "s")
explorer"""


def port_of_server(folder):
    """Return the port that a Jupyter server wrote there, or None while it has not or is writing."""
    for file in folder.glob("jpserver-*.json"):
        try:
            return json.loads(file.read_text())["port"]
        except json.JSONDecodeError:
            return None


def test_in_jupyterlab_the_kernel_and_the_slider_move_each_other(browser, tmp_path):
    cells = [nbformat.v4.new_code_cell(source) for source in (LIVE, "explorer.s = 1.2")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, tmp_path / "live.ipynb")
    # A home of its own, so that the reader's settings and sessions do not count.
    names = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    home = {name: str(tmp_path / name) for name in names}
    home["PYTHONPATH"] = os.pathsep.join([str(HOST.parents[2]), os.environ.get("PYTHONPATH", "")])
    log = (tmp_path / "log").open("w")
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "jupyterlab",
            "--no-browser",
            "--ip=127.0.0.1",
            "--port=0",
            "--allow-root",
            "--IdentityProvider.token=",
            f"--ServerApp.root_dir={tmp_path}",
            "--LabApp.expose_app_in_browser=True",
            "--LabApp.news_url=",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ],
        cwd=tmp_path,
        env={**os.environ, **home},
        stdout=log,
        stderr=log,
    )
    page = browser.new_page(viewport={"width": 1200, "height": 1400})
    try:
        end = time.monotonic() + 120
        while not (port := port_of_server(tmp_path / "JUPYTER_RUNTIME_DIR")):
            assert server.poll() is None and time.monotonic() < end, (tmp_path / "log").read_text()
            time.sleep(0.2)
        page.set_default_timeout(180_000)  # a kernel that imports torch on a busy machine
        page.goto(f"http://127.0.0.1:{port}/lab/tree/live.ipynb?reset")
        page.wait_for_function(
            "window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
        )
        run = "jupyterapp.commands.execute('notebook:run-cell-and-select-next')"
        first = f"(jupyterapp.shell.currentWidget.content.activeCellIndex = 0, {run})"
        for attempts_left in reversed(range(5)):  # a kernel that starts can lose a request
            page.evaluate(
                f"jupyterapp.shell.currentWidget.sessionContext.ready.then(() => {first})"
            )
            try:
                page.wait_for_selector(DONE, timeout=40_000)
                break
            except Slow:
                if not attempts_left:
                    raise
        page.locator("[data-ref=s]").press("ArrowRight")
        end = time.monotonic() + 60
        while not (tmp_path / "seen").exists() or (tmp_path / "seen").read_text() != "1.001":
            assert time.monotonic() < end, "Python did not see the slider move"
            time.sleep(0.1)
        page.evaluate(f"jupyterapp.shell.currentWidget.content.activeCellIndex = 1, {run}")
        page.wait_for_selector("[data-ref=where]:text-is('s = 1.200')")
        assert page.input_value("[data-ref=s]") == "1.2"
    finally:
        page.close()
        server.terminate()
        server.wait(20)
        log.close()
