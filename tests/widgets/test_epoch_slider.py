"""The epoch slider as a reader meets it: in a page without a kernel, in Chromium."""

import json

import numpy as np
import pytest
import test_explorer as explorer
import test_rendered_book as book
import traitlets
from ipywidgets.embed import embed_data

from rnnlib.widgets.epoch_slider import EpochSlider
from rnnlib.widgets.epoch_slider.curves import drawn
from rnnlib.widgets.epoch_slider.description import describe
from rnnlib.widgets.epoch_slider.packing import DIVERGED, TOP, pack_orbits, quantise

OMEGA = 0.218  # radians a step
BIRTH = 195  # the epoch at which the circle is born
EPOCHS = np.arange(0, 401, 10)
READY = "[data-anywidget=ready]"

browser = book.browser  # the fixture, with its remedy where there is no Chromium


def radius(epoch):
    return np.sqrt(np.maximum(0.0, (np.asarray(epoch) - BIRTH) / 400))


def neimark_sacker(epochs=EPOCHS, starts=3, steps=400, burn_in=2000):
    """The real part of ``z -> exp(i omega) (1 + mu - |z|^2) z``: a circle of radius sqrt(mu)."""
    generator = np.random.default_rng(0)
    z = 0.5 * np.exp(2j * np.pi * generator.uniform(size=(len(epochs), starts)))
    mu = (np.asarray(epochs)[:, None] - BIRTH) / 400
    orbit = []
    for _ in range(burn_in + steps):
        z = np.exp(1j * OMEGA) * (1 + mu - np.abs(z) ** 2) * z
        orbit.append(z.real)
    return np.moveaxis(orbit[burn_in:], 0, -1)


def logistic(r, starts=3, steps=400, burn_in=5000):
    x = np.random.default_rng(1).uniform(0.2, 0.8, starts)
    orbit = []
    for _ in range(burn_in + steps):
        x = r * x * (1 - x)
        orbit.append(x)
    return np.array(orbit[burn_in:]).T


def family():
    """Three panels: a circle is born; two fixed points; a start that diverges from epoch 300 on."""
    circle = neimark_sacker()
    apart = np.broadcast_to(np.array([0.5, -0.5, 0.5])[:, None], circle.shape)
    lost = 0.3 + 0 * circle
    lost[30:, 1] = np.inf
    return np.stack([circle, apart, lost], axis=1)


def slider(**options):
    loss = np.where(np.arange(1, 401) < BIRTH, 0.5, 0.005)
    history = {"training": (np.arange(1, 401), loss), "test": (EPOCHS[1:], 0.1 + 0 * EPOCHS[1:])}
    return EpochSlider(
        EPOCHS, family(), panels=["circle", "a < b", "lost"], history=history, **options
    )


# --- words ---


t = np.arange(400)
wave = np.sin(OMEGA * t + np.array([[0.0], [1.0]]))


@pytest.mark.parametrize(
    ("orbits", "words"),
    [
        (np.full((3, 400), 0.7), "fixed point"),
        (np.repeat([[1.0], [-1.0], [1.0], [2.0]], 400, axis=1), "3 fixed points"),
        (logistic(3.2), "period 2"),
        (logistic(3.5), "period 4"),
        (logistic(3.9), "irregular"),
        (neimark_sacker([300])[0], "oscillation, period 28.8 steps"),
        (wave + 0.4 * np.sin(3 * OMEGA * t), "oscillation, period 28.8 steps"),
        (0.3 * wave + np.sin(2 * OMEGA * t), "oscillation, period 28.8 steps"),
        (np.sin(t[None] * 2 * np.pi / ((1 + 5**0.5) / 2 + 1)), "oscillation, period 2.62 steps"),
        (np.sin(t * np.array([[0.2], [0.4]])), "oscillation, period 15.7 to 31.4 steps"),
        (wave * 0.99**t, "not settled"),
        (wave * 1.01**t, "not settled"),
        (np.exp(-t[None] / 1e5), "slow change"),
        (np.full((2, 400), np.nan), "diverged"),
        (np.stack([0 * t, wave[0], np.inf + t]), None),
    ],
)
def test_orbits_with_a_known_answer_are_called_by_their_name(orbits, words):
    expected = words or "fixed point + oscillation, period 28.8 steps + 1 of 3 diverged"
    assert describe(orbits) == expected


