// The view. Python joins it to panels.js. What depends on the epoch is drawn anew in every frame of
// a drag; the orbit diagram, and the portrait of all epochs, once for each panel and size.
const PASS = 15000; // milliseconds to play all epochs
const INKS = { curve: 3, start: 5 }; // colours of each kind

const ends = (values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [Infinity, -Infinity]);
const latest = (list, v) => list.findLastIndex((e) => e <= v);

async function render({ model, el }) {
  const { root, ref, panels, get, set } = mount(model, el, "epoch-slider");
  const { map, curve, portrait, series } = panels;
  const story = JSON.parse(new TextDecoder().decode(await unpack(get("_story"))));
  const { labels, epochs, words, ranges, axes, starts, steps, curves } = story, last = epochs.length - 1;
  const numbers = joined(await unpack(get("_orbits")), steps);
  let colours, ghost, frame, rest, at;

  const index = () => Math.max(0, latest(epochs, get("epoch")));
  const go = (k) => set({ epoch: epochs[Math.round(clip(k, [0, last]))] });
  const value = (n) => mix(ranges[get("panel")], n / TOP);
  const ink = (kind, k) => colours[kind][k % INKS[kind]];
  // The orbits of an epoch that have not diverged, each with the number of its start.
  const orbits = (k) => Array.from({ length: starts }, (_, s) => {
    const from = ((get("panel") * epochs.length + k) * starts + s) * steps;
    return [numbers.subarray(from, from + steps), s];
  }).filter(([orbit]) => orbit[0] <= TOP);
  // Where an epoch is on the axis, whose unit is from one stored epoch to the next.
  const along = (epoch) => {
    const k = clip(latest(epochs, epoch), [0, last - 1]);
    return k + part([epochs[k], epochs[k + 1]], epoch);
  };

  // --- drawn once ---

  function stage() {
    const { y, d } = axes[get("panel")];
    ref.panel.selectedIndex = get("panel");
    Object.assign(map, { x: [0, last], y });
    Object.assign(curve, { x: [0, last], y: curves.axis });
    Object.assign(portrait, { x: d, y });
    Object.assign(series, { x: [0, steps - 1], y });
    let free = 0;
    map.label(ticks([epochs[0], epochs[last]], map.width / 60).map(([e, text]) => [along(e), text])
      .filter(([k]) => map.px(k) >= free && (free = map.px(k) + 35)));
    curve.label([], curves.ticks);
    portrait.label(ticks(d, Math.max(4, portrait.width / 60)));
    series.label();
    drawDiagram();
    drawGhost();
    curve.clear();
    curves.lines.forEach(({ epochs: when, heights }, c) => {
      let path = [];
      when.forEach((e, k) => {
        if (heights[k] !== null) path.push([along(e), heights[k]]);
        if (heights[k] !== null && k + 1 < when.length) return;
        curve.trace(path, ink("curve", c));
        path = [];
      });
    });
    draw();
  }

  // A column for each epoch: its ink tells which share of the values is near.
  function drawDiagram() {
    const { width, height } = map.canvas, { scale } = map, line = Math.round(1.5 * scale);
    const image = map.pen.createImageData(width, height), out = new Uint32Array(image.data.buffer);
    for (let k = 0; k <= last; k++) {
      const [from, to] = [k - 0.5, k + 0.5].map((x) => clip(Math.round(map.px(x) * scale), [0, width]));
      const rows = orbits(k).flatMap(([orbit]) => Array.from(orbit, (n) => map.py(value(n)) * scale | 0));
      const [top, bottom] = ends(rows), filled = new Set(rows).size > 0.4 * (bottom - top);
      const thick = filled ? clip(bottom - top, [line, 3 * line]) : line; // lines stay sharp
      const counts = new Uint32Array(height);
      for (const row of rows) for (let j = 0; j < thick; j++) counts[row - (thick >> 1) + j]++;
      counts.forEach((count, row) => {
        const colour = rgba(colours.ink, 1 - Math.exp(-0.8 * count / rows.length * height / thick));
        if (count) out.fill(colour, row * width + from, row * width + Math.max(from + 1, to));
      });
    }
    map.pen.putImageData(image, 0, 0);
  }

  function drawGhost() {
    const { width, height } = portrait.canvas, { scale, pen } = portrait;
    const image = pen.createImageData(width, height), out = new Uint32Array(image.data.buffer);
    const counts = new Uint32Array(out.length);
    for (let k = 0; k <= last; k++) for (const [orbit] of orbits(k)) for (let t = 1; t < steps; t++) {
      const y = value(orbit[t]), x = portrait.px(y - value(orbit[t - 1])) * scale | 0;
      counts[(portrait.py(y) * scale | 0) * width + x]++;
    }
    counts.forEach((count, i) => count && (out[i] = rgba(colours.ink, 0.7 - 0.6 * 0.9 ** count)));
    ghost = portrait.canvas.cloneNode();
    ghost.getContext("2d").putImageData(image, 0, 0);
  }

  // --- drawn for each epoch ---

  const schedule = () => (frame ??= requestAnimationFrame(draw));

  function draw() {
    frame = undefined;
    if (!map.width) return; // in a closed tab or fold; ResizeObserver tells when it opens
    const k = index(), word = words[k][get("panel")], alive = orbits(k);
    const { pen, scale } = portrait, now = ref.now.getContext("2d"), strip = 12 * scale;
    Object.assign(ref.now, { width: strip, height: map.canvas.height });
    portrait.clear();
    pen.drawImage(ghost, 0, 0);
    series.clear();
    for (const [orbit, s] of alive) {
      const y = Array.from(orbit, value), [low, high] = ends(orbit), still = high - low < TOP / 500;
      const points = new Map(y.slice(1).map((_, t) => [orbit.slice(t, t + 2).join(), t + 1])); // each once
      // Few must be larger to be seen, and starts that share them are rings around each other
      const few = still || points.size < steps / 2;
      const size = scale * (few ? (still ? 4.5 : 2.5) * (2 - (s + 1) / starts) : 1.5);
      series.trace(y.map((v, t) => [t, v]), ink("start", s));
      pen.fillStyle = now.fillStyle = `rgb(${ink("start", s)})`;
      for (const t of points.values()) {
        pen.beginPath();
        pen.arc(portrait.px(y[t] - y[t - 1]) * scale, portrait.py(y[t]) * scale, size, 0, 7);
        pen.fill();
        now.fillRect(strip * s / starts, (map.py(y[t]) - 1.5) * scale, strip / starts, 3 * scale);
      }
    }
    for (const marker of [ref.marker, ref.now, ref.mark]) move(marker, map.px(k), 0);
    curves.lines.forEach(({ name, epochs: when, heights }, c) => {
      const height = heights[latest(when, epochs[k])], known = height != null;
      write(ref.keys.children[c], `${name} ${known ? +(curves.log ? 10 ** height : height).toPrecision(3) : "–"}`);
      if (c) return;
      ref.dot.hidden = !known;
      if (known) move(ref.dot, curve.px(k), curve.py(height));
    });

    const digits = clip(2 - Math.floor(Math.log10(wide(map.y))), [0, 9]);
    const [low, high] = ends(alive.flatMap(([orbit]) => [...orbit])).map((n) => value(n).toFixed(digits).replace("-", "−"));
    write(ref.where, `${labels[0]} ${epochs[k]}`);
    write(ref.word, word);
    write(ref.range, !alive.length ? "" : `${labels[1]} ${low === high ? `= ${low}` : `from ${low} to ${high}`}`);
    ref.epoch.value = k;
    ref.epoch.ariaValueText = `${epochs[k]}, ${word}`;
    clearTimeout(rest);
    rest = setTimeout(() => write(ref.status, `${ref.where.textContent}: ${word}`), 300);
  }

  // --- size, colours, hands ---

  function dress(colour) {
    colours = { ink: colour("ink") };
    for (const kind in INKS) colours[kind] = Array.from({ length: INKS[kind] }, (_, k) => colour(kind + k));
    if (map.width) stage();
  }

  function fit() {
    const changed = Object.values(panels).map((panel) => panel.fit());
    if (map.width && changed.includes(true)) stage();
  }

  const play = player(ref.play, labels[0], (passed) => {
    const k = index();
    if (k === last) at = 0;
    else if (k !== Math.round(at)) at = k; // moved by hand
    at += last * passed / PASS;
    go(at);
    if (index() === last) play(false);
  });
  for (const panel of [map, curve]) {
    const pick = (event) => go(panel.at(panel.place(event))[0]);
    on(panel.plot, "pointerdown", (event) => {
      if (event.button) return;
      play(false);
      panel.plot.setPointerCapture(event.pointerId);
      pick(event);
    });
    on(panel.plot, "pointermove", (event) => panel.plot.hasPointerCapture(event.pointerId) && pick(event));
  }
  on(ref.epoch, "input", () => go(+ref.epoch.value));
  on(ref.epoch, "pointerdown keydown", () => play(false));
  on(ref.panel, "change", () => set({ panel: ref.panel.selectedIndex }));

  const unwatch = watch(model, root, dress, fit, { epoch: schedule, panel: () => map.width && stage() });
  return () => {
    map.width = 0; // so that what is still due does nothing
    unwatch();
    play(false);
  };
}

export default { render };
