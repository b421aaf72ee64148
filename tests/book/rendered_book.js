// What test_rendered_book.py asks of a page, from inside the page. Each answer is a list of faults.
window.book = (() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const name = (el) => el.outerHTML.slice(0, 200);

  // Maths and fonts arrive after the load event.
  async function settled() {
    await window.MathJax?.startup?.promise;
    await document.fonts.ready;
    // The host draws anywidgets asynchronously.
    while (document.querySelector("[data-anywidget=loading]")) await new Promise(requestAnimationFrame);
  }

  async function missing() {
    await settled();
    const view = 'script[type="application/vnd.jupyter.widget-view+json"]';
    const alive = ".live-only, [data-anywidget=ready]";
    const described = (el) => / /.test(el.alt.trim()) && !/\.(png|svg|gif|jpe?g)$/.test(el.alt);
    const faults = {
      "an image's text (mystnb: image: alt) does not say what it shows":
        all("article img").filter((el) => !described(el)),
      "an image is not loaded": all("article img").filter((el) => !el.naturalWidth),
      "maths is not typeset": all("article .math").filter((el) => !el.querySelector("mjx-container")),
      "maths has an error or an unknown macro, which MathJax prints in red":
        all('mjx-merror, [data-mjx-error], mjx-mtext[style*="color: red"]'),
      "a widget shows nothing": all(view).filter((el) => !el.nextElementSibling?.matches(alive)),
    };
    return Object.entries(faults).flatMap(([what, els]) => els.map((el) => `${what}: ${name(el)}`));
  }

  // Content beyond the screen's edge that no scrolling box holds, and figures too small to read.
  async function misfits(figure) {
    await settled();
    const scrolls = (el) =>
      el && (/auto|scroll/.test(getComputedStyle(el).overflowX) || scrolls(el.parentElement));
    const spills = (el) => el.getBoundingClientRect().right > innerWidth + 1 && !scrolls(el.parentElement);
    const small = (el) => el.offsetParent && el.getBoundingClientRect().width < figure;
    const outermost = (el, _, els) => !els.includes(el.parentElement);
    const faults = [
      ...all("article *").filter(spills).filter(outermost),
      ...all("article .cell_output img").filter(small),
    ];
    const page = document.documentElement.scrollWidth;
    return [...faults.map(name), ...(page > innerWidth ? [`the page is ${page} px wide`] : [])];
  }

  // Texts whose contrast (WCAG's ratio) with all the backgrounds behind them is below `least`.
  function faint(least) {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const luminance = (colours) => {
      for (const colour of ["white", ...colours]) {
        canvas.fillStyle = colour;
        canvas.fillRect(0, 0, 1, 1);
      }
      const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((c) => linear(c / 255));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (el) => (el ? [...behind(el.parentElement), getComputedStyle(el).backgroundColor] : []);
    const contrast = (el) => {
      const ground = behind(el);
      const pair = [luminance(ground), luminance([...ground, getComputedStyle(el).color])];
      return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    };
    return all("article :is(p, li, td, th, dt, dd, h1, h2, h3, a, code, pre, summary, figcaption)")
      .filter((el) => el.offsetParent && el.textContent.trim() && !el.matches(".headerlink"))
      .filter((el) => contrast(el) < least)
      .map((el) => `${contrast(el).toFixed(2)}: ${name(el)}`);
  }

  return { missing, misfits, faint };
})();