def test_words_do_not_change_with_noise_below_the_tolerance():
    noise = 1e-6 * np.random.default_rng(0).standard_normal((3, 400))
    for orbits in (np.full((3, 400), 0.7), logistic(3.5), neimark_sacker([300])[0]):
        assert describe(orbits + noise) == describe(orbits)


def test_words_need_a_window():
    with pytest.raises(ValueError, match=r"shape \(3, 10\); .* 16 steps or more"):
        describe(np.zeros((3, 10)))


# --- what is sent ---


def test_a_value_is_sent_to_within_its_panels_range_over_65535():
    orbits = np.random.default_rng(0).standard_normal((2, 5, 3, 50)) * [[[[1.0]]], [[[1e-3]]]] + 7
    numbers, ranges = quantise(orbits)
    low, high = (ends[:, None, None, None] for ends in ranges.T)
    there = low + numbers * (high - low) / TOP
    assert (np.abs(there - orbits) < (high - low) / 65535).all()
    assert numbers.dtype == np.uint16 and numbers.min() == 0 and numbers.max() == TOP


def test_an_orbit_that_is_not_finite_has_diverged_and_does_not_stretch_the_range():
    orbits = np.zeros((2, 2, 2, 20))
    orbits[0, 1] = 1.0
    orbits[0, 1, 1, 7:] = np.inf
    orbits[1] = np.nan
    numbers, ranges = quantise(orbits)
    assert (numbers == DIVERGED).all(-1).tolist() == [
        [[False, False], [False, True]],
        [[True, True], [True, True]],
    ]
    assert ranges.tolist() == [[0, 1], [0, 0]]


def test_rest_takes_next_to_nothing_of_the_page_and_motion_under_two_bytes_a_value():
    numbers = quantise(family()[..., -100:].swapaxes(0, 1))[0]
    circle = numbers[:1, EPOCHS > BIRTH]
    assert len(pack_orbits(circle)) < 2 * circle.size
    assert len(pack_orbits(numbers[:1, EPOCHS < BIRTH])) < 0.05 * circle.size


def test_a_slider_that_is_too_large_for_a_page_says_so():
    noise = np.random.default_rng(0).standard_normal((400, 1, 5, 150))
    with pytest.warns(UserWarning, match=r"takes 5\d\d kB of a page, over 500. Lower points"):
        EpochSlider(range(400), noise, words=np.full((400, 1), "noise"), points=100)


def test_a_page_carries_under_12_kilobytes_of_script():
    assert len(EpochSlider._esm.encode()) < 12_000
    assert "import " not in EpochSlider._esm  # a module in a Blob has nothing beside it
    sent = json.dumps(slider().get_state())
    assert "<!--" not in sent and "<script" not in sent  # both together end the page's own tag


# --- Python ---


def test_the_epoch_moves_to_the_nearest_stored_one_and_python_is_told():
    epoch_slider, seen = slider(), []
    assert epoch_slider.epoch == 400 and epoch_slider.panel == 0
    epoch_slider.observe(lambda change: seen.append(change.new), ["epoch", "panel"])
    epoch_slider.epoch = 307
    epoch_slider.set_state({"epoch": 120, "panel": 2})  # what a message from the browser does
    assert seen == [310, 120, 2] and epoch_slider.get_state("epoch") == {"epoch": 120}
    with pytest.raises(traitlets.TraitError, match="panel is 3; there are 3"):
        epoch_slider.panel = 3
    assert slider(epoch=-5).epoch == 0


