// The view. Python joins it to panels.js. Every set of curves is drawn when it is chosen.
const PASS = 12000; // milliseconds to play all values

async function render({ model, el }) {
  const { root, ref, panels, get, set } = mount(model, el, "curve-slider");
  const { map } = panels, story = JSON.parse(get("_story"));
  const { name, values, words, range, x, y, lines, points, levels } = story, last = values.length - 1;
  const numbers = joined(await unpack(get("_curves")), points);
  let colours, frame, rest, at;

  const go = (k) => set({ index: Math.round(clip(k, [0, last])) });
  const schedule = () => (frame ??= requestAnimationFrame(draw));

  function draw() {
    frame = undefined;
    if (!map.width) return; // in a closed tab or fold; ResizeObserver tells when it opens
    const k = get("index");
    map.clear();
    map.pen.setLineDash([5 * map.scale, 4 * map.scale]);
    for (const level of levels) map.trace([[x[0], level], [x[1], level]], colours.level);
    map.pen.setLineDash([]);
    for (let line = 0; line < lines; line++) {
      const from = (k * lines + line) * points;
      const path = Array.from({ length: points }, (_, i) =>
        [mix(x, i / (points - 1)), mix(range, numbers[from + i] / TOP)]);
      map.trace(path, colours.lines[line]);
    }
    write(ref.where, `${name} = ${values[k]}`);
    write(ref.word, words[k]);
    ref.index.value = k;
    ref.index.ariaValueText = `${values[k]}, ${words[k]}`;
    clearTimeout(rest);
    rest = setTimeout(() => write(ref.status, `${ref.where.textContent}: ${words[k]}`), 300);
  }

  function stage() {
    Object.assign(map, { x, y });
    map.label();
    draw();
  }

  function dress(colour) {
    colours = { level: colour("level"), lines: [0, 1, 2].map((k) => colour(`line${k}`)) };
    if (map.width) stage();
  }

  const play = player(ref.play, name, (passed) => {
    const k = get("index");
    if (k === last) at = 0;
    else if (k !== Math.round(at)) at = k; // moved by hand
    at += last * passed / PASS;
    go(at);
    if (get("index") === last) play(false);
  });
  on(ref.index, "input", () => go(+ref.index.value));
  on(ref.index, "pointerdown keydown", () => play(false));

  const unwatch = watch(model, root, dress, () => map.fit() && map.width && stage(), { index: schedule });
  return () => {
    map.width = 0; // so that what is still due does nothing
    unwatch();
    play(false);
  };
}

export default { render };
