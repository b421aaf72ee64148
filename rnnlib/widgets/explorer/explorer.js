// The view. Python joins it to panels.js and dynamics.js: a module in a Blob URL can import nothing.
const FINEST = { x: 1e-9, y: 1e-5 }; // the narrowest view of the map
const SHOWN = 160, NUDGE = 1e-6, APART = 0.05; // of the time series and its second orbit
const MOVING = 6, RESTING = 2000; // blocks of 100 steps, for portrait and exponent
const FACTORS = ["s", "s2"];
const VIRIDIS = ["#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#fde725"];

// The cost's colours; the square root shows more of the low costs.
const viridis = Array.from({ length: 256 }, (_, n) => {
  const place = Math.min(4.999, 5 * Math.sqrt(n / 255)), k = Math.floor(place), next = hex(VIRIDIS[k + 1]);
  return rgba(hex(VIRIDIS[k]).map((c, j) => mix([c, next[j]], place - k)), 1);
});

function render({ model, el }) {
  const { root, ref, panels, get, set } = mount(model, el, "chaos-explorer");
  const { map, curve, portrait, series } = panels;
  const planar = () => get("mode") === "plane";
  const point = () => [get("s"), planar() ? get("s2") : 0];
  const zoomed = () => ["x", "y"].some((axis) => map[axis] !== full[get("mode")][axis]);
  const exact = (name) => get(name).toFixed(ref[name].digits);
  const tone = (chaos) => (chaos ? colours.chaos : colours.calm);

  let targets, full, views, colours, job, got, image, path;
  let dots, pixels, count, frame, rest, later, worker;

  // --- what depends on the weights ---

  function survey() {
    const { h1, h2, late, cost } = get("axes"), s = get("s_range");
    targets = data(get("theta"));
    Object.assign(portrait, { x: h1, y: h2 });
    Object.assign(series, { x: [0, SHOWN], y: h1 });
    curve.y = [0, cost];
    full = { line: { x: s, y: late }, plane: { x: [0, s[1]], y: get("s2_range") } };
    views = { ...full };
  }

  // --- the map: computed elsewhere, column by column ---

  function receive({ id, columns, done }) {
    if (id !== job?.id) return;
    for (const column of columns) paint((got[column.i] = column));
    show();
    if (done) root.dataset.computed = JSON.stringify(job, ["mode", "x", "y", "width"]);
  }

  const slices = serve(receive, 4); // where a worker cannot be had: they leave most of a frame's time
  let compute = slices;
  try {
    const text = `const go = (${dynamics})().serve((m) => postMessage(m), 80); onmessage = (e) => go(e.data)`;
    worker = new Worker(URL.createObjectURL(new Blob([text], { type: "text/javascript" })));
    worker.onmessage = (event) => receive(event.data);
    worker.onerror = () => { compute = slices; request(); };
    compute = (next) => worker.postMessage(next);
  } catch { /* the slices do it */ }

  function request() {
    if (!map.width) return;
    const mode = get("mode"), { width, height } = map.canvas, cell = planar() ? 2 : 1; // a cost is 200 steps
    const zoom = wide(full[mode].y) / wide(map.y);
    job = {
      id: Math.random(), mode, cell, first: get("theta"), second: get("direction"), targets, x0: get("x0"), x: map.x, y: map.y,
      width: Math.ceil(width / cell), height: Math.ceil(height / cell),
      burnIn: zoomed() ? 1500 : 300, steps: Math.round(400 * clip(zoom, [1, 8])),
    };
    got = [];
    image = map.pen.getImageData(0, 0, width, height);
    delete root.dataset.computed;
    compute(job);
  }

  // One column into the image, as wide as it stands for.
  function paint({ i, stride, values, chaos }) {
    const { width, height } = image, out = new Uint32Array(image.data.buffer), { cell } = job;
    const total = values.reduce((a, b) => a + b, 0), ink = tone(chaos);
    for (let row = 0; row < height; row++) {
      const value = values[row / cell | 0];
      const colour = planar() ? viridis[255 * Math.min(1, value / curve.y[1]) | 0]
        : value && rgba(ink, 1 - Math.exp(-0.8 * value / total * height));
      out.fill(colour, row * width + i * cell, row * width + Math.min(width, (i + stride) * cell));
    }
  }

  function show() {
    map.pen.putImageData(image, 0, 0);
    if (planar()) return;
    const { pen, scale } = curve;
    let last;
    curve.clear();
    got.forEach(({ low, high, chaos }, i) => { // a bar: its range of costs, joined to the last one
      const [top, bottom] = [Math.max(high, last ?? 0), Math.min(low, last ?? low)].map((v) => curve.py(v) * scale);
      pen.fillStyle = `rgb(${tone(chaos)})`;
      pen.fillRect(i, top - scale / 2, 1, bottom - top + scale);
      last = high;
    });
  }

  // Turns the map to a view. The picture there is, stretched, stands in for the one to come.
  function look(next) {
    const whole = full[get("mode")], old = { ...map }, view = { ...whole };
    for (const axis of ["x", "y"]) {
      const all = whole[axis], width = clip(wide(next[axis]), [FINEST[axis], wide(all)]);
      const low = clip(mix(next[axis], 0.5) - width / 2, [all[0], all[1] - width]);
      if (width < wide(all)) view[axis] = [low, low + width];
    }
    views[get("mode")] = view;
    const copy = map.canvas.cloneNode();
    copy.getContext("2d").drawImage(map.canvas, 0, 0);
    turn();
    const [left, right] = old.x.map((v) => map.px(v) * map.scale), [low, high] = old.y.map((v) => map.py(v) * map.scale);
    map.pen.clearRect(0, 0, copy.width, copy.height);
    map.pen.drawImage(copy, left, high, right - left, low - high);
    request();
    const [s, s2] = point();
    if (zoomed()) set({ s: clip(s, map.x), ...(planar() && { s2: clip(s2, map.y) }) });
  }

  // Axes and sliders take on the view: the slider is the map's own axis.
  function turn() {
    Object.assign(map, views[get("mode")]);
    curve.x = map.x;
    for (const [slider, range] of [[ref.s, map.x], [ref.s2, views.plane.y]]) {
      slider.digits = Math.max(3, Math.ceil(-Math.log10(wide(range) / 1000)));
      const unit = 10 ** slider.digits;
      Object.assign(slider, { min: Math.ceil(range[0] * unit - 1e-3) / unit, max: Math.floor(range[1] * unit + 1e-3) / unit, step: 1 / unit });
    }
    for (const button of root.querySelectorAll("[data-zoom]"))
      button.disabled = button.dataset.zoom > 1 && !zoomed();
    map.label();
    curve.label();
    schedule();
  }

  // The view scaled so that the point `centre` comes to the fractions [fx, fy] of the picture.
  function zoom(view, factor, centre, [fx, fy]) {
    const about = (range, c, f, width = factor * wide(range)) => [c - f * width, c + (1 - f) * width];
    look({ x: about(view.x, centre[0], fx), y: about(view.y, centre[1], fy) });
  }

  // --- what depends on the parameters: drawn anew in every frame of a drag ---

  const schedule = () => (frame ??= requestAnimationFrame(draw));

  function draw() {
    frame = undefined;
    if (!map.width) return; // in a closed tab or fold; ResizeObserver tells when it opens
    const [s, s2] = point(), x0 = get("x0");
    const outside = s !== clip(s, map.x) || (planar() && s2 !== clip(s2, map.y));
    if (outside && zoomed()) look(full[get("mode")]); // Python may set s anywhere

    const w = weights(get("theta"), get("direction"), s, s2), value = cost(w, x0.slice(), targets);
    const h = simulate(w, x0, SHOWN + 1), near = simulate(w, [x0[0] + NUDGE, ...x0.slice(1)], SHOWN + 1);
    path = follow(w, x0, 300);
    path.w = w;
    path.way = [x0, ...Array.from({ length: 20 }, (_, t) => h.subarray(2 * t))];
    count = 0;
    dots.fill(0);
    path.run(MOVING, plot);
    drawPortrait();
    series.clear();
    for (const [orbit, colour] of [[near, colours.near], [h, ink()]])
      series.trace(Array.from({ length: SHOWN + 1 }, (_, t) => [t, orbit[2 * t]]), colour);
    move(ref.marker, map.px(s), planar() ? map.py(s2) : 0);
    move(ref.dot, curve.px(s), curve.py(clip(value, curve.y)));
    move(ref.start, portrait.px(x0[0]), portrait.py(x0[1]));

    for (const name of FACTORS) if (+ref[name].value !== get(name)) ref[name].value = get(name);
    write(ref.where, planar() ? `s₁ = ${exact("s")}, s₂ = ${exact("s2")}` : `s = ${exact("s")}`);
    write(ref.cost, value ? value.toPrecision(2) : "0");
    let t = 0;
    while (t <= SHOWN && Math.abs(h[2 * t] - near[2 * t]) < APART) t++;
    write(ref.parting, t > SHOWN ? "stays beside it" : `is ${APART} away after ${t + 1} steps`);
    ref.start.ariaValueText = `h1 ${x0[0]}, h2 ${x0[1]}`;
    report();
    clearTimeout(rest);
    rest = setTimeout(refine, 150);
  }

  const ink = () => tone(path.word === "chaos");

  function report() {
    root.classList.toggle("ce-chaotic", path.word === "chaos");
    write(ref.word, path.word);
    write(ref.exponent, path.exponent.toFixed(path.error < 0.002 ? 3 : 2).replace("-", "−"));
    for (const name of FACTORS) ref[name].ariaValueText = `${exact(name)}, ${path.word}`;
  }

  // At rest the orbit is followed further: the portrait fills, the exponent sharpens.
  function refine() {
    const until = performance.now() + 5, more = () => !path.period && path.blocks < RESTING;
    while (more() && performance.now() < until) path.run(10, plot);
    drawPortrait();
    report();
    if (more()) return (rest = setTimeout(refine, 16));
    write(ref.status, `${path.word}, largest exponent ${path.exponent.toFixed(2)}`);
    map.canvas.ariaLabel = `${ref.title.textContent}, from ${map.x.join(" to ")}, marker at ${ref.where.textContent}`;
  }

  function plot(h1, h2) {
    const { width, height } = pixels, { scale } = portrait;
    const i = portrait.px(h1) * scale | 0, j = portrait.py(h2) * scale | 0, k = j * width + i;
    if (i < 1 || j < 1 || i >= width || j >= height) return;
    dots[k]++;
    if (++count < 1000) dots[k - 1] = dots[k - width] = 1; // so few must be larger to be seen
  }

  function drawPortrait() {
    const out = new Uint32Array(pixels.data.buffer), faint = Math.min(0.9, 30 / Math.sqrt(count));
    const shades = Uint32Array.from({ length: 256 }, (_, n) => n && rgba(ink(), 1 - (1 - faint) ** n));
    for (let k = 0; k < out.length; k++) out[k] = dots[k] && shades[Math.min(255, dots[k])];
    const { pen, scale } = portrait;
    pen.putImageData(pixels, 0, 0);
    pen.globalAlpha = 0.3;
    portrait.trace(path.way, colours.near);
    pen.globalAlpha = 1;
    pen.fillStyle = `rgb(${ink()})`;
    const cycle = simulate(path.w, path.x, path.period);
    for (let k = 0; k < cycle.length; k += 2) {
      pen.beginPath();
      pen.arc(portrait.px(cycle[k]) * scale, portrait.py(cycle[k + 1]) * scale, 3.5 * scale, 0, 7);
      pen.fill();
    }
  }

  // --- size and colours ---

  function dress(colour) {
    colours = {};
    for (const name of ["calm", "chaos", "near"]) colours[name] = colour(name);
    if (!image) return;
    got.forEach(paint);
    show();
    draw();
  }

  function fit() {
    const changed = Object.values(panels).map((panel) => panel.fit());
    if (!map.width || !changed.includes(true)) return;
    pixels = portrait.pen.createImageData(portrait.canvas.width, portrait.canvas.height);
    dots = new Uint32Array(pixels.width * pixels.height);
    portrait.label();
    series.label();
    turn();
    request();
    draw();
  }

  function arrange() {
    root.dataset.mode = get("mode");
    for (const button of root.querySelectorAll("button[data-mode]")) button.ariaPressed = button.dataset.mode === get("mode");
    write(ref.title, planar() ? "cost over s₁ and s₂" : "orbit diagram, h₁ over s");
    fit();
    turn();
    map.clear();
    request();
  }

  // --- hands ---

  const play = player(ref.play, "s", (passed) => {
    const s = get("s") + wide(map.x) * passed / 25000;
    set({ s: s > map.x[1] ? map.x[0] : s });
  });

  function pick(at) {
    const [x, y] = map.at(at);
    set({ s: +x.toFixed(ref.s.digits), ...(planar() && { s2: +y.toFixed(ref.s2.digits) }) });
  }

  // On the map: drag the marker, or a range to zoom into; tap to pick; two fingers zoom and pan.
  const fingers = new Map();
  let gesture;
  const spread = () => {
    const [[ax, ay], [bx, by]] = [...fingers.values()];
    return { middle: [(ax + bx) / 2, (ay + by) / 2], size: Math.hypot(ax - bx, ay - by) || 1 };
  };
  const parts = ([x, y]) => [x / map.width, 1 - y / map.height];

  on(map.plot, "pointerdown", (event) => {
    if (event.button) return;
    play(false);
    const at = map.place(event), [s, s2] = point();
    fingers.set(event.pointerId, at);
    map.plot.setPointerCapture(event.pointerId);
    const far = Math.hypot(at[0] - map.px(s), planar() ? at[1] - map.py(s2) : 0);
    if (fingers.size === 2) gesture = { ...spread(), centre: map.at(spread().middle), view: { x: map.x, y: map.y } };
    else gesture = far < 16 ? { pick: true } : { from: at };
  });
  on(map.plot, "pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    const at = map.place(event), { from, view, size, centre } = gesture;
    fingers.set(event.pointerId, at);
    if (gesture.pick) pick(at);
    else if (view && fingers.size === 2) zoom(view, size / spread().size, centre, parts(spread().middle));
    if (!from) return;
    const flat = Math.abs(at[1] - from[1]) < 16; // such a box selects a range of s alone
    const [left, right] = [at[0], from[0]].sort((a, b) => a - b);
    const [top, bottom] = flat ? [0, map.height] : [at[1], from[1]].sort((a, b) => a - b);
    gesture.box = right - left > 8 && [[left, bottom], [right, top]];
    ref.box.style.inset = `${top}px ${map.width - right}px ${map.height - bottom}px ${left}px`;
    ref.box.hidden = false;
  });
  on(map.plot, "pointerup pointercancel", (event) => {
    if (!fingers.delete(event.pointerId)) return;
    const { from, box } = gesture;
    ref.box.hidden = true;
    if (!from || event.type === "pointercancel") return;
    if (!box) return pick(from);
    const [a, b] = box.map((corner) => map.at(corner));
    look({ x: [a[0], b[0]], y: [a[1], b[1]] });
  });
  on(map.plot, "wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // scrolls the page; a touchpad's pinch has Ctrl set
    event.preventDefault();
    const at = map.place(event);
    zoom(map, 1.01 ** clip(event.deltaY, [-40, 40]), map.at(at), parts(at));
  });

  // The start, c_0 = h_0: dragged, or moved by the arrow keys.
  function begin(h) {
    const x0 = [clip(h[0], portrait.x), clip(h[1], portrait.y)].map((v) => +v.toFixed(3));
    set({ x0: [...x0, ...x0] });
  }
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  on(ref.start, "pointerdown", (event) => ref.start.setPointerCapture(event.pointerId));
  on(ref.start, "pointermove", (event) => ref.start.hasPointerCapture(event.pointerId) && begin(portrait.at(portrait.place(event))));
  on(ref.start, "keydown", (event) => {
    if (!arrows[event.key]) return;
    event.preventDefault();
    begin(arrows[event.key].map((d, k) => get("x0")[k] + 0.01 * d));
  });

  for (const name of FACTORS) {
    on(ref[name], "input", () => set({ [name]: +ref[name].value }));
    on(ref[name], "pointerdown keydown", () => play(false));
  }
  on(root, "click", ({ target: { dataset, type } }) => {
    if (type === "button" && dataset.mode) set({ mode: dataset.mode });
    if (!dataset.zoom) return;
    const [s, s2] = point(), centre = [s, planar() ? s2 : mix(map.y, 0.5)];
    zoom(map, +dataset.zoom, centre, [part(map.x, s), part(map.y, centre[1])]);
  });

  // --- begin, follow the model, end ---

  const afresh = () => { survey(); arrange(); };
  const calls = {
    s: schedule, s2: schedule, mode: arrange, axes: afresh, direction: afresh,
    x0: () => { schedule(); clearTimeout(later); later = setTimeout(request, 200); }, // the map starts there too
  };
  survey();
  const unwatch = watch(model, root, dress, fit, calls);
  arrange();
  return () => {
    map.width = 0; // so that what is still due does nothing
    unwatch();
    play(false);
    worker?.terminate();
    job = undefined;
  };
}

export default { render };
