// What the widgets share. Python joins it to the script of each.
const hex = (text) => [1, 3, 5].map((k) => parseInt(text.slice(k, k + 2), 16));
const rgba = ([r, g, b], alpha) => ((alpha * 255) << 24 | b << 16 | g << 8 | r) >>> 0;
const mix = ([a, b], f) => a + f * (b - a);
const part = ([a, b], v) => (v - a) / (b - a);
const clip = (v, [low, high]) => Math.min(high, Math.max(low, v));
const wide = ([low, high]) => high - low;
const on = (target, names, act) => names.split(" ").forEach((name) => target.addEventListener(name, act));
const write = (el, text) => el.textContent === text || (el.textContent = text);
const move = (el, x, y) => (el.style.transform = `translate(${x.toFixed(1)}px, ${y.toFixed(1)}px)`);

// About `most` round numbers in a range, with the text of each.
function ticks([low, high], most) {
  const raw = (high - low) / Math.max(2, most), ten = 10 ** Math.floor(Math.log10(raw));
  const gap = ten * [1, 2, 5, 10].find((m) => m * ten >= raw), found = [];
  const digits = Math.max(0, -Math.floor(Math.log10(gap * 1.001)));
  for (let n = Math.ceil(low / gap - 1e-9); n <= high / gap + 1e-9; n++)
    found.push([n * gap, (n * gap).toFixed(digits)]);
  return found;
}

// A canvas that holds data alone: labels and markers are elements, which move without a redraw.
class Panel {
  constructor(root) {
    [, this.left, this.plot, this.below] = root.children;
    this.canvas = this.plot.firstChild;
    this.pen = this.canvas.getContext("2d", { willReadFrequently: true });
  }
  // Takes on the size of its box; true if that has changed.
  fit() {
    const { clientWidth: width, clientHeight: height } = this.plot, scale = Math.min(devicePixelRatio, 2);
    if (width === this.width && height === this.height && scale === this.scale) return false;
    Object.assign(this, { width, height, scale });
    Object.assign(this.canvas, { width: width * scale, height: height * scale });
    return true;
  }
  px(x) { return part(this.x, x) * this.width; }
  py(y) { return (1 - part(this.y, y)) * this.height; }
  at([px, py]) { return [mix(this.x, px / this.width), mix(this.y, 1 - py / this.height)]; }
  // Where on it a pointer is, in pixels.
  place({ clientX, clientY }) {
    const { left, top } = this.plot.getBoundingClientRect();
    return [clip(clientX - left, [0, this.width]), clip(clientY - top, [0, this.height])];
  }
  clear() { this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height); }
  label(x = ticks(this.x, this.width / 80), y = ticks(this.y, this.height / 45)) {
    const mark = (el, side, range, found) =>
      el.replaceChildren(...found.map(([value, text]) => {
        const tick = document.createElement("span");
        tick.textContent = text;
        tick.style[side] = `${100 * part(range, value)}%`;
        return tick;
      }));
    mark(this.below, "left", this.x, x);
    mark(this.left, "bottom", this.y, y);
  }
  // A path in device pixels through points of the panel.
  trace(points, colour) {
    const { pen, scale } = this;
    pen.lineWidth = 1.3 * scale;
    pen.lineJoin = "bevel";
    pen.strokeStyle = `rgb(${colour})`;
    pen.beginPath();
    for (const [x, y] of points) pen.lineTo(this.px(x) * scale, this.py(y) * scale);
    pen.stroke();
  }
}

// Makes the element of a widget. Returns it, what its HTML names with data-ref and data-panel, and
// how to get and set the model's traits; a kernel, if there is one, is told.
function mount(model, el, name) {
  const root = el.appendChild(document.createElement("div"));
  root.className = `rnn-widget ${name}`;
  root.innerHTML = model.get("_html");
  const named = (kind, make = (e) => e) => Object.fromEntries([...root.querySelectorAll(`[data-${kind}]`)].map((e) => [e.dataset[kind], make(e)]));
  const set = (values) => {
    for (const key in values) model.set(key, values[key]);
    model.save_changes();
  };
  return { root, ref: named("ref"), panels: named("panel", (e) => new Panel(e)), get: (key) => model.get(key), set };
}

// Calls `dress`, which may ask for colours, at once and when they change, `fit` when the size does,
// and `calls[trait]` when a trait of the model does. Returns what ends it.
function watch(model, root, dress, fit, calls) {
  // Book and JupyterLab each have their own switch; the colour of their text tells for both.
  const style = getComputedStyle(root), turn = () => {
    root.classList.toggle("ce-dark", style.color.match(/[\d.]+/g)[1] > 128);
    dress((name) => hex(style.getPropertyValue(`--ce-${name}`).trim()));
  };
  turn();
  const sizes = new ResizeObserver(fit), switches = new MutationObserver(turn);
  sizes.observe(root);
  switches.observe(document, { subtree: true, attributeFilter: ["data-theme", "data-jp-theme-light"] });
  for (const key in calls) model.on(`change:${key}`, calls[key]);
  return () => {
    for (const key in calls) model.off(`change:${key}`, calls[key]);
    sizes.disconnect();
    switches.disconnect();
  };
}

// Makes a button play and pause: `advance` is told every few milliseconds how many have passed, or,
// for who prefers less motion, once a second. Returns what starts (true) and stops it (false).
function player(button, name, advance) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let timer;
  const play = (go) => {
    const pace = calm.matches ? 1000 : 16;
    clearInterval(timer);
    timer = go && setInterval(advance, pace, pace);
    button.textContent = go ? "❚❚" : "▶";
    button.ariaLabel = go ? "pause" : `play along ${name}${calm.matches ? ", a step a second" : ""}`;
  };
  on(button, "click", () => play(!timer));
  play(false);
  return play;
}