def test_the_words_are_those_of_the_orbits_before_they_are_thinned():
    found = np.array(slider(points=20).words)
    assert (found[EPOCHS < BIRTH, 0] == "fixed point").all()
    assert (found[EPOCHS > BIRTH, 0] == "oscillation, period 28.8 steps").all()
    assert (found[:, 1] == "2 fixed points").all()
    assert found[-1, 2] == "fixed point + 1 of 3 diverged"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": [0, 10]}, r"orbits has shape \(41, 3, 3, 400\); it must be \(2, panels"),
        ({"epochs": EPOCHS[::-1]}, r"epochs is .400, 390.*larger than the last"),
        ({"epochs": EPOCHS / 4}, "whole numbers"),
        ({"orbits": np.zeros((41, 400))}, r"orbits has shape \(41, 400\)"),
        ({"panels": None}, "panels is None; give a name for each of the 3"),
        ({"panels": ["a", "b"]}, "give a name for each of the 3"),
        ({"words": ["fixed point"] * 41}, r"words has shape \(41,\)"),
        ({"labels": ("epoch",)}, "labels is .*; give two"),
        ({"points": 1}, "points is 1"),
        ({"history": {"mse": ([1, 2], [0.1])}}, r"history\['mse'\] has values of shape \(1,\)"),
        ({"history": {"mse": ([2, 1], [0, 1])}}, r"history\['mse'\]\[0\] is \[2, 1\]"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, message):
    arguments = {"epochs": EPOCHS, "orbits": family(), "panels": ["a", "b", "c"], **changes}
    with pytest.raises(ValueError, match=message):
        EpochSlider(arguments.pop("epochs"), arguments.pop("orbits"), **arguments)


def test_a_training_curve_has_gaps_where_it_has_no_logarithm():
    curves = drawn({"loss": (range(5), [1, 0.01, np.nan, 0, np.inf])}, log=True)
    assert curves["lines"][0]["heights"] == [0, -2, None, None, None]
    assert [text for _, text in curves["ticks"]] == ["0.01", "0.1", "1"]
    assert curves["axis"][0] < -2 and curves["axis"][1] > 0
    assert drawn({"loss": ([0, 1], [3, np.nan])}, log=False)["lines"][0]["heights"] == [3, None]
    narrow = drawn({"perplexity": ([0, 1], [110, 390])}, log=True)
    assert len(narrow["ticks"]) > 1  # with one power of ten at most, other round numbers


# --- the page ---


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    explorer.write_page(site, [slider(epoch=300)])
    return site


@pytest.fixture
def visit(browser, site):
    """Opens a page, and fails if anything went wrong on it or it asked for anything elsewhere."""
    contexts = []

    def visit(url=None, **options):
        url = url or (site / "page.html").as_uri()
        contexts.append(
            browser.new_context(**{"viewport": {"width": 800, "height": 900}, **options})
        )
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.complaints = book.complaints(page, url.rpartition("/")[0] + "/")
        page.goto(url)
        page.wait_for_selector(READY)
        explorer.drawn(page)
        return page

    yield visit
    found = [fault for context in contexts for page in context.pages for fault in page.complaints]
    for context in contexts:
        context.close()
    assert found == []


def text(page, name="where"):
    explorer.drawn(page)
    return explorer.text(page, name)


def slide(page, epoch):
    page.fill("[data-ref=epoch]", str(list(EPOCHS).index(epoch)))
    explorer.drawn(page)


def coloured(page, canvas):
    """The box around what is not grey on a canvas: left, top, right, bottom; null for nothing."""
    return page.eval_on_selector(
        canvas,
        """(c) => {
      const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height), at = [[], []];
      for (let k = 0; k < data.length; k += 4) {
        const rgb = data.slice(k, k + 3);
        if (data[k + 3] < 200 || Math.max(...rgb) - Math.min(...rgb) < 60) continue;
        at[0].push(k / 4 % c.width);
        at[1].push(k / 4 / c.width | 0);
      }
      const end = (of) => at.map((v) => v.reduce((a, b) => of(a, b)));
      return at[0].length ? [...end(Math.min), ...end(Math.max)] : null;
    }""",
    )


def test_the_numbers_of_the_page_are_those_of_python(visit):
    numbers = quantise(family()[..., -100:].swapaxes(0, 1))[0]
    there = visit().evaluate("""async () => {
      const tag = document.querySelector('script[type$="widget-state+json"]');
      const models = Object.values(JSON.parse(tag.textContent).state);
      const { state } = models.find((model) => model.state._esm);
      const module = new Blob([state._esm], { type: "text/javascript" });
      const { unpack, joined } = await import(URL.createObjectURL(module));
      return [...joined(await unpack(state._orbits), 100)];
    }""")
    np.testing.assert_array_equal(there, numbers.ravel())


@pytest.mark.parametrize("base", ["server", "file"])
def test_the_slider_draws_without_kernel_and_network(visit, site, base):
    if base == "file":
        page = visit()
    else:
        with book.served(site.parent) as url:
            page = visit(f"{url}{site.name}/page.html")
    assert text(page) == "epoch 300" and text(page, "word") == "oscillation, period 28.8 steps"
    inked = page.eval_on_selector_all(
        "[data-panel] canvas",
        """all => all.map((c) => c.getContext("2d").getImageData(0, 0, c.width, c.height).data)
        .map((data) => data.filter((v, k) => k % 4 === 3 && v).length)""",
    )
    assert len(inked) == 5 and min(inked) > 500


def test_mouse_keyboard_and_touch_move_the_epoch(visit):
    page = visit(has_touch=True)
    control = page.locator("[data-ref=epoch]")
    box = control.bounding_box()
    left, width, middle = box["x"] + 8, (box["width"] - 16) / 400, box["y"] + box["height"] / 2
    page.mouse.move(left + 300 * width, middle)
    page.mouse.down()
    page.mouse.move(left + 100 * width, middle, steps=5)
    page.mouse.up()
    assert text(page) == "epoch 100" and text(page, "word") == "fixed point"
    control.press("ArrowRight")
    assert text(page) == "epoch 110"
    page.touchscreen.tap(left + 250 * width, middle)
    assert text(page) == "epoch 250" and text(page, "word").startswith("oscillation")
    control.press("Home")
    assert text(page) == "epoch 0"
    control.press("End")
    assert text(page) == "epoch 400"


def test_a_click_or_a_drag_on_the_diagram_or_the_curve_moves_the_epoch(visit):
    page = visit(has_touch=True)
    for panel in ("map", "curve"):
        box = page.locator(f"[data-panel={panel}] .ce-plot").bounding_box()
        left, width, middle = box["x"], box["width"] / 400, box["y"] + box["height"] / 2
        page.mouse.click(left + 101 * width, middle)
        assert text(page) == "epoch 100"
        page.mouse.down()
        page.mouse.move(left + 352 * width, middle, steps=4)
        assert text(page) == "epoch 350"
        page.mouse.up()
        page.mouse.move(left + 20 * width, middle)
        assert text(page) == "epoch 350"
        page.touchscreen.tap(left + 222 * width, middle)
        assert text(page) == "epoch 220"


def test_the_circle_has_the_radius_of_its_normal_form(visit):
    page = visit()
    axis = 1.12 * 2 * radius(400)  # with the margins
    for epoch in (100, 200, 210, 300, 400):
        slide(page, epoch)
        numbers = [w for w in text(page, "range").split() if w[-1].isdigit()]
        assert len(numbers) == (1 if epoch < BIRTH else 2)
        assert float(numbers[-1]) == pytest.approx(radius(epoch), abs=0.006)  # two digits
        assert float(numbers[0]) == pytest.approx(-radius(epoch), abs=0.006)
        # The strip of this epoch's values on the orbit diagram, whose lines are two pixels wide
        _, top, _, bottom = coloured(page, "[data-ref=now]")
        unit = axis / page.eval_on_selector("[data-ref=now]", "(c) => c.height")
        assert (bottom - top) * unit / 2 == pytest.approx(radius(epoch), abs=3 * unit)


def test_a_fixed_point_is_a_dot_and_an_oscillation_a_loop(visit):
    page = visit()
    size = page.eval_on_selector("[data-panel=portrait] canvas", "(c) => [c.width, c.height]")
    slide(page, 100)
    left, top, right, bottom = coloured(page, "[data-panel=portrait] canvas")
    assert 6 < right - left < 24 and 6 < bottom - top < 24
    assert abs((left + right) / 2 - size[0] / 2) < 3 and abs((top + bottom) / 2 - size[1] / 2) < 3
    slide(page, 400)
    left, top, right, bottom = coloured(page, "[data-panel=portrait] canvas")
    assert right - left > 0.8 * size[0] and bottom - top > 0.8 * size[1]


def test_what_depends_on_the_epoch_moves_and_the_diagram_stands_still(visit):
    page = visit()
    look = """(() => {
      const ref = (name) => document.querySelector(`[data-ref=${name}]`);
      return [...document.querySelectorAll("[data-panel] canvas")].map((c) => c.toDataURL())
        .concat(["marker", "mark", "dot", "now"].map((name) => ref(name).style.transform))
        .concat(["where", "word", "range", "keys"].map((name) => ref(name).textContent));
    })()"""
    before = page.evaluate(look)
    slide(page, 100)
    changed = [a != b for a, b in zip(before, page.evaluate(look), strict=True)]
    assert changed == [False, False, *[True] * 11]
    assert text(page, "keys") == "training 0.5test 0.1"


def test_a_panel_is_chosen_by_its_name(visit):
    page = visit()
    page.select_option("[data-ref=panel]", label="a < b")
    assert text(page, "word") == "2 fixed points" and text(page, "range") == "y from -0.50 to 0.50"
    page.select_option("[data-ref=panel]", label="lost")
    assert text(page, "word") == "fixed point + 1 of 3 diverged"
    assert text(page, "range") == "y = 0.300"


def test_one_panel_needs_no_choice_and_no_history_no_curve(visit, tmp_path):
    plain = EpochSlider([1, 2, 4], np.ones((3, 1, 2, 30)) * np.nan, labels=("pass", "<x>"))
    page = visit(explorer.write_page(tmp_path, [plain]).as_uri())
    assert text(page) == "pass 4" and text(page, "word") == "diverged" and not text(page, "range")
    assert not page.is_visible("[data-ref=panel]") and not page.is_visible("[data-panel=curve]")
    assert "<x>" in page.inner_text("[data-panel=map] .ce-title")


def test_the_thumb_stands_below_the_marker_at_uneven_epochs_too(visit, tmp_path):
    epochs = [0, 1, 2, 4, 8, 16, 32, 64]
    uneven = EpochSlider(epochs, np.ones((8, 1, 2, 30)), epoch=4)
    page = visit(explorer.write_page(tmp_path, [uneven]).as_uri())
    for _ in range(2):
        page.locator("[data-ref=epoch]").press("ArrowRight")
    assert text(page) == "epoch 16"
    box = page.locator("[data-panel=map] .ce-plot").bounding_box()
    marker = page.locator("[data-ref=marker]").bounding_box()
    assert (marker["x"] - box["x"]) / box["width"] == pytest.approx(5 / 7, abs=0.005)
    tick = page.locator("[data-panel=map] .ce-x span:text-is('20')").get_attribute("style")
    assert float(tick.split()[1].strip("%;")) == pytest.approx(100 * 5.25 / 7)


def test_a_screen_reader_hears_names_epochs_and_words(visit):
    page = visit()
    slide(page, 100)
    assert page.get_attribute("[data-ref=epoch]", "aria-valuetext") == "100, fixed point"
    page.wait_for_selector("[role=status]:text-is('epoch 100: fixed point')", state="attached")
    names = page.eval_on_selector_all(
        "canvas:not([aria-hidden]), input, button, select",
        "all => all.map((e) => e.ariaLabel || e.textContent)",
    )
    assert len(names) == 7 and all(name.strip() for name in names)


@pytest.mark.parametrize("motion", ["no-preference", "reduce"])
def test_play_goes_through_the_epochs_and_stops_at_the_last(visit, motion):
    page = visit(reduced_motion=motion)
    slide(page, 390)
    page.wait_for_timeout(100)
    assert text(page) == "epoch 390"  # nothing moves before it is asked to
    page.click("[data-ref=play]")
    page.wait_for_selector("[data-ref=where]:text-is('epoch 400')")
    assert page.get_attribute("[data-ref=play]", "aria-label").startswith("play along epoch")
    page.click("[data-ref=play]")
    page.wait_for_selector("[data-ref=where]:not(:text-is('epoch 400'))")
    page.click("[data-ref=play]")
    stopped = text(page)
    page.wait_for_timeout(1100 if motion == "reduce" else 300)
    assert text(page) == stopped


def test_dark_mode_changes_inks_at_once(visit):
    page = visit()
    ink = """(() => {
      const c = document.querySelector("[data-panel=map] canvas");
      const { data } = c.getContext("2d").getImageData(0, 0, 1, c.height);
      return [0, 1, 2].map((k) => Math.max(...data.filter((_, j) => j % 4 === k)));
    })()"""
    assert page.evaluate(ink) == [59, 67, 80]
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_selector(".ce-dark")
    assert page.evaluate(ink) == [185, 195, 207]


def test_the_slider_fits_a_phone(visit):
    phone = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2}
    page = visit(is_mobile=True, has_touch=True, **phone)
    for panel in range(3):
        page.select_option("[data-ref=panel]", index=panel)
        explorer.drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.eval_on_selector_all(
        "button, input, select",
        """all =>
      all.map((e) => e.getBoundingClientRect())
        .filter((r) => r.width && (r.width < 24 || r.height < 24)).length""",
    )
    assert small == 0


def test_two_views_share_one_slider(visit, tmp_path):
    shared = slider()
    path = explorer.write_page(tmp_path, [shared])
    view = explorer.VIEW.format(json.dumps(embed_data([shared])["view_specs"][0]))
    path.write_text(path.read_text().replace("</body>", view + "</body>"))
    page = visit(path.as_uri())
    page.locator("[data-ref=epoch]").first.press("Home")
    explorer.drawn(page)
    assert page.locator("[data-ref=where]").all_inner_texts() == ["epoch 0"] * 2
