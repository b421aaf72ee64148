// The two-unit LSTM, and all that is computed of it. One function: its text also starts a worker.
const dynamics = () => {
  const BURN_IN = 100, STEPS = 100; // of the cost
  const LONGEST = 64, TOLERANCE = 1e-6, BLOCK = 100; // LONGEST as in rnnlib.steady_state
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const tanh = (x) => 1 - 2 / (1 + Math.exp(2 * x)); // twice as fast as Math.tanh
  const half = () => new Float64Array(4).fill(0.5);

  // theta(s1, s2) = s1 first + s2 second, each torch's weight_hh_l0 row by row: i, f, g, o.
  const weights = (first, second, s1, s2) =>
    Float64Array.from(first, (w, k) => s1 * w + s2 * second[k]);

  // Takes x = (h1, h2, c1, c2) through (S17) and (S18) once and, if there is a tangent vector v,
  // carries it along. Returns the growth of v, whose length becomes 1 again.
  function step(w, x, v) {
    const h1 = x[0], h2 = x[1], v1 = v?.[0], v2 = v?.[1];
    for (let u = 0, k = 0; u < 2; u++, k += 2) {
      const i = sigmoid(w[k] * h1 + w[k + 1] * h2), f = sigmoid(w[k + 4] * h1 + w[k + 5] * h2);
      const g = tanh(w[k + 8] * h1 + w[k + 9] * h2), o = sigmoid(w[k + 12] * h1 + w[k + 13] * h2);
      const old = x[u + 2], c = f * old + i * g, y = tanh(c); // (S17)
      x[u] = o * y; // (S18)
      x[u + 2] = c;
      if (!v) continue;
      const dc = v[u + 2] = f * v[u + 2]
        + i * (1 - i) * (w[k] * v1 + w[k + 1] * v2) * g
        + f * (1 - f) * (w[k + 4] * v1 + w[k + 5] * v2) * old
        + i * (1 - g * g) * (w[k + 8] * v1 + w[k + 9] * v2);
      v[u] = o * (1 - o) * (w[k + 12] * v1 + w[k + 13] * v2) * y + o * (1 - y * y) * dc;
    }
    if (!v) return;
    const size = Math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2] + v[3] * v[3]) || 1e-300;
    for (let k = 0; k < 4; k++) v[k] /= size;
    return size;
  }

  // The outputs (h1, h2) of the first steps, one pair after the other.
  function simulate(w, x0, steps) {
    const x = Float64Array.from(x0), h = new Float64Array(2 * steps);
    for (let t = 0; t < 2 * steps; t += 2) {
      step(w, x);
      h[t] = x[0];
      h[t + 1] = x[1];
    }
    return h;
  }

  // Where an orbit ends. The more blocks of steps are run, the sharper is the exponent.
  function follow(w, x0, burnIn) {
    const x = Float64Array.from(x0), v = half();
    const found = { x, blocks: 0, exponent: 0 };
    let squares = 0;
    for (let t = 0; t < burnIn; t++) step(w, x, v);
    found.run = (blocks, visit) => {
      for (; blocks; blocks--) {
        let sum = 0;
        for (let t = 0; t < BLOCK; t++) {
          sum += Math.log(step(w, x, v));
          visit?.(x[0], x[1]);
        }
        const off = sum / BLOCK - found.exponent;
        found.exponent += off / ++found.blocks;
        squares += off * (sum / BLOCK - found.exponent);
      }
      found.error = Math.sqrt(squares / (found.blocks - 1) / found.blocks);
      const margin = Math.max(3 * found.error, 2 / BLOCK / found.blocks);
      const p = found.period = period(w, x);
      found.word = p === 1 ? "fixed point" : p ? `period ${p}`
        : found.exponent > margin ? "chaos"
        : found.exponent < -margin || margin > 0.01 ? "undecided" : "quasi-periodic";
      return found;
    };
    return found;
  }

  const exponent = (w, x0, steps, burnIn = 500) =>
    follow(w, x0, burnIn).run(steps / BLOCK).exponent;

  // The least period of the orbit from x, 0 if there is none up to LONGEST.
  function period(w, x) {
    const past = new Float64Array(8 * LONGEST), y = Float64Array.from(x);
    for (let t = 0; t < past.length; t += 4) {
      step(w, y);
      past.set(y, t);
    }
    const recurs = (p) => {
      for (let t = 4 * LONGEST; t < past.length; t++)
        if (!(Math.abs(past[t] - past[t - 4 * p]) < TOLERANCE * (1 + Math.abs(past[t])))) return false;
      return true;
    };
    for (let p = 1; p <= LONGEST; p++) if (recurs(p)) return p;
    return 0;
  }

  // Equation (2), with the mean-square error. x is left where the last step ends.
  function cost(w, x, targets) {
    let sum = 0;
    for (let t = 0; t < BURN_IN; t++) step(w, x);
    for (let t = 0; t < 2 * STEPS; t += 2) {
      step(w, x);
      sum += (x[0] - targets[t]) ** 2 + (x[1] - targets[t + 1]) ** 2;
    }
    return sum / (2 * STEPS);
  }

  // The data: the outputs of the weights themselves, from the usual start.
  const data = (w) => simulate(w, half(), BURN_IN + STEPS).subarray(2 * BURN_IN);

  // The columns of a map from coarse to fine: each stands for `stride` columns until finer ones
  // come. Yields nothing in between, so that its caller may pause.
  function* columns({ mode, first, second, x0, targets, x, y, width, height, burnIn, steps }) {
    const wide = (x[1] - x[0]) / width, high = (y[1] - y[0]) / height;

    // How often each row is visited, the range of the cost within the column, and whether chaos is.
    function* orbits(i) {
      const samples = 3, values = new Float32Array(height + 1), costs = [];
      let rate = 0;
      for (let k = 0; k < samples; k++) {
        let s = x[0] + (i + (k + 0.5) / samples) * wide;
        if (Math.abs(s - 1) <= wide / samples / 2) s = 1; // else the cost's needle slips through
        const w = weights(first, second, s, 0), state = Float64Array.from(x0), v = half();
        costs.push(cost(w, state, targets));
        for (let t = 0; t < burnIn; t++) step(w, state);
        for (let t = 0; t < steps; t++) {
          if (t < 400) rate += Math.log(step(w, state, v)) / 400 / samples;
          else step(w, state);
          const row = (y[1] - state[0]) / high - 0.5, above = Math.floor(row);
          if (above < 0 || above >= height) continue;
          values[above] += above + 1 - row; // shared by the two nearest rows
          values[above + 1] += row - above;
        }
        yield;
      }
      return { values, low: Math.min(...costs), high: Math.max(...costs), chaos: rate > 0.01 };
    }

    function* surface(i) {
      const values = new Float32Array(height);
      for (let j = 0; j < height; j++) {
        const w = weights(first, second, x[0] + (i + 0.5) * wide, y[1] - (j + 0.5) * high);
        values[j] = cost(w, Float64Array.from(x0), targets);
        if (j % 16 === 0) yield;
      }
      return { values };
    }

    for (let stride = 16; stride; stride >>= 1)
      for (let i = stride % 16; i < width; i += Math.min(16, 2 * stride))
        yield { i, stride, ...(yield* mode === "plane" ? surface(i) : orbits(i)) };
  }

  // Answers jobs in slices of `budget` milliseconds; a new job takes the place of the last one.
  function serve(post, budget) {
    let current;
    return (job) => {
      const left = columns((current = job));
      const slice = () => {
        if (current !== job) return;
        const until = performance.now() + budget, ready = [];
        let next;
        do if ((next = left.next()).value) ready.push(next.value);
        while (!next.done && performance.now() < until);
        post({ id: job.id, columns: ready, done: next.done });
        if (!next.done) setTimeout(slice);
      };
      setTimeout(slice);
    };
  }

  return { weights, simulate, follow, exponent, cost, data, serve };
};

export const { weights, simulate, follow, exponent, cost, data, serve } = dynamics();
